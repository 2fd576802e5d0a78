// Memory of an engine: a bump Arena given at construction, the pools of buffers and slots cut from it, and messages,
// which are reference-counted chains of pieces. A piece lies in a small block (copied from a datagram or published
// here) or in a reassembly slot (read where it lies: zero copy from the slot on). Nothing is allocated afterwards;
// exhaustion is an answer, never an abort. One engine, one thread: no locks here; slot headers are shared with the
// kernel path and follow bpf/layout/accept.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

#include "bpf/layout/accept.h"
#include "broker/limits.hpp"

namespace portolan::broker {

inline constexpr std::uint32_t kNil = 0xFFFFFFFFu;

// Hands out aligned memory from one block, never takes it back. `needed` runs dry (base null) to size an engine.
class Arena {
 public:
  Arena(void* base, std::size_t bytes) : base_(static_cast<std::uint8_t*>(base)), bytes_(bytes) {
    // Whatever the base, what is taken is aligned: skip to a cache line. Dry, count the worst skip.
    const auto over = static_cast<std::size_t>(reinterpret_cast<std::uintptr_t>(base) % kLine);
    used_ = base == nullptr ? kLine - 1 : (kLine - over) % kLine;
    skipped_ = base == nullptr ? 0 : used_;
  }
  // Value-initialised; null (and `short_of_memory`) when the arena is too small or dry.
  template <typename T>
  T* take(std::size_t count) {
    T* first = take_raw<T>(count);
    if (first == nullptr) return nullptr;
    for (std::size_t i = 0; i < count; ++i) new (first + i) T();
    return first;
  }
  // As it is, for bulk bytes: a page that nobody uses is never touched.
  template <typename T>
  T* take_raw(std::size_t count) {
    static_assert(alignof(T) <= kLine);
    const std::size_t from = used_ - skipped_;
    const std::size_t at = (from + alignof(T) - 1) / alignof(T) * alignof(T) + skipped_;
    used_ = at + count * sizeof(T);
    if (base_ == nullptr || used_ > bytes_) {
      short_ = true;
      return nullptr;
    }
    return reinterpret_cast<T*>(base_ + at);
  }
  std::size_t used() const { return used_; }
  bool short_of_memory() const { return short_; }

 private:
  static constexpr std::size_t kLine = 64;
  std::uint8_t* base_;
  std::size_t bytes_;
  std::size_t used_;
  std::size_t skipped_;
  bool short_ = false;
};

using MessageId = std::uint32_t;  // index of a Message; kNil: none

enum class PieceKind : std::uint8_t { block = 0, small_slot = 1, large_slot = 2 };
struct Piece {
  PieceKind kind = PieceKind::block;
  std::uint32_t index = kNil;  // of the block or slot
  std::uint32_t offset = 0;    // of the message's bytes within it (a slot also holds record header and trailer)
  std::uint32_t length = 0;
  std::uint32_t next = kNil;  // piece index
};

struct Message {
  std::uint64_t key = 0;  // message_key
  std::uint64_t sequence = 0;
  std::uint64_t time_ns = 0;    // the upper layer's: admitted or published
  std::uint32_t stream = kNil;  // the upper layer's index
  std::uint32_t length = 0;
  std::uint32_t references = 0;
  std::uint32_t first_piece = kNil;
  std::uint32_t last_piece = kNil;
  std::uint32_t pieces = 0;
  std::uint32_t coming = 0;  // while more of it is to come: its length when it is whole; 0: it is whole
  bool broken = false;       // the rest will never come
  std::uint32_t full_length() const { return coming != 0 ? coming : length; }
};

class Store {
 public:
  Store(const Limits& limits, Arena& arena);

  // A new message with one reference and no bytes, or kNil when messages run out.
  MessageId create();
  void add_reference(MessageId id);
  void release(MessageId id);  // at zero its pieces go back; slots are re-opened by whoever grants them
  Message& at(MessageId id);
  const Message& at(MessageId id) const;

  // Copies bytes to the end of the message in small blocks (or in slots when `bytes` is long). False when none is left:
  // the message is then as it was. What is promised to others is not there for it.
  bool append_copy(MessageId id, std::span<const std::uint8_t> bytes);
  // The same into blocks that were reserved, as many as it takes; the caller's promise shrinks by those.
  bool append_reserved(MessageId id, std::span<const std::uint8_t> bytes, std::uint32_t& promised_blocks);
  // Adds a slot's bytes in place: the message now owns the slot (state READY).
  bool append_slot(MessageId id, PieceKind kind, std::uint32_t slot, std::uint32_t offset, std::uint32_t length);

  // Reading: the pieces in order.
  template <typename F>
  void for_each_piece(MessageId id, F&& f) const {  // f(span<const uint8_t>)
    for (std::uint32_t p = at(id).first_piece; p != kNil; p = piece(p).next) f(bytes_of(piece(p)));
  }
  const Piece& piece(std::uint32_t index) const;
  std::span<const std::uint8_t> bytes_of(const Piece& piece) const;
  // The part [offset, offset + length) of a message as at most `out.size()` spans; returns how many.
  std::uint32_t gather(MessageId id, std::uint32_t offset, std::uint32_t length,
                       std::span<std::span<const std::uint8_t>> out) const;

  // Slots (bpf/layout/accept.h): the same memory that an XDP program writes.
  struct ptl_slot* slot(PieceKind kind, std::uint32_t index);
  std::uint32_t take_slot(PieceKind kind);              // most recently used first; kNil: none left
  void give_slot(PieceKind kind, std::uint32_t index);  // closed and free again

  // Promises to messages that have begun to come: nobody else gets these blocks or slots. Usage counts promised blocks
  // as used, so whatever looks at memory gives way to them.
  bool reserve_blocks(std::uint32_t count);  // false, and nothing promised, when there are not as many
  void unreserve_blocks(std::uint32_t count);
  void reserve_slots(PieceKind kind, std::uint32_t count);
  void unreserve_slots(PieceKind kind, std::uint32_t count);
  std::uint32_t reserved_slots(PieceKind kind) const;

  struct Usage {
    std::uint32_t messages, blocks, pieces, small_slots, large_slots;                           // in use now
    std::uint32_t messages_high, blocks_high, pieces_high, small_slots_high, large_slots_high;  // ever
  };
  Usage usage() const;

 private:
  bool append(MessageId id, std::span<const std::uint8_t> bytes, bool slots_too);
  struct State;
  State* s_ = nullptr;
};

}  // namespace portolan::broker
