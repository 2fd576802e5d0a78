#include "broker/daemon/log.hpp"

#include <gtest/gtest.h>

namespace portolan::daemon {
namespace {

TEST(Log, text_shows_fields_and_no_line_can_be_forged) {
  EXPECT_EQ(log_line(false, "info", "session up", {{"peer", 7u}, {"name", "a"}}), "info session up peer=7 name=a");
  EXPECT_EQ(log_line(false, "info", "x", {{"name", "a\nerror forged \"b\""}}), "info x name=\"a?error forged 'b'\"");
  EXPECT_EQ(log_line(false, "info", "x", {{"name", ""}}), "info x name=\"\"");
}

TEST(Log, json_is_escaped) {
  // The opening brace and the time are the sink's.
  EXPECT_EQ(log_line(true, "error", "x", {{"n", -3}, {"why", "a \"b\" \\ \n"}}),
            R"("level":"error","event":"x","n":-3,"why":"a \"b\" \\ \u000a"})");
}

TEST(Log, what_a_peer_can_cause_is_bounded_and_what_is_held_back_counted) {
  Throttle throttle(3);
  int admitted = 0;
  for (int i = 0; i < 10; ++i) admitted += throttle.admit(5'000'000'000) ? 1 : 0;
  EXPECT_EQ(admitted, 3);
  EXPECT_EQ(throttle.take_held_back(), 7u);
  EXPECT_EQ(throttle.take_held_back(), 0u);
  EXPECT_TRUE(throttle.admit(6'000'000'000));
}

}  // namespace
}  // namespace portolan::daemon
