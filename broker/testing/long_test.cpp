// Long messages across brokers: on all their hops at once, whole or not at all, beside everything else.
#include <gtest/gtest.h>

#include "broker/testing/world.hpp"

namespace portolan::broker::testing {
namespace {

constexpr std::uint32_t kMiB = 1u << 20;

WorldOptions long_options(std::uint32_t longest = 16 * kMiB) {
  WorldOptions o;
  o.rate_bps = o.first_bps = 80'000'000;  // 1 MiB takes 105 ms on each hop
  const std::uint32_t slots = longest / 65'488 + 1;
  for (Limits* l : {&o.broker_limits, &o.client_limits}) {
    l->message_bytes_max = longest;
    l->large_slots = 3 * slots;
    l->small_blocks = longest / l->small_block_bytes + 8'192;
    l->grants_per_class = 16;
  }
  return o;
}

struct Line {  // two brokers, two publishers at the first, a subscriber at each
  explicit Line(std::uint64_t seed, const WorldOptions& options = long_options()) : w(seed, options) {
    a = w.broker("a");
    b = w.broker("b");
    pub = w.client(a, "pub");
    other = w.client(a, "other");
    near = w.client(a, "near");
    sub = w.client(b, "sub");
    for (const Node n : {near, sub}) {
      w.subscribe(n, "chart/#");
      w.subscribe(n, "ais/#");
    }
    standing = w.run_until([this] { return w.subscribed(sub, "ais/#") && w.subscribed(near, "ais/#"); }, 5 * kSecond);
  }
  bool publish(std::uint32_t bytes, Lane lane = Lane::bulk, std::string_view topic = "chart/1") {
    return w.publish(pub, topic, bytes, lane).refused == RefuseReason::none;
  }
  // Until the far broker's client has been sent some of it.
  bool under_way() {
    return w.run_until([this] { return w.engine(b).counters().sent_through > 0; }, kSecond);
  }
  World w;
  Node a, b, pub, other, near, sub;
  bool standing = false;
};

TEST(Long, AMebibyteIsOnItsThreeHopsAtOnce) {
  Line l(1);
  ASSERT_TRUE(l.standing);
  const std::uint64_t from = l.w.now();
  ASSERT_TRUE(l.publish(kMiB));
  EXPECT_TRUE(l.w.run_until([&] { return l.w.deliveries(l.sub) == 1; }, 5 * kSecond));
  const std::uint64_t took = l.w.latest_delivery_ns(l.sub) - from;
  EXPECT_TRUE(l.w.settle(5 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.engine(l.a).counters().sent_through, 2u);
  EXPECT_EQ(l.w.engine(l.b).counters().sent_through, 1u);
  std::printf("1 MiB over three hops: %.1f ms\n", static_cast<double>(took) / 1e6);
  EXPECT_LT(took, 2 * 105 * kMilli);  // stored and forwarded: more than three times 105 ms
}

TEST(Long, SixteenMebibytesArriveWhole) {
  Line l(2);
  ASSERT_TRUE(l.standing);
  const std::uint64_t from = l.w.now();
  ASSERT_TRUE(l.publish(16 * kMiB));
  EXPECT_TRUE(l.w.run_until([&] { return l.w.deliveries(l.sub) == 1; }, 20 * kSecond));
  const std::uint64_t took = l.w.latest_delivery_ns(l.sub) - from;
  std::printf("16 MiB over three hops: %.1f ms\n", static_cast<double>(took) / 1e6);
  EXPECT_LT(took, 2'000 * kMilli);  // 1,678 ms on each
  EXPECT_TRUE(l.w.settle(5 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.deliveries(l.near), 1u);
}

// Their order in the log is that of becoming whole; the numbers under which they left were given before.
TEST(Long, OthersOfTheSameTopicAndLaneGoOnMeanwhile) {
  Line l(3);
  ASSERT_TRUE(l.standing);
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(l.publish(kMiB, Lane::realtime));
    for (int i = 0; i < 40; ++i) {
      l.w.publish(l.other, "chart/1", 100, Lane::realtime);
      l.w.publish(l.other, "ais/1", 100, Lane::realtime);
      if (i % 10 == 5) l.publish(500, Lane::realtime);
      l.w.run_for(5 * kMilli);
    }
  }
  EXPECT_TRUE(l.w.settle(10 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.deliveries(l.sub), 5u * (1 + 40 + 40 + 4));
  EXPECT_GE(l.w.engine(l.a).counters().sent_through, 8u);
}

TEST(Long, OneAfterTheOtherTheyAreAllOnTheirWayAtOnce) {
  Line l(4);
  ASSERT_TRUE(l.standing);
  const std::uint64_t from = l.w.now();
  int published = 0;
  while (published < 8 && l.w.now() - from < 5 * kSecond) {
    published += l.publish(kMiB) ? 1 : 0;
    l.w.run_for(10 * kMilli);
  }
  EXPECT_TRUE(l.w.run_until([&] { return l.w.deliveries(l.sub) == 8; }, 5 * kSecond));
  const std::uint64_t took = l.w.latest_delivery_ns(l.sub) - from;
  std::printf("8 of 1 MiB over three hops: %.1f ms\n", static_cast<double>(took) / 1e6);
  EXPECT_LT(took, 10 * 105 * kMilli);
  EXPECT_TRUE(l.w.settle(5 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
}

// The lane's `delivered` is one number: until the message that trickles was whole, a minute later, nobody behind it
// heard *received*, and a lane full of those took nothing more.
TEST(Long, OneThatTricklesDoesNotPutOffTheAnswersOfOthers) {
  WorldOptions options = long_options(kMiB);
  options.first_bps = 0;
  options.broker_limits.window_messages = 256;
  Line l(10, options);
  ASSERT_TRUE(l.standing);
  l.w.network().path(l.pub, l.a).rate_bps = 200'000;  // 42 s
  ASSERT_TRUE(l.publish(kMiB, Lane::realtime));
  std::uint64_t unanswered = 0, undelivered = 0;
  for (std::uint64_t i = 0; i < 5'000; ++i) {
    l.w.publish(l.other, "ais/1", 100, Lane::realtime);
    l.w.run_for(5 * kMilli);
    const Oracle::Totals& totals = l.w.oracle().totals();
    unanswered = std::max(unanswered, totals.published - totals.received);
    undelivered = std::max(undelivered, i + 1 - l.w.deliveries(l.sub));
  }
  EXPECT_EQ(l.w.oracle().totals().accepted, 5'000u);
  EXPECT_GE(l.w.engine(l.a).counters().through_taken_back, 2u);
  EXPECT_LE(unanswered, 1u + 700 / 5);  // half a second, and the way there and back
  EXPECT_LE(undelivered, 10u);
  EXPECT_TRUE(l.w.settle(60 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.deliveries(l.sub), 5'001u);
  EXPECT_EQ(l.w.oracle().totals().gaps, 0u);
}

// Never accepted, so nothing is owed; what is held of it anywhere goes, and nobody sees a part.
TEST(Long, APublisherThatDiesInTheMiddleLeavesNothingBehind) {
  Line l(5);
  ASSERT_TRUE(l.standing);
  ASSERT_TRUE(l.publish(4 * kMiB));
  ASSERT_TRUE(l.under_way());
  l.w.kill(l.pub);
  l.w.run_for(3 * kSecond);
  EXPECT_EQ(l.w.deliveries(l.sub), 0u);
  EXPECT_GE(l.w.engine(l.a).counters().through_broken, 2u);
  EXPECT_GE(l.w.engine(l.b).counters().through_broken, 1u);
  for (int i = 0; i < 20; ++i) l.w.publish(l.other, "chart/1", 200 * 1024, Lane::bulk), l.w.run_for(50 * kMilli);
  EXPECT_TRUE(l.w.settle(5 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.deliveries(l.sub), 20u);
  EXPECT_EQ(l.w.oracle().totals().gaps, 0u);
}

TEST(Long, APublisherThatLosesItsSessionInTheMiddleOffersItAgain) {
  Line l(6);
  ASSERT_TRUE(l.standing);
  ASSERT_TRUE(l.publish(4 * kMiB));
  ASSERT_TRUE(l.under_way());
  l.w.cut(l.pub, l.a);
  l.w.run_for(3 * kSecond);
  EXPECT_GE(l.w.engine(l.b).counters().through_broken, 1u);
  l.w.heal(l.pub, l.a);
  EXPECT_TRUE(l.w.settle(10 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.deliveries(l.sub), 1u);
  EXPECT_EQ(l.w.deliveries(l.near), 1u);
}

TEST(Long, TheBrokersLoseEachOtherInTheMiddle) {
  Line l(7);
  ASSERT_TRUE(l.standing);
  ASSERT_TRUE(l.publish(4 * kMiB));
  ASSERT_TRUE(l.under_way());
  l.w.cut(l.a, l.b);
  l.w.run_for(3 * kSecond);
  EXPECT_EQ(l.w.deliveries(l.near), 1u);
  l.w.heal(l.a, l.b);
  EXPECT_TRUE(l.w.settle(10 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.deliveries(l.sub), 1u);
}

TEST(Long, TheHomeBrokerDiesInTheMiddle) {
  Line l(8);
  ASSERT_TRUE(l.standing);
  ASSERT_TRUE(l.publish(4 * kMiB));
  ASSERT_TRUE(l.under_way());
  l.w.kill(l.a);
  l.w.run_for(kSecond);
  l.w.restart(l.a);
  EXPECT_TRUE(l.w.settle(30 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.deliveries(l.sub), 1u);
}

TEST(Long, TheFarBrokerDiesInTheMiddle) {
  Line l(9);
  ASSERT_TRUE(l.standing);
  ASSERT_TRUE(l.publish(4 * kMiB));
  ASSERT_TRUE(l.under_way());
  l.w.kill(l.b);
  l.w.run_for(kSecond);
  l.w.restart(l.b);
  EXPECT_TRUE(l.w.settle(30 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.deliveries(l.sub), 1u);
}

TEST(Long, ASubscriberThatStandsStillInTheMiddleHoldsUpNobody) {
  Line l(10);
  ASSERT_TRUE(l.standing);
  ASSERT_TRUE(l.publish(4 * kMiB));
  ASSERT_TRUE(l.under_way());
  l.w.pause(l.near);
  EXPECT_TRUE(l.w.run_until([&] { return l.w.deliveries(l.sub) == 1; }, kSecond));
  l.w.resume(l.near);
  EXPECT_TRUE(l.w.settle(10 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.deliveries(l.near), 1u);
}

TEST(Long, LossAndReorderingInTheMiddleLoseNothing) {
  Line l(11);
  ASSERT_TRUE(l.standing);
  for (const auto& [from, to] : {std::pair{l.pub, l.a}, std::pair{l.a, l.b}, std::pair{l.b, l.sub}}) {
    l.w.both(from, to, [](Path& path) {
      path.loss = 10'000;
      path.reorder = 20'000;
      path.duplicate = 10'000;
      path.corrupt = 1'000;
    });
  }
  for (int i = 0; i < 6; ++i) {
    l.publish(kMiB, i % 2 == 0 ? Lane::bulk : Lane::realtime, i % 2 == 0 ? "chart/1" : "chart/2");
    l.w.run_for(300 * kMilli);
  }
  EXPECT_TRUE(l.w.settle(20 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.oracle().totals().received, l.w.oracle().totals().published);
}

// Room for one at a time. The second is refused at its first segment, whole, and with a time; nothing waits for ever.
TEST(Long, WhereThereIsNoMemoryForAllOfItThePublisherHearsSoAtItsFirstSegment) {
  WorldOptions options = long_options(4 * kMiB);
  options.broker_limits.large_slots = 24;
  options.broker_limits.small_blocks = 9'000;
  options.rate_bps = options.first_bps = 20'000'000;  // 4 MiB take 1.7 s
  Line l(12, options);
  ASSERT_TRUE(l.standing);
  ASSERT_TRUE(l.publish(4 * kMiB));
  ASSERT_EQ(l.w.publish(l.other, "chart/2", 4 * kMiB, Lane::bulk).refused, RefuseReason::none);
  EXPECT_TRUE(l.w.run_until([&] { return l.w.oracle().totals().refused == 1; }, kSecond));
  EXPECT_TRUE(l.w.settle(20 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.deliveries(l.sub), 1u);
  ASSERT_TRUE(l.publish(4 * kMiB));  // what is only retained gives way
  EXPECT_TRUE(l.w.settle(20 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.deliveries(l.sub), 2u);
}

// It waits for its own room: that another of the session's finds some says nothing of it.
TEST(Long, AMessageThatFindsNoMemoryIsRefusedInTimeThoughOthersOfItsSenderBegin) {
  WorldOptions options = long_options(4 * kMiB);
  options.broker_limits.large_slots = 24;
  options.broker_limits.small_blocks = 9'000;
  options.rate_bps = options.first_bps = 20'000'000;
  Line l(14, options);
  ASSERT_TRUE(l.standing);
  ASSERT_TRUE(l.publish(4 * kMiB));
  ASSERT_EQ(l.w.publish(l.other, "chart/2", 4 * kMiB, Lane::bulk).refused, RefuseReason::none);
  for (int i = 0; i < 50 && l.w.oracle().totals().refused == 0; ++i) {
    ASSERT_EQ(l.w.publish(l.other, "log/1", 3'000, Lane::realtime).refused, RefuseReason::none);
    l.w.run_for(20 * kMilli);
  }
  EXPECT_EQ(l.w.oracle().totals().refused, 1u);
  EXPECT_TRUE(l.w.settle(20 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
}

TEST(Long, AMessageOfARefusedTopicThatFindsNoMemoryIsRefusedTooInsteadOfWaiting) {
  WorldOptions options = long_options(4 * kMiB);
  options.broker_limits.large_slots = 24;
  options.broker_limits.small_blocks = 9'000;
  options.broker_limits.topics = 1;
  options.rate_bps = options.first_bps = 20'000'000;
  Line l(15, options);
  ASSERT_TRUE(l.standing);
  ASSERT_TRUE(l.publish(4 * kMiB));
  l.w.run_for(100 * kMilli);
  ASSERT_EQ(l.w.publish(l.other, "chart/2", 4 * kMiB, Lane::bulk).refused, RefuseReason::none);
  EXPECT_TRUE(l.w.run_until([&] { return l.w.oracle().totals().refused == 1; }, kSecond));
  EXPECT_EQ(l.w.engine(l.a).counters().refused[static_cast<int>(RefuseReason::bad_topic)], 1u);
  EXPECT_TRUE(l.w.settle(20 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.deliveries(l.sub), 1u);
}

// Each left its place in the table taken for as long as the log kept it.
TEST(Long, ManyThatNobodyWantsDoNotKeepLaterOnesFromGoingOnAtOnce) {
  WorldOptions options = long_options();
  options.retain_bytes = 0;
  Line l(16, options);
  ASSERT_TRUE(l.standing);
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(l.publish(200 * 1024, Lane::bulk, "log/1"));
    l.w.run_for(50 * kMilli);
  }
  ASSERT_EQ(l.w.engine(l.a).counters().sent_through, 0u);
  ASSERT_TRUE(l.publish(kMiB));
  EXPECT_TRUE(l.w.settle(5 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
  EXPECT_EQ(l.w.engine(l.a).counters().sent_through, 2u);
}

TEST(Long, ALateJoinerGetsWhatIsRetained) {
  WorldOptions options = long_options();
  options.retain_bytes = 0;
  Line l(13, options);
  ASSERT_TRUE(l.standing);
  ASSERT_TRUE(l.publish(4 * kMiB));
  EXPECT_TRUE(l.w.settle(10 * kSecond));
  const Node late = l.w.client(l.b, "late");
  l.w.subscribe(late, "chart/#", ReplayMode::retained);
  EXPECT_TRUE(l.w.run_until([&] { return l.w.deliveries(late) == 1; }, 5 * kSecond));
  EXPECT_TRUE(l.w.settle(10 * kSecond));
  EXPECT_EQ(l.w.verdict(), "");
}

}  // namespace
}  // namespace portolan::broker::testing
