// What a broker tells Prometheus (text exposition format 0.0.4, by prometheus-cpp): the engine's own counters, taken
// once a second by the broker's thread, so that a scrape never waits for the engine, nor the engine for a scrape. Names
// follow https://prometheus.io/docs/practices/naming/; broker/daemon/watch/ has alerts and a dashboard over them. A
// topic's label is the filter of the rule that governs it, never its name: so their number is bounded.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "broker/engine.hpp"
#include "broker/udp/socket.hpp"
#include "scenarios/base/error.hpp"

namespace portolan::daemon {

struct Sample {  // of one moment
  const broker::Engine* engine = nullptr;
  std::span<const broker::TopicRule> topics;  // as the engine was given them
  udp::SocketCounters sockets;
  std::uint64_t sessions = 0;
  std::uint64_t memory_bytes = 0;  // the engine's arena
};

struct About {
  std::string name, version;
  std::uint64_t id = 0;
  std::uint32_t incarnation = 0;
};

class Metrics {
 public:
  // Serves GET /metrics on ADDRESS:PORT with two threads of its own. 69 where that cannot be listened on.
  static Expected<std::unique_ptr<Metrics>> serve(const std::string& address, About about);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void take(const Sample& sample);  // the broker's thread

 private:
  struct State;
  explicit Metrics(std::unique_ptr<State> state);
  std::unique_ptr<State> s_;
};

}  // namespace portolan::daemon
