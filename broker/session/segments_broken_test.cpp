// Long messages that break: a peer whose segments contradict each other, and messages withdrawn when nobody can be
// told.
#include <gtest/gtest.h>

#include "broker/crypto/crc32c.hpp"
#include "broker/session/test_wire.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

// Node 0 rewrites the record of one segment of `text`, which fills its segments: all else is as it was, sealed rightly.
struct Liar {
  Wire& wire;
  const std::string& text;
  std::uint16_t segment;
  std::function<void(ptl_record&)> lie;
  std::uint32_t ticket = 0;
  ptl_record told{};

  void take(Wire::Packet& p) {
    auto frame = get<ptl_frame>(p.bytes.data());
    if (p.from != 0 || type_of(frame) != PTL_DATA || (frame.flags & PTL_F_MULTIPLEXED) != 0) return;
    std::uint8_t* payload = p.bytes.data() + PTL_FRAME_BYTES;
    if (frame.fragment_index == 0 && get<ptl_record>(payload).segment == segment) {
      ticket = frame.ticket;
      told = get<ptl_record>(payload);
      lie(told);
      put(payload, told);
    }
    if (ticket == 0 || frame.ticket != ticket) return;
    const std::size_t from = std::size_t{frame.fragment_index} * frame.fragment_unit * PTL_FRAGMENT_UNIT;
    if (from + p.bytes.size() - PTL_FRAME_BYTES == frame.bytes) {
      const auto* part =
          reinterpret_cast<const std::uint8_t*>(text.data()) + std::size_t{segment} * PTL_SEGMENT_PAYLOAD;
      const std::uint32_t crc = crc32c({reinterpret_cast<const std::uint8_t*>(&told), sizeof told});
      put(p.bytes.data() + p.bytes.size() - PTL_TRAILER_BYTES, crc32c({part, PTL_SEGMENT_PAYLOAD}, crc));
    }
    frame.crc = crc32c({payload, p.bytes.size() - PTL_FRAME_BYTES});
    put(p.bytes.data(), frame);
    DirectionKeys keys;
    if (wire.nodes[0]->endpoint->keys_for_test(wire.nodes[0]->up, keys)) set_frame_tag(keys.tag, p.bytes.data());
  }
};

