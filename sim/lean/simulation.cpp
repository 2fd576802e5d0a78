#include "sim/lean/simulation.hpp"

#include <ns3/global-value.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "sim/lean/event_loop.hpp"
#include "sim/lean/link_rows.hpp"

namespace portolan::sim {

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

double cpu_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

class Simulation {
 public:
  Simulation(const plan::Plan& plan, const RunOptions& options)
      : plan_(plan), options_(options), folder_(plan, options.records, options.plan_sha256, options.seed) {}

  Expected<void> build();
  Expected<RunResult> play();

 private:
  Expected<void> create(plan::Index process, std::uint32_t incarnation);
  void start(plan::Index process);
  void stop(plan::Index process, record::StopCause cause);
  void schedule_faults();
  void fault_on(plan::Index fault);
  void fault_off(plan::Index fault);
  void mark(record::Kind kind, std::uint64_t value);
  void each_second(std::uint64_t second);
  void link_counters();
  std::uint64_t finish();

  const plan::Plan& plan_;
  const RunOptions& options_;
  RecordFolder folder_;
  Journeys journeys_;
  std::unique_ptr<Fabric> fabric_;
  std::unique_ptr<Cores> cores_;
  std::unique_ptr<World> world_;
  std::unique_ptr<load::Workload> workload_;
  std::unique_ptr<Recorder> runner_;
  std::vector<Host*> now_running_;  // by process; null when there is none
  std::vector<std::uint32_t> incarnations_;
  std::vector<std::unique_ptr<Host>> hosts_;  // all that ever ran, in order of their start
  std::unique_ptr<Error> error_;
  std::uint64_t no_process_ = 0;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  RunResult result_;
};

Expected<void> Simulation::build() {
  auto runner = Recorder::open(folder_, record::Writer::runner, plan::kNone, 0);
  if (!runner) return tl::unexpected<Error>(runner.error());
  runner_ = std::move(*runner);
  auto workload = load::Workload::make(plan_, options_.replay_folder);
  if (!workload) return tl::unexpected<Error>(workload.error());
  workload_ = std::make_unique<load::Workload>(std::move(*workload));
  for (const load::ReplayNote& note : workload_->notes()) std::fprintf(stderr, "%s\n", note.text.c_str());
  Fabric::Outputs outputs;
  outputs.arrive = [this](std::unique_ptr<Datagram> d) {
    Host* host = now_running_[d->to];
    if (host == nullptr || !host->alive()) {
      ++no_process_;
      return;
    }
    host->arrive(std::move(d));
  };
  outputs.path_change = [this](std::uint64_t epoch) { mark(record::Kind::path_change, epoch); };
  auto fabric = options_.make_fabric(plan_, std::move(outputs));
  if (!fabric) return tl::unexpected<Error>(fabric.error());
  fabric_ = std::move(*fabric);
  if (options_.cores > 0) cores_ = std::make_unique<Cores>(options_.cores);
  world_ = std::make_unique<World>(World{plan_, *fabric_, journeys_, options_.seed, cores_.get()});
  now_running_.assign(plan_.processes.size(), nullptr);
  incarnations_.assign(plan_.processes.size(), 0);
  for (plan::Index p = 0; p < plan_.processes.size(); ++p) {
    at(static_cast<std::uint64_t>(plan_.processes[p].start_ns), [this, p] { start(p); });
  }
  schedule_faults();
  return {};
}

Expected<void> Simulation::create(plan::Index process, std::uint32_t incarnation) {
  auto audit = Recorder::open(folder_, record::Writer::audit, process, incarnation);
  if (!audit) return tl::unexpected<Error>(audit.error());
  if (plan_.processes[process].kind == plan::ProcessKind::broker) {
    auto host = BrokerHost::make(*world_, process, incarnation, cost_of(plan::charged(plan_)), std::move(*audit));
    if (!host) return tl::unexpected<Error>(host.error());
    hosts_.push_back(std::move(*host));
  } else {
    auto application = Recorder::open(folder_, record::Writer::application, process, incarnation);
    if (!application) return tl::unexpected<Error>(application.error());
    auto host = ClientHost::make(*world_, *workload_, process, incarnation, std::move(*application), std::move(*audit));
    if (!host) return tl::unexpected<Error>(host.error());
    hosts_.push_back(std::move(*host));
  }
  return {};
}

void Simulation::start(plan::Index process) {
  if (error_ || (now_running_[process] != nullptr && now_running_[process]->alive())) return;
  const std::uint32_t incarnation = ++incarnations_[process];
  if (auto made = create(process, incarnation); !made) {
    error_ = std::make_unique<Error>(made.error());
    ns3::Simulator::Stop();
    return;
  }
  now_running_[process] = hosts_.back().get();
  record::Row row;
  row.value = process;
  row.incarnation = incarnation;
  runner_->add(record::Kind::started, row);
  hosts_.back()->start();
}

void Simulation::stop(plan::Index process, record::StopCause cause) {
  Host* host = now_running_[process];
  if (host == nullptr || !host->alive()) return;
  host->stop(cause == record::StopCause::killed ? record::EndCode::killed : record::EndCode::finished);
  record::Row row;
  row.value = process;
  row.incarnation = host->incarnation();
  row.code = static_cast<std::uint32_t>(cause);
  runner_->add(record::Kind::stopped, row);
}

void Simulation::mark(record::Kind kind, std::uint64_t value) {
  record::Row row;
  row.value = value;
  runner_->add(kind, row);
}

void Simulation::schedule_faults() {
  for (plan::Index f = 0; f < plan_.faults.size(); ++f) {
    const plan::Fault& fault = plan_.faults[f];
    at(static_cast<std::uint64_t>(fault.at_ns), [this, f] { fault_on(f); });
    if (fault.until_ns > 0) at(static_cast<std::uint64_t>(fault.until_ns), [this, f] { fault_off(f); });
  }
}

void Simulation::fault_on(plan::Index index) {
  const plan::Fault& fault = plan_.faults[index];
  mark(record::Kind::fault_on, index);
  switch (fault.kind) {
    case plan::FaultKind::cut:
    case plan::FaultKind::partition:
      fabric_->links_changed();
      break;  // the LinkModel knows the plan's cuts itself
    case plan::FaultKind::kill:
    case plan::FaultKind::restart:
      for (const plan::Index p : fault.processes) stop(p, record::StopCause::killed);
      break;
    case plan::FaultKind::pause:
      for (const plan::Index p : fault.processes) {
        if (now_running_[p] != nullptr) now_running_[p]->pause();
      }
      break;
    case plan::FaultKind::clock_skew:
      for (const plan::Index p : fault.processes) {
        if (now_running_[p] == nullptr) continue;
        now_running_[p]->clock().step(fault.skew_ns);
        now_running_[p]->clock().set_rate(now_ns(), fault.skew_ppb);
        now_running_[p]->rearm();
      }
      break;
    case plan::FaultKind::lose_control:
      for (const plan::Index p : fault.processes) {
        if (auto* broker = dynamic_cast<BrokerHost*>(now_running_[p]))
          broker->lose_control(PTL_C_INTEREST, fault.count);
      }
      break;
    case plan::FaultKind::degrade:
    case plan::FaultKind::corrupt_disk:
      break;
  }
}

void Simulation::fault_off(plan::Index index) {
  const plan::Fault& fault = plan_.faults[index];
  mark(record::Kind::fault_off, index);
  switch (fault.kind) {
    case plan::FaultKind::cut:
    case plan::FaultKind::partition:
      fabric_->links_changed();
      break;
    case plan::FaultKind::kill:
    case plan::FaultKind::restart:
      for (const plan::Index p : fault.processes) start(p);
      break;
    case plan::FaultKind::pause:
      for (const plan::Index p : fault.processes) {
        if (now_running_[p] != nullptr) now_running_[p]->resume();
      }
      break;
    case plan::FaultKind::clock_skew:
      for (const plan::Index p : fault.processes) {
        if (now_running_[p] == nullptr) continue;
        now_running_[p]->clock().step(-fault.skew_ns);
        now_running_[p]->clock().set_rate(now_ns(), 0);
        now_running_[p]->rearm();
      }
      break;
    default:
      break;
  }
}

void Simulation::link_counters() {
  const auto add = [this](const std::string& name, std::uint64_t value) { runner_->counter_row(name, value); };
  for (plan::Index l = 0; l < plan_.links.size(); ++l) {
    if (plan_.links[l].model == "veth") continue;
    for (const bool reverse : {false, true}) {
      const link::Counters& c = fabric_->direction(l, reverse).counters();
      const std::string prefix = plan_.links[l].name + (reverse ? "/b_to_a/" : "/a_to_b/");
      std::uint64_t offered = 0, bytes = 0;
      for (std::size_t k = 0; k < link::traffic_kinds; ++k) {
        offered += c.offered[k];
        bytes += c.offered_bytes[k];
      }
      add(prefix + "packets", offered);
      add(prefix + "bytes", bytes);
      for (std::size_t d = 1; d < link::drop_reasons; ++d) {
        std::uint64_t dropped = 0, dropped_bytes = 0;
        for (std::size_t k = 0; k < link::traffic_kinds; ++k) {
          dropped += c.dropped[k][d];
          dropped_bytes += c.dropped_bytes[k][d];
        }
        const std::string reason(link::name(static_cast<link::Drop>(d)));
        if (dropped > 0) add(prefix + "dropped/" + reason, dropped);
        if (dropped > 0) add(prefix + "dropped_bytes/" + reason, dropped_bytes);
      }
      std::uint64_t marked = 0;
      for (const std::uint64_t of_kind : c.marked) marked += of_kind;
      if (marked > 0) add(prefix + "marked", marked);
      if (c.duplicated > 0) add(prefix + "duplicated", c.duplicated);
      if (c.held_back > 0) add(prefix + "held_back", c.held_back);
      add(prefix + "queue_bytes_max", c.queue_bytes_max);
    }
  }
  const FabricCounters& f = fabric_->counters();
  add("fabric/sent", f.sent);
  add("fabric/sent_bytes", f.sent_bytes);
  add("fabric/arrived", f.arrived);
  add("fabric/lost", f.lost);
  add("fabric/lost_bytes", f.lost_bytes);
  add("fabric/lost_impaired", f.lost_impaired);
  add("fabric/lost_impaired_bytes", f.lost_impaired_bytes);
  add("fabric/no_path", f.no_path);
  add("fabric/hop_limit", f.hop_limit);
  add("fabric/no_process", no_process_);
  fabric_->extra_counters(add);
  add("journeys/forgotten", journeys_.forgotten());
}

void Simulation::each_second(std::uint64_t second) {
  for (const auto& host : hosts_) {
    if (host->alive() && !host->paused()) host->sample_counters();
  }
  if (second == 1) result_.first_second_cpu_s = cpu_seconds();
  write_link_loads(*runner_, plan_, *fabric_, now_ns());
  const auto wall = std::chrono::steady_clock::now() - began_;
  const auto wall_ns = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(wall).count());
  if (options_.wall_limit_ns > 0 && wall_ns > options_.wall_limit_ns) result_.wall_limit_hit = true;
  if (options_.interrupted != nullptr && options_.interrupted->load()) result_.interrupted = true;
  if (options_.progress) {
    std::fprintf(stderr, "\r%3llu s of %llu s simulated, %.1f s of real time ", static_cast<unsigned long long>(second),
                 static_cast<unsigned long long>((plan_.duration_ns + plan_.drain_ns) / static_cast<plan::Ns>(kSecond)),
                 static_cast<double>(wall_ns) / 1e9);
    std::fflush(stderr);
  }
  if (result_.wall_limit_hit || result_.interrupted || folder_.error() != nullptr) {
    ns3::Simulator::Stop();
    return;
  }
  at((second + 1) * kSecond, [this, second] { each_second(second + 1); });
}

