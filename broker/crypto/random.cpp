#include "broker/crypto/random.hpp"

#include <sodium/crypto_stream_chacha20.h>

#include <cstring>

namespace portolan::broker {

Random::Random(const Entropy& entropy, std::uint64_t purpose) : seed_(entropy.seed), purpose_(purpose) {}

void Random::refill() {
  unsigned char nonce[crypto_stream_chacha20_NONCEBYTES];
  static_assert(sizeof nonce == sizeof purpose_);
  std::memcpy(nonce, &purpose_, sizeof nonce);
  buffer_.fill(0);
  crypto_stream_chacha20_xor_ic(buffer_.data(), buffer_.data(), buffer_.size(), nonce, block_++, seed_.data());
  left_ = static_cast<std::uint32_t>(buffer_.size());
}

void Random::fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    if (left_ == 0) refill();
    const std::size_t n = out.size() < left_ ? out.size() : left_;
    std::memcpy(out.data(), buffer_.data() + (buffer_.size() - left_), n);
    left_ -= static_cast<std::uint32_t>(n);
    out = out.subspan(n);
  }
}

std::uint64_t Random::next() {
  std::uint64_t v = 0;
  fill({reinterpret_cast<std::uint8_t*>(&v), sizeof v});
  return v;
}

// Lemire's multiplication ("Fast Random Integer Generation in an Interval"), with his rejection: no bias, and a bounded
// number of tries, for a bias of 2^-64 at worst then.
std::uint64_t Random::below(std::uint64_t bound) {
  __extension__ using Wide = unsigned __int128;
  if (bound == 0) return 0;
  Wide product = Wide{next()} * bound;
  const std::uint64_t threshold = (0 - bound) % bound;
  for (int i = 0; i < 64 && static_cast<std::uint64_t>(product) < threshold; ++i) product = Wide{next()} * bound;
  return static_cast<std::uint64_t>(product >> 64);
}

Key32 Random::key() {
  Key32 out;
  fill(out);
  return out;
}

}  // namespace portolan::broker
