// A machine's cores, shared by all processes of a run (`--cores N`): who has work asks, and gets a core in order of
// asking; it keeps the core until the work at hand and what it sends are done. So a run foretells what an emulation on
// one machine of N cores would add, when brokers and clients wait for each other.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>

namespace portolan::sim {

class Cores {
 public:
  using Run = std::function<void()>;
  explicit Cores(std::uint32_t cores) : free_(cores) {}
  // Calls `run` at once if a core is free, else when one is. It must end with `release`, now or later.
  void ask(Run run) {
    if (free_ == 0) {
      waiting_.push_back(std::move(run));
      if (waiting_.size() > waiting_most_) waiting_most_ = waiting_.size();
      return;
    }
    --free_;
    run();
  }
  void release() {
    if (waiting_.empty()) {
      ++free_;
      return;
    }
    const Run next = std::move(waiting_.front());
    waiting_.pop_front();
    next();
  }
  std::size_t waiting_most() const { return waiting_most_; }

 private:
  std::uint32_t free_;
  std::deque<Run> waiting_;  // at most one of each process
  std::size_t waiting_most_ = 0;
};

}  // namespace portolan::sim
