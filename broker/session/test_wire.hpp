// For the tests of this folder: endpoints over a tiny wire in virtual time. Delay, loss, reordering, duplication and
// bit flips are functions that a test sets; everything is deterministic. Not for anybody else (see broker/testing/).
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/crypto/noise.hpp"
#include "broker/session/endpoint.hpp"
#include "broker/session/frame.hpp"
#include "broker/testing/no_alloc.hpp"

namespace portolan::broker::session {

inline Identity identity_for(std::uint64_t id, std::uint32_t incarnation = 1) {
  Identity identity;
  identity.id = id;
  identity.incarnation = incarnation;
  for (std::size_t i = 0; i < 32; ++i) identity.static_private[i] = static_cast<std::uint8_t>(id * 31 + i * 7 + 1);
  identity.static_public = public_key_of(identity.static_private);
  return identity;
}

// A small generator for what tests draw; the same on every machine.
struct Draw {
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t z = (state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t n) { return next() % n; }
};

struct Got {
  SessionId session;
  Lane lane;
  std::uint32_t number;
  std::uint64_t sequence;
  std::uint32_t control;
  std::string bytes;
  std::uint64_t at_ns;
  bool repaired;
};

// One endpoint with its store.
struct Node {
  std::vector<std::uint8_t> memory;
  std::unique_ptr<Arena> arena;
  std::unique_ptr<Store> store;
  testing::Guarded<Endpoint> endpoint;  // aborts when a call allocates
  Identity identity;
  PathId address;
  std::vector<SessionEvent> events;
  std::vector<Got> got;
  std::vector<SessionId> rooms;
  SessionId up = kNil;  // the session that came up last
  bool take = true;     // poll messages
  bool deliver = true;  // and call set_delivered for them
  bool keep_bytes = true;
  struct Cumulative {
    std::uint32_t up_to = 0;
    std::set<std::uint32_t> early;
  };
  std::map<std::pair<SessionId, int>, Cumulative> delivered;

  Node(std::uint64_t id, const Limits& limits, std::uint32_t incarnation = 1, std::uint64_t seed = 1) {
    identity = identity_for(id, incarnation);
    address.words = {id, 1, 0};
    Entropy entropy;
    entropy.seed[0] = static_cast<std::uint8_t>(seed);
    Arena dry(nullptr, 0);
    {
      Store dry_store(limits, dry);
      Endpoint sizing(limits, identity, entropy, dry, dry_store);
    }
    memory.resize(dry.used() + 64);
    auto base = reinterpret_cast<std::uintptr_t>(memory.data());
    const std::size_t skip = (64 - base % 64) % 64;
    arena = std::make_unique<Arena>(memory.data() + skip, memory.size() - skip);
    store = std::make_unique<Store>(limits, *arena);
    endpoint = std::make_unique<Endpoint>(limits, identity, entropy, *arena, *store);
  }
  PeerConfig as_peer() const { return {identity.id, identity.static_public, address}; }
};

struct Wire {
  struct Flight {
    std::uint64_t at;
    std::uint64_t order;
    std::size_t to;
    PathId from;
    std::vector<std::uint8_t> bytes;
    std::uint8_t ecn;
    bool operator<(const Flight& o) const { return at != o.at ? at < o.at : order < o.order; }
  };
  struct Packet {  // what a fate may look at and change
    std::size_t from, to;
    const Transmit& transmit;
    std::vector<std::uint8_t>& bytes;
    std::uint64_t index;  // counted per sender
    std::uint64_t delay_ns;
    std::uint32_t copies = 1;  // 0: lost
    std::uint8_t ecn = kEcnNone;
  };
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<std::uint64_t> sent;
  std::vector<std::uint64_t> sent_bytes;
  std::uint64_t now_ns = 1'000'000;
  std::uint64_t delay_ns = 15'000'000;
  std::uint64_t order = 0;
  std::multimap<std::uint64_t, Flight> flights;
  std::function<void(Packet&)> fate;
  std::function<void(std::size_t, const DatagramView&, const Verdict&)> seen;
  std::function<void(std::size_t, const Transmit&)> stray;  // sent to where no node is
  std::uint64_t turns = 0;

