// Three hubs with four leaves each, over the network in memory: what is published in one leaf reaches each other once,
// by leaf, hub, hub, leaf; and when a hub dies its leaves go on by their standbys.
#include <gtest/gtest.h>

#include "broker/testing/chaos_search.hpp"
#include "broker/testing/world.hpp"

namespace portolan::broker::testing {
namespace {

constexpr std::size_t kHubs = 3, kLeaves = 12;

WorldOptions with_room(WorldOptions options) {
  options.broker_limits.peers = 16;
  for (Limits* l : {&options.broker_limits, &options.leaf_limits, &options.client_limits}) {
    l->window_messages = l->receive_messages = 4'096;  // nobody is let go for want of room
    l->unresolved_messages = 1'024;
    l->deliveries = l->reorder_messages = l->kept_messages = 4'096;
  }
  return options;
}

struct Fleet {
  explicit Fleet(std::uint64_t seed, const WorldOptions& options = {}) : w(seed, with_room(options)) {
    for (std::size_t i = 0; i < kHubs; ++i) hubs.push_back(w.broker("h" + std::to_string(i)));
    for (std::size_t i = 0; i < kLeaves; ++i) {
      leaves.push_back(w.broker("l" + std::to_string(i)));
      w.leaf(leaves[i], hubs[i % kHubs], hubs[(i + 1) % kHubs]);
    }
    for (std::size_t i = 0; i < kLeaves; ++i) clients.push_back(w.client(leaves[i], "c" + std::to_string(i)));
  }
  void all_subscribe(std::string_view filter) {
    for (const Node c : clients) w.subscribe(c, filter);
    standing = w.run_until(
        [&] {
          for (const Node c : clients) {
            if (!w.subscribed(c, filter)) return false;
          }
          return true;
        },
        10 * kSecond);
  }
  void publish(int rounds, std::uint64_t every_ns) {
    for (int i = 0; i < rounds; ++i) {
      for (std::size_t c = 0; c < clients.size(); c += 3)
        w.publish(clients[c + static_cast<std::size_t>(i % 3)], "t/1");
      w.run_for(every_ns);
    }
  }
  std::uint64_t deliveries() const {
    std::uint64_t sum = 0;
    for (const Node c : clients) sum += w.deliveries(c);
    return sum;
  }
  World w;
  std::vector<Node> hubs, leaves, clients;
  bool standing = false;
};

TEST(Hubs, EveryLeafGetsEachMessageOnceAndNothingGoesBack) {
  Fleet f(1);
  f.all_subscribe("t/#");
  ASSERT_TRUE(f.standing);
  const Node local = f.w.client(f.hubs[0], "at-the-hub");
  f.w.subscribe(local, "t/#");
  ASSERT_TRUE(f.w.run_until([&] { return f.w.subscribed(local, "t/#"); }, 5 * kSecond));
  f.publish(30, 10 * kMilli);
  f.w.publish(local, "t/1");
  EXPECT_TRUE(f.w.settle(5 * kSecond));
  EXPECT_EQ(f.w.verdict(), "");
  EXPECT_EQ(f.deliveries(), 121u * kLeaves);
  EXPECT_EQ(f.w.deliveries(local), 121u);
  std::uint64_t forwarded = 0, duplicates = 0;
  for (const auto& group : {f.hubs, f.leaves}) {
    for (const Node b : group) {
      forwarded += f.w.engine(b).counters().forwarded_in;
      duplicates += f.w.engine(b).counters().duplicates_dropped;
    }
  }
  // Of a leaf: to its hub, two hubs, eleven leaves. Of the hub's own client: two hubs and all leaves.
  EXPECT_EQ(forwarded, 120u * (1 + 2 + 11) + 2 + 12);
  EXPECT_EQ(duplicates, 0u);
}

// From the kill on, what is published reaches everybody within the dead interval and a few round trips.
TEST(Hubs, WhenAHubDiesTheStandbyTakesOverWithinTheDeadInterval) {
  Fleet f(2);
  f.all_subscribe("t/#");
  ASSERT_TRUE(f.standing);
  f.publish(50, 10 * kMilli);
  f.w.kill(f.hubs[1]);
  f.publish(20, 10 * kMilli);
  f.w.run_for(400 * kMilli);  // 3 idle intervals of 100 ms, and what it takes to say so
  const std::uint64_t before = f.deliveries();
  EXPECT_EQ(before, 70u * 4 * kLeaves) << "of what was published before and while it was dead";
  f.publish(50, 10 * kMilli);
  f.w.run_for(100 * kMilli);
  EXPECT_EQ(f.deliveries(), 120u * 4 * kLeaves);
  f.w.restart(f.hubs[1]);
  f.publish(300, 10 * kMilli);
  EXPECT_TRUE(f.w.settle(20 * kSecond));
  EXPECT_EQ(f.w.verdict(), "");
  EXPECT_EQ(f.deliveries(), 420u * 4 * kLeaves);
  EXPECT_EQ(f.w.oracle().totals().gaps, 0u);
}

TEST(Hubs, AfterTheStandbyDiesTooTheLeavesReturnToTheirHub) {
  Fleet f(3);
  f.all_subscribe("t/#");
  ASSERT_TRUE(f.standing);
  f.w.kill(f.hubs[1]);
  f.publish(100, 10 * kMilli);
  f.w.restart(f.hubs[1]);
  f.publish(100, 10 * kMilli);
  f.w.kill(f.hubs[2]);
  f.publish(100, 10 * kMilli);
  f.w.restart(f.hubs[2]);
  f.publish(100, 10 * kMilli);
  EXPECT_TRUE(f.w.settle(30 * kSecond));
  EXPECT_EQ(f.w.verdict(), "");
  EXPECT_EQ(f.deliveries(), 400u * 4 * kLeaves);
}

TEST(Hubs, ALeafThatIsCutFromItsHubGoesByItsStandby) {
  Fleet f(4);
  f.all_subscribe("t/#");
  ASSERT_TRUE(f.standing);
  f.publish(20, 10 * kMilli);
  f.w.cut(f.leaves[0], f.hubs[0]);
  f.publish(100, 10 * kMilli);
  f.w.run_for(100 * kMilli);
  EXPECT_EQ(f.deliveries(), 120u * 4 * kLeaves);
  f.w.heal(f.leaves[0], f.hubs[0]);
  f.publish(100, 10 * kMilli);
  EXPECT_TRUE(f.w.settle(30 * kSecond));
  EXPECT_EQ(f.w.verdict(), "");
  EXPECT_EQ(f.deliveries(), 220u * 4 * kLeaves);
}

TEST(Hubs, ALeafCutFromBothIsUnreachableAndComesBack) {
  Fleet f(5);
  f.all_subscribe("t/#");
  ASSERT_TRUE(f.standing);
  for (const std::size_t h : {0u, 1u}) f.w.cut(f.leaves[0], f.hubs[h]);
  f.publish(200, 10 * kMilli);
  for (const std::size_t h : {0u, 1u}) f.w.heal(f.leaves[0], f.hubs[h]);
  f.publish(20, 10 * kMilli);
  EXPECT_TRUE(f.w.settle(30 * kSecond));
  EXPECT_EQ(f.w.verdict(), "");
  EXPECT_EQ(f.deliveries(), 220u * 4 * kLeaves);
}

// Any one broker dies, or is cut off from a neighbour, while loss and traffic go on.
void random_life(std::uint64_t seed) {
  WorldOptions options;
  options.detach_ns = 40 * kSecond;
  options.retain_bytes = 0;
  Fleet f(seed, options);
  f.all_subscribe("t/#");
  ASSERT_TRUE(f.standing);
  Draw draw(seed);
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t at = f.w.now() + draw.between(100, 3'000) * kMilli, length = draw.between(50, 1'500) * kMilli;
    const std::size_t hub = draw.below(kHubs), leaf = draw.below(kLeaves);
    const Node h = f.hubs[hub], l = f.leaves[leaf];
    if (draw.below(3) == 0) {
      f.w.at(at, [&f, h] { f.w.kill(h); });
      f.w.at(at + length, [&f, h] { f.w.restart(h); });
    } else if (draw.below(2) == 0) {
      f.w.at(at, [&f, l] { f.w.kill(l); });
      f.w.at(at + length, [&f, l] { f.w.restart(l); });
    } else {
      f.w.at(at, [&f, h, l] { f.w.cut(h, l); });
      f.w.at(at + length, [&f, h, l] { f.w.heal(h, l); });
    }
  }
  f.w.both(f.leaves[0], f.hubs[0], [](Path& path) { path.loss = 50'000; });
  f.publish(250, 20 * kMilli);
  EXPECT_TRUE(f.w.settle(40 * kSecond)) << seed;
  EXPECT_EQ(f.w.verdict(), "") << seed;
}

TEST(Hubs, RandomDeathsAndCutsLoseNothing) {
  const std::uint64_t first = from_environment("PORTOLAN_CHAOS_FIRST", 10);
  const std::uint64_t seeds = from_environment("PORTOLAN_CHAOS_SEEDS", 8);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) random_life(seed);
}

// A leaf turned to its other hub, or was itself started again: what it had published came by both hubs, and each waited
// for the other, or both for the leaf, before anything was *received*.
TEST(Hubs, WhatCameByTwoHubsIsReceived) {
  random_life(24);
  random_life(58);
}

}  // namespace
}  // namespace portolan::broker::testing
