// A run of a plan: builds hosts over a fabric of either fidelity, plays the fault timeline, samples counters each
// second and writes records. One simulation per process (ns-3's Simulator is global).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "scenarios/load/load.hpp"
#include "sim/lean/broker_host.hpp"
#include "sim/lean/client_host.hpp"

namespace portolan::sim {

struct RunOptions {
  std::function<Expected<std::unique_ptr<Fabric>>(const plan::Plan&, Fabric::Outputs)> make_fabric = LeanFabric::make;
  std::string records;        // folder of the record files; exists
  std::string replay_folder;  // where relative replay paths start
  std::array<std::uint8_t, 32> plan_sha256{};
  std::uint64_t seed = 0;
  std::uint32_t cores = 0;          // shared by all processes; 0: one for each broker
  std::uint64_t wall_limit_ns = 0;  // 0: none
  const std::atomic<bool>* interrupted = nullptr;
  bool progress = false;  // a line a simulated second on standard error
};

struct RunResult {
  std::uint64_t trace_hash = 0;
  std::uint64_t events = 0;
  std::uint64_t simulated_ns = 0;
  double built_cpu_s = 0;         // of this process, when every host stood
  double first_second_cpu_s = 0;  // when the first simulated second was over: sessions stand
  bool wall_limit_hit = false;
  bool interrupted = false;
};

Expected<RunResult> run(const plan::Plan& plan, const RunOptions& options);

}  // namespace portolan::sim
