#include "broker/testing/world.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>

#include "broker/crypto/noise.hpp"
#include "broker/testing/no_alloc.hpp"
#include "broker/wire/control.hpp"

namespace portolan::broker::testing {
namespace {

constexpr std::size_t kSocketDatagrams = 512;  // what a paused process's socket holds
constexpr std::uint32_t kSpins = 2'000;        // ticks without time passing: an engine that never rests

constexpr std::align_val_t kPage{4'096};

struct AlignedDelete {
  void operator()(std::uint8_t* bytes) const { ::operator delete(bytes, kPage); }
};

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  return Draw(a * 0x100000001B3ull ^ b).next();
}

Key32 key_of(std::uint64_t seed, std::uint64_t id, std::uint64_t kind) {
  Key32 key{};
  Draw draw(mix(mix(seed, id), kind));
  for (auto& byte : key) byte = static_cast<std::uint8_t>(draw.next());
  return key;
}

PathId path_to(Node node) {
  return PathId{{0x706f7274u, node + 1ull, 4'000}};
}

// The bytes that (topic, publisher, incarnation, sequence) stand for.
class Payload {
 public:
  Payload(std::string_view topic, std::uint64_t publisher, std::uint32_t incarnation, std::uint64_t sequence)
      : draw_(mix(wire::topic_hash(topic), mix(publisher, mix(incarnation, sequence)))) {}
  std::uint8_t next() {
    if (left_ == 0) {
      word_ = draw_.next();
      left_ = 8;
    }
    --left_;
    const auto byte = static_cast<std::uint8_t>(word_);
    word_ >>= 8;
    return byte;
  }

 private:
  Draw draw_;
  std::uint64_t word_ = 0;
  int left_ = 0;
};

const char* name_of(EventKind kind) {
  switch (kind) {
    case EventKind::session_up:
      return "session_up";
    case EventKind::session_down:
      return "session_down";
    case EventKind::subscribed:
      return "subscribed";
    case EventKind::cursor:
      return "cursor";
    case EventKind::accepted:
      return "accepted";
    case EventKind::refused:
      return "refused";
    case EventKind::received:
      return "received";
    case EventKind::gap:
      return "gap";
    case EventKind::detached:
      return "detached";
    case EventKind::peer_interest:
      return "peer_interest";
  }
  return "?";
}

}  // namespace

WorldOptions::WorldOptions() {
  Limits& b = broker_limits;
  b.sessions = 24;
  b.peers = 8;
  b.downstreams = 32;
  b.messages = 8'192;
  b.small_blocks = 8'192;
  b.small_slots = 16;
  b.large_slots = 24;
  b.message_bytes_max = 512u << 10;
  b.topics = 64;
  b.streams = 256;
  b.filters = 128;
  b.filters_per_downstream = 32;
  b.topic_name_bytes = 64;
  b.window_packets = 1'024;
  b.window_messages = 512;
  b.receive_messages = 512;
  b.control_queue = 512;
  b.credit_bytes = 1u << 20;
  b.unresolved_messages = 256;
  b.events = 1'024;
  b.deliveries = 512;
  b.reorder_messages = 1'024;
  b.kept_messages = 1'024;
  client_limits = b;
  client_limits.sessions = 2;
  client_limits.peers = 1;
  client_limits.downstreams = 2;
  client_limits.messages = 4'096;
  client_limits.small_blocks = 4'096;
}

struct World::Process {
  Node node = 0;
  bool is_broker = false;
  std::string name;
  Node home = 0;
  Identity identity;
  bool running = false;
  bool paused = false;
  std::int64_t skew_ns = 0;
  // Not cleared between lives: an engine must not lean on zeroes.
  std::unique_ptr<std::uint8_t[], AlignedDelete> memory;
  std::size_t memory_bytes = 0;
  std::span<std::uint8_t> arena(std::size_t bytes) {
    if (bytes != memory_bytes) {
      memory.reset(static_cast<std::uint8_t*>(::operator new(bytes, kPage)));
      memory_bytes = bytes;
    }
    return {memory.get(), bytes};
  }
  Guarded<Engine> engine;  // no call may allocate
  Guarded<ClientEngine> client;
  std::uint64_t deadline = kNever;  // of the timer that is scheduled
  std::uint64_t spun_at = 0;
  std::uint32_t spins = 0;
  std::vector<std::size_t> socket;  // datagrams held while paused
  std::map<std::string, std::uint64_t, std::less<>> sequences;
  std::set<std::string, std::less<>> standing;
  std::uint64_t deliveries = 0;
  std::uint64_t latest_delivery_ns = 0;
  std::map<Node, bool> connected;  // client: to each broker, as told to the oracle
};

World::World(std::uint64_t seed, const WorldOptions& options)
    : seed_(seed), options_(options), network_(mix(seed, 1)), oracle_(options.detach_ns) {
  const char* log = std::getenv("PORTOLAN_TEST_LOG");
  log_ = log != nullptr && *log == '1';
}

World::~World() = default;

Node World::broker(std::string name) {
  auto p = std::make_unique<Process>();
  p->node = static_cast<Node>(processes_.size());
  p->is_broker = true;
  p->name = std::move(name);
  p->identity.id = 1'000 + p->node;
  p->identity.static_private = key_of(seed_, p->identity.id, 7);
  p->identity.static_public = public_key_of(p->identity.static_private);
  for (const auto& other : processes_) {
    if (!other->is_broker) continue;
    network_.path(p->node, other->node).delay_ns = options_.between_brokers_ns;
    network_.path(other->node, p->node).delay_ns = options_.between_brokers_ns;
  }
  if (started_) oracle_.wrong(now_, "a broker was declared after time began");
  processes_.push_back(std::move(p));
  return processes_.back()->node;
}

Node World::client(Node home, std::string name) {
  auto p = std::make_unique<Process>();
  p->node = static_cast<Node>(processes_.size());
  p->name = std::move(name);
  p->home = home;
  p->identity.id = 1 + p->node;
  p->identity.static_private = key_of(seed_, p->identity.id, 7);
  p->identity.static_public = public_key_of(p->identity.static_private);
  network_.path(p->node, home).delay_ns = options_.to_client_ns;
  network_.path(home, p->node).delay_ns = options_.to_client_ns;
  processes_.push_back(std::move(p));
  if (started_) {
    start(*processes_.back());
    tell_connections();
  }
  return processes_.back()->node;
}

void World::start_all() {
  if (started_) return;
  started_ = true;
  for (const auto& p : processes_) {
    if (!p->running) start(*p);
  }
  tell_connections();
}

void World::start(Process& p) {
  SessionOptions session;
  session.rate_bps = options_.rate_bps;
  session.idle_interval_ns = 100 * kMilli;
  const Entropy entropy{key_of(seed_, p.identity.id, 100 + p.identity.incarnation)};
  if (p.is_broker) {
    std::vector<PeerConfig> peers;
    for (const auto& other : processes_) {
      if (!other->is_broker || other->node == p.node) continue;
      peers.push_back({other->identity.id, other->identity.static_public, path_to(other->node)});
    }
    const TopicRule rule{"#", Lane::realtime, options_.retain_ns, options_.retain_bytes};
    EngineConfig config;
    config.identity = p.identity;
    config.entropy = entropy;
    config.peers = peers;
    config.broker_sessions = config.client_sessions = session;
    config.client_sessions.idle_interval_ns = 500 * kMilli;
    config.topics = {&rule, 1};
    config.detach_ns = options_.detach_ns;
    config.detach_bytes = options_.detach_bytes;
    p.engine =
        std::make_unique<Engine>(options_.broker_limits, config, p.arena(Engine::bytes_needed(options_.broker_limits)));
  } else {
    const Process& home = *processes_[p.home];
    ClientConfig config;
    config.identity = p.identity;
    config.entropy = entropy;
    config.broker = {home.identity.id, home.identity.static_public, path_to(home.node)};
    config.session = session;
    config.session.idle_interval_ns = 500 * kMilli;
    p.client = std::make_unique<ClientEngine>(options_.client_limits, config,
                                              p.arena(ClientEngine::bytes_needed(options_.client_limits)));
    oracle_.client_started(now_, p.node, p.home, p.identity.id, p.identity.incarnation);
  }
  p.running = true;
  p.paused = false;
  p.sequences.clear();
  p.standing.clear();
  p.deadline = kNever;
  say(p, "starts, incarnation " + std::to_string(p.identity.incarnation));
  const Now now = clock(p);
  p.is_broker ? p.engine->tick(now) : p.client->tick(now);
  service(p);
}

Now World::clock(const Process& p) const {
  return {now_, 1'700'000'000'000'000'000 + static_cast<std::int64_t>(now_) + p.skew_ns};
}

ClientEngine::Published World::publish(Node node, std::string_view topic, std::uint32_t bytes, Lane lane) {
  start_all();
  Process& p = *processes_[node];
  if (!p.running || p.paused) return {RefuseReason::not_connected, 0};
  std::uint64_t& last = p.sequences.try_emplace(std::string(topic), 0).first->second;
  std::vector<std::uint8_t> payload(bytes);
  Payload source(topic, p.identity.id, p.identity.incarnation, last + 1);
  for (auto& byte : payload) byte = source.next();
  const auto result = p.client->publish(clock(p), topic, lane, payload);
  if (result.refused == RefuseReason::none) {
    last = result.sequence;
    oracle_.published(now_, node, std::string(topic), result.sequence);
  }
  service(p);
  return result;
}

void World::subscribe(Node node, std::string_view filter, ReplayMode replay) {
  start_all();
  Process& p = *processes_[node];
  if (!p.running || p.paused) return;
  if (p.client->subscribe(clock(p), filter, replay) != RefuseReason::none) {
    oracle_.wrong(now_, "subscribe to " + std::string(filter) + " refused");
  }
  oracle_.subscribe(now_, node, std::string(filter));
  service(p);
}

void World::unsubscribe(Node node, std::string_view filter) {
  Process& p = *processes_[node];
  if (!p.running || p.paused) return;
  oracle_.unsubscribe(now_, node, std::string(filter));
  p.standing.erase(std::string(filter));
  p.client->unsubscribe(clock(p), filter);
  service(p);
}

void World::schedule(std::uint64_t when, Timed::Kind kind, Node node, std::size_t index) {
  events_.push({when, order_++, kind, node, index});
}

void World::at(std::uint64_t time_ns, std::function<void()> action) {
  actions_.push_back(std::move(action));
  schedule(std::max(time_ns, now_), Timed::Kind::action, 0, actions_.size() - 1);
}

void World::run_for(std::uint64_t ns) {
  start_all();
  const std::uint64_t end = now_ + ns;
  while (!events_.empty() && events_.top().at <= end) {
    const Timed timed = events_.top();
    events_.pop();
    now_ = std::max(now_, timed.at);
    step(timed);
  }
  now_ = end;
}

bool World::run_until(const std::function<bool()>& condition, std::uint64_t at_most_ns) {
  const std::uint64_t end = now_ + at_most_ns;
  while (!condition()) {
    if (now_ >= end) return false;
    run_for(std::min<std::uint64_t>(50 * kMilli, end - now_));
  }
  return true;
}

bool World::settle(std::uint64_t at_most_ns) {
  start_all();
  return run_until([this] { return oracle_.settled(); }, at_most_ns);
}

std::string World::verdict() {
  oracle_.judge(now_);
  std::string text;
  std::size_t shown = 0;
  for (const std::string& line : oracle_.violations()) {
    if (shown++ == 12) {
      text += "... and " + std::to_string(oracle_.violations().size() - 12) + " more\n";
      break;
    }
    text += line + "\n";
  }
  return text;
}

void World::step(const Timed& timed) {
  switch (timed.kind) {
    case Timed::Kind::action: {
      const auto action = std::move(actions_[timed.index]);
      action();
      return;
    }
    case Timed::Kind::timer: {
      Process& p = *processes_[timed.node];
      // Timers are lazy: only the one that was scheduled last counts.
      if (!p.running || p.paused || timed.at != p.deadline) return;
      p.deadline = kNever;
      p.is_broker ? p.engine->tick(clock(p)) : p.client->tick(clock(p));
      if (p.spun_at == now_ && ++p.spins == kSpins) {
        oracle_.wrong(now_, p.name + " asks for the same deadline again and again");
      }
      if (p.spun_at != now_) {
        p.spun_at = now_;
        p.spins = 0;
      }
      service(p);
      return;
    }
    case Timed::Kind::datagram: {
      Process& p = *processes_[timed.node];
      if (p.running && p.paused) {
        if (p.socket.size() < kSocketDatagrams) {
          p.socket.push_back(timed.index);
          return;
        }
      } else if (p.running) {
        receive(p, datagrams_[timed.index]);
      }
      datagrams_[timed.index].bytes.clear();
      free_datagrams_.push_back(timed.index);
      if (p.running && !p.paused) service(p);
      return;
    }
  }
}

void World::receive(Process& p, const Datagram& d) {
  DatagramView view{d.bytes.data(), static_cast<std::uint32_t>(d.bytes.size()), 0};
  Verdict verdict;
  note(now_);
  note(d.bytes.size());
  if (p.is_broker) {
    p.engine->receive(clock(p), path_to(d.from), {&view, 1}, {&verdict, 1});
  } else {
    p.client->receive(clock(p), path_to(d.from), {&view, 1}, {&verdict, 1});
  }
  note(static_cast<std::uint64_t>(verdict.drop));
}

// What a host does after each input: all outputs out, then a timer for the next deadline.
void World::service(Process& p) {
  const Now now = clock(p);
  drain_outputs(p);
  for (std::uint32_t i = 0; p.is_broker ? p.engine->more_work() : p.client->more_work(); ++i) {
    if (i == kSpins) {
      oracle_.wrong(now_, p.name + " says more_work for ever");
      break;
    }
    p.is_broker ? p.engine->tick(now) : p.client->tick(now);
    drain_outputs(p);
  }
  const std::uint64_t next = p.is_broker ? p.engine->next_deadline() : p.client->next_deadline();
  if (next == kNever) return;
  const bool spins = p.spun_at == now_ && p.spins >= kSpins;  // an engine's fault; time goes on all the same
  const std::uint64_t when = std::max(next, now_ + (spins ? kMilli : 0));
  if (when == p.deadline) return;
  p.deadline = when;
  schedule(when, Timed::Kind::timer, p.node, 0);
}

void World::drain_outputs(Process& p) {
  const Now now = clock(p);
  Transmit out;
  while (p.is_broker ? p.engine->poll_transmit(now, out) : p.client->poll_transmit(now, out)) {
    const Node to = static_cast<Node>(out.path.words[1] - 1);
    const Network::Fate fate = network_.send(now_, p.node, to);
    for (std::uint32_t copy = 0; copy < fate.copies; ++copy) {
      std::size_t index;
      if (free_datagrams_.empty()) {
        index = datagrams_.size();
        datagrams_.emplace_back();
      } else {
        index = free_datagrams_.back();
        free_datagrams_.pop_back();
      }
      Datagram& d = datagrams_[index];
      d.from = p.node;
      d.to = to;
      d.bytes.clear();
      for (std::uint32_t part = 0; part < out.part_count; ++part) {
        d.bytes.insert(d.bytes.end(), out.parts[part].begin(), out.parts[part].end());
      }
      if (d.bytes.size() != out.bytes) oracle_.wrong(now_, p.name + " sends parts that are not its bytes");
      if (fate.corrupt && !d.bytes.empty()) {
        const std::size_t where = (fate.damage >> 8) % d.bytes.size();
        if ((fate.damage & 3u) == 0) {
          d.bytes.resize(where);
        } else {
          d.bytes[where] = static_cast<std::uint8_t>(d.bytes[where] ^ (1u << (fate.damage >> 2 & 7u)));
        }
      }
      schedule(fate.at_ns[copy], Timed::Kind::datagram, to, index);
    }
    p.is_broker ? p.engine->release_transmit(out.handle) : p.client->release_transmit(out.handle);
  }
  Event event;
  if (p.is_broker) {
    while (p.engine->poll_event(event)) on_event(p, event);
    return;
  }
  for (bool any = true; any;) {
    any = false;
    Delivery delivery;
    while (p.client->poll_delivery(delivery)) {
      any = true;
      on_delivery(p, delivery);
      p.client->release_delivery(delivery.handle);
    }
    while (p.client->poll_event(event)) {
      any = true;
      on_event(p, event);
    }
  }
}

void World::on_delivery(Process& p, const Delivery& d) {
  const std::string topic(d.topic.begin(), d.topic.end());
  Payload source(topic, d.publisher, d.incarnation, d.sequence);
  bool right = true;
  std::uint32_t length = 0;
  for (const auto& span : d.bytes) {
    for (const std::uint8_t byte : span) right = source.next() == byte && right;
    length += static_cast<std::uint32_t>(span.size());
  }
  right = right && length == d.length && length > 0;
  ++p.deliveries;
  p.latest_delivery_ns = now_;
  note(mix(d.sequence, d.publisher ^ d.incarnation));
  if (log_) {
    say(p, "delivers " + topic + " of " + std::to_string(d.publisher) + "." + std::to_string(d.incarnation) + " #" +
               std::to_string(d.sequence));
  }
  oracle_.delivered(now_, p.node, topic, d.publisher, d.incarnation, d.sequence, right);
}

void World::on_event(Process& p, const Event& e) {
  const std::string topic(e.topic.begin(), e.topic.end());
  note(static_cast<std::uint64_t>(e.kind));
  note(e.first);
  if (log_) {
    say(p, std::string(name_of(e.kind)) + " " + topic + " of " + std::to_string(e.publisher) + "." +
               std::to_string(e.incarnation) + " " + std::to_string(e.first) + ".." + std::to_string(e.last) +
               " code " + std::to_string(e.code) + " count " + std::to_string(e.count) + " peer " +
               std::to_string(e.peer));
  }
  if (p.is_broker) {
    if (e.kind == EventKind::detached) {
      oracle_.detached(now_, p.node, static_cast<Node>(e.peer >= 1'000 ? e.peer - 1'000 : e.peer - 1));
    }
    return;
  }
  switch (e.kind) {
    case EventKind::accepted:
      return oracle_.accepted(now_, p.node, topic, e.first, e.last);
    case EventKind::received:
      return oracle_.received(now_, p.node, topic, e.first, e.last);
    case EventKind::cursor:
      return oracle_.cursor(now_, p.node, topic, e.publisher, e.incarnation, e.first);
    case EventKind::gap:
      return oracle_.gap(now_, p.node, topic, e.publisher, e.incarnation, e.first, e.last, e.code);
    case EventKind::subscribed:
      p.standing.insert(topic);
      return oracle_.subscribed(now_, p.node, topic, e.count);
    default:
      return;
  }
}

void World::both(Node a, Node b, const std::function<void(Path&)>& change) {
  change(network_.path(a, b));
  change(network_.path(b, a));
  tell_connections();
}

void World::cut(Node a, Node b) {
  both(a, b, [](Path& p) { p.up = false; });
}

void World::cut_one_way(Node from, Node to) {
  network_.path(from, to).up = false;
  tell_connections();
}

void World::heal(Node a, Node b) {
  both(a, b, [](Path& p) { p.up = true; });
}

void World::kill(Node node) {
  Process& p = *processes_[node];
  if (!p.running) return;
  say(p, "is killed");
  p.running = false;
  p.engine.reset();
  p.client.reset();
  for (const std::size_t index : p.socket) free_datagrams_.push_back(index);
  p.socket.clear();
  if (p.is_broker) {
    oracle_.broker_killed(now_, node);
  } else {
    oracle_.client_killed(now_, node);
  }
  p.connected.clear();
  tell_connections();
}

void World::restart(Node node) {
  kill(node);
  Process& p = *processes_[node];
  ++p.identity.incarnation;
  start(p);
  tell_connections();
}

void World::pause(Node node) {
  Process& p = *processes_[node];
  if (!p.running || p.paused) return;
  say(p, "is paused");
  p.paused = true;
  tell_connections();
}

void World::resume(Node node) {
  Process& p = *processes_[node];
  if (!p.running || !p.paused) return;
  say(p, "resumes");
  p.paused = false;
  tell_connections();
  p.is_broker ? p.engine->tick(clock(p)) : p.client->tick(clock(p));
  for (const std::size_t index : std::exchange(p.socket, {})) {
    receive(p, datagrams_[index]);
    free_datagrams_.push_back(index);
    service(p);
  }
  p.deadline = kNever;
  service(p);
}

void World::skew(Node node, std::int64_t ns) {
  processes_[node]->skew_ns = ns;
}

bool World::linked(Node a, Node b) {
  if (a == b) return true;
  return network_.path(a, b).up && network_.path(b, a).up;
}

// Physical ways between each client and each broker that may be a publisher's home, for the oracle's excuses.
void World::tell_connections() {
  if (!started_) return;
  const auto works = [](const Process& p) { return p.running && !p.paused; };
  for (const auto& p : processes_) {
    if (p->is_broker || !p->running) continue;
    for (const auto& b : processes_) {
      if (!b->is_broker) continue;
      const Process& home = *processes_[p->home];
      const bool up = works(*p) && works(home) && works(*b) && linked(p->node, p->home) && linked(p->home, b->node);
      const auto [it, is_new] = p->connected.try_emplace(b->node, true);
      if (it->second == up && !is_new) continue;
      it->second = up;
      oracle_.connected(now_, p->node, b->node, up);
    }
  }
}

bool World::alive(Node node) const {
  return processes_[node]->running;
}
bool World::paused(Node node) const {
  return processes_[node]->paused;
}
Engine& World::engine(Node node) {
  return *processes_[node]->engine;
}
ClientEngine& World::client_engine(Node node) {
  return *processes_[node]->client;
}
std::uint64_t World::deliveries(Node node) const {
  return processes_[node]->deliveries;
}
std::uint64_t World::latest_delivery_ns(Node node) const {
  return processes_[node]->latest_delivery_ns;
}
bool World::subscribed(Node node, std::string_view filter) const {
  return processes_[node]->standing.contains(filter);
}

void World::say(const Process& p, const std::string& text) const {
  if (log_) {
    std::fprintf(stderr, "%10.6f %-8s %s\n", static_cast<double>(now_) / 1e9, p.name.c_str(), text.c_str());
  }
}

}  // namespace portolan::broker::testing
