#include "results/check/timeline.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace portolan::check {

using record::Kind;
using record::Row;

Timeline::Timeline(const RunFiles& run, Judgement& judgement) : plan_(run.plan) {
  effects_.resize(plan_.faults.size());
  lives_.resize(plan_.processes.size());
  away_.resize(plan_.processes.size());
  end_ = plan_.duration_ns + plan_.drain_ns;
  if (run.runner != nullptr) {
    read_rows(run);
    check_starts(run, judgement);
    check_faults(run, judgement);
    check_end(run, judgement);
  }
  ways_ = std::make_unique<Ways>(plan_, effects_);
  for (const Effect& e : effects_) {
    if (e.off && *e.off <= end_) last_heal_ = std::max(last_heal_, *e.off);
    if (e.on && !e.off) last_heal_ = std::max(last_heal_, *e.on);
  }
  find_away();
}

void Timeline::read_rows(const RunFiles& run) {
  Ns last = 0;
  run.runner->reader.for_each([&](const Row& row) {
    const Ns at = run.runner->time(row);
    last = std::max(last, at);
    const auto index = static_cast<std::size_t>(row.value);
    switch (static_cast<Kind>(row.kind)) {
      case Kind::started:
        if (index < lives_.size()) lives_[index].push_back({row.incarnation, at, kNever, 0});
        break;
      case Kind::stopped:
        if (index < lives_.size()) {
          for (Life& life : lives_[index]) {
            if (life.incarnation == row.incarnation && life.to == kNever) life.to = at, life.cause = row.code;
          }
        }
        break;
      case Kind::fault_on:
        if (index < effects_.size() && !effects_[index].on) effects_[index].on = at;
        break;
      case Kind::fault_off:
        if (index < effects_.size() && !effects_[index].off) effects_[index].off = at;
        break;
      case Kind::path_change:
        ++path_changes_;
        break;
      case Kind::fidelity:
        if (run.runner->reader.text(row.text) == "virtual_time") virtual_time_ = row.value == 1;
        break;
      default:
        break;
    }
  });
  // The run ended when its last row was written; whether that is late enough is judged in check_end.
  if (last > 0) end_ = last;
}

namespace {

constexpr Ns kFaultSlack = 1'000'000'000;  // how late a runner in real time may be with a fault
// How long a session takes to be back once the way is: broker/wire/PROTOCOL.md, "Handshake".
constexpr Ns kHelloFirst = 100'000'000, kHelloMost = 1'000'000'000;
constexpr Ns kHandshake = 200'000'000;  // its two round trips

bool ends_processes(plan::FaultKind kind) {
  return kind == plan::FaultKind::kill || kind == plan::FaultKind::restart;
}

}  // namespace

void Timeline::check_starts(const RunFiles& run, Judgement& judgement) const {
  for (Index p = 0; p < plan_.processes.size(); ++p) {
    const plan::Process& process = plan_.processes[p];
    // How often the plan has it start: once, and at the end of each fault that ends it.
    std::uint32_t starts = process.start_ns < end_ ? 1 : 0;
    for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
      const plan::Fault& fault = plan_.faults[f];
      const bool comes_back = ends_processes(fault.kind) && fault.until_ns > 0 && fault.until_ns < end_;
      if (comes_back && std::count(fault.processes.begin(), fault.processes.end(), p) > 0) ++starts;
    }
    const auto& lives = lives_[p];
    if (lives.size() != starts) {
      judgement.undecided(Rule::records, "starts missing", process.name,
                          fmt::format("{} started rows, the plan asks for {}", lives.size(), starts));
    }
    for (std::size_t i = 0; i < lives.size(); ++i) {
      const Life& life = lives[i];
      if (life.incarnation != i + 1) {
        judgement.undecided(Rule::records, "incarnation out of turn", process.name,
                            fmt::format("start {} has incarnation {}", i + 1, life.incarnation));
      }
      if (life.to == kNever) {
        judgement.undecided(Rule::records, "stop missing", process.name,
                            fmt::format("incarnation {} has no stopped row", life.incarnation));
      }
      const auto need = [&](record::Writer writer, const char* what) {
        if (run.find(writer, p, life.incarnation) == nullptr) {
          judgement.undecided(Rule::records, "file missing", process.name,
                              fmt::format("no {} rows of incarnation {}", what, life.incarnation));
        }
      };
      need(record::Writer::audit, "audit");
      if (process.kind == plan::ProcessKind::client) need(record::Writer::application, "application");
    }
  }
  for (const RecordFile& file : run.files) {
    if (&file != run.runner && life(file.process(), file.incarnation()) == nullptr) {
      judgement.undecided(Rule::records, "file of a process that never started", file.name, "");
    }
  }
}

