// The disk seam of an engine: writes go out in order, their completions come back late, out of order, or as failures;
// an answer that depends on a write may leave only once that write and every earlier one is done. Ordered topics (Raft)
// and the toy log of the tests stand on it; realtime topics write nothing. Positions count submitted writes from 1.
#pragma once

#include <cstdint>
#include <span>

#include "broker/store.hpp"
#include "broker/types.hpp"

namespace portolan::broker {

class DiskGate {
 public:
  DiskGate(Arena& arena, std::uint32_t writes_max);

  // The write's position (its token as well), or 0 when `writes_max` are under way. `bytes` stay the caller's and
  // unchanged until the gate has passed this position.
  std::uint64_t submit(std::uint64_t offset, std::span<const std::uint8_t> bytes, bool sync);
  bool poll(DiskRequest& out);  // the next write for the host, in order of submission; a retried one again
  // False: no such write is under way (a completion told twice, or a token never given): counted, nothing else.
  bool done(std::uint64_t token, DiskResult result);

  std::uint64_t durable() const { return durable_; }  // all writes up to here are on disk
  bool passed(std::uint64_t position) const { return position <= durable_; }
  std::uint64_t failed() const;  // the first write that failed; 0: none
  DiskResult failure() const;    // and how
  // Every failed write goes out again (the disk has room, or was replaced). The gate stood at the first of them.
  void retry();
  std::uint64_t submitted() const { return submitted_; }
  std::uint64_t unknown_completions() const { return unknown_; }

 private:
  enum class State : std::uint8_t { free, queued, under_way, ok, failed };
  struct Write {
    DiskRequest write;
    State state = State::free;
    DiskResult result = DiskResult::ok;
  };
  Write& at(std::uint64_t position) { return writes_[position % bound_]; }
  const Write& at(std::uint64_t position) const { return writes_[position % bound_]; }

  Write* writes_;
  std::uint32_t bound_;
  std::uint64_t submitted_ = 0, polled_ = 0, durable_ = 0, unknown_ = 0;
};

}  // namespace portolan::broker
