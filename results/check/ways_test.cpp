// Which links a fault must hit to excuse anything between two hosts.
#include "results/check/ways.hpp"

#include <gtest/gtest.h>

#include "results/testdata/honest_run.hpp"

namespace portolan::check {
namespace {

using honest::kMs;
using honest::kSecond;

constexpr Index kBerlin = 0, kHamburg = 1, kRotterdam = 2;  // edges

// The star, and a slow third side from hamburg to rotterdam.
plan::Plan triangle() {
  plan::Plan plan = honest::small_plan();
  plan::Link third;
  third.name = "hamburg--rotterdam";
  third.a = kHamburg;
  third.b = kRotterdam;
  third.a_to_b.delay_ns = third.b_to_a.delay_ns = kSecond;
  plan.links.push_back(third);
  plan.faults = {honest::cut(plan, "hamburg", 4 * kSecond, 6 * kSecond)};
  return plan;
}

std::vector<Effect> as_planned(const plan::Plan& plan) {
  std::vector<Effect> out;
  for (const plan::Fault& f : plan.faults)
    out.push_back({f.at_ns, f.until_ns > 0 ? std::optional(f.until_ns) : std::nullopt});
  return out;
}

std::string shown(const Intervals& intervals) {
  std::string out;
  for (const Interval& i : intervals) {
    out += std::to_string(i.from / kMs) + "-" + (i.to == kNever ? "" : std::to_string(i.to / kMs)) + " ";
  }
  return out;
}

TEST(Ways, ACutIsFeltUntilPathsHaveChangedAndWhileTheyChangeBack) {
  const plan::Plan plan = triangle();
  const auto effects = as_planned(plan);
  Ways ways(plan, effects);
  EXPECT_EQ(shown(ways.down(kHamburg, kBerlin)), "4000-4100 6000-6100 ");
  EXPECT_EQ(shown(ways.down(kBerlin, kHamburg)), "4000-4100 6000-6100 ");
  EXPECT_EQ(shown(ways.down(kRotterdam, kBerlin)), "");
}

TEST(Ways, WithoutAnotherWayACutLastsUntilPathsAreBack) {
  plan::Plan plan = triangle();
  plan.links.pop_back();
  const auto effects = as_planned(plan);
  Ways ways(plan, effects);
  EXPECT_EQ(shown(ways.down(kHamburg, kBerlin)), "4000-6100 ");
  EXPECT_EQ(shown(ways.down(kHamburg, kRotterdam)), "4000-6100 ");
  EXPECT_EQ(shown(ways.down(kRotterdam, kBerlin)), "");
}

TEST(Ways, ADegradedLinkCountsForThoseWhoseWayGoesOverIt) {
  plan::Plan plan = triangle();
  plan.faults[0].kind = plan::FaultKind::degrade;
  plan.faults[0].replaces = {"loss"};
  const auto effects = as_planned(plan);
  Ways ways(plan, effects);
  EXPECT_TRUE(ways.crosses(0, kHamburg, kBerlin));
  EXPECT_TRUE(ways.crosses(0, kRotterdam, kHamburg));
  EXPECT_FALSE(ways.crosses(0, kRotterdam, kBerlin));
  EXPECT_EQ(shown(ways.down(kHamburg, kBerlin)), "");
}

TEST(Ways, ADegradedLinkThatLosesAllIsDownForRoutingNeverLearnsOfIt) {
  plan::Plan plan = triangle();
  plan.faults[0].kind = plan::FaultKind::degrade;
  plan.faults[0].replaces = {"loss"};
  plan.faults[0].impairments.loss.kind = plan::LossKind::uniform;
  plan.faults[0].impairments.loss.probability = 1'000'000'000;
  const auto effects = as_planned(plan);
  Ways ways(plan, effects);
  EXPECT_EQ(shown(ways.down(kHamburg, kBerlin)), "4000-6000 ");
}

TEST(Ways, ServiceHostsDoNotForward) {
  const plan::Plan plan = triangle();
  const auto effects = as_planned(plan);
  Ways ways(plan, effects);
  EXPECT_EQ(shown(ways.down(4, 3)), "4000-4100 6000-6100 ");  // hamburg/blue, berlin/blue
}

TEST(Ways, LeavesReachEachOtherByTheirHubs) {
  plan::Plan plan = honest::small_plan();
  using plan::PeerRole;
  // Two more brokers, so that berlin and rotterdam are hubs, hamburg berlin's leaf, the two new ones rotterdam's.
  const auto role = [&](Index process, std::vector<Index> peers, std::vector<PeerRole> roles) {
    plan.processes[process].peers = std::move(peers);
    plan.processes[process].peer_roles = std::move(roles);
  };
  const auto leaf = static_cast<Index>(plan.processes.size());
  plan.processes.push_back(plan.processes[1]);
  plan.processes.push_back(plan.processes[1]);
  role(0, {1, 2}, {PeerRole::leaf, PeerRole::mesh});
  role(1, {0, 2}, {PeerRole::hub, PeerRole::standby});
  role(2, {0, leaf, leaf + 1}, {PeerRole::mesh, PeerRole::leaf, PeerRole::leaf});
  role(leaf, {2, 0}, {PeerRole::hub, PeerRole::standby});
  role(leaf + 1, {2}, {PeerRole::hub});
  using Way = std::vector<Index>;
  EXPECT_EQ(plan::broker_way(plan, 1, 1), (Way{1}));
  EXPECT_EQ(plan::broker_way(plan, 0, 2), (Way{0, 2}));
  EXPECT_EQ(plan::broker_way(plan, 1, leaf + 1), (Way{1, 0, 2, leaf + 1}));
  EXPECT_EQ(plan::broker_way(plan, leaf, leaf + 1), (Way{leaf, 2, leaf + 1}));
  EXPECT_EQ(plan::broker_way(plan, leaf + 1, 0), (Way{leaf + 1, 2, 0}));
  // A session to the standby stands idle while the hub lives: nothing goes over it.
  EXPECT_EQ(plan::broker_way(plan, 1, 2), (Way{1, 0, 2}));
  EXPECT_EQ(plan::broker_way(plan, 0, leaf), (Way{0, 2, leaf}));
}

}  // namespace
}  // namespace portolan::check
