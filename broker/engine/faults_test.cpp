// The promises of the realtime class under faults: kills at each of the three moments, outages against retention,
// partitions, a lost interest delta, restarts, a slow consumer. Over fake_net, so each moment can be stood upon.
#include <gtest/gtest.h>

#include <numeric>

#include "broker/engine/fake_net.hpp"

namespace portolan::broker::fake {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kPub = 101, kSub = 202, kLocal = 103;

std::vector<std::uint64_t> upto(std::uint64_t first, std::uint64_t last) {
  if (first > last) return {};
  std::vector<std::uint64_t> out(last - first + 1);
  std::iota(out.begin(), out.end(), first);
  return out;
}

// Home broker 1 with publisher and a local subscriber, far broker 2 with a subscriber, broker 3 a bystander.
struct Sea {
  explicit Sea(std::vector<TopicRule> rules = {}, std::uint64_t detach_ns = 10 * kSecond) : w({1, 2, 3}) {
    w.rules = std::move(rules);
    w.detach_ns = detach_ns;
    for (std::uint64_t id : {1u, 2u, 3u}) w.start_broker(id);
    w.client(kPub, 1);
    w.client(kLocal, 1);
    w.client(kSub, 2);
    w.connect_all();
    w.settle();
    w.subscribe(kSub, "a/#");
    w.subscribe(kLocal, "a/#");
    w.advance(kSecond / 10);
    publish(5);
    w.settle();
  }
  void publish(int n) {
    for (int i = 0; i < n; ++i) ASSERT_NE(w.publish(kPub, "a/b"), 0u);
  }
  World w;
};

enum class Moment { before_accepted, accepted, received };

// Publishes five more (6..10) and stops at the moment; `release` lets go what was held to stand there.
void stand_at(Sea& s, Moment moment) {
  if (moment == Moment::before_accepted) Hub::get().half(kPub, 1).hold_data = true;
  if (moment == Moment::accepted) {
    Hub::get().half(1, 2).hold_data = true;
    Hub::get().half(1, kLocal).hold_data = true;
  }
  s.publish(5);
  s.w.settle();
  EXPECT_EQ(s.w[kPub].accepted, moment == Moment::before_accepted ? 5u : 10u);
  EXPECT_EQ(s.w[kPub].received, moment == Moment::received ? 10u : 5u);
}

void release(Sea& s) {
  for (auto& [id, node] : Hub::get().nodes) {
    for (auto& [sid, session] : node->sessions) {
      session->halves[0].hold_data = session->halves[1].hold_data = false;
      session->halves[0].hold_control = session->halves[1].hold_control = false;
    }
  }
  s.w.advance(kSecond);
}

class Kills : public ::testing::TestWithParam<Moment> {};

TEST_P(Kills, SubscriberComesBackAndMissesNothingSinceItsNewStart) {
  Sea s;
  stand_at(s, GetParam());
  s.w.kill_client(kSub);
  s.w.settle();
  release(s);
  s.w.client(kSub, 2);
  s.w[kSub].got.clear();
  s.w.connect_all();
  s.w.settle();
  s.w.subscribe(kSub, "a/#");
  s.w.advance(kSecond);
  s.publish(5);
  s.w.advance(kSecond);
  EXPECT_EQ(s.w[kLocal].sequences(), upto(1, 15));
  const auto got = s.w[kSub].sequences();
  ASSERT_GE(got.size(), 5u);
  EXPECT_EQ(got, upto(got.front(), 15));
  EXPECT_EQ(s.w[kSub].gap_messages(), 0u);
  EXPECT_EQ(s.w[kPub].received, 15u);
}

TEST_P(Kills, FarBrokerComesBackEmptyAndNothingIsLost) {
  Sea s;
  stand_at(s, GetParam());
  s.w.kill_broker(2);
  s.w.settle();
  release(s);
  s.publish(5);
  s.w.advance(kSecond);
  EXPECT_LT(s.w[kPub].received, 11u);  // its clients are not forgotten
  s.w.start_broker(2);
  s.w.advance(11 * kSecond);  // it withholds `received` until its former clients had time
  EXPECT_EQ(s.w[kLocal].sequences(), upto(1, 15));
  EXPECT_EQ(s.w[kSub].sequences(), upto(1, 15));
  EXPECT_EQ(s.w[kSub].gap_messages(), 0u);
  EXPECT_EQ(s.w[kPub].received, 15u);
}

TEST_P(Kills, HomeBrokerComesBackEmptyAndNothingIsLost) {
  Sea s;
  stand_at(s, GetParam());
  s.w.kill_broker(1);
  s.w.settle();
  s.publish(5);
  s.w.advance(kSecond);
  s.w.start_broker(1);
  s.w.advance(11 * kSecond);
  EXPECT_EQ(s.w[kLocal].sequences(), upto(1, 15));
  EXPECT_EQ(s.w[kSub].sequences(), upto(1, 15));
  EXPECT_EQ(s.w[kSub].gap_messages() + s.w[kLocal].gap_messages(), 0u);
  EXPECT_EQ(s.w[kPub].received, 15u);
}

TEST_P(Kills, PublisherDiesAndWhatWasAcceptedArrives) {
  Sea s;
  stand_at(s, GetParam());
  s.w.kill_client(kPub);
  s.w.settle();
  release(s);
  const std::uint64_t last = GetParam() == Moment::before_accepted ? 5 : 10;
  EXPECT_EQ(s.w[kSub].sequences(), upto(1, last));
  s.w.client(kPub, 1);
  s.w.connect_all();
  s.w.settle();
  s.publish(3);
  s.w.advance(kSecond);
  auto expected = upto(1, last);
  for (std::uint64_t q : {1u, 2u, 3u}) expected.push_back(q);
  for (const std::uint64_t sub : {kSub, kLocal}) {
    EXPECT_EQ(s.w[sub].sequences(), expected);
    EXPECT_EQ(s.w[sub].gap_messages(), 0u);
    EXPECT_EQ(s.w[sub].got.back().incarnation, 2u);
  }
}

INSTANTIATE_TEST_SUITE_P(AtEachMoment, Kills,
                         ::testing::Values(Moment::before_accepted, Moment::accepted, Moment::received));

TEST(Kills, PublisherAndHomeDieTogether) {
  Sea s;
  stand_at(s, Moment::accepted);
  s.w.kill_broker(1);
  s.w.kill_client(kPub);
  s.w.settle();
  s.w.advance(kSecond);
  s.w.start_broker(1);
  s.w.client(kPub, 1);
  s.w.advance(kSecond);
  s.publish(3);
  s.w.advance(11 * kSecond);
  // 6..10 died with both of their holders; that they may exist is told, as one open-ended GAP, before the new ones.
  const auto& got = s.w[kSub].got;
  ASSERT_EQ(s.w[kSub].sequences(), (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 1, 2, 3}));
  ASSERT_EQ(got.size(), 9u);
  EXPECT_EQ(got[5].reason, static_cast<std::uint32_t>(GapReason::publisher_lost));
  EXPECT_EQ(got[5].last, ~0ull);
}

