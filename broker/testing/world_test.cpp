// The real engines together, over the network in memory: first the promises one by one, each with the fault that tests
// it, told in a few lines. Random faults are in chaos_test.cpp.
#include "broker/testing/world.hpp"

#include <gtest/gtest.h>

#include "broker/testing/chaos_search.hpp"

namespace portolan::broker::testing {
namespace {

struct Pair {  // two brokers, a publisher at the first, a subscriber at the second
  explicit Pair(std::uint64_t seed, const WorldOptions& options = {}) : w(seed, options) {
    a = w.broker("a");
    b = w.broker("b");
    pub = w.client(a, "pub");
    sub = w.client(b, "sub");
    w.subscribe(sub, "t/#");
    standing = w.run_until([this] { return w.subscribed(sub, "t/#"); }, 5 * kSecond);
  }
  void publish(int count, std::uint64_t every_ns = 10 * kMilli, std::uint32_t bytes = 100) {
    for (int i = 0; i < count; ++i) {
      w.publish(pub, "t/1", bytes);
      w.run_for(every_ns);
    }
  }
  World w;
  Node a, b, pub, sub;
  bool standing = false;
};

TEST(World, MessagesCrossTwoBrokersInOrderAndAreReceived) {
  Pair p(1);
  ASSERT_TRUE(p.standing);
  p.publish(100);
  EXPECT_TRUE(p.w.settle(5 * kSecond));
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.sub), 100u);
  EXPECT_EQ(p.w.oracle().totals().received, 100u);
}

TEST(World, TheSameSeedGivesTheSameWorldAndAnotherDoesNot) {
  const auto trace = [](std::uint64_t seed) {
    Pair p(seed);
    p.w.both(p.a, p.b, [](Path& path) { path.loss = 50'000; });
    p.publish(50);
    p.w.settle();
    return p.w.trace_hash();
  };
  const std::uint64_t first = trace(7);
  EXPECT_EQ(first, trace(7));
  EXPECT_NE(first, trace(8));
}

TEST(World, LocalSubscribersAndPublishersThemselvesAreServed) {
  World w(2);
  const auto a = w.broker("a");
  const auto one = w.client(a, "one"), two = w.client(a, "two");
  w.subscribe(one, "x");
  w.subscribe(two, "+");
  ASSERT_TRUE(w.run_until([&] { return w.subscribed(one, "x") && w.subscribed(two, "+"); }, 5 * kSecond));
  for (int i = 0; i < 20; ++i) w.publish(one, "x");
  EXPECT_TRUE(w.settle(2 * kSecond));
  EXPECT_EQ(w.verdict(), "");
  EXPECT_EQ(w.deliveries(one), 20u);
  EXPECT_EQ(w.deliveries(two), 20u);
}

TEST(World, LongMessagesArriveWhole) {
  Pair p(3);
  ASSERT_TRUE(p.standing);
  for (const std::uint32_t bytes : {1u, 1'200u, 1'300u, 8'000u, 20'000u, 65'000u, 66'000u, 300'000u}) {
    EXPECT_EQ(p.w.publish(p.pub, "t/long", bytes).refused, RefuseReason::none) << bytes;
    p.w.run_for(200 * kMilli);
  }
  EXPECT_TRUE(p.w.settle(10 * kSecond));
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.sub), 8u);
}

TEST(World, FivePercentLossInBurstsLosesNothing) {
  Pair p(4);
  ASSERT_TRUE(p.standing);
  p.w.both(p.a, p.b, [](Path& path) {
    path.burst_start = 10'000;
    path.burst_ns = 20 * kMilli;
    path.reorder = 20'000;
    path.duplicate = 10'000;
  });
  p.publish(500, 2 * kMilli);
  EXPECT_TRUE(p.w.settle(20 * kSecond));
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.sub), 500u);
  EXPECT_GT(p.w.network().counts().lost, 20u);
}

