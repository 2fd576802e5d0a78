// The handshake under loss, duplication, restarts, strangers and attempts from both sides; RESET, CLOSE and PROBE.
#include <gtest/gtest.h>

#include "broker/session/test_wire.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

std::uint64_t drops(const Node& n, Drop drop) {
  return n.endpoint->counters().drops[static_cast<std::size_t>(drop)];
}

TEST(Handshake, SettlesUnderEveryLossPattern) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    auto wire = make_pair(10 * kMs);
    Draw draw{seed};
    const std::uint64_t until = wire->now_ns + 3'000 * kMs;
    wire->fate = [&](Wire::Packet& p) {
      if (wire->now_ns >= until) return;
      if (draw.below(100) < 40) p.copies = 0;
      if (draw.below(100) < 20) p.copies = 2;
      p.delay_ns += draw.below(40 * kMs);
    };
    wire->run(until + 3'000 * kMs);
    ASSERT_NE(wire->nodes[0]->up, kNil) << seed;
    ASSERT_NE(wire->nodes[1]->up, kNil) << seed;
    EXPECT_EQ(wire->nodes[0]->events.back().uid, wire->nodes[1]->events.back().uid) << seed;
    ASSERT_EQ(wire->send(0, Lane::realtime, "x", 1), SendResult::ok);
    ASSERT_EQ(wire->send(1, Lane::realtime, "y", 1), SendResult::ok);
    wire->run_for(200 * kMs);
    EXPECT_EQ(wire->nodes[0]->got.size(), 1u) << seed;
    EXPECT_EQ(wire->nodes[1]->got.size(), 1u) << seed;
  }
}

