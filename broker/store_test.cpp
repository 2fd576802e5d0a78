// Messages of any length come back byte for byte; exhaustion leaves everything as it was; whatever is taken is given
// back.
#include "broker/store.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "broker/types.hpp"

namespace portolan::broker {
namespace {

Limits small_limits() {
  Limits l;
  l.messages = 8;
  l.small_blocks = 16;
  l.small_block_bytes = 64;
  l.small_slots = 5;
  l.large_slots = 5;
  return l;
}

struct Fixture {
  explicit Fixture(const Limits& limits)
      : memory(size(limits), 0xA5), arena(memory.data(), memory.size()), store(limits, arena) {}
  static std::size_t size(const Limits& limits) {
    Arena dry(nullptr, 0);
    const Store store(limits, dry);
    return dry.used();
  }
  std::vector<std::uint8_t> memory;
  Arena arena;
  Store store;

  std::vector<std::uint8_t> bytes(MessageId id) const {
    std::vector<std::uint8_t> out;
    store.for_each_piece(id, [&](auto piece) { out.insert(out.end(), piece.begin(), piece.end()); });
    return out;
  }
};

std::vector<std::uint8_t> pattern(std::size_t n) {
  std::vector<std::uint8_t> out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::uint8_t>(i * 31 + (i >> 8) * 7 + 1);
  return out;
}

TEST(Store, BytesComeBackAtEveryLength) {
  Fixture f(small_limits());
  ASSERT_FALSE(f.arena.short_of_memory());
  for (const std::size_t n :
       {0u, 1u, 63u, 64u, 65u, 128u, 256u, 257u, 1024u, 8192u, 8193u, 65536u, 65488u, 65489u, 150000u}) {
    const auto want = pattern(n);
    const MessageId id = f.store.create();
    ASSERT_NE(id, kNil);
    ASSERT_TRUE(f.store.append_copy(id, want)) << n;
    EXPECT_EQ(f.store.at(id).length, n);
    EXPECT_EQ(f.bytes(id), want) << n;
    f.store.release(id);
    const auto usage = f.store.usage();
    EXPECT_EQ(usage.messages + usage.blocks + usage.small_slots + usage.large_slots, 0u) << n;
  }
}

TEST(Store, AppendsInManySteps) {
  Fixture f(small_limits());
  const auto want = pattern(700);
  const MessageId id = f.store.create();
  for (std::size_t at = 0; at < want.size(); at += 35)
    ASSERT_TRUE(f.store.append_copy(id, std::span(want).subspan(at, 35)));
  EXPECT_EQ(f.bytes(id), want);
  EXPECT_EQ(f.store.at(id).pieces, 11u);  // 700 / 64, filled to the brim
}

TEST(Store, GathersAnyPart) {
  Fixture f(small_limits());
  const auto want = pattern(500);
  const MessageId id = f.store.create();
  for (std::size_t at = 0; at < 500; at += 100) ASSERT_TRUE(f.store.append_copy(id, std::span(want).subspan(at, 100)));
  std::array<std::span<const std::uint8_t>, 16> parts;
  for (std::uint32_t offset = 0; offset <= 500; offset += 7) {
    for (const std::uint32_t length : {0u, 1u, 64u, 130u, 500u}) {
      const std::uint32_t n = f.store.gather(id, offset, length, parts);
      std::vector<std::uint8_t> got;
      for (std::uint32_t i = 0; i < n; ++i) got.insert(got.end(), parts[i].begin(), parts[i].end());
      const auto end = std::min<std::size_t>(500, offset + length);
      EXPECT_EQ(got, std::vector<std::uint8_t>(want.begin() + offset, want.begin() + static_cast<std::ptrdiff_t>(end)));
    }
  }
  EXPECT_EQ(f.store.gather(id, 0, 500, std::span(parts).first(2)), 2u);
}

TEST(Store, ExhaustionLeavesTheMessageAsItWas) {
  Fixture f(small_limits());
  const auto first = pattern(70);
  const MessageId id = f.store.create();
  ASSERT_TRUE(f.store.append_copy(id, first));
  const auto before = f.store.usage();
  EXPECT_FALSE(f.store.append_copy(id, pattern(1'000'000)));
  EXPECT_EQ(f.bytes(id), first);
  EXPECT_EQ(f.store.at(id).length, 70u);
  EXPECT_EQ(f.store.usage().blocks, before.blocks);
  EXPECT_EQ(f.store.usage().large_slots, before.large_slots);
  const MessageId empty = f.store.create();
  EXPECT_FALSE(f.store.append_copy(empty, pattern(1'000'000)));
  EXPECT_EQ(f.store.at(empty).first_piece, kNil);
  ASSERT_TRUE(f.store.append_copy(id, pattern(50)));
  EXPECT_EQ(f.bytes(id).size(), 120u);
}

TEST(Store, PublishingLeavesSlotsForReassembly) {
  Fixture f(small_limits());
  const MessageId id = f.store.create();
  ASSERT_TRUE(f.store.append_copy(id, pattern(3 * PTL_SEGMENT_PAYLOAD)));
  EXPECT_EQ(f.store.usage().large_slots, 3u);
  const MessageId next = f.store.create();
  EXPECT_FALSE(f.store.append_copy(next, pattern(PTL_SEGMENT_PAYLOAD)));  // the last two are not for it
  EXPECT_NE(f.store.take_slot(PieceKind::large_slot), kNil);
  EXPECT_NE(f.store.take_slot(PieceKind::large_slot), kNil);
  EXPECT_EQ(f.store.take_slot(PieceKind::large_slot), kNil);
}

// Else two messages, each half here, could wait for one another's memory for ever.
TEST(Store, WhatIsPromisedToOneIsThereForNobodyElse) {
  Fixture f(small_limits());
  std::uint32_t promised = 10;
  EXPECT_FALSE(f.store.reserve_blocks(17));
  ASSERT_TRUE(f.store.reserve_blocks(promised));
  EXPECT_EQ(f.store.usage().blocks, 10u);
  EXPECT_FALSE(f.store.reserve_blocks(7));
  const MessageId other = f.store.create(), mine = f.store.create();
  EXPECT_TRUE(f.store.append_copy(other, pattern(4 * 64)));
  EXPECT_FALSE(f.store.append_copy(other, pattern(3 * 64)));  // two are nobody's
  EXPECT_TRUE(f.store.append_copy(other, pattern(100)));
  const auto long_one = pattern(10 * 64);
  for (std::size_t at = 0; at < long_one.size(); at += 160) {  // longer than what goes into slots otherwise
    ASSERT_TRUE(f.store.append_reserved(mine, std::span(long_one).subspan(at, 160), promised));
  }
  EXPECT_EQ(promised, 0u);
  EXPECT_EQ(f.bytes(mine), long_one);
  EXPECT_EQ(f.store.usage().blocks, 16u);
  EXPECT_EQ(f.store.usage().small_slots + f.store.usage().large_slots, 0u);
  f.store.reserve_slots(PieceKind::large_slot, 3);  // two are free of promises, and two stay for what comes in
  EXPECT_FALSE(f.store.append_copy(other, pattern(20'000)));
  EXPECT_EQ(f.store.usage().large_slots, 0u);
  f.store.unreserve_slots(PieceKind::large_slot, 3);
  EXPECT_TRUE(f.store.append_copy(other, pattern(20'000)));
  EXPECT_EQ(f.store.usage().large_slots, 1u);
  f.store.release(mine);
  f.store.release(other);
  EXPECT_EQ(f.store.usage().blocks, 0u);
}

TEST(Store, AFollowingPieceFillsTheSlotBeforeIt) {
  Limits limits = small_limits();
  limits.large_slots = 8;
  Fixture f(limits);
  const MessageId m = f.store.create();
  const auto all = pattern(120'000);
  for (std::size_t at = 0; at < all.size(); at += 30'000) {
    ASSERT_TRUE(f.store.append_copy(m, std::span(all).subspan(at, 30'000)));
  }
  EXPECT_EQ(f.bytes(m), all);
  EXPECT_EQ(f.store.usage().large_slots, 2u);
}

TEST(Store, MessagesRunOutAndComeBack) {
  Fixture f(small_limits());
  MessageId ids[8];
  for (MessageId& id : ids) ASSERT_NE(id = f.store.create(), kNil);
  EXPECT_EQ(f.store.create(), kNil);
  f.store.add_reference(ids[3]);
  f.store.release(ids[3]);
  EXPECT_EQ(f.store.create(), kNil);
  f.store.release(ids[3]);
  EXPECT_EQ(f.store.create(), ids[3]);
  EXPECT_EQ(f.store.usage().messages_high, 8u);
}

TEST(Store, SlotIsReadInPlaceAndReopensUnderAnotherOpening) {
  Fixture f(small_limits());
  const std::uint32_t index = f.store.take_slot(PieceKind::small_slot);
  ptl_slot* slot = f.store.slot(PieceKind::small_slot, index);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(slot) % 64, 0u);
  const std::uint32_t opening = ptl_open(slot);
  ptl_fragment fragment{};
  fragment.length = 100;
  fragment.shape = ptl_shape(0, 1280, 100);
  auto bytes = pattern(100);
  ASSERT_EQ(ptl_accept(slot, opening, PTL_SMALL_DATA, &fragment, 5, bytes.data(), 0), PTL_A_COMPLETED);
  const MessageId id = f.store.create();
  ASSERT_TRUE(f.store.append_slot(id, PieceKind::small_slot, index, 32, 52));
  EXPECT_FALSE(f.store.append_slot(id, PieceKind::small_slot, index, 8000, 200));
  EXPECT_FALSE(f.store.append_slot(id, PieceKind::small_slot, 99, 0, 1));
  EXPECT_EQ(f.bytes(id), std::vector<std::uint8_t>(bytes.begin() + 32, bytes.begin() + 84));
  f.store.release(id);
  EXPECT_EQ(f.store.usage().small_slots, 0u);
  EXPECT_EQ(f.store.take_slot(PieceKind::small_slot), index);  // last in, first out
  EXPECT_NE(ptl_open(slot), opening);
  EXPECT_EQ(ptl_accept(slot, opening, PTL_SMALL_DATA, &fragment, 5, bytes.data(), 0), PTL_A_STALE);
}

TEST(Store, AnArenaTooSmallIsSeen) {
  const Limits l = small_limits();
  std::vector<std::uint8_t> memory(Fixture::size(l) / 2);
  Arena arena(memory.data(), memory.size());
  const Store store(l, arena);
  EXPECT_TRUE(arena.short_of_memory());
}

TEST(Types, EveryDropHasANameOfItsOwn) {
  for (std::uint8_t a = 0; a < static_cast<std::uint8_t>(Drop::kCount); ++a) {
    EXPECT_STRNE(name_of(static_cast<Drop>(a)), name_of(Drop::kCount)) << int{a};
    for (std::uint8_t b = 0; b < a; ++b) EXPECT_STRNE(name_of(static_cast<Drop>(a)), name_of(static_cast<Drop>(b)));
  }
}

TEST(Types, MessageKeysAreTheSameOnEveryMachine) {
  EXPECT_EQ(message_key(1, 2, 3, 4), message_key(1, 2, 3, 4));
  EXPECT_NE(message_key(1, 2, 3, 4), message_key(1, 2, 3, 5));
  EXPECT_NE(message_key(1, 2, 3, 4), message_key(2, 1, 3, 4));
}

}  // namespace
}  // namespace portolan::broker
