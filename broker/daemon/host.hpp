// One broker process: an Engine in an arena of its own on a Loop, with its events in the log. The same engine library
// that the simulator links; here time is the kernel's, and entropy too. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/daemon/config.hpp"
#include "broker/daemon/log.hpp"
#include "broker/daemon/metrics.hpp"
#include "broker/daemon/witness.hpp"
#include "broker/engine.hpp"
#include "broker/udp/control.hpp"
#include "broker/udp/loop.hpp"

namespace portolan::daemon {

class BrokerHost final : public udp::GuestOf<broker::Engine> {
 public:
  // Resolves peers, binds sockets, takes all memory.
  static Expected<std::unique_ptr<BrokerHost>> make(const Config& config, Logger& log);
  ~BrokerHost() override;

  udp::Loop& loop() { return loop_; }
  broker::Engine& engine() { return *engine_; }
  std::uint32_t incarnation() const { return incarnation_; }
  // Sessions that are up now, clients and brokers.
  std::uint32_t sessions() const { return sessions_; }
  // Once a second: says what was held back in the log, and what the sockets lost and the engine dropped, by reason.
  void each_second();
  void say_totals();  // at the end
  // The end of the records, where there are any.
  Expected<void> finish();
  // Records that cannot be written are worth nothing, so the broker ends.
  const std::optional<Error>& broken() const { return broken_; }

 private:
  BrokerHost(udp::Loop loop, Logger& log);
  Expected<void> build(const Config& config);
  void upward() override;
  void judged(std::span<const broker::Verdict> verdicts) override;
  void before_send() override;
  void tell(const broker::Event& event);
  void tell_metrics();

  udp::Loop loop_;
  std::optional<udp::ControlSocket> control_;
  Logger& log_;
  Throttle session_lines_{50};
  std::uint32_t incarnation_ = 0, sessions_ = 0;
  std::vector<broker::PeerConfig> peers_;
  std::vector<std::string> filters_;
  std::vector<broker::TopicRule> rules_;
  struct Arena;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<broker::Engine> engine_;
  udp::SocketCounters told_;
  std::array<std::uint64_t, static_cast<std::size_t>(broker::Drop::kCount)> told_drops_{};
  std::unique_ptr<Metrics> metrics_;
  std::optional<Witness> witness_;
  std::optional<Error> broken_;
};

const char* reason_of(broker::DownReason reason);

// What the engine of these limits takes, by bound and in total, as lines for the log.
struct Share {
  std::string name;
  std::uint64_t bound = 0, bytes = 0;
};
std::vector<Share> memory_shares(const broker::Limits& limits);

}  // namespace portolan::daemon
