// Sealed mode: which mode is chosen and who is refused, what stands on the wire, and that nothing which was changed,
// cut, replayed or reflected is taken. Every pair here says its mode by name.
#include <gtest/gtest.h>

#include "broker/crypto/crc32c.hpp"
#include "broker/session/test_wire.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

std::uint64_t drops(const Node& n, Drop drop) {
  return n.endpoint->counters().drops[static_cast<std::size_t>(drop)];
}

std::unique_ptr<Wire> pair_of(std::uint32_t modes, std::uint64_t delay_ns = 5 * kMs) {
  auto wire = make_pair(delay_ns, 200'000'000, Limits::sim_client(), kPairIdleNs, modes);
  EXPECT_TRUE(wire->run_for(200 * kMs, [&] { return wire->nodes[1]->up != kNil && wire->nodes[0]->up != kNil; }));
  wire->run_for(50 * kMs);
  return wire;
}

bool is_fragment(const ptl_frame& frame) {
  return type_of(frame) == PTL_DATA && (frame.flags & PTL_F_MULTIPLEXED) == 0;
}

// As the owner of the tag keys could (a kernel on the way to the seals' owner, say): header and tag right again.
void tag_again(Wire& wire, std::size_t from, std::vector<std::uint8_t>& bytes, bool crc) {
  DirectionKeys keys;
  ASSERT_TRUE(wire.nodes[from]->endpoint->keys_for_test(wire.nodes[from]->up, keys));
  if (crc) {
    auto frame = get<ptl_frame>(bytes.data());
    frame.crc = crc32c({bytes.data() + PTL_FRAME_BYTES, bytes.size() - PTL_FRAME_BYTES});
    put(bytes.data(), frame);
  }
  set_frame_tag(keys.tag, bytes.data());
}

// Flips bits of `bytes` so that their CRC stays: adds a multiple of the CRC's polynomial, as anybody on the way can.
void change_behind_the_crc(std::span<std::uint8_t> bytes) {
  std::vector<std::uint8_t> zero(bytes.size()), one(bytes.size());
  one[0] = 1;
  const std::uint32_t wanted = crc32c(zero) ^ crc32c(one);
  // Over the last 32 bits the CRC is linear and one to one: Gauss with one column for each bit.
  std::uint32_t rows[32], marks[32], change = 0, left = wanted;
  for (std::uint32_t i = 0; i < 32; ++i) {
    std::vector<std::uint8_t> bit(bytes.size());
    bit[bytes.size() - 4 + i / 8] = static_cast<std::uint8_t>(1u << (i % 8));
    rows[i] = crc32c(zero) ^ crc32c(bit);
    marks[i] = 1u << i;
  }
  for (std::uint32_t top = 0; top < 32; ++top) {
    std::uint32_t i = top;
    while ((rows[i] >> top & 1) == 0) ASSERT_LT(++i, 32u);
    std::swap(rows[i], rows[top]);
    std::swap(marks[i], marks[top]);
    for (std::uint32_t k = 0; k < 32; ++k) {
      if (k == top || (rows[k] >> top & 1) == 0) continue;
      rows[k] ^= rows[top];
      marks[k] ^= marks[top];
    }
    if ((left >> top & 1) != 0) {
      left ^= rows[top];
      change ^= marks[top];
    }
  }
  // `left` was reduced while later rows still changed: reduce once more with the final rows.
  for (std::uint32_t top = 0; top < 32; ++top) {
    if ((left >> top & 1) == 0) continue;
    left ^= rows[top];
    change ^= marks[top];
  }
  const std::uint32_t before = crc32c(bytes);
  bytes[0] ^= 1;
  for (std::uint32_t i = 0; i < 4; ++i) bytes[bytes.size() - 4 + i] ^= static_cast<std::uint8_t>(change >> (8 * i));
  ASSERT_EQ(crc32c(bytes), before);
}

struct ModeCase {
  std::uint32_t initiator, responder, chosen;
};

