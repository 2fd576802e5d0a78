// Sealing against the vectors of RFC 8439 (2.4.2 for the cipher, 2.8.2 and A.5 for the whole), and what seeking makes.
#include "broker/crypto/seal.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

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
template <std::size_t N>
std::array<std::uint8_t, N> array(const std::string& text) {
  std::array<std::uint8_t, N> out{};
  const Bytes b = hex(text);
  EXPECT_EQ(b.size(), N);
  std::copy(b.begin(), b.end(), out.begin());
  return out;
}

const char kSunscreen[] =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be "
    "it.";

Bytes sunscreen() {
  return {kSunscreen, kSunscreen + std::strlen(kSunscreen)};
}

TEST(Seal, Rfc8439Section242TheCipherFromBlockOne) {
  Bytes text = sunscreen();
  seal_part(array<32>("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
            array<12>("000000000000004a00000000"), 0, text);
  EXPECT_EQ(text, hex("6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0bf91b65c5524733ab8f593dabcd62b357"
                      "1639d624e65152ab8f530c359f0861d807ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736"
                      "5af90bbf74a35be6b40b8eedf2785e42874d"));
}

TEST(Seal, Rfc8439Section282TheWholeConstruction) {
  const auto key = array<32>("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const auto nonce = array<12>("070000004041424344454647");
  const Bytes header = hex("50515253c0c1c2c3c4c5c6c7");
  Bytes text = sunscreen();
  std::uint8_t authenticator[kSealBytes];
  seal_in_place(key, nonce, header, text, authenticator);
  EXPECT_EQ(text, hex("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
                      "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
                      "3ff4def08e4b7a9de576d26586cec64b6116"));
  EXPECT_EQ(Bytes(authenticator, authenticator + kSealBytes), hex("1ae10b594f09e26a7e902ecbd0600691"));
  Bytes opened(text.size());
  EXPECT_TRUE(open_sealed(key, nonce, header, text, authenticator, opened.data()));
  EXPECT_EQ(opened, sunscreen());
}

// A.5: an "Internet-Draft" of 265 bytes; here its opening.
TEST(Seal, Rfc8439AppendixA5Opens) {
  const auto key = array<32>("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
  const auto nonce = array<12>("000000000102030405060708");
  const Bytes header = hex("f33388860000000000004e91");
  Bytes text = hex(
      "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100"
      "d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61c186324e2b350638"
      "3606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7f83fa115"
      "5b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10"
      "49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709b");
  const Bytes authenticator = hex("eead9d67890cbb22392336fea1851f38");
  ASSERT_EQ(text.size(), 265u);
  ASSERT_TRUE(open_sealed(key, nonce, header, text, authenticator.data(), text.data()));  // in place
  const std::string opened(text.begin(), text.end());
  EXPECT_EQ(opened.substr(0, 28), "Internet-Drafts are draft do");
  EXPECT_EQ(opened.substr(opened.size() - 21), "work in progress./\xe2\x80\x9d");
}

TEST(Seal, NothingThatWasChangedOpens) {
  Key32 key{};
  key[5] = 9;
  const Bytes header = {1, 2, 3};
  Bytes text = sunscreen();
  std::uint8_t authenticator[kSealBytes];
  seal_in_place(key, packet_nonce(77), header, text, authenticator);
  Bytes out(text.size());
  const auto opens = [&](const SealNonce& nonce, const Bytes& h, std::size_t bytes) {
    return open_sealed(key, nonce, h, {text.data(), bytes}, authenticator, out.data());
  };
  ASSERT_TRUE(opens(packet_nonce(77), header, text.size()));
  for (std::size_t i = 0; i < text.size(); i += 13) {
    text[i] ^= 0x20;
    EXPECT_FALSE(opens(packet_nonce(77), header, text.size())) << i;
    text[i] ^= 0x20;
  }
  for (std::uint8_t& byte : authenticator) {
    byte ^= 0x01;
    EXPECT_FALSE(opens(packet_nonce(77), header, text.size()));
    byte ^= 0x01;
  }
  EXPECT_FALSE(opens(packet_nonce(78), header, text.size()));
  EXPECT_FALSE(opens(packet_nonce(77), {1, 2, 4}, text.size()));
  EXPECT_FALSE(opens(packet_nonce(77), {1, 2}, text.size()));
  EXPECT_FALSE(opens(packet_nonce(77), header, text.size() - 1));
  EXPECT_FALSE(opens(segment_nonce(0, 77), header, text.size()) && opens(segment_nonce(1, 77), header, text.size()));
  ASSERT_TRUE(opens(packet_nonce(77), header, text.size()));
}

TEST(Seal, APartMadeByItselfIsThatPartOfTheWhole) {
  Key32 key{};
  key[0] = 3;
  Bytes plain(65'520);
  for (std::size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  Bytes whole = plain;
  std::uint8_t authenticator[kSealBytes];
  seal_in_place(key, segment_nonce(1, 0xFFFFFFF0u), {}, whole, authenticator);
  for (std::uint32_t from = 0; from < plain.size(); from += 1'280) {
    const std::size_t bytes = std::min<std::size_t>(1'280, plain.size() - from);
    Bytes part(plain.begin() + from, plain.begin() + from + static_cast<std::ptrdiff_t>(bytes));
    seal_part(key, segment_nonce(1, 0xFFFFFFF0u), from, part);
    ASSERT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + from)) << from;
  }
}

TEST(Seal, NoTwoNoncesAreAlike) {
  EXPECT_EQ(packet_nonce(0x0102030405060708), array<12>("000000000807060504030201"));
  EXPECT_EQ(segment_nonce(1, 0x0A0B0C0D), array<12>("010000000d0c0b0a00000000"));
  EXPECT_NE(segment_nonce(0, 5), segment_nonce(1, 5));
}

}  // namespace
}  // namespace portolan::broker
