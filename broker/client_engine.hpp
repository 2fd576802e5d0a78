// The client library's state machine: numbers what is published, keeps it until *received*, offers it again after a
// reconnect; holds the cursors, so order and de-duplication are decided here. Sans-I/O, shares Endpoint with Engine.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "broker/session/endpoint.hpp"

namespace portolan::broker {

struct ClientConfig {
  Identity identity;
  Entropy entropy;
  PeerConfig broker;
  SessionOptions session;
};

enum class ReplayMode : std::uint8_t { none = 0, last = 1, retained = 2 };

struct ClientCounters {
  std::uint64_t published = 0, accepted = 0, received = 0, refused = 0, offered_again = 0;
  std::uint64_t delivered = 0, duplicates_dropped = 0, before_cursor = 0, gaps = 0, gap_messages = 0;
  std::uint64_t unwanted = 0;                    // messages of topics that no filter wants any more
  std::uint64_t table_full = 0;                  // topics and cursors that found no room, and messages dropped for that
  std::uint64_t bad_control = 0, overflows = 0;  // overflow: a bound of order was passed, the session began anew
  std::uint64_t reorder_high = 0, kept_high = 0;
};

class ClientEngine {
 public:
  static std::size_t bytes_needed(const Limits& limits);
  ClientEngine(const Limits& limits, const ClientConfig& config, std::span<std::uint8_t> arena);
  ~ClientEngine();
  ClientEngine(const ClientEngine&) = delete;
  ClientEngine& operator=(const ClientEngine&) = delete;

  // The application. publish copies the payload; a refusal leaves nothing queued. Publishing while disconnected keeps
  // the message (bounded) and offers it when the session is up. What is published while earlier messages of its lane
  // wait for more than the sender's bound (50 ms of its rate) is refused (backlog), with a time after which to try
  // again.
  struct Published {
    RefuseReason refused = RefuseReason::none;
    std::uint64_t sequence = 0;  // dense from 1 per (topic, incarnation) when not refused
    std::uint64_t retry_after_ns = 0;
  };
  Published publish(Now now, std::string_view topic, Lane lane, std::span<const std::uint8_t> payload);
  // A long payload need be nowhere in one piece: these one after the other.
  Published publish(Now now, std::string_view topic, Lane lane, std::span<const std::span<const std::uint8_t>> pieces);
  RefuseReason subscribe(Now now, std::string_view filter, ReplayMode replay);
  void unsubscribe(Now now, std::string_view filter);

  // in
  void receive(Now now, PathId path, std::span<const DatagramView> datagrams, std::span<Verdict> verdicts);
  void segment_ready(Now now, SessionId session, std::uint32_t slot);
  void tick(Now now);
  void drain(Now now);
  // out
  bool poll_transmit(Now now, Transmit& out);
  void release_transmit(std::uint32_t handle);
  // Deliveries and events leave through one queue: each of the two answers only when the next item is of its kind, so a
  // gap, cursor or session event keeps its place among the deliveries. Poll both in turn until neither has any.
  bool poll_delivery(Delivery& out);  // in order per (topic, publisher)
  void release_delivery(std::uint32_t handle);
  bool poll_event(Event& out);
  std::uint64_t next_deadline() const;
  bool more_work() const;

  const ClientCounters& counters() const;
  const EndpointCounters& endpoint_counters() const;
  std::uint32_t high_water(std::span<Endpoint::HighWater> out) const;

 private:
  struct State;
  State* s_ = nullptr;
};

}  // namespace portolan::broker
