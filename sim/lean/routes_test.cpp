#include "sim/lean/routes.hpp"

#include <gtest/gtest.h>

namespace portolan::sim {
namespace {

plan::Link link_of(const std::string& name, plan::Index a, plan::Index b, plan::Ns delay_ns) {
  plan::Link link;
  link.name = name;
  link.a = a;
  link.b = b;
  link.a_to_b.delay_ns = link.b_to_a.delay_ns = delay_ns;
  return link;
}

// 0 --1 ms-- 1 --1 ms-- 2, and 0 --5 ms-- 2; a service host 3 behind edge 2.
struct Triangle {
  plan::Plan plan;
  std::vector<link::LinkModel> directions;
  explicit Triangle(plan::Fault fault = {}) {
    plan.seed = 1;
    plan.duration_ns = 10'000'000'000;
    plan.nodes.resize(4);
    plan.nodes[3].kind = plan::NodeKind::service;
    plan.links = {link_of("ab", 0, 1, 1'000'000), link_of("bc", 1, 2, 1'000'000), link_of("ac", 0, 2, 5'000'000),
                  link_of("cs", 2, 3, 10'000)};
    if (!fault.links.empty()) plan.faults.push_back(fault);
    for (plan::Index l = 0; l < plan.links.size(); ++l) {
      for (const bool reverse : {false, true}) directions.push_back(*link::LinkModel::make(plan, l, reverse));
    }
  }
};

TEST(Routes, TakeTheShortestDelayNotTheFewestHops) {
  Triangle t;
  Routes routes(t.plan, t.directions);
  EXPECT_EQ(routes.next(0, 3).link, 0u);
  EXPECT_EQ(routes.next(1, 3).link, 1u);
  EXPECT_EQ(routes.next(2, 3).link, 3u);
  EXPECT_EQ(routes.next(3, 0).link, 3u);
  EXPECT_TRUE(routes.next(3, 0).reverse);
}

TEST(Routes, ChangeOnlyWhenConvergedAndAvoidALinkThatIsDownOneWay) {
  plan::Fault cut;
  cut.kind = plan::FaultKind::cut;
  cut.links = {1};
  cut.way = plan::Way::b_to_a;
  cut.at_ns = 1'000'000'000;
  cut.until_ns = 2'000'000'000;
  Triangle t(cut);
  Routes routes(t.plan, t.directions);
  EXPECT_EQ(routes.next(0, 2).link, 0u);
  routes.converge(1'500'000'000);
  EXPECT_EQ(routes.next(0, 2).link, 2u);
  EXPECT_EQ(routes.next(1, 2).link, 0u);  // back through 0
  routes.converge(2'500'000'000);
  EXPECT_EQ(routes.next(0, 2).link, 0u);
  EXPECT_EQ(routes.epoch(), 3u);
}

TEST(Routes, SayWhenThereIsNoPath) {
  plan::Fault cut;
  cut.kind = plan::FaultKind::cut;
  cut.links = {3};
  cut.at_ns = 1;
  Triangle t(cut);
  Routes routes(t.plan, t.directions);
  routes.converge(10);
  EXPECT_EQ(routes.next(0, 3).link, plan::kNone);
  EXPECT_NE(routes.next(0, 2).link, plan::kNone);
}

}  // namespace
}  // namespace portolan::sim
