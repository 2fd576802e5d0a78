// Drives one engine (broker or client) on the run's event loop: a socket buffer, a single-server CPU that each
// datagram, message and timer costs time, clocks that faults may bend, and the engine's outputs. Hosts are never
// destroyed during a run; a killed one only forgets its engine, so that events under way find it dead. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "broker/engine.hpp"
#include "broker/types.hpp"
#include "scenarios/plan/plan.hpp"
#include "sim/lean/clock.hpp"
#include "sim/lean/cores.hpp"
#include "sim/lean/fabric.hpp"
#include "sim/lean/recorder.hpp"
#include "sim/lean/scheduler.hpp"
#include "sim/lean/trace_hash.hpp"

namespace portolan::sim {

inline constexpr std::uint64_t kSocketBufferBytes = 8u << 20;  // SO_RCVBUF of the simulated daemon and clients
inline constexpr std::uint64_t kTimerGrainNs = 1'000;          // a timer never fires twice within this

// What every process of a run shares.
struct World {
  const plan::Plan& plan;
  Fabric& fabric;
  Journeys& journeys;
  std::uint64_t seed = 0;
  Cores* cores = nullptr;  // shared by all; null: one for each broker, and clients cost nothing
};

broker::PathId path_of(const plan::Plan& plan, plan::Index process);
plan::Index process_of(const broker::PathId& path);
broker::Identity identity_of(const World& world, plan::Index process, std::uint32_t incarnation);
broker::Entropy entropy_of(const World& world, plan::Index process, std::uint32_t incarnation);

struct CpuCost {
  std::uint64_t datagram_in_ns = 0, datagram_out_ns = 0, message_in_ns = 0, message_out_ns = 0, timer_ns = 0,
                kib_ns = 0;
};

CpuCost cost_of(const plan::Calibration& calibration);
// One mode for all sessions of a plan, so that none can end up with another.
std::uint32_t modes_of(const plan::Plan& plan);

// What runs of the two engines differ in is behind this small face.
class EngineFace {
 public:
  virtual ~EngineFace() = default;
  virtual void receive(broker::Now, const broker::PathId&, const broker::DatagramView&, broker::Verdict&) = 0;
  virtual void tick(broker::Now) = 0;
  virtual bool more_work() const = 0;
  virtual bool poll_transmit(broker::Now, broker::Transmit&) = 0;
  virtual void release_transmit(std::uint32_t) = 0;
  virtual std::uint64_t next_deadline() const = 0;
  virtual const broker::EndpointCounters& counters() const = 0;
  virtual std::uint32_t high_water(std::span<broker::Endpoint::HighWater>) const = 0;
};

class Host {
 public:
  Host(World& world, plan::Index process, std::uint32_t incarnation, const CpuCost& cost, Recorder& audit);
  virtual ~Host() = default;
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  void start();
  void arrive(std::unique_ptr<Datagram> datagram);
  void pause();
  void resume();
  // Dead from now on; its records end with `code`.
  void stop(record::EndCode code);
  bool alive() const { return alive_; }
  bool paused() const { return paused_; }
  std::uint32_t incarnation() const { return incarnation_; }
  SkewedClock& clock() { return clock_; }
  const TraceHash& trace() const { return trace_; }
  std::uint64_t cpu_busy_ns() const { return cpu_used_ns_; }
  void sample_counters();  // each second, and at the end
  // The deadline moved because of a fault on the clock.
  void rearm();

 protected:
  virtual EngineFace& engine() = 0;
  virtual void upward() = 0;  // polls events and deliveries
  virtual void on_start() {}
  virtual void on_resume() {}
  virtual void on_stop(record::EndCode) {}
  virtual void extra_counters() {}
  broker::Now now() const { return clock_.at(now_ns()); }
  // After any call into the engine: outputs, CPU charge, next deadline.
  void after_call();

  World& world_;
  const plan::Process& me_;
  const plan::Index process_;
  const std::uint32_t incarnation_;
  Recorder& audit_;
  TraceHash trace_;

 private:
  void kick();
  std::uint64_t next_cost() const;
  void on_core();
  void work();
  void pump();
  void arm();
  void note(const broker::Verdict& verdict);
  void flush_packets();
  void dispatch(const broker::Transmit& out, std::uint64_t depart_ns);

  struct Arrived {
    std::unique_ptr<Datagram> datagram;
    std::uint64_t at_ns;
  };
  struct PacketRun {
    std::uint64_t uid = 0, first = 0, last = 0;
  };
  CpuCost cost_;
  Sender sender_;
  SkewedClock clock_;
  std::deque<Arrived> inbox_;
  std::uint64_t packets_accepted_ = 0, verdicts_ = 0;
  std::uint64_t inbox_bytes_ = 0, inbox_bytes_most_ = 0, inbox_dropped_ = 0;
  std::uint64_t busy_until_ns_ = 0, cpu_used_ns_ = 0;
  std::uint64_t wake_at_ns_ = broker::kNever;
  std::uint64_t last_timer_ns_ = 0;
  std::uint64_t seen_in_ = 0, seen_out_ = 0;
  bool serving_ = false, timer_due_ = false, alive_ = true, paused_ = false, started_ = false;
  std::vector<PacketRun> runs_;  // one open run a session, at most kRunsMax
};

}  // namespace portolan::sim
