// The trace hash of one engine: XXH3-64 over every input and output at its boundary, in order, field by field (never
// whole structs: padding is not part of a trace). Equal seeds give equal hashes on any machine and build.
#pragma once

#define XXH_STATIC_LINKING_ONLY  // the streaming state by value
#include <xxhash.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "broker/types.hpp"

namespace portolan::sim {

class TraceHash {
 public:
  enum class Step : std::uint8_t {
    receive = 1,
    tick,
    transmit,
    deliver,
    event,
    publish,
    subscribe,
    unsubscribe,
    verdict
  };

  TraceHash() { XXH3_64bits_reset(&state_); }
  void begin(Step step, broker::Now now) {
    ++calls_;
    number(static_cast<std::uint64_t>(step));
    number(now.mono_ns);
    number(static_cast<std::uint64_t>(now.wall_ns));
  }
  void number(std::uint64_t v) {
    std::uint8_t raw[8];
    for (int i = 0; i < 8; ++i) raw[i] = static_cast<std::uint8_t>(v >> (8 * i));
    XXH3_64bits_update(&state_, raw, sizeof raw);
  }
  void bytes(std::span<const std::uint8_t> data) {
    number(data.size());
    XXH3_64bits_update(&state_, data.data(), data.size());
  }
  void text(std::span<const char> data) {
    number(data.size());
    XXH3_64bits_update(&state_, data.data(), data.size());
  }
  void path(const broker::PathId& path) {
    for (std::uint64_t w : path.words) number(w);
  }
  std::uint64_t value() const { return XXH3_64bits_digest(&state_); }
  std::uint64_t calls() const { return calls_; }

 private:
  XXH3_state_t state_;
  std::uint64_t calls_ = 0;
};

}  // namespace portolan::sim
