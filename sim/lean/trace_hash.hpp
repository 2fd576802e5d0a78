// The trace hash of one engine: XXH3-64 over every input and output at its boundary, in order, field by field (never
// whole structs: padding is not part of a trace). Equal seeds give equal hashes on any machine and build.
#pragma once

#define XXH_STATIC_LINKING_ONLY  // the streaming state by value
#include <xxhash.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
    static_assert(std::endian::native == std::endian::little);  // or the bytes would have to be turned round
    add(&v, sizeof v);
  }
  void bytes(std::span<const std::uint8_t> data) {
    number(data.size());
    add(data.data(), data.size());
  }
  void text(std::span<const char> data) {
    number(data.size());
    add(data.data(), data.size());
  }
  void path(const broker::PathId& path) {
    for (std::uint64_t w : path.words) number(w);
  }
  std::uint64_t value() const {
    XXH3_state_t all = state_;
    XXH3_64bits_update(&all, waiting_.data(), used_);
    return XXH3_64bits_digest(&all);
  }
  std::uint64_t calls() const { return calls_; }

 private:
  // A call to XXH3 for every number cost more than its arithmetic: they wait here until there are enough.
  void add(const void* data, std::size_t size) {
    if (size == 0) return;  // an empty span may have no address
    if (used_ + size > waiting_.size()) {
      XXH3_64bits_update(&state_, waiting_.data(), used_);
      used_ = 0;
      if (size > waiting_.size()) {
        XXH3_64bits_update(&state_, data, size);
        return;
      }
    }
    std::memcpy(waiting_.data() + used_, data, size);
    used_ += size;
  }

  std::array<std::uint8_t, 2'048> waiting_;
  std::size_t used_ = 0;
  XXH3_state_t state_;
  std::uint64_t calls_ = 0;
};

}  // namespace portolan::sim
