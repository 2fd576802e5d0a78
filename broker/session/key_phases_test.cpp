// Key phases: new keys under traffic and loss, never used before they are known, old ones kept as long as something of
// theirs is open and no longer. Run in both modes.
#include <gtest/gtest.h>

#include "broker/session/test_wire.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

std::uint64_t drops(const Node& n, Drop drop) {
  return n.endpoint->counters().drops[static_cast<std::size_t>(drop)];
}
std::uint32_t phase_of(const ptl_frame& frame) {
  return (frame.flags & PTL_F_KEY_PHASE) != 0;
}
bool is_fragment(const ptl_frame& frame) {
  return type_of(frame) == PTL_DATA && (frame.flags & PTL_F_MULTIPLEXED) == 0;
}
SessionStats stats(const Node& n) {
  SessionStats out;
  EXPECT_TRUE(n.endpoint->stats(n.up, out));
  return out;
}

// Node 0 renews its keys as told; node 1 does by time, seldom, unless told otherwise.
std::unique_ptr<Wire> pair_of(const SessionOptions& how, std::uint64_t delay_ns = 5 * kMs) {
  auto wire = std::make_unique<Wire>();
  wire->delay_ns = delay_ns;
  Node& a = wire->add(1, Limits::sim_client());
  Node& b = wire->add(2, Limits::sim_client());
  SessionOptions options = how;
  options.modes = kPairModes;
  options.first_bps = options.rate_bps = 200'000'000;
  options.initiate = false;
  b.endpoint->configure_peer(a.as_peer(), options);
  options.initiate = true;
  a.endpoint->configure_peer(b.as_peer(), options);
  EXPECT_TRUE(wire->run_for(200 * kMs, [&] { return a.up != kNil && b.up != kNil; }));
  return wire;
}
SessionOptions every_packets(std::uint64_t packets) {
  SessionOptions how;
  how.rekey_packets = packets;
  return how;
}

