// The broker as a deterministic state machine: sessions to clients and to the other brokers of its tenant, interest,
// fan-out by the one-hop rule, retention, RESUME, GAP, detach, the three answers. Sans-I/O (broker/types.hpp); driven
// by the daemon, the simulator, the tests and the fuzzer alike. One engine, one thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "broker/session/endpoint.hpp"

namespace portolan::broker {

struct TopicRule {  // retention and lane by topic filter; the first that matches counts
  std::string_view filter;
  Lane lane = Lane::realtime;
  std::uint64_t retain_ns = 0;
  std::uint64_t retain_bytes = 0;
};

// What clients of this key may do with the topics that a filter matches. Rules of one key add up; where there are any
// rules at all, nobody may do more than they say. Brokers are bound by their role alone (PROTOCOL.md "Permissions").
enum Right : std::uint8_t { kMayPublish = 1, kMaySubscribe = 2 };
struct Permission {
  Key32 key{};  // zero: every client
  std::string_view topics;
  std::uint8_t rights = 0;
};

struct EngineConfig {
  Identity identity;
  Entropy entropy;
  std::span<const PeerConfig> peers;  // the other brokers; the smaller id initiates
  SessionOptions broker_sessions;     // `initiate` is ignored
  SessionOptions client_sessions;
  std::span<const Key32> allowed_clients;   // empty: every key
  std::span<const Permission> permissions;  // empty: every client may do everything
  std::span<const TopicRule> topics;
  std::uint64_t detach_ns = 10'000'000'000;  // absence or age of a downstream's backlog
  std::uint64_t detach_bytes = 64u << 20;
};

// The topics that one TopicRule governs. Together those of no rule: the last. Of more than kCountedRules rules those
// beyond are counted there too.
struct TopicCounters {
  static constexpr std::uint32_t kBuckets = 26, kLeastBits = 12;
  std::uint64_t messages_in = 0,
                bytes_in = 0;  // from publishers here and from other brokers; duplicates are not counted
  std::uint64_t messages_out = 0, bytes_out = 0;  // handed to sessions, one for each downstream
  std::uint64_t gaps_told = 0;                    // messages in GAPs told to clients
  std::uint64_t refused = 0;
  // From a message's arrival here until no downstream owed it any more. Bucket i: less than 2^(kLeastBits + i) ns, and
  // not in the one before; the last: all above.
  std::uint64_t delivered_within[kBuckets] = {};
  std::uint64_t delivered = 0, delivered_sum_ns = 0;
};
inline constexpr std::uint32_t kCountedRules = 64;

struct EngineCounters {
  std::uint64_t published_in = 0, forwarded_in = 0, delivered_out = 0, duplicates_dropped = 0;
  std::uint64_t refused[8] = {};    // by RefuseReason
  std::uint64_t gaps_told[8] = {};  // messages in GAPs told to downstreams, by GapReason
  std::uint64_t detached = 0, resumed = 0, interest_mended = 0, retained_messages = 0, retained_bytes = 0;
  std::uint64_t retention_expired = 0, backlog_bytes_high = 0;
  std::uint64_t bad_control = 0, events_dropped = 0, gaps_forgotten = 0;
  std::uint64_t denied_publish = 0, denied_subscribe = 0;  // topics and filters asked for without the right to them
  std::uint64_t permissions_short = 0;                     // rules beyond Limits::permissions: nobody has them
  std::uint64_t streams_given_back = 0, topics_given_back = 0, aliases_short = 0, hub_changes = 0;
  // Long messages sent on before they were whole (one a downstream); of them, those that never became whole.
  std::uint64_t sent_through = 0, through_broken = 0, through_taken_back = 0;
};

class Engine {
 public:
  // Bytes that an engine with these limits takes from its arena (printed per pool by the daemon).
  static std::size_t bytes_needed(const Limits& limits, std::span<const TopicRule> topics = {});
  Engine(const Limits& limits, const EngineConfig& config, std::span<std::uint8_t> arena);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // in
  void receive(Now now, PathId path, std::span<const DatagramView> datagrams, std::span<Verdict> verdicts);
  void segment_ready(Now now, SessionId session, std::uint32_t slot);  // the kernel path's doorbell (hint)
  void disk_done(Now now, std::uint64_t token, DiskResult result, std::span<const std::uint8_t> read = {});
  void tick(Now now);
  void drain(Now now);
  // out
  bool poll_transmit(Now now, Transmit& out);
  void release_transmit(std::uint32_t handle);
  bool poll_disk(DiskRequest& out);
  bool poll_event(Event& out);
  std::uint64_t next_deadline() const;
  bool more_work() const;  // the last call stopped at its bound of work: call tick(now) again

  const EngineCounters& counters() const;
  std::span<const TopicCounters> topic_counters() const;  // by rule, in their order; the last: of no rule
  const EndpointCounters& endpoint_counters() const;
  std::uint32_t high_water(std::span<Endpoint::HighWater> out) const;
  // Test hook: the next `count` control messages of this type that arrive are lost after their acknowledgement.
  void lose_control_for_test(std::uint32_t control, std::uint32_t count);

 private:
  struct State;
  State* s_ = nullptr;
};

}  // namespace portolan::broker
