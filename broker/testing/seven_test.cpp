// Seven harbours under random faults of every kind: a slice of the seeds in each run, 2,000 of them under --soak.
#include <gtest/gtest.h>

#include "broker/testing/chaos_search.hpp"

namespace portolan::broker::testing {
namespace {

TEST(SevenHarbours, HoldUnderRandomFaults) {
  search("SevenHarbours.HoldUnderRandomFaults", seven_harbours(), 8, "broker_seven_test");
}

}  // namespace
}  // namespace portolan::broker::testing