// Between the brokers a tunnel comes and goes; the network only lets what is too large vanish.
TEST(World, ATunnelThatComesAndGoesUnderTrafficLosesNothing) {
  WorldOptions options;
  options.broker_limits.datagram_bytes = options.client_limits.datagram_bytes = 1'452;
  Pair p(44, options);
  ASSERT_TRUE(p.standing);
  const auto mtu = [&](std::uint32_t bytes) { p.w.both(p.a, p.b, [&](Path& path) { path.mtu = bytes; }); };
  mtu(1'452);
  p.w.run_for(kSecond);
  std::uint64_t sent = 0;
  for (const std::uint32_t bytes : {1'452u, 1'402u, 1'200u, 1'452u, 1'334u, 1'452u}) {
    mtu(bytes);
    for (std::uint64_t i = 0; i < 120; ++i, ++sent) {
      static constexpr std::uint32_t kBytes[] = {100, 1'170, 1'300, 20'000, 1'100, 60};
      EXPECT_EQ(p.w.publish(p.pub, "t/1", kBytes[i % std::size(kBytes)]).refused, RefuseReason::none);
      p.w.run_for(10 * kMilli);
    }
  }
  EXPECT_TRUE(p.w.settle(10 * kSecond));
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.sub), sent);
  EXPECT_EQ(p.w.oracle().totals().gaps, 0u);
  EXPECT_GT(p.w.network().counts().too_large, 20u);
}

// protocol.md: an isolated loss, also of the last packet before silence, adds at most 1.5 RTT + 2 ms.
TEST(World, AnIsolatedLossAddsLittle) {
  Pair p(5);
  ASSERT_TRUE(p.standing);
  p.publish(20);  // round trips are measured
  p.w.run_for(kSecond);
  const std::uint64_t rtt = 2 * 10 * kMilli;
  const auto latency = [&](std::uint32_t lost) {
    const std::uint64_t sent = p.w.now(), before = p.w.deliveries(p.sub);
    p.w.publish(p.pub, "t/1");
    p.w.network().lose_next(p.a, p.b, lost);  // what the home broker sends next
    p.w.run_for(kSecond);
    EXPECT_EQ(p.w.deliveries(p.sub), before + 1);
    p.w.network().lose_next(p.a, p.b, 0);
    return p.w.latest_delivery_ns(p.sub) - sent;
  };
  for (int i = 0; i < 20; ++i) {
    const std::uint64_t plain = latency(0);
    EXPECT_LE(latency(1), plain + rtt + rtt / 2 + 2 * kMilli);
  }
  EXPECT_EQ(p.w.verdict(), "");
}

TEST(World, ACutShorterThanDetachLosesNothing) {
  Pair p(6);
  ASSERT_TRUE(p.standing);
  p.publish(20);
  p.w.cut(p.a, p.b);
  p.publish(200);
  p.w.heal(p.a, p.b);
  p.publish(20);
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.sub), 240u);
  EXPECT_EQ(p.w.oracle().totals().gaps, 0u);
}

TEST(World, AOneWayCutIsNoticedAndMended) {
  for (const bool forward : {true, false}) {
    Pair p(forward ? 7 : 8);
    ASSERT_TRUE(p.standing);
    forward ? p.w.cut_one_way(p.a, p.b) : p.w.cut_one_way(p.b, p.a);
    p.publish(200);
    p.w.heal(p.a, p.b);
    EXPECT_TRUE(p.w.settle());
    EXPECT_EQ(p.w.verdict(), "");
    EXPECT_EQ(p.w.deliveries(p.sub), 200u);
  }
}

TEST(World, APublisherCutOffKeepsAndOffersAgain) {
  Pair p(9);
  ASSERT_TRUE(p.standing);
  p.w.cut(p.pub, p.a);
  p.publish(300);
  EXPECT_EQ(p.w.deliveries(p.sub), 0u);
  p.w.heal(p.pub, p.a);
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.sub), 300u);
}

TEST(World, ASubscriberCutOffComesBackToItsCursors) {
  Pair p(10);
  ASSERT_TRUE(p.standing);
  p.publish(10);
  p.w.cut(p.sub, p.b);
  p.publish(300);
  p.w.heal(p.sub, p.b);
  p.publish(10);
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.sub), 320u);
}

