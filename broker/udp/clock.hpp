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

struct Clock {
  std::int64_t offset_ns = 0;       // of the wall clock
  std::int64_t rate_ppb = 0;        // of the wall clock, from rate_since_ns on
  std::uint64_t rate_since_ns = 0;  // on the monotonic clock

  broker::Now now() const {
    broker::Now now{monotonic_ns(), wall_ns() + offset_ns};
    if (rate_ppb != 0) {
      // A part per billion of a time within its range: seconds and the rest apart, so that nothing overflows.
      const auto since = static_cast<std::int64_t>(now.mono_ns - rate_since_ns);
      now.wall_ns += since / 1'000'000'000 * rate_ppb + since % 1'000'000'000 * rate_ppb / 1'000'000'000;
    }
    return now;
  }
};

}  // namespace portolan::udp
