#include "broker/engine/log.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <set>
#include <vector>

#include "broker/engine/bits.hpp"

namespace portolan::broker::core {
namespace {

Limits small() {
  Limits l = Limits::sim();
  l.messages = l.small_blocks = 256;
  l.small_slots = l.large_slots = 8;
  l.topics = l.streams = 16;
  return l;
}

struct Fixture {
  Fixture()
      : memory(8u << 20), arena(memory.data(), memory.size()), store(small(), arena), log(small(), arena, store) {}
  std::uint32_t stream(const char* name, std::uint64_t publisher = 7, std::uint64_t start = 1) {
    std::uint32_t t = log.find_topic(name);
    if (t == kNil) t = log.add_topic(name);
    const std::uint32_t s = log.add_stream(t, publisher, 1);
    log.begin_stream(s, start);
    return s;
  }
  std::uint32_t put(std::uint32_t s, std::uint64_t q, std::uint64_t now = 0) {
    const MessageId m = store.create();
    if (m == kNil) return kNil;
    const std::uint8_t byte = 1;
    store.append_copy(m, {&byte, 1});
    const std::uint32_t e = log.append(s, q, m, now, kNil);
    if (e == kNil) store.release(m);
    return e;
  }
  std::vector<std::uint8_t> memory;
  Arena arena;
  Store store;
  Log log;
};

TEST(Log, NamesAreFoundAndBounded) {
  Fixture f;
  std::vector<std::uint32_t> topics;
  for (int i = 0; i < 16; ++i) topics.push_back(f.log.add_topic("t/" + std::to_string(i)));
  EXPECT_EQ(f.log.add_topic("one/more"), kNil);
  for (std::uint32_t i = 0; i < 16; ++i) EXPECT_EQ(f.log.find_topic("t/" + std::to_string(i)), topics[i]);
  EXPECT_EQ(f.log.find_topic("t/16"), kNil);
  EXPECT_EQ(f.log.name_of(topics[3]), "t/3");
}

TEST(Log, WhatComesEarlyWaitsBesideTheLogAndEntersItInOrder) {
  Fixture f;
  const std::uint32_t s = f.stream("a");
  const std::uint32_t topic = f.log.stream(s).topic;
  f.put(s, 1);
  const std::uint32_t three = f.put(s, 3), four = f.put(s, 4);
  EXPECT_TRUE(f.log.entry(three).early());
  EXPECT_EQ(f.log.entry(three).pending, 1u);  // so nobody takes it for delivered
  EXPECT_EQ(f.log.stream(s).contiguous, 1u);
  EXPECT_EQ(f.log.stream(s).highest, 4u);
  EXPECT_EQ(f.log.topic(topic).tail, f.log.topic(topic).head);
  EXPECT_EQ(f.log.link_next(s), kNil);
  const std::uint32_t two = f.put(s, 2);
  EXPECT_EQ(f.log.link_next(s), three);
  EXPECT_EQ(f.log.link_next(s), four);
  EXPECT_EQ(f.log.link_next(s), kNil);
  EXPECT_EQ(f.log.entry(two).next, three);
  EXPECT_EQ(f.log.entry(three).pending, 0u);
  EXPECT_EQ(f.log.stream(s).contiguous, 4u);
  EXPECT_EQ(f.log.stream(s).held, 4u);
}

TEST(Log, AGapFillsAHoleAndDropsWhatItCovers) {
  Fixture f;
  const std::uint32_t s = f.stream("a");
  f.put(s, 1);
  const std::uint32_t gap = f.log.append_gap(s, 4, 5, 5, 0, kNil);  // refused while 2 and 3 are being repaired
  EXPECT_TRUE(f.log.entry(gap).is_gap());
  EXPECT_EQ(f.log.stream(s).contiguous, 1u);
  const std::uint32_t six = f.put(s, 6);
  f.put(s, 3);
  f.log.append_gap(s, 2, 3, 1, 0, kNil);  // the home no longer has them, whatever came before
  EXPECT_EQ(f.log.find(s, 3), kNil);
  EXPECT_EQ(f.log.stream(s).contiguous, 5u);
  EXPECT_EQ(f.log.link_next(s), six);
  EXPECT_EQ(f.log.stream(s).contiguous, 6u);
  EXPECT_EQ(f.log.stream(s).early, 0u);
  EXPECT_EQ(f.store.usage().messages, 2u);
}

TEST(Log, OfManyScatteredGapsTheNearestAreRemembered) {
  Fixture f;
  const std::uint32_t s = f.stream("a");
  f.put(s, 1);
  for (std::uint64_t q = 60; q >= 4; q -= 2) f.log.append_gap(s, q, q, 5, 0, kNil);  // 3, 5, 7 ... are on their way
  EXPECT_TRUE(f.log.stream(s).gaps_forgotten);
  f.put(s, 2);
  for (std::uint64_t q = 3; q <= 61; q += 2) {
    f.put(s, q);
    while (f.log.link_next(s) != kNil) {
    }
  }
  EXPECT_EQ(f.log.stream(s).contiguous, 35u);  // sixteen of them, and what lies between
  EXPECT_EQ(f.log.stream(s).later_gap_count, 0u);
}

TEST(Log, AGapIsFoundByWhateverLiesInIt) {
  Fixture f;
  const std::uint32_t s = f.stream("a");
  f.put(s, 1);
  const std::uint32_t gap = f.log.append_gap(s, 2, 2, 5, 0, kNil);
  EXPECT_EQ(f.log.lengthen_gap(s, 3, 3, 5), gap);
  EXPECT_EQ(f.log.lengthen_gap(s, 4, 4, 5), gap);
  f.put(s, 5);
  for (const std::uint64_t q : {2u, 3u, 4u}) EXPECT_EQ(f.log.find_gap(s, q), gap);
  EXPECT_EQ(f.log.find_gap(s, 1), kNil);
  EXPECT_EQ(f.log.find_gap(s, 5), kNil);
  EXPECT_EQ(f.log.find_gap(s, 6), kNil);
  f.log.remove_head(f.log.stream(s).topic);
  f.log.remove_head(f.log.stream(s).topic);
  EXPECT_EQ(f.log.find_gap(s, 3), kNil);
}

TEST(Log, ALongGapIsFoundByWhateverLiesInIt) {
  Fixture f;
  const std::uint32_t s = f.stream("a");
  const std::uint32_t gap = f.log.append_gap(s, 1, 10'000, 5, 0, kNil),
                      same = f.log.append_gap(s, 1, 20'000, 1, 0, kNil);
  EXPECT_EQ(f.log.find_gap(s, 9'000), gap);
  EXPECT_EQ(f.log.find_gap(s, 11'000), same);
  f.log.remove_head(f.log.stream(s).topic);
  EXPECT_EQ(f.log.find_gap(s, 1), same);
  EXPECT_EQ(f.log.stream(s).long_gaps, 1u);
  f.log.remove_head(f.log.stream(s).topic);
  EXPECT_EQ(f.log.find_gap(s, 9'000), kNil);
  EXPECT_EQ(f.log.stream(s).long_gaps, 0u);
}

// Against a set: whatever the order in which they come (a RESUME fetches earlier ones) and the distances between them.
TEST(Log, WhatIsHeldIsChainedBySequence) {
  Fixture f;
  const std::uint32_t s = f.stream("a", 7, 1'000);
  const std::uint32_t topic = f.log.stream(s).topic;
  std::set<std::uint64_t> held;
  std::deque<std::uint64_t> order;
  std::uint64_t state = 1;
  const auto draw = [&](std::uint64_t n) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (state >> 33) % n;
  };
  for (int i = 0; i < 20'000; ++i) {
    if (order.size() > 40 || (!order.empty() && draw(2) == 0)) {
      f.log.remove_head(topic);
      held.erase(order.front());
      order.pop_front();
    } else if (const std::uint64_t q = draw(3) == 0 ? f.log.stream(s).contiguous + 1 : 1 + draw(900);
               held.insert(q).second) {
      f.put(s, q);
      order.push_back(q);
    }
    ASSERT_EQ(f.log.stream(s).held, held.size());
    for (const std::uint64_t q : {draw(1'000), f.log.stream(s).contiguous, f.log.stream(s).contiguous + 1}) {
      const auto at = held.lower_bound(q);
      const std::uint32_t e = f.log.held_from(s, q);
      ASSERT_EQ(e == kNil ? 0 : f.log.entry(e).sequence, at == held.end() ? 0 : *at);
    }
    if (i % 64 != 0) continue;
    std::vector<std::uint64_t> chained;
    for (std::uint32_t e = f.log.stream(s).first_held; e != kNil; e = f.log.entry(e).after) {
      chained.push_back(f.log.entry(e).sequence);
    }
    ASSERT_EQ(chained, std::vector<std::uint64_t>(held.begin(), held.end()));
  }
}

TEST(Log, BeginningLaterDropsWhatNobodyWillGet) {
  Fixture f;
  const std::uint32_t s = f.stream("a");
  f.put(s, 4);
  const std::uint32_t nine = f.put(s, 9);
  f.log.begin_stream(s, 8);
  EXPECT_EQ(f.log.find(s, 4), kNil);
  EXPECT_EQ(f.log.stream(s).contiguous, 7u);
  EXPECT_EQ(f.log.link_next(s), kNil);
  f.put(s, 8);
  EXPECT_EQ(f.log.link_next(s), nine);
}

TEST(Log, LowIsTheLeastHeld) {
  Fixture f;
  const std::uint32_t s = f.stream("a"), other = f.stream("a", 8);
  const std::uint32_t topic = f.log.stream(s).topic;
  f.log.begin_stream(s, 4);
  f.put(s, 4);
  f.put(other, 1);
  f.put(s, 2);  // a RESUME fetched it
  f.put(s, 5);
  EXPECT_EQ(f.log.low(s), 2u);
  f.log.remove_head(topic);  // 4 leaves first: it came first
  EXPECT_EQ(f.log.low(s), 2u);
  f.log.remove_head(topic);
  f.log.remove_head(topic);
  EXPECT_EQ(f.log.low(s), 5u);
  EXPECT_EQ(f.log.stream(other).held, 0u);
  EXPECT_EQ(f.log.find(s, 2), kNil);
}

TEST(Log, ReferencesToARemovedEntryAreKnownAsOld) {
  Fixture f;
  const std::uint32_t s = f.stream("a");
  const std::uint32_t e = f.put(s, 1);
  const std::uint32_t serial = f.log.entry(e).serial;
  f.log.remove_head(f.log.stream(s).topic);
  EXPECT_NE(f.log.entry(e).serial, serial);
  EXPECT_EQ(f.put(s, 2), e);  // the place is used again
  EXPECT_NE(f.log.entry(e).serial, serial);
}

TEST(Log, RunsOutOfMessagesButStillTakesGaps) {
  Fixture f;
  const std::uint32_t s = f.stream("a");
  std::uint64_t q = 1;
  while (f.put(s, q) != kNil) ++q;
  EXPECT_EQ(q, 257u);
  EXPECT_NE(f.log.append_gap(s, q, q, 5, 0, kNil), kNil);
  EXPECT_EQ(f.store.usage().messages, 256u);
  for (int i = 0; i < 257; ++i) f.log.remove_head(f.log.stream(s).topic);
  EXPECT_EQ(f.store.usage().messages, 0u);
  EXPECT_EQ(f.log.entries_used(), 0u);
  EXPECT_EQ(f.log.retained_bytes(), 0u);
}

TEST(Log, PreviousStreamIsTheLatestOlderIncarnationThatIsKnown) {
  Fixture f;
  const std::uint32_t t = f.log.add_topic("a");
  const std::uint32_t one = f.log.add_stream(t, 7, 1), three = f.log.add_stream(t, 7, 3);
  f.log.add_stream(t, 8, 4);
  EXPECT_EQ(f.log.previous_stream(t, 7, 5), kNil);  // only asked for so far
  f.log.stream(one).home = f.log.stream(three).home = Home::local;
  EXPECT_EQ(f.log.previous_stream(t, 7, 5), three);
  EXPECT_EQ(f.log.previous_stream(t, 7, 3), one);
  EXPECT_EQ(f.log.previous_stream(t, 7, 1), kNil);
}

// Against a map, with many collisions: erasing must never lose a neighbour.
TEST(SequenceTable, AgreesWithAMapThroughInsertionsAndErasures) {
  std::vector<std::uint8_t> memory(1u << 20);
  Arena arena(memory.data(), memory.size());
  SequenceTable table;
  table.construct(arena, 128);
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint32_t> model;
  std::uint64_t state = 1;
  for (std::uint32_t i = 0; i < 200'000; ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    const auto stream = static_cast<std::uint32_t>(state >> 60);
    const std::uint64_t sequence = (state >> 40) % 32;
    const auto at = model.find({stream, sequence});
    ASSERT_EQ(table.find(stream, sequence), at == model.end() ? kNil : at->second);
    if (at != model.end()) {
      table.erase(stream, sequence);
      model.erase(at);
    } else if (model.size() < 128) {
      table.insert(stream, sequence, i);
      model[{stream, sequence}] = i;
    }
  }
}

TEST(BitMatrix, IteratesAscendingAndAllowsClearing) {
  std::vector<std::uint8_t> memory(4'096);
  Arena arena(memory.data(), memory.size());
  BitMatrix bits;
  bits.construct(arena, 3, 130);
  for (const std::uint32_t c : {129u, 0u, 64u, 63u}) bits.set(1, c);
  std::vector<std::uint32_t> seen;
  bits.for_each(1, [&](std::uint32_t c) {
    seen.push_back(c);
    bits.clear(1, c);
  });
  EXPECT_EQ(seen, (std::vector<std::uint32_t>{0, 63, 64, 129}));
  bits.for_each(1, [](std::uint32_t) { FAIL(); });
  EXPECT_FALSE(bits.test(0, 0));
}

}  // namespace
}  // namespace portolan::broker::core
