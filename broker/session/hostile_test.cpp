// Hostile datagrams: random, truncated, flipped, replayed, reflected, of another session, and well-tagged nonsense from
// a peer that lies. Nothing crashes (run it under sanitizers), nothing is delivered that was not sent, nothing twice.
#include <gtest/gtest.h>

#include <utility>

#include "broker/crypto/crc32c.hpp"
#include "broker/session/test_wire.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

struct Captured {
  std::size_t from, to;
  std::vector<std::uint8_t> bytes;
};

// Traffic of every kind between two nodes while an attacker, who sees it all, injects what `forge` makes of it.
void attacked(std::uint64_t seed, const std::function<void(Wire&, Draw&, const std::vector<Captured>&)>& forge) {
  auto wire = make_pair(5 * kMs, 100'000'000);
  std::vector<Captured> captured;
  bool injecting = false;
  Draw draw{seed};
  wire->fate = [&](Wire::Packet& p) {
    if (captured.size() < 4'000) captured.push_back({p.from, p.to, p.bytes});
    if (draw.below(50) == 0) p.copies = 0;
  };
  wire->seen = [&](std::size_t, const DatagramView&, const Verdict& v) {
    if (injecting && v.drop == Drop::none) {
      EXPECT_EQ(v.session_uid, 0u) << "an injected frame was taken for a session's";
    }
  };
  wire->run_for(500 * kMs);
  std::uint64_t sent[2] = {};
  for (std::uint64_t i = 0; i < 300; ++i) {
    for (std::size_t side = 0; side < 2; ++side) {
      const std::size_t bytes = i % 25 == 0 ? 20'000 + i : i % 400;
      if (wire->send(side, Lane::realtime, text_of(i * 2 + side, bytes), i) == SendResult::ok) ++sent[side];
    }
    wire->run_for(2 * kMs);
    injecting = true;
    forge(*wire, draw, captured);
    injecting = false;
  }
  wire->run_for(2'000 * kMs,
                [&] { return wire->nodes[0]->got.size() >= sent[1] && wire->nodes[1]->got.size() >= sent[0]; });
  for (std::size_t side = 0; side < 2; ++side) {
    Node& n = *wire->nodes[side];
    EXPECT_EQ(n.got.size(), sent[1 - side]) << "seed " << seed;
    EXPECT_EQ(n.events.size(), 1u) << "seed " << seed;
    std::vector<bool> came(300);
    for (const Got& got : n.got) {
      ASSERT_LT(got.sequence, 300u);
      EXPECT_FALSE(came[got.sequence]);
      came[got.sequence] = true;
      const std::size_t bytes = got.sequence % 25 == 0 ? 20'000 + got.sequence : got.sequence % 400;
      EXPECT_EQ(got.bytes, text_of(got.sequence * 2 + (1 - side), bytes));
    }
  }
}

TEST(Hostile, RandomBytes) {
  attacked(1, [](Wire& wire, Draw& draw, const std::vector<Captured>&) {
    for (int i = 0; i < 20; ++i) {
      std::vector<std::uint8_t> bytes(draw.below(1'500));
      for (auto& b : bytes) b = static_cast<std::uint8_t>(draw.next());
      if (!bytes.empty() && draw.below(2) == 0) bytes[0] = static_cast<std::uint8_t>(PTL_VERSION << 4 | draw.below(16));
      wire.inject(draw.below(2), wire.nodes[draw.below(2)]->address, bytes);
    }
  });
}

TEST(Hostile, TruncatedAndExtended) {
  attacked(2, [](Wire& wire, Draw& draw, const std::vector<Captured>& captured) {
    for (int i = 0; i < 20; ++i) {
      const Captured& c = captured[captured.size() - 1 - draw.below(std::min<std::size_t>(captured.size(), 40))];
      auto bytes = c.bytes;
      if (draw.below(2) == 0) {
        bytes.resize(draw.below(bytes.size()));
      } else {
        bytes.resize(bytes.size() + 1 + draw.below(200));
      }
      wire.inject(c.to, wire.nodes[c.from]->address, bytes);
    }
  });
}

TEST(Hostile, FlippedBitsInTheHeader) {
  attacked(3, [](Wire& wire, Draw& draw, const std::vector<Captured>& captured) {
    for (int i = 0; i < 20; ++i) {
      const Captured& c = captured[captured.size() - 1 - draw.below(std::min<std::size_t>(captured.size(), 40))];
      auto bytes = c.bytes;
      bytes[draw.below(PTL_FRAME_BYTES)] ^= static_cast<std::uint8_t>(1u << draw.below(8));
      wire.inject(c.to, wire.nodes[c.from]->address, bytes);
    }
  });
}

TEST(Hostile, ReplayedLongAgo) {
  attacked(4, [](Wire& wire, Draw& draw, const std::vector<Captured>& captured) {
    for (int i = 0; i < 20; ++i) {
      // What has arrived by now: older than the newest forty, so it is a replay, not an early delivery.
      if (captured.size() < 200) return;
      const Captured& c = captured[draw.below(captured.size() - 150)];
      const auto frame = get<ptl_frame>(c.bytes.data());
      if (type_of(frame) == PTL_HANDSHAKE) continue;
      wire.seen = {};  // one that the wire lost may count for the first time now; the messages decide
      wire.inject(c.to, wire.nodes[c.from]->address, c.bytes);
    }
  });
}

// What an audit of consumed numbers lives on: a replay consumes nothing, and one that a broken window lets in shows its
// number a second time, even though its messages are recognised.
TEST(Hostile, AReplayThatABrokenWindowLetsInRepeatsAConsumedNumber) {
  auto wire = make_pair();
  wire->run_for(200 * kMs);
  std::vector<Captured> captured;
  std::map<std::uint64_t, int> consumed;
  Verdict verdict;
  wire->fate = [&](Wire::Packet& p) {
    if (p.from == 0) captured.push_back({p.from, p.to, p.bytes});
  };
  wire->seen = [&](std::size_t to, const DatagramView&, const Verdict& v) {
    if (to != 1) return;
    verdict = v;
    if (v.consumed) ++consumed[v.packet];
  };
  for (std::uint64_t i = 0; i < 60; ++i) {
    ASSERT_EQ(wire->send(0, Lane::realtime, text_of(i, 50), i), SendResult::ok);
    wire->run_for(5 * kMs);
  }
  wire->run_for(100 * kMs);
  Node& b = *wire->nodes[1];
  const auto message =
      std::find_if(captured.begin(), captured.end(), [](const Captured& c) { return (c.bytes[0] & 15) == PTL_DATA; });
  ASSERT_NE(message, captured.end());
  const std::uint64_t number = get<ptl_frame>(message->bytes.data()).packet;
  ASSERT_EQ(consumed[number], 1);
  wire->inject(1, wire->nodes[0]->address, message->bytes);
  EXPECT_EQ(verdict.drop, Drop::replay);
  EXPECT_FALSE(verdict.consumed);
  EXPECT_EQ(consumed[number], 1);
  // Break the window: all numbers below 64 are forgotten. Its words lie in the endpoint's memory.
  std::size_t broken = 0;
  for (std::size_t at = 0; at + 16 <= b.memory.size(); at += 8) {
    std::uint64_t words[2];
    std::memcpy(words, b.memory.data() + at, sizeof words);
    if (words[0] != 0xFFFFFFFEull || words[1] != 0x1FFFFFFFFull) continue;
    words[0] = 0;
    std::memcpy(b.memory.data() + at, words, sizeof words);
    ++broken;
  }
  ASSERT_EQ(broken, 1u);
  wire->inject(1, wire->nodes[0]->address, message->bytes);
  EXPECT_EQ(verdict.drop, Drop::duplicate_message);
  EXPECT_TRUE(verdict.consumed);
  EXPECT_EQ(consumed[number], 2);
  EXPECT_EQ(b.got.size(), 60u);
}

TEST(Hostile, Reflected) {
  attacked(5, [](Wire& wire, Draw& draw, const std::vector<Captured>& captured) {
    for (int i = 0; i < 20; ++i) {
      const Captured& c = captured[draw.below(captured.size())];
      wire.inject(c.from, wire.nodes[c.to]->address, c.bytes);
      // And with the session index of the other direction.
      auto bytes = c.bytes;
      for (const Captured& other : captured) {
        const auto frame = get<ptl_frame>(other.bytes.data());
        if (other.to == c.from && type_of(frame) != PTL_HANDSHAKE) put(bytes.data() + 4, frame.session);
      }
      if (type_of(get<ptl_frame>(c.bytes.data())) == PTL_HANDSHAKE) continue;
      wire.inject(c.from, wire.nodes[c.to]->address, bytes);
    }
  });
}

TEST(Hostile, FramesOfAnotherSessionOfTheSamePeers) {
  auto wire = make_pair(5 * kMs);
  std::vector<Captured> captured;
  bool capture = true;
  wire->fate = [&](Wire::Packet& p) {
    if (capture) captured.push_back({p.from, p.to, p.bytes});
  };
  wire->run_for(200 * kMs);
  for (std::uint64_t i = 0; i < 100; ++i) wire->send(0, Lane::realtime, "old", i);
  wire->run_for(200 * kMs);
  capture = false;
  wire->nodes[0]->endpoint->close(wire->now(), wire->nodes[0]->up, DownReason::local);
  wire->run_for(500 * kMs);
  Node& b = *wire->nodes[1];
  ASSERT_EQ(b.events.size(), 3u);
  const std::size_t before = b.got.size();
  const auto index = [&] {
    std::uint32_t now = 0;
    wire->fate = [&](Wire::Packet& p) {
      if (p.from == 0) now = get<ptl_frame>(p.bytes.data()).session;
    };
    wire->run_for(300 * kMs);
    wire->fate = {};
    return now;
  }();
  for (const Captured& c : captured) {
    wire->inject(c.to, wire->nodes[c.from]->address, c.bytes);
    auto bytes = c.bytes;
    put(bytes.data() + 4, index);
    if (c.to == 1) wire->inject(1, wire->nodes[0]->address, bytes);
  }
  wire->run_for(500 * kMs);
  EXPECT_EQ(b.got.size(), before);
  EXPECT_EQ(b.events.size(), 3u);
}

// A peer with good keys that lies about everything: it may lose its own session, never our memory.
TEST(Hostile, AnAuthenticatedLiar) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    auto wire = make_plain_pair(2 * kMs);
    Draw draw{seed};
    wire->run_for(100 * kMs);
    DirectionKeys keys;
    // The liar is node 0 itself: its datagrams are rewritten behind its back and tagged again with its key, which the
    // test finds as the host of that engine could: by being it.
    Wire& w = *wire;
    wire->fate = [&](Wire::Packet& p) {
      if (p.from != 0 || draw.below(3) != 0) return;
      const std::size_t at = PTL_FRAME_BYTES + draw.below(std::max<std::size_t>(p.bytes.size() - PTL_FRAME_BYTES, 1));
      if (at < p.bytes.size()) p.bytes[at] = static_cast<std::uint8_t>(draw.next());
      auto frame = get<ptl_frame>(p.bytes.data());
      if (type_of(frame) == PTL_HANDSHAKE || type_of(frame) == PTL_RESET) return;
      if (draw.below(4) == 0) frame.bytes ^= static_cast<std::uint32_t>(draw.below(64));
      if (draw.below(4) == 0) frame.ticket += static_cast<std::uint32_t>(draw.below(5)) - 2;
      if (draw.below(6) == 0) frame.flags ^= static_cast<std::uint8_t>(1u << draw.below(6));
      if (draw.below(6) == 0) frame.fragment_index = static_cast<std::uint8_t>(draw.below(70));
      if (draw.below(4) == 0 && p.bytes.size() > PTL_FRAME_BYTES + PTL_TRAILER_BYTES) {
        const std::size_t body = p.bytes.size() - PTL_FRAME_BYTES - PTL_TRAILER_BYTES;
        frame.crc = seal_payload(p.bytes.data() + PTL_FRAME_BYTES, static_cast<std::uint32_t>(body));
      } else {
        frame.crc = crc32c({p.bytes.data() + PTL_FRAME_BYTES, p.bytes.size() - PTL_FRAME_BYTES});
      }
      put(p.bytes.data(), frame);
      if (w.nodes[0]->endpoint->keys_for_test(w.nodes[0]->up, keys)) set_frame_tag(keys.tag, p.bytes.data());
    };
    for (std::uint64_t i = 0; i < 400; ++i) {
      wire->send(0, static_cast<Lane>(1 + i % 3), text_of(i, i % 8 == 0 ? 9'000 + 300 * i : i), i);
      if (wire->nodes[0]->up != kNil && i % 5 == 0) {
        const std::string body = text_of(i, i % 90);
        wire->nodes[0]->endpoint->send_control(wire->now(), wire->nodes[0]->up, 1 + static_cast<std::uint32_t>(i % 16),
                                               {reinterpret_cast<const std::uint8_t*>(body.data()), body.size()});
      }
      ASSERT_TRUE(wire->run_for(3 * kMs)) << "it spins, seed " << seed;
    }
    wire->fate = {};
    wire->run_for(1'000 * kMs);
    // Whatever happened, both still work together.
    Node& b = *wire->nodes[1];
    ASSERT_NE(wire->nodes[0]->up, kNil) << seed;
    const std::size_t before = b.got.size();
    wire->run_for(3'000 * kMs);
    ASSERT_EQ(wire->send(0, Lane::realtime, "still here", 1), SendResult::ok) << seed;
    wire->run_for(500 * kMs);
    EXPECT_GE(b.got.size(), before) << seed;
  }
}

// The frame as its sender's peer would have made it with another type and payload: sealed and tagged rightly.
void remake(Node& n, std::vector<std::uint8_t>& bytes, std::uint32_t type, const std::vector<std::uint8_t>& payload) {
  auto frame = get<ptl_frame>(bytes.data());
  frame.version_type = static_cast<std::uint8_t>(PTL_VERSION << 4 | type);
  frame.flags = 0;
  const auto length = static_cast<std::uint32_t>(payload.size());
  bytes.resize(PTL_FRAME_BYTES + length + PTL_TRAILER_BYTES);
  std::copy(payload.begin(), payload.end(), bytes.begin() + PTL_FRAME_BYTES);
  frame.crc = seal_payload(bytes.data() + PTL_FRAME_BYTES, length);
  frame.bytes = length + PTL_TRAILER_BYTES;
  put(bytes.data(), frame);
  DirectionKeys keys;
  if (n.endpoint->keys_for_test(n.up, keys)) set_frame_tag(keys.tag, bytes.data());
}

TEST(Hostile, OfAMalformedAckNothingCounts) {
  auto wire = make_plain_pair(5 * kMs);
  wire->run_for(300 * kMs);
  std::uint64_t lost = 0;
  bool remade = false;
  wire->fate = [&](Wire::Packet& p) {
    const auto frame = get<ptl_frame>(p.bytes.data());
    if (p.from == 0 && type_of(frame) == PTL_DATA && lost == 0) {
      lost = frame.packet;
      p.copies = 0;
    } else if (p.from == 1 && type_of(frame) == PTL_ACK && lost != 0 && !std::exchange(remade, true)) {
      auto body = get<AckBody>(p.bytes.data() + PTL_FRAME_BYTES);
      body.contiguous = body.mature = body.largest = lost;
      body.skip = 0;
      body.range_count = 1;
      std::vector<std::uint8_t> payload(sizeof body + sizeof(AckRange));
      put(payload.data(), body);
      put(payload.data() + sizeof body, AckRange{0, 1});
      remake(*wire->nodes[1], p.bytes, PTL_ACK, payload);
    }
  };
  ASSERT_EQ(wire->send(0, Lane::realtime, "kept", 1), SendResult::ok);
  wire->run_for(1'000 * kMs);
  ASSERT_TRUE(remade);
  const std::uint64_t refused = wire->nodes[0]->endpoint->counters().drops[static_cast<std::size_t>(Drop::bad_control)];
  EXPECT_EQ(refused, 1u);
  EXPECT_EQ(wire->nodes[1]->got.size(), 1u);
}

TEST(Hostile, AGoneThatNeverEndsIsAsLongAsTheWindow) {
  auto wire = make_pair(5 * kMs);
  wire->run_for(300 * kMs);
  Node &a = *wire->nodes[0], &b = *wire->nodes[1];
  std::uint8_t body[12];
  put(body, std::uint32_t{2});
  put(body + 4, std::uint32_t{1});
  put(body + 8, std::uint32_t{1u << 24});  // it would take a second, 2^31 minutes
  ASSERT_TRUE(a.endpoint->send_control(wire->now(), a.up, PTL_C_GONE, body));
  wire->run_for(50 * kMs);
  const std::uint64_t gone = b.endpoint->counters().gone_messages;
  EXPECT_GT(gone, 0u);
  EXPECT_LE(gone, Limits::sim_client().receive_messages);
}

TEST(Hostile, AProbeOfALaterVersionIsCountedAndIgnored) {
  auto wire = make_plain_pair(5 * kMs);
  wire->run_for(300 * kMs);
  Node& b = *wire->nodes[1];
  bool remade = false;
  wire->fate = [&](Wire::Packet& p) {
    if (p.from != 0 || std::exchange(remade, true)) return;
    std::vector<std::uint8_t> payload(sizeof(ProbeBody));
    put(payload.data(), ProbeBody{4, sizeof(ProbeBody) + PTL_TRAILER_BYTES, 77});
    remake(*wire->nodes[0], p.bytes, PTL_PROBE, payload);
  };
  wire->run_for(150 * kMs);
  ASSERT_TRUE(remade);
  const std::uint64_t unknown = b.endpoint->counters().drops[static_cast<std::size_t>(Drop::unknown)];
  EXPECT_EQ(unknown, 1u);
  EXPECT_EQ(b.events.size(), 1u);
}

}  // namespace
}  // namespace portolan::broker::session
