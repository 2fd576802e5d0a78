// Runs a plan on this host: the real daemon for each broker, portolan-load for each client, each harbour's host on a
// loopback address of its own, no links between them. Kills, restarts and pauses are done with signals; a plan that
// asks for anything else of a network or of a clock is refused. Leaves the records that portolan-check judges. One
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "results/record/writer.hpp"
#include "scenarios/plan/plan.hpp"

namespace portolan::emu {

struct RunnerOptions {
  std::string plan_path, out, programs, replay_folder = ".";
  std::uint32_t net = 77;  // harbours' hosts are 127.net.x.y
};

class Runner {
 public:
  static Expected<void> run(const RunnerOptions& options);

 private:
  struct Child {
    int pid = -1;  // of the process while it runs
    std::uint32_t incarnation = 0;
  };
  struct Action {
    enum class Kind : std::uint8_t { start, fault_on, fault_off } kind{};
    plan::Ns at_ns = 0;
    plan::Index index = 0;  // process or fault
  };
  Runner(const RunnerOptions& options, const plan::Plan& plan) : options_(options), plan_(plan) {}

  Expected<void> refuse() const;
  Expected<void> prepare();
  void plan_actions();
  Expected<void> play();
  Expected<void> act(const Action& action);
  Expected<void> fault_on(plan::Index fault);
  Expected<void> fault_off(plan::Index fault);
  Expected<void> start(plan::Index process);
  Expected<void> kill(plan::Index process);
  Expected<void> watch();  // a child that ends by itself ends the run
  Expected<void> stop_all();
  Expected<void> finish();
  std::vector<std::string> command_of(plan::Index process, std::uint32_t incarnation);
  std::string broker_config(plan::Index process, std::uint32_t incarnation) const;
  Expected<void> bend(const plan::Fault& fault, bool back);
  std::string address_of(plan::Index process) const;
  std::string control_of(plan::Index process) const;
  std::string stem_of(plan::Index process, std::uint32_t incarnation) const;
  void row(record::Kind kind, std::uint64_t value, std::uint32_t incarnation = 0, std::uint32_t code = 0);
  plan::Ns now() const;

  const RunnerOptions& options_;
  const plan::Plan& plan_;
  std::string plan_sha256_;
  std::uint64_t epoch_ns_ = 0;
  std::unique_ptr<record::RecordWriter> writer_;
  std::vector<Child> children_;
  std::vector<Action> actions_;
  std::vector<std::string> files_;  // of the manifest
  plan::Ns worst_lateness_ns_ = 0;
};

}  // namespace portolan::emu
