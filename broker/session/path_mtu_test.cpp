// The size of a path: found, lost when a tunnel appears under traffic, found again when it goes; and no size is given
// up for mere loss.
#include "broker/session/path_mtu.hpp"

#include <gtest/gtest.h>

#include "broker/session/test_wire.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

// Lets time run from deadline to deadline; answers come one round trip later when the path takes the size.
void drive(PathMtu& mtu, std::uint64_t& now_ns, std::uint64_t until_ns, std::uint32_t passes, std::uint64_t rtt_ns) {
  std::multimap<std::uint64_t, PathMtu::Probe> answers;
  while (true) {
    const std::uint64_t next = std::min(mtu.deadline(), answers.empty() ? kNever : answers.begin()->first);
    if (next > until_ns) break;
    now_ns = std::max(now_ns, next);
    while (!answers.empty() && answers.begin()->first <= now_ns) {
      mtu.answered(now_ns, answers.begin()->second);
      answers.erase(answers.begin());
    }
    PathMtu::Probe probe;
    while (mtu.next_probe(now_ns, rtt_ns + kMs, now_ns | 1, probe)) {
      if (probe.bytes <= passes) answers.emplace(now_ns + rtt_ns, probe);
    }
  }
  now_ns = until_ns;
}

TEST(PathMtu, FindsTheLargestSizeThatPasses) {
  for (std::uint32_t passes = PTL_FRAGMENT_DEFAULT; passes <= PTL_FRAGMENT_KERNEL_MAX; passes += 16) {
    PathMtu mtu;
    std::uint64_t now_ns = 0;
    mtu.reset(now_ns, PTL_FRAGMENT_DEFAULT, PTL_FRAGMENT_KERNEL_MAX);
    drive(mtu, now_ns, 900 * kMs, passes, 20 * kMs);
    EXPECT_EQ(mtu.size(), passes / PTL_FRAGMENT_UNIT * PTL_FRAGMENT_UNIT) << passes;
    EXPECT_LE(mtu.counts().probes, 3u * 7u);
  }
}

TEST(PathMtu, NothingIsProbedWhereBothEndsTakeTheBaseOnly) {
  PathMtu mtu;
  mtu.reset(0, PTL_FRAGMENT_DEFAULT, PTL_FRAGMENT_DEFAULT);
  EXPECT_EQ(mtu.deadline(), kNever);
}

