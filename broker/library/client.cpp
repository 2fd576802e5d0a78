// portolan::Client: a ClientEngine in an arena of its own on a udp::Loop with one socket.
#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "broker/client_engine.hpp"
#include "broker/crypto/plain_key.hpp"
#include "broker/library/portolan.hpp"
#include "broker/udp/control.hpp"
#include "broker/udp/counters.hpp"
#include "broker/udp/loop.hpp"

namespace portolan {

namespace {

// The public numbers are the engine's; a program compiled against one header must not meet another meaning.
template <class A, class B>
constexpr bool same(A ours, B theirs) {
  return static_cast<std::uint32_t>(ours) == static_cast<std::uint32_t>(theirs);
}
static_assert(same(Lane::ordered, broker::Lane::ordered) && same(Lane::realtime, broker::Lane::realtime) &&
              same(Lane::bulk, broker::Lane::bulk));
static_assert(same(Replay::last, broker::ReplayMode::last) && same(Replay::retained, broker::ReplayMode::retained));
static_assert(same(Refused::not_connected, broker::RefuseReason::not_connected) &&
              same(Refused::memory_full, broker::RefuseReason::memory_full) &&
              same(Refused::too_long, broker::RefuseReason::too_long) &&
              same(Refused::bad_topic, broker::RefuseReason::bad_topic) &&
              same(Refused::backlog, broker::RefuseReason::backlog) &&
              same(Refused::permission, broker::RefuseReason::permission) &&
              same(Refused::retry_later, broker::RefuseReason::retry_later));

// An id that nobody else has drawn; high, so that it is told from those that people give.
bool draw_id(std::uint64_t& id) {
  if (getrandom(&id, sizeof id, 0) != static_cast<ssize_t>(sizeof id)) return false;
  id = (id >> 2) | 1ull << 62;
  return true;
}

std::string_view view(std::span<const char> text) {
  return {text.data(), text.size()};
}

}  // namespace

struct Client::State final : udp::GuestOf<broker::ClientEngine> {
  State(udp::Loop l, Handler& h, Witness* w) : loop(std::move(l)), handler(h), witness(w) {}
  ~State() override {
    engine.reset();
    if (arena != MAP_FAILED) munmap(arena, arena_bytes);
  }

  void upward() override;
  void judged(std::span<const broker::Verdict> verdicts) override;
  void before_send() override {
    if (witness != nullptr) witness->before_send();
  }
  void tell(const broker::Event& event);
  void tell(const broker::Delivery& delivery);
  void start() {
    set_engine(*engine);
    loop.attach(*this);
    loop.after_call();
  }
  // After a call into the engine. From within a handler nothing: the turn that called it goes on.
  void settle() {
    if (!inside) loop.after_call();
  }