TEST(KeyPhases, ChangeUnderTrafficAndLossAndNothingIsLost) {
  auto wire = pair_of(every_packets(150));
  Draw draw{5};
  std::set<std::uint32_t> phases[2];
  wire->fate = [&](Wire::Packet& p) {
    if (type_of(get<ptl_frame>(p.bytes.data())) == PTL_HANDSHAKE) return;
    phases[p.from].insert(phase_of(get<ptl_frame>(p.bytes.data())));
    if (draw.below(100) < 5) p.copies = 0;
    if (draw.below(100) < 5) p.delay_ns += draw.below(4 * kMs);
  };
  std::uint64_t sent[2] = {};
  for (std::uint64_t i = 0; i < 1'500; ++i) {
    for (const std::size_t side : {0u, 1u}) {
      const std::string text = text_of(i, i % 50 == 7 ? 70'000 : 20 + i % 900);
      sent[side] += wire->send(side, static_cast<Lane>(1 + i % 3), text, i) == SendResult::ok;
    }
    wire->run_for(2 * kMs);
  }
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  ASSERT_TRUE(wire->run_for(20'000 * kMs, [&] { return a.got.size() == sent[1] && b.got.size() == sent[0]; }))
      << a.got.size() << " of " << sent[1] << ", " << b.got.size() << " of " << sent[0];
  for (const Node* n : {&a, &b}) {
    EXPECT_EQ(n->events.size(), 1u);
    for (const Got& got : n->got) {
      ASSERT_EQ(got.bytes, text_of(got.sequence, got.sequence % 50 == 7 ? 70'000 : 20 + got.sequence % 900));
    }
    EXPECT_GE(stats(*n).send_phase, 8u);
    EXPECT_EQ(n->endpoint->counters().rekeys, stats(*n).send_phase);
    EXPECT_EQ(drops(*n, Drop::bad_tag) + drops(*n, Drop::bad_trailer) + drops(*n, Drop::lie), 0u);
  }
  EXPECT_EQ(phases[0].size() + phases[1].size(), 4u);
  wire->fate = {};
  wire->run_for(1'000 * kMs);
  EXPECT_EQ(stats(a).send_phase, stats(b).receive_phase);
  EXPECT_EQ(stats(b).send_phase, stats(a).receive_phase);
}

TEST(KeyPhases, ChangeByTimeThoughNothingIsSentAndByBytes) {
  SessionOptions by_time;
  by_time.rekey_ns = 2'000 * kMs;
  auto wire = pair_of(by_time);
  wire->run_for(21'000 * kMs);
  for (const auto& n : wire->nodes) {
    EXPECT_GE(stats(*n).send_phase, 9u);
    EXPECT_LE(stats(*n).send_phase, 10u);
  }
  SessionOptions by_bytes;
  by_bytes.rekey_bytes = 500'000;
  auto other = pair_of(by_bytes);
  for (std::uint64_t i = 0; i < 40; ++i) {
    ASSERT_EQ(other->send(0, Lane::realtime, text_of(i, 60'000), i), SendResult::ok);
    other->run_for(100 * kMs);
  }
  EXPECT_EQ(other->nodes[1]->got.size(), 40u);
  EXPECT_GE(stats(*other->nodes[0]).send_phase, 4u);
  EXPECT_LE(stats(*other->nodes[0]).send_phase, 5u);
  EXPECT_EQ(stats(*other->nodes[1]).send_phase, 0u);  // it sent little
  auto never = pair_of(SessionOptions{});
  never->run_for(60'000 * kMs);
  EXPECT_EQ(stats(*never->nodes[0]).send_phase, 0u);
}

// While the announcement is lost, or its acknowledgement, nothing leaves under keys that the peer may not have.
TEST(KeyPhases, AreNotUsedBeforeTheyAreAcknowledged) {
  for (const bool lose_announcement : {true, false}) {
    auto wire = pair_of(every_packets(40));
    Node& a = *wire->nodes[0];
    bool lossy = true;
    std::uint32_t early = 0, after = 0;
    wire->fate = [&](Wire::Packet& p) {
      const auto frame = get<ptl_frame>(p.bytes.data());
      if (p.from == 0) (lossy ? early : after) += phase_of(frame);
      if (!lossy) return;
      if (lose_announcement && p.from == 0 && type_of(frame) == PTL_DATA && lane_of(frame) == PTL_LANE_CONTROL)
        p.copies = 0;
      if (!lose_announcement && p.from == 1 && type_of(frame) == PTL_ACK) p.copies = 0;
    };
    for (std::uint64_t i = 0; i < 150; ++i) {
      wire->send(0, Lane::realtime, text_of(i, 500), i);
      wire->run_for(4 * kMs);
    }
    EXPECT_EQ(early, 0u);
    EXPECT_EQ(stats(a).send_phase, 0u);
    lossy = false;
    wire->run_for(2'000 * kMs);
    EXPECT_GE(stats(a).send_phase, 1u);
    EXPECT_GT(after, 0u);
    EXPECT_EQ(drops(*wire->nodes[1], Drop::bad_phase), 0u);
    EXPECT_EQ(a.events.size(), 1u);
  }
}

// One fragment of a ticket does not come through while everything else does: it leaves again and again under the phase
// of its cut, as the same bytes, and the next change waits for it.
TEST(KeyPhases, AnOldPhaseLivesUntilNoTicketOfItIsOpen) {
  auto wire = pair_of(every_packets(60));
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  bool hold = true;
  std::uint32_t ticket = 0, cut_phase = 0, later = 0, tries = 0;
  std::vector<std::uint8_t> first;
  wire->fate = [&](Wire::Packet& p) {
    const auto frame = get<ptl_frame>(p.bytes.data());
    if (p.from != 0) return;
    if (is_fragment(frame) && ticket == 0) {
      ticket = frame.ticket;
      cut_phase = phase_of(frame);
    }
    if (is_fragment(frame) && frame.ticket == ticket && frame.fragment_index == 1) {
      const std::vector<std::uint8_t> bytes(p.bytes.begin() + PTL_FRAME_BYTES, p.bytes.end());
      if (first.empty()) first = bytes;
      EXPECT_EQ(bytes, first);
      EXPECT_EQ(phase_of(frame), cut_phase);
      ++tries;
      if (hold) p.copies = 0;
      return;
    }
    later += phase_of(frame) != cut_phase;
  };
  ASSERT_EQ(wire->send(0, Lane::bulk, text_of(77, 20'000), 77), SendResult::ok);
  for (std::uint64_t i = 0; i < 400; ++i) {
    wire->send(0, Lane::realtime, text_of(i, 500), i);
    wire->run_for(5 * kMs);
  }
  EXPECT_EQ(stats(a).send_phase, 1u);  // 400 packets on: the old phase is open, so no further change began
  EXPECT_GT(later, 300u);
  EXPECT_GT(tries, 20u);
  EXPECT_EQ(b.got.size(), 400u);
  hold = false;
  ASSERT_TRUE(wire->run_for(2'000 * kMs, [&] { return b.got.size() == 401; }));
  EXPECT_EQ(b.got.back().bytes, text_of(77, 20'000));
  for (std::uint64_t i = 0; i < 200; ++i) {
    wire->send(0, Lane::realtime, text_of(i, 500), i);
    wire->run_for(5 * kMs);
  }
  EXPECT_GE(stats(a).send_phase, 3u);
  EXPECT_EQ(drops(b, Drop::bad_phase) + drops(b, Drop::bad_tag), 0u);
}

// Once over, a phase's keys are gone: its packets are refused as such, and so are those of one that has not begun.
TEST(KeyPhases, PacketsOfAPhaseWithoutKeysAreRefusedAndCounted) {
  auto wire = pair_of(every_packets(60));
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  std::vector<std::vector<std::uint8_t>> first_phase, second_phase;
  wire->fate = [&](Wire::Packet& p) {
    if (p.from != 0 || type_of(get<ptl_frame>(p.bytes.data())) == PTL_HANDSHAKE) return;
    (stats(a).send_phase == 0 ? first_phase : second_phase).push_back(p.bytes);
  };
  const auto offer = [&](std::vector<std::uint8_t> bytes, std::uint32_t flip) {
    auto frame = get<ptl_frame>(bytes.data());
    frame.flags = static_cast<std::uint8_t>(frame.flags ^ flip);
    put(bytes.data(), frame);
    Verdict verdict;
    wire->seen = [&](std::size_t, const DatagramView&, const Verdict& v) { verdict = v; };
    wire->inject(1, a.address, bytes);
    wire->seen = {};
    EXPECT_FALSE(verdict.consumed);
    return verdict.drop;
  };
  wire->run_for(100 * kMs);
  ASSERT_FALSE(first_phase.empty());
  EXPECT_EQ(offer(first_phase[0], PTL_F_KEY_PHASE), Drop::bad_phase);  // not yet begun
  for (std::uint64_t i = 0; stats(a).send_phase == 0 && i < 400; ++i) {
    wire->send(0, Lane::realtime, text_of(i, 500), i);
    wire->run_for(5 * kMs);
  }
  wire->run_for(200 * kMs);
  ASSERT_EQ(stats(a).send_phase, 1u);
  ASSERT_GT(second_phase.size(), 1u);
  for (const auto& packet : first_phase) EXPECT_EQ(offer(packet, 0), Drop::bad_phase);
  for (const auto& packet : second_phase) EXPECT_EQ(offer(packet, PTL_F_KEY_PHASE), Drop::bad_phase);
  EXPECT_EQ(drops(b, Drop::bad_phase), 1 + first_phase.size() + second_phase.size());
  for (const auto& packet : second_phase) EXPECT_EQ(offer(packet, 0), Drop::replay);
  // Under a phase that lives, but is not its own.
  for (const auto& packet : first_phase) EXPECT_EQ(offer(packet, PTL_F_KEY_PHASE), Drop::bad_tag);
  EXPECT_EQ(b.events.size(), 1u);
}

TEST(KeyPhases, AChangeThatDoesNotFollowFromTheOneBeforeEndsTheSession) {
  struct Word {
    std::uint32_t what, phase;
    bool ends;
  };
  for (const Word& word : {Word{1, 0, true}, Word{1, 2, true}, Word{2, 0, true}, Word{2, 0xFFFFFFFF, true},
                           Word{3, 1, true}, Word{1, 1, false}}) {
    auto wire = pair_of(SessionOptions{});
    Node& a = *wire->nodes[0];
    Node& b = *wire->nodes[1];
    std::uint8_t body[8];
    put(body, word.what);
    put(body + 4, word.phase);
    ASSERT_TRUE(a.endpoint->send_control(wire->now(), a.up, PTL_C_KEY, body));
    wire->run_for(100 * kMs);
    EXPECT_EQ(b.events.size() >= 2 && b.events[1].kind == SessionEvent::Kind::down, word.ends)
        << word.what << ' ' << word.phase;
  }
  auto wire = pair_of(SessionOptions{});
  Node& a = *wire->nodes[0];
  const std::uint8_t brief[7] = {1};
  ASSERT_TRUE(a.endpoint->send_control(wire->now(), a.up, PTL_C_KEY, brief));
  wire->run_for(100 * kMs);
  EXPECT_GE(wire->nodes[1]->events.size(), 2u);
}

}  // namespace
}  // namespace portolan::broker::session
