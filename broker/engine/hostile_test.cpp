// What one allowed client may say without harm to the others: control and data that no library of ours would send, put
// straight on its session. Over fake_net.
#include <gtest/gtest.h>

#include "broker/engine/fake_net.hpp"
#include "broker/wire/control.hpp"

namespace portolan::broker::fake {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kRogue = 101, kSub = 202;
constexpr std::uint32_t kTopic = 7, kStream = 9;  // aliases that its library does not come to

// One broker, a subscriber, and a client whose session this speaks on.
struct Harbour {
  explicit Harbour(std::vector<TopicRule> rules = {}, std::uint64_t detach_ns = 10 * kSecond,
                   std::uint32_t messages = 4'096)
      : w({1}) {
    w.limits.messages = w.limits.unresolved_messages = messages;
    w.rules = std::move(rules);
    w.detach_ns = detach_ns;
    w.start_broker(1);
    w.client(kRogue, 1);
    w.client(kSub, 1);
    w.connect_all();
    w.settle();
  }
  // `at` and `value`: eight bytes of the body to overwrite, for what would not encode.
  template <typename Body>
  void control(std::uint32_t kind, const Body& body, std::size_t at = 0, std::uint64_t value = 0) {
    Half& half = Hub::get().half(kRogue, 1);
    std::vector<std::uint8_t> bytes(wire::kControlBytesMax);
    bytes.resize(wire::encode(body, bytes));
    for (std::size_t i = 0; at != 0 && i < 8; ++i) bytes.at(at + i) = static_cast<std::uint8_t>(value >> 8 * i);
    half.control.push_back({Lane::control, ++half.sent[0], {}, kind, std::move(bytes)});
    w.settle();
  }
  void announce(std::uint64_t start = 1) {
    control(PTL_C_TOPIC, wire::TopicBody{.alias = kTopic, .lane = PTL_LANE_REALTIME, .name = "a/b"});
    stream(start);
  }
  void stream(std::uint64_t start) {
    control(PTL_C_STREAM, wire::StreamBody{.alias = kStream, .topic = kTopic, .publisher = kRogue, .incarnation = 1},
            16, start);
  }
  void data(std::uint64_t sequence) {
    Half& half = Hub::get().half(kRogue, 1);
    Outgoing meta;
    meta.topic = kTopic;
    meta.publisher = kStream;
    meta.sequence = sequence;
    half.data.push_back({Lane::realtime, ++half.sent[2], meta, 0, std::vector<std::uint8_t>(16, 0x55)});
    w.settle();
  }
  World w;
};

// It walked to the last sequence of all, and from there to the first.
TEST(Hostile, ASequenceAtTheEndOfNumbersHangsTheBrokerForEver) {
  Harbour h({{"a/#", Lane::realtime, 60 * kSecond, 0}});
  constexpr std::uint64_t end = ~std::uint64_t{0};
  for (const std::uint64_t start : {std::uint64_t{1}, (std::uint64_t{1} << 62) + 1, end - 1, end}) {
    h.announce(start);
    h.control(PTL_C_GAP, wire::GapBody{.first = 1, .last = 1, .stream = kStream, .reason = 5}, 8, end - 1);
    for (const std::uint64_t q : {std::uint64_t{0}, end - 1, end}) h.data(q);
  }
  h.w.subscribe(kSub, "a/#", ReplayMode::retained);
  h.w.advance(kSecond);
  EXPECT_EQ(h.w.broker(1).counters().retained_messages, 0u);
  EXPECT_TRUE(h.w[kSub].got.empty());
}

// The least sequence held was looked for one by one from the former least.
TEST(Hostile, ExpiryTakesAsLongAsSequencesAreFarApart) {
  Harbour h({{"a/#", Lane::realtime, kSecond, 0}});
  constexpr std::uint64_t far = std::uint64_t{1} << 60;
  h.announce();
  h.data(1);
  h.w.now.mono_ns += kSecond / 2;
  h.stream(far);
  h.data(far);
  h.w.advance(kSecond);
  EXPECT_EQ(h.w.broker(1).counters().retention_expired, 1u);
  h.w.subscribe(kSub, "a/#", ReplayMode::retained);
  h.w.settle();
  EXPECT_EQ(h.w[kSub].sequences(), std::vector<std::uint64_t>{far});
}

// They were looked for downwards from the highest sequence, and never found where that was far ahead.
TEST(Hostile, WhatCameEarlyStaysForGoodBehindAMessageFromFarAhead) {
  Harbour h;
  h.announce();
  h.data(10);
  h.data(std::uint64_t{1} << 50);
  h.w.advance(kSecond / 10);
  EXPECT_EQ(h.w.broker(1).counters().retained_messages, 2u);
  h.w.kill_client(kRogue);
  h.w.advance(11 * kSecond);
  EXPECT_EQ(h.w.broker(1).counters().retained_messages, 0u);
}

// Each GAP of its own: of two kinds by turns, so that none makes another longer.
void tell_gaps(Harbour& h, std::uint64_t first, int count) {
  for (int i = 0; i < count; ++i, ++first) {
    if (i % 2 == 0) {
      h.stream(first + 1);  // what came before was lost with a former broker
    } else {
      h.control(PTL_C_GAP, wire::GapBody{first, first, kStream, static_cast<std::uint32_t>(GapReason::refused)});
    }
  }
}

// GAPs wait for the messages before them to arrive; and with them waited all other topics of the lane.
TEST(Hostile, ManyGapsOfOneTopicHoldUpAllTopicsOfTheirLane) {
  constexpr std::uint64_t kOther = 103;
  Harbour h;
  h.w.client(kOther, 1);
  h.w.connect_all();
  h.w.settle();
  h.w.subscribe(kSub, "a/#");
  h.w.settle();
  h.announce();
  Hub::get().half(1, kSub).hold_progress = true;
  h.data(1);
  tell_gaps(h, 2, 12);
  ASSERT_NE(h.w.publish(kOther, "a/other"), 0u);
  h.w.settle();
  ASSERT_EQ(h.w[kSub].gap_messages(), 8u);  // as many as may go ahead
  EXPECT_EQ(h.w[kSub].got.back().publisher, kOther);
  Hub::get().half(1, kSub).hold_progress = false;
  h.w.settle();
  EXPECT_EQ(h.w[kSub].gap_messages(), 12u);
}

// No entry was free for it, so it waited for one, and forgot why nothing came.
TEST(Hostile, AGapThatFindsNoEntryIsToldAsRefused) {
  Harbour h({}, 10 * kSecond, 64);
  h.w.subscribe(kSub, "a/#");
  h.w.settle();
  h.announce();
  Hub::get().half(1, kSub).hold_data = true;
  h.data(1);
  h.data(2);
  const int left = 64 + 64 / 8 + 64 - 2;  // entries, as many as there are
  ASSERT_EQ(left % 2, 0);                 // so the last GAP is one of what was refused
  tell_gaps(h, 3, left);
  h.stream(static_cast<std::uint64_t>(left) + 4);
  Hub::get().half(1, kSub).hold_data = false;
  h.w.advance(kSecond);
  h.data(static_cast<std::uint64_t>(left) + 4);
  h.w.advance(kSecond);
  ASSERT_EQ(h.w[kSub].sequences().size(), 3u);
  ASSERT_EQ(h.w[kSub].gap_messages(), static_cast<std::uint64_t>(left) + 1);
  EXPECT_EQ(h.w[kSub].got[h.w[kSub].got.size() - 2].reason, static_cast<std::uint32_t>(GapReason::broker_lost));
}

// Whoever names nothing of what it sends took all memory with that, for as long as its session stood.
TEST(Hostile, DataThatIsNeverNamedLeavesNoMemoryToOthers) {
  Harbour h({}, 10 * kSecond, 64);
  for (std::uint64_t q = 1; q <= 63; ++q) h.data(q);
  ASSERT_NE(h.w.publish(kSub, "a/c"), 0u);
  h.w.settle();
  EXPECT_EQ(h.w[kSub].refused, 1u);
  h.w.advance(2 * kSecond);
  ASSERT_NE(h.w.publish(kSub, "a/c"), 0u);
  h.w.settle();
  EXPECT_EQ(h.w[kSub].refused, 1u);
  EXPECT_EQ(h.w[kSub].received, 1u);
}

// All spare streams of all topics were given back, also those that an absent subscriber has still to be told of, and
// though no topic went with them, for some session names each.
TEST(Hostile, ATopicTooManyWipesWhatOthersHaveStillToBeTold) {
  constexpr std::uint64_t kGone = 103, kStays = 104;
  Harbour h({}, 2 * kSecond);
  for (const std::uint64_t id : {kGone, kStays}) h.w.client(id, 1);
  h.w.connect_all();
  h.w.settle();
  h.w.subscribe(kSub, "a/#");
  h.w.settle();
  for (const std::uint64_t id : {kGone, kStays}) h.w.publish(id, "a/b");
  h.w.settle();
  ASSERT_EQ(h.w[kSub].got.size(), 2u);
  h.w.sever(1, kSub);
  for (int i = 0; i < 3; ++i) h.w.publish(kGone, "a/b");
  h.w.settle();
  h.w.kill_client(kGone);
  h.w.advance(4 * kSecond);  // the one is detached, the other settled
  for (std::uint32_t i = 1; i <= h.w.limits.topics; ++i) {
    h.control(PTL_C_TOPIC, wire::TopicBody{.alias = i, .lane = PTL_LANE_REALTIME, .name = "x/" + std::to_string(i)});
  }
  EXPECT_EQ(h.w.broker(1).counters().streams_given_back, 0u);
  h.w.heal(1, kSub);
  h.w.advance(kSecond);
  EXPECT_EQ(h.w[kSub].gap_messages(), 3u);
}

}  // namespace
}  // namespace portolan::broker::fake
