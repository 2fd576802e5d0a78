// The handshake against the published vector of cacophony (github.com/haskell-cryptography/cacophony, vectors/
// cacophony.txt, "Noise_IK_25519_ChaChaPoly_SHA256"; also in github.com/mcginty/snow, tests/vectors/cacophony.txt), and
// against everything that a peer may do wrong.
#include "broker/crypto/noise.hpp"

#include <gtest/gtest.h>
#include <sodium/crypto_aead_chacha20poly1305.h>
#include <sodium/crypto_stream_chacha20.h>

#include <cstring>
#include <string>
#include <vector>

#include "broker/crypto/random.hpp"

namespace portolan::broker {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes hex(const std::string& text) {
  Bytes out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return out;
}
Key32 key(const std::string& text) {
  Key32 out{};
  const Bytes b = hex(text);
  std::copy(b.begin(), b.end(), out.begin());
  return out;
}
Bytes text(const char* s) {
  return {s, s + std::strlen(s)};
}

Identity identity(const Key32& static_private) {
  Identity out;
  out.id = 1;
  out.static_private = static_private;
  out.static_public = public_key_of(static_private);
  return out;
}

Bytes transport(const Key32& k, std::uint64_t counter, const Bytes& plain) {
  std::uint8_t nonce[12] = {};
  std::memcpy(nonce + 4, &counter, 8);
  Bytes out(plain.size() + 16);
  crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(), plain.size(), nullptr, 0, nullptr, nonce,
                                            k.data());
  return out;
}

TEST(Noise, PublishedVector) {
  const Identity alice = identity(key("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1"));
  const Identity bob = identity(key("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893"));
  const Key32 alice_e = key("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a");
  const Key32 bob_e = key("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b");
  EXPECT_EQ(bob.static_public, key("31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62"));
  const Bytes prologue = text("John Galt");
  NoiseIk a, b;
  a.start_initiator(alice, bob.static_public, prologue, alice_e);
  b.start_responder(bob, prologue, bob_e);

  std::uint8_t wire[700], payload[512];
  std::size_t n = 0;
  std::size_t length = a.write(text("Ludwig von Mises"), wire);
  EXPECT_EQ(Bytes(wire, wire + length), hex("ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
                                            "718da798efbcd91528520204f904b9bd6c7413dccdc214d951e15253e39987f1"
                                            "8146e8cd0873654207148333479d4d16c289f0294b29960a72f48e0b7bba2e89"
                                            "083169825e59642148d492020664ccf7"));
  ASSERT_TRUE(b.read({wire, length}, payload, n));
  EXPECT_EQ(Bytes(payload, payload + n), text("Ludwig von Mises"));
  EXPECT_EQ(b.peer(), alice.static_public);

  length = b.write(text("Murray Rothbard"), wire);
  EXPECT_EQ(Bytes(wire, wire + length), hex("95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
                                            "5361e70b2ed446e6c9ec387d1d6b3b840f194e373979d241b203c4acafccf5"));
  ASSERT_TRUE(a.read({wire, length}, payload, n));
  EXPECT_EQ(Bytes(payload, payload + n), text("Murray Rothbard"));
  ASSERT_TRUE(a.complete() && b.complete());
  EXPECT_EQ(a.handshake_hash(), key("0b0f68fb0c27e03ce9b97565995ed4838cc0581b762ef72b062f6a546419fad7"));
  EXPECT_EQ(b.handshake_hash(), a.handshake_hash());

  // The vector's transport messages prove Split(): the initiator's, the responder's, and again.
  Key32 to_bob, to_alice, to_bob_b, to_alice_b;
  ASSERT_TRUE(a.split(to_bob, to_alice) && b.split(to_bob_b, to_alice_b));
  EXPECT_EQ(to_bob, to_bob_b);
  EXPECT_EQ(to_alice, to_alice_b);
  EXPECT_EQ(transport(to_bob, 0, text("F. A. Hayek")), hex("050e9f3c8fac16b68dbce8f8c4bfbf6617c897f9ada4aa29aa19c8"));
  EXPECT_EQ(transport(to_alice, 0, text("Carl Menger")), hex("344233a6cabb7141d80f3da2fedc311d9646bbb0f505afe403a667"));
  EXPECT_EQ(transport(to_bob, 1, text("Jean-Baptiste Say")),
            hex("62cdeeb172ad7ade7aa7d9e069da5790f12331bfa00177787a1d0810c67dc3b2b4"));
  EXPECT_EQ(transport(to_alice, 1, hex("457567656e2042f6686d20766f6e2042617765726b")),
            hex("029bead1b40992327044d409d9a1f3ad8f36c3c452775d557e18bbeb2e8dfcead32d514024"));
}