void Timeline::check_faults(const RunFiles& run, Judgement& judgement) const {
  std::uint64_t changes = 0;
  for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
    const plan::Fault& fault = plan_.faults[f];
    const auto missing = [&](const char* what) {
      judgement.undecided(Rule::records, "fault row missing",
                          fault.name.empty() ? fmt::format("fault {}", f) : fault.name, fmt::format("no {} row", what));
    };
    if (fault.at_ns < end_ && !effects_[f].on) missing("fault_on");
    if (fault.until_ns > 0 && fault.until_ns < end_ && !effects_[f].off) missing("fault_off");
    const auto late = [&](const std::optional<Ns>& took, Ns planned, const char* what) {
      if (!took || std::abs(*took - planned) <= kFaultSlack) return;
      judgement.undecided(Rule::records, "a fault took effect at another time than planned",
                          fault.name.empty() ? fmt::format("fault {}", f) : fault.name,
                          fmt::format("{} at {} ns, planned at {}", what, *took, planned));
    };
    late(effects_[f].on, fault.at_ns, "on");
    if (effects_[f].off) late(effects_[f].off, fault.until_ns > 0 ? fault.until_ns : kNever, "off");
    if (!paths_change(fault)) continue;
    if (fault.at_ns + plan_.convergence_ns < end_) ++changes;
    if (fault.until_ns > 0 && fault.until_ns + plan_.convergence_ns < end_) ++changes;
  }
  if (changes > path_changes_) {
    judgement.undecided(Rule::records, "path_change rows missing", run.runner->name,
                        fmt::format("{} rows, the plan's faults make {} changes", path_changes_, changes));
  }
}

bool Timeline::planned_death(Index process, const Life& life) const {
  for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
    const plan::Fault& fault = plan_.faults[f];
    if (!ends_processes(fault.kind) || !effects_[f].on) continue;
    if (std::count(fault.processes.begin(), fault.processes.end(), process) == 0) continue;
    if (std::abs(life.to - *effects_[f].on) <= kFaultSlack) return true;
  }
  return false;
}

// The run lasted as long as the plan says, and so did every process that no fault of the plan ended. What a run that
// was cut short would still have lost nobody knows, and a death that nobody ordered excuses nothing.
void Timeline::check_end(const RunFiles& run, Judgement& judgement) const {
  const Ns whole = plan_.duration_ns + plan_.drain_ns;
  if (end_ < whole) {
    judgement.undecided(Rule::records, "the run ended early", run.runner->name,
                        fmt::format("last row at {} ns, duration and drain end at {}", end_, whole));
  }
  for (Index p = 0; p < plan_.processes.size(); ++p) {
    for (const Life& life : lives_[p]) {
      if (life.to == kNever || (life.died() ? planned_death(p, life) : life.to >= whole)) continue;
      judgement.undecided(Rule::records, "a process ended that the plan keeps alive", plan_.processes[p].name,
                          fmt::format("incarnation {} stopped at {} ns with cause {}, the plan ends at {}",
                                      life.incarnation, life.to, life.cause, whole));
    }
  }
  for (const RecordFile& file : run.files) {
    if (&file == run.runner) continue;
    const Life* its = life(file.process(), file.incarnation());
    if (its == nullptr || its->to == kNever || !file.whole) continue;
    if (file.reader.killed() ? !its->died() : its->cause == static_cast<std::uint32_t>(record::StopCause::killed)) {
      judgement.undecided(Rule::records, "file closed otherwise than its process ended", file.name,
                          file.reader.killed() ? "killed, it says" : "finished, it says");
    }
  }
}

const Life* Timeline::life(Index process, std::uint32_t incarnation) const {
  if (process >= lives_.size()) return nullptr;
  for (const Life& life : lives_[process]) {
    if (life.incarnation == incarnation) return &life;
  }
  return nullptr;
}

const Life* Timeline::life_at(Index process, Ns at) const {
  for (const Life& life : lives_[process]) {
    if (life.from <= at && at <= life.to) return &life;
  }
  return nullptr;
}

Ns Timeline::death_after(Index process, Ns from) const {
  for (const Life& life : lives_[process]) {
    if (life.died() && life.to >= from) return life.to;
  }
  return kNever;
}

bool Timeline::paths_change(const plan::Fault& fault) const {
  return fault.kind == plan::FaultKind::cut || fault.kind == plan::FaultKind::partition;
}