TEST(World, APausedSubscriberSlowsNobody) {
  Pair p(11);
  ASSERT_TRUE(p.standing);
  const auto other = p.w.client(p.b, "other");
  p.w.subscribe(other, "t/#");
  ASSERT_TRUE(p.w.run_until([&] { return p.w.subscribed(other, "t/#"); }, 5 * kSecond));
  p.w.pause(p.sub);
  const std::uint64_t before = p.w.deliveries(other);
  p.publish(100);
  p.w.run_for(100 * kMilli);
  EXPECT_EQ(p.w.deliveries(other), before + 100);
  p.w.resume(p.sub);
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.sub), 100u);
}

// Each of the four who can die, at each moment of a message's life.
class Kill : public ::testing::TestWithParam<std::tuple<int, int>> {};

TEST_P(Kill, ThePromisesHold) {
  const auto [who, when] = GetParam();
  Pair p(static_cast<std::uint64_t>(100 + who * 10 + when));
  ASSERT_TRUE(p.standing);
  p.publish(20);
  const auto witness = p.w.client(p.b, "witness");
  p.w.subscribe(witness, "t/#");
  ASSERT_TRUE(p.w.run_until([&] { return p.w.subscribed(witness, "t/#"); }, 5 * kSecond));
  p.publish(5, 0);
  // One way to the broker 0.1 ms, between brokers 10 ms: before accepted, between accepted and received, after.
  p.w.run_for(when == 0 ? 50 * kMicro : when == 1 ? 5 * kMilli : 100 * kMilli);
  const Node victim = who == 0 ? p.pub : who == 1 ? p.a : who == 2 ? p.b : p.sub;
  p.w.kill(victim);
  p.w.run_for(300 * kMilli);
  p.w.restart(victim);
  if (who == 3) p.w.subscribe(p.sub, "t/#");
  p.w.run_for(5 * kSecond);
  p.publish(20);
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_GE(p.w.deliveries(witness), 20u);
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<int, int>>& test) {
  const char* who[] = {"Publisher", "Home", "Far", "Subscriber"};
  const char* when[] = {"BeforeAccepted", "BeforeReceived", "AfterReceived"};
  return std::string(who[std::get<0>(test.param)]) + when[std::get<1>(test.param)];
}
INSTANTIATE_TEST_SUITE_P(WhoAndWhen, Kill, ::testing::Combine(::testing::Range(0, 4), ::testing::Range(0, 3)), name_of);

TEST(World, OutageOfTwiceTheRetentionIsExactlyOneGap) {
  WorldOptions options;
  options.retain_ns = 4 * kSecond;
  options.detach_ns = 3 * kSecond;
  Pair p(12, options);
  ASSERT_TRUE(p.standing);
  p.w.oracle().allow_gaps();
  p.publish(10);
  p.w.cut(p.a, p.b);
  p.publish(800);  // 8 s
  p.w.heal(p.a, p.b);
  p.publish(10);
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  const auto& totals = p.w.oracle().totals();
  EXPECT_EQ(totals.gaps, 1u);
  EXPECT_EQ(p.w.deliveries(p.sub) + totals.gap_messages, 820u);
  EXPECT_GT(totals.gap_messages, 300u);
}

TEST(World, OutageOfHalfTheRetentionIsNoGap) {
  WorldOptions options;
  options.retain_ns = 8 * kSecond;
  options.detach_ns = 2 * kSecond;
  Pair p(13, options);
  ASSERT_TRUE(p.standing);
  p.w.cut(p.a, p.b);
  p.publish(400);
  p.w.heal(p.a, p.b);
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.sub), 400u);
}

