// World as a host: drives each engine as the daemon and the simulator do (an input, then all outputs, then a timer for
// the next deadline), and tells the oracle what the application sees.
#include <algorithm>

#include "broker/testing/world_process.hpp"

namespace portolan::broker::testing {
namespace {

constexpr std::size_t kSocketDatagrams = 512;  // what a paused process's socket holds
constexpr std::uint32_t kSpins = 2'000;        // ticks without time passing: an engine that never rests

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
    case EventKind::denied:
      return "denied";
    case EventKind::session_refused:
      return "session_refused";
    case EventKind::peer_interest:
      return "peer_interest";
  }
  return "?";
}

}  // namespace

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
      if (p.heard) p.heard(datagrams_[timed.index]);
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
  // Bytes are promised before they are sent: nobody here lies, so nothing may come that was not promised.
  if (verdict.drop == Drop::over_credit) oracle_.wrong(now_, p.name + " is sent more than it gave credit for");
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
    const Network::Fate fate = network_.send(now_, p.node, to, out.bytes);
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
      if (seen_) seen_(d);
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

bool World::of_a_stranger(std::uint64_t publisher) const {
  const auto is = [&](const auto& p) { return p->heard && p->identity.id == publisher; };
  return std::any_of(processes_.begin(), processes_.end(), is);
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
  if (p.replaced || of_a_stranger(d.publisher)) return;
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
  if (e.kind == EventKind::denied && e.code == static_cast<std::uint32_t>(RefuseReason::permission)) ++p.denied[topic];
  if (p.is_broker) {
    if (e.kind == EventKind::detached) {
      const auto is = [&](const auto& other) { return other->identity.id == e.peer && !other->replaced; };
      const auto who = std::find_if(processes_.begin(), processes_.end(), is);
      if (who != processes_.end()) oracle_.detached(now_, p.node, (*who)->node);
    }
    return;
  }
  if (p.replaced || of_a_stranger(e.publisher)) return;
  switch (e.kind) {
    case EventKind::accepted:
      return oracle_.accepted(now_, p.node, topic, e.first, e.last);
    case EventKind::refused:
      return oracle_.refused(now_, p.node, topic, e.first);
    case EventKind::received:
      return oracle_.received(now_, p.node, topic, e.first, e.last);
    case EventKind::cursor:
      return oracle_.cursor(now_, p.node, topic, e.publisher, e.incarnation, e.first);
    case EventKind::gap:
      return oracle_.gap(now_, p.node, topic, e.publisher, e.incarnation, e.first, e.last, e.code);
    case EventKind::denied:
      return oracle_.unsubscribe(now_, p.node, topic);
    case EventKind::subscribed:
      p.standing.insert(topic);
      return oracle_.subscribed(now_, p.node, topic, e.count);
    default:
      return;
  }
}

}  // namespace portolan::broker::testing
