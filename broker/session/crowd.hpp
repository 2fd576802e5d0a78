// For tests of shared slots: a crowd of clients, each with an endpoint of its own, that all start one long message to
// one hub at once. One delay for all ways, steps of that delay, so ten thousand endpoints cost what they do and no
// more. All clients' messages are one message of one store: only the hub's memory is under test.
#pragma once

#include <gtest/gtest.h>

#include "broker/session/test_wire.hpp"

namespace portolan::broker::session {

struct Crowd {
  static constexpr std::uint64_t kStepNs = 1'000'000;
  struct Flight {
    std::uint32_t to = 0;
    PathId from;
    std::vector<std::uint8_t> bytes;
  };
  struct Client {
    std::vector<std::uint8_t> memory;
    std::unique_ptr<Arena> arena;
    std::unique_ptr<Endpoint> endpoint;
    PathId address;
    SessionId session = kNil;
    std::uint32_t sent = 0, came = 0;  // messages
    bool waits = false;                // for its first segment to leave
    std::uint64_t grants_before = 0;   // given by the hub when it began to want
  };

  explicit Crowd(std::uint32_t count, std::uint32_t slots, std::uint32_t bytes) : text(text_of(5, bytes)) {
    hub_limits = Limits::thousand();
    hub_limits.sessions = count + 8;
    hub_limits.downstreams = count + 8;
    hub_limits.large_slots = hub_limits.small_slots = slots;
    hub_limits.small_blocks = 4'096;
    hub_limits.messages = 4'096;
    hub_limits.receive_messages = 64;
    hub_limits.window_messages = 64;
    hub_limits.control_queue = 64;
    hub_limits.message_bytes_max = 1u << 20;
    hub_limits.transmits = 64;
    limits = Limits::thousand();
    limits.sessions = 1;
    limits.peers = limits.downstreams = 1;
    limits.window_messages = limits.receive_messages = limits.messages = 64;
    limits.control_queue = 32;
    limits.transmits = 2;
    Limits store_limits = limits;
    store_limits.large_slots = store_limits.small_slots = 4;
    store_limits.small_blocks = 1'024;
    store_memory.resize(4u << 20);
    store_arena = std::make_unique<Arena>(store_memory.data(), store_memory.size());
    store = std::make_unique<Store>(store_limits, *store_arena);
    message = store->create();
    EXPECT_TRUE(store->append_copy(message, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}));
    store->at(message).key = 1;

    hub = std::make_unique<Node>(1'000'000, hub_limits);
    SessionOptions options;
    options.idle_interval_ns = 10'000'000'000;
    hub->endpoint->accept_clients(options, {});
    options.initiate = true;
    for (std::uint32_t i = 0; i < count; ++i) {
      auto c = std::make_unique<Client>();
      const Identity identity = identity_for(i + 1);
      Entropy entropy;
      entropy.seed[0] = static_cast<std::uint8_t>(i);
      Arena dry(nullptr, 0);
      { Endpoint sizing(limits, identity, entropy, dry, *store); }
      client_bytes = dry.used();
      c->memory.resize(dry.used() + 64);
      c->arena = std::make_unique<Arena>(c->memory.data(), c->memory.size());
      c->endpoint = std::make_unique<Endpoint>(limits, identity, entropy, *c->arena, *store);
      c->address.words = {i + 1, 1, 0};
      c->endpoint->configure_peer(hub->as_peer(), options);
      clients.push_back(std::move(c));
    }
  }

  // The hub's memory for one session more, pools that grow with sessions included.
  std::size_t session_bytes() const {
    const auto needs = [&](std::uint32_t sessions) {
      Limits l = hub_limits;
      l.sessions = sessions;
      l.downstreams = sessions;
      Arena dry(nullptr, 0);
      Store dry_store(l, dry);
      const std::size_t store_bytes = dry.used();
      Endpoint sizing(l, hub->identity, {}, dry, dry_store);
      return dry.used() - store_bytes;
    };
    return (needs(4'096) - needs(2'048)) / 2'048;
  }

  Now now() const { return {now_ns, static_cast<std::int64_t>(now_ns)}; }