  Now now() const { return {now_ns, static_cast<std::int64_t>(now_ns)}; }
  Node& add(std::uint64_t id, const Limits& limits, std::uint32_t incarnation = 1, std::uint64_t seed = 1) {
    nodes.push_back(std::make_unique<Node>(id, limits, incarnation, seed));
    sent.push_back(0);
    sent_bytes.push_back(0);
    return *nodes.back();
  }
  std::size_t index_of(const PathId& path) const {
    for (std::size_t i = nodes.size(); i-- > 0;) {
      if (nodes[i] != nullptr && nodes[i]->address == path) return i;
    }
    return nodes.size();
  }
  void deliver_up(std::size_t i) {
    Node& n = *nodes[i];
    for (bool more = true; more;) {
      more = false;
      SessionEvent event;
      while (n.endpoint->poll_session_event(event)) {
        more = true;
        n.events.push_back(event);
        if (event.kind == SessionEvent::Kind::up) n.up = event.session;
        if (event.kind == SessionEvent::Kind::down && n.up == event.session) n.up = kNil;
      }
      Incoming in;
      while (n.take && n.endpoint->poll_message(in)) {
        more = true;
        Got got{in.session, in.lane, in.number, in.sequence, in.control, {}, now_ns, in.repaired};
        if (in.lane == Lane::control) {
          got.bytes.assign(in.body.begin(), in.body.end());
        } else {
          if (n.keep_bytes) {
            n.store->for_each_piece(in.message,
                                    [&](std::span<const std::uint8_t> b) { got.bytes.append(b.begin(), b.end()); });
          }
          n.store->release(in.message);
          if (n.deliver) mark_delivered(n, in);
        }
        n.got.push_back(std::move(got));
      }
      SessionId session;
      while (n.endpoint->poll_progress(session)) {
      }
      while (n.endpoint->poll_room(session)) n.rooms.push_back(session);
    }
  }
  static void mark_delivered(Node& n, const Incoming& in) {
    Node::Cumulative& c = n.delivered[{in.session, static_cast<int>(in.lane)}];
    c.early.insert(in.number);
    while (!c.early.empty() && *c.early.begin() == c.up_to + 1) {
      c.early.erase(c.early.begin());
      ++c.up_to;
    }
    n.endpoint->set_delivered(in.session, in.lane, c.up_to);
  }
  void transmit(std::size_t i) {
    Node& n = *nodes[i];
    Transmit out;
    for (std::uint32_t guard = 0; guard < 100'000 && n.endpoint->poll_transmit(now(), out); ++guard) {
      std::vector<std::uint8_t> bytes;
      for (std::uint32_t p = 0; p < out.part_count; ++p)
        bytes.insert(bytes.end(), out.parts[p].begin(), out.parts[p].end());
      n.endpoint->release_transmit(out.handle);
      const std::size_t to = index_of(out.path);
      ++sent[i];
      sent_bytes[i] += bytes.size();
      if (to == nodes.size()) {
        if (stray) stray(i, out);
        continue;
      }
      Packet packet{i, to, out, bytes, sent[i], delay_ns, 1, out.ecn};
      if (fate) fate(packet);
      for (std::uint32_t c = 0; c < packet.copies; ++c) {
        flights.emplace(now_ns + packet.delay_ns,
                        Flight{now_ns + packet.delay_ns, order++, to, n.address, bytes, packet.ecn});
      }
    }
  }
  void inject(std::size_t to, const PathId& from, std::vector<std::uint8_t> bytes, std::uint8_t ecn = kEcnNone) {
    const DatagramView view{bytes.data(), static_cast<std::uint32_t>(bytes.size()), ecn};
    Verdict verdict;
    nodes[to]->endpoint->receive(now(), from, {&view, 1}, {&verdict, 1});
    if (seen) seen(to, view, verdict);
    deliver_up(to);
  }
  void settle() {  // everything that is due now
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      if (nodes[i] == nullptr) continue;
      nodes[i]->endpoint->tick(now());
      deliver_up(i);
      transmit(i);
      deliver_up(i);
    }
  }
  std::uint64_t next_at() const {
    std::uint64_t next = flights.empty() ? kNever : flights.begin()->first;
    for (const auto& n : nodes) {
      if (n != nullptr) next = std::min(next, n->endpoint->next_deadline());
    }
    return next;
  }
  // Runs until `until_ns`, or until `done` says so. The number of turns is bounded: a spin is a failure.
  bool run(std::uint64_t until_ns, const std::function<bool()>& done = {}) {
    settle();
    while (true) {
      if (done && done()) return true;
      const std::uint64_t next = std::max(next_at(), now_ns);
      if (next > until_ns) {
        now_ns = until_ns;
        settle();
        return !done || done();
      }
      if (++turns > 20'000'000) return false;
      now_ns = next;
      while (!flights.empty() && flights.begin()->first <= now_ns) {
        const Flight flight = flights.begin()->second;
        flights.erase(flights.begin());
        if (nodes[flight.to] != nullptr) inject(flight.to, flight.from, flight.bytes, flight.ecn);
      }
      settle();
    }
  }
  bool run_for(std::uint64_t ns, const std::function<bool()>& done = {}) { return run(now_ns + ns, done); }

