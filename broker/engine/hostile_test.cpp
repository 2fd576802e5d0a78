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
  explicit Harbour(std::vector<TopicRule> rules = {}) : w({1}) {
    w.rules = std::move(rules);
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

}  // namespace
}  // namespace portolan::broker::fake
