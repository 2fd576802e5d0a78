#include "broker/engine/fake_net.hpp"

#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "broker/wire/control.hpp"

namespace portolan::broker {

struct Endpoint::State {
  fake::Node node;
};

namespace {
fake::Session* session_of(fake::Node& n, SessionId id) {
  const auto at = n.sessions.find(id);
  return at == n.sessions.end() || !at->second->up ? nullptr : at->second.get();
}
}  // namespace

Endpoint::Endpoint(const Limits& limits, const Identity& identity, const Entropy&, Arena& arena, Store& store) {
  if (arena.short_of_memory()) return;
  auto state = std::make_shared<State>();
  s_ = state.get();
  fake::Hub::get().endpoints.push_back(std::move(state));
  s_->node.identity = identity;
  s_->node.limits = limits;
  s_->node.store = &store;
  fake::Hub::get().add(&s_->node);
}
void Endpoint::configure_peer(const PeerConfig& peer, const SessionOptions&) {
  s_->node.configured.insert(peer.id);
}
void Endpoint::accept_clients(const SessionOptions&, std::span<const Key32>, bool) {}
void Endpoint::receive(Now, PathId, std::span<const DatagramView>, std::span<Verdict>) {}
void Endpoint::segment_ready(Now, SessionId session) {
  s_->node.rung.push_back(session);
}
bool Endpoint::poll_transmit(Now, Transmit&) {
  return false;
}
void Endpoint::release_transmit(std::uint32_t) {}
void Endpoint::tick(Now) {}
std::uint64_t Endpoint::next_deadline() const {
  return kNever;
}

bool Endpoint::poll_session_event(SessionEvent& out) {
  if (s_->node.events.empty()) return false;
  out = s_->node.events.front();
  s_->node.events.pop_front();
  return true;
}

bool Endpoint::poll_message(Incoming& out) {
  static thread_local fake::Packet current;
  auto& n = s_->node;
  if (n.inbox.empty()) return false;
  const SessionId id = n.inbox.front().first;
  current = std::move(n.inbox.front().second);
  n.inbox.pop_front();
  out = Incoming{};
  out.session = id;
  out.lane = current.lane;
  out.number = current.number;
  if (current.lane == Lane::control) {
    out.control = current.control;
    out.body = current.bytes;
    return true;
  }
  out.message = n.store->create();
  n.store->append_copy(out.message, current.bytes);
  out.topic = current.meta.topic;
  out.publisher = current.meta.publisher;
  out.sequence = current.meta.sequence;
  return true;
}

bool Endpoint::poll_progress(SessionId& out) {
  if (s_->node.progress.empty()) return false;
  out = *s_->node.progress.begin();
  s_->node.progress.erase(s_->node.progress.begin());
  return true;
}

bool Endpoint::poll_room(SessionId& out) {
  if (s_->node.room.empty()) return false;
  out = *s_->node.room.begin();
  s_->node.room.erase(s_->node.room.begin());
  return true;
}

SendResult Endpoint::send(Now, SessionId session, Lane lane, const Outgoing& message, std::uint32_t& number) {
  fake::Session* s = session_of(s_->node, session);
  if (s == nullptr) return SendResult::not_up;
  fake::Half& h = s->of(&s_->node);
  const auto l = static_cast<std::size_t>(lane);
  if (h.sent[l] - h.delivered[l] >= s_->node.limits.window_messages) {
    h.wants_room = true;
    return SendResult::no_room;
  }
  number = ++h.sent[l];
  fake::Packet p{lane, number, message, 0, {}};
  s_->node.store->for_each_piece(message.message, [&](std::span<const std::uint8_t> part) {
    p.bytes.insert(p.bytes.end(), part.begin(), part.end());
  });
  h.data.push_back(std::move(p));
  return SendResult::ok;
}

bool Endpoint::send_control(Now, SessionId session, std::uint32_t control, std::span<const std::uint8_t> body) {
  fake::Session* s = session_of(s_->node, session);
  if (s == nullptr) return false;
  fake::Half& h = s->of(&s_->node);
  if (h.control.size() >= s_->node.limits.control_queue) {
    fake::Hub::get().cut(h.owner->identity.id, s->other(&s_->node).owner->identity.id);
    return false;
  }
  h.control.push_back({Lane::control, ++h.sent[0], {}, control, {body.begin(), body.end()}});
  return true;
}

std::uint32_t Endpoint::control_room(SessionId session) const {
  fake::Session* s = session_of(s_->node, session);
  if (s == nullptr) return 0;
  return s_->node.limits.control_queue - static_cast<std::uint32_t>(s->of(&s_->node).control.size());
}

Progress Endpoint::progress(SessionId session, Lane lane) const {
  fake::Session* s = session_of(s_->node, session);
  if (s == nullptr) return {};
  const fake::Half& h = s->of(&s_->node);
  const auto l = static_cast<std::size_t>(lane);
  return {h.sent[l], h.admitted[l], h.delivered[l]};
}

void Endpoint::set_delivered(SessionId session, Lane lane, std::uint32_t number) {
  fake::Session* s = session_of(s_->node, session);
  if (s != nullptr) s->other(&s_->node).passed[static_cast<std::size_t>(lane)] = number;
}

void Endpoint::give_early() {}
void Endpoint::withdraw(Now, SessionId, Lane, std::uint32_t) {}
bool Endpoint::stats(SessionId, SessionStats&) const {
  return false;
}
bool Endpoint::room_for_long(std::uint32_t) const {
  return true;
}
void Endpoint::admit_explicitly() {
  s_->node.explicitly = true;
}

void Endpoint::set_admitted(SessionId session, Lane lane, std::uint32_t number) {
  fake::Session* s = session_of(s_->node, session);
  if (s != nullptr) s->other(&s_->node).decided[static_cast<std::size_t>(lane)] = number;
}

bool Endpoint::peer_limits(SessionId, PeerLimits& out) const {
  out.topics_max = out.streams_max = 1u << 20;
  return true;
}
void Endpoint::set_interest(SessionId, const InterestState&) {}
void Endpoint::set_interest(const InterestState& mine) {
  s_->node.interest = mine;
}

bool Endpoint::peer_interest(SessionId session, InterestState& out) const {
  fake::Session* s = session_of(s_->node, session);
  if (s == nullptr || !s->of(&s_->node).interest_known) return false;
  out = s->of(&s_->node).interest;
  return true;
}

void Endpoint::close(Now, SessionId session, DownReason) {
  fake::Session* s = session_of(s_->node, session);
  if (s != nullptr) fake::Hub::get().cut(s->halves[0].owner->identity.id, s->halves[1].owner->identity.id);
}
void Endpoint::drain(Now) {}
std::uint64_t Endpoint::backlog_ns(SessionId) const {
  return 0;
}
std::uint64_t Endpoint::backlog_bytes(SessionId) const {
  return 0;
}
std::uint64_t Endpoint::smoothed_rtt_ns(SessionId) const {
  return 1'000'000;
}
const EndpointCounters& Endpoint::counters() const {
  return s_->node.counters;
}
std::uint32_t Endpoint::high_water(std::span<HighWater>) const {
  return 0;
}

namespace fake {

namespace {

// PORTOLAN_STORM_TRACE=1 prints every message as it arrives: what a failing seed's replay is read from.
void trace(const Half& from, const Half& to, const Packet& p) {
  static const bool on = std::getenv("PORTOLAN_STORM_TRACE") != nullptr;
  if (!on) return;
  using U = unsigned long long;
  std::printf("%llu.%u>%llu.%u ", U{from.owner->identity.id}, from.owner->identity.incarnation,
              U{to.owner->identity.id}, to.owner->identity.incarnation);
  wire::StreamBody s;
  wire::TopicBody t;
  wire::ResumeBody r;
  wire::GapBody g;
  wire::InterestBody i;
  wire::SubscribedBody d;
  if (p.lane != Lane::control) {
    std::printf("DATA lane %d number %u stream %u seq %llu\n", int(p.lane), p.number, p.meta.publisher,
                U{p.meta.sequence});
  } else if (p.control == PTL_C_TOPIC && wire::decode(p.bytes, t)) {
    std::printf("TOPIC %u %.*s\n", t.alias, int(t.name.size()), t.name.data());
  } else if (p.control == PTL_C_STREAM && wire::decode(p.bytes, s)) {
    std::printf("STREAM %u topic %u pub %llu inc %u start %llu interest %llu\n", s.alias, s.topic, U{s.publisher},
                s.incarnation, U{s.start}, U{s.interest});
  } else if (p.control == PTL_C_RESUME && wire::decode(p.bytes, r)) {
    std::printf("RESUME topic %u pub %llu inc %u next %llu\n", r.topic, U{r.publisher}, r.incarnation, U{r.next});
  } else if (p.control == PTL_C_GAP && wire::decode(p.bytes, g)) {
    std::printf("GAP stream %u %llu..%llu reason %u\n", g.stream, U{g.first}, U{g.last}, g.reason);
  } else if (p.control == PTL_C_INTEREST && wire::decode(p.bytes, i)) {
    std::printf("INTEREST v%llu op %d replay %d %.*s\n", U{i.version}, int(i.op), int(i.replay), int(i.filter.size()),
                i.filter.data());
  } else if (p.control == PTL_C_SUBSCRIBED && wire::decode(p.bytes, d)) {
    std::printf("SUBSCRIBED v%llu unreachable %u\n", U{d.version}, d.total);
  } else {
    std::printf("control %u\n", p.control);
  }
}

}  // namespace

Hub& Hub::get() {
  static Hub hub;
  return hub;
}

void Hub::add(Node* node) {
  nodes[node->identity.id] = node;
}

Session* Hub::find(std::uint64_t a, std::uint64_t b) {
  const auto at = nodes.find(a);
  if (at == nodes.end()) return nullptr;
  for (auto& [id, session] : at->second->sessions) {
    if (session->up && session->other(at->second).owner->identity.id == b) return session.get();
  }
  return nullptr;
}

void Hub::connect(std::uint64_t a, std::uint64_t b) {
  if (!nodes.contains(a) || !nodes.contains(b) || find(a, b) != nullptr) return;
  auto session = std::make_shared<Session>();
  session->uid = next_session;
  Node* ends[2] = {nodes[a], nodes[b]};
  for (int i = 0; i < 2; ++i) {
    session->halves[i].owner = ends[i];
    session->halves[i].id = next_session++;
    ends[i]->sessions[session->halves[i].id] = session;
    const Identity& peer = ends[1 - i]->identity;
    ends[i]->events.push_back({SessionEvent::Kind::up, session->halves[i].id, peer.id, peer.incarnation, session->uid,
                               ends[i]->configured.contains(peer.id), DownReason::none});
  }
}

void Hub::cut(std::uint64_t a, std::uint64_t b) {
  Session* s = find(a, b);
  if (s == nullptr) return;
  s->up = false;
  if (std::getenv("PORTOLAN_STORM_TRACE") != nullptr) {
    std::printf("CUT %llu %llu\n", static_cast<unsigned long long>(a), static_cast<unsigned long long>(b));
  }
  for (int i = 0; i < 2; ++i) {
    Node* owner = s->halves[i].owner;
    const Identity& peer = s->halves[1 - i].owner->identity;
    const SessionId id = s->halves[i].id;
    std::erase_if(owner->inbox, [&](const auto& item) { return item.first == id; });
    owner->events.push_back({SessionEvent::Kind::down, id, peer.id, peer.incarnation, s->uid,
                             owner->configured.contains(peer.id), DownReason::timeout});
  }
}

void Hub::remove(std::uint64_t id) {
  if (!nodes.contains(id)) return;
  std::vector<std::uint64_t> others;
  for (auto& [sid, session] : nodes[id]->sessions) {
    if (session->up) others.push_back(session->other(nodes[id]).owner->identity.id);
  }
  for (const std::uint64_t other : others) cut(id, other);
  nodes.erase(id);
}

bool Hub::flow() {
  bool moved = false;
  for (auto& [id, node] : nodes) {
    for (auto& [sid, session] : node->sessions) {
      if (!session->up) continue;
      Half& h = session->of(node);
      Half& back = session->other(node);
      while (!h.hold_control && !h.control.empty()) {
        trace(h, back, h.control.front());
        back.owner->inbox.emplace_back(back.id, std::move(h.control.front()));
        h.control.pop_front();
        ++h.control_arrived;
        moved = true;
      }
      for (std::size_t i = h.data.size(); shuffle != 0 && !h.hold_data && i > 1; --i) {
        shuffle = shuffle * 6364136223846793005ull + 1442695040888963407ull;
        std::swap(h.data[i - 1], h.data[(shuffle >> 33) % i]);
      }
      while (!h.hold_data && !h.data.empty()) {
        trace(h, back, h.data.front());
        auto& arrived = h.arrived[static_cast<std::size_t>(h.data.front().lane)];
        arrived = std::max(arrived, h.data.front().number);
        back.owner->inbox.emplace_back(back.id, std::move(h.data.front()));
        h.data.pop_front();
        moved = true;
      }
      if (!h.hold_progress && h.admitted[0] != h.control_arrived) {
        h.admitted[0] = h.control_arrived;
        node->progress.insert(sid);
      }
      for (std::size_t l = 1; l < 4 && !h.hold_progress; ++l) {
        const std::uint32_t admitted = back.owner->explicitly ? h.decided[l] : h.arrived[l];
        if (h.admitted[l] == admitted && h.delivered[l] == h.passed[l]) continue;
        h.admitted[l] = admitted;
        h.delivered[l] = h.passed[l];
        node->progress.insert(sid);
        if (h.wants_room) node->room.insert(sid);
        h.wants_room = false;
        moved = true;
      }
    }
  }
  return moved;
}

void Hub::heartbeats() {
  for (auto& [id, node] : nodes) {
    for (auto& [sid, session] : node->sessions) {
      if (!session->up) continue;
      Half& h = session->of(node);
      h.interest = session->other(node).owner->interest;
      h.interest_known = true;
    }
  }
}

// ------------------------------------------------------------------ World

std::vector<std::uint64_t> Client::sequences() const {
  std::vector<std::uint64_t> out;
  for (const Got& g : got) {
    if (g.last == 0) out.push_back(g.sequence);
  }
  return out;
}

std::uint64_t Client::gap_messages() const {
  std::uint64_t n = 0;
  for (const Got& g : got) n += g.last == 0 ? 0 : g.last - g.sequence + 1;
  return n;
}

World::World(std::vector<std::uint64_t> broker_ids) : ids(std::move(broker_ids)) {
  // Memory of the last world serves the next: giving it back and faulting it in again would be most of a storm's time.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  Hub::get().reset();
  limits = Limits::sim();
  limits.downstreams = limits.sessions = 24;
  limits.messages = limits.small_blocks = 4'096;
  limits.small_slots = limits.large_slots = 16;
  // Small tables: a storm makes hundreds of engines, and touching their memory would be all its time.
  limits.topics = 32;
  limits.streams = 128;
  limits.filters = 128;
  limits.filters_per_downstream = 32;
  client_limits = Limits::sim_client();
  client_limits.topics = 32;
  client_limits.streams = 128;
  client_limits.filters = 32;
  client_limits.filters_per_downstream = 32;
  client_limits.messages = client_limits.small_blocks = 4'096;
  client_limits.small_block_bytes = limits.small_block_bytes = 320;
  client_limits.small_slots = client_limits.large_slots = 16;
}
World::~World() {
  clients.clear();
  brokers.clear();
  Hub::get().reset();
}

void World::start_broker(std::uint64_t id) {
  Broker& b = brokers[id];
  b.incarnation = b.id == 0 ? 1 : b.incarnation + 1;
  b.id = id;
  EngineConfig config;
  config.identity.id = id;
  config.identity.incarnation = b.incarnation;
  std::vector<PeerConfig> peers;
  for (const std::uint64_t peer : ids) {
    if (peer != id) peers.push_back({peer, {}, {}});
  }
  config.peers = peers;
  config.topics = rules;
  config.detach_ns = detach_ns;
  config.detach_bytes = detach_bytes;
  const std::size_t bytes = Engine::bytes_needed(limits);
  b.engine.reset();
  b.memory.reset(new std::uint8_t[bytes]);
  b.engine = std::make_unique<Engine>(limits, config, std::span(b.memory.get(), bytes));
  b.engine->tick(now);
}

void World::kill_broker(std::uint64_t id) {
  Hub::get().remove(id);
  brokers[id].engine.reset();
}

Client& World::client(std::uint64_t id, std::uint64_t broker_id) {
  Client& c = clients[id];
  c.incarnation = c.id == 0 ? 1 : c.incarnation + 1;
  c.id = id;
  c.broker = broker_id;
  ClientConfig config;
  config.identity.id = id;
  config.identity.incarnation = c.incarnation;
  config.broker.id = broker_id;
  const std::size_t bytes = ClientEngine::bytes_needed(client_limits);
  c.engine.reset();
  c.memory.reset(new std::uint8_t[bytes]);
  c.engine = std::make_unique<ClientEngine>(client_limits, config, std::span(c.memory.get(), bytes));
  return c;
}

void World::kill_client(std::uint64_t id) {
  Hub::get().remove(id);
  clients[id].engine.reset();
}

void World::connect_all() {
  for (const std::uint64_t a : ids) {
    for (const std::uint64_t b : ids) {
      if (a < b && !severed.contains({a, b})) Hub::get().connect(a, b);
    }
  }
  for (auto& [id, c] : clients) {
    if (c.engine && !severed.contains({std::min(id, c.broker), std::max(id, c.broker)})) {
      Hub::get().connect(id, c.broker);
    }
  }
}

void World::sever(std::uint64_t a, std::uint64_t b) {
  severed.insert({std::min(a, b), std::max(a, b)});
  Hub::get().cut(a, b);
}

void World::heal(std::uint64_t a, std::uint64_t b) {
  severed.erase({std::min(a, b), std::max(a, b)});
}

void World::poll(Client& c) {
  for (bool any = true; any;) {
    any = false;
    Delivery d;
    while (c.engine->poll_delivery(d)) {
      c.got.push_back({{d.topic.begin(), d.topic.end()}, d.publisher, d.incarnation, d.sequence, 0, 0});
      c.engine->release_delivery(d.handle);
      any = true;
    }
    Event e;
    while (c.engine->poll_event(e)) {
      any = true;
      if (e.kind == EventKind::gap) {
        c.got.push_back({{e.topic.begin(), e.topic.end()}, e.publisher, e.incarnation, e.first, e.last, e.code});
      }
      if (e.kind == EventKind::cursor) {
        c.cursors.push_back({{e.topic.begin(), e.topic.end()}, e.publisher, e.incarnation, e.first, step, e.code});
      }
      if (e.kind == EventKind::received && on_received) {
        on_received(c, {e.topic.begin(), e.topic.end()}, e.first, e.last);
      }
      if (e.kind == EventKind::accepted) c.accepted += e.last - e.first + 1;
      if (e.kind == EventKind::received) c.received += e.last - e.first + 1;
      if (e.kind == EventKind::refused) c.refused += e.last - e.first + 1;
      if (e.kind == EventKind::subscribed) c.unreachable.push_back(e.count);
      e.topic = {};
      c.events.push_back(e);
    }
  }
}

void World::poll(Broker& b) {
  Event e;
  while (b.engine->poll_event(e)) b.events.push_back(e);
}

void World::settle() {
  for (int i = 0; i < 2'000; ++i) {
    for (auto& [id, b] : brokers) {
      if (b.engine) b.engine->receive(now, {}, {}, {});
      if (b.engine) poll(b);
    }
    for (auto& [id, c] : clients) {
      if (!c.engine) continue;
      c.engine->receive(now, {}, {}, {});
      poll(c);
    }
    if (before_flow) before_flow();
    bool again = Hub::get().flow();
    for (auto& [id, node] : Hub::get().nodes) again = again || !node->events.empty() || !node->inbox.empty();
    if (!again) return;
  }
}

void World::advance(std::uint64_t ns) {
  for (const std::uint64_t end = now.mono_ns + ns; now.mono_ns < end;) {
    now.mono_ns = std::min(end, now.mono_ns + 50'000'000);
    connect_all();
    Hub::get().heartbeats();
    for (auto& [id, b] : brokers) {
      if (b.engine) b.engine->tick(now);
    }
    for (auto& [id, c] : clients) {
      if (c.engine) c.engine->tick(now);
    }
    settle();
  }
}

std::uint64_t World::publish(std::uint64_t client_id, const std::string& topic, std::size_t bytes) {
  const std::vector<std::uint8_t> payload(bytes, 0x55);
  const auto done = clients.at(client_id).engine->publish(now, topic, Lane::realtime, payload);
  return done.refused == RefuseReason::none ? done.sequence : 0;
}

void World::subscribe(std::uint64_t client_id, const std::string& filter, ReplayMode replay) {
  clients.at(client_id).engine->subscribe(now, filter, replay);
}

}  // namespace fake
}  // namespace portolan::broker