std::uint64_t Simulation::finish() {
  const std::string fidelity = std::string("fidelity=") + fabric_->fidelity();
  for (const std::string_view what : {std::string_view("virtual_time"), std::string_view("runner=sim"),
                                      std::string_view(fidelity), std::string_view("reassembly=portable")}) {
    record::Row said;
    said.text = runner_->text(what);
    said.value = 1;
    runner_->add(record::Kind::fidelity, said);
  }
  if (cores_ != nullptr) {
    record::Row said;
    said.text = runner_->text("cores");
    said.value = options_.cores;
    runner_->add(record::Kind::fidelity, said);
  }
  std::uint64_t hash = 0;
  for (const auto& host : hosts_) {
    const std::uint64_t parts[2] = {hash, host->trace().value()};
    hash = XXH3_64bits(parts, sizeof parts);
  }
  for (plan::Index p = 0; p < plan_.processes.size(); ++p) stop(p, record::StopCause::end_of_run);
  write_link_loads(*runner_, plan_, *fabric_, now_ns());
  link_counters();
  for (const ClosedFile& file : folder_.files()) {
    record::Row row;
    row.text = runner_->text(file.name);
    row.value = file.summary.rows;
    row.hash = file.summary.hash;
    runner_->add(record::Kind::file, row);
  }
  record::Row row;
  row.hash = hash;
  runner_->add(record::Kind::trace, row);
  return hash;
}

