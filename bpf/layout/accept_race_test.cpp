// accept() under two racing threads: both send every fragment of every message, each then sends duplicates of the
// message just finished under the grant it read before, which a slow CPU does. No byte may be wrong. The same harness
// on the naive order (look at the owner, then set the bit) must find wrong bytes: else this test could not fail.
// PORTOLAN_RACE_MESSAGES overrides the count.
#include <sched.h>

#include <atomic>
#include <cstdint>

namespace {
thread_local std::uint64_t race_state = 1;
// Waits now and then where the other thread's step would hurt: mostly not at all, sometimes a little, rarely for a
// turn.
inline void race_point() {
  race_state = race_state * 6364136223846793005ull + 1442695040888963407ull;
  const std::uint64_t draw = race_state >> 33;
  if ((draw & 0x3F) == 0) {
    for (std::uint64_t i = 0; i < (draw >> 6 & 0xFF); ++i) __asm__ volatile("");
  }
  if ((draw & 0x3FFF) == 1) sched_yield();
}
}  // namespace
#define PTL_RACE_POINT() race_point()
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "bpf/layout/accept.h"

namespace {

constexpr std::uint32_t kSize = PTL_FRAGMENT_FLOOR;
constexpr std::uint32_t kBytes = kSize + 512;  // two fragments: the most openings for the least copying
constexpr std::uint32_t kWords = kBytes / 8;
constexpr std::uint32_t kSlots = 2;
constexpr std::uint32_t kRow = 8;

using Accept = ptl_accept_result (*)(ptl_slot*, std::uint32_t, const ptl_fragment*, const std::uint8_t*);

ptl_accept_result right(ptl_slot* slot, std::uint32_t opening, const ptl_fragment* f, const std::uint8_t* bytes) {
  return ptl_accept(slot, opening, PTL_SMALL_DATA, f, 0, const_cast<std::uint8_t*>(bytes), f->offset);
}

// What one would write first: the owner is right, so take the bit.
ptl_accept_result naive(ptl_slot* slot, std::uint32_t opening, const ptl_fragment* f, const std::uint8_t* bytes) {
  std::uint64_t* claim = &slot->claim[0];
  const std::uint64_t bit = 1ull << f->index;
  if (PTL_LOAD(&slot->gate) != ptl_word(opening, PTL_OPEN)) return PTL_A_STALE;
  if (ptl_high(PTL_LOAD(claim)) != opening) return PTL_A_STALE;
  PTL_RACE_POINT();
  if ((__sync_fetch_and_or(claim, bit) & bit) != 0) return PTL_A_PRESENT;
  PTL_RACE_POINT();
  (void)PTL_CAS(&slot->shape, 0, f->shape);
  std::memcpy(ptl_data(slot) + f->offset, bytes + f->offset, f->length);
  slot->crc[f->index] = f->crc;
  PTL_RACE_POINT();
  if (__sync_fetch_and_add(&slot->done, std::uint64_t{f->length}) + f->length != kBytes) return PTL_A_TAKEN;
  const std::uint64_t open = ptl_word(opening, PTL_OPEN);
  return PTL_CAS(&slot->gate, open, ptl_word(opening, PTL_READY)) == open ? PTL_A_COMPLETED : PTL_A_TAKEN;
}

// How an owner lets go of fragments whose CRCs were wrong.
using Discard = void (*)(ptl_slot*, std::uint32_t, std::uint64_t);

void together(ptl_slot* slot, std::uint32_t opening, std::uint64_t mask) {
  (void)ptl_discard_fragments(slot, opening, mask);
}

// What one would write first: each opens the gate, so the segment may be whole again before the next one's turn.
void one_by_one(ptl_slot* slot, std::uint32_t opening, std::uint64_t mask) {
  for (std::uint32_t i = 0; i < 2; ++i) {
    if ((mask >> i & 1) == 0) continue;
    (void)__sync_fetch_and_sub(&slot->done, std::uint64_t{i == 0 ? kSize : kBytes - kSize});
    PTL_STORE(&slot->gate, ptl_word(opening, PTL_OPEN));
    (void)__sync_fetch_and_and(&slot->claim[0], ~(1ull << i));
    sched_yield();  // where it hurts
  }
}

struct Outcome {
  std::uint64_t messages = 0, wrong = 0, stale_taken = 0, dirty = 0, duplicates = 0, discarded = 0;
  bool stuck = false;
};

class Race {
 public:
  Race(Accept accept, Discard discard, std::uint64_t messages, bool must_fail)
      : accept_(accept),
        discard_(discard),
        messages_(messages),
        patience_(must_fail ? std::chrono::milliseconds(500) : std::chrono::milliseconds(5'000)),
        memory_(kSlots * PTL_SMALL_SLOT_BYTES / 8) {
    for (std::uint32_t i = 0; i < kSlots; ++i) grant(i + 1);
  }

  Outcome run() {
    std::thread a([this] { side(0); });
    std::thread b([this] { side(1); });
    a.join();
    b.join();
    Outcome out;
    out.messages = finished_.load();
    out.stuck = stuck_.load();
    for (const Outcome& o : outcome_) {
      out.wrong += o.wrong;
      out.stale_taken += o.stale_taken;
      out.dirty += o.dirty;
      out.duplicates += o.duplicates;
      out.discarded += o.discarded;
    }
    return out;
  }

 private:
  // What one thread holds of a message: its bytes, and the grant as it read it.
  struct Held {
    std::uint64_t ticket = 0;
    std::uint32_t slot = 0, opening = 0;
    std::uint64_t words[kWords] = {};
  };

  static std::uint64_t word_of(std::uint64_t ticket, std::uint32_t i) { return ticket * 0x9E3779B97F4A7C15ull + i; }
  ptl_slot* slot(std::uint32_t i) {
    return reinterpret_cast<ptl_slot*>(memory_.data() + std::size_t{i} * PTL_SMALL_SLOT_BYTES / 8);
  }
  static ptl_fragment fragment(std::uint64_t ticket, std::uint32_t index) {
    ptl_fragment f{};
    f.ticket = static_cast<std::uint32_t>(ticket);
    f.index = index;
    f.offset = index * kSize;
    f.length = index == 0 ? kSize : kBytes - kSize;
    f.crc = f.ticket * 2 + index;
    f.shape = ptl_shape(0, kSize, kBytes);
    return f;
  }

  void grant(std::uint64_t ticket) {
    const auto i = static_cast<std::uint32_t>(ticket % kSlots);
    const std::uint32_t opening = ptl_open(slot(i));
    ptl_grant_set(&row_[ticket & (kRow - 1)], static_cast<std::uint32_t>(ticket), i, opening);
  }

  bool look_up(std::uint64_t ticket, Held& held) {
    held.ticket = ticket;
    for (std::uint32_t i = 0; i < kWords; ++i) held.words[i] = word_of(ticket, i);
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t spin = 1; !stop_.load(std::memory_order_relaxed); ++spin) {
      if (ptl_grant_of(&row_[ticket & (kRow - 1)], static_cast<std::uint32_t>(ticket), &held.slot, &held.opening) !=
          0) {
        return true;
      }
      if (finished_.load(std::memory_order_relaxed) >= ticket + kRow - kSlots) return false;  // passed by already
      if (spin % 64 != 0) continue;
      sched_yield();
      if (spin % 65'536 == 0 && std::chrono::steady_clock::now() - start > patience_) {
        stuck_ = stop_ = true;
      }
    }
    return false;
  }

  // The completing thread owns the slot: look at every byte, retire, grant the next ticket. Now and then a fragment's
  // CRC counts as wrong, so the slot opens again for it.
  void complete(const Held& held, Outcome& out) {
    ptl_slot* s = slot(held.slot);
    const std::uint64_t* words = reinterpret_cast<const std::uint64_t*>(ptl_data(s));
    bool good = true;
    for (std::uint32_t i = 0; i < kWords; ++i) good &= words[i] == word_of(held.ticket, i);
    for (std::uint32_t i = 0; i < 2; ++i) good &= s->crc[i] == static_cast<std::uint32_t>(held.ticket) * 2 + i;
    out.wrong += !good;
    if (!good) stop_ = true;
    if (accept_ == right && held.ticket % 32 == 5 && !discarded_[held.ticket % kRow].exchange(true)) {
      const std::uint64_t mask = 1 + held.ticket / 32 % 3;
      out.discarded += mask == 3 ? 2 : 1;
      discard_(s, held.opening, mask);
      return;
    }
    discarded_[held.ticket % kRow] = false;
    if (ptl_retire(s) == 0) {
      ++out.dirty;
      stop_ = true;
    }
    finished_.fetch_add(1, std::memory_order_relaxed);
    grant(held.ticket + kSlots);
  }

  void send(const Held& held, std::uint32_t index, bool duplicate, Outcome& out) {
    const ptl_fragment f = fragment(held.ticket, index);
    const auto result = accept_(slot(held.slot), held.opening, &f, reinterpret_cast<const std::uint8_t*>(held.words));
    out.duplicates += duplicate;
    if (result == PTL_A_COMPLETED) complete(held, out);
  }

  void side(std::uint32_t me) {
    race_state = me + 1;
    auto now = std::make_unique<Held>(), before = std::make_unique<Held>();
    Outcome& out = outcome_[me];
    there_.fetch_add(1);
    while (there_.load() != 2) sched_yield();
    for (std::uint64_t ticket = 1; ticket <= messages_ && !stop_.load(std::memory_order_relaxed); ++ticket) {
      if (!look_up(ticket, *now)) continue;
      // As the network would: each side in another order, then again what may have been discarded, then the duplicates.
      for (const std::uint32_t i : {me, me ^ 1u, 0u, 1u}) send(*now, i, false, out);
      for (const std::uint32_t i : {1u, 0u}) {
        if (before->opening != 0) send(*before, i, true, out);
      }
      for (const std::uint32_t i : {0u, 1u}) send(*now, i, true, out);
      std::swap(now, before);
    }
  }

  const Accept accept_;
  const Discard discard_;
  const std::uint64_t messages_;
  const std::chrono::milliseconds patience_;
  std::vector<std::uint64_t> memory_;
  alignas(64) ptl_grant row_[kRow] = {};
  std::atomic<bool> discarded_[kRow] = {};
  Outcome outcome_[2];
  std::atomic<std::uint32_t> there_{0};
  std::atomic<std::uint64_t> finished_{0};
  std::atomic<bool> stop_{false}, stuck_{false};
};

std::uint64_t messages() {
  if (const char* n = std::getenv("PORTOLAN_RACE_MESSAGES")) return std::strtoull(n, nullptr, 10);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return 300'000;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return 300'000;
#else
  return 5'000'000;
#endif
#else
  return 5'000'000;
#endif
}

void print(const char* what, const Outcome& o) {
  std::printf("%s: %lu messages, %lu wrong, %lu duplicates sent, %lu fragments discarded%s\n", what,
              static_cast<unsigned long>(o.messages), static_cast<unsigned long>(o.wrong),
              static_cast<unsigned long>(o.duplicates), static_cast<unsigned long>(o.discarded),
              o.stuck ? ", stuck" : "");
}

TEST(AcceptRace, NoWrongByteInFiveMillionMessages) {
  const std::uint64_t count = messages();
  const Outcome o = Race(right, together, count, false).run();
  print("one CAS", o);
  EXPECT_EQ(o.wrong, 0u);
  EXPECT_EQ(o.dirty, 0u);
  EXPECT_FALSE(o.stuck);
  EXPECT_EQ(o.messages, count);
  EXPECT_GT(o.discarded, count / 32);
}

TEST(AcceptRace, TheNaiveOrderFailsInTheSameHarness) {
  const Outcome o = Race(naive, together, messages(), true).run();
  print("naive", o);
  EXPECT_TRUE(o.wrong != 0 || o.dirty != 0 || o.stuck);
}

TEST(AcceptRace, DiscardingOneByOneFailsInTheSameHarness) {
  const Outcome o = Race(right, one_by_one, messages(), true).run();
  print("one by one", o);
  EXPECT_TRUE(o.wrong != 0 || o.dirty != 0 || o.stuck);
}

}  // namespace
