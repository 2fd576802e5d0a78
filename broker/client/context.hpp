// What the halves of a ClientEngine share: the endpoint and store below, topic names, and the one queue above. One
// thread; owned by ClientEngine::State.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>

#include "broker/client/table.hpp"
#include "broker/client_engine.hpp"
#include "broker/wire/control.hpp"

namespace portolan::broker::client {

inline constexpr std::uint32_t kLanes = PTL_LANES;
// Room on the control lane that announcements and snapshots leave to everything else.
inline constexpr std::uint32_t kControlReserve = 8;

// Session message numbers are 32 bits and wrap.
inline bool at_or_before(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(b - a) >= 0;
}

// Topics by name, in both directions. A topic's index + 1 is its alias in what this client sends, and that of its own
// stream of it, in every session. Topics stay until the engine ends; their number is bounded.
class Topics {
 public:
  struct Topic {
    std::uint64_t hash = 0;
    std::uint16_t name_bytes = 0;
    std::uint8_t lane = PTL_LANE_REALTIME;
    std::uint32_t announced = 0;  // session generation in which TOPIC was sent
  };
  void take(Arena& arena, const Limits& limits) {
    bound_ = limits.topics;
    name_bytes_ = limits.topic_name_bytes;
    topics_ = arena.take<Topic>(bound_);
    names_ = arena.take<char>(std::size_t{bound_} * name_bytes_);
    by_name_.take(arena, bound_);
  }
  std::uint32_t find(std::string_view name) const { return by_name_.find(key_of(name, wire::topic_hash(name))); }
  // kNil when the table is full or the name too long.
  std::uint32_t find_or_add(std::string_view name, std::uint8_t lane) {
    const std::uint64_t hash = wire::topic_hash(name);
    const Key128 key = key_of(name, hash);
    if (const std::uint32_t known = by_name_.find(key); known != kNil) return known;
    if (used_ == bound_ || name.size() > name_bytes_) return kNil;
    if (!by_name_.put(key, used_)) return kNil;
    std::memcpy(names_ + std::size_t{used_} * name_bytes_, name.data(), name.size());
    topics_[used_] = {hash, static_cast<std::uint16_t>(name.size()), lane, 0};
    return used_++;
  }
  Topic& at(std::uint32_t index) { return topics_[index]; }
  std::string_view name(std::uint32_t index) const {
    return {names_ + std::size_t{index} * name_bytes_, topics_[index].name_bytes};
  }
  std::uint32_t used() const { return used_; }

 private:
  // Two names of one hash are told apart by the second word: the first that is free or holds this very name.
  Key128 key_of(std::string_view text, std::uint64_t hash) const {
    Key128 key{hash, 0};
    for (;; ++key.b) {
      const std::uint32_t known = by_name_.find(key);
      if (known == kNil || name(known) == text) return key;
    }
  }
  Topic* topics_ = nullptr;
  char* names_ = nullptr;
  Table by_name_;
  std::uint32_t bound_ = 0;
  std::uint32_t name_bytes_ = 0;
  std::uint32_t used_ = 0;
};

// Deliveries and events in the order in which they came about.
class OutputQueue {
 public:
  struct Item {
    bool is_delivery = false;
    EventKind kind{};
    std::uint32_t name = kNil;     // topic; of `subscribed` the filter
    std::uint32_t message = kNil;  // of a delivery
    std::uint32_t incarnation = 0;
    std::uint64_t publisher = 0;
    std::uint64_t first = 0;  // of a delivery its sequence
    std::uint64_t last = 0;
    std::uint32_t code = 0;
    std::uint32_t count = 0;
    std::uint32_t peer_incarnation = 0;
    std::uint64_t peer = 0;
    std::uint64_t extra = 0;  // session uid, or retry_after_ns
  };
  void take(Arena& arena, const Limits& limits) {
    delivery_bound_ = limits.deliveries;
    event_bound_ = limits.events;
    ring_ = arena.take_raw<Item>(std::size_t{delivery_bound_} + event_bound_);
  }
  bool delivery_room() const { return deliveries_ < delivery_bound_; }
  bool event_room(std::uint32_t wanted) const { return events_ + wanted <= event_bound_; }
  bool empty() const { return deliveries_ + events_ == 0; }
  // The caller has asked for room.
  void push(const Item& item) {
    new (ring_ + (head_ + deliveries_ + events_) % (delivery_bound_ + event_bound_)) Item(item);
    (item.is_delivery ? deliveries_ : events_) += 1;
    if (deliveries_ + events_ > high_) high_ = deliveries_ + events_;
  }
  // The newest item, to lengthen a range instead of adding one; null when empty.
  Item* newest() {
    return empty() ? nullptr : &ring_[(head_ + deliveries_ + events_ - 1) % (delivery_bound_ + event_bound_)];
  }
  const Item& front() const { return ring_[head_]; }
  void pop() {
    (ring_[head_].is_delivery ? deliveries_ : events_) -= 1;
    head_ = (head_ + 1) % (delivery_bound_ + event_bound_);
  }
  std::uint32_t high() const { return high_; }

 private:
  Item* ring_ = nullptr;
  std::uint32_t delivery_bound_ = 0, event_bound_ = 0;
  std::uint32_t head_ = 0, deliveries_ = 0, events_ = 0, high_ = 0;
};

struct Context {
  Context(const Limits& l, const ClientConfig& c, Arena& arena)
      : limits(l), identity(c.identity), store(l, arena), endpoint(l, c.identity, c.entropy, arena, store) {
    topics.take(arena, l);
    out.take(arena, l);
  }
  // TOPIC, once a session, before anything that uses the alias.
  void announce_topic(Now now, std::uint32_t topic) {
    Topics::Topic& t = topics.at(topic);
    if (t.announced == generation) return;
    t.announced = generation;
    send(now, PTL_C_TOPIC, wire::TopicBody{.alias = topic + 1, .lane = t.lane, .name = topics.name(topic)});
  }
  template <typename Body>
  void send(Now now, std::uint32_t type, const Body& body) {
    std::uint8_t bytes[wire::kControlBytesMax];
    const std::size_t n = wire::encode(body, bytes);
    if (n == 0 || session == kNil) return;
    endpoint.send_control(now, session, type, {bytes, n});
  }

  const Limits limits;
  const Identity identity;
  Store store;
  Endpoint endpoint;
  Topics topics;
  OutputQueue out;
  ClientCounters counters;
  SessionId session = kNil;
  std::uint32_t generation = 0;  // counts sessions
};

}  // namespace portolan::broker::client
