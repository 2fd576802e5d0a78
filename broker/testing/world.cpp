#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "broker/crypto/noise.hpp"
#include "broker/testing/world_process.hpp"

namespace portolan::broker::testing {
namespace {

Key32 key_of(std::uint64_t seed, std::uint64_t id, std::uint64_t kind) {
  Key32 key{};
  Draw draw(mix(mix(seed, id), kind));
  for (auto& byte : key) byte = static_cast<std::uint8_t>(draw.next());
  return key;
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
  leaf_limits = b;
  client_limits = b;
  client_limits.sessions = 2;
  client_limits.peers = 1;
  client_limits.downstreams = 2;
  client_limits.messages = 4'096;
  client_limits.small_blocks = 4'096;
}

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

Node World::stranger(std::uint64_t id, std::function<void(const Datagram&)> heard) {
  auto p = std::make_unique<Process>();
  p->node = static_cast<Node>(processes_.size());
  p->name = "stranger";
  p->identity.id = id;
  p->identity.static_private = key_of(seed_, id, 7);
  p->identity.static_public = public_key_of(p->identity.static_private);
  p->heard = std::move(heard);
  processes_.push_back(std::move(p));
  return processes_.back()->node;
}

void World::inject(Node from, Node to, std::vector<std::uint8_t> bytes) {
  start_all();
  Process& p = *processes_[to];
  if (!p.running || p.paused) return;
  receive(p, Datagram{from, to, std::move(bytes)});
  service(p);
}

const Identity& World::identity(Node node) const {
  return processes_[node]->identity;
}
PathId World::path_of(Node node) const {
  return path_to(node);
}

void World::leaf(Node broker, Node hub, Node standby) {
  Process& p = *processes_[broker];
  p.leaf = true;
  p.hub = hub;
  p.standby = standby;
}

void World::permit(Node client, std::string_view filter, std::uint8_t rights) {
  permitted_.push_back({processes_[client]->identity.static_public, std::string(filter), rights});
}

void World::start_all() {
  if (started_) return;
  started_ = true;
  for (const auto& p : processes_) {
    if (!p->running && !p->heard) start(*p);
  }
  tell_connections();
}

void World::start(Process& p) {
  SessionOptions session;
  session.rate_bps = options_.rate_bps;
  session.first_bps = options_.first_bps;
  session.modes = options_.modes;
  session.idle_interval_ns = 100 * kMilli;
  const Entropy entropy{key_of(seed_, p.identity.id, 100 + p.identity.incarnation)};
  if (p.is_broker) {
    std::vector<PeerConfig> peers;
    for (const auto& other : processes_) {
      if (!other->is_broker || other->node == p.node) continue;
      PeerRole role = PeerRole::mesh;
      if (p.leaf) {
        if (other->node != p.hub && other->node != p.standby) continue;
        role = other->node == p.hub ? PeerRole::hub : PeerRole::standby;
      } else if (other->leaf) {
        if (other->hub != p.node && other->standby != p.node) continue;
        role = other->hub == p.node ? PeerRole::leaf : PeerRole::standby_leaf;
      }
      peers.push_back({other->identity.id, other->identity.static_public, path_to(other->node), role});
    }
    const TopicRule rules[] = {{options_.brief, Lane::realtime, 200 * kMilli, 0},
                               {"#", Lane::realtime, options_.retain_ns, options_.retain_bytes}};
    EngineConfig config;
    config.identity = p.identity;
    config.entropy = entropy;
    config.peers = peers;
    config.broker_sessions = config.client_sessions = session;
    config.client_sessions.idle_interval_ns = 500 * kMilli;
    std::vector<Permission> permissions;
    for (const Permitted& one : permitted_) permissions.push_back({one.key, one.filter, one.rights});
    config.permissions = permissions;
    config.topics = std::span(rules).subspan(options_.brief.empty() ? 1 : 0);
    config.detach_ns = options_.detach_ns;
    config.detach_bytes = options_.detach_bytes;
    const Limits& limits = p.leaf ? options_.leaf_limits : options_.broker_limits;
    p.engine = std::make_unique<Engine>(limits, config, p.arena(Engine::bytes_needed(limits)));
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
  std::vector<std::span<const std::uint8_t>> pieces;  // odd ones: nothing may depend on how an application cuts
  constexpr std::size_t kPiece = 100'003;
  for (std::size_t from = 0; from < bytes; from += kPiece) {
    pieces.push_back(std::span<const std::uint8_t>(payload).subspan(from, std::min(kPiece, bytes - from)));
  }
  const auto result = p.client->publish(clock(p), topic, lane, pieces);
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

Node World::replace(Node node) {
  processes_[node]->replaced = true;
  oracle_.client_killed(now_, node);
  auto p = std::make_unique<Process>();
  p->node = static_cast<Node>(processes_.size());
  p->home = processes_[node]->home;
  p->name = processes_[node]->name + "'";
  p->identity = processes_[node]->identity;
  ++p->identity.incarnation;
  network_.path(p->node, p->home).delay_ns = options_.to_client_ns;
  network_.path(p->home, p->node).delay_ns = options_.to_client_ns;
  processes_.push_back(std::move(p));
  start(*processes_.back());
  tell_connections();
  return processes_.back()->node;
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

std::uint64_t World::denied(Node node, std::string_view name) const {
  const auto& all = processes_[node]->denied;
  const auto it = all.find(name);
  return it == all.end() ? 0 : it->second;
}

void World::say(const Process& p, const std::string& text) const {
  if (log_) {
    std::fprintf(stderr, "%10.6f %-8s %s\n", static_cast<double>(now_) / 1e9, p.name.c_str(), text.c_str());
  }
}

}  // namespace portolan::broker::testing
