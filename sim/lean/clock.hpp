// A process's clocks as its engine sees them. Faults step or bend them; record times stay on the run's own timeline.
#pragma once

#include <cstdint>

#include "broker/types.hpp"
#include "scenarios/base/hash.hpp"

namespace portolan::sim {

class SkewedClock {
 public:
  explicit SkewedClock(std::int64_t wall_offset_ns) : wall_offset_ns_(wall_offset_ns) {}

  broker::Now at(std::uint64_t run_ns) const {
    const auto mono = static_cast<std::uint64_t>(static_cast<std::int64_t>(run_ns) + bent(run_ns));
    return {mono, static_cast<std::int64_t>(mono) + wall_offset_ns_};
  }
  // The first moment of the run at which the monotonic clock shows at least `mono_ns`.
  std::uint64_t run_time_of(std::uint64_t mono_ns) const {
    if (mono_ns == broker::kNever) return broker::kNever;
    const auto base_mono = static_cast<std::uint64_t>(static_cast<std::int64_t>(since_ns_) + bent_before_ns_);
    if (rate_ppb_ == 0 || mono_ns <= base_mono) {
      return static_cast<std::uint64_t>(static_cast<std::int64_t>(mono_ns) - bent_before_ns_);
    }
    const auto ahead = static_cast<unsigned_int128>(mono_ns - base_mono) * kBillion;
    const auto rate = static_cast<unsigned_int128>(kBillion + rate_ppb_);
    return since_ns_ + static_cast<std::uint64_t>((ahead + rate - 1) / rate);
  }
  void step(std::int64_t wall_ns) { wall_offset_ns_ += wall_ns; }
  void set_rate(std::uint64_t run_ns, std::int64_t ppb) {
    bent_before_ns_ = bent(run_ns);
    since_ns_ = run_ns;
    rate_ppb_ = ppb;
  }

 private:
  static constexpr std::int64_t kBillion = 1'000'000'000;
  std::int64_t bent(std::uint64_t run_ns) const {
    if (rate_ppb_ == 0) return bent_before_ns_;
    __extension__ using Wide = __int128;
    return bent_before_ns_ + static_cast<std::int64_t>(static_cast<Wide>(run_ns - since_ns_) * rate_ppb_ / kBillion);
  }

  std::int64_t wall_offset_ns_;
  std::uint64_t since_ns_ = 0;       // since when the rate holds
  std::int64_t bent_before_ns_ = 0;  // by how much the clock was ahead then
  std::int64_t rate_ppb_ = 0;
};

}  // namespace portolan::sim
