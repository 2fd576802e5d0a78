// One CPU's view of accept(): lengths first, grants, openings, lies, completion, expiry, repair of a bad fragment; and
// frames made to hurt. The race is in accept_race_test.cpp.
#include "bpf/layout/accept.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

namespace {

std::uint64_t mix(std::uint64_t x) {  // splitmix64
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

// A slot in memory of exactly its size, so that AddressSanitizer sees one byte too far.
struct Slot {
  explicit Slot(std::uint32_t bytes) : data_bytes(bytes), memory((320 + bytes + PTL_SLOT_SLACK) / 8) {}
  ptl_slot* get() { return reinterpret_cast<ptl_slot*>(memory.data()); }
  std::uint32_t data_bytes;
  std::vector<std::uint64_t> memory;
};

struct Segment {
  Segment(std::uint32_t bytes_, std::uint32_t size_) : bytes(bytes_), size(size_), data(bytes_) {
    for (std::uint32_t i = 0; i < bytes; ++i) data[i] = static_cast<std::uint8_t>(mix(i) >> 7);
  }
  std::uint32_t count() const { return ptl_fragments(bytes, size); }
  ptl_frame frame(std::uint32_t index) const {
    ptl_frame f{};
    f.version_type = PTL_VERSION << 4 | PTL_DATA;
    f.flags = bytes > PTL_SMALL_DATA ? PTL_F_CLASS_LARGE : 0;
    f.fragment_unit = static_cast<std::uint8_t>(size / PTL_FRAGMENT_UNIT);
    f.fragment_index = static_cast<std::uint8_t>(index);
    f.ticket = 7;
    f.bytes = bytes;
    f.crc = 100 + index;
    return f;
  }
  std::uint32_t length(std::uint32_t index) const { return std::min(size, bytes - index * size); }
  ptl_fragment fragment(std::uint32_t index) const {
    const ptl_frame f = frame(index);
    ptl_fragment out{};
    EXPECT_EQ(ptl_fragment_of(&f, PTL_FRAME_BYTES + length(index), &out), 1) << index;
    return out;
  }
  ptl_accept_result put(Slot& slot, std::uint32_t opening, std::uint32_t index) {
    const ptl_fragment f = fragment(index);
    return ptl_accept(slot.get(), opening, slot.data_bytes, &f, 1000 + index, data.data(), index * size);
  }
  std::uint32_t bytes, size;
  std::vector<std::uint8_t> data;
};

TEST(Accept, SegmentsOfEverySizeComeWholeInAnyOrder) {
  for (const std::uint32_t size : {1088u, 1280u, 4032u}) {
    for (const std::uint32_t bytes : {49u, 1087u, 1088u, 1089u, 8192u, 8193u, 40'000u, 65'535u, 65'536u}) {
      Segment s(bytes, size);
      Slot slot(bytes > PTL_SMALL_DATA ? PTL_LARGE_DATA : PTL_SMALL_DATA);
      const std::uint32_t opening = ptl_open(slot.get());
      const std::uint32_t n = s.count();
      for (std::uint32_t k = 0; k < n; ++k) {
        const std::uint32_t index = (k * 5 + 3) % n == 0 && n % 5 == 0 ? k : (n - 1 - k);
        const auto result = s.put(slot, opening, index);
        EXPECT_EQ(result, k + 1 == n ? PTL_A_COMPLETED : PTL_A_TAKEN);
        EXPECT_EQ(s.put(slot, opening, index), PTL_A_PRESENT);
        EXPECT_EQ(slot.get()->crc[index], 100 + index);
      }
      EXPECT_TRUE(ptl_ready(slot.get()));
      EXPECT_EQ(slot.get()->first_seen, 1000 + n - 1);
      EXPECT_EQ(std::memcmp(ptl_data(slot.get()), s.data.data(), bytes), 0);
      EXPECT_EQ(ptl_taken(slot.get()), n == 64 ? ~0ull : (1ull << n) - 1);
      EXPECT_EQ(ptl_retire(slot.get()), 1);
      EXPECT_EQ(s.put(slot, opening, 0), PTL_A_STALE);
      EXPECT_NE(ptl_open(slot.get()), opening);
      EXPECT_EQ(s.put(slot, opening, 0), PTL_A_STALE);
      EXPECT_EQ(ptl_taken(slot.get()), 0u);
    }
  }
}

TEST(Accept, LengthsThatCannotBeAreRefusedBeforeAnythingElse) {
  const Segment s(20'000, 1280);
  ptl_fragment out{};
  const auto refused = [&](ptl_frame f, std::uint32_t datagram) { return ptl_fragment_of(&f, datagram, &out) == 0; };
  const ptl_frame good = s.frame(3);
  const std::uint32_t whole = PTL_FRAME_BYTES + 1280;
  EXPECT_FALSE(refused(good, whole));
  EXPECT_TRUE(refused(good, whole - 1));
  EXPECT_TRUE(refused(good, whole + 1));
  EXPECT_TRUE(refused(good, 0));
  ptl_frame f = good;
  EXPECT_TRUE((f.flags |= PTL_F_MULTIPLEXED, refused(f, whole)));
  f = good;
  EXPECT_TRUE((f.ticket = 0, refused(f, whole)));
  f = good;
  EXPECT_TRUE((f.bytes = 65'537, refused(f, whole)));
  EXPECT_TRUE((f.bytes = 0xFFFFFFFF, refused(f, whole)));
  EXPECT_TRUE((f.bytes = 0, refused(f, whole)));
  EXPECT_TRUE((f.bytes = PTL_RECORD_BYTES + PTL_TRAILER_BYTES, refused(f, whole)));
  EXPECT_TRUE((f.bytes = 3 * 1280, refused(f, whole)));  // index 3 begins behind the end
  f = good;
  EXPECT_TRUE((f.flags &= static_cast<std::uint8_t>(~PTL_F_CLASS_LARGE), refused(f, whole)));  // too long for small
  for (unsigned unit = 0; unit < 256; ++unit) {
    f = good;
    f.fragment_unit = static_cast<std::uint8_t>(unit);
    const bool possible = unit >= 17 && unit <= 63 && unit * 64 * 3 < 20'000;
    const std::uint32_t length = possible ? std::min(unit * 64, 20'000 - unit * 64 * 3) : 1280;
    EXPECT_EQ(refused(f, PTL_FRAME_BYTES + length), !possible) << unit;
  }
  f = good;
  f.fragment_index = 64;
  EXPECT_TRUE(refused(f, whole));
}

TEST(Accept, AnotherShapeIsALieAndLeavesNoTrace) {
  Segment s(20'000, 1280);
  Segment liar(20'000, 1344);
  Segment longer(21'000, 1280);
  Slot slot(PTL_LARGE_DATA);
  const std::uint32_t opening = ptl_open(slot.get());
  ASSERT_EQ(s.put(slot, opening, 2), PTL_A_TAKEN);
  EXPECT_EQ(liar.put(slot, opening, 3), PTL_A_LIE);
  EXPECT_EQ(longer.put(slot, opening, 16), PTL_A_LIE);
  EXPECT_EQ(liar.put(slot, opening, 2), PTL_A_LIE);  // the bit is there, but not of this shape
  EXPECT_EQ(ptl_taken(slot.get()), 4u);
  ptl_fragment other_phase = s.fragment(5);
  other_phase.shape = ptl_shape(1, 1280, 20'000);
  EXPECT_EQ(ptl_accept(slot.get(), opening, PTL_LARGE_DATA, &other_phase, 0, s.data.data(), 0), PTL_A_LIE);
  for (std::uint32_t i = 0; i < s.count(); ++i) {
    if (i != 2) {
      EXPECT_EQ(s.put(slot, opening, i), i + 1 == s.count() ? PTL_A_COMPLETED : PTL_A_TAKEN);
    }
  }
  EXPECT_EQ(std::memcmp(ptl_data(slot.get()), s.data.data(), s.bytes), 0);
  EXPECT_EQ(longer.put(slot, opening, 16), PTL_A_LIE);  // whole, and yet another fragment
}

TEST(Accept, GrantNamesTicketSlotAndOpening) {
  ptl_grant row[8] = {};
  std::uint32_t slot = 99, opening = 99;
  EXPECT_EQ(ptl_grant_of(&row[5], 5, &slot, &opening), 0);
  ptl_grant_set(&row[13 & 7], 13, 3, 77);
  EXPECT_EQ(ptl_grant_of(&row[5], 5, &slot, &opening), 0);  // another round of the same entry
  ASSERT_EQ(ptl_grant_of(&row[5], 13, &slot, &opening), 1);
  EXPECT_EQ(slot, 3u);
  EXPECT_EQ(opening, 77u);
  ptl_grant_clear(&row[5]);
  EXPECT_EQ(ptl_grant_of(&row[5], 13, &slot, &opening), 0);
}

TEST(Accept, ClosedSlotTakesNothingAndReopensClean) {
  Segment s(20'000, 1280);
  Slot slot(PTL_LARGE_DATA);
  EXPECT_EQ(s.put(slot, 0, 0), PTL_A_STALE);  // never opened
  const std::uint32_t opening = ptl_open(slot.get());
  ASSERT_EQ(s.put(slot, opening, 0), PTL_A_TAKEN);
  ASSERT_EQ(ptl_close(slot.get()), 1);
  EXPECT_EQ(ptl_close(slot.get()), 0);
  EXPECT_EQ(s.put(slot, opening, 1), PTL_A_STALE);
  ptl_reset(slot.get());
  const std::uint32_t again = ptl_open(slot.get());
  EXPECT_NE(again, opening);
  EXPECT_EQ(s.put(slot, opening, 1), PTL_A_STALE);
  for (std::uint32_t i = 0; i < s.count(); ++i) s.put(slot, again, i);
  EXPECT_TRUE(ptl_ready(slot.get()));
  EXPECT_EQ(ptl_close(slot.get()), 0);  // a message after all
}

TEST(Accept, BadFragmentsAreDiscardedTogetherAndComeAgain) {
  for (const std::uint64_t bad :
       {1ull, 1ull << 7, 1ull << 40, 1ull << 51, 3ull, 1ull << 31 | 1ull << 32 | 1ull << 51, (1ull << 52) - 1}) {
    Segment s(65'536, 1280);
    Slot slot(PTL_LARGE_DATA);
    const std::uint32_t opening = ptl_open(slot.get());
    EXPECT_EQ(ptl_discard_fragments(slot.get(), opening, bad), 0);  // not whole
    for (std::uint32_t i = 0; i < s.count(); ++i) s.put(slot, opening, i);
    ASSERT_TRUE(ptl_ready(slot.get()));
    for (std::uint32_t i = 0; i < s.count(); ++i) {
      if (bad >> i & 1) ptl_data(slot.get())[i * 1280] ^= 1;
    }
    EXPECT_EQ(ptl_discard_fragments(slot.get(), opening + 1, bad), 0);     // another opening's
    EXPECT_EQ(ptl_discard_fragments(slot.get(), opening, 1ull << 52), 0);  // there is none
    ASSERT_TRUE(ptl_ready(slot.get()));
    ASSERT_EQ(ptl_discard_fragments(slot.get(), opening, bad), 1);
    EXPECT_FALSE(ptl_ready(slot.get()));
    EXPECT_EQ(ptl_discard_fragments(slot.get(), opening, bad), 0);  // once
    EXPECT_EQ(ptl_taken(slot.get()), ((1ull << 52) - 1) & ~bad);
    std::uint64_t left = bad;
    for (std::uint32_t i = 0; i < s.count(); ++i) {
      left &= ~(1ull << i);
      const bool again = (bad >> i & 1) != 0;
      EXPECT_EQ(s.put(slot, opening, i), !again ? PTL_A_PRESENT : left == 0 ? PTL_A_COMPLETED : PTL_A_TAKEN) << i;
    }
    EXPECT_EQ(std::memcmp(ptl_data(slot.get()), s.data.data(), s.bytes), 0);
    EXPECT_EQ(ptl_retire(slot.get()), 1);
  }
}

TEST(Accept, RetireSeesACpuThatIsStillInside) {
  Segment s(3'000, 1280);
  Slot slot(PTL_SMALL_DATA);
  const std::uint32_t opening = ptl_open(slot.get());
  for (std::uint32_t i = 0; i < 3; ++i) s.put(slot, opening, i);
  slot.get()->claim[1] |= 1;  // as a liar's CPU between its claim and its shape would leave it
  EXPECT_EQ(ptl_retire(slot.get()), 0);
  EXPECT_EQ(ptl_high(slot.get()->claim[1]), opening + 1);
  ptl_reset(slot.get());
  const std::uint32_t again = ptl_open(slot.get());
  for (std::uint32_t i = 0; i < 3; ++i) s.put(slot, again, i);
  EXPECT_TRUE(ptl_ready(slot.get()));
}

TEST(Accept, OpeningsWrapWithoutZero) {
  EXPECT_EQ(ptl_next_opening(0xFFFFFFFF), 1u);
  Slot slot(PTL_SMALL_DATA);
  slot.get()->gate = ptl_word(0xFFFFFFFE, PTL_CLOSED);
  EXPECT_EQ(ptl_open(slot.get()), 0xFFFFFFFFu);
}

// Every field random, lengths true and false; the memory on both sides is exact, so a sanitizer sees any step outside.
TEST(Accept, HostileFramesHurtNothing) {
  Slot small(PTL_SMALL_DATA), large(PTL_LARGE_DATA);
  std::uint32_t openings[2] = {ptl_open(small.get()), ptl_open(large.get())};
  std::uint32_t results[PTL_A_RESULTS] = {};
  std::uint32_t impossible = 0;
  for (std::uint64_t round = 0; round < 300'000; ++round) {
    std::uint64_t words[5];
    for (std::uint64_t i = 0; i < 5; ++i) words[i] = mix(round * 8 + i);
    ptl_frame f;
    std::memcpy(&f, words, sizeof f);
    if (round % 4 != 0) f.flags &= static_cast<std::uint8_t>(~PTL_F_MULTIPLEXED);
    if (round % 8 != 0) f.fragment_unit = static_cast<std::uint8_t>(17 + f.fragment_unit % 47);
    if (round % 8 != 1) f.bytes %= 70'000;
    if (round % 8 > 3) f.bytes %= 9'000;
    if (round % 8 > 2) f.fragment_index &= 7;
    const std::uint32_t size = f.fragment_unit * 64u;
    const std::uint32_t offset = size * f.fragment_index;
    std::uint32_t datagram = static_cast<std::uint32_t>(mix(round) % 5000);
    if (round % 16 != 2 && offset < f.bytes) datagram = PTL_FRAME_BYTES + std::min(size, f.bytes - offset);
    ptl_fragment fragment{};
    if (ptl_fragment_of(&f, datagram, &fragment) == 0) {
      ++impossible;
      continue;
    }
    const auto body = std::make_unique<std::uint8_t[]>(datagram - PTL_FRAME_BYTES);
    Slot& slot = fragment.slot_class == PTL_LARGE ? large : small;
    std::uint32_t& opening = openings[fragment.slot_class];
    ASSERT_LE(fragment.offset + fragment.length, slot.data_bytes);
    const auto result =
        ptl_accept(slot.get(), opening - (round % 31 == 0), slot.data_bytes, &fragment, round, body.get(), 0);
    ++results[result];
    if (ptl_ready(slot.get()) != 0) {
      ASSERT_EQ(ptl_retire(slot.get()), 1);
      opening = ptl_open(slot.get());
    } else if (round % 97 == 0 && ptl_close(slot.get()) != 0) {
      ptl_reset(slot.get());
      opening = ptl_open(slot.get());
    }
  }
  EXPECT_GT(impossible, 1000u);
  for (const auto r : {PTL_A_TAKEN, PTL_A_COMPLETED, PTL_A_STALE, PTL_A_LIE}) EXPECT_GT(results[r], 20u) << r;
  EXPECT_EQ(results[PTL_A_BAD_LENGTH], 0u);  // the frame's check caught them all
}

}  // namespace
