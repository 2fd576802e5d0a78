// Who may publish and subscribe what, end to end: a key beyond its permissions gets nothing, hears why, and disturbs
// nobody; and what it may do goes on meanwhile.
#include <gtest/gtest.h>

#include "broker/testing/world.hpp"

namespace portolan::broker::testing {
namespace {

constexpr std::uint8_t kBoth = kMayPublish | kMaySubscribe;

struct Port {
  Port() {
    a = w.broker("a");
    b = w.broker("b");
    master = w.client(a, "master");  // everything
    ship = w.client(a, "ship");      // publishes positions, reads orders
    viewer = w.client(b, "viewer");  // reads positions of one level
    nobody = w.client(b, "nobody");  // its key has no rule
    w.permit(master, "#", kBoth);
    w.permit(ship, "position/#", kMayPublish);
    w.permit(ship, "orders", kMaySubscribe);
    w.permit(viewer, "position/+", kMaySubscribe);
  }
  bool wait_for(Node who, const char* filter) {
    return w.run_until([&] { return w.subscribed(who, filter); }, 5 * kSecond);
  }
  World w{1};
  Node a, b, master, ship, viewer, nobody;
};

TEST(Permissions, WhatIsPermittedGoesThroughAcrossBrokers) {
  Port p;
  p.w.subscribe(p.viewer, "position/+");
  p.w.subscribe(p.ship, "orders");
  p.w.subscribe(p.master, "position/#");
  ASSERT_TRUE(p.wait_for(p.viewer, "position/+") && p.wait_for(p.ship, "orders") && p.wait_for(p.master, "position/#"));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(p.w.publish(p.ship, "position/1").refused, RefuseReason::none);
    EXPECT_EQ(p.w.publish(p.master, "orders").refused, RefuseReason::none);
    p.w.run_for(10 * kMilli);
  }
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.viewer), 10u);
  EXPECT_EQ(p.w.deliveries(p.ship), 10u);
  EXPECT_EQ(p.w.deliveries(p.master), 10u);
  for (const Node broker : {p.a, p.b}) {
    EXPECT_EQ(p.w.engine(broker).counters().denied_publish + p.w.engine(broker).counters().denied_subscribe, 0u);
  }
}

TEST(Permissions, WhatIsPublishedBeyondThemIsRefusedAndReachesNobody) {
  Port p;
  p.w.subscribe(p.master, "#");
  ASSERT_TRUE(p.wait_for(p.master, "#"));
  for (int i = 0; i < 5; ++i) {
    p.w.publish(p.ship, "orders");  // it may read this, not write it
    p.w.publish(p.ship, "elsewhere", i == 0 ? 200'000 : 100);
    p.w.publish(p.nobody, "position/1");  // another's topic
    p.w.publish(p.ship, "position/2");
    p.w.run_for(50 * kMilli);
  }
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.oracle().totals().refused, 15u);
  EXPECT_EQ(p.w.deliveries(p.master), 5u);
  const EngineCounters& a = p.w.engine(p.a).counters();
  EXPECT_EQ(a.refused[static_cast<std::uint32_t>(RefuseReason::permission)], 10u);
  EXPECT_EQ(a.denied_publish, 2u);  // when they were named, not with each message
  EXPECT_EQ(p.w.engine(p.b).counters().refused[static_cast<std::uint32_t>(RefuseReason::permission)], 5u);
  EXPECT_EQ(p.w.denied(p.a, "orders"), 1u);
  EXPECT_EQ(p.w.denied(p.a, "elsewhere"), 1u);
  EXPECT_EQ(p.w.denied(p.b, "position/1"), 1u);
}

TEST(Permissions, AFilterBeyondThemIsDeniedAndNothingComes) {
  Port p;
  const char* filters[] = {"#", "position/#", "position/+/deep", "orders", "+/1"};
  for (const char* filter : filters) p.w.subscribe(p.viewer, filter);  // amid the first snapshot
  p.w.subscribe(p.nobody, "position/1");
  p.w.run_for(500 * kMilli);
  for (const char* filter : filters) {
    EXPECT_EQ(p.w.denied(p.viewer, filter), 1u) << filter;
    EXPECT_EQ(p.w.denied(p.b, filter), 1u) << filter;
    EXPECT_FALSE(p.w.subscribed(p.viewer, filter)) << filter;
  }
  EXPECT_EQ(p.w.denied(p.nobody, "position/1"), 1u);
  p.w.subscribe(p.viewer, "orders");  // and as a change
  p.w.subscribe(p.viewer, "position/1");
  ASSERT_TRUE(p.wait_for(p.viewer, "position/1"));
  EXPECT_EQ(p.w.denied(p.viewer, "orders"), 2u);
  for (int i = 0; i < 10; ++i) {
    p.w.publish(p.master, "orders");
    p.w.publish(p.ship, "position/1");
    p.w.publish(p.ship, "position/1/deep");
    p.w.run_for(10 * kMilli);
  }
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.viewer), 10u);
  EXPECT_EQ(p.w.deliveries(p.nobody), 0u);
  EXPECT_EQ(p.w.engine(p.b).counters().denied_subscribe, 7u);
  // Both ends hold the same interest: nothing to be mended, however long.
  p.w.run_for(10 * kSecond);
  EXPECT_EQ(p.w.engine(p.b).counters().interest_mended, 0u);
  EXPECT_EQ(p.w.engine(p.b).counters().denied_subscribe, 7u);
  EXPECT_EQ(p.w.client_engine(p.viewer).counters().bad_control, 0u);
}

// A session that begins anew asks only for what was permitted: what was denied is not asked for again by itself.
TEST(Permissions, AfterAReconnectWhatIsPermittedComesBackAndNothingElse) {
  Port p;
  p.w.subscribe(p.viewer, "position/1");
  p.w.subscribe(p.viewer, "orders");
  ASSERT_TRUE(p.wait_for(p.viewer, "position/1"));
  p.w.publish(p.ship, "position/1");
  p.w.restart(p.b);
  p.w.run_for(2 * kSecond);
  p.w.publish(p.ship, "position/1");
  p.w.publish(p.master, "orders");
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.viewer), 2u);
  EXPECT_EQ(p.w.denied(p.viewer, "orders"), 1u);
  EXPECT_EQ(p.w.engine(p.b).counters().denied_subscribe, 0u);  // of its second life
}

TEST(Permissions, WithoutAnyRuleEveryKeyMayDoEverything) {
  World w(2);
  const Node a = w.broker("a");
  const Node one = w.client(a, "one");
  w.subscribe(one, "#");
  ASSERT_TRUE(w.run_until([&] { return w.subscribed(one, "#"); }, 5 * kSecond));
  w.publish(one, "x");
  EXPECT_TRUE(w.settle());
  EXPECT_EQ(w.deliveries(one), 1u);
}

}  // namespace
}  // namespace portolan::broker::testing
