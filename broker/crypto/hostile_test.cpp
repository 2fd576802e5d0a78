// What a stranger can send before anybody knows him: random, truncated, lengthened and spliced handshakes of every
// length. None is accepted, none reads or writes outside (the buffers are exact, for AddressSanitizer), and a broker is
// as ready afterwards as before.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "broker/crypto/cookie.hpp"
#include "broker/crypto/noise.hpp"
#include "broker/crypto/random.hpp"

namespace portolan::broker {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Side {
  Side(Random& random) {
    identity.static_private = random.key();
    identity.static_public = public_key_of(identity.static_private);
  }
  Identity identity;
  NoiseIk noise;
};

struct Hostile : testing::Test {
  Random random{Entropy{}, 99};
  Side alice{random}, bob{random};
  Prologue prologue;

  bool bob_takes(const Bytes& message) {
    bob.noise.start_responder(bob.identity, prologue.bytes(), random.key());
    // Exactly as long as what is told, and nothing behind.
    const auto exact = std::make_unique<std::uint8_t[]>(message.size());
    std::copy(message.begin(), message.end(), exact.get());
    Bytes payload(message.size() > kNoiseOverhead1 ? message.size() - kNoiseOverhead1 : 0);
    std::size_t n = 0;
    return bob.noise.read({exact.get(), message.size()}, payload, n);
  }
  Bytes first_message(std::size_t payload_bytes) {
    Bytes payload(payload_bytes), out(kNoiseOverhead1 + payload_bytes);
    random.fill(payload);
    alice.noise.start_initiator(alice.identity, bob.identity.static_public, prologue.bytes(), random.key());
    EXPECT_EQ(alice.noise.write(payload, out), out.size());
    return out;
  }
};

TEST_F(Hostile, RandomBytesOfEveryLength) {
  for (std::size_t length = 0; length <= 700; length += length < 200 ? 1 : 7) {
    Bytes message(length);
    random.fill(message);
    EXPECT_FALSE(bob_takes(message)) << length;
  }
  EXPECT_TRUE(bob_takes(first_message(40)));
}

TEST_F(Hostile, FlippedLengthenedAndSpliced) {
  const Bytes good = first_message(64), other = first_message(64);
  ASSERT_TRUE(bob_takes(good) && bob_takes(other));
  for (int round = 0; round < 300; ++round) {
    Bytes message = good;
    const std::size_t at = random.below(message.size());
    switch (random.below(4)) {
      case 0:
        message[at] ^= static_cast<std::uint8_t>(1 + random.below(127));
        break;  // never only the unused top bit
      case 1:
        message.resize(at);
        break;
      case 2:
        message.insert(message.end(), 1 + random.below(64), 0);
        break;
      default:
        if (at == 0) continue;
        std::copy(other.begin() + static_cast<std::ptrdiff_t>(at), other.end(),
                  message.begin() + static_cast<std::ptrdiff_t>(at));
        break;
    }
    if (message == good || message == other) continue;
    EXPECT_FALSE(bob_takes(message)) << round;
  }
  EXPECT_TRUE(bob_takes(good));
}

TEST_F(Hostile, OversizedPayloadIsRefusedBeforeItIsOpened) {
  Bytes message(kNoiseOverhead1 + kNoisePayloadMax + 1);
  EXPECT_FALSE(bob_takes(message));
  EXPECT_TRUE(bob_takes(first_message(kNoisePayloadMax)));
}

TEST_F(Hostile, NobodyGuessesACookie) {
  const CookieJar jar(random);
  for (int round = 0; round < 100'000; ++round) {
    Token guess;
    random.fill(guess);
    ASSERT_FALSE(jar.check(static_cast<std::uint64_t>(round) * 1'000'000, PathId{{1, 2, 3}}, 4, guess));
  }
}

}  // namespace
}  // namespace portolan::broker