// ------------------------------------------------------------------ outages against retention

std::vector<TopicRule> retain(std::uint64_t ns) {
  return {{"a/#", Lane::realtime, ns, 0}};
}

TEST(Outage, OfHalfTheRetentionLosesNothing) {
  Sea s(retain(4 * kSecond), 1 * kSecond);  // detached long before it is back: retention alone carries it
  s.w.sever(1, 2);
  s.w.settle();
  for (int i = 0; i < 20; ++i) {
    s.publish(1);
    s.w.advance(kSecond / 10);
  }
  EXPECT_EQ(s.w.broker(1).counters().detached, 1u);
  EXPECT_EQ(s.w[kPub].received, 25u);  // it left the minimum
  s.w.heal(1, 2);
  s.w.advance(kSecond);
  EXPECT_EQ(s.w[kSub].sequences(), upto(1, 25));
  EXPECT_EQ(s.w[kSub].gap_messages(), 0u);
}

TEST(Outage, OfTwiceTheRetentionTellsExactlyTheComputedGap) {
  Sea s(retain(2 * kSecond), 1 * kSecond);
  s.w.sever(1, 2);
  s.w.settle();
  std::vector<std::uint64_t> at{0};
  for (int i = 0; i < 40; ++i) {  // sequences 6..45, one each 100 ms
    s.publish(1);
    at.push_back(s.w.now.mono_ns);
    s.w.settle();
    s.w.advance(kSecond / 10);
  }
  s.w.heal(1, 2);
  s.w.connect_all();
  const std::uint64_t back = s.w.now.mono_ns;
  s.w.settle();
  std::uint64_t lost = 0;
  for (std::uint64_t i = 1; i <= 40; ++i) lost += back - at[i] >= 2 * kSecond ? 1 : 0;
  s.w.advance(kSecond);
  ASSERT_GT(lost, 15u);
  ASSERT_EQ(s.w[kSub].gap_messages(), lost);
  const Got gap{"a/b", kPub, 1, 6, 5 + lost, static_cast<std::uint32_t>(GapReason::detached)};
  EXPECT_EQ(s.w[kSub].got[5], gap);
  auto expected = upto(1, 5);
  for (std::uint64_t q = 6 + lost; q <= 45; ++q) expected.push_back(q);
  EXPECT_EQ(s.w[kSub].sequences(), expected);
  EXPECT_EQ(s.w.broker(2).counters().gaps_told[static_cast<std::size_t>(GapReason::detached)], lost);
}

