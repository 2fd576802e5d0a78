// Pools cut from the Arena: messages, blocks, slots. Block i, small slot i and large slot i each have one piece of
// their own, so pieces never run out by themselves. Free lists are last-in-first-out: what was used last is warm in
// cache.
#include "broker/store.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace portolan::broker {
namespace {

// A pool's indices: a stack of free ones, linked through `next`, and its counts.
struct FreeList {
  std::uint32_t* next = nullptr;
  std::uint32_t head = kNil;
  std::uint32_t count = 0;
  std::uint32_t used = 0;
  std::uint32_t high = 0;
  std::uint32_t fresh = 0;  // from here on none was ever taken, and no memory of theirs touched

  void build(Arena& arena, std::uint32_t n) {
    next = arena.take_raw<std::uint32_t>(n);
    count = n;
  }
  void push(std::uint32_t i) {
    next[i] = head;
    head = i;
    --used;
  }
  std::uint32_t pop() {
    std::uint32_t i = head;
    if (i != kNil) {
      head = next[i];
    } else if (fresh < count) {
      i = fresh++;
    } else {
      return kNil;
    }
    high = std::max(high, ++used);
    return i;
  }
  std::uint32_t free() const { return count - used; }
};

// Aligned so that each slot starts on a cache line, as the kernel's map gives them.
struct alignas(64) Line {
  std::uint8_t bytes[64];
};

struct SlotPool {
  FreeList list;
  Line* memory = nullptr;
  std::uint32_t slot_bytes = 0;
  std::uint32_t data_bytes = 0;
  std::uint32_t first_piece = 0;
  std::uint32_t dirty = 0;

  ptl_slot* at(std::uint32_t i) const {
    return reinterpret_cast<ptl_slot*>(reinterpret_cast<std::uint8_t*>(memory) + std::size_t{i} * slot_bytes);
  }
};

}  // namespace

struct Store::State {
  std::uint32_t block_bytes = 0;
  Message* messages = nullptr;
  FreeList message_list;
  std::uint8_t* blocks = nullptr;
  FreeList block_list;
  std::uint32_t promised_blocks = 0, promised_slots[2] = {};
  SlotPool slots[2];
  Piece* pieces = nullptr;

  SlotPool& pool(PieceKind kind) { return slots[kind == PieceKind::large_slot]; }
  std::uint32_t piece_of(PieceKind kind, std::uint32_t index) {
    return kind == PieceKind::block ? index : pool(kind).first_piece + index;
  }
  std::uint8_t* memory_of(const Piece& p) {
    if (p.kind == PieceKind::block) return blocks + std::size_t{p.index} * block_bytes;
    return ptl_data(pool(p.kind).at(p.index));
  }
  std::uint32_t capacity_of(const Piece& p) {
    return p.kind == PieceKind::block ? block_bytes : pool(p.kind).data_bytes;
  }
  void link(Message& m, std::uint32_t piece) {
    (m.last_piece == kNil ? m.first_piece : pieces[m.last_piece].next) = piece;
    m.last_piece = piece;
    ++m.pieces;
    m.length += pieces[piece].length;
  }
};

Store::Store(const Limits& limits, Arena& arena) {
  State* s = arena.take<State>(1);
  State dry;
  State& t = s != nullptr ? *s : dry;
  t.block_bytes = limits.small_block_bytes;
  t.messages = arena.take_raw<Message>(limits.messages);  // each is made when it is taken
  t.message_list.build(arena, limits.messages);
  t.blocks =
      reinterpret_cast<std::uint8_t*>(arena.take_raw<Line>(std::size_t{limits.small_blocks} * t.block_bytes / 64));
  t.block_list.build(arena, limits.small_blocks);
  const std::uint32_t counts[2] = {limits.small_slots, limits.large_slots};
  const std::uint32_t bytes[2] = {PTL_SMALL_SLOT_BYTES, PTL_LARGE_SLOT_BYTES};
  const std::uint32_t data[2] = {PTL_SMALL_DATA, PTL_LARGE_DATA};
  std::uint32_t pieces = limits.small_blocks;
  for (std::size_t c = 0; c < 2; ++c) {
    SlotPool& pool = t.slots[c];
    pool.slot_bytes = bytes[c];
    pool.data_bytes = data[c];
    pool.first_piece = pieces;
    pool.memory = arena.take_raw<Line>(std::size_t{counts[c]} * bytes[c] / 64);
    pool.list.build(arena, counts[c]);
    for (std::uint32_t i = 0; pool.memory != nullptr && i < counts[c]; ++i)
      std::memset(pool.at(i), 0, sizeof(ptl_slot));
    pieces += counts[c];
  }
  t.pieces = arena.take_raw<Piece>(pieces);
  if (!arena.short_of_memory()) s_ = s;
}