TEST(Handshake, AttemptsFromBothSidesSettleOnOne) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Wire wire;
    Draw draw{seed};
    Node& a = wire.add(1, Limits::sim_client());
    Node& b = wire.add(2, Limits::sim_client());
    SessionOptions options;
    options.initiate = true;
    a.endpoint->configure_peer(b.as_peer(), options);
    b.endpoint->configure_peer(a.as_peer(), options);
    wire.fate = [&](Wire::Packet& p) {
      p.delay_ns = draw.below(60 * kMs);
      if (wire.now_ns < 1'000 * kMs && draw.below(100) < 20) p.copies = 0;
    };
    wire.run_for(5'000 * kMs);
    ASSERT_NE(a.up, kNil) << seed;
    ASSERT_NE(b.up, kNil) << seed;
    EXPECT_EQ(a.events.back().uid, b.events.back().uid) << seed;
    const std::size_t events = a.events.size();
    wire.run_for(3'000 * kMs);
    EXPECT_EQ(a.events.size(), events) << "it flaps, seed " << seed;
  }
}

// However long the way was gone: silence between brokers is noticed after 3 idle intervals, and so is its end.
TEST(Handshake, BrokersAreBackThreeIdleIntervalsAfterTheirWay) {
  for (std::uint64_t gone_ms = 300; gone_ms < 4'000; gone_ms += 190) {
    Wire wire;
    Node& a = wire.add(1, Limits::sim_client());
    Node& b = wire.add(2, Limits::sim_client());
    SessionOptions options;
    options.initiate = true;
    a.endpoint->configure_peer(b.as_peer(), options);
    b.endpoint->configure_peer(a.as_peer(), SessionOptions{});
    wire.fate = [&](Wire::Packet& p) {
      p.delay_ns = 10 * kMs;
      if (wire.now_ns < gone_ms * kMs) p.copies = 0;
    };
    wire.run_for(gone_ms * kMs);
    EXPECT_EQ(a.up, kNil) << gone_ms;
    wire.run_for((3 * 100 + 4 * 10 + 1) * kMs);
    EXPECT_NE(a.up, kNil) << gone_ms;
  }
}

TEST(Handshake, ARestartReplacesTheOldSessionAndAnOlderIncarnationIsRefused) {
  auto wire = make_pair(5 * kMs);
  wire->run_for(100 * kMs);
  Node& b = *wire->nodes[1];
  const auto restart = [&](std::uint32_t incarnation) {
    auto fresh = std::make_unique<Node>(1, Limits::sim_client(), incarnation);
    SessionOptions options;
    options.modes = kPairModes;
    options.initiate = true;
    fresh->endpoint->configure_peer(b.as_peer(), options);
    wire->nodes[0] = std::move(fresh);
  };
  restart(3);
  wire->run_for(100 * kMs);
  ASSERT_EQ(b.events.size(), 3u);
  EXPECT_EQ(b.events[1].kind, SessionEvent::Kind::down);
  EXPECT_EQ(b.events[1].uid, b.events[0].uid);
  EXPECT_EQ(b.events[2].kind, SessionEvent::Kind::up);
  EXPECT_EQ(b.events[2].peer_incarnation, 3u);
  restart(2);
  wire->run_for(2'000 * kMs);
  EXPECT_EQ(wire->nodes[0]->events.size(), 0u);
  EXPECT_NE(b.events.back().peer_incarnation, 2u);
  EXPECT_GT(drops(b, Drop::old), 0u);
}

// The responder loses its memory: the first frame of the initiator is answered by RESET, and one round trip later the
// old session is over.
TEST(Handshake, ResetEndsAnOldSessionInOneRoundTrip) {
  auto wire = make_pair(20 * kMs);
  wire->run_for(500 * kMs);
  Node& a = *wire->nodes[0];
  auto fresh = std::make_unique<Node>(2, Limits::sim_client(), 2);
  SessionOptions options;
  options.modes = kPairModes;
  fresh->endpoint->configure_peer(a.as_peer(), options);
  wire->nodes[1] = std::move(fresh);
  const std::uint64_t start = wire->now_ns;
  ASSERT_EQ(wire->send(0, Lane::realtime, text_of(1, 200), 1), SendResult::ok);
  wire->run_for(1'000 * kMs, [&] { return a.events.size() == 2; });
  EXPECT_EQ(a.events.at(1).reason, DownReason::reset);
  EXPECT_LE(wire->now_ns - start, 42 * kMs);
  wire->run_for(500 * kMs);
  EXPECT_NE(a.up, kNil);
}

// A stranger asks beforehand for the token of an index that a session will have, and shows it from the broker's side.
TEST(Handshake, ATokenAskedForFromAnotherPathEndsNoSession) {
  for (const bool stranger : {true, false}) {
    auto wire = make_pair(5 * kMs);
    std::uint32_t index = 0;
    std::vector<std::uint8_t> reset;
    wire->fate = [&](Wire::Packet& p) {
      const auto frame = get<ptl_frame>(p.bytes.data());
      if (p.from == 0 && type_of(frame) == PTL_HEARTBEAT) index = frame.session;
    };
    wire->run_for(300 * kMs);
    ASSERT_NE(index, 0u);
    Node& a = *wire->nodes[0];
    Node other(2, Limits::sim_client(), 2);  // the same key, another life: it does not know the index
    ptl_frame frame{};
    frame.version_type = PTL_VERSION << 4 | PTL_DATA;
    frame.session = index;
    frame.packet = 1;
    frame.bytes = 200;
    std::vector<std::uint8_t> ask(PTL_FRAME_BYTES + 200);
    put(ask.data(), frame);
    const PathId path = stranger ? PathId{{77, 1, 0}} : a.address;
    const DatagramView view{ask.data(), static_cast<std::uint32_t>(ask.size()), 0};
    Verdict verdict;
    other.endpoint->receive(wire->now(), path, {&view, 1}, {&verdict, 1});
    Transmit out;
    ASSERT_TRUE(other.endpoint->poll_transmit(wire->now(), out));
    reset.assign(out.parts[0].begin(), out.parts[0].end());
    other.endpoint->release_transmit(out.handle);
    ASSERT_EQ(type_of(get<ptl_frame>(reset.data())), PTL_RESET);
    wire->inject(0, wire->nodes[1]->address, reset);
    EXPECT_EQ(a.events.size(), stranger ? 1u : 2u);
    EXPECT_EQ(drops(a, Drop::reset_invalid), stranger ? 1u : 0u);
  }
}

TEST(Handshake, AForgedResetOrCloseEndsNothing) {
  auto wire = make_pair(5 * kMs);
  std::vector<std::uint8_t> captured;
  wire->fate = [&](Wire::Packet& p) {
    if (p.from == 0) captured = p.bytes;
  };
  wire->run_for(300 * kMs);
  ASSERT_FALSE(captured.empty());
  Node& b = *wire->nodes[1];
  const auto victim = get<ptl_frame>(captured.data());
  Draw draw{7};
  for (int i = 0; i < 2'000; ++i) {
    std::vector<std::uint8_t> datagram(PTL_FRAME_BYTES + sizeof(ResetBody) + PTL_TRAILER_BYTES);
    ResetBody body;
    body.session = static_cast<std::uint32_t>(draw.next());
    for (auto& t : body.token) t = static_cast<std::uint8_t>(draw.next());
    ptl_frame frame{};
    frame.version_type = PTL_VERSION << 4 | PTL_RESET;
    frame.session = victim.session;
    frame.bytes = sizeof body + PTL_TRAILER_BYTES;
    put(datagram.data() + PTL_FRAME_BYTES, body);
    frame.crc = seal_payload(datagram.data() + PTL_FRAME_BYTES, sizeof body);
    put(datagram.data(), frame);
    wire->inject(1, wire->nodes[0]->address, datagram);
    datagram[0] = PTL_VERSION << 4 | PTL_CLOSE;
    wire->inject(1, wire->nodes[0]->address, datagram);
  }
  EXPECT_EQ(b.events.size(), 1u);
  EXPECT_EQ(drops(b, Drop::reset_invalid), 2'000u);
  EXPECT_EQ(drops(b, Drop::bad_tag), 2'000u);
}

TEST(Handshake, CloseTellsThePeerAtOnce) {
  auto wire = make_pair(5 * kMs);
  wire->run_for(100 * kMs);
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  b.endpoint->drain(wire->now());
  wire->run_for(8 * kMs);
  ASSERT_EQ(a.events.size(), 2u);
  EXPECT_EQ(a.events[1].reason, DownReason::closed);
  wire->run_for(2'000 * kMs);
  EXPECT_EQ(a.events.size(), 2u);  // who drains takes no new sessions
}

TEST(Handshake, StrangersNeedACookieAndPermission) {
  Wire wire;
  Node& hub = wire.add(100, Limits::sim());
  Node& friendly = wire.add(1, Limits::sim_client());
  Node& stranger = wire.add(2, Limits::sim_client());
  SessionOptions options;
  const Key32 keys[] = {friendly.identity.static_public};
  hub.endpoint->accept_clients(options, keys);
  options.initiate = true;
  friendly.endpoint->configure_peer(hub.as_peer(), options);
  stranger.endpoint->configure_peer(hub.as_peer(), options);
  wire.run_for(3'000 * kMs);
  EXPECT_EQ(hub.events.size(), 1u);
  EXPECT_EQ(hub.events[0].peer, 1u);
  EXPECT_FALSE(hub.events[0].configured);
  EXPECT_GT(drops(hub, Drop::not_allowed), 0u);
}

TEST(Handshake, NothingIsAmplifiedAndAReplayedInitMakesNoSecondSession) {
  Wire wire;
  wire.delay_ns = 5 * kMs;
  Node& hub = wire.add(100, Limits::sim());
  Node& client = wire.add(1, Limits::sim_client());
  SessionOptions options;
  hub.endpoint->accept_clients(options, {});
  options.initiate = true;
  client.endpoint->configure_peer(hub.as_peer(), options);
  std::vector<std::vector<std::uint8_t>> first;
  wire.fate = [&](Wire::Packet& p) {
    if (p.from == 1 && type_of(get<ptl_frame>(p.bytes.data())) == PTL_HANDSHAKE) first.push_back(p.bytes);
  };
  wire.run_for(200 * kMs);
  ASSERT_EQ(first.size(), 2u);  // HELLO, INIT
  const std::uint64_t uid = hub.events[0].uid;
  wire.fate = [](Wire::Packet& p) {
    if (p.to == 1) p.copies = 0;
  };
  PathId elsewhere;
  elsewhere.words = {77, 77, 77};
  for (int round = 0; round < 50; ++round) {
    for (const auto& bytes : first) {
      wire.inject(0, client.address, bytes);  // replayed by somebody who forges the client's address
      wire.inject(0, elsewhere, bytes);       // and from his own
    }
  }
  // Whatever is answered is no longer than what asked.
  const std::uint64_t in = hub.endpoint->counters().bytes_in;
  wire.settle();
  EXPECT_LE(hub.endpoint->counters().bytes_out, in);
  EXPECT_EQ(hub.events.size(), 1u);
  EXPECT_GT(drops(hub, Drop::cookie_invalid), 0u);
  EXPECT_GT(drops(hub, Drop::replay), 0u);
  wire.fate = {};
  wire.run_for(300 * kMs);
  EXPECT_EQ(hub.events.size(), 1u);
  EXPECT_EQ(hub.events.back().uid, uid);
}

TEST(Handshake, StrangersComeAndGoForEverWithoutFillingTheTableOfIdentities) {
  Limits limits = Limits::sim_client();
  limits.sessions = 4;
  limits.downstreams = 8;
  Wire wire;
  wire.delay_ns = kMs;
  Node& hub = wire.add(100'000, limits);
  SessionOptions options;
  hub.endpoint->accept_clients(options, {});
  options.initiate = true;
  Limits small = Limits::thousand();
  std::size_t came = 0;
  for (std::uint64_t id = 1; id <= 200; ++id) {
    Node& n = wire.add(id, small);
    n.endpoint->configure_peer(hub.as_peer(), options);
    wire.run_for(20 * kMs);
    if (n.up != kNil) ++came;
    n.endpoint->drain(wire.now());
    wire.run_for(20 * kMs);
    wire.nodes.back().reset();
  }
  EXPECT_GE(came, 190u);  // a place may by chance have no idle one on its way
}

// After 20 s the cookie in a captured INIT is worthless even at its own path; before, it is one unconfirmed session at
// most, which yields.
TEST(Handshake, ATableFullOfUnconfirmedSessionsStillTakesAGoodOne) {
  Limits limits = Limits::sim_client();  // two sessions
  Wire wire;
  wire.delay_ns = 5 * kMs;
  Node& hub = wire.add(100, limits);
  SessionOptions options;
  hub.endpoint->accept_clients(options, {});
  options.initiate = true;
  for (std::uint64_t i = 1; i <= 3; ++i) {
    Node& n = wire.add(i, Limits::sim_client());
    n.endpoint->configure_peer(hub.as_peer(), options);
  }
  wire.fate = [](Wire::Packet& p) {  // two clients never hear the answer to their INIT
    const auto frame = get<ptl_frame>(p.bytes.data());
    if (p.from == 0 && p.to != 3 && type_of(frame) == PTL_HANDSHAKE && p.bytes.size() > 150) p.copies = 0;
  };
  wire.run_for(1'500 * kMs);
  EXPECT_NE(wire.nodes[3]->up, kNil);
  EXPECT_EQ(hub.events.size(), 1u);
}

TEST(Handshake, AnAddressChangeCountsOnlyOnceTheProbeIsAnswered) {
  auto wire = make_pair(5 * kMs);
  std::vector<std::uint8_t> newest;
  bool steal = false;
  wire->fate = [&](Wire::Packet& p) {
    if (p.from == 0 && steal) {
      newest = p.bytes;
      p.copies = 0;
    }
  };
  wire->run_for(300 * kMs);
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  // A thief sends a captured frame from his own address: he is challenged, and gets nothing else.
  steal = true;
  ASSERT_EQ(wire->send(0, Lane::realtime, "stolen", 1), SendResult::ok);
  wire->settle();
  steal = false;
  PathId thief;
  thief.words = {66, 6, 6};
  wire->inject(1, thief, newest);
  EXPECT_EQ(b.got.size(), 1u);
  Transmit out;
  int to_thief = 0;
  while (b.endpoint->poll_transmit(wire->now(), out)) {
    if (out.path == thief) {
      EXPECT_EQ(type_of(get<ptl_frame>(out.parts[0].data())), static_cast<std::uint32_t>(PTL_PROBE));
      ++to_thief;
    }
    b.endpoint->release_transmit(out.handle);
  }
  EXPECT_EQ(to_thief, 1);
  wire->run_for(300 * kMs);
  ASSERT_EQ(wire->send(1, Lane::realtime, "home", 1), SendResult::ok);
  wire->run_for(100 * kMs);
  EXPECT_EQ(a.got.size(), 1u);  // still sent to the old address

  // The real peer moves: its frames come from the new address, the probe is answered, and the session follows.
  a.address.words = {1, 2, 3};
  wire->run_for(500 * kMs);
  EXPECT_EQ(b.events.size(), 1u);
  ASSERT_EQ(wire->send(1, Lane::realtime, "moved", 2), SendResult::ok);
  wire->run_for(100 * kMs);
  ASSERT_EQ(a.got.size(), 2u);
  EXPECT_EQ(a.got[1].bytes, "moved");
}

// Whoever captures packets and sends them from a victim's address: the challenges that follow are, at any moment, no
// more bytes than came from there, and nothing else goes there.
TEST(Handshake, AnUnprovenAddressIsSentNoMoreThanCameFromIt) {
  for (const std::uint32_t stolen_most : {1u, 2u, 7u, 1'000u}) {
    auto wire = make_pair(5 * kMs);
    wire->run_for(300 * kMs);
    Node& b = *wire->nodes[1];
    const PathId victim{{77, 1, 0}};
    std::vector<std::vector<std::uint8_t>> captured;
    std::uint64_t in = 0, out = 0, challenges = 0, stolen = 0;
    bool only_probes = true;
    wire->fate = [&](Wire::Packet& p) {
      if (p.from != 0 || stolen + captured.size() >= stolen_most) return;
      captured.push_back(p.bytes);
      p.copies = 0;
    };
    wire->stray = [&](std::size_t from, const Transmit& t) {
      only_probes = only_probes && from == 1 && type_of(get<ptl_frame>(t.parts[0].data())) == PTL_PROBE;
      out += t.bytes;
      ++challenges;
      EXPECT_LE(out, in);
    };
    for (std::uint64_t i = 0; i < 300; ++i) {
      wire->send(0, Lane::realtime, "x", i);
      wire->send(1, Lane::realtime, "y", i);
      for (int ms = 0; ms < 7; ++ms) {  // before anything newer arrives
        wire->run_for(kMs);
        for (const auto& bytes : captured) {
          in += bytes.size();
          ++stolen;
          wire->inject(1, victim, bytes);
        }
        captured.clear();
      }
    }
    wire->run_for(2'000 * kMs);
    EXPECT_TRUE(only_probes);
    EXPECT_GE(challenges, 1u) << stolen_most;
    EXPECT_EQ(b.events.size(), 1u);
    if (stolen_most < 10) {
      EXPECT_EQ(b.got.size(), 300u);
    }
    EXPECT_EQ(wire->nodes[0]->got.size(), 300u);  // what b sends goes where it always went
  }
}

TEST(Handshake, AnUnknownVersionIsAnsweredWithinLimits) {
  auto wire = make_pair();
  wire->run_for(200 * kMs);
  Node& b = *wire->nodes[1];
  const std::uint64_t before = b.endpoint->counters().handshakes_out;
  for (int i = 0; i < 1'000; ++i) {
    std::vector<std::uint8_t> datagram(200, 0);
    datagram[0] = 9 << 4 | PTL_DATA;
    wire->inject(1, wire->nodes[0]->address, datagram);
    datagram.resize(60);  // shorter than the answer: none
    wire->inject(1, wire->nodes[0]->address, datagram);
    wire->transmit(1);
  }
  EXPECT_EQ(drops(b, Drop::bad_version), 2'000u);
  const std::uint64_t answers = b.endpoint->counters().handshakes_out - before;
  EXPECT_GE(answers, 1u);
  EXPECT_LE(answers, 64u);
}

}  // namespace
}  // namespace portolan::broker::session