// What a segment says of its message is one thing for all its segments, or whoever counts on the first's is deceived.
void contradicted(std::uint16_t segment, const std::function<void(ptl_record&)>& lie, bool no_memory_at_first = false) {
  auto wire = make_plain_pair(5 * kMs);
  wire->run_for(100 * kMs);
  Node& b = *wire->nodes[1];
  const std::string text = text_of(1, 4 * PTL_SEGMENT_PAYLOAD);
  Liar liar{*wire, text, segment, lie, 0, {}};
  wire->fate = [&](Wire::Packet& p) { liar.take(p); };
  const std::uint32_t blocks = Limits::sim_client().small_blocks, slots = Limits::sim_client().large_slots * 3 / 4;
  if (no_memory_at_first) {  // whole segments wait side by side
    ASSERT_TRUE(b.store->reserve_blocks(blocks));
    b.store->reserve_slots(PieceKind::large_slot, slots);
  }
  ASSERT_EQ(wire->send(0, Lane::realtime, text, 1), SendResult::ok);
  if (no_memory_at_first) {
    wire->run_for(200 * kMs);
    ASSERT_EQ(b.events.size(), 1u);
    ASSERT_GE(b.store->usage().large_slots, 4u) << "no segment came";
    b.store->unreserve_blocks(blocks);
    b.store->unreserve_slots(PieceKind::large_slot, slots);
  }
  wire->run_for(100 * kMs);
  EXPECT_NE(liar.ticket, 0u);
  EXPECT_TRUE(b.got.empty()) << "delivered " << b.got[0].bytes.size() << " bytes";
  ASSERT_GE(b.events.size(), 2u);
  EXPECT_EQ(b.events[1].kind, SessionEvent::Kind::down);
  wire->fate = {};
  wire->run_for(3'000 * kMs);  // idle grants go back
  EXPECT_EQ(b.store->usage().messages, 0u);
  EXPECT_EQ(b.store->usage().blocks, 0u);
  EXPECT_EQ(b.store->usage().large_slots, 0u);
}

void say(ptl_record& record, std::uint32_t length) {
  record.flags_length = record_flags_length(static_cast<std::uint8_t>(record_flags(record)), length);
  record.last_segment = static_cast<std::uint16_t>((length - 1) / PTL_SEGMENT_PAYLOAD);
}

TEST(SegmentsBroken, ALaterSegmentThatIsOfALongerMessageIsNotJoinedToIt) {
  contradicted(2, [](ptl_record& r) { say(r, 5 * PTL_SEGMENT_PAYLOAD); });
}

TEST(SegmentsBroken, AFirstSegmentThatIsOfAShorterMessageIsNotJoinedToTheOthers) {
  contradicted(0, [](ptl_record& r) { say(r, 200'000); });
  contradicted(0, [](ptl_record& r) { say(r, 100'000); });
}

TEST(SegmentsBroken, ALaterSegmentOfAnotherPublisherTopicOrSequenceIsNotJoinedToIt) {
  contradicted(3, [](ptl_record& r) { ++r.publisher; });
  contradicted(3, [](ptl_record& r) { ++r.topic; });
  contradicted(3, [](ptl_record& r) { ++r.sequence; });
  contradicted(3, [](ptl_record& r) { ++r.epoch; });
}

TEST(SegmentsBroken, SegmentsThatWaitedForMemoryAndContradictEachOtherAreNotJoined) {
  contradicted(
      1, [](ptl_record& r) { say(r, 5 * PTL_SEGMENT_PAYLOAD); }, true);
}

// Messages of which one segment is here, cut and over with; then BUSY for each, while nothing of node 0's gets out.
TEST(SegmentsBroken, AMessageThatIsWithdrawnWhenNobodyCanBeToldIsNotHeldForEver) {
  Wire wire;
  wire.delay_ns = 5 * kMs;
  Limits limits = Limits::sim_client();
  limits.control_queue = 12;
  Node& a = wire.add(1, limits);
  Node& b = wire.add(2, Limits::sim_client());
  SessionOptions options;
  options.first_bps = 1'000'000'000;
  b.endpoint->configure_peer(a.as_peer(), options);
  options.initiate = true;
  a.endpoint->configure_peer(b.as_peer(), options);
  wire.run_for(100 * kMs);
  const std::string text = text_of(1, PTL_SEGMENT_PAYLOAD);
  for (std::uint32_t i = 1; i <= 8; ++i) {
    Outgoing out;
    out.message = a.store->create();
    ASSERT_TRUE(a.store->append_copy(out.message, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}));
    a.store->at(out.message).coming = 3 * PTL_SEGMENT_PAYLOAD;
    std::uint32_t number = 0;
    ASSERT_EQ(a.endpoint->send(wire.now(), a.up, Lane::realtime, out, number), SendResult::ok);
    ASSERT_EQ(number, i);
    a.store->release(out.message);
    wire.run_for(100 * kMs);
  }
  ASSERT_EQ(a.store->usage().messages, 8u);
  const std::size_t before = a.events.size();
  wire.fate = [](Wire::Packet& p) { p.copies = p.from == 0 ? 0 : 1; };
  const std::uint8_t body[16] = {};
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(a.endpoint->send_control(wire.now(), a.up, PTL_C_BUSY, body));
  for (std::uint32_t i = 1; i <= 8; ++i) {
    std::uint8_t busy[24] = {};
    put(busy + 8, static_cast<std::uint32_t>(PTL_LANE_REALTIME));
    put(busy + 12, i);
    ASSERT_TRUE(b.endpoint->send_control(wire.now(), b.up, PTL_C_BUSY, busy));
  }
  wire.run_for(50 * kMs);
  ASSERT_GT(a.events.size(), before) << "it could tell all of them";
  EXPECT_EQ(a.store->usage().messages, 0u);
}

}  // namespace
}  // namespace portolan::broker::session