MessageId Store::create() {
  const MessageId id = s_->message_list.pop();
  if (id == kNil) return kNil;
  new (s_->messages + id) Message();
  s_->messages[id].references = 1;
  return id;
}

void Store::add_reference(MessageId id) {
  ++s_->messages[id].references;
}

void Store::release(MessageId id) {
  Message& m = s_->messages[id];
  if (--m.references != 0) return;
  for (std::uint32_t p = m.first_piece; p != kNil;) {
    const Piece piece = s_->pieces[p];
    if (piece.kind == PieceKind::block) {
      s_->block_list.push(piece.index);
    } else {
      give_slot(piece.kind, piece.index);
    }
    p = piece.next;
  }
  s_->message_list.push(id);
}

Message& Store::at(MessageId id) {
  return s_->messages[id];
}
const Message& Store::at(MessageId id) const {
  return s_->messages[id];
}

// Long bytes are cut as segments are (PTL_SEGMENT_PAYLOAD), so that a segment to send is one span. A quarter of the
// slots is left for reassembly: what is published here must never stop what comes in.
bool Store::append_copy(MessageId id, std::span<const std::uint8_t> bytes) {
  return append(id, bytes, true);
}

bool Store::append_reserved(MessageId id, std::span<const std::uint8_t> bytes, std::uint32_t& promised) {
  const std::uint32_t before = s_->block_list.used;
  s_->promised_blocks -= promised;
  const bool done = append(id, bytes, false);
  promised -= std::min(promised, s_->block_list.used - before);
  s_->promised_blocks += promised;
  return done;
}

bool Store::append(MessageId id, std::span<const std::uint8_t> bytes, bool slots_too) {
  Message& m = s_->messages[id];
  const std::uint32_t length_before = m.length;
  const std::uint32_t last_before = m.last_piece;
  const std::uint32_t pieces_before = m.pieces;
  std::uint32_t filled_before = 0;
  if (last_before != kNil) {  // the rest of a block, or of a slot that was filled here, first
    Piece& last = s_->pieces[last_before];
    filled_before = last.length;
    const std::uint32_t capacity = last.kind == PieceKind::block        ? s_->block_bytes
                                   : last.kind == PieceKind::small_slot ? PTL_SMALL_DATA
                                                                        : PTL_SEGMENT_PAYLOAD;
    if ((last.kind == PieceKind::block || last.offset == 0) && last.offset + last.length < capacity) {
      const auto n =
          static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size(), capacity - last.offset - last.length));
      if (n != 0) std::memcpy(s_->memory_of(last) + last.offset + last.length, bytes.data(), n);
      last.length += n;
      m.length += n;
      bytes = bytes.subspan(n);
    }
  }
  while (!bytes.empty()) {
    PieceKind kind = PieceKind::block;
    std::uint32_t index = kNil;
    std::uint32_t room = s_->block_bytes;
    if (slots_too && bytes.size() > std::size_t{4} * s_->block_bytes) {
      kind = bytes.size() <= PTL_SMALL_DATA ? PieceKind::small_slot : PieceKind::large_slot;
      FreeList& list = s_->pool(kind).list;
      room = kind == PieceKind::small_slot ? PTL_SMALL_DATA : PTL_SEGMENT_PAYLOAD;
      // A quarter stays for what comes in; of a small pool two, since one alone is kept for messages that have begun.
      if (list.free() > std::max(list.count / 4, 2u) + reserved_slots(kind)) index = list.pop();
      if (index == kNil) {
        kind = PieceKind::block;
        room = s_->block_bytes;
      }
    }
    if (index == kNil && s_->block_list.free() > s_->promised_blocks) index = s_->block_list.pop();
    if (index == kNil) break;
    const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size(), room));
    const std::uint32_t p = s_->piece_of(kind, index);
    s_->pieces[p] = {kind, index, 0, n, kNil};
    std::memcpy(s_->memory_of(s_->pieces[p]), bytes.data(), n);
    s_->link(m, p);
    bytes = bytes.subspan(n);
  }
  if (bytes.empty()) return true;

  // None left: undo.
  std::uint32_t p = last_before == kNil ? m.first_piece : s_->pieces[last_before].next;
  while (p != kNil) {
    const Piece piece = s_->pieces[p];
    if (piece.kind == PieceKind::block) {
      s_->block_list.push(piece.index);
    } else {
      give_slot(piece.kind, piece.index);
    }
    p = piece.next;
  }
  m.length = length_before;
  m.last_piece = last_before;
  m.pieces = pieces_before;
  if (last_before == kNil) {
    m.first_piece = kNil;
  } else {
    s_->pieces[last_before].next = kNil;
    s_->pieces[last_before].length = filled_before;
  }
  return false;
}

