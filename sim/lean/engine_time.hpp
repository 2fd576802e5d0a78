// How much real time a run spends inside the engines (`portolan-sim --time-engines`), for the benchmark of the
// simulator: off by default, and never on a path to a record. Reading the clock twice a call makes such a run slower;
// compare shares.
#pragma once

#include <chrono>
#include <cstdint>

namespace portolan::sim {

class EngineTime {
 public:
  static inline bool on = false;
  static inline std::uint64_t calls = 0;
  static inline std::chrono::steady_clock::duration spent{};

  EngineTime() {
    if (on) began_ = std::chrono::steady_clock::now();
  }
  ~EngineTime() {
    if (!on) return;
    spent += std::chrono::steady_clock::now() - began_;
    ++calls;
  }
  EngineTime(const EngineTime&) = delete;
  EngineTime& operator=(const EngineTime&) = delete;

 private:
  std::chrono::steady_clock::time_point began_;
};

}  // namespace portolan::sim
