#include "broker/daemon/host.hpp"

#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "broker/crypto/plain_key.hpp"
#include "broker/daemon/incarnation.hpp"

namespace portolan::daemon {

// Address space for the engine; the kernel gives pages as they are used, all of them zero.
struct BrokerHost::Arena {
  void* at = MAP_FAILED;
  std::size_t bytes = 0;
  ~Arena() {
    if (at != MAP_FAILED) munmap(at, bytes);
  }
};

BrokerHost::BrokerHost(udp::Loop loop, Logger& log) : loop_(std::move(loop)), log_(log) {}
BrokerHost::~BrokerHost() = default;

Expected<std::unique_ptr<BrokerHost>> BrokerHost::make(const Config& config, Logger& log) {
  auto loop = udp::Loop::open(config.listen, {});
  if (!loop) return tl::unexpected<Error>(loop.error());
  std::unique_ptr<BrokerHost> host(new BrokerHost(std::move(*loop), log));
  if (auto built = host->build(config); !built) return tl::unexpected<Error>(built.error());
  return host;
}

Expected<void> BrokerHost::build(const Config& config) {
  const auto incarnation =
      config.incarnation != 0 ? Expected<std::uint32_t>(config.incarnation) : next_incarnation(config.state);
  if (!incarnation) return tl::unexpected<Error>(incarnation.error());
  incarnation_ = *incarnation;
  broker::EngineConfig engine;
  engine.identity = broker::plain_identity(config.id, incarnation_);
  if (getrandom(engine.entropy.seed.data(), engine.entropy.seed.size(), 0) !=
      static_cast<ssize_t>(engine.entropy.seed.size())) {
    return fail(Exit::cannot, "getrandom", std::strerror(errno));
  }
  for (const Peer& peer : config.peers) {
    const auto address = udp::Address::resolve(peer.address);
    if (!address) return tl::unexpected<Error>(address.error());
    const auto path = loop_.path_to(*address);
    if (!path) return tl::unexpected<Error>(path.error());
    peers_.push_back({peer.id, broker::plain_identity(peer.id, 1).static_public, *path, peer.role});
  }
  engine.peers = peers_;
  engine.broker_sessions.idle_interval_ns = config.heartbeat_brokers_ns;
  engine.broker_sessions.rate_bps = config.rate_bps;
  engine.broker_sessions.fragment_bytes = config.fragment_bytes;
  engine.broker_sessions.modes = broker::kModePlain;
  engine.client_sessions = engine.broker_sessions;
  engine.client_sessions.idle_interval_ns = config.heartbeat_clients_ns;
  for (const Topic& topic : config.topics) filters_.push_back(topic.filter);
  for (std::size_t i = 0; i < config.topics.size(); ++i) {
    const Topic& topic = config.topics[i];
    rules_.push_back({filters_[i], topic.lane, topic.retain_ns, topic.retain_bytes});
  }
  engine.topics = rules_;
  engine.detach_ns = config.detach_ns;
  engine.detach_bytes = config.detach_bytes;

  arena_ = std::make_unique<Arena>();
  arena_->bytes = broker::Engine::bytes_needed(config.limits, rules_);
  arena_->at = mmap(nullptr, arena_->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (arena_->at == MAP_FAILED) {
    return fail(Exit::cannot, "memory",
                std::string(std::strerror(errno)) + "; limits \"" + config.limits_name + "\" need " +
                    read::show_size(arena_->bytes));
  }
  engine_ = std::make_unique<broker::Engine>(
      config.limits, engine, std::span<std::uint8_t>(static_cast<std::uint8_t*>(arena_->at), arena_->bytes));
  if (!config.control.empty()) {
    auto control = udp::ControlSocket::open(config.control, loop_);
    if (!control) return tl::unexpected<Error>(control.error());
    control_ = std::move(*control);
  }
  if (config.record) {
    auto witness = Witness::create(*config.record, config.id, incarnation_);
    if (!witness) return tl::unexpected<Error>(witness.error());
    witness_ = std::move(*witness);
  }
  if (!config.metrics_listen.empty()) {
    auto metrics = Metrics::serve(config.metrics_listen, {config.name, PORTOLAN_VERSION, config.id, incarnation_});
    if (!metrics) return tl::unexpected<Error>(metrics.error());
    metrics_ = std::move(*metrics);
    tell_metrics();
  }
  set_engine(*engine_);
  loop_.attach(*this);
  return {};
}

void BrokerHost::upward() {
  broker::Event event;
  while (engine_->poll_event(event)) {
    if (witness_) witness_->event(event);
    tell(event);
  }
  broker::DiskRequest request;
  while (engine_->poll_disk(request)) {
    // Nothing that is spoken today writes to a disk; whatever asks is told so, rather than left waiting.
    engine_->disk_done(loop_.now(), request.token, broker::DiskResult::failed);
  }
}

void BrokerHost::judged(std::span<const broker::Verdict> verdicts) {
  if (witness_) witness_->judged(verdicts);
}

void BrokerHost::before_send() {
  if (!witness_) return;
  if (auto written = witness_->turn(*engine_, loop_, false); !written) broken_ = written.error();
}

Expected<void> BrokerHost::finish() {
  return witness_ ? witness_->finish(*engine_, loop_) : Expected<void>{};
}

void BrokerHost::tell(const broker::Event& event) {
  using broker::EventKind;
  const bool session = event.kind == EventKind::session_up || event.kind == EventKind::session_down;
  if (event.kind == EventKind::session_up) ++sessions_;
  if (event.kind == EventKind::session_down && sessions_ > 0) --sessions_;
  const bool refusal = event.kind == EventKind::denied || event.kind == EventKind::session_refused;
  if (!session && !refusal && event.kind != EventKind::detached && event.kind != EventKind::peer_interest) return;
  if (!session_lines_.admit(loop_.now().mono_ns)) return;
  switch (event.kind) {
    case EventKind::session_up:
      log_(Level::info, "session up",
           {{"peer", event.peer}, {"incarnation", event.peer_incarnation}, {"uid", event.session_uid}});
      break;
    case EventKind::session_down:
      log_(Level::info, "session down",
           {{"peer", event.peer},
            {"incarnation", event.peer_incarnation},
            {"uid", event.session_uid},
            {"reason", reason_of(static_cast<broker::DownReason>(event.code))}});
      break;
    case EventKind::detached:
      log_(Level::warning, "detached", {{"peer", event.peer}, {"reason", event.code}});
      break;
    case EventKind::denied:
      log_(Level::warning, event.count == broker::kMayPublish ? "publishing denied" : "subscription denied",
           {{"peer", event.peer}, {"topic", std::string_view(event.topic.data(), event.topic.size())}});
      break;
    case EventKind::session_refused:
      log_(Level::warning, "session refused",
           {{"peer", event.peer}, {"reason", reason_of(static_cast<broker::DownReason>(event.code))}});
      break;
    case EventKind::peer_interest:
      log_(Level::debug, "interest complete", {{"peer", event.peer}});
      break;
    default:
      break;
  }
}

void BrokerHost::tell_metrics() {
  if (metrics_) metrics_->take({engine_.get(), rules_, loop_.socket_counters(), sessions_, arena_->bytes});
}

void BrokerHost::each_second() {
  tell_metrics();
  if (witness_) {
    if (auto written = witness_->turn(*engine_, loop_, true); !written) broken_ = written.error();
  }
  if (const std::uint64_t n = session_lines_.take_held_back(); n > 0) {
    log_(Level::warning, "lines held back", {{"lines", n}});
  }
  const udp::SocketCounters now = loop_.socket_counters();
  for (std::size_t i = 0; i < now.lost.size(); ++i) {
    if (now.lost[i] == told_.lost[i]) continue;
    log_(Level::warning, "datagrams lost at the socket",
         {{"reason", udp::name_of(static_cast<udp::Loss>(i))}, {"datagrams", now.lost[i] - told_.lost[i]}});
  }
  told_ = now;
  const broker::EndpointCounters& endpoint = engine_->endpoint_counters();
  for (std::size_t i = 1; i < told_drops_.size(); ++i) {
    if (endpoint.drops[i] == told_drops_[i]) continue;
    log_(Level::info, "dropped",
         {{"reason", broker::name_of(static_cast<broker::Drop>(i))}, {"times", endpoint.drops[i] - told_drops_[i]}});
    told_drops_[i] = endpoint.drops[i];
  }
}

void BrokerHost::say_totals() {
  each_second();
  const broker::EndpointCounters& e = engine_->endpoint_counters();
  const broker::EngineCounters& c = engine_->counters();
  log_(Level::info, "totals",
       {{"datagrams_in", e.datagrams_in},
        {"datagrams_out", e.datagrams_out},
        {"published_in", c.published_in},
        {"forwarded_in", c.forwarded_in},
        {"delivered_out", c.delivered_out},
        {"repair_datagrams", e.repair_datagrams},
        {"detached", c.detached}});
}

const char* reason_of(broker::DownReason reason) {
  constexpr const char* kNames[] = {"none",  "timeout",   "reset",    "closed",      "replaced", "handshake failed",
                                    "local", "exhausted", "tampered", "mode refused"};
  const auto i = static_cast<std::size_t>(reason);
  return i < std::size(kNames) ? kNames[i] : "unknown";
}

std::vector<Share> memory_shares(const broker::Limits& limits) {
  // The bytes that go when a bound is halved, twice: what it buys, whoever's pool it is in.
  const std::size_t all = broker::Engine::bytes_needed(limits);
  std::vector<Share> shares;
  const auto add = [&](const char* name, std::uint32_t broker::Limits::*bound) {
    broker::Limits half = limits;
    half.*bound /= 2;
    const std::size_t less = broker::Engine::bytes_needed(half);
    if (less < all) shares.push_back({name, limits.*bound, 2 * (all - less)});
  };
  using L = broker::Limits;
  add("sessions", &L::sessions);
  add("downstreams", &L::downstreams);
  add("messages", &L::messages);
  add("small blocks", &L::small_blocks);
  add("small slots", &L::small_slots);
  add("large slots", &L::large_slots);
  add("topics", &L::topics);
  add("streams", &L::streams);
  add("filters", &L::filters);
  add("unresolved messages", &L::unresolved_messages);
  add("events", &L::events);
  add("transmits", &L::transmits);
  shares.push_back({"in all", 0, all});
  return shares;
}

}  // namespace portolan::daemon
