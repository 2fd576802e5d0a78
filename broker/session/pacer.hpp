// Token bucket in time: what a session may send by its rate, with a bounded burst, and the repair's share of it. A
// frame that must not wait (ACK, HEARTBEAT) is charged all the same, and the debt is bounded too.
#pragma once

#include <algorithm>
#include <cstdint>

namespace portolan::broker::session {

class Pacer {
 public:
  void reset(std::uint64_t rate_bps, std::uint64_t burst_ns) {
    rate_bps_ = std::max<std::uint64_t>(rate_bps, 8'000);
    burst_ns_ = std::max(burst_ns, cost(2 * 1'400));
    free_at_ns_ = 0;
  }
  std::uint64_t cost(std::uint64_t bytes) const { return bytes * 8'000'000'000 / rate_bps_; }
  // When the next datagram may leave: now, or the time returned.
  std::uint64_t ready_at() const { return free_at_ns_; }
  bool ready(std::uint64_t now_ns) const { return free_at_ns_ <= now_ns; }
  void charge(std::uint64_t now_ns, std::uint64_t bytes) {
    const std::uint64_t earliest = now_ns > burst_ns_ ? now_ns - burst_ns_ : 0;
    free_at_ns_ = std::min(std::max(free_at_ns_, earliest) + cost(bytes), now_ns + kDebtNs);
  }
  std::uint64_t rate_bps() const { return rate_bps_; }

 private:
  static constexpr std::uint64_t kDebtNs = 100'000'000;
  std::uint64_t rate_bps_ = 1'000'000'000;
  std::uint64_t burst_ns_ = 0;
  std::uint64_t free_at_ns_ = 0;
};

}  // namespace portolan::broker::session