TEST(PathMtu, AnIdleSessionFindsOutWithinTheConfirmationTime) {
  PathMtu mtu;
  std::uint64_t now_ns = 0;
  mtu.reset(now_ns, 1'280, 4'032);
  drive(mtu, now_ns, 1'000 * kMs, 1'408, 20 * kMs);
  ASSERT_EQ(mtu.size(), 1'408u);
  drive(mtu, now_ns, now_ns + PathMtu::kConfirmNs + 500 * kMs, 1'300, 20 * kMs);
  EXPECT_EQ(mtu.size(), 1'280u);
  EXPECT_EQ(mtu.counts().falls, 1u);
}

TEST(PathMtu, ADeadPathIsNotTakenForANarrowOne) {
  PathMtu mtu;
  std::uint64_t now_ns = 0;
  mtu.reset(now_ns, 1'280, 1'408);
  drive(mtu, now_ns, 100 * kMs, 1'408, 20 * kMs);
  for (std::uint64_t i = 1; i <= 10; ++i) mtu.lost(now_ns, i, 1'400);
  drive(mtu, now_ns, now_ns + 5'000 * kMs, 0, 20 * kMs);
  EXPECT_EQ(mtu.size(), 1'408u);
  drive(mtu, now_ns, now_ns + 2'000 * kMs, 1'408, 20 * kMs);  // it lives again
  EXPECT_EQ(mtu.size(), 1'408u);
  EXPECT_EQ(mtu.counts().falls, 0u);
}

// Gaps mature later than what came around them: lost one after the other, though large datagrams came in between.
TEST(PathMtu, LossesBetweenWhatCameAreNotInARow) {
  PathMtu mtu;
  mtu.reset(0, 1'280, 1'280);
  for (std::uint64_t packet = 1; packet < 300; ++packet) {
    if (packet % 3 != 0) mtu.acknowledged(packet, 1'280);
  }
  for (std::uint64_t packet = 3; packet < 299; packet += 3) mtu.lost(0, packet, 1'280);
  EXPECT_EQ(mtu.deadline(), kNever);
  for (std::uint64_t packet = 300; packet < 310; ++packet) mtu.lost(0, packet, 1'000);  // small ones say nothing
  EXPECT_EQ(mtu.deadline(), kNever);
  for (std::uint64_t packet = 310; packet < 313; ++packet) mtu.lost(0, packet, 1'280);
  EXPECT_EQ(mtu.deadline(), 0u);
}

struct Tunnelled {
  std::unique_ptr<Wire> wire;
  std::uint32_t passes = 4'072;  // UDP payload, both ways
  std::uint64_t too_large = 0;
  std::uint32_t loss_percent = 0;
  Draw draw{3};
  std::uint64_t sequence = 0;
  std::vector<std::string> sent;
  std::size_t from = 0;  // the node that sends

  explicit Tunnelled(std::uint32_t payload, std::uint64_t delay_ns = 10 * kMs, std::uint32_t credit_bytes = 4u << 20)
      : passes(payload) {
    Limits limits = Limits::sim_client();
    limits.credit_bytes = credit_bytes;
    limits.datagram_bytes = PTL_FRAME_BYTES + PTL_FRAGMENT_KERNEL_MAX;
    wire = make_pair(delay_ns, 50'000'000, limits);
    wire->fate = [this](Wire::Packet& p) {
      if (p.bytes.size() > passes) {
        p.copies = 0;
        ++too_large;
      }
      if (draw.below(100) < loss_percent) p.copies = 0;
    };
  }
  std::uint32_t size() const {
    SessionStats stats;
    EXPECT_TRUE(wire->nodes[from]->endpoint->stats(wire->nodes[from]->up, stats));
    return stats.fragment_bytes;
  }
  SessionStats stats() const {
    SessionStats stats;
    EXPECT_TRUE(wire->nodes[from]->endpoint->stats(wire->nodes[from]->up, stats));
    return stats;
  }
  // Positions, charts of a datagram, tiles: what may stand in a queue when the path changes.
  void traffic(std::uint64_t for_ns) {
    static constexpr std::size_t kBytes[] = {200, 1'180, 1'300, 60'000, 1'030, 1'228, 7'000, 90};
    for (const std::uint64_t until = wire->now_ns + for_ns; wire->now_ns < until; wire->run_for(3 * kMs)) {
      queue(kBytes[sequence % std::size(kBytes)], static_cast<Lane>(1 + sequence % 3));
    }
  }
  void queue(std::size_t bytes, Lane lane) {
    std::string text = text_of(sequence, bytes);
    if (wire->send(from, lane, text, sequence) != SendResult::ok) return;
    sent.push_back(std::move(text));
    ++sequence;
  }
  // How long until the size is this, under traffic.
  std::uint64_t until_size(std::uint32_t wanted, std::uint64_t at_most_ns) {
    const std::uint64_t start = wire->now_ns;
    while (size() != wanted && wire->now_ns < start + at_most_ns) traffic(3 * kMs);
    return wire->now_ns - start;
  }
  void all_came_once() {
    Node& b = *wire->nodes[1 - from];
    wire->run_for(3'000 * kMs, [&] { return b.got.size() >= sent.size(); });
    ASSERT_EQ(b.got.size(), sent.size());
    std::vector<bool> came(sent.size());
    for (const Got& got : b.got) {
      ASSERT_LT(got.sequence, sent.size());
      EXPECT_FALSE(came[got.sequence]);
      came[got.sequence] = true;
      EXPECT_EQ(got.bytes, sent[got.sequence]) << got.sequence;
    }
    EXPECT_EQ(wire->nodes[0]->events.size(), 1u) << "the session lived through it";
    EXPECT_EQ(wire->nodes[1]->events.size(), 1u);
  }
};

// UDP payloads: Ethernet 1,452 (IPv6); inside VXLAN 1,402; GRE inside GTP-U 1,334; a narrow one 1,200.
TEST(PathMtu, FollowsATunnelThatAppearsUnderTraffic) {
  for (const std::uint32_t tunnel : {1'402u, 1'334u, 1'200u}) {
    Tunnelled t(1'452);
    t.wire->run_for(600 * kMs);
    ASSERT_EQ(t.size(), 1'408u);
    t.traffic(300 * kMs);
    t.passes = tunnel;
    const std::uint64_t fell_ns = t.until_size(tunnel < 1'320 ? 1'088 : 1'280, 2'000 * kMs);
    std::printf("tunnel of %u: smaller after %.1f RTT", tunnel, static_cast<double>(fell_ns) / 20e6);
    EXPECT_LE(fell_ns, 8 * 20 * kMs);  // PROTOCOL.md: eight round trips
    t.traffic(1'000 * kMs);
    const std::uint32_t best = (tunnel - PTL_FRAME_BYTES) / PTL_FRAGMENT_UNIT * PTL_FRAGMENT_UNIT;
    EXPECT_EQ(t.size(), best);
    const SessionStats stats = t.stats();
    EXPECT_EQ(stats.size_falls, 1u);
    t.passes = 1'452;
    const std::uint64_t rose_ns = t.until_size(1'408, 20'000 * kMs);
    std::printf(", larger again after %.2f s; %lu probes, %lu datagrams too large, %lu segments cut anew\n",
                static_cast<double>(rose_ns) * 1e-9, static_cast<unsigned long>(stats.size_probes),
                static_cast<unsigned long>(t.too_large),
                static_cast<unsigned long>(t.wire->nodes[0]->endpoint->counters().segments_recut));
    EXPECT_LE(rose_ns, PathMtu::kRaiseMostNs + 2'000 * kMs);
    t.all_came_once();
  }
}

// What was cut and queued for the former path must not stop a lane, or stay lost, on a narrower one.
TEST(PathMtu, WhatWasCutForTheFormerAddressPassesTheNewOne) {
  Tunnelled t(1'452);
  t.from = 1;
  t.wire->run_for(600 * kMs);
  ASSERT_EQ(t.size(), 1'408u);
  t.passes = 1'334;
  t.wire->nodes[0]->address.words = {1, 2, 3};
  for (int i = 0; i < 600 && t.size() != PTL_FRAGMENT_DEFAULT; ++i, t.wire->run_for(kMs)) {
    t.queue(1'300, Lane::ordered);
    t.queue(60'000, Lane::realtime);
    for (int k = 0; k < 10; ++k) t.queue(1'300, Lane::bulk);
  }
  ASSERT_EQ(t.size(), std::uint32_t{PTL_FRAGMENT_DEFAULT});
  EXPECT_GT(t.wire->nodes[1]->endpoint->backlog_bytes(t.wire->nodes[1]->up), 1'300u);
  t.all_came_once();
}

// Short messages that are taken for lost on a path that became narrower leave again as long ones. Whether they were
// only late or are gone: both ends must go on to count the same credit.
TEST(PathMtu, WhatLeavesAgainAsLongCountsForCreditOnce) {
  constexpr std::uint32_t kCredit = 64u << 10;
  for (const bool late : {true, false}) {
    Tunnelled t(1'452, 10 * kMs, kCredit);
    const auto path = t.wire->fate;
    bool narrowing = false;
    t.wire->fate = [&](Wire::Packet& p) {
      const auto frame = get<ptl_frame>(p.bytes.data());
      path(p);
      if (!narrowing || p.from != 0 || type_of(frame) != PTL_DATA) return;
      if ((frame.flags & PTL_F_MULTIPLEXED) == 0) {
        p.copies = 0;  // the late ones come first
      } else if (late && p.bytes.size() > t.passes) {
        p.copies = 1;
        p.delay_ns += 600 * kMs;
      }
    };
    Node& b = *t.wire->nodes[1];
    t.wire->run_for(600 * kMs);
    for (int round = 0; round < 5; ++round) {
      ASSERT_TRUE(t.wire->run_for(17'000 * kMs, [&] { return t.size() == 1'408; }));
      narrowing = true;
      t.passes = 1'334;
      for (int k = 0; k < 20; ++k, t.wire->run_for(kMs)) t.queue(1'300, Lane::realtime);
      t.wire->run_for(570 * kMs);
      ASSERT_EQ(t.size(), 1'280u);
      t.wire->run_for(100 * kMs);
      narrowing = false;
      ASSERT_TRUE(t.wire->run_for(1'000 * kMs, [&] { return b.got.size() == t.sent.size(); })) << b.got.size();
      t.passes = 1'452;
    }
    b.take = false;
    for (int k = 0; k < 300; ++k, t.wire->run_for(kMs)) t.queue(1'000, Lane::realtime);
    t.wire->run_for(500 * kMs);
    const std::uint64_t over = b.endpoint->counters().drops[static_cast<std::size_t>(Drop::over_credit)];
    EXPECT_EQ(over, 0u) << late;
    EXPECT_GE(b.store->usage().messages, kCredit / 1'032 - 1) << late << ": credit was lost on the way";
    b.take = true;
    t.wire->deliver_up(1);
    t.all_came_once();
  }
}

TEST(PathMtu, IsNotGivenUpForLossAlone) {
  Tunnelled t(1'452);
  t.wire->run_for(600 * kMs);
  t.loss_percent = 10;
  t.traffic(20'000 * kMs);
  EXPECT_LE(t.stats().size_falls, 1u);
  t.loss_percent = 0;
  EXPECT_LE(t.until_size(1'408, 17'000 * kMs), 16'000 * kMs);  // a fall by bad luck is mended
  t.all_came_once();
}

TEST(PathMtu, TheSmallestPathIsFoundByDataThatDoesNotPass) {
  Tunnelled t(1'200);  // not even the base passes
  t.wire->run_for(100 * kMs);
  const std::uint64_t fell_ns = t.until_size(1'088, 3'000 * kMs);
  EXPECT_LE(fell_ns, 2'000 * kMs);
  t.traffic(500 * kMs);
  t.all_came_once();
}

TEST(PathMtu, ManyChangesLoseNothing) {
  Tunnelled t(1'452);
  Draw draw{77};
  t.loss_percent = 2;
  for (int i = 0; i < 40; ++i) {
    static constexpr std::uint32_t kPayloads[] = {1'452, 1'402, 1'334, 1'200, 4'072, 1'128};
    t.traffic(draw.below(400) * kMs);
    t.passes = kPayloads[draw.below(std::size(kPayloads))];
  }
  t.loss_percent = 0;
  t.passes = 1'452;
  t.traffic(2'000 * kMs);
  t.all_came_once();
  t.wire->run_for(12'000 * kMs);
  for (const auto& n : t.wire->nodes) {
    EXPECT_EQ(n->store->usage().messages, 0u);
    EXPECT_EQ(n->store->usage().large_slots + n->store->usage().small_slots, 0u);
    EXPECT_EQ(n->endpoint->backlog_bytes(n->up), 0u);
  }
}

}  // namespace
}  // namespace portolan::broker::session
