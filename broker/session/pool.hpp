// A bounded pool of objects linked by index, and queues of them. Objects have a member `next`. No allocation after
// build.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>

#include "broker/session/endpoint.hpp"
#include "broker/store.hpp"

namespace portolan::broker::session {

template <typename T>
class Pool {
 public:
  void build(Arena& arena, std::uint32_t count) {
    items_ = arena.take_raw<T>(count);
    count_ = count;
  }
  std::uint32_t take() {  // kNil: none left. Reset to its defaults.
    std::uint32_t i = head_;
    if (i != kNil) {
      head_ = items_[i].next;
    } else if (fresh_ < count_) {
      i = fresh_++;
    } else {
      return kNil;
    }
    new (items_ + i) T();
    items_[i].next = kNil;
    if (++used_ > most_) most_ = used_;
    return i;
  }
  void give(std::uint32_t i) {
    items_[i].next = head_;
    head_ = i;
    --used_;
  }
  bool known(std::uint32_t i) const { return i < fresh_; }  // was taken once
  T& operator[](std::uint32_t i) { return items_[i]; }
  const T& operator[](std::uint32_t i) const { return items_[i]; }
  std::uint32_t free() const { return count_ - used_; }
  std::uint32_t count() const { return count_; }
  std::uint32_t most() const { return most_; }

 private:
  static_assert(std::is_trivially_destructible_v<T>);
  T* items_ = nullptr;
  // From `fresh_` on nobody has ever been taken, and their memory has not been touched: bounds are for the busiest
  // hour.
  std::uint32_t count_ = 0, head_ = kNil, fresh_ = 0, used_ = 0, most_ = 0;
};

struct Queue {  // first in, first out, through `next`
  std::uint32_t head = kNil, tail = kNil;
  bool empty() const { return head == kNil; }
  template <typename T>
  void push(Pool<T>& pool, std::uint32_t i) {
    pool[i].next = kNil;
    (tail == kNil ? head : pool[tail].next) = i;
    tail = i;
  }
  template <typename T>
  void remove(Pool<T>& pool, std::uint32_t i, std::uint32_t before) {  // `before`: the one in front of it, or kNil
    (before == kNil ? head : pool[before].next) = pool[i].next;
    if (tail == i) tail = before;
  }
  template <typename T>
  std::uint32_t pop(Pool<T>& pool) {  // not when empty
    const std::uint32_t i = head;
    head = pool[i].next;
    if (head == kNil) tail = kNil;
    return i;
  }
};

// A ring of fixed size for values that leave in the order they came.
template <typename T>
class Ring {
 public:
  void build(Arena& arena, std::uint32_t count) {
    items_ = arena.take_raw<T>(count);
    count_ = count;
  }
  bool push(const T& value) {
    if (used_ == count_) return false;
    new (items_ + (first_ + used_++) % count_) T(value);
    if (used_ > most_) most_ = used_;
    return true;
  }
  bool pop(T& out) {
    if (used_ == 0) return false;
    out = items_[first_];
    first_ = (first_ + 1) % count_;
    --used_;
    return true;
  }
  const T* first() const { return used_ == 0 ? nullptr : &items_[first_]; }
  std::uint32_t size() const { return used_; }
  std::uint32_t room() const { return count_ - used_; }
  std::uint32_t count() const { return count_; }
  std::uint32_t most() const { return most_; }

 private:
  T* items_ = nullptr;
  std::uint32_t count_ = 0, first_ = 0, used_ = 0, most_ = 0;
};

// Bodies of control messages, in chains of chunks: they never compete with data for the Store's blocks, so a full store
// cannot silence GRANT, BUSY or GAP.
struct Chunk {
  std::uint32_t next = kNil;
  std::uint8_t bytes[60];
};
static_assert(PTL_RECORD_BYTES + kControlMost + PTL_TRAILER_BYTES <= PTL_FRAGMENT_FLOOR, "fits the narrowest path");
inline constexpr std::uint32_t kChunksMost = (kControlMost + 59) / 60;

class Bodies {
 public:
  void build(Arena& arena, std::uint32_t count) { pool_.build(arena, count); }
  std::uint32_t free() const { return pool_.free(); }
  const Pool<Chunk>& pool() const { return pool_; }
  // The head of the chain; kNil when too few are left, or nothing is to be kept (no bytes).
  std::uint32_t keep(const std::uint8_t* data, std::uint32_t bytes) {
    if ((bytes + sizeof(Chunk::bytes) - 1) / sizeof(Chunk::bytes) > pool_.free()) return kNil;
    Queue chain;
    while (bytes != 0) {
      const std::uint32_t i = pool_.take();
      const std::uint32_t part =
          bytes < sizeof(Chunk::bytes) ? bytes : static_cast<std::uint32_t>(sizeof(Chunk::bytes));
      std::memcpy(pool_[i].bytes, data, part);
      chain.push(pool_, i);
      data += part;
      bytes -= part;
    }
    return chain.head;
  }
  void copy(std::uint32_t head, std::uint8_t* to, std::uint32_t bytes) const {
    for (; bytes != 0 && head != kNil; head = pool_[head].next) {
      const std::uint32_t part =
          bytes < sizeof(Chunk::bytes) ? bytes : static_cast<std::uint32_t>(sizeof(Chunk::bytes));
      std::memcpy(to, pool_[head].bytes, part);
      to += part;
      bytes -= part;
    }
  }
  void drop(std::uint32_t head) {
    while (head != kNil) {
      const std::uint32_t next = pool_[head].next;
      pool_.give(head);
      head = next;
    }
  }

 private:
  Pool<Chunk> pool_;
};

}  // namespace portolan::broker::session
