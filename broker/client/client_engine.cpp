#include "broker/client_engine.hpp"

#include <algorithm>
#include <new>

#include "broker/client/interest.hpp"
#include "broker/client/kept.hpp"

namespace portolan::broker {

using client::Context;
using client::Cursors;
using client::Interest;
using client::Kept;
using client::OutputQueue;

namespace {

constexpr std::uint32_t kBudget = 4'096;      // messages a call takes from the endpoint
constexpr std::uint32_t kEventsAMessage = 8;  // room that must be free before one more is taken; most make one or none
constexpr std::uint32_t kHandles = 64;        // deliveries out at once
constexpr std::uint32_t kSpansInline = 4;     // pieces of an ordinary message
constexpr std::uint32_t kLongHandles = 2;     // deliveries of long messages out at once

// The first of the configured session options that are not the caller's choice: a client always comes to its broker.
SessionOptions initiating(SessionOptions options) {
  options.initiate = true;
  return options;
}

using Bytes = std::span<const std::uint8_t>;

}  // namespace

struct ClientEngine::State {
  State(const Limits& limits, const ClientConfig& config, Arena& arena)
      : c(limits, config, arena),
        kept(c, arena),
        cursors(c, arena),
        interest(c, arena),
        handles(arena.take<Handle>(kHandles)),
        long_spans(limits.message_bytes_max / limits.small_block_bytes + 2),
        spans(arena.take_raw<Bytes>(std::size_t{kLongHandles} * long_spans)) {
    ready = !arena.short_of_memory();
    if (!ready) return;
    c.endpoint.configure_peer(config.broker, initiating(config.session));
    c.endpoint.set_interest({config.identity.incarnation, 0, 0});
  }

  struct Handle {
    MessageId message = kNil;
    std::uint32_t long_index = kNil;
    Bytes spans[kSpansInline];
  };

  void pump(Now now);
  void take_session_events();
  bool take_message();
  void control(const Incoming& in);
  template <typename Body, typename F>
  void decoded(const Incoming& in, F&& handle) {
    Body body{};
    if (!wire::decode(in.body, body) || !handle(body)) ++c.counters.bad_control;
  }
  void session_event(const SessionEvent& event);
  bool room() const { return c.out.delivery_room() && c.out.event_room(kEventsAMessage); }

