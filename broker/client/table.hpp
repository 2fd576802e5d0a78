// An open-addressing table from a 128-bit key to an index, cut from the Arena once: linear probing, at most half full,
// erased by shifting back (no tombstones, so its cost never grows with age). It has no iteration: order of hashes must
// reach nothing that leaves an engine.
#pragma once

#include <cstdint>

#include "broker/store.hpp"

namespace portolan::broker::client {

struct Key128 {
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  friend bool operator==(const Key128&, const Key128&) = default;
};

class Table {
 public:
  void take(Arena& arena, std::uint32_t capacity) {
    capacity_ = capacity;
    std::uint32_t slots = 4;
    while (slots < capacity * 2) slots *= 2;
    mask_ = slots - 1;
    slots_ = arena.take<Slot>(slots);
  }
  std::uint32_t find(Key128 key) const {
    for (std::uint32_t i = home(key);; i = (i + 1) & mask_) {
      if (slots_[i].value == kNil) return kNil;
      if (slots_[i].key == key) return slots_[i].value;
    }
  }
  // Sets or replaces; false when full.
  bool put(Key128 key, std::uint32_t value) {
    std::uint32_t i = home(key);
    for (; slots_[i].value != kNil; i = (i + 1) & mask_) {
      if (slots_[i].key == key) {
        slots_[i].value = value;
        return true;
      }
    }
    if (used_ >= capacity_) return false;
    slots_[i] = {key, value};
    ++used_;
    return true;
  }
  void erase(Key128 key) {
    std::uint32_t i = home(key);
    for (;; i = (i + 1) & mask_) {
      if (slots_[i].value == kNil) return;
      if (slots_[i].key == key) break;
    }
    --used_;
    for (std::uint32_t j = (i + 1) & mask_; slots_[j].value != kNil; j = (j + 1) & mask_) {
      // May the entry at j stand at i? Only if its home is not within (i, j].
      if (((j - home(slots_[j].key)) & mask_) >= ((j - i) & mask_)) {
        slots_[i] = slots_[j];
        i = j;
      }
    }
    slots_[i].value = kNil;
  }
  void clear() {
    if (used_ == 0) return;
    for (std::uint32_t i = 0; i <= mask_; ++i) slots_[i].value = kNil;
    used_ = 0;
  }
  std::uint32_t used() const { return used_; }

 private:
  struct Slot {
    Key128 key;
    std::uint32_t value = kNil;
  };
  std::uint32_t home(Key128 key) const {
    std::uint64_t h = key.a * 0x9E3779B97F4A7C15ull ^ (key.b + 0x7F4A7C15ull) * 0xC2B2AE3D27D4EB4Full;
    h ^= h >> 29;
    h *= 0xBF58476D1CE4E5B9ull;
    return static_cast<std::uint32_t>(h >> 32) & mask_;
  }
  Slot* slots_ = nullptr;
  std::uint32_t mask_ = 0;
  std::uint32_t capacity_ = 0;
  std::uint32_t used_ = 0;
};

}  // namespace portolan::broker::client
