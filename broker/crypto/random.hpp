// All randomness of an engine: ChaCha20 keyed by Entropy, counter-based, so the same seed gives the same draws on every
// machine and a purpose's draws never move another's. Fit for keys as long as the seed is secret (the daemon's is the
// kernel's; the simulator's is the plan's, on purpose). One engine, one thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "broker/types.hpp"

namespace portolan::broker {

class Random {
 public:
  // Each `purpose` is a stream of its own. Never two Randoms of one (seed, purpose) where draws must differ.
  Random(const Entropy& entropy, std::uint64_t purpose);

  std::uint64_t next();
  std::uint64_t below(std::uint64_t bound);  // uniform in [0, bound); 0 for bound 0
  void fill(std::span<std::uint8_t> out);
  Key32 key();

 private:
  void refill();

  Key32 seed_;
  std::uint64_t purpose_;
  std::uint64_t block_ = 0;
  std::uint32_t left_ = 0;  // bytes of buffer_ not yet drawn, at its end
  std::array<std::uint8_t, 64> buffer_{};
};

}  // namespace portolan::broker