  SendResult send(std::size_t i, Lane lane, const std::string& bytes, std::uint64_t sequence = 0,
                  std::uint32_t topic = 7) {
    Node& n = *nodes[i];
    const MessageId id = n.store->create();
    if (id == kNil) return SendResult::no_room;
    if (!n.store->append_copy(id, {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()})) {
      n.store->release(id);
      return SendResult::no_room;
    }
    n.store->at(id).key = sequence + 1;
    Outgoing out;
    out.message = id;
    out.topic = topic;
    out.publisher = 9;
    out.sequence = sequence;
    std::uint32_t number = 0;
    const SendResult result = n.endpoint->send(now(), n.up, lane, out, number);
    n.store->release(id);
    return result;
  }
};

// These tests run once in each mode, as two programs; what looks into payloads, or changes them, runs plain in both.
#ifdef PORTOLAN_TEST_PLAIN
inline constexpr std::uint32_t kPairModes = kModePlain;
#else
inline constexpr std::uint32_t kPairModes = kModeSealed;
#endif
inline constexpr std::uint64_t kPairIdleNs = 100'000'000;

// Node 0 (id 1) initiates to node 1 (id 2).
inline std::unique_ptr<Wire> make_pair(std::uint64_t delay_ns = 15'000'000, std::uint64_t rate_bps = 0,
                                       const Limits& limits = Limits::sim_client(), std::uint64_t idle_ns = kPairIdleNs,
                                       std::uint32_t modes = kPairModes) {
  auto wire = std::make_unique<Wire>();
  wire->delay_ns = delay_ns;
  Node& a = wire->add(1, limits);
  Node& b = wire->add(2, limits);
  SessionOptions options;
  options.rate_bps = rate_bps;
  options.first_bps = rate_bps != 0 ? rate_bps : 1'000'000'000;  // finding the rate is rate_model_test's
  options.idle_interval_ns = idle_ns;
  options.modes = modes;
  b.endpoint->configure_peer(a.as_peer(), options);
  options.initiate = true;
  a.endpoint->configure_peer(b.as_peer(), options);
  return wire;
}

inline std::unique_ptr<Wire> make_plain_pair(std::uint64_t delay_ns = 15'000'000, std::uint64_t rate_bps = 0) {
  return make_pair(delay_ns, rate_bps, Limits::sim_client(), kPairIdleNs, kModePlain);
}

inline std::string text_of(std::uint64_t seed, std::size_t bytes) {
  std::string text(bytes, ' ');
  Draw draw{seed};
  for (char& c : text) c = static_cast<char>(draw.next());
  return text;
}

}  // namespace portolan::broker::session
