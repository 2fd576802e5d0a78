// Long messages: every size, with loss, reordering and duplication; credit by tickets; memory that runs short;
// fragments whose CRC is wrong; what a session leaves behind.
#include <gtest/gtest.h>

#include "broker/session/test_wire.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::size_t kSizes[] = {1'217,  1'233,  8'144,   8'145,   20'000,    65'487,
                                  65'488, 65'489, 131'000, 200'000, 1'048'576, 2'500'000};

void nothing_left(Wire& wire) {
  wire.run_for(2'500 * kMs);  // idle grants go back after a second
  for (auto& n : wire.nodes) {
    const Store::Usage u = n->store->usage();
    EXPECT_EQ(u.messages, 0u);
    EXPECT_EQ(u.blocks, 0u);
    EXPECT_EQ(u.small_slots, 0u);
    EXPECT_EQ(u.large_slots, 0u);
  }
}

TEST(Segments, EverySizeArrivesWhole) {
  auto wire = make_pair(5 * kMs);
  wire->run_for(100 * kMs);
  Node& b = *wire->nodes[1];
  for (std::size_t i = 0; i < std::size(kSizes); ++i) {
    ASSERT_EQ(wire->send(0, Lane::realtime, text_of(i, kSizes[i]), i), SendResult::ok) << kSizes[i];
    ASSERT_TRUE(wire->run_for(3'000 * kMs, [&] { return b.got.size() == i + 1; })) << kSizes[i];
    EXPECT_EQ(b.got[i].bytes, text_of(i, kSizes[i])) << kSizes[i];
  }
  EXPECT_EQ(wire->nodes[0]->endpoint->counters().repair_datagrams, 0u);
  nothing_left(*wire);
}

TEST(Segments, MixedWithShortMessagesUnderLossReorderingAndDuplication) {
  auto wire = make_pair(8 * kMs, 200'000'000);
  Draw draw{11};
  wire->fate = [&](Wire::Packet& p) {
    if (draw.below(100) < 5) p.copies = 0;
    if (draw.below(100) < 5) p.copies = 2;
    p.delay_ns += draw.below(3'000'000);
  };
  wire->run_for(1'000 * kMs);
  Node& b = *wire->nodes[1];
  std::size_t sent = 0;
  std::map<std::uint64_t, std::string> owed;
  for (std::uint64_t i = 0; i < 600; ++i) {
    const Lane lane = i % 3 == 0 ? Lane::ordered : i % 3 == 1 ? Lane::realtime : Lane::bulk;
    const std::size_t bytes = i % 10 == 0 ? kSizes[(i / 10) % 10] : i % 700;
    std::string text = text_of(i, bytes);
    if (wire->send(0, lane, text, i) == SendResult::ok) {
      owed[i] = std::move(text);
      ++sent;
    }
    wire->run_for(2 * kMs);
  }
  wire->run_for(3'000 * kMs, [&] { return b.got.size() == sent; });
  ASSERT_EQ(b.got.size(), sent);
  EXPECT_GE(sent, 500u);
  for (const Got& got : b.got) {
    const auto it = owed.find(got.sequence);
    ASSERT_NE(it, owed.end()) << "twice: " << got.sequence;
    EXPECT_EQ(it->second, got.bytes);
    owed.erase(it);
  }
  wire->fate = {};
  nothing_left(*wire);
}

TEST(Segments, TwoGrantsAreKeptSoTheSecondMessageNeedsNoExtraRoundTrip) {
  auto wire = make_pair(20 * kMs);
  wire->run_for(200 * kMs);
  Node& b = *wire->nodes[1];
  std::uint64_t start = wire->now_ns;
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(1, 60'000), 1), SendResult::ok);
  ASSERT_TRUE(wire->run_for(500 * kMs, [&] { return b.got.size() == 1; }));
  EXPECT_GE(wire->now_ns - start, 60 * kMs);  // WANT, GRANT, data
  wire->run_for(100 * kMs);
  start = wire->now_ns;
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(2, 60'000), 2), SendResult::ok);
  ASSERT_TRUE(wire->run_for(500 * kMs, [&] { return b.got.size() == 2; }));
  EXPECT_LE(wire->now_ns - start, 22 * kMs);
}

TEST(Segments, MoreThanTheSlotsHoldIsCopiedOrWaitsAndNothingIsLost) {
  Limits limits = Limits::sim_client();
  limits.large_slots = 8;
  limits.small_slots = 8;
  auto wire = make_pair(2 * kMs, 1'000'000'000, limits);
  wire->run_for(100 * kMs);
  Node& b = *wire->nodes[1];
  b.take = false;  // messages stay in the endpoint: their slots are not given back
  std::vector<std::string> sent;
  for (std::uint64_t i = 0; i < 60; ++i) {
    std::string text = text_of(i, i % 4 == 3 ? 150'000 : 64'000);
    if (wire->send(0, Lane::realtime, text, i) == SendResult::ok) sent.push_back(std::move(text));
    wire->run_for(5 * kMs);
  }
  EXPECT_GE(sent.size(), 30u);
  EXPECT_LE(b.store->usage().large_slots, 8u);
  b.take = true;
  wire->deliver_up(1);
  ASSERT_TRUE(wire->run_for(5'000 * kMs, [&] { return b.got.size() == sent.size(); })) << b.got.size();
  std::vector<std::string> got;
  for (const Got& g : b.got) got.push_back(g.bytes);
  std::sort(got.begin(), got.end());
  std::sort(sent.begin(), sent.end());
  EXPECT_EQ(got, sent);
  nothing_left(*wire);
}

TEST(Segments, AFragmentWithAWrongCrcIsAskedForAgain) {
  auto wire = make_pair(5 * kMs);
  wire->run_for(100 * kMs);
  int flipped = 0;
  wire->fate = [&](Wire::Packet& p) {
    if (p.from != 0 || p.bytes.size() < 1'000 || p.transmit.retransmission || flipped == 3) return;
    if (p.index % 9 == 0) {
      p.bytes[700] ^= 0x40;
      ++flipped;
    }
  };
  ASSERT_EQ(wire->send(0, Lane::bulk, text_of(3, 60'000), 1), SendResult::ok);
  Node& b = *wire->nodes[1];
  ASSERT_TRUE(wire->run_for(500 * kMs, [&] { return b.got.size() == 1; }));
  EXPECT_EQ(flipped, 3);
  EXPECT_EQ(b.got[0].bytes, text_of(3, 60'000));
  EXPECT_TRUE(b.got[0].repaired);
  EXPECT_GE(b.endpoint->counters().drops[static_cast<std::size_t>(Drop::bad_crc)], 1u);
  EXPECT_EQ(b.events.size(), 1u);  // a damaged fragment never closes the session
  nothing_left(*wire);
}

TEST(Segments, AnAcknowledgementThatComesBehindTheNeedDoesNotForgetIt) {
  auto wire = make_pair(5 * kMs);
  wire->run_for(100 * kMs);
  bool flipped = false;
  wire->fate = [&](Wire::Packet& p) {
    const auto frame = get<ptl_frame>(p.bytes.data());
    if (p.from == 1 && type_of(frame) == PTL_ACK) p.delay_ns += 20 * kMs;
    if (p.from != 0 || type_of(frame) != PTL_DATA || frame.fragment_index != 7 || flipped) return;
    p.bytes[700] ^= 0x40;
    flipped = true;
  };
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(3, 60'000), 1), SendResult::ok);
  Node& b = *wire->nodes[1];
  ASSERT_TRUE(wire->run_for(1'000 * kMs, [&] { return b.got.size() == 1; }));
  EXPECT_TRUE(flipped);
  EXPECT_EQ(b.got[0].bytes, text_of(3, 60'000));
}

TEST(Segments, SlotsGoBackWhenASessionDiesInTheMiddle) {
  auto wire = make_pair(5 * kMs, 20'000'000);
  wire->run_for(100 * kMs);
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(3, 1'000'000), 1), SendResult::ok);
  wire->run_for(60 * kMs);
  EXPECT_GT(wire->nodes[1]->store->usage().large_slots, 0u);
  wire->fate = [](Wire::Packet& p) { p.copies = 0; };
  wire->run_for(600 * kMs);
  EXPECT_EQ(wire->nodes[1]->events.back().kind, SessionEvent::Kind::down);
  nothing_left(*wire);
}

TEST(Segments, AWholeSlotIsFoundByTheDoorbellAlone) {
  auto wire = make_pair(5 * kMs);
  wire->run_for(100 * kMs);
  Node& b = *wire->nodes[1];
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(1, 3'000), 1), SendResult::ok);
  // As the kernel does it: fragments go into the slot and never reach the engine.
  std::uint32_t into = kNil;
  wire->fate = [&](Wire::Packet& p) {
    const auto frame = get<ptl_frame>(p.bytes.data());
    if (p.from != 0 || type_of(frame) != PTL_DATA || (frame.flags & PTL_F_MULTIPLEXED) != 0) return;
    ptl_fragment fragment{};
    ASSERT_EQ(ptl_fragment_of(&frame, static_cast<std::uint32_t>(p.bytes.size()), &fragment), 1);
    for (std::uint32_t i = 0; i < Limits::sim_client().small_slots; ++i) {
      ptl_slot* slot = b.store->slot(PieceKind::small_slot, i);
      const std::uint64_t gate = PTL_LOAD(&slot->gate);
      if (ptl_low(gate) != PTL_OPEN || (into != kNil && into != i)) continue;
      into = i;  // the only grant that was wanted is the first that was opened
      ptl_accept(slot, ptl_high(gate), PTL_SMALL_DATA, &fragment, 1, p.bytes.data(), PTL_FRAME_BYTES);
      break;
    }
    p.copies = 0;
  };
  wire->run_for(22 * kMs);
  ASSERT_NE(into, kNil);
  EXPECT_EQ(b.got.size(), 0u);
  b.endpoint->segment_ready(wire->now(), b.up);
  wire->deliver_up(1);
  ASSERT_EQ(b.got.size(), 1u);
  EXPECT_EQ(b.got[0].bytes, text_of(1, 3'000));
}

// The kernel path in small: fragments from node 0 go into slots of node 1 and never reach its engine, but for those
// that come again when their segment is whole. Which ticket a slot was opened for is not to be seen from here: any open
// one will do, so long as all of them become whole.
struct KernelPath {
  static constexpr std::uint32_t kWhole = kNil - 1;
  Wire& wire;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> slots;  // by class and ticket
  std::uint32_t whole = 0;

  void take(Wire::Packet& p) {
    const auto frame = get<ptl_frame>(p.bytes.data());
    ptl_fragment fragment{};
    if (p.from != 0 || type_of(frame) != PTL_DATA) return;
    if (ptl_fragment_of(&frame, static_cast<std::uint32_t>(p.bytes.size()), &fragment) == 0) return;
    std::uint32_t& at = slots.try_emplace({fragment.slot_class, fragment.ticket}, kNil).first->second;
    if (at == kWhole) return;
    p.copies = 0;
    const bool large = fragment.slot_class == PTL_LARGE;
    const std::uint32_t most = large ? Limits::sim().large_slots : Limits::sim().small_slots;
    const auto slot = [&](std::uint32_t i) {
      return wire.nodes[1]->store->slot(large ? PieceKind::large_slot : PieceKind::small_slot, i);
    };
    for (std::uint32_t i = 0; at == kNil && i < most; ++i) {
      if (ptl_low(PTL_LOAD(&slot(i)->gate)) == PTL_OPEN && PTL_LOAD(&slot(i)->done) == 0) at = i;
    }
    if (at == kNil) return;
    const std::uint32_t opening = ptl_high(PTL_LOAD(&slot(at)->gate));
    const auto result =
        large ? ptl_accept(slot(at), opening, PTL_LARGE_DATA, &fragment, 1, p.bytes.data(), PTL_FRAME_BYTES)
              : ptl_accept(slot(at), opening, PTL_SMALL_DATA, &fragment, 1, p.bytes.data(), PTL_FRAME_BYTES);
    if (result != PTL_A_COMPLETED) return;
    at = kWhole;
    ++whole;
  }
};

TEST(Segments, AWholeSlotIsFoundThoughTheDoorbellNeverComes) {
  auto wire = make_pair(5 * kMs, 0, Limits::sim());
  wire->run_for(100 * kMs);
  Node& b = *wire->nodes[1];
  b.endpoint->segment_ready(wire->now(), b.up);  // there is a kernel path; nothing is heard of it any more
  KernelPath kernel{*wire, {}};
  wire->fate = [&](Wire::Packet& p) { kernel.take(p); };
  for (std::uint64_t i = 0; i < 2; ++i) {  // of either class the first: its slot is the only one
    const std::string text = text_of(i, 3'000 + 50'000 * i);
    ASSERT_EQ(wire->send(0, Lane::realtime, text, i), SendResult::ok);
    ASSERT_TRUE(wire->run_for(200 * kMs, [&] { return kernel.whole == i + 1; }));
    ASSERT_TRUE(wire->run_for(kMs, [&] { return b.got.size() == i + 1; })) << i;
    EXPECT_EQ(b.got[i].bytes, text);
  }
  wire->fate = {};
  nothing_left(*wire);
  EXPECT_GT(wire->next_at(), wire->now_ns + 5 * kMs) << "no slot is open, and yet something is looked at";
}

// Without it eight grants a round trip would be all, whatever the path carries.
TEST(Segments, TheWindowGrowsAlsoByWhatTheKernelTook) {
  Limits limits = Limits::sim();
  limits.grants_per_class = 32;
  auto wire = make_pair(5 * kMs, 0, limits);
  wire->run_for(100 * kMs);
  Node& b = *wire->nodes[1];
  b.take = false;  // and no slot is given back
  KernelPath kernel{*wire, {}};
  wire->fate = [&](Wire::Packet& p) { kernel.take(p); };
  for (std::uint64_t i = 0; i < 30; ++i)
    ASSERT_EQ(wire->send(0, Lane::realtime, text_of(i, 60'000), i), SendResult::ok);
  ASSERT_TRUE(wire->run_for(100 * kMs, [&] { return kernel.whole == 8; })) << kernel.whole;
  const auto given = [&] { return std::uint64_t{b.endpoint->counters().grants_given[PTL_LARGE]}; };
  EXPECT_EQ(given(), 8u);
  b.endpoint->segment_ready(wire->now(), b.up);
  EXPECT_GT(given(), 8u + 8u);
}

// BUSY for a message of which some segments are cut: the rest never leaves, its tickets go back, later ones arrive.
TEST(Segments, ARefusedLongMessageIsAbandoned) {
  auto wire = make_pair(10 * kMs, 20'000'000);
  wire->run_for(100 * kMs);
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(1, 900'000), 1), SendResult::ok);
  wire->run_for(100 * kMs);
  std::uint8_t busy[24] = {};
  put(busy + 8, static_cast<std::uint32_t>(PTL_LANE_REALTIME));
  put(busy + 12, std::uint32_t{1});
  ASSERT_TRUE(b.endpoint->send_control(wire->now(), b.up, PTL_C_BUSY, busy));
  wire->run_for(100 * kMs);
  EXPECT_EQ(a.store->usage().messages, 0u);
  EXPECT_EQ(a.endpoint->backlog_bytes(a.up), 0u);
  ASSERT_EQ(b.got.size(), 1u);  // it is told GONE
  EXPECT_EQ(b.got[0].control, static_cast<std::uint32_t>(PTL_C_GONE));
  b.got.clear();
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(2, 200'000), 2), SendResult::ok);
  ASSERT_TRUE(wire->run_for(1'000 * kMs, [&] { return b.got.size() == 1; }));
  EXPECT_EQ(b.got[0].sequence, 2u);
  EXPECT_EQ(b.events.size(), 1u);
}

TEST(Segments, GrantsThatWentBackAreWantedAgain) {
  auto wire = make_pair(10 * kMs);
  wire->run_for(100 * kMs);
  Node& b = *wire->nodes[1];
  for (std::uint64_t i = 0; i < 6; ++i) {
    ASSERT_EQ(wire->send(0, Lane::realtime, text_of(i, 60'000), i), SendResult::ok);
    wire->run_for(300 * kMs);
    EXPECT_EQ(b.store->usage().large_slots, 2u);  // kept
    wire->run_for(1'000 * kMs);
    EXPECT_EQ(b.store->usage().large_slots, 0u);  // taken back
    EXPECT_EQ(b.got.size(), i + 1);
  }
}

TEST(Segments, ManySessionsShareFewSlotsInTurn) {
  Limits limits = Limits::sim();
  limits.large_slots = 12;
  auto wire = std::make_unique<Wire>();
  wire->delay_ns = 2 * kMs;
  SessionOptions options;
  options.first_bps = 1'000'000'000;
  Node& hub = wire->add(100, limits);
  hub.endpoint->accept_clients(options, {});
  options.initiate = true;
  for (std::uint64_t i = 0; i < 20; ++i) {
    Node& client = wire->add(i + 1, Limits::sim_client());
    client.endpoint->configure_peer(hub.as_peer(), options);
  }
  wire->run_for(200 * kMs);
  for (std::size_t i = 1; i <= 20; ++i) {
    for (std::uint64_t k = 0; k < 3; ++k)
      ASSERT_EQ(wire->send(i, Lane::realtime, text_of(i, 65'000), i), SendResult::ok);
  }
  EXPECT_TRUE(wire->run_for(3'000 * kMs, [&] { return wire->nodes[0]->got.size() == 60; }))
      << wire->nodes[0]->got.size();
  EXPECT_LE(wire->nodes[0]->store->usage().large_slots_high, 12u);
  nothing_left(*wire);
}

TEST(Segments, ShortMessagesWaitForOneFragmentAtMost) {
  auto wire = make_pair(5 * kMs, 10'000'000);  // a fragment takes about 1.05 ms
  wire->run_for(200 * kMs);
  Node& b = *wire->nodes[1];
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(1, 64'000), 1'000), SendResult::ok);
  wire->run_for(20 * kMs);  // in the middle of the tile
  std::uint64_t worst = 0;
  for (std::uint64_t i = 0; i < 10; ++i) {
    const std::uint64_t start = wire->now_ns;
    ASSERT_EQ(wire->send(0, Lane::realtime, text_of(i, 100), i), SendResult::ok);
    ASSERT_TRUE(wire->run_for(100 * kMs, [&] { return !b.got.empty() && b.got.back().sequence == i; }));
    worst = std::max(worst, wire->now_ns - start);
  }
  EXPECT_LE(worst, 5 * kMs + 2'200'000);
}

}  // namespace
}  // namespace portolan::broker::session