  Context c;
  Kept kept;
  Cursors cursors;
  Interest interest;
  Handle* handles;
  std::uint32_t long_spans;
  Bytes* spans;
  bool long_used[kLongHandles] = {};
  std::uint32_t next_handle = 0;
  bool ready = false;
  bool stalled = false;  // stopped for want of room above
  bool budget_spent = false;
  bool more_to_tell = false;  // of a snapshot
  bool closing = false;       // closed after an overflow; its end has not been told yet
};

// Everything that can be done now, in one order, with bounded work.
void ClientEngine::State::pump(Now now) {
  take_session_events();
  stalled = budget_spent = false;
  for (std::uint32_t i = 0; !stalled; ++i) {
    if (i == kBudget) {
      budget_spent = true;
      break;
    }
    if (!take_message()) break;
  }
  interest.tell();
  SessionId session;
  while (c.endpoint.poll_room(session)) kept.room();
  while (c.endpoint.poll_progress(session)) {
  }
  if (!stalled && !budget_spent) kept.progress();  // never "accepted" before a BUSY that is here but not taken yet
  more_to_tell = interest.syncing() && interest.sync_step(now, cursors);
  kept.send_all(now);
  cursors.flush_delivered(now, stalled);
  if (cursors.overflowed() && !closing && c.session != kNil) {
    closing = true;
    ++c.counters.overflows;
    c.endpoint.close(now, c.session, DownReason::local);
    while (take_message()) {
    }
    take_session_events();
  }
}

void ClientEngine::State::take_session_events() {
  SessionEvent event;
  while (c.out.event_room(kEventsAMessage) && c.endpoint.poll_session_event(event)) session_event(event);
}

// While the application takes nothing, nothing is taken from the endpoint either: its bounds push back on the broker.
bool ClientEngine::State::take_message() {
  Incoming in;
  if (closing) {  // the session's end comes after its last messages; they will come again
    if (!c.endpoint.poll_message(in)) return false;
    if (in.message != kNil) c.store.release(in.message);
    return true;
  }
  if (!cursors.drain() || !room()) {
    stalled = true;
    return false;
  }
  // A session's end stands behind its last message, and the next session's messages right behind that.
  take_session_events();
  if (!c.endpoint.poll_message(in)) return false;
  if (in.session != c.session) {
    if (in.message != kNil) c.store.release(in.message);
    return true;
  }
  if (in.lane == Lane::control) {
    control(in);
  } else {
    cursors.message(in);
  }
  return !cursors.overflowed();
}

void ClientEngine::State::control(const Incoming& in) {
  switch (in.control) {
    case PTL_C_TOPIC:
      return decoded<wire::TopicBody>(in, [&](const auto& body) { return cursors.topic(body); });
    case PTL_C_STREAM:
      return decoded<wire::StreamBody>(in, [&](const auto& body) {
        const std::uint32_t topic = cursors.topic_of(body.topic);
        const bool named = topic < c.topics.used();
        if (!named) return cursors.stream(body, Cursors::Wanted::no, 0);
        const std::string_view name = c.topics.name(topic);
        return cursors.stream(body, interest.wanted(name), interest.since(name));
      });
    case PTL_C_GAP:
      return decoded<wire::GapBody>(in, [&](const auto& body) { return cursors.gap(body); });
    case PTL_C_GONE:
      return decoded<wire::GoneBody>(in, [&](const auto& body) {
        cursors.gone(body);
        return true;
      });
    case PTL_C_SUBSCRIBED:
      return decoded<wire::SubscribedBody>(in, [&](const auto& body) {
        interest.subscribed(body);
        return true;
      });
    case PTL_C_DENIED:
      return decoded<wire::DeniedBody>(in, [&](const auto& body) {
        interest.denied(body, cursors);
        return true;
      });
    case PTL_C_BUSY:
      return decoded<wire::BusyBody>(in, [&](const auto& body) {
        kept.busy(body);
        return true;
      });
    case PTL_C_ASK:
      return decoded<wire::AskBody>(in, [&](const auto& body) {
        interest.ask(body.what);
        return true;
      });
    case PTL_C_DETACHED:
      return decoded<wire::DetachedBody>(in, [&](const auto& body) {
        OutputQueue::Item item;
        item.kind = EventKind::detached;
        item.code = body.reason;
        c.out.push(item);
        interest.ask(wire::kAskInterest);  // the way back: RESUME on the same session
        return true;
      });
    default:
      ++c.counters.bad_control;
      return;
  }
}

void ClientEngine::State::session_event(const SessionEvent& event) {
  const bool up = event.kind == SessionEvent::Kind::up;
  const bool refused = event.kind == SessionEvent::Kind::refused;
  if (!up && !refused && event.session != c.session) return;
  OutputQueue::Item item;
  item.kind = up ? EventKind::session_up : refused ? EventKind::session_refused : EventKind::session_down;
  item.peer = event.peer;
  item.peer_incarnation = event.peer_incarnation;
  item.extra = event.uid;
  item.code = static_cast<std::uint32_t>(event.reason);
  c.out.push(item);
  if (refused) return;
  kept.session_down();
  interest.session_down();
  closing = false;
  c.session = kNil;
  if (!up) return;
  c.session = event.session;
  ++c.generation;
  cursors.session_up();
  kept.session_up();
  interest.session_up();
}

std::size_t ClientEngine::bytes_needed(const Limits& limits) {
  Arena dry(nullptr, 0);
  struct alignas(State) Place {
    std::byte bytes[sizeof(State)];
  };
  dry.take<Place>(1);
  Place place;
  State* state = new (&place) State(limits, ClientConfig{}, dry);
  state->~State();
  return dry.used();
}

ClientEngine::ClientEngine(const Limits& limits, const ClientConfig& config, std::span<std::uint8_t> memory) {
  Arena arena(memory.data(), memory.size());
  struct alignas(State) Place {
    std::byte bytes[sizeof(State)];
  };
  Place* place = arena.take<Place>(1);
  if (place == nullptr) return;
  s_ = new (place) State(limits, config, arena);
  if (!s_->ready) {  // too little memory: every call is answered as if nothing could be kept
    s_->~State();
    s_ = nullptr;
  }
}

ClientEngine::~ClientEngine() {
  if (s_ != nullptr) s_->~State();
}

ClientEngine::Published ClientEngine::publish(Now now, std::string_view topic, Lane lane,
                                              std::span<const std::uint8_t> payload) {
  return publish(now, topic, lane, {&payload, 1});
}

ClientEngine::Published ClientEngine::publish(Now now, std::string_view topic, Lane lane,
                                              std::span<const std::span<const std::uint8_t>> pieces) {
  if (s_ == nullptr) return {RefuseReason::memory_full, 0, 0};
  return s_->kept.publish(now, topic, lane, pieces);
}

RefuseReason ClientEngine::subscribe(Now now, std::string_view filter, ReplayMode replay) {
  if (s_ == nullptr) return RefuseReason::memory_full;
  return s_->interest.subscribe(now, filter, static_cast<std::uint8_t>(replay), s_->cursors);
}

void ClientEngine::unsubscribe(Now now, std::string_view filter) {
  if (s_ == nullptr) return;
  s_->interest.unsubscribe(now, filter, s_->cursors);
  s_->cursors.flush_delivered(now, s_->stalled);
}

void ClientEngine::receive(Now now, PathId path, std::span<const DatagramView> datagrams, std::span<Verdict> verdicts) {
  if (s_ == nullptr) return;
  s_->c.endpoint.receive(now, path, datagrams, verdicts);
  s_->pump(now);
}

void ClientEngine::segment_ready(Now now, SessionId session, std::uint32_t) {
  if (s_ == nullptr) return;
  s_->c.endpoint.segment_ready(now, session);
  s_->pump(now);
}

void ClientEngine::tick(Now now) {
  if (s_ == nullptr) return;
  s_->c.endpoint.tick(now);
  s_->pump(now);
}

void ClientEngine::drain(Now now) {
  if (s_ == nullptr) return;
  s_->c.endpoint.drain(now);
  s_->pump(now);
}

bool ClientEngine::poll_transmit(Now now, Transmit& out) {
  return s_ != nullptr && s_->c.endpoint.poll_transmit(now, out);
}

void ClientEngine::release_transmit(std::uint32_t handle) {
  if (s_ != nullptr) s_->c.endpoint.release_transmit(handle);
}

bool ClientEngine::poll_delivery(Delivery& out) {
  if (s_ == nullptr || s_->c.out.empty() || !s_->c.out.front().is_delivery) return false;
  State& s = *s_;
  const OutputQueue::Item item = s.c.out.front();
  const Message& message = s.c.store.at(item.message);
  std::uint32_t h = kNil;
  for (std::uint32_t i = 0; i < kHandles && h == kNil; ++i) {
    const std::uint32_t candidate = (s.next_handle + i) % kHandles;
    if (s.handles[candidate].message == kNil) h = candidate;
  }
  if (h == kNil) return false;  // all are out: release one first
  State::Handle& handle = s.handles[h];
  handle.long_index = kNil;
  std::span<Bytes> spans = handle.spans;
  if (message.pieces > kSpansInline) {
    for (std::uint32_t i = 0; i < kLongHandles; ++i) {
      if (!s.long_used[i]) handle.long_index = i;
    }
    if (handle.long_index == kNil) return false;
    s.long_used[handle.long_index] = true;
    spans = {s.spans + std::size_t{handle.long_index} * s.long_spans, s.long_spans};
  }
  handle.message = item.message;
  s.next_handle = h + 1;
  s.c.out.pop();
  std::size_t pieces = 0;
  s.c.store.for_each_piece(item.message, [&](Bytes bytes) {
    if (pieces < spans.size()) spans[pieces++] = bytes;
  });
  out.topic = s.c.topics.name(item.name);
  out.publisher = item.publisher;
  out.incarnation = item.incarnation;
  out.sequence = item.first;
  out.bytes = spans.first(pieces);
  out.length = message.length;
  out.handle = h;
  out.key = message_key(s.c.topics.at(item.name).hash, item.publisher, item.incarnation, item.first);
  return true;
}

void ClientEngine::release_delivery(std::uint32_t handle) {
  if (s_ == nullptr || handle >= kHandles || s_->handles[handle].message == kNil) return;
  State::Handle& h = s_->handles[handle];
  s_->c.store.release(h.message);
  if (h.long_index != kNil) s_->long_used[h.long_index] = false;
  h = State::Handle{};
}

bool ClientEngine::poll_event(Event& out) {
  if (s_ == nullptr) return false;
  OutputQueue& queue = s_->c.out;
  s_->interest.forget_told();
  while (!queue.empty() && !queue.front().is_delivery) {
    const OutputQueue::Item item = queue.front();
    queue.pop();
    out = Event{};
    out.kind = item.kind;
    out.publisher = item.publisher;
    out.incarnation = item.incarnation;
    out.first = item.first;
    out.last = item.last;
    out.code = item.code;
    out.count = item.count;
    out.peer = item.peer;
    out.peer_incarnation = item.peer_incarnation;
    if (item.kind == EventKind::refused) {
      out.retry_after_ns = item.extra;
    } else {
      out.session_uid = item.extra;
    }
    if (item.kind == EventKind::subscribed) {
      if (!s_->interest.stands(item.name, item.first)) continue;  // taken back meanwhile
      out.topic = s_->interest.text(item.name);
      out.first = out.last = 0;
    } else if (item.kind == EventKind::denied) {
      out.topic = s_->interest.tell_denied(item.name);
    } else if (item.name != kNil) {
      out.topic = s_->c.topics.name(item.name);
    }
    return true;
  }
  return false;
}

std::uint64_t ClientEngine::next_deadline() const {
  if (s_ == nullptr) return kNever;
  return s_->c.endpoint.next_deadline();
}

bool ClientEngine::more_work() const {
  return s_ != nullptr && (s_->budget_spent || s_->more_to_tell || (s_->stalled && s_->room()));
}

const ClientCounters& ClientEngine::counters() const {
  static const ClientCounters none;
  return s_ != nullptr ? s_->c.counters : none;
}

const EndpointCounters& ClientEngine::endpoint_counters() const {
  static const EndpointCounters none;
  return s_ != nullptr ? s_->c.endpoint.counters() : none;
}

std::uint32_t ClientEngine::high_water(std::span<Endpoint::HighWater> out) const {
  if (s_ == nullptr) return 0;
  const Limits& l = s_->c.limits;
  const Endpoint::HighWater mine[] = {
      {"kept_messages", s_->c.counters.kept_high, l.kept_messages},
      {"reorder_messages", s_->c.counters.reorder_high, l.reorder_messages},
      {"output_queue", s_->c.out.high(), std::uint64_t{l.deliveries} + l.events},
      {"topics", s_->c.topics.used(), l.topics},
      {"streams", s_->cursors.count(), l.streams},
  };
  std::uint32_t n = s_->c.endpoint.high_water(out);
  for (const auto& h : mine) {
    if (n < out.size()) out[n++] = h;
  }
  return n;
}

}  // namespace portolan::broker
