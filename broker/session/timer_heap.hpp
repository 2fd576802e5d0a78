// The next deadline of each session in a binary heap with positions: O(log n) to move one, O(1) to ask for the
// earliest. Ties go to the lower index, so that every machine serves sessions in the same order.
#pragma once

#include <cstdint>
#include <utility>

#include "broker/store.hpp"
#include "broker/types.hpp"

namespace portolan::broker::session {

class TimerHeap {
 public:
  void build(Arena& arena, std::uint32_t count) {
    due_ = arena.take<std::uint64_t>(count);
    heap_ = arena.take<std::uint32_t>(count);
    position_ = arena.take<std::uint32_t>(count);
    count_ = count;
    if (due_ == nullptr || heap_ == nullptr || position_ == nullptr) return;
    for (std::uint32_t i = 0; i < count; ++i) {
      due_[i] = kNever;
      heap_[i] = position_[i] = i;
    }
  }
  void set(std::uint32_t index, std::uint64_t due_ns) {
    if (due_ns == due_[index]) return;
    const bool earlier = due_ns < due_[index];
    due_[index] = due_ns;
    earlier ? up(position_[index]) : down(position_[index]);
  }
  std::uint64_t due(std::uint32_t index) const { return due_[index]; }
  std::uint32_t first() const { return heap_[0]; }
  std::uint64_t earliest() const { return count_ == 0 ? kNever : due_[heap_[0]]; }

 private:
  bool before(std::uint32_t a, std::uint32_t b) const { return due_[a] != due_[b] ? due_[a] < due_[b] : a < b; }
  void place(std::uint32_t at, std::uint32_t index) {
    heap_[at] = index;
    position_[index] = at;
  }
  void up(std::uint32_t at) {
    const std::uint32_t index = heap_[at];
    for (; at != 0 && before(index, heap_[(at - 1) / 2]); at = (at - 1) / 2) place(at, heap_[(at - 1) / 2]);
    place(at, index);
  }
  void down(std::uint32_t at) {
    const std::uint32_t index = heap_[at];
    while (true) {
      std::uint32_t child = 2 * at + 1;
      if (child >= count_) break;
      if (child + 1 < count_ && before(heap_[child + 1], heap_[child])) ++child;
      if (!before(heap_[child], index)) break;
      place(at, heap_[child]);
      at = child;
    }
    place(at, index);
  }

  std::uint64_t* due_ = nullptr;
  std::uint32_t* heap_ = nullptr;
  std::uint32_t* position_ = nullptr;
  std::uint32_t count_ = 0;
};

}  // namespace portolan::broker::session