Expected<RunResult> Simulation::play() {
  const auto end = static_cast<std::uint64_t>(plan_.duration_ns + plan_.drain_ns);
  result_.built_cpu_s = cpu_seconds();
  at(kSecond, [this] { each_second(1); });
  at(end, [] { ns3::Simulator::Stop(); });
  ns3::Simulator::Run();
  result_.events = ns3::Simulator::GetEventCount();
  result_.simulated_ns = now_ns();
  if (options_.progress) std::fprintf(stderr, "\n");
  if (error_) return tl::unexpected<Error>(*error_);
  result_.trace_hash = finish();
  if (auto finished = fabric_->finish(); !finished) return tl::unexpected<Error>(finished.error());
  if (!result_.wall_limit_hit && !result_.interrupted) runner_->end(record::EndCode::finished);
  if (folder_.error() != nullptr) return tl::unexpected<Error>(*folder_.error());
  return result_;
}

}  // namespace

Expected<RunResult> run(const plan::Plan& plan, const RunOptions& options) {
  EventLoop::install();
  Expected<RunResult> result = [&]() -> Expected<RunResult> {
    Simulation simulation(plan, options);
    if (auto built = simulation.build(); !built) return tl::unexpected<Error>(built.error());
    return simulation.play();
  }();
  ns3::Simulator::Destroy();
  return result;
}

}  // namespace portolan::sim