  udp::Loop loop;
  std::optional<udp::ControlSocket> control;
  Handler& handler;
  Witness* witness;
  broker::Identity identity;
  void* arena = MAP_FAILED;
  std::size_t arena_bytes = 0;
  std::unique_ptr<broker::ClientEngine> engine;
  bool up = false, closed = false, stopped = false;
  bool inside = false;  // a handler is running: what it asks for leaves when it is done
  std::uint64_t published = 0, settled = 0;
  std::vector<std::string> filters;  // asked for and not given up, for leave()
};

void Client::State::upward() {
  if (inside || closed) return;
  inside = true;
  broker::Event event;
  broker::Delivery delivery;
  for (bool more = true; more;) {
    more = false;
    while (engine->poll_event(event)) {
      tell(event);
      more = true;
    }
    while (engine->poll_delivery(delivery)) {
      tell(delivery);
      engine->release_delivery(delivery.handle);
      more = true;
    }
  }
  inside = false;
}

void Client::State::judged(std::span<const broker::Verdict> verdicts) {
  if (witness == nullptr) return;
  for (const broker::Verdict& v : verdicts) {
    witness->on_packet({v.session_uid, v.packet, static_cast<std::uint32_t>(v.drop), v.consumed});
  }
}

void Client::State::tell(const broker::Delivery& d) {
  Message message;
  message.topic = view(d.topic);
  message.publisher = d.publisher;
  message.incarnation = d.incarnation;
  message.sequence = d.sequence;
  message.pieces = d.bytes;
  message.bytes = d.length;
  handler.on_message(message);
}

void Client::State::tell(const broker::Event& e) {
  using broker::EventKind;
  const Answer answer{view(e.topic), e.first, e.last, static_cast<Refused>(e.code), e.retry_after_ns};
  switch (e.kind) {
    case EventKind::session_up:
      up = true;
      handler.on_up({e.peer, e.peer_incarnation, e.session_uid, e.code});
      break;
    case EventKind::session_down:
      up = false;
      handler.on_down({e.peer, e.peer_incarnation, e.session_uid, e.code});
      break;
    case EventKind::subscribed:
      handler.on_subscribed(view(e.topic), e.count);
      break;
    case EventKind::cursor:
      handler.on_cursor({view(e.topic), e.publisher, e.incarnation, e.first, e.code});
      break;
    case EventKind::accepted:
      handler.on_accepted({view(e.topic), e.first, e.last, Refused::none, 0});
      break;
    case EventKind::received:
      settled += e.last - e.first + 1;
      handler.on_received({view(e.topic), e.first, e.last, Refused::none, 0});
      break;
    case EventKind::refused:
      settled += e.last - e.first + 1;
      handler.on_refused(answer);
      break;
    case EventKind::gap:
      handler.on_gap({view(e.topic), e.publisher, e.incarnation, e.first, e.last, e.code});
      break;
    case EventKind::detached:
      handler.on_detached(e.code);
      break;
    case EventKind::denied:
    case EventKind::session_refused:
    case EventKind::peer_interest:
      break;
  }
}

std::unique_ptr<Client> Client::connect(const Options& options, Handler& handler, ConnectError& error,
                                        Witness* witness) {
  const auto refuse = [&](Exit code, std::string why) -> std::unique_ptr<Client> {
    error = {static_cast<int>(code), std::move(why)};
    return nullptr;
  };
  if (!options.plain) {
    return refuse(Exit::usage, "no keys are given; set `plain` to run without any (nothing is sealed then)");
  }
  broker::Limits limits;
  if (!broker::Limits::by_name(options.limits, limits)) {
    return refuse(Exit::usage, "no limits \"" + options.limits + "\"; valid: sim_client, long_client, thousand_client");
  }
  if (options.broker_id == 0)
    return refuse(Exit::usage, "broker_id is 0; it is the `id` of the broker's configuration");
  if (options.fragment_bytes < 1'088 || options.fragment_bytes > 4'032 || options.fragment_bytes % 64 != 0) {
    return refuse(Exit::usage, "fragment_bytes is out of range; valid: multiples of 64, 1088 to 4032");
  }
  const auto to = udp::Address::resolve(options.broker);
  if (!to) return refuse(to.error().code, to.error().text());
  const auto local = udp::Address::parse(!options.bind.empty() ? options.bind : to->v6() ? "[::]:0" : "0.0.0.0:0");
  if (!local) return refuse(local.error().code, local.error().text());
  auto loop = udp::Loop::open({&*local, 1}, {});
  if (!loop) return refuse(loop.error().code, loop.error().text());
  const auto path = loop->path_to(*to);
  if (!path) return refuse(path.error().code, path.error().text());

  auto state = std::make_unique<State>(std::move(*loop), handler, witness);
  std::uint64_t id = options.id;
  if (id == 0 && !draw_id(id)) return refuse(Exit::cannot, "the kernel gives no random numbers");
  const std::uint32_t incarnation = options.incarnation != 0 ? options.incarnation
                                    : options.id == 0        ? 1
                                                             : udp::incarnation_from_clock();
  state->identity = broker::plain_identity(id, incarnation);
  broker::ClientConfig config;
  config.identity = state->identity;
  if (getrandom(config.entropy.seed.data(), config.entropy.seed.size(), 0) !=
      static_cast<ssize_t>(config.entropy.seed.size())) {
    return refuse(Exit::cannot, "the kernel gives no random numbers");
  }
  config.broker = {options.broker_id, broker::plain_identity(options.broker_id, 1).static_public, *path, {}};
  config.session.initiate = true;
  config.session.idle_interval_ns = options.heartbeat_ns;
  config.session.rate_bps = options.rate_bps;
  config.session.fragment_bytes = options.fragment_bytes;
  config.session.modes = broker::kModePlain;
  state->arena_bytes = broker::ClientEngine::bytes_needed(limits);
  state->arena = mmap(nullptr, state->arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (state->arena == MAP_FAILED) return refuse(Exit::cannot, std::string("no memory: ") + std::strerror(errno));
  state->engine = std::make_unique<broker::ClientEngine>(
      limits, config, std::span<std::uint8_t>(static_cast<std::uint8_t*>(state->arena), state->arena_bytes));
  if (!options.control.empty()) {
    auto control = udp::ControlSocket::open(options.control, state->loop);
    if (!control) return refuse(control.error().code, control.error().text());
    state->control = std::move(*control);
  }
  state->start();
  return std::unique_ptr<Client>(new Client(std::move(state)));
}

Client::Client(std::unique_ptr<State> state) : s_(std::move(state)) {}

Client::~Client() {
  close();
}

Published Client::publish(std::string_view topic, std::span<const std::uint8_t> payload, Lane lane) {
  if (s_->closed) return {Refused::not_connected, 0, 0};
  const auto published = s_->engine->publish(s_->loop.now(), topic, static_cast<broker::Lane>(lane), payload);
  // A refusal leaves nothing queued, so there is nothing to send; and no handler comes between it and its answer.
  if (published.refused == broker::RefuseReason::none) {
    ++s_->published;
    s_->settle();
  }
  return {static_cast<Refused>(published.refused), published.sequence, published.retry_after_ns};
}

Published Client::publish(std::string_view topic, std::string_view payload, Lane lane) {
  return publish(topic, {reinterpret_cast<const std::uint8_t*>(payload.data()), payload.size()}, lane);
}

Refused Client::subscribe(std::string_view filter, Replay replay) {
  if (s_->closed) return Refused::not_connected;
  const auto refused = s_->engine->subscribe(s_->loop.now(), filter, static_cast<broker::ReplayMode>(replay));
  if (refused == broker::RefuseReason::none &&
      std::find(s_->filters.begin(), s_->filters.end(), filter) == s_->filters.end()) {
    s_->filters.emplace_back(filter);
  }
  s_->settle();
  return static_cast<Refused>(refused);
}

void Client::unsubscribe(std::string_view filter) {
  if (s_->closed) return;
  s_->engine->unsubscribe(s_->loop.now(), filter);
  std::erase(s_->filters, filter);
  s_->settle();
}

void Client::run_for(std::uint64_t ns) {
  const std::uint64_t from = udp::monotonic_ns();
  const std::uint64_t until = ns > broker::kNever - from ? broker::kNever : from + ns;
  s_->stopped = false;
  while (!s_->stopped && !s_->closed) {
    const std::uint64_t now = udp::monotonic_ns();
    if (now >= until) break;
    s_->loop.wait(until == broker::kNever ? broker::kNever : until - now);
  }
}

void Client::stop() {
  s_->stopped = true;
}
int Client::descriptor() const {
  return s_->loop.descriptor();
}
void Client::process() {
  if (!s_->closed) s_->loop.turn();
}
std::uint64_t Client::next_deadline_ns() const {
  return s_->loop.next_deadline();
}
bool Client::up() const {
  return s_->up;
}
std::uint64_t Client::id() const {
  return s_->identity.id;
}
std::uint32_t Client::incarnation() const {
  return s_->identity.incarnation;
}
std::uint64_t Client::unreceived() const {
  return s_->published - std::min(s_->published, s_->settled);
}
std::string Client::local_address() const {
  return s_->loop.sockets()[0].local().text();
}
std::uint64_t Client::memory_bytes() const {
  return s_->arena_bytes;
}

void Client::close() {
  if (s_->closed) return;
  s_->closed = true;
  s_->up = false;
  s_->engine->drain(s_->loop.now());
  s_->loop.after_call();
}

void Client::leave(std::uint64_t linger_ns) {
  if (s_->closed) return;
  const std::vector<std::string> filters = std::move(s_->filters);
  s_->filters.clear();
  for (const std::string& filter : filters) s_->engine->unsubscribe(s_->loop.now(), filter);
  s_->settle();
  if (!filters.empty() && s_->up) run_for(linger_ns);
  close();
}

std::vector<Counter> Client::counters() const {
  std::vector<Counter> out;
  const broker::ClientCounters& c = s_->engine->counters();
  out = {{"published", 0, c.published},
         {"accepted", 0, c.accepted},
         {"received", 0, c.received},
         {"client_refused", 0, c.refused},
         {"offered_again", 0, c.offered_again},
         {"delivered", 0, c.delivered},
         {"client_duplicates_dropped", 0, c.duplicates_dropped},
         {"before_cursor", 0, c.before_cursor},
         {"gaps", 0, c.gaps},
         {"gap_messages", 0, c.gap_messages}};
  const auto tell = [&out](const char* name, std::uint32_t code, std::uint64_t value) {
    out.push_back({name, code, value});
  };
  udp::each_counter(s_->engine->endpoint_counters(), tell);
  udp::each_counter(s_->loop.socket_counters(), tell);
  return out;
}

std::vector<Pool> Client::pools() const {
  std::array<broker::Endpoint::HighWater, 64> marks{};
  const std::uint32_t n = s_->engine->high_water(marks);
  std::vector<Pool> out;
  for (std::uint32_t i = 0; i < n; ++i) out.push_back({marks[i].name, marks[i].used_most, marks[i].bound});
  return out;
}

std::string Message::text() const {
  std::string out;
  out.reserve(bytes);
  for (const auto& piece : pieces) out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  return out;
}

const char* name_of(Refused reason) {
  constexpr const char* kNames[] = {"none",      "not connected", "memory full", "too long",
                                    "bad topic", "backlog",       "permission",  "retry later"};
  const auto i = static_cast<std::size_t>(reason);
  return i < std::size(kNames) ? kNames[i] : "unknown";
}

const char* gap_reason(std::uint32_t reason) {
  constexpr const char* kNames[] = {"none", "retention", "detached", "publisher lost", "broker lost", "refused"};
  return reason < std::size(kNames) ? kNames[reason] : "unknown";
}

}  // namespace portolan
