#include "sim/lean/cores.hpp"

#include <gtest/gtest.h>

#include <string>

namespace portolan::sim {
namespace {

TEST(Cores, NoMoreRunAtOnceThanThereAreCoresAndTheFirstToAskIsServedFirst) {
  Cores cores(2);
  std::string order;
  for (const char who : {'a', 'b', 'c', 'd'}) cores.ask([&order, who] { order += who; });
  EXPECT_EQ(order, "ab");
  cores.release();
  EXPECT_EQ(order, "abc");
  cores.release();
  cores.release();
  cores.release();
  EXPECT_EQ(order, "abcd");
  cores.ask([&order] { order += 'e'; });
  cores.ask([&order] { order += 'f'; });
  cores.ask([&order] { order += 'g'; });
  EXPECT_EQ(order, "abcdef");
  EXPECT_EQ(cores.waiting_most(), 2u);
}

TEST(Cores, WhoGivesBackAtOnceLetsTheNextRun) {
  Cores cores(1);
  int ran = 0;
  cores.ask([] {});
  for (int i = 0; i < 1'000; ++i) {
    cores.ask([&] {
      ++ran;
      cores.release();
    });
  }
  cores.release();
  EXPECT_EQ(ran, 1'000);
}

}  // namespace
}  // namespace portolan::sim
