// A cookie is good for its path, its binding and two epochs; a RESET token survives a restart.
#include "broker/crypto/cookie.hpp"

#include <gtest/gtest.h>

namespace portolan::broker {
namespace {

CookieJar jar(std::uint8_t n) {
  Entropy e;
  e.seed[0] = n;
  Random random(e, 1);
  return CookieJar(random);
}

TEST(Cookie, GoodForTwoEpochs) {
  const CookieJar j = jar(1);
  const PathId path{{1, 2, 3}};
  const std::uint64_t made = 3 * kCookieEpochNs + 5;
  const Token cookie = j.make(made, path, 9);
  EXPECT_TRUE(j.check(made, path, 9, cookie));
  EXPECT_TRUE(j.check(made + kCookieEpochNs, path, 9, cookie));
  EXPECT_FALSE(j.check(made + 2 * kCookieEpochNs, path, 9, cookie));
  EXPECT_FALSE(j.check(made - kCookieEpochNs, path, 9, cookie));  // from the future: not ours
  EXPECT_TRUE(j.check(0, path, 9, j.make(0, path, 9)));
}

TEST(Cookie, BoundToPathBindingAndSecret) {
  const CookieJar j = jar(1);
  const Token cookie = j.make(0, {{1, 2, 3}}, 9);
  EXPECT_FALSE(j.check(0, {{1, 2, 4}}, 9, cookie));
  EXPECT_FALSE(j.check(0, {{2, 2, 3}}, 9, cookie));
  EXPECT_FALSE(j.check(0, {{1, 2, 3}}, 8, cookie));
  EXPECT_FALSE(jar(2).check(0, {{1, 2, 3}}, 9, cookie));
  EXPECT_FALSE(j.check(0, {{1, 2, 3}}, 9, Token{}));
}

TEST(Cookie, AnyBitFlippedIsRefused) {
  const CookieJar j = jar(1);
  const PathId path{{1, 2, 3}};
  Token cookie = j.make(0, path, 0);
  for (std::size_t bit = 0; bit < 128; ++bit) {
    cookie[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    EXPECT_FALSE(j.check(0, path, 0, cookie)) << bit;
    cookie[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
  }
  EXPECT_TRUE(j.check(0, path, 0, cookie));
}

TEST(ResetToken, SurvivesARestartAndNamesOneSession) {
  Identity before, after, other;
  before.static_private[5] = after.static_private[5] = 77;
  before.incarnation = 1;
  after.incarnation = 2;
  other.static_private[5] = 78;
  const PathId path{{1, 2, 3}};
  EXPECT_EQ(ResetTokens(before).of(1234, path), ResetTokens(after).of(1234, path));
  EXPECT_NE(ResetTokens(before).of(1234, path), ResetTokens(before).of(1235, path));
  EXPECT_NE(ResetTokens(before).of(1234, path), ResetTokens(other).of(1234, path));
  for (std::size_t i = 0; i < 3; ++i) {
    PathId elsewhere = path;
    elsewhere.words[i] ^= 1;
    EXPECT_NE(ResetTokens(before).of(1234, path), ResetTokens(before).of(1234, elsewhere)) << i;
  }
}

}  // namespace
}  // namespace portolan::broker
