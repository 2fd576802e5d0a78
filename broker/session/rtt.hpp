// Round-trip time of a session, smoothed as in RFC 6298 (integers, ns), and the intervals that hang on it.
#pragma once

#include <algorithm>
#include <cstdint>

namespace portolan::broker::session {

inline constexpr std::uint64_t kMicrosecond = 1'000;
inline constexpr std::uint64_t kMillisecond = 1'000'000;
inline constexpr std::uint64_t kSecond = 1'000'000'000;

class Rtt {
 public:
  void sample(std::uint64_t rtt_ns) {
    rtt_ns = std::clamp<std::uint64_t>(rtt_ns, kMicrosecond, 60 * kSecond);
    if (!sampled_) {
      sampled_ = true;
      smoothed_ = rtt_ns;
      variance_ = rtt_ns / 2;
      return;
    }
    const std::uint64_t difference = rtt_ns > smoothed_ ? rtt_ns - smoothed_ : smoothed_ - rtt_ns;
    variance_ = (3 * variance_ + difference) / 4;
    smoothed_ = (7 * smoothed_ + rtt_ns) / 8;
  }
  bool known() const { return sampled_; }
  std::uint64_t smoothed() const { return smoothed_; }
  std::uint64_t variance() const { return variance_; }
  // How long a gap may be mere reordering before it is reported.
  std::uint64_t tolerance() const { return std::max(smoothed_ / 4, 250 * kMicrosecond); }
  // Until an answer that was not lost must have come: reports and the last-resort timer.
  std::uint64_t answer() const { return smoothed_ + std::max<std::uint64_t>(4 * variance_, kMillisecond); }
  std::uint64_t ack_delay() const { return std::max(smoothed_ / 4, 50 * kMicrosecond); }
  // Heartbeats after the last unacknowledged data: the first, the second, all others. Behind a queue the first one
  // takes its time, since what it adds waits there as well, and the next message may make it needless. Never longer
  // than a quarter of the round trip: with the wait before a gap is reported a lone loss is then mended in 1.5.
  std::uint64_t heartbeat(std::uint32_t nth, std::uint64_t least_rtt_ns) const {
    if (nth == 0) {
      const std::uint64_t queue = smoothed_ - std::min(smoothed_, least_rtt_ns);
      return std::max(std::clamp(smoothed_ / 8, 250 * kMicrosecond, kMillisecond), std::min(queue / 2, smoothed_ / 4));
    }
    return std::max(nth == 1 ? smoothed_ / 2 : smoothed_, 250 * kMicrosecond);
  }

 private:
  bool sampled_ = false;
  std::uint64_t smoothed_ = 100 * kMillisecond;
  std::uint64_t variance_ = 50 * kMillisecond;
};

}  // namespace portolan::broker::session