TEST(World, SubscribingDuringAPartitionListsTheUnreachableAndAddsThemLater) {
  World w(14);
  const auto a = w.broker("a"), b = w.broker("b");
  const auto pub = w.client(a, "pub"), sub = w.client(b, "sub");
  w.run_for(2 * kSecond);
  for (int i = 0; i < 5; ++i) w.publish(pub, "t");
  w.cut(a, b);
  w.run_for(2 * kSecond);
  w.subscribe(sub, "t");
  ASSERT_TRUE(w.run_until([&] { return w.subscribed(sub, "t"); }, 5 * kSecond));
  w.heal(a, b);
  w.run_for(3 * kSecond);
  for (int i = 0; i < 5; ++i) w.publish(pub, "t");
  EXPECT_TRUE(w.settle());
  EXPECT_EQ(w.verdict(), "");
  EXPECT_GE(w.deliveries(sub), 5u);
}

TEST(World, UnsubscribeEndsDeliveryAndASecondSubscriptionBeginsAnew) {
  Pair p(15);
  ASSERT_TRUE(p.standing);
  p.publish(10);
  p.w.unsubscribe(p.sub, "t/#");
  p.w.run_for(kSecond);
  const std::uint64_t before = p.w.deliveries(p.sub);
  p.publish(10);
  EXPECT_EQ(p.w.deliveries(p.sub), before);
  p.w.subscribe(p.sub, "t/#");
  ASSERT_TRUE(p.w.run_until([&] { return p.w.subscribed(p.sub, "t/#"); }, 5 * kSecond));
  p.publish(10);
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.sub), before + 10);
}

TEST(World, ALateJoinerIsReplayedWhatIsRetained) {
  Pair p(16);
  ASSERT_TRUE(p.standing);
  p.publish(30);
  const auto all = p.w.client(p.a, "all"), last = p.w.client(p.a, "last");
  p.w.subscribe(all, "t/1", ReplayMode::retained);
  p.w.subscribe(last, "t/1", ReplayMode::last);
  EXPECT_TRUE(p.w.settle());
  p.w.run_for(kSecond);
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(all), 30u);
  EXPECT_EQ(p.w.deliveries(last), 1u);
}

// `admitted` travels in ACKs and BUSY on the control lane: whichever is lost or late, the application must never hear
// "accepted" and then "refused" (the oracle judges it).
// Sessions that begin slowly (first_bps 0) scatter the refusals: their GAPs, all told at once, once ended the session
// of whoever heard them, again and again.
TEST(World, AcceptedIsNeverFollowedByRefused) {
  std::uint64_t refused = 0, accepted = 0;
  const std::uint64_t seeds = from_environment("PORTOLAN_CHAOS_SEEDS", 6);
  for (std::uint64_t i = 0; i < 2 * seeds; ++i) {
    const std::uint64_t seed = from_environment("PORTOLAN_CHAOS_FIRST", 301) + i / 2;
    WorldOptions options;
    options.broker_limits.messages = options.broker_limits.small_blocks = 256;
    options.broker_limits.credit_bytes = 64u << 10;
    options.to_client_ns = 2 * kMilli;
    options.first_bps = i % 2 == 0 ? 1'000'000'000 : 0;
    Pair p(seed, options);
    ASSERT_TRUE(p.standing);
    p.w.oracle().allow_gaps();
    p.w.both(p.pub, p.a, [](Path& path) {
      path.loss = 100'000;
      path.reorder = 300'000;
      path.reorder_ns = 5 * kMilli;
    });
    p.w.cut(p.a, p.b);
    p.publish(500, 200 * kMicro, 300);
    p.w.heal(p.a, p.b);
    EXPECT_TRUE(p.w.settle()) << seed;
    EXPECT_EQ(p.w.verdict(), "") << seed << ", first rate " << options.first_bps;
    refused += p.w.oracle().totals().refused;
    accepted += p.w.oracle().totals().accepted;
  }
  EXPECT_GT(refused, 50u);
  EXPECT_GT(accepted, 50u);
}

