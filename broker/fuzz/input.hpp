// What the fuzz targets of this folder share: reading a fuzzer's bytes as choices, and reporting. A report is a
// sentence and abort(), which libFuzzer and cmake/replay_corpus.cpp both catch. For fuzz targets only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

namespace portolan::broker::fuzz {

inline void require(bool holds, const char* what, unsigned long long which = 0) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s (%llu)\n", what, which);
  std::abort();
}

// Choices from bytes; once they have run out, zeroes. Short inputs stay short runs.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t bytes) : at_(data), left_(bytes) {}
  bool more() const { return left_ > 0; }
  std::uint8_t byte() { return static_cast<std::uint8_t>(number(1)); }
  std::uint64_t number(std::size_t bytes) {
    std::uint64_t value = 0;
    for (; bytes > 0; --bytes) {
      value <<= 8;
      if (left_ == 0) continue;
      value |= *at_++;
      --left_;
    }
    return value;
  }
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(number(bound <= 256 ? 1 : 2)) % bound; }
  std::vector<std::uint8_t> bytes(std::size_t count) {
    count = std::min(count, left_);
    std::vector<std::uint8_t> out(at_, at_ + count);
    at_ += count;
    left_ -= count;
    return out;
  }
  // 10 us to 2.6 s, mostly short: what timers, round trips and timeouts are made of.
  std::uint64_t time_ns() {
    const std::uint8_t b = byte();
    return (std::uint64_t{b & 15u} + 1) * 10'000 << (b >> 4);
  }

 private:
  const std::uint8_t* at_;
  std::size_t left_;
};

}  // namespace portolan::broker::fuzz
