// Draws are the same for the same seed, independent between purposes, and even.
#include "broker/crypto/random.hpp"

#include <gtest/gtest.h>

namespace portolan::broker {
namespace {

Entropy seed(std::uint8_t n) {
  Entropy e;
  e.seed[0] = n;
  return e;
}

// The keystream of ChaCha20 for an all-zero key and nonce (RFC 7539, A.1, test vector 1: the same words, since with a
// zero nonce the 64-bit and the 96-bit variant are one).
TEST(Random, IsChaCha20) {
  Random r(seed(0), 0);
  EXPECT_EQ(r.next(), 0x903df1a0ade0b876ull);
  EXPECT_EQ(r.next(), 0x28bd8653e56a5d40ull);
  for (int i = 2; i < 8; ++i) r.next();
  EXPECT_EQ(r.next() & 0xFFFFFFFF, 0xbee7079full);  // block 1: test vector 2
}

TEST(Random, SeedAndPurposeDecide) {
  Random a(seed(1), 7), b(seed(1), 7), other_purpose(seed(1), 8), other_seed(seed(2), 7);
  const std::uint64_t first = a.next();
  EXPECT_EQ(first, b.next());
  EXPECT_NE(first, other_purpose.next());
  EXPECT_NE(first, other_seed.next());
  EXPECT_EQ(a.key(), b.key());
}

TEST(Random, HowBytesAreAskedForDoesNotMatter) {
  Random a(seed(3), 1), b(seed(3), 1);
  std::uint8_t x[200], y[200];
  a.fill(x);
  for (std::size_t i = 0; i < sizeof y; i += 8) b.fill({y + i, 8});
  EXPECT_TRUE(std::equal(x, x + 200, y));
}

TEST(Random, BelowStaysBelowAndIsEven) {
  Random r(seed(4), 1);
  std::uint32_t count[10] = {};
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t v = r.below(10);
    ASSERT_LT(v, 10u);
    ++count[v];
  }
  for (const std::uint32_t c : count) EXPECT_NEAR(c, 10'000, 500);  // 5 standard deviations
  EXPECT_EQ(r.below(0), 0u);
  EXPECT_EQ(r.below(1), 0u);
  for (int i = 0; i < 1000; ++i) ASSERT_LT(r.below((1ull << 63) + 1), (1ull << 63) + 1);
}

}  // namespace
}  // namespace portolan::broker
