// The LinkModel against the formulas that its plan fields promise.
#include "sim/link/link_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "scenarios/base/hash.hpp"

namespace portolan::link {
namespace {

constexpr std::uint64_t us = 1'000;
constexpr std::uint64_t ms = 1'000'000;
constexpr std::uint64_t second = 1'000'000'000;

plan::Plan plan_of(const plan::Impairments& is, std::uint64_t seed = 7) {
  plan::Plan plan;
  plan::Link link;
  link.seed = seed;
  link.a_to_b = is;
  link.b_to_a = is;
  plan.links.push_back(link);
  return plan;
}

plan::Fault fault_of(plan::FaultKind kind, std::uint64_t at_ns, std::uint64_t until_ns) {
  plan::Fault fault;
  fault.kind = kind;
  fault.at_ns = static_cast<plan::Ns>(at_ns);
  fault.until_ns = static_cast<plan::Ns>(until_ns);
  fault.links = {0};
  return fault;
}

LinkModel model_of(const plan::Plan& plan, bool reverse = false) {
  auto model = LinkModel::make(plan, 0, reverse);
  if (!model) ADD_FAILURE() << model.error().text();
  return std::move(*model);
}

LinkModel model_of(const plan::Impairments& is) {
  return model_of(plan_of(is));
}

std::uint64_t drops(const LinkModel& model, Drop why, Traffic kind = Traffic::data) {
  return model.counters().dropped[static_cast<std::size_t>(kind)][static_cast<std::size_t>(why)];
}

// One-way delays of packets so far apart that none waits for another.
std::vector<double> delays(LinkModel& model, int n) {
  std::vector<double> all;
  for (int i = 0; i < n; ++i) {
    const std::uint64_t now = static_cast<std::uint64_t>(i) * 10 * second;
    const Fate fate = model.send(now, 100, Traffic::data);
    EXPECT_EQ(fate.copies, 1);
    EXPECT_EQ(fate.deliver_at_ns[0],
              now + fate.queueing_ns + fate.serialisation_ns + fate.propagation_ns + fate.jitter_ns);
    all.push_back(static_cast<double>(fate.deliver_at_ns[0] - now));
  }
  std::sort(all.begin(), all.end());
  return all;
}

double mean(const std::vector<double>& all) {
  double sum = 0;
  for (double x : all) sum += x;
  return sum / static_cast<double>(all.size());
}

TEST(Delay, FixedIsExactAndSplitAddsUp) {
  plan::Impairments is;
  is.delay_ns = 5 * ms;
  is.rate_bps = 10'000'000;
  is.queue.bytes = 10'000;
  LinkModel model = model_of(is);
  const Fate first = model.send(1000, 1250, Traffic::data);  // 1 ms on the wire
  EXPECT_EQ(first.deliver_at_ns[0], 1000 + 6 * ms);
  EXPECT_EQ(first.queueing_ns, 0u);
  EXPECT_EQ(first.serialisation_ns, ms);
  EXPECT_EQ(first.propagation_ns, 5 * ms);
  const Fate second_packet = model.send(1000, 1250, Traffic::control);
  EXPECT_EQ(second_packet.queueing_ns, ms);
  EXPECT_EQ(second_packet.deliver_at_ns[0], 1000 + 7 * ms);
  EXPECT_EQ(model.queued_bytes(1000), 1250u);
  EXPECT_EQ(model.queued_bytes(1000 + ms), 0u);
  EXPECT_EQ(model.delay_ns(0), 5 * ms);
}

TEST(Jitter, UniformExponentialNormalHaveTheirMomentsAndCutOff) {
  constexpr int n = 20'000;
  plan::Impairments is;
  is.delay_ns = ms;
  is.jitter = {plan::JitterKind::uniform, 1'000'000, 0};
  LinkModel uniform = model_of(is);
  auto all = delays(uniform, n);
  EXPECT_NEAR(mean(all), 1.5e6, 1e4);
  EXPECT_NEAR(all[n / 10], 1.1e6, 1e4);
  EXPECT_LT(all.back(), 2e6);

  is.jitter = {plan::JitterKind::exponential, 1'000'000, 0};
  LinkModel exponential = model_of(is);
  all = delays(exponential, n);
  EXPECT_NEAR(mean(all), 2e6, 3e4);
  EXPECT_NEAR(all[n * 99 / 100], 1e6 + 1e6 * std::log(100.0), 2e5);

  is.jitter = {plan::JitterKind::normal, 1'000'000, 2'500'000};
  LinkModel normal = model_of(is);
  all = delays(normal, n);
  EXPECT_NEAR(mean(all), 1e6 + 1e6 * std::sqrt(2 / 3.14159265), 2e4);
  EXPECT_NEAR(all[n / 2], 1e6 + 0.6745e6, 2e4);
  EXPECT_EQ(all.back(), 3.5e6);  // 1.2 % lie beyond the cut-off
}

TEST(Jitter, NeverReordersOneKindButReorderDoes) {
  plan::Impairments is;
  is.jitter = {plan::JitterKind::exponential, 1'000'000, 0};
  LinkModel jitter = model_of(is);
  std::uint64_t last = 0;
  for (std::uint64_t i = 0; i < 5'000; ++i) {
    const std::uint64_t deliver = jitter.send(i * 10 * us, 100, Traffic::data).deliver_at_ns[0];
    EXPECT_GE(deliver, last);
    last = deliver;
  }
  is.jitter = {};
  is.reorder = 50'000'000;
  is.reorder_ns = 5'000'000;
  LinkModel reorder = model_of(is);
  int overtaken = 0;
  last = 0;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const Fate fate = reorder.send(i * ms, 100, Traffic::data);
    EXPECT_TRUE(fate.jitter_ns == 0 || fate.jitter_ns == 5 * ms);
    overtaken += fate.jitter_ns != 0 ? 1 : 0;
  }
  EXPECT_NEAR(overtaken, 1000, 125);
  EXPECT_EQ(reorder.counters().held_back, static_cast<std::uint64_t>(overtaken));
}

TEST(Duplicate, HappensAtItsShare) {
  plan::Impairments is;
  is.duplicate = 20'000'000;
  LinkModel model = model_of(is);
  int twice = 0;
  for (std::uint64_t i = 0; i < 20'000; ++i) twice += model.send(i * ms, 100, Traffic::data).copies == 2 ? 1 : 0;
  EXPECT_NEAR(twice, 400, 80);
  EXPECT_EQ(model.counters().duplicated, static_cast<std::uint64_t>(twice));
}

TEST(Loss, UniformIsBinomialAndIndependent) {
  plan::Impairments is;
  is.loss = {plan::LossKind::uniform, 50'000'000, 0, 0, 0};
  LinkModel model = model_of(is);
  int lost = 0;
  int pairs = 0;
  bool before = false;
  constexpr int n = 100'000;
  for (int i = 0; i < n; ++i) {
    const bool now_lost = model.send(static_cast<std::uint64_t>(i) * us, 100, Traffic::data).copies == 0;
    lost += now_lost ? 1 : 0;
    pairs += now_lost && before ? 1 : 0;
    before = now_lost;
  }
  EXPECT_NEAR(lost, 5'000, 4 * std::sqrt(n * 0.05 * 0.95));
  EXPECT_NEAR(pairs, 250, 4 * std::sqrt(250));
  EXPECT_EQ(drops(model, Drop::loss), static_cast<std::uint64_t>(lost));
}

TEST(Loss, BurstsDwellInTimeExponentially) {
  plan::Impairments is;
  is.loss = {plan::LossKind::gilbert_elliott, 1'000'000'000, 0, 80'000'000, 20'000'000};
  LinkModel model = model_of(is);
  std::vector<double> bad_ms;
  std::vector<double> good_ms;
  bool state = false;
  std::uint64_t since = 0;
  std::uint64_t bad_probes = 0;
  constexpr std::uint64_t probes = 3'000'000;
  constexpr std::uint64_t step = 100 * us;  // 300 s: about 3,000 bursts
  for (std::uint64_t i = 0; i < probes; ++i) {
    const bool bad = model.send(i * step, 100, Traffic::probe).copies == 0;
    bad_probes += bad ? 1 : 0;
    if (bad == state) continue;
    (state ? bad_ms : good_ms).push_back(static_cast<double>((i - since) * step) / 1e6);
    state = bad;
    since = i;
  }
  ASSERT_GT(bad_ms.size(), 2'500u);
  EXPECT_NEAR(static_cast<double>(bad_probes) / static_cast<double>(probes), 0.2, 0.015);
  EXPECT_NEAR(mean(bad_ms), 20, 1.5);
  EXPECT_NEAR(mean(good_ms), 80, 6);
  const auto longer = std::count_if(bad_ms.begin(), bad_ms.end(), [](double x) { return x > 40; });
  EXPECT_NEAR(static_cast<double>(longer) / static_cast<double>(bad_ms.size()), std::exp(-2.0), 0.025);
  EXPECT_EQ(drops(model, Drop::burst, Traffic::probe), bad_probes);
  EXPECT_EQ(drops(model, Drop::loss, Traffic::probe), 0u);
}

TEST(Loss, BurstStateIsAFunctionOfTimeAlone) {
  plan::Impairments is;
  is.loss = {plan::LossKind::gilbert_elliott, 1'000'000'000, 0, 30'000'000, 10'000'000};
  LinkModel often = model_of(is);
  LinkModel seldom = model_of(is);
  LinkModel elsewhere = model_of(plan_of(is, 8));
  LinkModel reverse = model_of(plan_of(is), true);
  int other_seed = 0;
  int other_way = 0;
  for (std::uint64_t t = 0; t < 2 * second; t += 500 * us) {
    const bool lost = often.send(t, 100, Traffic::data).copies == 0;
    EXPECT_EQ(lost, seldom.burst(t));
    if (t % (7 * ms) == 0) {
      EXPECT_EQ(seldom.send(t, 1400, Traffic::control).copies == 0, lost);
    }
    other_seed += elsewhere.burst(t) != lost ? 1 : 0;
    other_way += reverse.burst(t) != lost ? 1 : 0;
  }
  EXPECT_GT(other_seed, 500);
  EXPECT_GT(other_way, 500);
}

TEST(Determinism, OtherTrafficMovesNoDataPacketOnAnUnlimitedLink) {
  plan::Impairments is;
  is.delay_ns = 5 * ms;
  is.jitter = {plan::JitterKind::exponential, 500'000, 5'000'000};
  is.loss = {plan::LossKind::gilbert_elliott, 700'000'000, 10'000'000, 50'000'000, 10'000'000};
  is.reorder = 10'000'000;
  is.reorder_ns = 1'000'000;
  is.duplicate = 10'000'000;
  LinkModel alone = model_of(is);
  LinkModel busy = model_of(is);
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const std::uint64_t now = i * 100 * us;
    for (std::uint64_t k = 0; k < draw64(1, i) % 3; ++k) {
      busy.send(now, 60, k == 0 ? Traffic::control : Traffic::probe);
    }
    const Fate a = alone.send(now, 1000, Traffic::data);
    const Fate b = busy.send(now, 1000, Traffic::data);
    ASSERT_EQ(a.copies, b.copies) << i;
    ASSERT_EQ(a.deliver_at_ns, b.deliver_at_ns) << i;
    ASSERT_EQ(a.drop, b.drop) << i;
  }
}

TEST(Rate, ThroughputIsTheRateAndTheQueueStaysBounded) {
  plan::Impairments is;
  is.rate_bps = 8'000'000;  // a byte each microsecond
  is.queue.bytes = 20'000;
  LinkModel model = model_of(is);
  std::uint64_t delivered = 0;
  for (std::uint64_t i = 0; i < 10'000; ++i) {  // 2 bytes offered each microsecond
    const Fate fate = model.send(i * 500 * us, 1000, Traffic::data);
    if (fate.copies == 0) {
      EXPECT_EQ(fate.drop, Drop::queue_full);
      continue;
    }
    EXPECT_LE(fate.queueing_ns, 20'000 * us);
    if (fate.deliver_at_ns[0] <= 5 * second) delivered += 1000;
  }
  EXPECT_EQ(delivered, 5'000'000u);
  EXPECT_EQ(model.counters().queue_bytes_max, 20'000u);
  EXPECT_EQ(model.counters().queue_packets_max, 20u);
  EXPECT_GE(model.counters().queueing_ns_max, 19'000 * us);
  EXPECT_GT(drops(model, Drop::queue_full), 4'900u);
}

TEST(Rate, OddRatesLoseNoBitOverManyPackets) {
  plan::Impairments is;
  is.rate_bps = 9'999'999'937;
  is.queue.bytes = 100'000'000;
  LinkModel model = model_of(is);
  Fate fate;
  for (int i = 0; i < 60'000; ++i) fate = model.send(0, 1400, Traffic::data);
  const double exact = 60'000.0 * 1400 * 8 / 9'999'999'937.0 * 1e9;
  EXPECT_NEAR(static_cast<double>(fate.deliver_at_ns[0]), exact, 60'000);  // rounded up by at most 1 ns a packet
}

TEST(Codel, KeepsTheStandingQueueNearItsTargetWhereTailDropFillsIt) {
  plan::Impairments is;
  is.rate_bps = 8'000'000;
  is.queue = {plan::QueueKind::codel, 500'000, 5'000'000, 100'000'000};
  LinkModel codel = model_of(is);
  is.queue.kind = plan::QueueKind::tail_drop;
  LinkModel tail = model_of(is);
  std::uint64_t codel_most = 0;
  std::uint64_t tail_last = 0;
  // 10 % too much for 20 s. CoDel does not tell anybody to slow down here, so it must drop what is too much.
  std::uint64_t now = 0;
  std::vector<std::uint64_t> drop_at;
  for (int i = 0; i < 22'000; ++i, now += 909'091) {
    const Fate a = codel.send(now, 1000, Traffic::data);
    const Fate b = tail.send(now, 1000, Traffic::data);
    if (a.drop == Drop::codel) drop_at.push_back(now + a.queueing_ns);
    if (i > 11'000) codel_most = std::max(codel_most, a.queueing_ns);
    if (b.copies != 0) tail_last = b.queueing_ns;
  }
  EXPECT_LT(codel_most, 40 * ms);  // it swings about the target: nobody listens to its drops
  EXPECT_GT(tail_last, 490 * ms);
  // First drop one interval after the sojourn passed the target (5 ms of queue at 10 % excess: 55 ms in).
  ASSERT_GT(drop_at.size(), 10u);
  EXPECT_NEAR(static_cast<double>(drop_at[0]) / 1e6, 55 + 100, 8);
  for (std::size_t n = 1; n < 8; ++n) {
    const double spacing = static_cast<double>(drop_at[n] - drop_at[n - 1]) / 1e6;
    EXPECT_NEAR(spacing, 100 / std::sqrt(static_cast<double>(n)), 2.5) << n;
  }
}

TEST(Codel, MarksWhatCanBeMarkedWhereItWouldDropIt) {
  plan::Impairments is;
  is.rate_bps = 8'000'000;
  is.queue = {plan::QueueKind::codel, 500'000, 5'000'000, 100'000'000};
  LinkModel drops = model_of(is);
  is.queue.ecn = true;
  LinkModel marks = model_of(is), mixed = model_of(is);
  std::uint64_t dropped = 0, marked = 0, spared = 0;
  for (std::uint64_t i = 0; i < 2'000; ++i) {
    const std::uint64_t now = i * 900'000;
    dropped += drops.send(now, 1'000, Traffic::data, true).drop == Drop::codel;
    const Fate one = marks.send(now, 1'000, Traffic::data, true);
    EXPECT_EQ(one.drop, Drop::none);
    EXPECT_EQ(one.copies, 1);
    marked += one.marked;
    const Fate other = mixed.send(now, 1'000, Traffic::data, i % 2 == 0);
    EXPECT_FALSE(other.marked && (i % 2 == 1 || other.drop != Drop::none));
    spared += other.drop == Drop::codel;
  }
  EXPECT_GT(dropped, 3u);
  EXPECT_GE(marked, dropped);  // nobody slows down, and what is marked stays in the queue
  EXPECT_GT(spared, 0u);
  EXPECT_EQ(marks.counters().marked[0], marked);
  EXPECT_EQ(drops.counters().marked[0], 0u);
  // A full queue drops, capable or not.
  for (int i = 0; i < 1'000; ++i) marks.send(2'000'000'000, 1'000, Traffic::data, true);
  EXPECT_GT(marks.counters().dropped[0][static_cast<std::size_t>(Drop::queue_full)], 0u);
}

TEST(Codel, LeavesAGoodQueueAlone) {
  plan::Impairments is;
  is.rate_bps = 8'000'000;
  is.queue = {plan::QueueKind::codel, 500'000, 5'000'000, 100'000'000};
  LinkModel model = model_of(is);
  for (std::uint64_t burst = 0; burst < 100; ++burst) {  // 20 packets at once, 50 ms apart: the queue drains each time
    for (int k = 0; k < 20; ++k) EXPECT_EQ(model.send(burst * 50 * ms, 1000, Traffic::data).copies, 1);
  }
  // One packet that waits for one other longer than the target is no standing queue: it has nothing behind it.
  is.rate_bps = 800'000;
  LinkModel slow = model_of(is);
  for (std::uint64_t i = 0; i < 200; ++i) {
    EXPECT_EQ(slow.send(i * 30 * ms, 1500, Traffic::data).copies, 1);
    const Fate waited = slow.send(i * 30 * ms, 1500, Traffic::data);
    EXPECT_EQ(waited.queueing_ns, 15 * ms);
    EXPECT_EQ(waited.copies, 1) << i;
  }
}

TEST(RateTrace, DeliversAtMahimahisOpportunities) {
  plan::Impairments is;
  is.rate_trace_ms = {1, 1, 5, 10};  // 6,000 bytes each 10 ms
  is.queue.bytes = 100'000;
  is.mtu_bytes = 9'000;
  LinkModel model = model_of(is);
  const auto deliver = [&](std::uint64_t now, std::uint32_t bytes) {
    return model.send(now, bytes, Traffic::data).deliver_at_ns[0];
  };
  EXPECT_EQ(deliver(0, 1500), 1 * ms);
  EXPECT_EQ(deliver(0, 1000), 1 * ms);  // the second opportunity of that millisecond, 500 bytes left
  EXPECT_EQ(deliver(0, 1000), 5 * ms);  // uses those 500 and 500 of the next
  EXPECT_EQ(deliver(0, 1000), 5 * ms);  // exactly the rest
  EXPECT_EQ(deliver(6 * ms, 100), 10 * ms);
  EXPECT_EQ(deliver(10 * ms, 100), 10 * ms);           // an opportunity at this very instant
  EXPECT_EQ(deliver(10 * ms + 1, 3001), 15 * ms);      // next cycle: 11, 11 and a byte at 15
  EXPECT_EQ(deliver(100 * ms + 500, 1500), 101 * ms);  // what was not used is gone
  const Fate split = model.send(101 * ms + 1, 2000, Traffic::data);
  EXPECT_EQ(split.queueing_ns, 4 * ms - 1);
  EXPECT_EQ(split.serialisation_ns, 5 * ms);
}

TEST(RateTrace, LongRunThroughputIsTheTraces) {
  plan::Impairments is;
  for (std::uint32_t t = 1; t <= 100; ++t) is.rate_trace_ms.insert(is.rate_trace_ms.end(), t % 3, t);
  is.queue.bytes = 30'000;
  const double per_second = static_cast<double>(is.rate_trace_ms.size()) * 1500 * 10;
  LinkModel model = model_of(is);
  double delivered = 0;
  for (std::uint64_t t = 0; t < 10 * second; t += 100 * us) {
    const Fate fate = model.send(t, 400, Traffic::data);
    if (fate.copies != 0 && fate.deliver_at_ns[0] <= 10 * second) delivered += 400;
  }
  EXPECT_NEAR(delivered, per_second * 10, per_second * 10 * 0.001);
}

TEST(DelayTrace, ReplacesTheDelayAndRepeats) {
  plan::Impairments is;
  is.delay_ns = 9 * ms;
  is.delay_trace = {{10'000'000, 20'000'000}, {20'000'000, 30'000'000}};
  LinkModel model = model_of(is);
  EXPECT_EQ(model.delay_ns(0), 9 * ms);
  EXPECT_EQ(model.delay_ns(10 * ms), 20 * ms);
  EXPECT_EQ(model.delay_ns(second), 30 * ms);
  is.delay_trace_period_ns = 25'000'000;
  LinkModel again = model_of(is);
  EXPECT_EQ(again.delay_ns(26 * ms), 9 * ms);
  EXPECT_EQ(again.delay_ns(36 * ms), 20 * ms);
  // A falling delay lets nobody overtake.
  const std::uint64_t slow = again.send(24 * ms, 100, Traffic::data).deliver_at_ns[0];
  EXPECT_EQ(slow, 54 * ms);
  EXPECT_EQ(again.send(26 * ms, 100, Traffic::data).deliver_at_ns[0], slow);
}

TEST(Outage, OneWayCutLosesWhatIsUnderWayAndFlushesTheQueue) {
  plan::Impairments is;
  is.delay_ns = 10 * ms;
  is.rate_bps = 8'000'000;
  is.queue.bytes = 100'000;
  plan::Plan plan = plan_of(is);
  plan.faults.push_back(fault_of(plan::FaultKind::cut, 100 * ms, 200 * ms));
  plan.faults[0].way = plan::Way::a_to_b;
  LinkModel cut = model_of(plan);
  LinkModel back = model_of(plan, true);
  EXPECT_EQ(cut.send(80 * ms, 1000, Traffic::data).copies, 1);
  EXPECT_EQ(cut.send(89 * ms, 1000, Traffic::data).drop, Drop::cut);  // would have come at 100 ms
  for (int i = 0; i < 50; ++i) EXPECT_EQ(cut.send(95 * ms, 1000, Traffic::data).drop, Drop::cut);
  EXPECT_EQ(cut.send(100 * ms, 1000, Traffic::data).drop, Drop::down);
  EXPECT_EQ(cut.queued_bytes(100 * ms), 0u);
  EXPECT_EQ(cut.send(200 * ms, 1000, Traffic::data).deliver_at_ns[0], 211 * ms);
  EXPECT_TRUE(cut.up(99 * ms));
  EXPECT_FALSE(cut.up(100 * ms));
  EXPECT_TRUE(cut.up(200 * ms));
  EXPECT_TRUE(back.up(150 * ms));
  EXPECT_EQ(back.send(150 * ms, 1000, Traffic::data).copies, 1);
  EXPECT_EQ(drops(cut, Drop::cut), 51u);
  EXPECT_EQ(drops(cut, Drop::down), 1u);
}

TEST(Outage, PartitionAndOverlappingFaultsAreUpOnlyOutsideAll) {
  plan::Plan plan = plan_of({});
  plan.faults.push_back(fault_of(plan::FaultKind::cut, 100 * ms, 300 * ms));
  plan.faults.push_back(fault_of(plan::FaultKind::partition, 200 * ms, 400 * ms));
  plan.faults.push_back(fault_of(plan::FaultKind::kill, 0, 0));  // not a link's
  plan.faults.push_back(fault_of(plan::FaultKind::cut, 500 * ms, 0));
  LinkModel model = model_of(plan);
  for (std::uint64_t t = 0; t < 1'000 * ms; t += 50 * ms) {
    EXPECT_EQ(model.up(t), t < 100 * ms || (t >= 400 * ms && t < 500 * ms)) << t;
  }
}

TEST(Degrade, OverlayReplacesNamedFieldsWhileItLasts) {
  plan::Impairments is;
  is.delay_ns = 10 * ms;
  is.loss = {plan::LossKind::gilbert_elliott, 1'000'000'000, 0, 30'000'000, 10'000'000};
  plan::Plan plan = plan_of(is);
  plan.faults.push_back(fault_of(plan::FaultKind::degrade, 100 * ms, 200 * ms));
  plan.faults[0].impairments.delay_ns = 50 * ms;
  plan.faults[0].impairments.loss = {plan::LossKind::none, 0, 0, 0, 0};
  plan.faults[0].replaces = {"delay", "loss"};
  LinkModel model = model_of(plan);
  LinkModel untouched = model_of(plan_of(is));
  for (std::uint64_t t = 0; t < 400 * ms; t += 100 * us) {
    const bool degraded = t >= 100 * ms && t < 200 * ms;
    EXPECT_EQ(model.delay_ns(t), degraded ? 50 * ms : 10 * ms);
    EXPECT_EQ(model.burst(t), !degraded && untouched.burst(t)) << t;  // the link's own bursts are where they would be
    if (degraded) {
      EXPECT_EQ(model.send(t, 100, Traffic::data).copies, 1);
    }
  }
}

TEST(Degrade, RateChangesInTheMiddleOfAPacket) {
  plan::Impairments is;
  is.rate_bps = 8'000'000;
  is.queue.bytes = 100'000;
  plan::Plan plan = plan_of(is);
  plan.faults.push_back(fault_of(plan::FaultKind::degrade, 1 * ms, 100 * ms));
  plan.faults[0].impairments.rate_bps = 800'000;
  plan.faults[0].replaces = {"rate"};
  LinkModel model = model_of(plan);
  EXPECT_EQ(model.send(500 * us, 1000, Traffic::data).deliver_at_ns[0], 6 * ms);  // 500 bytes fast, 500 slow
  EXPECT_EQ(model.send(99 * ms, 1000, Traffic::data).deliver_at_ns[0], 100 * ms + 900 * us);
}

TEST(Make, RefusesWhatItCannotHonour) {
  const auto cause = [](const plan::Plan& plan) {
    const auto model = LinkModel::make(plan, 0, false);
    return model ? std::string("accepted") : model.error().text();
  };
  plan::Impairments is;
  is.loss.probability = 1'000'000'001;
  EXPECT_EQ(cause(plan_of(is)), "/links/0/a_to_b: loss must be at most 1e9 ppb");
  is = {};
  is.rate_trace_ms = {5, 4};
  EXPECT_EQ(cause(plan_of(is)), "/links/0/a_to_b: rate_trace_ms must be sorted");
  is = {};
  is.delay_ns = -1;
  EXPECT_EQ(cause(plan_of(is)), "/links/0/a_to_b: delay_ns must be 0 to one year");
  is = {};
  is.rate_bps = 1'000'000;
  EXPECT_EQ(cause(plan_of(is)),
            "/links/0/a_to_b: from 0 ns on there is a rate but no queue: queue.bytes must hold a packet");
  plan::Plan plan = plan_of({});
  plan.faults.push_back(fault_of(plan::FaultKind::degrade, 0, 0));
  plan.faults[0].replaces = {"colour"};
  EXPECT_EQ(cause(plan),
            "/faults/0/replaces: 'colour' is none of delay, jitter, loss, rate, queue, reorder, duplicate, mtu");
  EXPECT_FALSE(LinkModel::make(plan, 1, false));
}

TEST(Time, GoingBackIsCountedNotObeyed) {
  plan::Impairments is;
  is.delay_ns = ms;
  LinkModel model = model_of(is);
  model.send(10 * ms, 100, Traffic::data);
  EXPECT_EQ(model.send(5 * ms, 100, Traffic::data).deliver_at_ns[0], 11 * ms);
  EXPECT_EQ(model.counters().time_went_back, 1u);
}

// The MTU counts the IP packet; the frame's own 14 bytes do not. A tunnel that appears in mid run is a smaller MTU.
TEST(Mtu, LongerPacketsVanishAndTakeNoneOfTheRate) {
  plan::Impairments is;
  is.rate_bps = 8'000'000;
  is.queue.bytes = 100'000;
  plan::Plan plan = plan_of(is);
  plan.faults.push_back(fault_of(plan::FaultKind::degrade, 10'000'000, 20'000'000));
  plan.faults[0].replaces = {"mtu"};
  plan.faults[0].impairments.mtu_bytes = 1'300;
  auto made = LinkModel::make(plan, 0, false);
  ASSERT_TRUE(made);
  LinkModel& model = *made;
  EXPECT_EQ(model.send(0, 1'514, Traffic::data).copies, 1);
  const Fate big = model.send(5 * ms, 1'515, Traffic::data);
  EXPECT_EQ(big.copies, 0);
  EXPECT_EQ(big.drop, Drop::too_big);
  EXPECT_EQ(model.send(5 * ms, 1'000, Traffic::data).queueing_ns, 0u);
  EXPECT_EQ(model.send(10 * ms, 1'315, Traffic::data).drop, Drop::too_big);
  EXPECT_EQ(model.send(15 * ms, 1'314, Traffic::data).copies, 1);
  EXPECT_EQ(model.send(20 * ms, 1'514, Traffic::data).copies, 1);
  EXPECT_EQ(model.counters().dropped[0][static_cast<std::size_t>(Drop::too_big)], 2u);
}

// What a link says of each second adds up to what went over it, and names the second in which it went.
TEST(LinkLoad, SecondsAddUpAndAFullWireIsFullyUsed) {
  plan::Impairments is;
  is.rate_bps = 8'000'000;  // 1 MB/s
  is.queue.bytes = 300'000;
  is.loss.kind = plan::LossKind::uniform;
  is.loss.probability = 100'000'000;
  LinkModel model = model_of(is);
  // 1.2 MB/s for a second and a half, then nothing: 300 kB wait after the second, some are refused.
  for (std::uint64_t i = 0; i < 1800; ++i) {
    if (i == 1200) {
      const Load first = model.take_load(second);
      EXPECT_EQ(first.packets, 1200u);
      EXPECT_EQ(first.capacity_bytes, 1'000'000u);
      EXPECT_NEAR(static_cast<double>(first.carried_bytes), 1e6, 2000.0);
      EXPECT_NEAR(static_cast<double>(first.queue_bytes_max), 200'000.0, 3000.0);
    }
    model.send(i * second / 1200, 1000, Traffic::data);
  }
  const Load rest = model.take_load(2 * second);
  EXPECT_EQ(rest.packets, 600u);
  EXPECT_NEAR(static_cast<double>(rest.queue_bytes_max), 299'000.0, 1500.0);
  EXPECT_NEAR(static_cast<double>(rest.queueing_ns_max), 0.3e9, 3e6);
  EXPECT_EQ(rest.dropped[static_cast<std::size_t>(Drop::queue_full)], drops(model, Drop::queue_full));
  EXPECT_EQ(rest.dropped_bytes[static_cast<std::size_t>(Drop::queue_full)], 1000 * drops(model, Drop::queue_full));
  EXPECT_LT(rest.dropped[static_cast<std::size_t>(Drop::loss)], drops(model, Drop::loss));
  const std::uint64_t let_in = 1'800'000 - 1000 * drops(model, Drop::queue_full);
  EXPECT_NEAR(static_cast<double>(rest.carried_bytes), static_cast<double>(let_in) - 1e6, 2000.0);
  const Load idle = model.take_load(3 * second);
  EXPECT_EQ(idle.packets + idle.bytes + idle.carried_bytes + idle.queue_bytes_max, 0u);
}

TEST(LinkLoad, WhatACutThrewOutOfTheQueueWasNeverCarried) {
  plan::Impairments is;
  is.rate_bps = 8'000'000;  // 1 kB/ms
  is.queue.bytes = 300'000;
  plan::Plan plan = plan_of(is);
  plan.faults = {fault_of(plan::FaultKind::cut, second / 2, second)};
  LinkModel model = model_of(plan);
  for (int i = 0; i < 200; ++i) model.send(second * 4 / 10, 1000, Traffic::data);  // 200 ms of it, 100 before the cut
  const Load load = model.take_load(second);
  EXPECT_EQ(load.capacity_bytes, 500'000u);
  EXPECT_NEAR(static_cast<double>(load.carried_bytes), 100'000.0, 1'000.0);
  EXPECT_NEAR(static_cast<double>(drops(model, Drop::cut)), 100.0, 1.0);
}

TEST(LinkLoad, CapacityFollowsFaultsAndTraces) {
  plan::Impairments is;
  is.rate_bps = 8'000'000;
  is.queue.bytes = 300'000;
  plan::Plan plan = plan_of(is);
  plan.faults = {fault_of(plan::FaultKind::cut, second / 2, second)};
  LinkModel cut = model_of(plan);
  EXPECT_EQ(cut.capacity_bytes(0, 2 * second), 1'500'000u);
  EXPECT_EQ(cut.capacity_bytes(second / 2, second), 0u);
  plan::Impairments trace;
  trace.rate_trace_ms = {1, 2, 5, 10};
  trace.queue.bytes = 300'000;
  // The opportunity at the very end is the next second's.
  EXPECT_EQ(model_of(trace).capacity_bytes(0, second), 399u * 1500);
  EXPECT_EQ(model_of(trace).capacity_bytes(second, 2 * second), 400u * 1500);
  EXPECT_EQ(model_of(plan::Impairments{}).capacity_bytes(0, second), 0u);
}

}  // namespace
}  // namespace portolan::link
