// The few things this simulator needs to schedule events, with times in nanoseconds. Events of one time run in the
// order in which they were scheduled (ns-3's own rule), which is what makes a run a pure function of its plan. In a run
// they are event_loop.hpp's; in programs that install none (the baselines) ns-3's own.
#pragma once

#include <ns3/event-impl.h>
#include <ns3/nstime.h>
#include <ns3/simulator.h>

#include <cstdint>
#include <utility>

#include "sim/lean/event_loop.hpp"
#include "sim/lean/pool.hpp"

namespace portolan::sim {

inline std::uint64_t now_ns() {
  if (const EventLoop* loop = EventLoop::installed()) return loop->now_ns();
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
class OwnedTask final : public Task, public Pooled {
 public:
  explicit OwnedTask(F&& f) : f_(std::move(f)) {}
  void run_and_end() override {
    f_();
    delete this;
  }
  void end() override { delete this; }

 private:
  F f_;
};

template <typename F>
void at(std::uint64_t when_ns, F f) {
  const std::uint64_t now = now_ns();
  if (when_ns < now) when_ns = now;
  if (EventLoop* loop = EventLoop::installed()) {
    loop->add(when_ns, new OwnedTask<F>(std::move(f)));
    return;
  }
  ns3::Simulator::Schedule(ns3::NanoSeconds(when_ns - now),
                           ns3::Ptr<ns3::EventImpl>(new OwnedEvent<F>(std::move(f)), false));
}

}  // namespace portolan::sim
