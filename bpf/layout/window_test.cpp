// The replay window: each number once, whatever the order, also from two CPUs at a time.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "bpf/layout/accept.h"

namespace {

TEST(Window, EachNumberOnce) {
  const auto window = std::make_unique<ptl_window>();
  EXPECT_EQ(ptl_window_mark(window.get(), 0), PTL_W_OLD);  // numbers begin at 1
  for (const std::uint64_t pn : {1u, 31u, 32u, 33u, 8191u, 5u}) {
    EXPECT_EQ(ptl_window_test(window.get(), pn), PTL_W_FRESH) << pn;
    EXPECT_EQ(ptl_window_test(window.get(), pn), PTL_W_FRESH) << pn;  // a look changes nothing
    EXPECT_EQ(ptl_window_mark(window.get(), pn), PTL_W_FRESH) << pn;
    EXPECT_EQ(ptl_window_test(window.get(), pn), PTL_W_REPLAY) << pn;
    EXPECT_EQ(ptl_window_mark(window.get(), pn), PTL_W_REPLAY) << pn;
  }
}

TEST(Window, WhatFellOutIsOld) {
  const auto window = std::make_unique<ptl_window>();
  EXPECT_EQ(ptl_window_mark(window.get(), 40), PTL_W_FRESH);
  EXPECT_EQ(ptl_window_mark(window.get(), 40 + PTL_WINDOW_PACKETS), PTL_W_FRESH);
  EXPECT_EQ(ptl_window_test(window.get(), 40), PTL_W_OLD);
  EXPECT_EQ(ptl_window_mark(window.get(), 41), PTL_W_OLD);    // the same word
  EXPECT_EQ(ptl_window_mark(window.get(), 80), PTL_W_FRESH);  // another word keeps its own
  EXPECT_EQ(ptl_window_mark(window.get(), 40 + PTL_WINDOW_PACKETS), PTL_W_REPLAY);
}

TEST(Window, TheLargestNumberIsNotWrapped) {
  const auto window = std::make_unique<ptl_window>();
  EXPECT_EQ(ptl_window_mark(window.get(), PTL_PACKET_MAX), PTL_W_FRESH);
  EXPECT_EQ(ptl_window_mark(window.get(), PTL_PACKET_MAX), PTL_W_REPLAY);
  EXPECT_EQ(ptl_window_mark(window.get(), PTL_PACKET_MAX + 1), PTL_W_OLD);
  EXPECT_EQ(ptl_window_mark(window.get(), ~0ull), PTL_W_OLD);
}

TEST(Window, AMillionNumbersOnTwoThreadsEachOnce) {
  constexpr std::uint64_t kNumbers = 1'000'000;
  const auto window = std::make_unique<ptl_window>();
  std::vector<std::uint8_t> accepted[2] = {std::vector<std::uint8_t>(kNumbers + 64),
                                           std::vector<std::uint8_t>(kNumbers + 64)};
  std::atomic<std::uint32_t> there{0};
  const auto run = [&](std::uint32_t me) {
    there.fetch_add(1);
    while (there.load() != 2) std::this_thread::yield();
    for (std::uint64_t i = 1; i <= kNumbers; ++i) {
      // Each thread in its own order within runs of 64, as a network would.
      const std::uint64_t pn = (i ^ (me * 0x2B)) == 0 ? i : i ^ (me * 0x2B);
      if (pn > kNumbers) continue;
      ptl_window_result result;
      do {
        result = ptl_window_mark(window.get(), pn);
      } while (result == PTL_W_BUSY);
      accepted[me][pn] = static_cast<std::uint8_t>(accepted[me][pn] + (result == PTL_W_FRESH));
    }
    for (std::uint64_t pn = kNumbers - 63; pn <= kNumbers; ++pn) {  // those that the permutation left out
      accepted[me][pn] =
          static_cast<std::uint8_t>(accepted[me][pn] + (ptl_window_mark(window.get(), pn) == PTL_W_FRESH));
    }
  };
  std::thread a(run, 0), b(run, 1);
  a.join();
  b.join();
  std::uint64_t wrong = 0, by_b = 0;
  for (std::uint64_t pn = 1; pn <= kNumbers; ++pn) {
    wrong += accepted[0][pn] + accepted[1][pn] != 1;
    by_b += accepted[1][pn];
  }
  EXPECT_EQ(wrong, 0u);
  std::printf("second thread was first with %lu of %lu numbers\n", static_cast<unsigned long>(by_b),
              static_cast<unsigned long>(kNumbers));
}

}  // namespace