  void take(Transmit& out, std::vector<Flight>& to, std::uint32_t target, const PathId& from) {
    to.push_back({target, from, {out.parts[0].begin(), out.parts[0].end()}});
  }
  void client_turn(std::uint32_t i) {
    Client& c = *clients[i];
    if (c.endpoint->next_deadline() > now_ns) return;
    c.endpoint->tick(now());
    SessionEvent event;
    while (c.endpoint->poll_session_event(event)) {
      c.session = event.kind == SessionEvent::Kind::up ? event.session : kNil;
      ++(event.kind == SessionEvent::Kind::up ? ups : downs);
    }
    Incoming in;
    while (c.endpoint->poll_message(in)) {
    }
    if (start && c.sent < rounds && c.sent == c.came && c.session != kNil) {
      Outgoing out;
      out.message = message;
      out.topic = out.publisher = 1;
      out.sequence = i;
      std::uint32_t number = 0;
      c.grants_before = hub->endpoint->counters().grants_given[PTL_LARGE];
      c.waits = c.endpoint->send(now(), c.session, Lane::realtime, out, number) == SendResult::ok;
      c.sent += c.waits;
    }
    Transmit out;
    while (c.endpoint->poll_transmit(now(), out)) {
      const auto frame = get<ptl_frame>(out.parts[0].data());
      if (c.waits && type_of(frame) == PTL_DATA && (frame.flags & PTL_F_CLASS_LARGE) != 0) {
        c.waits = false;
        const std::uint64_t waited = hub->endpoint->counters().grants_given[PTL_LARGE] - c.grants_before;
        worst_wait = std::max(worst_wait, waited);
      }
      take(out, next, kNil, c.address);
      c.endpoint->release_transmit(out.handle);
    }
  }
  void hub_turn() {
    hub->endpoint->tick(now());
    SessionEvent event;
    for (bool more = true; more;) {
      more = false;
      while (hub->endpoint->poll_session_event(event)) more = true;
      Incoming in;
      while (hub->endpoint->poll_message(in)) {
        more = true;
        if (in.lane == Lane::control) continue;
        std::string bytes;
        hub->store->for_each_piece(in.message,
                                   [&](std::span<const std::uint8_t> b) { bytes.append(b.begin(), b.end()); });
        hub->store->release(in.message);
        Client& c = *clients.at(in.sequence);
        ++c.came;
        wrong += bytes != text || c.came > c.sent;
        ++came;
      }
    }
    Transmit out;
    while (hub->endpoint->poll_transmit(now(), out)) {
      take(out, next, static_cast<std::uint32_t>(out.path.words[0]) - 1, {});
      hub->endpoint->release_transmit(out.handle);
    }
    slots_most = std::max({slots_most, hub->store->usage().large_slots, hub->store->usage().small_slots});
  }
  void step() {
    now_ns += kStepNs;
    std::vector<Flight> due;
    due.swap(next);
    for (Flight& f : due) {
      if (f.to == kNil) {
        const DatagramView view{f.bytes.data(), static_cast<std::uint32_t>(f.bytes.size()), 0};
        Verdict verdict;
        hub->endpoint->receive(now(), f.from, {&view, 1}, {&verdict, 1});
        if (hub_polls_each) hub_turn();
      } else if (!silent || !silent(f.to)) {
        const DatagramView view{f.bytes.data(), static_cast<std::uint32_t>(f.bytes.size()), 0};
        Verdict verdict;
        clients[f.to]->endpoint->receive(now(), hub->address, {&view, 1}, {&verdict, 1});
      }
    }
    for (std::uint32_t i = 0; i < clients.size(); ++i) {
      if (!silent || !silent(i)) client_turn(i);
    }
    hub_turn();
  }
  bool run(std::uint64_t ns, const std::function<bool()>& done) {
    for (const std::uint64_t until = now_ns + ns; now_ns < until; step()) {
      if (done()) return true;
    }
    return done();
  }

  std::string text;
  Limits hub_limits, limits;
  std::vector<std::uint8_t> store_memory;
  std::unique_ptr<Arena> store_arena;
  std::unique_ptr<Store> store;
  MessageId message = kNil;
  std::unique_ptr<Node> hub;
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<Flight> next;
  std::function<bool(std::uint32_t)> silent;  // clients that hear and say nothing
  std::size_t client_bytes = 0;
  std::uint64_t now_ns = 1'000'000;
  std::uint64_t ups = 0, downs = 0, came = 0, wrong = 0, worst_wait = 0;
  std::uint32_t slots_most = 0, rounds = 1;
  bool start = false, hub_polls_each = true;
};

// Everybody connects, then everybody starts at once, and begins the next message as soon as one came, so that there is
// always somebody later to be preferred to those who wait. Every message comes, and nobody waits longer for its first
// segment than PROTOCOL.md says: until each of the others had one message's grants.
inline void everybody_completes(std::uint32_t count, std::uint32_t slots, std::uint32_t segments,
                                std::uint32_t rounds) {
  Crowd crowd(count, slots, segments * PTL_SEGMENT_PAYLOAD);
  crowd.rounds = rounds;
  ASSERT_TRUE(crowd.run(60'000'000'000, [&] { return crowd.ups == count; })) << crowd.ups;
  EXPECT_EQ(crowd.hub->store->usage().large_slots, 0u);  // idle sessions have no slot
  const std::uint64_t begin = crowd.now_ns;
  crowd.start = true;
  ASSERT_TRUE(crowd.run(240'000'000'000, [&] { return crowd.came == std::uint64_t{count} * rounds; })) << crowd.came;
  const std::uint64_t bound = std::uint64_t{count} * segments + slots;
  const EndpointCounters& k = crowd.hub->endpoint->counters();
  std::printf(
      "%u sessions, %u slots, %u messages of %u segments each: all in %.3f s; worst wait %lu grants (bound "
      "%lu); grants %lu; taken back %lu; hub: %zu bytes a session\n",
      count, slots, rounds, segments, static_cast<double>(crowd.now_ns - begin) * 1e-9,
      static_cast<unsigned long>(crowd.worst_wait), static_cast<unsigned long>(bound),
      static_cast<unsigned long>(k.grants_given[PTL_LARGE]), static_cast<unsigned long>(k.grants_taken_back[PTL_LARGE]),
      crowd.session_bytes());
  EXPECT_LE(crowd.worst_wait, bound);
  EXPECT_EQ(crowd.wrong, 0u);
  EXPECT_EQ(crowd.downs, 0u);
  EXPECT_LE(crowd.slots_most, slots);
}

}  // namespace portolan::broker::session
