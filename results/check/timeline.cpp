#include "results/check/timeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace portolan::check {

using record::Kind;
using record::Row;

Intervals merged(Intervals in) {
  std::sort(in.begin(), in.end(), [](const Interval& a, const Interval& b) { return a.from < b.from; });
  Intervals out;
  for (const Interval& i : in) {
    if (i.to < i.from) continue;
    if (!out.empty() && i.from <= out.back().to) {
      out.back().to = std::max(out.back().to, i.to);
    } else {
      out.push_back(i);
    }
  }
  return out;
}

Timeline::Timeline(const RunFiles& run, Judgement& judgement) : plan_(run.plan) {
  effects_.resize(plan_.faults.size());
  lives_.resize(plan_.processes.size());
  away_.resize(plan_.processes.size());
  end_ = plan_.duration_ns + plan_.drain_ns;
  if (run.runner != nullptr) {
    read_rows(run);
    check_starts(run, judgement);
    check_faults(run, judgement);
  }
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
      default:
        break;
    }
  });
  // The run ended when its last row was written; a run cut short is truncated anyway.
  if (last > 0) end_ = last;
}

namespace {

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
    if (!paths_change(fault)) continue;
    if (fault.at_ns + plan_.convergence_ns < end_) ++changes;
    if (fault.until_ns > 0 && fault.until_ns + plan_.convergence_ns < end_) ++changes;
  }
  if (changes > path_changes_) {
    judgement.undecided(Rule::records, "path_change rows missing", run.runner->name,
                        fmt::format("{} rows, the plan's faults make {} changes", path_changes_, changes));
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

// Whether any way of links that are up in both directions joins the nodes.
bool Timeline::connected(Index node_a, Index node_b, Ns at) const {
  std::vector<bool> down(plan_.links.size(), false);
  for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
    const plan::Fault& fault = plan_.faults[f];
    const Effect& e = effects_[f];
    const bool total_loss = fault.kind == plan::FaultKind::degrade &&
                            fault.impairments.loss.probability == 1'000'000'000u &&
                            fault.impairments.loss.kind == plan::LossKind::uniform;
    if ((!paths_change(fault) && !total_loss) || !e.on || at < *e.on || (e.off && at >= *e.off)) continue;
    for (const Index link : fault.links) down[link] = true;
  }
  std::vector<Index> root(plan_.nodes.size());
  std::iota(root.begin(), root.end(), 0u);
  const auto find = [&](Index n) {
    while (root[n] != n) n = root[n] = root[root[n]];
    return n;
  };
  for (std::size_t l = 0; l < plan_.links.size(); ++l) {
    if (!down[l]) root[find(plan_.links[l].a)] = find(plan_.links[l].b);
  }
  return find(node_a) == find(node_b);
}

Intervals Timeline::path_down(Index node_a, Index node_b) const {
  std::vector<Ns> changes;
  Intervals out;
  for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
    const bool shifts = paths_change(plan_.faults[f]);
    if (!shifts && plan_.faults[f].kind != plan::FaultKind::degrade) continue;
    for (const auto& at : {effects_[f].on, effects_[f].off}) {
      if (!at) continue;
      changes.push_back(*at);
      if (shifts) out.push_back({*at, *at + plan_.convergence_ns});
    }
  }
  std::sort(changes.begin(), changes.end());
  for (std::size_t i = 0; i < changes.size(); ++i) {
    if (connected(node_a, node_b, changes[i])) continue;
    out.push_back({changes[i], i + 1 < changes.size() ? changes[i + 1] : kNever});
  }
  return merged(std::move(out));
}

const Intervals& Timeline::apart(Index a, Index b) const {
  static const Intervals none;
  const Index na = plan_.processes[a].node, nb = plan_.processes[b].node;
  if (na == nb) return none;
  const auto key = std::minmax(na, nb);
  const auto at = apart_.find(key);
  return at != apart_.end() ? at->second : apart_.emplace(key, path_down(key.first, key.second)).first->second;
}

const Intervals& Timeline::chain(Index home, Index broker, Index client) const {
  const auto key = std::tuple(home, broker, client);
  if (const auto at = chain_.find(key); at != chain_.end()) return at->second;
  Intervals out;
  for (const Intervals* part :
       {&away_[home], &away_[broker], &away_[client], &apart(home, broker), &apart(broker, client)}) {
    out.insert(out.end(), part->begin(), part->end());
  }
  return chain_.emplace(key, merged(std::move(out))).first->second;
}

const Intervals& Timeline::impaired(Index home, Index broker, Index client) const {
  const auto key = std::tuple(home, broker, client);
  if (const auto at = impaired_.find(key); at != impaired_.end()) return at->second;
  Intervals out = chain(home, broker, client);
  for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
    if (plan_.faults[f].kind == plan::FaultKind::degrade && effects_[f].on) {
      out.push_back({*effects_[f].on, effects_[f].off.value_or(kNever)});
    }
  }
  return impaired_.emplace(key, merged(std::move(out))).first->second;
}

}  // namespace portolan::check
