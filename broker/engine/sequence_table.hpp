// (stream, sequence) -> log entry, in O(1): de-duplication and RESUME both ask it. Open addressing with linear probing;
// erasing shifts back, so there are no tombstones and the cost never creeps up. Never iterated: its order means
// nothing.
#pragma once

#include <bit>
#include <cstdint>

#include "broker/store.hpp"

namespace portolan::broker::core {

class SequenceTable {
 public:
  void construct(Arena& arena, std::uint32_t entries) {
    mask_ = std::bit_ceil(entries < 8 ? 16u : entries * 2) - 1;
    cells_ = arena.take<Cell>(static_cast<std::size_t>(mask_) + 1);
  }
  std::uint32_t find(std::uint32_t stream, std::uint64_t sequence) const {
    for (std::uint32_t i = home(stream, sequence);; i = (i + 1) & mask_) {
      const Cell& c = cells_[i];
      if (c.entry == kNil) return kNil;
      if (c.stream == stream && c.sequence == sequence) return c.entry;
    }
  }
  // The caller holds fewer entries than the table was made for, so a free cell always exists.
  void insert(std::uint32_t stream, std::uint64_t sequence, std::uint32_t entry) {
    std::uint32_t i = home(stream, sequence);
    while (cells_[i].entry != kNil) i = (i + 1) & mask_;
    cells_[i] = {sequence, stream, entry};
  }
  void erase(std::uint32_t stream, std::uint64_t sequence) {
    std::uint32_t i = home(stream, sequence);
    while (cells_[i].entry == kNil || cells_[i].stream != stream || cells_[i].sequence != sequence) {
      if (cells_[i].entry == kNil) return;
      i = (i + 1) & mask_;
    }
    for (std::uint32_t j = (i + 1) & mask_; cells_[j].entry != kNil; j = (j + 1) & mask_) {
      const std::uint32_t wanted = home(cells_[j].stream, cells_[j].sequence);
      if (((j - wanted) & mask_) < ((j - i) & mask_)) continue;  // j would move before its home
      cells_[i] = cells_[j];
      i = j;
    }
    cells_[i].entry = kNil;
  }

 private:
  // Neighbours in sequence stand together: a stream's messages come one after the other, and each alone somewhere in a
  // table of megabytes would be fetched from afar.
  static constexpr std::uint32_t kTogether = 16;
  struct Cell {
    std::uint64_t sequence = 0;
    std::uint32_t stream = 0;
    std::uint32_t entry = kNil;
  };
  std::uint32_t home(std::uint32_t stream, std::uint64_t sequence) const {
    std::uint64_t x = (sequence / kTogether + (static_cast<std::uint64_t>(stream) << 40)) * 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    return (static_cast<std::uint32_t>(x >> 32) * kTogether + static_cast<std::uint32_t>(sequence % kTogether)) & mask_;
  }
  Cell* cells_ = nullptr;
  std::uint32_t mask_ = 0;
};

}  // namespace portolan::broker::core
