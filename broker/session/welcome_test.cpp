// What both ends tell each other in the handshake is kept to: sizes, capabilities, refusals; and ECN marks on their
// way.
#include <gtest/gtest.h>

#include "broker/session/session_state.hpp"
#include "broker/session/test_wire.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

std::uint64_t drops(const Node& n, Drop drop) {
  return n.endpoint->counters().drops[static_cast<std::size_t>(drop)];
}

TEST(Welcome, APeerWithSmallBuffersGetsSmallFragments) {
  for (const std::size_t small : {0u, 1u}) {
    Limits limits[2] = {Limits::sim_client(), Limits::sim_client()};
    limits[small].datagram_bytes = PTL_FRAME_BYTES + PTL_FRAGMENT_FLOOR + 60;  // no whole unit more
    Wire wire;
    Node& a = wire.add(1, limits[0]);
    Node& b = wire.add(2, limits[1]);
    SessionOptions options;
    options.first_bps = 1'000'000'000;
    b.endpoint->configure_peer(a.as_peer(), options);
    options.initiate = true;
    a.endpoint->configure_peer(b.as_peer(), options);
    std::size_t largest = 0;
    wire.fate = [&](Wire::Packet& p) { largest = std::max(largest, p.bytes.size()); };
    wire.run_for(200 * kMs);
    for (std::size_t side : {0u, 1u}) {
      ASSERT_EQ(wire.send(side, Lane::realtime, text_of(1, 50'000), 1), SendResult::ok);
      ASSERT_EQ(wire.send(side, Lane::realtime, text_of(2, 1'030), 2), SendResult::ok);
      ASSERT_EQ(wire.send(side, Lane::realtime, text_of(3, 1'100), 3), SendResult::ok);  // short for 1280 only
    }
    wire.run_for(1'000 * kMs);
    EXPECT_EQ(a.got.size(), 3u) << small;
    EXPECT_EQ(b.got.size(), 3u) << small;
    EXPECT_EQ(largest, PTL_FRAME_BYTES + PTL_FRAGMENT_FLOOR) << small;
    PeerLimits seen;
    ASSERT_TRUE((small == 0 ? b : a).endpoint->peer_limits((small == 0 ? b : a).up, seen));
    EXPECT_EQ(seen.fragment_max, PTL_FRAGMENT_FLOOR);
    EXPECT_EQ(seen.topics_max, limits[small].topics);
    EXPECT_EQ(seen.streams_max, limits[small].streams);
    EXPECT_EQ(seen.capabilities, kCapabilitySealed);
  }
}

// A library of another make: its INIT and what comes back. `alter` changes what it says of itself.
struct Stranger {
  std::uint32_t offer = kCapabilitySealed;
  std::function<void(Welcome&)> alter;
  Welcome answer;
  bool answered = false;

  Drop knock(Wire& wire, Node& server, std::uint64_t id) {
    const Identity identity = identity_for(id);
    const PathId path{{id, 1, 0}};
    const std::uint64_t nonce = id * 77;
    Drop drop = Drop::none;
    wire.seen = [&](std::size_t, const DatagramView&, const Verdict& v) { drop = v.drop; };
    const auto say = [&](std::vector<std::uint8_t> body) {
      ptl_frame frame{};
      frame.version_type = PTL_VERSION << 4 | PTL_HANDSHAKE;
      frame.bytes = static_cast<std::uint32_t>(body.size()) + PTL_TRAILER_BYTES;
      std::vector<std::uint8_t> datagram(PTL_FRAME_BYTES + frame.bytes);
      std::copy(body.begin(), body.end(), datagram.begin() + PTL_FRAME_BYTES);
      frame.crc = seal_payload(datagram.data() + PTL_FRAME_BYTES, static_cast<std::uint32_t>(body.size()));
      put(datagram.data(), frame);
      wire.inject(0, path, datagram);
      Transmit out;
      std::vector<std::uint8_t> reply;
      if (server.endpoint->poll_transmit(wire.now(), out)) {
        reply.assign(out.parts[0].begin() + PTL_FRAME_BYTES, out.parts[0].end());
        server.endpoint->release_transmit(out.handle);
      }
      return reply;
    };
    std::vector<std::uint8_t> hello(128);
    put(hello.data(), std::uint32_t{1});
    put(hello.data() + 8, nonce);
    const auto cookie = say(hello);
    if (cookie.size() < 32) return drop;
    Prologue prologue;
    prologue.capabilities = offer;
    Welcome mine;
    mine.id = id;
    mine.incarnation = 1;
    mine.session_index = 5;
    mine.receive_messages = 1'024;
    mine.message_bytes_max = 1u << 20;
    mine.grants_per_class = 8;
    mine.capabilities = offer;
    mine.credit_bytes = 1u << 20;
    mine.idle_interval_ns = 100 * kMs;
    mine.fragment_max = 1'280;
    mine.topics_max = mine.streams_max = 64;
    if (alter) alter(mine);
    std::vector<std::uint8_t> init(16 + 16 + sizeof(Prologue) + kNoiseOverhead1 + sizeof(Welcome));
    put(init.data(), std::uint32_t{3});
    put(init.data() + 8, nonce);
    std::copy_n(cookie.begin() + 16, 16, init.begin() + 16);
    put(init.data() + 32, prologue);
    NoiseIk noise;
    Key32 ephemeral{};
    ephemeral[0] = static_cast<std::uint8_t>(id);
    noise.start_initiator(identity, server.identity.static_public, prologue.bytes(), ephemeral);
    const std::size_t fixed = 32 + sizeof(Prologue);
    std::uint8_t said[sizeof mine];
    put(said, mine);
    EXPECT_NE(noise.write(said, {init.data() + fixed, init.size() - fixed}), 0u);
    const auto response = say(init);
    if (response.size() < 16 + PTL_TRAILER_BYTES) return drop;
    std::uint8_t heard[sizeof answer];
    std::size_t bytes = 0;
    answered = noise.read({response.data() + 16, response.size() - 16 - PTL_TRAILER_BYTES}, heard, bytes) &&
               bytes == sizeof answer;
    if (answered) answer = get<Welcome>(heard);
    return drop;
  }
};

TEST(Welcome, TheCapabilitiesThatAreSpokenAreChosenFromTheOffer) {
  Wire wire;
  Node& server = wire.add(100, Limits::sim_client());
  server.endpoint->accept_clients({}, {});
  Stranger modern;
  modern.offer = kCapabilityPlain | kCapabilitySealed | kCapabilityFec | 1u << 30;
  EXPECT_EQ(modern.knock(wire, server, 7), Drop::none);
  ASSERT_TRUE(modern.answered);
  EXPECT_EQ(modern.answer.capabilities, kCapabilitySealed);
  EXPECT_EQ(modern.answer.fragment_max, 1'280u);
  EXPECT_EQ(modern.answer.topics_max, Limits::sim_client().topics);
  Stranger two_faced;  // the sealed offer is another than the one in clear
  two_faced.alter = [](Welcome& w) { w.capabilities |= kCapabilityPlain; };
  EXPECT_EQ(two_faced.knock(wire, server, 8), Drop::handshake_invalid);
  EXPECT_FALSE(two_faced.answered);
}

TEST(Welcome, LimitsThatNoSessionCanBeRunWithAreRefused) {
  using Alter = std::function<void(Welcome&)>;
  const Alter bad[] = {[](Welcome& w) { w.fragment_max = PTL_FRAGMENT_FLOOR - PTL_FRAGMENT_UNIT; },
                       [](Welcome& w) { w.fragment_max = 0; },
                       [](Welcome& w) { w.receive_messages = 0; },
                       [](Welcome& w) { w.message_bytes_max = 0; },
                       [](Welcome& w) { w.topics_max = 0; },
                       [](Welcome& w) { w.streams_max = 0; },
                       [](Welcome& w) { w.id = 0; }};
  std::uint64_t id = 20;
  for (const Alter& alter : bad) {
    Wire wire;
    Node& server = wire.add(100, Limits::sim_client());
    server.endpoint->accept_clients({}, {});
    Stranger stranger;
    stranger.alter = alter;
    EXPECT_EQ(stranger.knock(wire, server, ++id), Drop::handshake_invalid) << id;
    EXPECT_FALSE(stranger.answered) << id;
    EXPECT_EQ(drops(server, Drop::handshake_invalid), 1u) << id;
  }
  // Larger than anybody's buffer is no lie: fragments stay what the sender can hold.
  Wire wire;
  Node& server = wire.add(100, Limits::sim_client());
  server.endpoint->accept_clients({}, {});
  Stranger wide;
  wide.alter = [](Welcome& w) { w.fragment_max = ~0u; };
  EXPECT_EQ(wide.knock(wire, server, 60), Drop::none);
  EXPECT_TRUE(wide.answered);
}

// What queues mark on the way comes back in ACKs, as the sender's input; nothing is counted that was not marked.
TEST(Welcome, MarksOfCongestedQueuesComeBackInAcks) {
  auto wire = make_pair(5 * kMs);
  std::uint32_t marked = 0;
  bool capable = true;
  wire->fate = [&](Wire::Packet& p) {
    const std::uint32_t type = type_of(get<ptl_frame>(p.bytes.data()));
    capable = capable && (type == PTL_HANDSHAKE) == (p.transmit.ecn == kEcnNone);
    if (p.from == 0 && type == PTL_DATA && p.index % 3 == 0) {
      p.ecn = kEcnMarked;
      ++marked;
    }
  };
  wire->run_for(100 * kMs);
  for (std::uint64_t i = 0; i < 40; ++i) {
    ASSERT_EQ(wire->send(0, Lane::realtime, text_of(i, 300), i), SendResult::ok);
    wire->run_for(3 * kMs);
  }
  wire->run_for(100 * kMs);
  EXPECT_TRUE(capable);
  ASSERT_GT(marked, 5u);
  SessionStats a, b;
  ASSERT_TRUE(wire->nodes[0]->endpoint->stats(wire->nodes[0]->up, a));
  ASSERT_TRUE(wire->nodes[1]->endpoint->stats(wire->nodes[1]->up, b));
  EXPECT_EQ(a.peer_ce_marks, marked);
  EXPECT_EQ(b.peer_ce_marks, 0u);
  EXPECT_GT(a.peer_bytes, 40u * 300);
}

}  // namespace
}  // namespace portolan::broker::session