void Timeline::find_away() {
  for (Index p = 0; p < lives_.size(); ++p) {
    Intervals out;
    Ns dead_from = 0;
    for (const Life& life : lives_[p]) {
      if (life.from > dead_from) out.push_back({dead_from, life.from});
      dead_from = life.to;
      if (!life.died()) dead_from = kNever;
    }
    if (dead_from != kNever) out.push_back({dead_from, kNever});
    for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
      const plan::Fault& fault = plan_.faults[f];
      if (fault.kind != plan::FaultKind::pause || !effects_[f].on) continue;
      if (std::count(fault.processes.begin(), fault.processes.end(), p) == 0) continue;
      out.push_back({*effects_[f].on, effects_[f].off.value_or(kNever)});
    }
    away_[p] = merged(std::move(out));
  }
}

const Intervals& Timeline::apart(Index a, Index b) const {
  static const Intervals none;
  const Index na = plan_.processes[a].node, nb = plan_.processes[b].node;
  if (na == nb) return none;
  const auto key = std::minmax(na, nb);
  const auto at = apart_.find(key);
  return at != apart_.end() ? at->second : apart_.emplace(key, ways_->down(key.first, key.second)).first->second;
}

const Intervals& Timeline::chain(Index home, Index broker, Index client) const {
  const auto key = std::tuple(home, broker, client);
  if (const auto at = chain_.find(key); at != chain_.end()) return at->second;
  Intervals out;
  const auto add = [&](const Intervals& part) { out.insert(out.end(), part.begin(), part.end()); };
  const std::vector<Index> way = plan::broker_way(plan_, home, broker);
  for (std::size_t i = 0; i < way.size(); ++i) {
    add(away_[way[i]]);
    if (i > 0) add(apart(way[i - 1], way[i]));
  }
  add(away_[client]);
  add(apart(broker, client));
  return chain_.emplace(key, merged(std::move(out))).first->second;
}

Intervals Timeline::session(Index broker, Index peer) const {
  Intervals out = away_[broker];
  for (const Intervals* part : {&away_[peer], &apart(broker, peer)}) out.insert(out.end(), part->begin(), part->end());
  return merged(std::move(out));
}

Intervals Timeline::session_absence(Index a, Index b) const {
  const Ns idle = std::max(plan_.processes[a].heartbeat_idle_ns, plan_.processes[b].heartbeat_idle_ns);
  const Ns back = std::clamp(3 * idle, kHelloFirst, kHelloMost) + kHandshake;
  Intervals out;
  for (const Interval& i : session(a, b)) {
    // Silence ends a session after three idle intervals, of which the first may have passed before.
    const bool ended = !out.empty() && out.back().length(end_) >= 2 * idle;
    if (ended && i.from - back <= out.back().to) {
      out.back().to = i.to;
    } else {
      out.push_back(i);
    }
  }
  return out;
}

const Intervals& Timeline::absence(Index home, Index broker, Index client) const {
  const auto key = std::tuple(home, broker, client);
  if (const auto at = absence_.find(key); at != absence_.end()) return at->second;
  Intervals out = session_absence(broker, client);
  const std::vector<Index> way = plan::broker_way(plan_, home, broker);
  for (std::size_t i = 0; i < way.size(); ++i) {
    const Intervals part = i == 0 ? away_[way[0]] : session_absence(way[i - 1], way[i]);
    out.insert(out.end(), part.begin(), part.end());
  }
  return absence_.emplace(key, merged(std::move(out))).first->second;
}

const Intervals& Timeline::impaired(Index home, Index broker, Index client) const {
  const auto key = std::tuple(home, broker, client);
  if (const auto at = impaired_.find(key); at != impaired_.end()) return at->second;
  Intervals out = chain(home, broker, client);
  const auto node = [&](Index process) { return plan_.processes[process].node; };
  const std::vector<Index> way = plan::broker_way(plan_, home, broker);
  for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
    if (plan_.faults[f].kind != plan::FaultKind::degrade || !effects_[f].on) continue;
    bool crosses = ways_->crosses(f, node(broker), node(client));
    for (std::size_t i = 1; i < way.size(); ++i) crosses = crosses || ways_->crosses(f, node(way[i - 1]), node(way[i]));
    if (crosses) {
      out.push_back({*effects_[f].on, effects_[f].off.value_or(kNever)});
    }
  }
  return impaired_.emplace(key, merged(std::move(out))).first->second;
}

}  // namespace portolan::check
