// The part of EngineFace that both engines answer in the same words.
#pragma once

#include "sim/lean/engine_time.hpp"
#include "sim/lean/host.hpp"

namespace portolan::sim {

template <typename E>
class FaceOf : public EngineFace {
 public:
  explicit FaceOf(E& engine) : e_(engine) {}
  void receive(broker::Now now, const broker::PathId& path, const broker::DatagramView& datagram,
               broker::Verdict& verdict) override {
    const EngineTime time;
    e_.receive(now, path, {&datagram, 1}, {&verdict, 1});
  }
  void tick(broker::Now now) override {
    const EngineTime time;
    e_.tick(now);
  }
  bool more_work() const override { return e_.more_work(); }
  bool poll_transmit(broker::Now now, broker::Transmit& out) override {
    const EngineTime time;
    return e_.poll_transmit(now, out);
  }
  void release_transmit(std::uint32_t handle) override {
    const EngineTime time;
    e_.release_transmit(handle);
  }
  std::uint64_t next_deadline() const override {
    const EngineTime time;
    return e_.next_deadline();
  }
  const broker::EndpointCounters& counters() const override { return e_.endpoint_counters(); }
  std::uint32_t high_water(std::span<broker::Endpoint::HighWater> out) const override { return e_.high_water(out); }

 private:
  E& e_;
};

}  // namespace portolan::sim