TEST(Sealed, IsChosenWhereverBothAllowItAndPlainOnlyWhereBothNameIt) {
  const std::uint32_t both = kModeSealed | kModePlain;
  const ModeCase cases[] = {
      {SessionOptions{}.modes, SessionOptions{}.modes, kModeSealed},
      {kModeSealed, both, kModeSealed},
      {both, kModeSealed, kModeSealed},
      {both, both, kModeSealed},
      {kModePlain, both, kModePlain},
      {both, kModePlain, kModePlain},
      {kModePlain, kModePlain, kModePlain},
      {kModeSealed, kModePlain, 0},
      {kModePlain, kModeSealed, 0},
      {kModePlain, SessionOptions{}.modes, 0},
  };
  for (const ModeCase& c : cases) {
    Wire wire;
    Node& a = wire.add(1, Limits::sim_client());
    Node& b = wire.add(2, Limits::sim_client());
    SessionOptions options;
    options.modes = c.responder;
    b.endpoint->configure_peer(a.as_peer(), options);
    options.modes = c.initiator;
    options.initiate = true;
    a.endpoint->configure_peer(b.as_peer(), options);
    wire.run_for(5'500 * kMs);
    const std::string what = std::to_string(c.initiator) + " to " + std::to_string(c.responder);
    PeerLimits seen;
    if (c.chosen != 0) {
      for (const Node* n : {&a, &b}) {
        ASSERT_EQ(n->events.size(), 1u) << what;
        ASSERT_TRUE(n->endpoint->peer_limits(n->up, seen)) << what;
        EXPECT_EQ(seen.capabilities, c.chosen) << what;
      }
      continue;
    }
    for (const Node* n : {&a, &b}) {
      EXPECT_EQ(n->up, kNil) << what;
      ASSERT_GE(n->events.size(), 4u) << what;  // told at each attempt, about once a second
      EXPECT_LE(n->events.size(), 7u) << what;
      EXPECT_EQ(drops(*n, Drop::mode_refused), n->events.size()) << what;
      for (const SessionEvent& e : n->events) {
        EXPECT_EQ(e.kind, SessionEvent::Kind::refused) << what;
        EXPECT_EQ(e.reason, DownReason::mode_refused) << what;
        EXPECT_EQ(e.peer, n == &a ? 2u : 1u) << what;
      }
    }
  }
}

// Who is on the way can not talk two ends that allow both into plain.
TEST(Sealed, AnOfferThatWasChangedOnTheWayMakesNoSession) {
  auto wire = make_pair(5 * kMs, 0, Limits::sim_client(), kPairIdleNs, kModeSealed | kModePlain);
  std::uint32_t changed = 0;
  wire->fate = [&](Wire::Packet& p) {
    const auto frame = get<ptl_frame>(p.bytes.data());
    if (type_of(frame) != PTL_HANDSHAKE || get<std::uint32_t>(p.bytes.data() + PTL_FRAME_BYTES) != 3) return;
    const std::size_t at = PTL_FRAME_BYTES + 16 + 16 + offsetof(Prologue, capabilities);
    ASSERT_EQ(get<std::uint32_t>(p.bytes.data() + at), kModeSealed | kModePlain);
    put(p.bytes.data() + at, std::uint32_t{kModePlain});
    auto header = frame;
    header.crc = seal_payload(p.bytes.data() + PTL_FRAME_BYTES, frame.bytes - PTL_TRAILER_BYTES);
    put(p.bytes.data(), header);
    ++changed;
  };
  wire->run_for(2'000 * kMs);
  ASSERT_GT(changed, 1u);
  EXPECT_EQ(drops(*wire->nodes[1], Drop::handshake_invalid), changed);
  for (const auto& n : wire->nodes) EXPECT_TRUE(n->events.empty());
}

// Content, acknowledgements and heartbeats: nothing of it can be read on the way, nor does a byte pattern repeat.
TEST(Sealed, NothingStandsOnTheWireInClear) {
  for (const std::uint32_t mode : {kModeSealed, kModePlain}) {
    auto wire = pair_of(mode);
    const std::string word(48, 'W');
    std::uint32_t seen = 0, zeros = 0, frames = 0;
    wire->fate = [&](Wire::Packet& p) {
      const std::string payload(p.bytes.begin() + PTL_FRAME_BYTES, p.bytes.end());
      ++frames;
      seen += payload.find(word.substr(0, 16)) != std::string::npos;
      zeros += payload.find(std::string(12, '\0')) != std::string::npos;  // plain trailers end in as many
    };
    ASSERT_EQ(wire->send(0, Lane::realtime, word, 1), SendResult::ok);
    std::string tile;
    while (tile.size() < 70'000) tile += word;
    ASSERT_EQ(wire->send(0, Lane::realtime, tile, 2), SendResult::ok);
    wire->run_for(1'000 * kMs);
    ASSERT_EQ(wire->nodes[1]->got.size(), 2u);
    EXPECT_EQ(wire->nodes[1]->got[1].bytes, tile);
    ASSERT_GT(frames, 60u);
    if (mode == kModeSealed) {
      EXPECT_EQ(seen, 0u);
      EXPECT_EQ(zeros, 0u);
    } else {
      EXPECT_GE(seen, 56u);
    }
  }
}

// CRC and tag guard against damage, not against intent: a change that keeps the CRC passes both. In plain mode it is
// taken (so plain is only for tests); sealed it is refused and counted, and what was sent comes by repair.
TEST(Sealed, AShortMessageChangedOnTheWayBehindItsCrcIsRefused) {
  for (const std::uint32_t mode : {kModeSealed, kModePlain}) {
    auto wire = pair_of(mode);
    std::uint32_t times = 3;
    wire->fate = [&](Wire::Packet& p) {
      const auto frame = get<ptl_frame>(p.bytes.data());
      if (times == 0 || p.from != 0 || type_of(frame) != PTL_DATA) return;
      --times;
      change_behind_the_crc({p.bytes.data() + PTL_FRAME_BYTES + PTL_RECORD_BYTES, 400});
    };
    for (std::uint64_t i = 0; i < 3; ++i) {
      ASSERT_EQ(wire->send(0, Lane::realtime, text_of(i, 600), i), SendResult::ok);
      wire->run_for(100 * kMs);
    }
    Node& b = *wire->nodes[1];
    ASSERT_EQ(times, 0u);
    ASSERT_EQ(b.got.size(), 3u);
    std::uint32_t wrong = 0;
    for (const Got& got : b.got) wrong += got.bytes != text_of(got.sequence, 600);
    EXPECT_EQ(drops(b, Drop::bad_crc) + drops(b, Drop::bad_tag), 0u);
    EXPECT_EQ(drops(b, Drop::bad_trailer), mode == kModeSealed ? 3u : 0u);
    EXPECT_EQ(wrong, mode == kModeSealed ? 0u : 3u);
    EXPECT_EQ(b.events.size(), 1u);
  }
}

TEST(Sealed, ASegmentChangedOnTheWayBehindItsCrcIsCutAnew) {
  auto wire = pair_of(kModeSealed);
  std::uint32_t times = 3;
  wire->fate = [&](Wire::Packet& p) {
    const auto frame = get<ptl_frame>(p.bytes.data());
    if (times == 0 || p.from != 0 || !is_fragment(frame) || frame.fragment_index != times) return;
    --times;
    change_behind_the_crc({p.bytes.data() + PTL_FRAME_BYTES, p.bytes.size() - PTL_FRAME_BYTES});
  };
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(1, 300'000), 1), SendResult::ok);
  Node& b = *wire->nodes[1];
  ASSERT_TRUE(wire->run_for(3'000 * kMs, [&] { return b.got.size() == 1; }));
  EXPECT_EQ(times, 0u);
  EXPECT_EQ(b.got[0].bytes, text_of(1, 300'000));
  EXPECT_GE(drops(b, Drop::bad_trailer), 1u);
  EXPECT_EQ(wire->nodes[0]->endpoint->counters().segments_recut, drops(b, Drop::bad_trailer));
}

TEST(Sealed, WhoGoesOnChangingPacketsEndsTheSession) {
  auto wire = pair_of(kModeSealed);
  wire->fate = [&](Wire::Packet& p) {
    const auto frame = get<ptl_frame>(p.bytes.data());
    if (p.from != 0 || type_of(frame) == PTL_HANDSHAKE || p.bytes.size() < PTL_FRAME_BYTES + 40) return;
    change_behind_the_crc({p.bytes.data() + PTL_FRAME_BYTES, p.bytes.size() - PTL_FRAME_BYTES});
  };
  for (std::uint64_t i = 0; i < 20; ++i) wire->send(0, Lane::realtime, text_of(i, 900), i);
  Node& b = *wire->nodes[1];
  wire->run_for(2'000 * kMs, [&] { return b.events.size() >= 2; });
  ASSERT_GE(b.events.size(), 2u);
  EXPECT_EQ(b.events[1].kind, SessionEvent::Kind::down);
  EXPECT_EQ(b.events[1].reason, DownReason::tampered);
  EXPECT_TRUE(b.got.empty());
  EXPECT_EQ(drops(b, Drop::bad_trailer), 8u);
}

// Whoever has the tags' keys but not the seals' changes nothing: headers are sealed in, trailers are authenticators.
TEST(Sealed, TheKeyOfTheTagsAloneChangesNothing) {
  struct Change {
    const char* what;
    std::function<void(std::vector<std::uint8_t>&)> to;
  };
  const auto header = [](auto change) {
    return [change](std::vector<std::uint8_t>& bytes) {
      auto frame = get<ptl_frame>(bytes.data());
      change(frame);
      put(bytes.data(), frame);
    };
  };
  const Change changes[] = {
      {"retransmission", header([](ptl_frame& f) { f.flags ^= PTL_F_RETRANSMIT; })},
      {"lane", header([](ptl_frame& f) { f.flags ^= 1u << PTL_F_LANE_SHIFT; })},
      {"fragment size", header([](ptl_frame& f) { ++f.fragment_unit; })},
      {"packet number", header([](ptl_frame& f) { f.packet += 1'000; })},
      {"type", header([](ptl_frame& f) { f.version_type = PTL_VERSION << 4 | PTL_ACK; })},
      {"ticket", header([](ptl_frame& f) { f.ticket = 7; })},
      {"first byte", [](std::vector<std::uint8_t>& b) { b[PTL_FRAME_BYTES] ^= 1; }},
      {"trailer", [](std::vector<std::uint8_t>& b) { b.back() ^= 1; }},
      {"plain trailer",
       [](std::vector<std::uint8_t>& b) {
         const std::size_t body = b.size() - PTL_FRAME_BYTES - PTL_TRAILER_BYTES;
         put(b.data() + b.size() - PTL_TRAILER_BYTES, plain_trailer({b.data() + PTL_FRAME_BYTES, body}));
       }},
      {"cut short",
       [](std::vector<std::uint8_t>& b) {
         b.resize(b.size() - 8);
         auto frame = get<ptl_frame>(b.data());
         frame.bytes -= 8;
         put(b.data(), frame);
       }},
  };
  for (const Change& change : changes) {
    auto wire = pair_of(kModeSealed);
    Node& b = *wire->nodes[1];
    bool done = false;
    Verdict verdict;
    wire->fate = [&](Wire::Packet& p) {
      const auto frame = get<ptl_frame>(p.bytes.data());
      if (done || p.from != 0 || type_of(frame) != PTL_DATA) return;
      done = true;
      change.to(p.bytes);
      tag_again(*wire, 0, p.bytes, true);
    };
    wire->seen = [&](std::size_t to, const DatagramView&, const Verdict& v) {
      if (to == 1 && done && v.drop != Drop::none && verdict.drop == Drop::none) verdict = v;
    };
    ASSERT_EQ(wire->send(0, Lane::realtime, text_of(9, 600), 9), SendResult::ok);
    wire->run_for(300 * kMs);
    EXPECT_EQ(verdict.drop, Drop::bad_trailer) << change.what;
    EXPECT_FALSE(verdict.consumed) << change.what;
    EXPECT_EQ(drops(b, Drop::bad_trailer), 1u) << change.what;
    ASSERT_EQ(b.got.size(), 1u) << change.what;
    EXPECT_EQ(b.got[0].bytes, text_of(9, 600)) << change.what;
  }
}

// Every packet of a session, offered where it does not belong.
TEST(Sealed, ReflectedOrReplayedPacketsAreRefusedWhereverTheyAreOffered) {
  auto wire = pair_of(kModeSealed);
  std::vector<std::vector<std::uint8_t>> from_a, from_b;
  wire->fate = [&](Wire::Packet& p) { (p.from == 0 ? from_a : from_b).push_back(p.bytes); };
  for (std::uint64_t i = 0; i < 20; ++i) {
    wire->send(0, Lane::realtime, text_of(i, i == 9 ? 20'000 : 200), i);
    wire->send(1, Lane::realtime, text_of(i, 100), i);
    wire->run_for(10 * kMs);
  }
  wire->run_for(300 * kMs);
  wire->fate = {};
  wire->run_for(10 * kMs);  // what is under way arrives once
  ASSERT_GT(from_a.size(), 30u);
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  const std::size_t got_a = a.got.size(), got_b = b.got.size();
  ASSERT_EQ(got_a + got_b, 40u);
  const auto offer = [&](std::size_t to, const PathId& path, const std::vector<std::uint8_t>& bytes) {
    Verdict verdict;
    wire->seen = [&](std::size_t, const DatagramView&, const Verdict& v) { verdict = v; };
    wire->inject(to, path, bytes);
    wire->seen = {};
    return verdict;
  };
  for (const auto& packet : from_a) {
    const Verdict same = offer(1, a.address, packet);  // again, where it came
    EXPECT_TRUE(same.drop == Drop::replay || same.drop == Drop::old) << static_cast<int>(same.drop);
    // To its sender, as it is and with the sender's index of the session.
    EXPECT_NE(offer(0, b.address, packet).drop, Drop::none);
    auto mirrored = packet;
    auto frame = get<ptl_frame>(mirrored.data());
    frame.session = get<ptl_frame>(from_b[0].data()).session;
    put(mirrored.data(), frame);
    EXPECT_EQ(offer(0, b.address, mirrored).drop, Drop::bad_tag);
  }
  // The same two ends, another session: nothing of the first one fits, though the index may come round again.
  a.endpoint->close(wire->now(), a.up, DownReason::local);
  const std::size_t ups = b.events.size();
  ASSERT_TRUE(wire->run_for(2'000 * kMs, [&] { return b.events.size() >= ups + 2 && b.up != kNil && a.up != kNil; }))
      << b.events.size() - ups << " " << (b.up != kNil) << (a.up != kNil);
  std::uint32_t index = 0;
  wire->fate = [&](Wire::Packet& p) {
    if (p.from == 0) index = get<ptl_frame>(p.bytes.data()).session;
  };
  wire->run_for(300 * kMs);
  wire->fate = {};
  for (const auto& packet : from_a) {
    EXPECT_EQ(offer(1, a.address, packet).drop, Drop::unknown_session);
    auto renamed = packet;
    auto frame = get<ptl_frame>(renamed.data());
    frame.session = index;
    frame.packet += 100'000;  // beyond any window: the tag has to say no
    put(renamed.data(), frame);
    EXPECT_EQ(offer(1, a.address, renamed).drop, Drop::bad_tag);
  }
  EXPECT_EQ(a.got.size(), got_a);
  EXPECT_EQ(b.got.size(), got_b);
}

TEST(Sealed, PacketsFromBeforeARestartAreRefusedAfterIt) {
  auto wire = pair_of(kModeSealed);
  std::vector<std::vector<std::uint8_t>> before;
  wire->fate = [&](Wire::Packet& p) {
    if (p.from == 0) before.push_back(p.bytes);
  };
  for (std::uint64_t i = 0; i < 10; ++i) {
    wire->send(0, Lane::realtime, text_of(i, 100), i);
    wire->run_for(10 * kMs);
  }
  wire->fate = {};
  // The receiver starts again with the same keys and seed: only its incarnation is another.
  Node& a = *wire->nodes[0];
  Limits limits = Limits::sim_client();
  wire->nodes[1] = std::make_unique<Node>(2, limits, 2);
  Node& b = *wire->nodes[1];
  SessionOptions options;
  b.endpoint->configure_peer(a.as_peer(), options);
  ASSERT_TRUE(wire->run_for(5'000 * kMs, [&] { return b.up != kNil && a.up != kNil; }));
  wire->run_for(100 * kMs);
  const std::uint64_t in = b.endpoint->counters().messages_in;
  for (const auto& packet : before) {
    Verdict verdict;
    wire->seen = [&](std::size_t, const DatagramView&, const Verdict& v) { verdict = v; };
    wire->inject(1, a.address, packet);
    EXPECT_TRUE(verdict.drop == Drop::unknown_session || verdict.drop == Drop::bad_tag)
        << static_cast<int>(verdict.drop);
    EXPECT_FALSE(verdict.consumed);
  }
  EXPECT_EQ(b.endpoint->counters().messages_in, in);
  EXPECT_TRUE(b.got.empty());
}

TEST(Sealed, TruncatedPacketsAreRefusedAndCounted) {
  auto wire = pair_of(kModeSealed);
  std::uint32_t cut = 0, lost = 0;
  Draw draw{3};
  wire->fate = [&](Wire::Packet& p) {
    if (p.from != 0 || cut == 60) return;
    ++cut;
    p.bytes.resize(draw.below(p.bytes.size()));
    lost += p.bytes.empty();
  };
  for (std::uint64_t i = 0; i < 30; ++i) {
    wire->send(0, Lane::realtime, text_of(i, i % 5 == 0 ? 9'000 : 300), i);
    wire->run_for(3 * kMs);
  }
  Node& b = *wire->nodes[1];
  ASSERT_TRUE(wire->run_for(5'000 * kMs, [&] { return b.got.size() == 30; })) << b.got.size();
  EXPECT_EQ(cut, 60u);
  EXPECT_EQ(drops(b, Drop::truncated) + drops(b, Drop::bad_length), cut);
  for (const Got& got : b.got) EXPECT_EQ(got.bytes, text_of(got.sequence, got.sequence % 5 == 0 ? 9'000 : 300));
  EXPECT_EQ(b.events.size(), 1u);
}

// Sealed and tagged rightly by the peer itself, but longer than it was told that I take.
TEST(Sealed, APacketLongerThanMyBuffersIsRefusedBeforeItIsOpened) {
  auto wire = pair_of(kModeSealed);
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  std::uint32_t index = 0;
  wire->fate = [&](Wire::Packet& p) {
    if (p.from == 0) index = get<ptl_frame>(p.bytes.data()).session;
  };
  wire->run_for(200 * kMs);
  DirectionKeys keys;
  ASSERT_TRUE(a.endpoint->keys_for_test(a.up, keys));
  const std::uint32_t most = Limits::sim_client().datagram_bytes;
  for (const std::uint32_t length : {most, most + 1, PTL_FRAME_BYTES + PTL_FRAGMENT_KERNEL_MAX}) {
    std::vector<std::uint8_t> bytes(length);
    ptl_frame frame{};
    frame.version_type = PTL_VERSION << 4 | PTL_PROBE;
    frame.session = index;
    frame.packet = 1'000 + length;
    frame.bytes = length - PTL_FRAME_BYTES;
    put(bytes.data(), frame);
    put(bytes.data() + PTL_FRAME_BYTES, ProbeBody{9, frame.bytes, 1});  // of a later version: counted and ignored
    frame.crc = seal_packet(keys.packet, bytes.data(), frame.bytes - PTL_TRAILER_BYTES);
    put(bytes.data(), frame);
    set_frame_tag(keys.tag, bytes.data());
    Verdict verdict;
    wire->seen = [&](std::size_t, const DatagramView&, const Verdict& v) { verdict = v; };
    wire->inject(1, a.address, bytes);
    wire->seen = {};
    EXPECT_EQ(verdict.drop, length == most ? Drop::unknown : Drop::bad_length) << length;
    EXPECT_EQ(verdict.consumed, length == most) << length;
  }
  EXPECT_EQ(drops(b, Drop::bad_trailer), 0u);
}

// A ticket fixes its segment's bytes: what is made again is what was sent before, though only plaintext was kept; a cut
// under another ticket looks like nothing before; and no packet number seals twice.
TEST(Sealed, FragmentsMadeAgainAreTheSameBytesAndNoNonceSealsTwoTexts) {
  auto wire = pair_of(kModeSealed);
  Draw draw{11};
  std::map<std::tuple<std::size_t, std::uint32_t, std::uint32_t, std::uint32_t>, std::vector<std::uint8_t>> fragments;
  std::map<std::size_t, std::set<std::uint64_t>> packets;
  std::set<std::vector<std::uint8_t>> firsts;
  std::uint32_t again = 0, recut = 0, sent = 0;
  wire->fate = [&](Wire::Packet& p) {
    const auto frame = get<ptl_frame>(p.bytes.data());
    if (type_of(frame) == PTL_HANDSHAKE) return;
    EXPECT_TRUE(packets[p.from].insert(frame.packet).second) << frame.packet;
    if (is_fragment(frame)) {
      ++sent;
      std::vector<std::uint8_t> bytes(p.bytes.begin() + PTL_FRAME_BYTES, p.bytes.end());
      const auto key =
          std::make_tuple(p.from, frame.flags & std::uint32_t{PTL_F_CLASS_LARGE}, frame.ticket, frame.fragment_index);
      const auto [it, fresh] = fragments.emplace(key, bytes);
      if (!fresh) {
        ++again;
        EXPECT_EQ(it->second, bytes);
      } else {
        EXPECT_TRUE(firsts.insert({bytes.begin(), bytes.begin() + 16}).second) << "two texts under one key stream";
      }
      if (sent % 97 == 0 && recut < 5) {  // sealed wrongly: the receiver gives the ticket up
        ++recut;
        change_behind_the_crc({p.bytes.data() + PTL_FRAME_BYTES, p.bytes.size() - PTL_FRAME_BYTES});
      }
    }
    if (draw.below(100) < 7) p.copies = 0;
  };
  const std::string tile(66'000, 'x');  // the same text each time: only nonces can make it look different
  for (std::uint64_t i = 0; i < 12; ++i) {
    for (const std::size_t side : {0u, 1u}) {
      while (wire->send(side, i % 2 == 0 ? Lane::realtime : Lane::ordered, tile, i) != SendResult::ok) {
        wire->run_for(5 * kMs);
      }
      wire->send(side, Lane::realtime, std::string(5'000, 'x'),
                 100 + i);  // in turn with the other: no run of one alone
    }
    wire->run_for(2 * kMs);
  }
  ASSERT_TRUE(wire->run_for(20'000 * kMs,
                            [&] { return std::min(wire->nodes[0]->got.size(), wire->nodes[1]->got.size()) >= 24; }))
      << wire->nodes[0]->got.size() << ' ' << wire->nodes[1]->got.size();
  EXPECT_GT(again, 50u);
  EXPECT_EQ(recut, 5u);
  EXPECT_GE(wire->nodes[0]->endpoint->counters().segments_recut + wire->nodes[1]->endpoint->counters().segments_recut,
            4u);
  for (const auto& n : wire->nodes) {
    for (const Got& got : n->got) EXPECT_EQ(got.bytes, std::string(got.sequence < 100 ? 66'000 : 5'000, 'x'));
  }
}

}  // namespace
}  // namespace portolan::broker::session
