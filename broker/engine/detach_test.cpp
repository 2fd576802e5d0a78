// Let go in the midst of something: what was begun for a downstream must not go on without its place in the minimum.
#include <gtest/gtest.h>

#include "broker/engine/fake_net.hpp"

namespace portolan::broker::fake {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kPub = 101, kNear = 102, kSlow = 103, kOther = 104;

// A subscriber asks for all that is retained, and is let go, on account of another topic, before the home of what it
// asked for has answered. The home's answer must not make anybody owe what nobody will ever deliver: its publisher
// would never hear *received* again.
TEST(Detach, WhileTheHomesWordIsAwaitedLeavesNoMessageOwedByNobody) {
  World w({1, 2});
  w.rules = {{"b/#", Lane::realtime, 60 * kSecond, 0}};
  w.detach_ns = kSecond;
  for (const std::uint64_t id : {1u, 2u}) w.start_broker(id);
  w.client(kPub, 2);
  w.client(kNear, 1);
  w.client(kSlow, 1);
  w.client(kOther, 1);
  w.connect_all();
  w.settle();
  w.subscribe(kNear, "b/#");
  w.subscribe(kSlow, "a/#");
  w.advance(kSecond / 10);
  for (int i = 0; i < 5; ++i) ASSERT_NE(w.publish(kPub, "b/x"), 0u);
  w.settle();
  ASSERT_EQ(w[kPub].received, 5u);

  Hub::get().half(1, kSlow).hold_data = true;
  ASSERT_NE(w.publish(kOther, "a/x"), 0u);
  w.settle();
  Hub::get().half(1, 2).hold_control = true;  // the question to the home
  w.subscribe(kSlow, "b/#", ReplayMode::retained);
  w.settle();
  Hub::get().half(kSlow, 1).hold_control = true;  // its coming back
  w.advance(2 * kSecond);
  ASSERT_EQ(w.broker(1).counters().detached, 1u);
  Hub::get().half(1, kNear).hold_data = true;
  ASSERT_NE(w.publish(kOther, "b/x"), 0u);
  w.settle();
  Hub::get().half(1, 2).hold_control = false;
  w.settle();
  Hub::get().half(1, kNear).hold_data = false;
  Hub::get().half(kSlow, 1).hold_control = Hub::get().half(1, kSlow).hold_data = false;
  w.advance(5 * kSecond);
  EXPECT_EQ(w[kPub].received, 5u);
  EXPECT_EQ(w[kOther].received, 2u);
  EXPECT_EQ(w[kNear].sequences(), (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 1}));
}

}  // namespace
}  // namespace portolan::broker::fake
