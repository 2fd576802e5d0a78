// Fixed bit sets in an engine's arena, iterated in ascending order so that the same state always acts in the same
// order. Used inside broker/engine/ only.
#pragma once

#include <bit>
#include <cstdint>

#include "broker/store.hpp"

namespace portolan::broker::core {

// `rows` sets of `columns` bits each.
class BitMatrix {
 public:
  void construct(Arena& arena, std::uint32_t rows, std::uint32_t columns) {
    words_ = (columns + 63) / 64;
    bits_ = arena.take<std::uint64_t>(static_cast<std::size_t>(rows) * words_);
  }
  bool test(std::uint32_t row, std::uint32_t column) const { return (word(row, column) >> (column & 63) & 1) != 0; }
  void set(std::uint32_t row, std::uint32_t column) { word(row, column) |= 1ull << (column & 63); }
  void clear(std::uint32_t row, std::uint32_t column) { word(row, column) &= ~(1ull << (column & 63)); }
  void clear_row(std::uint32_t row) {
    for (std::uint32_t i = 0; i < words_; ++i) bits_[static_cast<std::size_t>(row) * words_ + i] = 0;
  }
  // The lowest column that is not set; all set: the number of columns, or more.
  std::uint32_t first_clear(std::uint32_t row) const {
    std::uint32_t i = 0;
    while (i < words_ && ~bits_[static_cast<std::size_t>(row) * words_ + i] == 0) ++i;
    if (i == words_) return words_ * 64;
    return i * 64 + static_cast<std::uint32_t>(std::countr_one(bits_[static_cast<std::size_t>(row) * words_ + i]));
  }
  // f(column) for each set bit, ascending; f may clear the bit that it is called with.
  template <typename F>
  void for_each(std::uint32_t row, F&& f) const {
    for (std::uint32_t i = 0; i < words_; ++i) {
      std::uint64_t left = bits_[static_cast<std::size_t>(row) * words_ + i];
      while (left != 0) {
        const auto bit = static_cast<std::uint32_t>(std::countr_zero(left));
        left &= left - 1;
        f(i * 64 + bit);
      }
    }
  }

 private:
  std::uint64_t& word(std::uint32_t row, std::uint32_t column) const {
    return bits_[static_cast<std::size_t>(row) * words_ + column / 64];
  }
  std::uint64_t* bits_ = nullptr;
  std::uint32_t words_ = 0;
};

}  // namespace portolan::broker::core
