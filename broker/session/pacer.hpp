// Token bucket in time: what a session may send by its rate, with a bounded burst, and the repair's share of it. A
// frame that must not wait (ACK, HEARTBEAT) is charged all the same, and the debt is bounded too.
#pragma once

#include <algorithm>
#include <cstdint>

namespace portolan::broker::session {

inline constexpr std::uint64_t kRepairBurstNs = 20'000'000;  // of the repair's share of the rate

class Pacer {
 public:
  static constexpr std::uint64_t kLateBurst = 2 * 1'400, kIdleBurst = 700;  // bytes
  static constexpr std::uint64_t kDebtNs = 100'000'000;

  void reset(std::uint64_t rate_bps, std::uint64_t burst_ns) {
    rate_bps_ = std::max<std::uint64_t>(rate_bps, 8'000);
    burst_ns_ = burst_ns;
    free_at_ns_ = 0;
  }
  void set_rate(std::uint64_t rate_bps) { rate_bps_ = std::max<std::uint64_t>(rate_bps, 8'000); }
  std::uint64_t cost(std::uint64_t bytes) const { return bytes * 8'000'000'000 / rate_bps_; }
  // When the next datagram may leave: now, or the time returned.
  std::uint64_t ready_at() const { return free_at_ns_; }
  bool ready(std::uint64_t now_ns) const { return free_at_ns_ <= now_ns; }
  // `waiting_since_ns`: since when there was something to send. Time lost since then (timers are late) is made up for
  // by a burst; time in which there was nothing is not saved up, but for a little: a tile must not begin with a queue.
  void charge(std::uint64_t now_ns, std::uint64_t bytes, std::uint64_t waiting_since_ns = 0) {
    const std::uint64_t late = std::max(burst_ns_, cost(kLateBurst));
    const std::uint64_t idle = std::max(burst_ns_ / 4, cost(kIdleBurst));
    const std::uint64_t earliest =
        std::max(now_ns - std::min(now_ns, late), waiting_since_ns - std::min(waiting_since_ns, idle));
    free_at_ns_ = std::min(std::max(free_at_ns_, earliest) + cost(bytes), now_ns + kDebtNs);
  }
  std::uint64_t rate_bps() const { return rate_bps_; }

 private:
  std::uint64_t rate_bps_ = 1'000'000'000;
  std::uint64_t burst_ns_ = 0;
  std::uint64_t free_at_ns_ = 0;
};

// What repair sent within a second, beside what its share of the rate lets it send: whoever judges a run reads the
// worst of these. Counts what left, whatever the pacer said.
class RepairWindow {
 public:
  void sent(std::uint64_t now_ns, std::uint64_t bytes, std::uint64_t rate_bps) {
    if (used_ == 0 || now_ns - since_ns_ >= kWindowNs) {
      since_ns_ = now_ns;
      used_ = rate_bps_ = 0;
    }
    used_ += bytes;
    most_ = std::max(most_, bytes);
    rate_bps_ = std::max(rate_bps_, rate_bps);
    // The burst, the datagram that the last token let go, and one for each time that the debt was forgiven.
    const std::uint64_t elapsed = now_ns - since_ns_;
    bound_ = rate_bps_ / 8 * (elapsed + kRepairBurstNs) / 1'000'000'000 + (3 + elapsed / Pacer::kDebtNs) * most_;
  }
  std::uint64_t used() const { return used_; }
  std::uint64_t bound() const { return bound_; }

 private:
  static constexpr std::uint64_t kWindowNs = 1'000'000'000;
  std::uint64_t since_ns_ = 0, used_ = 0, rate_bps_ = 0, bound_ = 0;
  std::uint64_t most_ = Pacer::kLateBurst / 2;  // of a datagram
};

}  // namespace portolan::broker::session