TEST(Outage, OfAClientWithinTheDetachBoundNeedsNoRetention) {
  Sea s({}, 5 * kSecond);
  s.w.sever(2, kSub);
  s.w.settle();
  s.publish(30);
  s.w.advance(4 * kSecond);
  EXPECT_EQ(s.w[kPub].received, 5u);
  s.w.heal(2, kSub);
  s.w.advance(kSecond);
  EXPECT_EQ(s.w[kSub].sequences(), upto(1, 35));
  EXPECT_EQ(s.w[kSub].gap_messages(), 0u);
  EXPECT_EQ(s.w[kPub].received, 35u);
}

TEST(Outage, OfAClientBeyondItGivesOneGapAndThenLive) {
  Sea s({}, 2 * kSecond);
  s.w.sever(2, kSub);
  s.w.settle();
  s.publish(30);
  s.w.advance(5 * kSecond);
  EXPECT_EQ(s.w[kPub].received, 35u);
  s.w.heal(2, kSub);
  s.w.advance(kSecond);
  s.publish(5);
  s.w.advance(kSecond);
  EXPECT_EQ(s.w[kSub].gap_messages(), 30u);
  auto expected = upto(1, 5);
  for (std::uint64_t q = 36; q <= 40; ++q) expected.push_back(q);
  EXPECT_EQ(s.w[kSub].sequences(), expected);
}

// ------------------------------------------------------------------ partitions, interest, restarts

TEST(Partition, SubscribingDuringItListsTheUnreachableAndAddsItLater) {
  Sea s;
  s.w.client(204, 2);
  s.w.sever(1, 2);
  s.w.advance(2 * kSecond);
  s.w.subscribe(204, "a/b");
  s.w.settle();
  EXPECT_EQ(s.w[204].unreachable, std::vector<std::uint32_t>{1});
  s.publish(3);
  s.w.advance(kSecond);
  s.w.heal(1, 2);
  s.w.advance(kSecond);
  s.publish(4);
  s.w.advance(kSecond);
  EXPECT_EQ(s.w[kSub].sequences(), upto(1, 12));
  const auto got = s.w[204].sequences();
  ASSERT_GE(got.size(), 4u);
  EXPECT_EQ(got, upto(got.front(), 12));
}

TEST(Interest, ALostDeltaIsFoundByItsDigestAndMended) {
  Sea s;
  s.w.broker(1).lose_control_for_test(PTL_C_INTEREST, 1);
  s.w.subscribe(kSub, "x/y");
  s.w.settle();
  s.w.advance(2 * kSecond);
  EXPECT_EQ(s.w.broker(1).counters().interest_mended, 1u);
  for (int i = 0; i < 3; ++i) s.w.publish(kPub, "x/y");
  s.w.settle();
  EXPECT_EQ(s.w[kSub].got.size(), 8u);
}

