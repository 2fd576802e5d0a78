// How long after each fault every stream that it held up flowed again.
//
// A delivery is *held up* when it took more than 3 times its stream's median latency plus 20 ms (the median over the
// run of that subscriber and stream, so that distance and size do not matter). It is put down to every fault whose
// effect overlaps its way from intended to delivered, or, where none does, to the last one that healed before it,
// within `settle`. Recovery is the time of the last held-up delivery after the fault healed (after it took effect,
// where it never heals), less that moment; never below 0. A message that never came leaves the fault without a
// recovery; one told as a gap counts when it was told. A client that a fault restarted has recovered once its
// subscriptions stand.
#pragma once

#include <vector>

#include "results/check/statistics.hpp"

namespace portolan::check {

inline constexpr Ns kHeldUpFactor = 3;
inline constexpr Ns kHeldUpSlack = 20'000'000;

std::vector<FaultReport> make_recovery(const RunFiles& run, const Timeline& timeline,
                                       const std::vector<Subscriber>& subscribers, const DeliveryJudge& delivery);

}  // namespace portolan::check
