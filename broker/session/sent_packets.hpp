// The sending half of a session's packet numbers: what each open packet held, so that a number reported missing is
// mapped to its content, which leaves again under a new number. Records lie in pages of 64 taken from one pool for all
// sessions: memory follows packets in flight, not sessions. Only packets whose fate matters (messages, fragments,
// heartbeats) have a record; the others' numbers are settled from the start.
#pragma once

#include <bit>
#include <cstdint>
#include <new>

#include "broker/session/rate_model.hpp"
#include "broker/store.hpp"
#include "broker/types.hpp"

namespace portolan::broker::session {

enum class SentKind : std::uint8_t { none = 0, messages, fragment, heartbeat };
struct SentPacket {
  std::uint64_t sent_ns = 0;
  std::uint32_t content = kNil;  // messages: head of the list of entries; fragment: the out-segment
  std::uint32_t generation = 0;  // fragment: of the out-segment, which may be another one by now
  SentMark mark;                 // for the delivery rate
  std::uint16_t bytes = 0;
  SentKind kind = SentKind::none;
  std::uint8_t fragment = 0;
};
inline constexpr std::uint32_t kPagePackets = 64;
struct SentPage {
  std::uint64_t open = 0;  // bit: this packet is neither acknowledged nor declared lost
  std::uint64_t base = 0;  // number of its first packet
  std::uint32_t next = kNil;
  SentPacket packets[kPagePackets];
};

class SentPages {  // the pool
 public:
  void build(Arena& arena, std::uint32_t count) {
    pages_ = arena.take_raw<SentPage>(count);
    count_ = count;
  }
  std::uint32_t take() {
    std::uint32_t i = head_;
    if (i != kNil) {
      head_ = pages_[i].next;
    } else if (fresh_ < count_) {
      i = fresh_++;
      new (pages_ + i) SentPage();
    } else {
      return kNil;
    }
    most_ = ++used_ > most_ ? used_ : most_;
    return i;
  }
  void give(std::uint32_t i) {
    pages_[i].next = head_;
    head_ = i;
    --used_;
  }
  SentPage& at(std::uint32_t i) { return pages_[i]; }
  std::uint32_t most() const { return most_; }
  std::uint32_t count() const { return count_; }