TEST(Interest, ALostSnapshotIsMendedToo) {
  for (const std::uint32_t lost : {1u, 2u, 3u}) {
    Sea s;
    s.w.broker(1).lose_control_for_test(PTL_C_INTEREST, lost);
    s.w.sever(1, 2);
    s.w.settle();
    s.w.heal(1, 2);
    s.w.advance(2 * kSecond);
    s.publish(3);
    s.w.settle();
    EXPECT_EQ(s.w[kSub].sequences(), upto(1, 8)) << lost;
  }
}

TEST(Restart, OfABrokerWhileOthersSubscribe) {
  Sea s;
  s.w.client(204, 2);
  s.w.connect_all();
  s.w.settle();
  s.w.kill_broker(1);
  s.w.subscribe(204, "a/+");
  s.w.settle();
  s.w.start_broker(1);
  s.w.subscribe(204, "z/#");
  s.w.advance(2 * kSecond);
  ASSERT_EQ(s.w[204].unreachable.size(), 2u);
  s.publish(5);
  for (int i = 0; i < 2; ++i) s.w.publish(kPub, "z/1");
  s.w.advance(11 * kSecond);
  EXPECT_EQ(s.w[kSub].sequences(), upto(1, 10));
  const auto got = s.w[204].sequences();
  ASSERT_GE(got.size(), 7u);
  EXPECT_EQ(s.w[kPub].received, 12u);
}

// What begins while a far broker is away for longer than `detach` is unknown to its clients, who have no cursor for it
// to ask by; and yet they were subscribed all the time.
TEST(Restart, OfADetachedFarBrokerBringsItsClientsAlsoWhatBeganMeanwhile) {
  Sea s(retain(60 * kSecond), 1 * kSecond);
  s.w.kill_broker(2);
  s.w.settle();
  for (int i = 0; i < 3; ++i) ASSERT_NE(s.w.publish(kPub, "a/new"), 0u);
  s.w.advance(3 * kSecond);
  EXPECT_EQ(s.w[kPub].received, 8u);  // it was let go
  s.w.start_broker(2);
  s.w.advance(2 * kSecond);
  for (int i = 0; i < 2; ++i) ASSERT_NE(s.w.publish(kPub, "a/new"), 0u);
  s.publish(2);
  s.w.advance(12 * kSecond);
  std::vector<std::uint64_t> fresh, old;
  for (const Got& got : s.w[kSub].got) (got.topic == "a/new" ? fresh : old).push_back(got.sequence);
  EXPECT_EQ(fresh, upto(1, 5));
  EXPECT_EQ(old, upto(1, 7));
  EXPECT_EQ(s.w[kSub].gap_messages(), 0u);
}

TEST(Restart, WithholdsReceivedUntilEveryPeersInterestIsIn) {
  World w({1, 2});
  w.start_broker(1);
  w.client(kPub, 1);
  w.connect_all();
  w.settle();
  w.publish(kPub, "a/b");
  w.advance(3 * kSecond);
  EXPECT_EQ(w[kPub].accepted, 1u);
  EXPECT_EQ(w[kPub].received, 0u);
  w.start_broker(2);
  w.advance(kSecond);
  EXPECT_EQ(w[kPub].received, 1u);
}