// A broker holds of a far stream only what came since its first client asked: the home holds more.
TEST(World, ALateJoinerWithReplayGetsWhatTheHomeRetains) {
  WorldOptions options;
  World w(320, options);
  const auto a = w.broker("a"), b = w.broker("b");
  const auto pub = w.client(a, "pub");
  const auto publish = [&](int count) {
    for (int i = 0; i < count; ++i) {
      w.publish(pub, "t/1");
      w.run_for(10 * kMilli);
    }
  };
  const auto join = [&](const char* name, ReplayMode replay) {
    const auto sub = w.client(b, name);
    w.subscribe(sub, "t/#", replay);
    EXPECT_TRUE(w.run_until([&] { return w.subscribed(sub, "t/#"); }, 5 * kSecond)) << name;
    return sub;
  };
  w.run_for(2 * kSecond);
  publish(50);
  const auto none = join("none", ReplayMode::none);
  publish(10);
  const auto first = join("first", ReplayMode::retained);
  publish(10);
  const auto second = join("second", ReplayMode::retained);
  publish(10);
  EXPECT_TRUE(w.settle());
  EXPECT_EQ(w.verdict(), "");
  EXPECT_EQ(w.deliveries(none), 30u);
  EXPECT_EQ(w.deliveries(first), 80u);
  EXPECT_EQ(w.deliveries(second), 80u);
}

TEST(World, SkewedClocksChangeNothing) {
  Pair p(17);
  ASSERT_TRUE(p.standing);
  p.w.skew(p.a, -3'600 * static_cast<std::int64_t>(kSecond));
  p.w.skew(p.sub, 86'400 * static_cast<std::int64_t>(kSecond));
  p.publish(50);
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
}

TEST(World, ALostInterestDeltaIsFoundAndMended) {
  Pair p(18);
  ASSERT_TRUE(p.standing);
  p.w.engine(p.a).lose_control_for_test(PTL_C_INTEREST, 1);
  p.w.subscribe(p.sub, "u");
  p.w.run_for(2 * kSecond);
  EXPECT_TRUE(p.w.subscribed(p.sub, "u"));
  for (int i = 0; i < 5; ++i) p.w.publish(p.pub, "u");
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.sub), 5u);
  EXPECT_GT(p.w.engine(p.a).counters().interest_mended, 0u);
}

// The engines' promises hold only because every control message arrives. Where one kind does not, the oracle must see
// it.
TEST(World, WhereGapsAreNeverToldTheOracleFindsThemLost) {
  WorldOptions options;
  options.retain_ns = 4 * kSecond;
  options.detach_ns = 3 * kSecond;
  Pair p(19, options);
  ASSERT_TRUE(p.standing);
  p.w.oracle().allow_gaps();
  p.w.engine(p.b).lose_control_for_test(PTL_C_GAP, 1'000'000);
  p.publish(10);
  p.w.cut(p.a, p.b);
  p.publish(800);
  p.w.heal(p.a, p.b);
  p.publish(10);
  EXPECT_FALSE(p.w.settle(10 * kSecond));
  EXPECT_NE(p.w.verdict().find("lost: client"), std::string::npos);
}

