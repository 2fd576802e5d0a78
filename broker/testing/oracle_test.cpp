// What the oracle forgives, and what it must not: an oracle that forgives too much finds nothing.
#include "broker/testing/oracle.hpp"

#include <gtest/gtest.h>

namespace portolan::broker::testing {
namespace {

constexpr Node kHome = 1, kPublisher = 2, kSubscriber = 3;
constexpr std::uint64_t kNever = ~0ull;

// A subscriber is let go at 10 s, while it is cut off until 11 s; perhaps it is cut off again. What is published and
// received at `received` never comes to it.
std::string verdict(std::uint64_t cut_again, std::uint64_t until, std::uint64_t received) {
  Oracle o(60 * kSecond);
  o.allow_gaps();
  o.client_started(kSecond, kPublisher, kHome, 7, 1);
  o.client_started(kSecond, kSubscriber, kHome, 8, 1);
  o.subscribe(kSecond, kSubscriber, "t");
  o.subscribed(2 * kSecond, kSubscriber, "t", 0);
  o.cursor(2 * kSecond, kSubscriber, "t", 7, 1, 1);
  o.connected(9 * kSecond, kSubscriber, kHome, false);
  o.detached(10 * kSecond, kHome, kSubscriber);
  o.connected(11 * kSecond, kSubscriber, kHome, true);
  if (cut_again != kNever) {
    o.connected(cut_again, kSubscriber, kHome, false);
    o.connected(until, kSubscriber, kHome, true);
  }
  o.published(received, kPublisher, "t", 1);
  o.accepted(received, kPublisher, "t", 1, 1);
  o.received(received, kPublisher, "t", 1, 1);
  o.delivered(until == kNever ? 30 * kSecond : until + kSecond, kSubscriber, "t", 7, 1, 1, true);
  o.judge(40 * kSecond);
  return o.violations().empty() ? "" : o.violations().front();
}

TEST(Oracle, WhoWasLetGoComesBackSoonAfterItsWay) {
  EXPECT_EQ(verdict(kNever, kNever, 12 * kSecond), "");
  EXPECT_NE(verdict(kNever, kNever, 14 * kSecond), "");
}

TEST(Oracle, AWayThatGoesAgainBeforeItCameBackForgivesAsLong) {
  EXPECT_EQ(verdict(12 * kSecond, 20 * kSecond, 19 * kSecond), "");
  EXPECT_NE(verdict(12 * kSecond, 20 * kSecond, 23 * kSecond), "");
}

TEST(Oracle, AWayThatGoesAgainLaterForgivesNothing) {
  EXPECT_NE(verdict(15 * kSecond, 20 * kSecond, 19 * kSecond), "");
}

}  // namespace
}  // namespace portolan::broker::testing