 private:
  SentPage* pages_ = nullptr;
  std::uint32_t count_ = 0, head_ = kNil, fresh_ = 0, used_ = 0, most_ = 0;  // `fresh_`: as in Pool
};

// One session's records. `table` has `pages` entries (a power of two), kNil each at the start.
class SentPackets {
 public:
  void reset(std::uint32_t* table, std::uint32_t pages) {
    *this = SentPackets{};
    table_ = table;
    mask_ = pages - 1;
    for (std::uint32_t i = 0; i < pages; ++i) table_[i] = kNil;
  }
  std::uint64_t next() const { return next_; }           // number of the next packet
  std::uint64_t settled() const { return oldest_ - 1; }  // none up to here is open
  std::uint32_t open() const { return open_; }           // open packets
  bool room(SentPages& pool) {                           // may a packet with a record be sent now?
    return next_ - oldest_ < std::uint64_t{mask_} * kPagePackets && page_for(pool, next_) != kNil;
  }
  std::uint64_t skip() {  // a packet without a record
    const std::uint64_t number = next_++;
    if (open_ == 0) oldest_ = next_;
    return number;
  }
  void skip_to(std::uint64_t number) {  // with nothing open
    if (open_ == 0) oldest_ = next_ = number;
  }
  std::uint64_t add(SentPages& pool, const SentPacket& packet) {  // room() must be true
    const std::uint64_t number = next_++;
    SentPage& page = pool.at(page_for(pool, number));
    page.packets[number % kPagePackets] = packet;
    page.open |= 1ull << (number % kPagePackets);
    if (open_++ == 0) oldest_ = number;
    return number;
  }
  SentPacket* find(SentPages& pool, std::uint64_t number) {  // null: settled, or never had a record
    if (number < oldest_ || number >= next_) return nullptr;
    const std::uint32_t page = table_[(number / kPagePackets) & mask_];
    if (page == kNil || pool.at(page).base != number / kPagePackets * kPagePackets) return nullptr;
    if ((pool.at(page).open >> (number % kPagePackets) & 1) == 0) return nullptr;
    return &pool.at(page).packets[number % kPagePackets];
  }
  void settle(SentPages& pool, std::uint64_t number) {  // find(number) was not null
    const std::uint32_t at = static_cast<std::uint32_t>(number / kPagePackets) & mask_;
    SentPage& page = pool.at(table_[at]);
    page.open &= ~(1ull << (number % kPagePackets));
    --open_;
    if (page.open == 0 && page.base != next_ / kPagePackets * kPagePackets) drop(pool, at);
    if (number == oldest_) advance(pool);
  }
  // Calls f(number) for each open packet in [first, last], upwards; f may settle it.
  template <typename F>
  void for_open(SentPages& pool, std::uint64_t first, std::uint64_t last, F&& f) {
    if (first < oldest_) first = oldest_;
    if (last >= next_) last = next_ - 1;
    while (first <= last) {
      const std::uint64_t base = first / kPagePackets * kPagePackets;
      const std::uint32_t page = table_[(first / kPagePackets) & mask_];
      if (page != kNil && pool.at(page).base == base) {
        std::uint64_t bits = pool.at(page).open & (~0ull << (first - base));
        if (last - base < kPagePackets - 1) bits &= (1ull << (last - base + 1)) - 1;
        for (; bits != 0; bits &= bits - 1) f(base + static_cast<std::uint64_t>(std::countr_zero(bits)));
      }
      first = base + kPagePackets;
    }
  }

 private:
  std::uint32_t page_for(SentPages& pool, std::uint64_t number) {
    const std::uint32_t at = static_cast<std::uint32_t>(number / kPagePackets) & mask_;
    const std::uint64_t base = number / kPagePackets * kPagePackets;
    if (table_[at] != kNil && pool.at(table_[at]).base != base) {
      if (pool.at(table_[at]).open != 0) return kNil;
      drop(pool, at);
    }
    if (table_[at] == kNil) {
      // The page before this one may have emptied while it was the current one.
      const std::uint32_t before = table_[last_];
      if (before != kNil && pool.at(before).open == 0) drop(pool, last_);
      const std::uint32_t page = pool.take();
      if (page == kNil) return kNil;
      last_ = at;
      pool.at(page).open = 0;
      pool.at(page).base = base;
      table_[at] = page;
    }
    return table_[at];
  }
  void drop(SentPages& pool, std::uint32_t at) {
    pool.give(table_[at]);
    table_[at] = kNil;
  }
  void advance(SentPages& pool) {
    if (open_ == 0) {
      oldest_ = next_;
      return;
    }
    while (true) {
      const std::uint32_t page = table_[(oldest_ / kPagePackets) & mask_];
      const std::uint64_t base = oldest_ / kPagePackets * kPagePackets;
      if (page != kNil && pool.at(page).base == base) {
        const std::uint64_t bits = pool.at(page).open & (~0ull << (oldest_ - base));
        if (bits != 0) {
          oldest_ = base + static_cast<std::uint64_t>(std::countr_zero(bits));
          return;
        }
      }
      oldest_ = base + kPagePackets;
    }
  }

  std::uint32_t* table_ = nullptr;
  std::uint32_t mask_ = 0;
  std::uint64_t next_ = 1;
  std::uint64_t oldest_ = 1;
  std::uint32_t open_ = 0;
  std::uint32_t last_ = 0;  // where the newest page hangs

 public:
  void clear(SentPages& pool) {  // the session is over
    for (std::uint32_t i = 0; table_ != nullptr && i <= mask_; ++i) {
      if (table_[i] != kNil) drop(pool, i);
    }
    open_ = 0;
  }
};

}  // namespace portolan::broker::session