bool Store::append_slot(MessageId id, PieceKind kind, std::uint32_t slot, std::uint32_t offset, std::uint32_t length) {
  const SlotPool& pool = s_->pool(kind);
  if (kind == PieceKind::block || slot >= pool.list.count) return false;
  if (offset > pool.data_bytes || length > pool.data_bytes - offset) return false;
  const std::uint32_t p = s_->piece_of(kind, slot);
  s_->pieces[p] = {kind, slot, offset, length, kNil};
  s_->link(s_->messages[id], p);
  return true;
}

const Piece& Store::piece(std::uint32_t index) const {
  return s_->pieces[index];
}

std::span<const std::uint8_t> Store::bytes_of(const Piece& piece) const {
  return {s_->memory_of(piece) + piece.offset, piece.length};
}

std::uint32_t Store::gather(MessageId id, std::uint32_t offset, std::uint32_t length,
                            std::span<std::span<const std::uint8_t>> out) const {
  std::uint32_t count = 0;
  for (std::uint32_t p = at(id).first_piece; p != kNil && length != 0 && count < out.size(); p = piece(p).next) {
    const std::span<const std::uint8_t> all = bytes_of(piece(p));
    if (offset >= all.size()) {
      offset -= static_cast<std::uint32_t>(all.size());
      continue;
    }
    out[count] = all.subspan(offset, std::min<std::size_t>(length, all.size() - offset));
    length -= static_cast<std::uint32_t>(out[count].size());
    offset = 0;
    ++count;
  }
  return count;
}

bool Store::reserve_blocks(std::uint32_t count) {
  if (s_->block_list.free() < s_->promised_blocks + count) return false;
  s_->promised_blocks += count;
  return true;
}
void Store::unreserve_blocks(std::uint32_t count) {
  s_->promised_blocks -= count;
}
void Store::reserve_slots(PieceKind kind, std::uint32_t count) {
  s_->promised_slots[kind == PieceKind::large_slot] += count;
}
void Store::unreserve_slots(PieceKind kind, std::uint32_t count) {
  s_->promised_slots[kind == PieceKind::large_slot] -= count;
}
std::uint32_t Store::reserved_slots(PieceKind kind) const {
  return s_->promised_slots[kind == PieceKind::large_slot];
}

ptl_slot* Store::slot(PieceKind kind, std::uint32_t index) {
  return s_->pool(kind).at(index);
}

std::uint32_t Store::take_slot(PieceKind kind) {
  return s_->pool(kind).list.pop();
}

void Store::give_slot(PieceKind kind, std::uint32_t index) {
  SlotPool& pool = s_->pool(kind);
  ptl_slot* slot = pool.at(index);
  // One engine accepts on one thread, so nobody is inside and a barrier is nothing.
  // A dirty slot (ptl_retire: a lying peer is inside, on another CPU) is kept out for good rather than ever be shared.
  if (ptl_close(slot) != 0) {
    ptl_reset(slot);
  } else if (ptl_retire(slot) == 0) {
    ++pool.dirty;
    return;
  }
  pool.list.push(index);
}

Store::Usage Store::usage() const {
  const FreeList& m = s_->message_list;
  const FreeList& b = s_->block_list;
  const FreeList& small = s_->slots[0].list;
  const FreeList& large = s_->slots[1].list;
  return {m.used,
          b.used + s_->promised_blocks,
          b.used + small.used + large.used,
          small.used,
          large.used,
          m.high,
          b.high,
          b.high + small.high + large.high,
          small.high,
          large.high};
}

}  // namespace portolan::broker