// Retained and kept messages lie in slots too: where that leaves just the one that only messages which have begun may
// take, no further long message was ever granted.
TEST(World, SixSlotsAreEnoughForLongMessages) {
  WorldOptions options;
  for (Limits* l : {&options.broker_limits, &options.client_limits}) l->small_slots = l->large_slots = 6;
  World w(1, options);
  const Node home = w.broker("a");
  const Node both = w.client(home, "both");
  w.subscribe(both, "#");
  w.run_for(kSecond);
  w.publish(both, "tile", 40);  // stays, and what is retained goes from the head only
  for (int i = 0; i < 12; ++i) w.publish(both, "tile", 38'000);
  EXPECT_TRUE(w.settle(5 * kSecond));
  EXPECT_EQ(w.verdict(), "");
  EXPECT_EQ(w.engine(home).counters().detached, 0u);
}

TEST(World, DamagedDatagramsChangeNothing) {
  Pair p(20);
  ASSERT_TRUE(p.standing);
  p.w.both(p.a, p.b, [](Path& path) { path.corrupt = 100'000; });
  p.w.both(p.pub, p.a, [](Path& path) { path.corrupt = 100'000; });
  for (int i = 0; i < 100; ++i) {
    p.w.publish(p.pub, "t/1", i % 10 == 0 ? 30'000 : 200);
    p.w.run_for(20 * kMilli);
  }
  EXPECT_TRUE(p.w.settle());
  EXPECT_EQ(p.w.verdict(), "");
  EXPECT_EQ(p.w.deliveries(p.sub), 100u);
  EXPECT_GT(p.w.network().counts().corrupted, 50u);
}

// --- the oracle itself: a judge that cannot find guilty is no judge ------------------------------------------------

class Guilty : public ::testing::Test {
 protected:
  Guilty() : o(10 * kSecond) {
    o.client_started(0, 0, 9, 1, 1);
    o.client_started(0, 1, 9, 2, 1);
    o.subscribe(0, 1, "t");
    o.subscribed(1, 1, "t", 0);
    o.cursor(1, 1, "t", 1, 1, 1);
    for (std::uint64_t i = 1; i <= 3; ++i) {
      o.published(2, 0, "t", i);
      o.accepted(3, 0, "t", i, i);
    }
  }
  void deliver(std::uint64_t sequence, bool right = true) { o.delivered(4, 1, "t", 1, 1, sequence, right); }
  std::string verdict() {
    o.judge(5);
    return o.violations().empty() ? "" : o.violations().front();
  }
  Oracle o;
};

TEST_F(Guilty, OfNothing) {
  for (std::uint64_t i = 1; i <= 3; ++i) deliver(i);
  o.received(5, 0, "t", 1, 3);
  EXPECT_EQ(verdict(), "");
}
TEST_F(Guilty, OfLoss) {
  deliver(1);
  deliver(2);
  EXPECT_NE(verdict().find("lost"), std::string::npos);
}
TEST_F(Guilty, OfDisorderAndDuplicates) {
  deliver(2);
  EXPECT_NE(verdict().find("#1 was next"), std::string::npos);
}
TEST_F(Guilty, OfADuplicate) {
  deliver(1);
  deliver(1);
  EXPECT_NE(verdict().find("#2 was next"), std::string::npos);
}
TEST_F(Guilty, OfForgery) {
  for (std::uint64_t i = 1; i <= 4; ++i) deliver(i);
  EXPECT_NE(verdict().find("never published"), std::string::npos);
}
TEST_F(Guilty, OfCorruption) {
  deliver(1, false);
  EXPECT_NE(verdict().find("wrong bytes"), std::string::npos);
}
TEST_F(Guilty, OfReceivedTooEarly) {
  deliver(1);
  o.received(5, 0, "t", 1, 2);
  EXPECT_NE(verdict().find("received was told, but client 1 lacks t of 1.1 #2"), std::string::npos);
}
TEST_F(Guilty, OfNeverAnswering) {
  for (std::uint64_t i = 1; i <= 3; ++i) deliver(i);
  EXPECT_NE(verdict().find("never received"), std::string::npos);
}
TEST_F(Guilty, OfAGapWithoutCause) {
  deliver(1);
  o.gap(5, 1, "t", 1, 1, 2, 3, 1);
  o.received(5, 0, "t", 1, 3);
  EXPECT_NE(verdict().find("nobody died with it"), std::string::npos);
}
TEST_F(Guilty, OfAGapOutOfPlace) {
  o.gap(5, 1, "t", 1, 1, 2, 3, 1);
  EXPECT_NE(verdict().find("#1 was next"), std::string::npos);
}
TEST_F(Guilty, OfSkippingTheRestOfAnIncarnation) {
  deliver(1);
  o.cursor(5, 1, "t", 1, 2, 1);
  o.client_killed(5, 0);
  EXPECT_NE(verdict().find("lost"), std::string::npos);
}
TEST_F(Guilty, ExceptWhatDiedWithPublisherAndHome) {
  deliver(1);
  o.client_killed(5, 0);
  o.broker_killed(6, 9);
  EXPECT_EQ(verdict(), "");
  EXPECT_EQ(o.totals().excused, 3u);
}

}  // namespace
}  // namespace portolan::broker::testing
