// What goes wrong without anybody's session having to end for it: many gaps at once, content that is sealed wrongly,
// types of a later version, wide windows, what is withdrawn in the middle; and numbers that come to their end.
#include <gtest/gtest.h>

#include "broker/crypto/crc32c.hpp"
#include "broker/session/session_state.hpp"
#include "broker/session/test_wire.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

std::uint64_t drops(const Node& n, Drop drop) {
  return n.endpoint->counters().drops[static_cast<std::size_t>(drop)];
}

// Changes a datagram of node `from` as its owner could: with the right tag.
void tag_again(Wire& wire, std::size_t from, std::vector<std::uint8_t>& bytes) {
  DirectionKeys keys;
  ASSERT_TRUE(wire.nodes[from]->endpoint->keys_for_test(wire.nodes[from]->up, keys));
  set_frame_tag(keys.tag, bytes.data());
}

TEST(Tolerance, TwoHundredGapsAreToldAtOnceThoughAnAckHoldsSixtyFour) {
  auto wire = make_plain_pair(20 * kMs, 1'000'000'000);
  wire->run_for(300 * kMs);
  Node& b = *wire->nodes[1];
  std::uint32_t lost = 0, most_ranges = 0, skips = 0;
  std::uint64_t data = 0;
  wire->fate = [&](Wire::Packet& p) {
    const auto frame = get<ptl_frame>(p.bytes.data());
    if (p.from == 1 && type_of(frame) == PTL_ACK) {
      const auto body = get<AckBody>(p.bytes.data() + PTL_FRAME_BYTES);
      most_ranges = std::max(most_ranges, body.range_count);
      skips += body.skip != 0;
    }
    if (p.from != 0 || type_of(frame) != PTL_DATA || p.transmit.retransmission || lost == 200) return;
    if (++data % 2 != 0) return;
    p.copies = 0;
    ++lost;
  };
  const std::uint64_t start = wire->now_ns;
  std::uint64_t sent = 0;
  while (sent < 402) {  // one in a datagram each
    if (wire->send(0, Lane::realtime, text_of(sent, 1'100), sent) == SendResult::ok) ++sent;
    wire->run_for(11'000);
  }
  ASSERT_TRUE(wire->run_for(2'000 * kMs, [&] { return b.got.size() == sent; })) << b.got.size();
  EXPECT_EQ(lost, 200u);
  EXPECT_EQ(most_ranges, kAckRangesMax);
  EXPECT_GE(skips, 3u);
  // Sending took 5 ms; loss is told after a quarter of the round trip, and mended within another, at half the rate
  // (4 ms for them all). Told 64 in each round trip, it took four.
  EXPECT_LE(wire->now_ns - start, 5 * kMs + 20 * kMs + 10 * kMs + 40 * kMs + 4 * kMs);
  EXPECT_EQ(wire->nodes[0]->endpoint->counters().packets_lost, 200u);
}

// Alters the trailer of a segment's last fragment, and its CRC and tag to match, `times` times.
void seal_wrongly(Wire& wire, std::uint32_t& times) {
  wire.fate = [&wire, &times](Wire::Packet& p) {
    auto frame = get<ptl_frame>(p.bytes.data());
    if (times == 0 || p.from != 0 || type_of(frame) != PTL_DATA || (frame.flags & PTL_F_MULTIPLEXED) != 0) return;
    const std::uint32_t size = frame.fragment_unit * PTL_FRAGMENT_UNIT;
    if ((frame.fragment_index + 1) * size < frame.bytes) return;
    --times;
    p.bytes.back() ^= 0x10;
    p.bytes[p.bytes.size() - PTL_TRAILER_BYTES] ^= 0x10;
    frame.crc = crc32c({p.bytes.data() + PTL_FRAME_BYTES, p.bytes.size() - PTL_FRAME_BYTES});
    put(p.bytes.data(), frame);
    tag_again(wire, 0, p.bytes);
  };
}

TEST(Tolerance, ASegmentThatIsSealedWronglyIsCutAnewAndTheSessionLives) {
  auto wire = make_pair(5 * kMs, 200'000'000);
  wire->run_for(100 * kMs);
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  std::uint32_t times = 5;
  seal_wrongly(*wire, times);
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(1, 900'000), 1), SendResult::ok);
  ASSERT_EQ(wire->send(0, Lane::bulk, text_of(2, 5'000), 2), SendResult::ok);
  ASSERT_TRUE(wire->run_for(2'000 * kMs, [&] { return b.got.size() == 2; }));
  EXPECT_EQ(times, 0u);
  EXPECT_EQ(drops(b, Drop::bad_trailer), 5u);
  EXPECT_EQ(a.endpoint->counters().segments_recut, 5u);
  for (const Got& got : b.got) EXPECT_EQ(got.bytes, got.sequence == 1 ? text_of(1, 900'000) : text_of(2, 5'000));
  EXPECT_EQ(b.events.size(), 1u);
  wire->run_for(2'500 * kMs);
  for (const auto& n : wire->nodes) {
    EXPECT_EQ(n->store->usage().messages, 0u);
    EXPECT_EQ(n->store->usage().large_slots + n->store->usage().small_slots, 0u);
    EXPECT_EQ(n->endpoint->backlog_bytes(n->up), 0u);
  }
}

TEST(Tolerance, WhoGoesOnSealingWronglyLosesTheSession) {
  auto wire = make_pair(5 * kMs);
  wire->run_for(100 * kMs);
  Node& b = *wire->nodes[1];
  std::uint32_t times = 1'000;
  seal_wrongly(*wire, times);
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(1, 5'000), 1), SendResult::ok);
  wire->run_for(1'000 * kMs, [&] { return b.events.size() == 2; });
  ASSERT_EQ(b.events.size(), 2u);
  EXPECT_EQ(b.events[1].reason, DownReason::tampered);
  EXPECT_EQ(drops(b, Drop::bad_trailer), kTamperedMost);
  // Slowly it never does: each window begins anew.
  auto slow = make_pair(5 * kMs);
  slow->run_for(100 * kMs);
  for (std::uint64_t i = 0; i < 3 * kTamperedMost; ++i) {
    std::uint32_t once = 1;
    seal_wrongly(*slow, once);
    ASSERT_EQ(slow->send(0, Lane::realtime, text_of(i, 5'000), i), SendResult::ok);
    slow->run_for(kTamperedWindow / (kTamperedMost - 2));
  }
  EXPECT_EQ(slow->nodes[1]->got.size(), 3u * kTamperedMost);
  EXPECT_EQ(slow->nodes[1]->events.size(), 1u);
}

TEST(Tolerance, AFrameOfALaterVersionIsCountedAndIgnoredIfItsTagIsRight) {
  for (const std::uint32_t type : {0u, static_cast<std::uint32_t>(PTL_PARITY), 9u, 15u}) {
    for (const bool right : {true, false}) {
      auto wire = make_pair(5 * kMs);
      wire->run_for(100 * kMs);
      Node& b = *wire->nodes[1];
      int changed = 0;
      Verdict verdict;
      wire->seen = [&](std::size_t to, const DatagramView& d, const Verdict& v) {
        if (to == 1 && (d.data[0] & 15) == type) verdict = v;
      };
      wire->fate = [&](Wire::Packet& p) {
        if (p.from != 0 || type_of(get<ptl_frame>(p.bytes.data())) != PTL_DATA || changed++ != 0) return;
        p.bytes[0] = static_cast<std::uint8_t>(PTL_VERSION << 4 | type);
        p.bytes.resize(PTL_FRAME_BYTES + 33);  // whatever it holds
        if (right) tag_again(*wire, 0, p.bytes);
      };
      ASSERT_EQ(wire->send(0, Lane::realtime, "lost", 1), SendResult::ok);
      wire->run_for(100 * kMs);
      EXPECT_EQ(verdict.drop, right ? Drop::unknown : Drop::bad_tag) << type;
      EXPECT_EQ(verdict.consumed, right) << type;  // its number came, so nobody asks for it
      EXPECT_EQ(drops(b, Drop::unknown), right ? 1u : 0u);
      EXPECT_EQ(b.got.size(), right ? 0u : 1u);  // tagged: it was what it said. Else: damaged, and repaired.
      EXPECT_EQ(b.events.size(), 1u);
      ASSERT_EQ(wire->send(0, Lane::realtime, "x", 2), SendResult::ok);
      wire->run_for(100 * kMs);
      EXPECT_EQ(b.got.back().bytes, "x");
    }
  }
}

std::vector<std::uint8_t> segment_control(std::uint32_t slot_class, std::uint32_t ticket, std::uint64_t bits) {
  std::vector<std::uint8_t> body(16);
  put(body.data(), slot_class);
  put(body.data() + 4, ticket);
  put(body.data() + 8, bits);
  return body;
}

void tell(Wire& wire, Node& n, std::uint32_t control, const std::vector<std::uint8_t>& body) {
  ASSERT_TRUE(n.endpoint->send_control(wire.now(), n.up, control, body));
}

TEST(Tolerance, AWindowWiderThanMyRowIsUsedAsFarAsTheRowGoes) {
  Limits limits[2] = {Limits::sim_client(), Limits::sim_client()};
  limits[0].grants_per_class = 4;
  limits[1].grants_per_class = 32;
  Wire wire;
  wire.delay_ns = 5 * kMs;
  Node& a = wire.add(1, limits[0]);
  Node& b = wire.add(2, limits[1]);
  SessionOptions options;
  b.endpoint->configure_peer(a.as_peer(), options);
  options.initiate = true;
  a.endpoint->configure_peer(b.as_peer(), options);
  wire.run_for(100 * kMs);
  ASSERT_EQ(wire.send(0, Lane::realtime, text_of(1, 2'500'000), 1), SendResult::ok);
  std::uint32_t most = 0;
  ASSERT_TRUE(wire.run_for(3'000 * kMs, [&] {
    most = std::max(most, b.store->usage().large_slots);
    return b.got.size() == 1;
  }));
  EXPECT_EQ(b.got[0].bytes, text_of(1, 2'500'000));
  EXPECT_GT(most, 4u);  // more were granted than its row has; the message itself is copied into blocks
  EXPECT_EQ(drops(b, Drop::no_grant), 0u);
  // A row of 1,024 is spoken of in the protocol; no row is wider.
  tell(wire, b, PTL_C_GRANT, segment_control(PTL_SMALL, 1, 1'024));
  wire.run_for(50 * kMs);
  EXPECT_EQ(drops(a, Drop::bad_control), 0u);
  tell(wire, b, PTL_C_GRANT, segment_control(PTL_SMALL, 1, 1'025));
  wire.run_for(50 * kMs);
  EXPECT_EQ(drops(a, Drop::bad_control), 1u);
}

TEST(Tolerance, ASessionEndsBeforeItsTicketsOrPacketNumbersDoAndAnotherBegins) {
  for (const bool tickets : {true, false}) {
    auto wire = make_pair(5 * kMs, 100'000'000);
    wire->run_for(100 * kMs);
    Node& a = *wire->nodes[0];
    Node& b = *wire->nodes[1];
    const std::uint64_t packet = tickets ? 1'000'000'000 : kLastPacket - 60;
    const std::uint32_t ticket = tickets ? kLastTicket - 5 : 1;
    a.endpoint->set_numbers_for_test(a.up, packet, ticket);
    b.endpoint->set_numbers_for_test(b.up, packet, ticket);
    std::uint64_t largest = 0;
    std::uint32_t last_ticket = 0;
    wire->fate = [&](Wire::Packet& p) {
      const auto frame = get<ptl_frame>(p.bytes.data());
      largest = std::max(largest, frame.packet);
      last_ticket = std::max(last_ticket, frame.ticket);
    };
    std::set<std::uint64_t> got;
    const auto take = [&] {
      for (const Got& g : b.got) {
        EXPECT_EQ(g.bytes, text_of(g.sequence, 60'000));
        got.insert(g.sequence);
      }
    };
    for (std::uint64_t i = 0; i < 20; ++i) {
      if (a.up != kNil) wire->send(0, Lane::realtime, text_of(i, 60'000), i);
      wire->run_for(100 * kMs);
    }
    take();
    ASSERT_EQ(a.events.size(), 3u) << tickets;
    EXPECT_EQ(a.events[1].reason, DownReason::exhausted);
    EXPECT_EQ(b.events[1].reason, DownReason::closed);
    EXPECT_EQ(a.events[2].kind, SessionEvent::Kind::up);
    EXPECT_NE(a.events[2].uid, a.events[0].uid);
    EXPECT_GE(got.size(), 19u) << "a session of numbers that are left is used up, and the next one serves at once";
    EXPECT_LE(largest, PTL_PACKET_MAX);
    EXPECT_LE(last_ticket, kLastTicket + 8);
    EXPECT_EQ(drops(a, Drop::bad_control) + drops(b, Drop::bad_control), 0u);
  }
}

TEST(Tolerance, WhatIsWithdrawnInTheMiddleIsToldGoneAndHoldsNothingUp) {
  auto wire = make_pair(10 * kMs, 20'000'000);
  wire->run_for(100 * kMs);
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(1, 900'000), 1), SendResult::ok);
  wire->run_for(150 * kMs);
  EXPECT_GE(b.store->usage().messages, 1u);  // some of it is here
  std::uint8_t busy[24] = {};
  put(busy + 8, static_cast<std::uint32_t>(PTL_LANE_REALTIME));
  put(busy + 12, std::uint32_t{1});
  ASSERT_TRUE(b.endpoint->send_control(wire->now(), b.up, PTL_C_BUSY, busy));
  wire->run_for(200 * kMs);
  EXPECT_EQ(b.endpoint->counters().gone_messages, 1u);
  EXPECT_EQ(a.endpoint->counters().gone_told, 1u);
  EXPECT_EQ(a.endpoint->progress(a.up, Lane::realtime).admitted, 1u);  // else nothing behind it ever counted
  EXPECT_EQ(b.store->usage().messages, 0u);
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(2, 100), 2), SendResult::ok);
  wire->run_for(100 * kMs);
  EXPECT_EQ(a.endpoint->progress(a.up, Lane::realtime).admitted, 2u);
  wire->run_for(2'500 * kMs);
  EXPECT_EQ(a.store->usage().messages, 0u);
  EXPECT_EQ(b.store->usage().large_slots, 0u);
}

TEST(Tolerance, ANeedForWhatIsHeldNoLongerIsAnswered) {
  auto wire = make_pair(10 * kMs);
  wire->run_for(100 * kMs);
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(1, 60'000), 1), SendResult::ok);
  wire->run_for(300 * kMs);
  ASSERT_EQ(b.got.size(), 1u);
  tell(*wire, b, PTL_C_NEED, segment_control(PTL_LARGE, 1, 3));
  wire->run_for(100 * kMs);
  EXPECT_EQ(a.endpoint->counters().gone_told, 1u);
  EXPECT_EQ(a.endpoint->counters().repair_datagrams, 0u);
  EXPECT_EQ(drops(b, Drop::bad_control), 0u);
}

// Aeron #1451: a burst takes 200 messages of one topic and one of another; the budget of repair is 0.25 or 0.5 Mbit/s.
TEST(Tolerance, OneTopicsRepairDoesNotMakeTheOthersWait) {
  auto wire = make_pair(10 * kMs, 1'000'000);
  wire->run_for(200 * kMs);
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  bool burst = true;
  wire->fate = [&](Wire::Packet& p) {
    if (!burst || p.from != 0 || type_of(get<ptl_frame>(p.bytes.data())) != PTL_DATA) return;
    p.copies = 0;
    for (std::uint32_t k = 0; k < p.transmit.key_count; ++k) burst = burst && p.transmit.keys[k] != 1'001;
  };
  std::uint64_t sent = 0;
  while (sent < 200) {
    if (wire->send(0, Lane::realtime, text_of(sent, 600), sent, 11) == SendResult::ok) ++sent;
    wire->run_for(1 * kMs);
  }
  while (wire->send(0, Lane::realtime, "the other topic", 1'000, 12) != SendResult::ok) wire->run_for(1 * kMs);
  ASSERT_TRUE(wire->run_for(3'000 * kMs, [&] { return !burst; }));  // it was the last that was lost
  ASSERT_TRUE(wire->run_for(10'000 * kMs, [&] { return b.got.size() == sent + 1; })) << b.got.size();
  const auto other = std::find_if(b.got.begin(), b.got.end(), [](const Got& g) { return g.sequence == 1'000; });
  const auto before = static_cast<std::size_t>(other - b.got.begin());
  EXPECT_LE(before, 20u) << "messages of the other topic that came first";
  const TopicRepair much = a.endpoint->topic_repair(11), little = a.endpoint->topic_repair(12);
  EXPECT_GE(much.sent, 100u);
  EXPECT_GE(much.bytes, 100u * 600);
  EXPECT_GE(little.sent, 1u);
  EXPECT_LE(little.sent, 20u);
}

// Lost ACKs leave numbers that nobody repairs: the peer is told so, counts them, and stops asking.
TEST(Tolerance, NumbersThatHoldNothingAreToldSettledAndAskedForNoMore) {
  auto wire = make_plain_pair(10 * kMs);
  wire->run_for(100 * kMs);
  Node& a = *wire->nodes[0];
  std::uint32_t lost = 0, asked = 0;
  wire->fate = [&](Wire::Packet& p) {
    const auto frame = get<ptl_frame>(p.bytes.data());
    if (type_of(frame) != PTL_ACK) return;
    if (p.from == 1 && wire->now_ns % 3 == 0 && lost < 10) {
      p.copies = 0;
      ++lost;
    }
    const auto body = get<AckBody>(p.bytes.data() + PTL_FRAME_BYTES);
    if (p.from == 0 && body.contiguous < body.mature) ++asked;
  };
  for (std::uint64_t i = 0; i < 60; ++i) {
    wire->send(0, Lane::realtime, "to and", i);
    wire->send(1, Lane::realtime, "fro", i);
    wire->run_for(4 * kMs + 1);
  }
  wire->run_for(300 * kMs);
  ASSERT_GT(lost, 3u);
  EXPECT_EQ(a.endpoint->counters().gone_packets, lost);
  EXPECT_LE(asked, 5 * lost);
  asked = 0;
  wire->run_for(2'000 * kMs);
  EXPECT_EQ(asked, 0u);
}

}  // namespace
}  // namespace portolan::broker::session
