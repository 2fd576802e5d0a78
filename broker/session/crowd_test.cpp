// The crowd that the design names: slow, so it runs apart from the other tests of sessions.
#include "broker/session/crowd.hpp"

namespace portolan::broker::session {
namespace {

TEST(Crowd, TenThousandSessionsCompleteOverThirtyTwoSlots) {
  everybody_completes(10'000, 32, 1, 2);
}

}  // namespace
}  // namespace portolan::broker::session
