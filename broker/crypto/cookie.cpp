#include "broker/crypto/cookie.hpp"

#include <sodium/crypto_generichash.h>
#include <sodium/crypto_shorthash_siphash24.h>
#include <sodium/crypto_verify_16.h>

namespace portolan::broker {
namespace {

static_assert(crypto_shorthash_siphashx24_BYTES == sizeof(Token));
static_assert(crypto_shorthash_siphashx24_KEYBYTES == 16);

}  // namespace

CookieJar::CookieJar(Random& random) {
  random.fill(key_);
}

Token CookieJar::at_epoch(std::uint64_t epoch, const PathId& path, std::uint64_t binding) const {
  const std::uint64_t words[5] = {epoch, path.words[0], path.words[1], path.words[2], binding};
  Token out;
  crypto_shorthash_siphashx24(out.data(), reinterpret_cast<const unsigned char*>(words), sizeof words, key_.data());
  return out;
}

Token CookieJar::make(std::uint64_t mono_ns, const PathId& path, std::uint64_t binding) const {
  return at_epoch(mono_ns / kCookieEpochNs, path, binding);
}

bool CookieJar::check(std::uint64_t mono_ns, const PathId& path, std::uint64_t binding, const Token& cookie) const {
  const std::uint64_t epoch = mono_ns / kCookieEpochNs;
  const bool now = same_token(cookie, at_epoch(epoch, path, binding));
  const bool before = epoch != 0 && same_token(cookie, at_epoch(epoch - 1, path, binding));
  return now || before;
}

ResetTokens::ResetTokens(const Identity& identity) {
  static constexpr unsigned char kLabel[] = "portolan reset token";
  crypto_generichash(key_.data(), key_.size(), kLabel, sizeof kLabel - 1, identity.static_private.data(),
                     identity.static_private.size());
}

Token ResetTokens::of(std::uint32_t session, const PathId& path) const {
  const std::uint64_t words[4] = {session, path.words[0], path.words[1], path.words[2]};
  Token out;
  crypto_shorthash_siphashx24(out.data(), reinterpret_cast<const unsigned char*>(words), sizeof words, key_.data());
  return out;
}

bool same_token(const Token& a, const Token& b) {
  return crypto_verify_16(a.data(), b.data()) == 0;
}

}  // namespace portolan::broker