TEST(SlowConsumer, IsDetachedAndToldAndSlowsNobody) {
  Sea s({}, 2 * kSecond);
  s.w.client(105, 1);
  s.w.connect_all();
  s.w.settle();
  s.w.subscribe(105, "a/#");
  s.w.advance(kSecond / 10);
  Hub::get().half(1, 105).hold_data = true;
  std::uint64_t most_behind = 0;
  for (std::uint64_t i = 0; i < 3'000; ++i) {
    s.w.publish(kPub, "a/b");
    if (i % 20 == 0) s.w.advance(kSecond / 20);
    most_behind = std::max(most_behind, 5 + i + 1 - s.w[kSub].sequences().size());
  }
  s.w.advance(3 * kSecond);  // it RESUMEs each time and falls behind again: a bound's length each
  EXPECT_LE(most_behind, 20u);
  EXPECT_EQ(s.w[kPub].refused, 0u);
  EXPECT_EQ(s.w[kSub].sequences(), upto(1, 3'005));
  EXPECT_EQ(s.w[kPub].received, 3'005u);
  EXPECT_GE(s.w.broker(1).counters().detached, 1u);
  Hub::get().half(1, 105).hold_data = false;
  s.w.advance(kSecond);
  s.publish(5);
  s.w.advance(kSecond);
  const auto got = s.w[105].sequences();
  ASSERT_FALSE(got.empty());
  EXPECT_EQ(got.back(), 3'010u);
  EXPECT_EQ(got.size() + s.w[105].gap_messages(), 3'005u);
}

// What it lacks comes from the home behind what its broker holds already, and the window is far smaller than either.
TEST(CatchUp, OfAClientBehindARestartedFarBrokerNeedsNoWideWindow) {
  World w({1, 2});
  w.limits.window_messages = w.limits.receive_messages = 16;
  w.client_limits.window_messages = w.client_limits.receive_messages = 16;
  w.client_limits.reorder_messages = 32;
  w.rules = retain(600 * kSecond);
  w.detach_ns = 2 * kSecond;
  for (std::uint64_t id : {1u, 2u}) w.start_broker(id);
  w.client(kPub, 1);
  w.client(kSub, 2);
  w.client(203, 2);
  w.connect_all();
  w.settle();
  w.subscribe(kSub, "a/#");
  w.subscribe(203, "a/#");
  w.advance(kSecond);
  const auto publish = [&](int n) {
    for (int i = 0; i < n; ++i) {
      w.publish(kPub, "a/b");
      w.settle();
    }
  };
  publish(5);
  w.sever(2, kSub);
  publish(50);
  w.advance(3 * kSecond);  // detached; the other client has 6..55, and the home retains them
  w.kill_broker(2);
  w.settle();
  w.start_broker(2);
  w.advance(3 * kSecond);
  publish(50);
  w.advance(kSecond);
  w.heal(2, kSub);
  w.advance(5 * kSecond);
  publish(5);
  w.advance(kSecond);
  EXPECT_EQ(w[203].sequences(), upto(1, 110));
  EXPECT_EQ(w[kSub].sequences(), upto(1, 110));
  EXPECT_EQ(w[kSub].gap_messages(), 0u);
  EXPECT_EQ(w[kPub].received, 110u);
}

TEST(Refused, LeavesNothingQueuedAndTellsAGapInItsPlace) {
  World w({1, 2});
  w.limits.messages = w.limits.small_blocks = 128;
  w.limits.credit_bytes = 32 << 10;
  w.limits.window_messages = w.limits.receive_messages = 1024;
  w.start_broker(1);
  w.start_broker(2);
  w.client(kPub, 1);
  w.client(kSub, 2);
  w.connect_all();
  w.settle();
  w.subscribe(kSub, "a/#");
  w.advance(kSecond / 10);
  Hub::get().half(1, 2).hold_data = true;
  for (int i = 0; i < 400; ++i) w.publish(kPub, "a/b", 300);
  w.settle();
  Hub::get().half(1, 2).hold_data = false;
  w.advance(2 * kSecond);
  for (int i = 0; i < 5; ++i) w.publish(kPub, "a/b");
  w.advance(2 * kSecond);
  EXPECT_GT(w[kPub].refused, 100u);
  EXPECT_EQ(w[kSub].gap_messages(), w[kPub].refused);
  EXPECT_EQ(w[kSub].sequences().size() + w[kSub].gap_messages(), 405u);
  EXPECT_EQ(w[kSub].sequences().back(), 405u);
}

// Its BUSYs were lost with the session, and the GAP in its place had grown since: looked for by its first sequence
// alone it was not found, and the message passed for one that everybody had had.
TEST(Refused, IsToldAsAcceptedAndReceivedWhenOfferedAgain) {
  constexpr std::uint64_t kFill = 110, kFew = 111, kMany = 112;
  World w({1});
  w.limits.messages = w.limits.small_blocks = 128;
  w.start_broker(1);
  for (const std::uint64_t id : {kPub, kSub, kFill, kFew, kMany}) w.client(id, 1);
  w.connect_all();
  w.settle();
  w.subscribe(kSub, "a/#");
  w.subscribe(kFew, "x/few");
  w.subscribe(kMany, "x/many");
  w.settle();
  for (int i = 0; i < 4; ++i) w.publish(kPub, "a/b");
  w.settle();
  ASSERT_EQ(w[kPub].received, 4u);
  w.sever(1, kSub);  // has still to be told what it misses
  Hub::get().half(1, kFew).hold_data = Hub::get().half(1, kMany).hold_data = true;
  for (int i = 0; i < 127; ++i) w.publish(kFill, i == 0 ? "x/few" : "x/many");
  w.settle();
  ASSERT_EQ(w[kFill].refused, 0u);
  w.now.mono_ns += 1'000;  // so these are the oldest, and on their way: nobody is let go for want of room
  Hub::get().half(1, kPub).hold_control = true;
  for (int i = 5; i <= 9; ++i) {
    if (i == 8) Hub::get().half(1, kFew).hold_data = false;  // room for one
    w.settle();
    w.publish(kPub, "a/b");
    w.settle();
  }
  ASSERT_EQ(w.broker(1).counters().refused[static_cast<std::size_t>(RefuseReason::memory_full)], 4u);
  w.sever(1, kPub);
  w.settle();
  w.heal(1, kPub);
  w.connect_all();
  w.settle();
  EXPECT_EQ(w[kPub].refused, 4u);
  EXPECT_EQ(w[kPub].accepted, 5u);
  EXPECT_EQ(w[kPub].received, 4u);
  w.heal(1, kSub);
  w.advance(kSecond / 2);
  EXPECT_EQ(w[kSub].sequences(), (std::vector<std::uint64_t>{1, 2, 3, 4, 8}));
  EXPECT_EQ(w[kSub].gap_messages(), 4u);
  EXPECT_EQ(w[kPub].received, 5u);
}

// The GAP stands for somebody who was away, not for a refusal: what lies in it was accepted, and everybody here had it.
TEST(Refused, IsNotWhatWasAcceptedAndLiesInAGapForAnother) {
  World w({1});
  w.rules = retain(kSecond / 5);
  w.detach_ns = kSecond / 2;
  w.limits.control_queue = 20;  // so the log carries some of the GAPs
  w.start_broker(1);
  for (const std::uint64_t id : {kPub, kLocal, kSub}) w.client(id, 1);
  w.connect_all();
  w.settle();
  for (const std::uint64_t id : {kLocal, kSub}) w.subscribe(id, "a/#");
  w.settle();
  const auto publish = [&w] {
    for (int i = 0; i < 12; ++i) w.publish(kPub, "a/" + std::to_string(i));
  };
  publish();
  w.settle();
  ASSERT_EQ(w[kPub].received, 12u);
  w.sever(1, kSub);
  Hub::get().half(kPub, 1).hold_progress = true;  // that they were accepted is lost with its session
  publish();
  w.advance(2 * kSecond);
  ASSERT_EQ(w[kLocal].sequences().size(), 24u);
  ASSERT_EQ(w[kPub].accepted, 12u);
  w.heal(1, kSub);
  w.connect_all();
  w.before_flow = [] {  // it has asked, and is told nothing: so they stay there
    for (const Packet& p : Hub::get().half(kSub, 1).control) {
      if (p.control == PTL_C_RESUME) Hub::get().half(1, kSub).hold_control = true;
    }
  };
  w.settle();
  w.before_flow = {};
  ASSERT_TRUE(Hub::get().half(1, kSub).hold_control);
  w.sever(1, kPub);
  w.settle();
  w.heal(1, kPub);
  w.connect_all();
  w.settle();
  EXPECT_EQ(w[kPub].refused, 0u);
  EXPECT_EQ(w[kPub].accepted, 24u);
  Hub::get().half(1, kSub).hold_control = false;
  w.advance(kSecond);
  EXPECT_EQ(w[kSub].gap_messages(), 12u);
  EXPECT_EQ(w[kPub].received, 24u);
}

}  // namespace
}  // namespace portolan::broker::fake
