// Tables of names: they are bounded, differ from broker to broker, and are given back.
#include <gtest/gtest.h>

#include "broker/testing/world.hpp"

namespace portolan::broker::testing {
namespace {

// A broker used to hold each (topic, publisher, incarnation) for its life, and to die slowly of clients that restart.
TEST(Tables, ManyRestartsOfAClientUseUpNothing) {
  WorldOptions options;
  options.broker_limits.streams = 16;
  options.retain_ns = 200 * kMilli;
  World w(1, options);
  const auto a = w.broker("a"), b = w.broker("b");
  const auto pub = w.client(a, "pub"), sub = w.client(b, "sub");
  w.subscribe(sub, "t/#");
  ASSERT_TRUE(w.run_until([&] { return w.subscribed(sub, "t/#"); }, 5 * kSecond));
  for (int life = 0; life < 60; ++life) {
    for (int i = 0; i < 3; ++i) {
      w.publish(pub, "t/1");
      w.publish(pub, "t/2");
      w.run_for(100 * kMilli);
    }
    w.restart(pub);
    w.run_for(300 * kMilli);
  }
  EXPECT_TRUE(w.settle());
  EXPECT_EQ(w.verdict(), "");
  EXPECT_EQ(w.deliveries(sub), 60u * 6);
  EXPECT_EQ(w.engine(a).counters().refused[static_cast<int>(RefuseReason::bad_topic)], 0u);
  EXPECT_GT(w.engine(a).counters().streams_given_back, 80u);
  EXPECT_GT(w.engine(b).counters().streams_given_back, 80u);
}

// The last of an incarnation that was given back is told to whoever comes late, not waited for.
TEST(Tables, WhoComesBackAfterAStreamWasGivenBackIsToldTheGap) {
  WorldOptions options;
  options.retain_ns = 200 * kMilli;
  options.detach_ns = 2 * kSecond;
  World w(2, options);
  const auto a = w.broker("a");
  const auto pub = w.client(a, "pub"), sub = w.client(a, "sub");
  w.oracle().allow_gaps();
  w.subscribe(sub, "t/#");
  ASSERT_TRUE(w.run_until([&] { return w.subscribed(sub, "t/#"); }, 5 * kSecond));
  for (int i = 0; i < 5; ++i) w.publish(pub, "t/1");
  w.run_for(kSecond);
  w.cut(sub, a);
  for (int i = 0; i < 5; ++i) w.publish(pub, "t/1");
  w.run_for(4 * kSecond);  // detached
  for (int life = 0; life < 3; ++life) {
    w.restart(pub);
    for (int i = 0; i < 5; ++i) w.publish(pub, "t/1");
    w.run_for(3 * kSecond);
  }
  w.heal(sub, a);
  w.run_for(5 * kSecond);
  w.publish(pub, "t/1");
  EXPECT_TRUE(w.settle());
  EXPECT_EQ(w.verdict(), "");
  EXPECT_EQ(w.deliveries(sub), 6u);
  EXPECT_GT(w.oracle().totals().gaps, 0u);
}

TEST(Tables, TopicsAreGivenBackToo) {
  WorldOptions options;
  options.broker_limits.topics = 16;
  options.retain_ns = 100 * kMilli;
  World w(3, options);
  const auto a = w.broker("a"), b = w.broker("b");
  const auto sub = w.client(b, "sub");
  w.subscribe(sub, "t/#");
  ASSERT_TRUE(w.run_until([&] { return w.subscribed(sub, "t/#"); }, 5 * kSecond));
  for (int i = 0; i < 50; ++i) {
    const auto guest = w.client(a, "guest" + std::to_string(i));
    w.run_for(200 * kMilli);
    w.publish(guest, "t/" + std::to_string(i));
    w.run_for(kSecond);
    w.kill(guest);
    w.run_for(2 * kSecond);
  }
  EXPECT_TRUE(w.settle());
  EXPECT_EQ(w.verdict(), "");
  EXPECT_EQ(w.deliveries(sub), 50u);
  EXPECT_GT(w.engine(a).counters().topics_given_back, 20u);
}

// Aliases used to be places in the sender's tables, which a leaf with smaller ones refused.
TEST(Tables, ALeafWithSmallTablesWorksUnderAHubWithLargeOnes) {
  WorldOptions options;
  options.leaf_limits.topics = 8;
  options.leaf_limits.streams = 8;
  World w(4, options);
  const auto hub = w.broker("hub"), small = w.broker("small"), large = w.broker("large");
  w.leaf(small, hub, hub);
  const auto sub = w.client(small, "sub"), pub = w.client(large, "pub");
  for (int i = 0; i < 40; ++i) w.publish(pub, "t/" + std::to_string(i));
  w.subscribe(sub, "t/37");
  w.subscribe(sub, "t/39");
  ASSERT_TRUE(w.run_until([&] { return w.subscribed(sub, "t/37") && w.subscribed(sub, "t/39"); }, 5 * kSecond));
  for (int i = 0; i < 40; ++i) w.publish(pub, "t/" + std::to_string(i));
  EXPECT_TRUE(w.settle());
  EXPECT_EQ(w.verdict(), "");
  EXPECT_EQ(w.deliveries(sub), 2u);
}

// It was promised what it could not be told of, and waited for that in vain. (And that the table is full is remembered,
// so that it is not looked through for each message; but not for longer than it is.)
TEST(Tables, ASubscriberWithAFullTableHasRoomAgainWhenItGivesUpATopic) {
  WorldOptions options;
  options.client_limits.streams = 4;
  World w(5, options);
  const Node a = w.broker("a");
  const Node pub = w.client(a, "pub"), sub = w.client(a, "sub");
  w.subscribe(sub, "x/#");
  w.subscribe(sub, "late/#");
  w.run_for(kSecond);
  for (int i = 0; i < 4; ++i) w.publish(pub, "x/" + std::to_string(i));
  w.run_for(kSecond);
  for (int i = 0; i < 3; ++i) w.publish(pub, "late/1");
  w.run_for(kSecond);
  EXPECT_EQ(w.deliveries(sub), 4u);
  EXPECT_GE(w.engine(a).counters().aliases_short, 3u);
  w.unsubscribe(sub, "x/#");
  w.run_for(kSecond);
  for (int i = 0; i < 3; ++i) w.publish(pub, "late/1");
  w.run_for(kSecond);
  EXPECT_EQ(w.deliveries(sub), 4u + 3u);
  EXPECT_EQ(w.oracle().totals().received, 4u + 6u);
}

}  // namespace
}  // namespace portolan::broker::testing
