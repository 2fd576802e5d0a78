// The two clocks that a real host hands to its engine, with the seam through which a rehearsal bends them: an offset
// and a rate of the wall clock, as an unsynchronised machine would have. Deadlines stay on the kernel's monotonic
// clock.
#pragma once

#include <cerrno>
#include <ctime>

#include "broker/types.hpp"

namespace portolan::udp {

inline std::uint64_t monotonic_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

inline std::int64_t wall_ns() {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::int64_t>(t.tv_nsec);
}

// An incarnation from the wall clock: tenths of a second since 2026 (32 bits last until 2039). Waits for the next tenth
// to begin, so who starts after this process has ended gets a higher one, as long as the wall clock does not go back.
inline std::uint32_t incarnation_from_clock() {
  constexpr std::int64_t k2026Ns = 1'767'225'600ll * 1'000'000'000, kTenthNs = 100'000'000;
  const std::int64_t next = wall_ns() / kTenthNs + 1;
  timespec until{};
  until.tv_sec = static_cast<time_t>(next / 10);
  until.tv_nsec = static_cast<long>(next % 10 * kTenthNs);
  while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
  const std::int64_t tenths = next - k2026Ns / kTenthNs;
  return tenths < 1 ? 1 : static_cast<std::uint32_t>(tenths < 0xFFFF'FFFE ? tenths : 0xFFFF'FFFE);
}

class Clock {
 public:
  broker::Now now() const { return at(monotonic_ns(), wall_ns()); }
  // The same of given readings; for tests.
  broker::Now at(std::uint64_t kernel_mono_ns, std::int64_t kernel_wall_ns) const {
    const std::int64_t since = static_cast<std::int64_t>(kernel_mono_ns - since_ns_);
    const std::int64_t drift = drifted_ns_ + share(since, rate_ppb_);
    return {kernel_mono_ns + static_cast<std::uint64_t>(drift), kernel_wall_ns + offset_ns_ + drift};
  }
  // When the kernel's clock will show what this one calls `deadline_ns`: what a timer is set to.
  std::uint64_t kernel_time_of(std::uint64_t deadline_ns) const {
    if (deadline_ns == broker::kNever || (rate_ppb_ == 0 && drifted_ns_ == 0)) return deadline_ns;
    const auto ahead = static_cast<std::int64_t>(deadline_ns - since_ns_) - drifted_ns_;
    // 1/(1+r) of the way; rounded up, so that a timer never fires a nanosecond early and again.
    const std::int64_t less = share(ahead, rate_ppb_) - share(share(ahead, rate_ppb_), rate_ppb_);
    return since_ns_ + static_cast<std::uint64_t>(ahead - less + 1);
  }
  void step(std::int64_t more_ns) { offset_ns_ += more_ns; }  // of the wall clock
  // Of both clocks, from now on; neither jumps.
  void set_rate(std::int64_t ppb) { set_rate_at(ppb, monotonic_ns()); }
  void set_rate_at(std::int64_t ppb, std::uint64_t kernel_mono_ns) {
    drifted_ns_ += share(static_cast<std::int64_t>(kernel_mono_ns - since_ns_), rate_ppb_);
    since_ns_ = kernel_mono_ns;
    rate_ppb_ = ppb;
  }
  std::int64_t offset_ns() const { return offset_ns_; }
  std::int64_t rate_ppb() const { return rate_ppb_; }

 private:
  // Parts per billion of a time: seconds and the rest apart, so that nothing overflows.
  static std::int64_t share(std::int64_t ns, std::int64_t ppb) {
    return ns / 1'000'000'000 * ppb + ns % 1'000'000'000 * ppb / 1'000'000'000;
  }
  std::int64_t offset_ns_ = 0, rate_ppb_ = 0, drifted_ns_ = 0;
  std::uint64_t since_ns_ = 0;  // the rate counts from here, on the kernel's clock
};

}  // namespace portolan::udp
