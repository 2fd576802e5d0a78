// Short messages of lost packets, waiting to leave again. Topics take turns, one message each, so of the session's
// repair budget each topic that lost something has an equal share: where much of one is lost, the others' repair does
// not wait behind it (Aeron #1451). Control goes first, in its order. Used by Endpoint; no allocation.
#pragma once

#include <bit>
#include <cstdint>

#include "broker/session/pool.hpp"

namespace portolan::broker::session {

class RepairQueue {
 public:
  static constexpr std::uint32_t kTurns = 32;  // one for control; topics share the others by alias

  bool empty() const { return waiting_ == 0; }
  template <typename Entry>
  void push(Pool<Entry>& pool, std::uint32_t entry) {
    const std::uint32_t at = pool[entry].lane == PTL_LANE_CONTROL ? 0 : 1 + pool[entry].topic % (kTurns - 1);
    queues_[at].push(pool, entry);
    waiting_ |= 1u << at;
  }
  // What pop() gives next; not when empty.
  std::uint32_t head() const { return queues_[whose_turn()].head; }
  template <typename Entry>
  std::uint32_t pop(Pool<Entry>& pool) {
    const std::uint32_t at = whose_turn();
    const std::uint32_t entry = queues_[at].pop(pool);
    if (queues_[at].empty()) waiting_ &= ~(1u << at);
    if (at != 0) last_ = at;
    return entry;
  }

 private:
  std::uint32_t whose_turn() const {
    if ((waiting_ & 1) != 0) return 0;
    const std::uint32_t behind = last_ == kTurns - 1 ? 0 : waiting_ & (~0u << (last_ + 1));
    return static_cast<std::uint32_t>(std::countr_zero(behind != 0 ? behind : waiting_));
  }
  Queue queues_[kTurns];
  std::uint32_t waiting_ = 0;  // bits: queues that are not empty
  std::uint32_t last_ = 0;
};

}  // namespace portolan::broker::session
