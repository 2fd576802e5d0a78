// What gives way when memory is short: never what was accepted and is owed to somebody who is there.
#include <gtest/gtest.h>

#include "broker/engine/fake_net.hpp"

namespace portolan::broker::fake {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kPub = 101, kSub = 202, kOther = 103;

// A home broker with little memory, a far one with a subscriber.
struct Narrow {
  explicit Narrow(std::uint64_t detach_ns = 10 * kSecond) : w({1, 2}) {
    w.rules = {{"#", Lane::realtime, 60 * kSecond, 0}};
    w.detach_ns = detach_ns;
    w.limits.messages = w.limits.small_blocks = 512;
    w.limits.window_messages = 64;
    for (const std::uint64_t id : {1u, 2u}) w.start_broker(id);
    w.client(kPub, 1);
    w.client(kOther, 1);
    w.client(kSub, 2);
    w.connect_all();
    w.settle();
    w.subscribe(kSub, "a/#");
    w.advance(kSecond / 10);
  }
  void publish(int messages, std::uint64_t every_ns) {
    for (int i = 0; i < messages; ++i) {
      ASSERT_NE(w.publish(kPub, "a/b"), 0u);
      w.advance(every_ns);
    }
  }
  void let_one_window_through() {
    Hub::get().half(1, 2).hold_data = false;
    Hub::get().flow();
    Hub::get().half(1, 2).hold_data = true;
    w.settle();
  }
  std::uint64_t delivered() { return w[kSub].sequences().size(); }
  World w;
};

TEST(Memory, WhatWasAcceptedIsForgottenThoughItsSubscriberIsMerelySlow) {
  Narrow n;
  Hub::get().half(1, 2).hold_data = true;
  n.publish(1'000, kSecond / 200);
  EXPECT_GT(n.w[kPub].refused, 300u);
  EXPECT_GT(n.w[kPub].accepted, 300u);
  Hub::get().half(1, 2).hold_data = false;
  n.w.advance(kSecond);
  EXPECT_EQ(n.delivered() + n.w[kPub].refused, 1'000u);
  EXPECT_EQ(n.w[kPub].received, n.w[kPub].accepted);
}

// Let go at the bound, it comes back at once; in between nobody owed it anything, and all of it went.
TEST(Memory, WhatWasAcceptedIsForgottenWhileItsSubscriberIsOnItsWayBack) {
  Narrow n(2 * kSecond);
  Hub::get().half(1, 2).hold_data = true;
  n.publish(400, kSecond / 1'000);
  Hub::get().half(2, 1).hold_control = true;
  n.let_one_window_through();  // slow, but it moves on
  for (int i = 0; i < 100 && n.w.broker(1).counters().detached == 0; ++i) n.w.advance(kSecond / 20);
  EXPECT_EQ(n.delivered(), 64u);
  n.publish(400, kSecond / 1'000);
  EXPECT_GT(n.w[kPub].refused, 0u);
  Hub::get().half(2, 1).hold_control = Hub::get().half(1, 2).hold_data = false;
  n.w.advance(kSecond);
  EXPECT_EQ(n.delivered() + n.w[kPub].refused, 800u);
}

// Who never reads does not keep publishers waiting for longer than the bound.
TEST(Memory, ASubscriberThatStandsStillKeepsPublishersWaitingForOneBoundOnly) {
  Narrow n(kSecond);
  n.w.subscribe(kOther, "a/#");
  n.w.settle();
  Hub::get().half(1, kOther).hold_data = true;
  n.publish(2'000, kSecond / 200);
  const std::uint64_t refused = n.w[kPub].refused;
  EXPECT_EQ(n.delivered() + refused, 2'000u);
  EXPECT_EQ(n.w[kPub].accepted + refused, 2'000u);
  EXPECT_LE(refused, 200u);  // memory for two and a half seconds, and a bound of one
}

// Memory that is only retained goes first, also where somebody slow in another topic holds what is older.
TEST(Memory, WhatIsOnlyRetainedIsKeptThoughAPublisherIsRefused) {
  Narrow n;
  ASSERT_NE(n.w.publish(kPub, "a/b"), 0u);
  n.w.settle();
  n.w.subscribe(kOther, "a/b");
  n.w.settle();
  Hub::get().half(1, kOther).hold_data = true;
  ASSERT_NE(n.w.publish(kPub, "a/b"), 0u);
  for (int i = 0; i < 2'000; ++i) {
    ASSERT_NE(n.w.publish(kPub, "c/d"), 0u);
    n.w.settle();
  }
  EXPECT_EQ(n.w[kPub].refused, 0u);
  EXPECT_EQ(n.w.broker(1).counters().detached, 0u);
}

}  // namespace
}  // namespace portolan::broker::fake