// Section 4.2: REKEY(k) is the first 32 bytes of ENCRYPT(k, 2^64 - 1, zerolen, 32 zeros); ChaChaPoly's nonce is 32 zero
// bits and the counter, little-endian (12.3), and the cipher alone makes those bytes: block 1 of its key stream.
TEST(Noise, TheNextPhaseIsMadeOfItsRekey) {
  Key32 secret = key("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  Key32 expected{};
  const std::uint8_t nonce[12] = {0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255};
  crypto_stream_chacha20_ietf_xor_ic(expected.data(), expected.data(), expected.size(), nonce, 1, secret.data());
  DirectionKeys first, second, other;
  next_phase(secret, 7, 9, first);
  EXPECT_EQ(secret, expected);
  Key32 again = secret;
  next_phase(secret, 7, 9, second);
  EXPECT_NE(secret, expected);
  EXPECT_NE(first.tag, second.tag);
  EXPECT_NE(first.packet, second.packet);
  EXPECT_NE(first.segment, second.segment);
  EXPECT_NE(first.packet, first.segment);
  next_phase(again, 9, 7, other);  // another session of the same secret
  EXPECT_EQ(again, secret);
  EXPECT_NE(other.tag, second.tag);
  EXPECT_NE(other.packet, second.packet);
  EXPECT_NE(other.segment, second.segment);
}

struct Pair {
  explicit Pair(std::uint64_t purpose) : random(Entropy{}, purpose) {
    alice = identity(random.key());
    bob = identity(random.key());
    a.start_initiator(alice, bob.static_public, prologue.bytes(), random.key());
    b.start_responder(bob, prologue.bytes(), random.key());
  }
  bool run() {
    first.resize(a.write(payload, wire));
    std::copy_n(wire, first.size(), first.begin());
    if (!b.read(first, out, n)) return false;
    second.resize(b.write(payload, wire));
    std::copy_n(wire, second.size(), second.begin());
    return a.read(second, out, n);
  }
  Random random;
  Identity alice, bob;
  Prologue prologue;
  NoiseIk a, b;
  Bytes payload = text("who I am"), first, second;
  std::uint8_t wire[700], out[512];
  std::size_t n = 0;
};

TEST(Noise, KeysAgreeCrosswiseAndAreBoundToTheIndices) {
  Pair p(1);
  ASSERT_TRUE(p.run());
  SessionKeys a, b, elsewhere;
  ASSERT_TRUE(p.a.session_keys(10, 20, a));
  ASSERT_TRUE(p.b.session_keys(20, 10, b));
  EXPECT_EQ(a.send.tag, b.receive.tag);
  EXPECT_EQ(a.send.packet, b.receive.packet);
  EXPECT_EQ(a.send.segment, b.receive.segment);
  EXPECT_EQ(a.receive.tag, b.send.tag);
  EXPECT_EQ(a.uid, b.uid);
  EXPECT_NE(a.send.tag, a.receive.tag);  // nothing can be reflected
  EXPECT_NE(a.send.packet, a.send.segment);
  ASSERT_TRUE(p.a.session_keys(10, 21, elsewhere));
  EXPECT_NE(a.send.tag, elsewhere.send.tag);
  EXPECT_NE(a.uid, elsewhere.uid);
  Pair again(2);
  ASSERT_TRUE(again.run());
  SessionKeys c;
  ASSERT_TRUE(again.a.session_keys(10, 20, c));
  EXPECT_NE(a.uid, c.uid);
}

TEST(Noise, EveryFlippedBitAndEveryTruncationIsRefused) {
  Pair whole(1);
  ASSERT_TRUE(whole.run());
  for (std::size_t i = 0; i < whole.first.size(); ++i) {
    Pair p(1);
    Bytes message = whole.first;
    message[i] ^= static_cast<std::uint8_t>(1u << i % 8);
    if (i == 31) message[i] = static_cast<std::uint8_t>(whole.first[i] ^ 1);  // X25519 ignores the top bit
    EXPECT_FALSE(p.b.read(message, p.out, p.n)) << i;
    EXPECT_EQ(p.b.write(p.payload, p.wire), 0u);  // dead from then on
    Pair q(1);
    EXPECT_FALSE(q.b.read(std::span(whole.first).first(i), q.out, q.n)) << i;
  }
  for (std::size_t i = 0; i < whole.second.size(); ++i) {
    Pair p(1);
    ASSERT_NE(p.a.write(p.payload, p.wire), 0u);
    Bytes message = whole.second;
    message[i] ^= 1;
    EXPECT_FALSE(p.a.read(message, p.out, p.n)) << i;
    EXPECT_FALSE(p.a.read(whole.second, p.out, p.n));
  }
}

TEST(Noise, AChangedPrologueOrAnotherResponderIsRefused) {
  Pair p(1);
  Prologue forged = p.prologue;
  forged.version = 2;
  p.b.start_responder(p.bob, forged.bytes(), p.random.key());
  EXPECT_FALSE(p.run());
  Pair q(1);
  q.b.start_responder(q.alice, q.prologue.bytes(), q.random.key());
  EXPECT_FALSE(q.run());
}

TEST(Noise, OutOfTurnAndShortBuffersAreRefused) {
  Pair p(1);
  SessionKeys keys;
  EXPECT_FALSE(p.a.session_keys(1, 2, keys));
  EXPECT_EQ(p.b.write(p.payload, p.wire), 0u);
  EXPECT_FALSE(p.a.read(Bytes(200), p.out, p.n));
  EXPECT_EQ(p.a.write(p.payload, std::span(p.wire).first(100)), 0u);
  EXPECT_EQ(p.a.write(Bytes(kNoisePayloadMax + 1), p.wire), 0u);
  const std::size_t length = p.a.write(p.payload, p.wire);
  ASSERT_EQ(length, kNoiseOverhead1 + p.payload.size());
  EXPECT_EQ(p.a.write(p.payload, p.out), 0u);  // once
  EXPECT_FALSE(p.b.read({p.wire, length}, std::span(p.out).first(3), p.n));
}

TEST(Noise, APointOfSmallOrderIsRefused) {
  Pair p(1);
  Bytes message(kNoiseOverhead1, 0);  // e = 0: the shared secret would be 0
  EXPECT_FALSE(p.b.read(message, p.out, p.n));
  NoiseIk a;
  a.start_initiator(p.alice, Key32{}, {}, p.random.key());
  EXPECT_EQ(a.write(p.payload, p.wire), 0u);
}

}  // namespace
}  // namespace portolan::broker
