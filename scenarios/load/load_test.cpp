// Workload and Generator: intended times against their formulas, payloads that are pure, restarts, bounds, refusals.
#include "scenarios/load/load.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include "scenarios/base/hash.hpp"
#include "scenarios/load/ais.hpp"

namespace portolan::load {
namespace {

constexpr plan::Ns ms = 1'000'000;
constexpr plan::Ns second = 1'000'000'000;
const std::string data_folder = std::string(PORTOLAN_SOURCE_DIR) + "/scenarios/data";

// One load with `streams` publishers, each on a topic of its own.
plan::Plan plan_of(const plan::Load& load, std::uint32_t streams) {
  plan::Plan plan;
  plan.duration_ns = 60 * second;
  plan.loads.push_back(load);
  for (std::uint32_t i = 0; i < streams; ++i) {
    plan::Process process;
    process.id = 100 + i;
    plan.processes.push_back(process);
    plan::Topic topic;
    topic.name = "t/" + std::to_string(i);
    plan.topics.push_back(topic);
    plan::Stream stream;
    stream.process = stream.topic = stream.index = i;
    plan.streams.push_back(stream);
  }
  return plan;
}

plan::Load load_of(plan::LoadKind kind) {
  plan::Load load;
  load.kind = kind;
  load.interval_ns = 50 * ms;
  load.size_bytes = 256;
  load.start_ns = 1 * second;
  load.end_ns = 41 * second;
  load.seed = 99;
  load.file = "ais-stream-2010-06-11.txt";
  load.sha256 = "";
  load.lanes = {{{51'980'000, 3'980'000}, {53'900'000, 5'500'000}, {57'650'000, 11'700'000}},
                {{54'000'000, 8'000'000}, {54'500'000, 13'500'000}}};
  return load;
}

void add_restart(plan::Plan& plan, plan::Index process, plan::Ns at, plan::Ns until) {
  plan::Fault fault;
  fault.kind = plan::FaultKind::restart;
  fault.at_ns = at;
  fault.until_ns = until;
  fault.processes = {process};
  plan.faults.push_back(fault);
}

Workload workload_of(const plan::Plan& plan) {
  auto workload = Workload::make(plan, data_folder);
  if (!workload) ADD_FAILURE() << workload.error().text();
  return std::move(*workload);
}

std::vector<Shot> shots(const Workload& workload, plan::Index stream, std::uint64_t incarnation = 1,
                        plan::Ns until = 1'000 * second) {
  auto generator = Generator::make(workload, stream, incarnation);
  std::vector<Shot> all;
  if (!generator) ADD_FAILURE() << generator.error().text();
  while (const auto shot = generator->next(until)) all.push_back(*shot);
  return all;
}

std::vector<std::uint8_t> bytes_of(const Workload& workload, plan::Index stream, std::uint64_t incarnation,
                                   std::uint64_t sequence) {
  const plan::Stream& s = workload.plan().streams[stream];
  std::vector<std::uint8_t> out;
  EXPECT_TRUE(workload.payload(s.topic, s.process, incarnation, sequence, out));
  return out;
}

TEST(Generator, PeriodicIsExactFromAPhaseOfItsOwn) {
  const plan::Plan plan = plan_of(load_of(plan::LoadKind::periodic), 20);
  const Workload workload = workload_of(plan);
  std::set<plan::Ns> phases;
  for (plan::Index i = 0; i < 20; ++i) {
    const auto all = shots(workload, i);
    ASSERT_EQ(all.size(), 800u);
    phases.insert(all[0].intended_ns);
    EXPECT_GE(all[0].intended_ns, 1 * second);
    EXPECT_LT(all[0].intended_ns, 1 * second + 50 * ms);
    for (std::size_t n = 0; n < all.size(); ++n) {
      EXPECT_EQ(all[n].intended_ns, all[0].intended_ns + static_cast<plan::Ns>(n) * 50 * ms);
      EXPECT_EQ(all[n].sequence, n + 1);
      EXPECT_EQ(all[n].stream, i);
      EXPECT_EQ(all[n].size_bytes, 256u);
    }
  }
  EXPECT_EQ(phases.size(), 20u);
}

TEST(Generator, PoissonHasItsRateAndExponentialGaps) {
  plan::Load load = load_of(plan::LoadKind::poisson);
  load.interval_ns = 2 * ms;
  const plan::Plan plan = plan_of(load, 2);
  const Workload workload = workload_of(plan);
  const auto all = shots(workload, 0);
  EXPECT_NEAR(static_cast<double>(all.size()), 20'000, 4 * std::sqrt(20'000));
  int long_gaps = 0;
  for (std::size_t n = 1; n < all.size(); ++n) {
    EXPECT_GT(all[n].intended_ns, all[n - 1].intended_ns);
    long_gaps += all[n].intended_ns - all[n - 1].intended_ns > 4 * ms ? 1 : 0;
  }
  EXPECT_NEAR(long_gaps, static_cast<double>(all.size()) * std::exp(-2.0), 220);
  EXPECT_NE(shots(workload, 1)[0].intended_ns, all[0].intended_ns);
}

TEST(Generator, IsOpenLoopAndSameHoweverItIsAsked) {
  for (const plan::LoadKind kind :
       {plan::LoadKind::periodic, plan::LoadKind::poisson, plan::LoadKind::fleet, plan::LoadKind::replay}) {
    const plan::Plan plan = plan_of(load_of(kind), 3);
    const Workload workload = workload_of(plan);
    const auto all = shots(workload, 1);
    ASSERT_FALSE(all.empty());
    auto generator = Generator::make(workload, 1, 1);
    std::size_t n = 0;
    for (plan::Ns now = 0; now < 45 * second; now += static_cast<plan::Ns>(draw64(4, n) % (700 * ms))) {
      while (const auto shot = generator->next(now)) {
        ASSERT_LT(n, all.size());
        EXPECT_EQ(shot->intended_ns, all[n].intended_ns);
        EXPECT_LE(shot->intended_ns, now);
        ++n;
      }
      if (generator->peek()) {
        EXPECT_GT(*generator->peek(), now);
      }
    }
    EXPECT_EQ(n, all.size());
    EXPECT_FALSE(generator->peek());
  }
}

TEST(Generator, CountAndEndBoundEveryKind) {
  for (const plan::LoadKind kind :
       {plan::LoadKind::periodic, plan::LoadKind::poisson, plan::LoadKind::fleet, plan::LoadKind::replay}) {
    plan::Load load = load_of(kind);
    load.count = 2;
    const plan::Plan plan = plan_of(load, 1);
    EXPECT_EQ(shots(workload_of(plan), 0).size(), 2u);
    load.count = 0;
    load.end_ns = 0;  // then to the end of the run
    plan::Plan open = plan_of(load, 1);
    open.duration_ns = 10 * second;
    const auto all = shots(workload_of(open), 0);
    ASSERT_FALSE(all.empty());
    EXPECT_LT(all.back().intended_ns, 10 * second);
  }
}

TEST(Restart, NumbersBeginAgainAndTimesGoOn) {
  for (const plan::LoadKind kind :
       {plan::LoadKind::periodic, plan::LoadKind::poisson, plan::LoadKind::fleet, plan::LoadKind::replay}) {
    plan::Plan plan = plan_of(load_of(kind), 2);
    add_restart(plan, 1, 10 * second, 13 * second);
    const Workload workload = workload_of(plan);
    EXPECT_EQ(workload.incarnation_starts(1), (std::vector<plan::Ns>{0, 13 * second}));
    const auto first = shots(workload, 1, 1);
    const auto second_life = shots(workload, 1, 2);
    ASSERT_FALSE(second_life.empty());
    EXPECT_EQ(second_life[0].sequence, 1u);
    EXPECT_GE(second_life[0].intended_ns, 13 * second);
    // The same instants as without the restart, those before its end left out.
    std::vector<plan::Ns> want;
    for (const Shot& s : first) {
      if (s.intended_ns >= 13 * second) want.push_back(s.intended_ns);
    }
    ASSERT_EQ(second_life.size(), want.size());
    for (std::size_t n = 0; n < want.size(); ++n) EXPECT_EQ(second_life[n].intended_ns, want[n]);
    const auto offset = static_cast<std::uint64_t>(first.size() - want.size());
    const bool synthetic_load = kind == plan::LoadKind::periodic || kind == plan::LoadKind::poisson;
    EXPECT_EQ(bytes_of(workload, 1, 2, 1) == bytes_of(workload, 1, 1, offset + 1), !synthetic_load);
    std::vector<std::uint8_t> out;
    EXPECT_FALSE(workload.payload(1, 1, 3, 1, out));
    EXPECT_FALSE(Generator::make(workload, 1, 3));
    EXPECT_FALSE(Generator::make(workload, 0, 2));  // the other process did not restart
  }
}

TEST(Payload, IsPureAndOfThePlannedSize) {
  for (const plan::LoadKind kind :
       {plan::LoadKind::periodic, plan::LoadKind::poisson, plan::LoadKind::fleet, plan::LoadKind::replay}) {
    const plan::Plan plan = plan_of(load_of(kind), 3);
    const Workload forward = workload_of(plan);
    const Workload backward = workload_of(plan);
    std::map<std::pair<plan::Index, std::uint64_t>, std::vector<std::uint8_t>> seen;
    for (plan::Index i = 0; i < 3; ++i) {
      for (const Shot& shot : shots(forward, i)) {
        seen[{i, shot.sequence}] = bytes_of(forward, i, 1, shot.sequence);
        EXPECT_EQ((seen[{i, shot.sequence}].size()), shot.size_bytes);
      }
    }
    for (auto entry = seen.rbegin(); entry != seen.rend(); ++entry) {
      EXPECT_EQ(bytes_of(backward, entry->first.first, 1, entry->first.second), entry->second);
    }
    std::vector<std::uint8_t> out;
    EXPECT_FALSE(forward.payload(0, 0, 1, 0, out));
    EXPECT_FALSE(forward.payload(0, 1, 1, 1, out));  // that process does not publish that topic
    EXPECT_FALSE(forward.payload(99, 99, 1, 1, out));
    if (kind == plan::LoadKind::fleet || kind == plan::LoadKind::replay) {
      EXPECT_FALSE(forward.payload(0, 0, 1, 1'000'000, out));
      EXPECT_FALSE(forward.payload(0, 0, 1, ~std::uint64_t{0}, out));
    }
  }
}

TEST(Payload, DependsOnEachPartOfItsIdentity) {
  const Identity base{1, 2, "ais/a", 3, 4, 5};
  std::set<std::vector<std::uint8_t>> all;
  for (int change = 0; change < 7; ++change) {
    Identity id = base;
    if (change == 1) id.seed = 9;
    if (change == 2) id.publisher = 9;
    if (change == 3) id.topic = "ais/b";
    if (change == 4) id.tenant = 9;
    if (change == 5) id.incarnation = 9;
    if (change == 6) id.sequence = 9;
    std::vector<std::uint8_t> out;
    synthetic(id, 64, out);
    all.insert(out);
  }
  EXPECT_EQ(all.size(), 7u);
}

TEST(Payload, SyntheticShowsEveryFlipCutAndMixture) {
  for (const std::uint32_t size : {16u, 17u, 100u, 1281u}) {
    std::vector<std::uint8_t> a;
    std::vector<std::uint8_t> b;
    synthetic({1, 2, "t", 3, 4, 5}, size, a);
    synthetic({1, 2, "t", 3, 4, 6}, size, b);
    ASSERT_EQ(a.size(), size);
    EXPECT_TRUE(synthetic_intact(a));
    for (std::size_t i = 0; i < size; ++i) {
      auto flipped = a;
      flipped[i] ^= 0x10;
      EXPECT_FALSE(synthetic_intact(flipped)) << size << " " << i;
      if (i == 0) continue;
      auto mixed = a;
      std::copy(b.begin() + static_cast<std::ptrdiff_t>(i), b.end(), mixed.begin() + static_cast<std::ptrdiff_t>(i));
      if (mixed != a) {
        EXPECT_FALSE(synthetic_intact(mixed)) << size << " " << i;
      }
    }
    EXPECT_FALSE(synthetic_intact(std::span(a).first(size - 1)));
    a.push_back(0);
    EXPECT_FALSE(synthetic_intact(a));
  }
}

TEST(Payload, KnownBytesDoNotMove) {
  std::vector<std::uint8_t> out;
  synthetic({1, 2, "berth/7", 0, 1, 1}, 16, out);
  EXPECT_EQ(out, (std::vector<std::uint8_t>{0xA9, 0x53, 0x44, 0xAE, 0x19, 0xB1, 0x03, 0x52, 0x1C, 0xEC, 0x3F, 0x46,
                                            0xAE, 0x8E, 0x35, 0xE7}));
  const plan::Plan plan = plan_of(load_of(plan::LoadKind::fleet), 1);
  const auto report = bytes_of(workload_of(plan), 0, 1, 1);
  EXPECT_EQ(std::string(report.begin(), report.end()), "!AIVDM,1,1,,A,13A6bFP01CPch5rPCuv1eAH<08P:,0*6A\r\n");
}

TEST(Replay, KeepsItsOwnTimingMessagesAndParts) {
  plan::Load load = load_of(plan::LoadKind::replay);
  load.sha256 = "";
  const plan::Plan plan = plan_of(load, 1);
  const Workload workload = workload_of(plan);
  const auto all = shots(workload, 0);
  ASSERT_EQ(all.size(), 4051u);
  EXPECT_EQ(all.front().intended_ns, 1 * second);
  std::uint64_t two_parts = 0;
  for (const Shot& shot : all) {
    const auto bytes = bytes_of(workload, 0, 1, shot.sequence);
    const std::string text(bytes.begin(), bytes.end());
    EXPECT_TRUE(ais::bits(text));
    two_parts += std::count(text.begin(), text.end(), '!') == 2 ? 1u : 0u;
  }
  EXPECT_EQ(two_parts, 449u);
  ASSERT_EQ(workload.notes().size(), 1u);
  EXPECT_NE(workload.notes()[0].text.find("4051 messages (449 of several sentences)"), std::string::npos);

  plan::Plan faster = plan;
  faster.loads[0].speed_permille = 4000;
  const auto quick = shots(workload_of(faster), 0);
  ASSERT_EQ(quick.size(), 4051u);
  EXPECT_EQ(quick.back().intended_ns - second, (all.back().intended_ns - second) / 4);
}

TEST(Make, RefusesWhatItCannotHonour) {
  const auto cause = [](const plan::Plan& plan) {
    const auto workload = Workload::make(plan, data_folder);
    return workload ? std::string("accepted") : workload.error().text();
  };
  plan::Load load = load_of(plan::LoadKind::periodic);
  load.size_bytes = 15;
  EXPECT_EQ(cause(plan_of(load, 1)), "/loads/0/size_bytes: must be at least 16");
  load = load_of(plan::LoadKind::poisson);
  load.interval_ns = 0;
  EXPECT_EQ(cause(plan_of(load, 1)), "/loads/0/interval_ns: must be above 0");
  load = load_of(plan::LoadKind::fleet);
  load.lanes = {{{1, 1}, {1, 1}}};
  EXPECT_EQ(cause(plan_of(load, 1)), "/loads/0/lanes/0: needs two points a metre apart or more");
  load = load_of(plan::LoadKind::replay);
  load.sha256 = std::string(64, '0');
  EXPECT_NE(cause(plan_of(load, 1)).find("where the plan asks for 0000"), std::string::npos);
  load.file = "missing.txt";
  const plan::Plan missing = plan_of(load, 1);
  const auto none = Workload::make(missing, data_folder);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Exit::cannot);
  plan::Plan twice = plan_of(load_of(plan::LoadKind::periodic), 2);
  twice.streams[1] = twice.streams[0];
  twice.streams[1].index = 1;
  EXPECT_EQ(cause(twice),
            "/streams/1: a process publishes a topic in one stream at most: sequences count per (publisher, topic)");
}

}  // namespace
}  // namespace portolan::load
