// What a broker can prove without keeping state: that a stranger receives at the path he sends from (cookie, before any
// session), and that this broker no longer knows a session (RESET token, given at handshake). Both are keyed hashes
// (SipHash-2-4-128); comparison takes the same time wherever they differ. Pure but for the keys; any thread.
#pragma once

#include <array>
#include <cstdint>

#include "broker/crypto/random.hpp"
#include "broker/types.hpp"

namespace portolan::broker {

using Token = std::array<std::uint8_t, 16>;

// Cookies are good in the epoch they were made in and in the next: 10 to 20 s.
inline constexpr std::uint64_t kCookieEpochNs = 10'000'000'000;

class CookieJar {
 public:
  explicit CookieJar(Random& random);
  // `binding`: what the cookie is to be tied to besides the path, such as the initiator's session index.
  Token make(std::uint64_t mono_ns, const PathId& path, std::uint64_t binding) const;
  bool check(std::uint64_t mono_ns, const PathId& path, std::uint64_t binding, const Token& cookie) const;

 private:
  Token at_epoch(std::uint64_t epoch, const PathId& path, std::uint64_t binding) const;
  std::array<std::uint8_t, 16> key_{};
};

// Tokens come from the static key, so a broker restarted with empty memory gives the same one for a session index of
// its former life. The peer keeps the token from the handshake and ends the session when a RESET shows it.
class ResetTokens {
 public:
  explicit ResetTokens(const Identity& identity);
  // `session`: the index (with its incarnation bits) that the peer writes into the frames it sends to me. `path`: the
  // peer's, so that nobody else can ask for the token beforehand (RFC 9000, 10.3.2); it must survive a restart as well.
  Token of(std::uint32_t session, const PathId& path) const;

 private:
  std::array<std::uint8_t, 16> key_{};
};

bool same_token(const Token& a, const Token& b);

}  // namespace portolan::broker
