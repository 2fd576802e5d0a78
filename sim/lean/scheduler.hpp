// The few things this simulator needs of ns-3's scheduler, with times in nanoseconds. Events of one time run in the
// order in which they were scheduled (ns-3's own rule), which is what makes a run a pure function of its plan.
#pragma once

#include <ns3/event-impl.h>
#include <ns3/nstime.h>
#include <ns3/simulator.h>

#include <cstdint>
#include <utility>

#include "sim/lean/pool.hpp"

namespace portolan::sim {

inline std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(ns3::Simulator::Now().GetNanoSeconds());
}

// An event that owns a callable (move-only callables too, which ns-3's MakeEvent cannot hold).
template <typename F>
class OwnedEvent final : public ns3::EventImpl, public Pooled {
 public:
  explicit OwnedEvent(F&& f) : f_(std::move(f)) {}

 private:
  void Notify() override { f_(); }
  F f_;
};

template <typename F>
void at(std::uint64_t when_ns, F f) {
  const std::uint64_t now = now_ns();
  const std::uint64_t delay = when_ns > now ? when_ns - now : 0;
  ns3::Simulator::Schedule(ns3::NanoSeconds(delay), ns3::Ptr<ns3::EventImpl>(new OwnedEvent<F>(std::move(f)), false));
}

}  // namespace portolan::sim
