#include "results/check/ways.hpp"

#include <queue>

namespace portolan::check {

namespace {

bool changes_paths(const plan::Fault& fault) {
  return fault.kind == plan::FaultKind::cut || fault.kind == plan::FaultKind::partition;
}

// A degraded link that loses everything is as good as cut, but routing does not know.
bool loses_all(const plan::Fault& fault) {
  return fault.kind == plan::FaultKind::degrade && fault.impairments.loss.kind == plan::LossKind::uniform &&
         fault.impairments.loss.probability == 1'000'000'000u;
}

bool on_at(const Effect& e, Ns at) {
  return e.on && *e.on <= at && !(e.off && *e.off <= at);
}

}  // namespace

Ways::Ways(const plan::Plan& plan, const std::vector<Effect>& effects) : plan_(plan), effects_(effects) {
  at_node_.resize(plan.nodes.size());
  for (Index l = 0; l < plan.links.size(); ++l) {
    at_node_[plan.links[l].a].push_back({l, false});
    at_node_[plan.links[l].b].push_back({l, true});
  }
  epochs_.push_back({});
  for (std::size_t f = 0; f < plan.faults.size(); ++f) {
    if (!changes_paths(plan.faults[f])) continue;
    for (const auto& at : {effects[f].on, effects[f].off}) {
      if (at) epochs_.push_back({*at + plan.convergence_ns, *at, {}});
    }
  }
  std::stable_sort(epochs_.begin(), epochs_.end(), [](const Epoch& x, const Epoch& y) { return x.from < y.from; });
}

bool Ways::down_at(Index link, Ns at, bool losing_counts) const {
  for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
    const plan::Fault& fault = plan_.faults[f];
    if (!changes_paths(fault) && !(losing_counts && loses_all(fault))) continue;
    if (on_at(effects_[f], at) && std::count(fault.links.begin(), fault.links.end(), link) > 0) return true;
  }
  return false;
}

Ns Ways::delay_at(Index link, bool reverse, Ns at) const {
  const plan::Impairments& is = reverse ? plan_.links[link].b_to_a : plan_.links[link].a_to_b;
  Ns delay = is.delay_ns;
  if (!is.delay_trace.empty()) {
    const Ns t = is.delay_trace_period_ns > 0 ? at % is.delay_trace_period_ns : at;
    for (const plan::DelayPoint& p : is.delay_trace) {
      if (p.at_ns <= t) delay = p.delay_ns;
    }
  }
  for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
    const plan::Fault& fault = plan_.faults[f];
    if (fault.kind != plan::FaultKind::degrade || !on_at(effects_[f], at)) continue;
    if (std::count(fault.links.begin(), fault.links.end(), link) == 0) continue;
    if (fault.way == (reverse ? plan::Way::a_to_b : plan::Way::b_to_a)) continue;
    if (std::count(fault.replaces.begin(), fault.replaces.end(), "delay") > 0) delay = fault.impairments.delay_ns;
  }
  return delay;
}

// Delays from `node` to all others, or from all others to it; kNever where there is no way.
const std::vector<Ns>& Ways::distances(Epoch& epoch, Index node, bool towards) {
  const auto [at, fresh] = epoch.distances.try_emplace({node, towards});
  std::vector<Ns>& cost = at->second;
  if (!fresh) return cost;
  cost.assign(plan_.nodes.size(), kNever);
  using Item = std::pair<Ns, Index>;
  std::priority_queue<Item, std::vector<Item>, std::greater<>> open;
  cost[node] = 0;
  open.emplace(0, node);
  while (!open.empty()) {
    const auto [so_far, here] = open.top();
    open.pop();
    if (so_far > cost[here]) continue;
    if (here != node && plan_.nodes[here].kind == plan::NodeKind::service) continue;  // only edges forward
    for (const auto& [link, is_b] : at_node_[here]) {
      if (down_at(link, epoch.from, false)) continue;
      const Index next = is_b ? plan_.links[link].a : plan_.links[link].b;
      const Ns through = so_far + delay_at(link, is_b != towards, epoch.from) + 1;  // +1: of equals the fewer hops
      if (through >= cost[next]) continue;
      cost[next] = through;
      open.emplace(through, next);
    }
  }
  return cost;
}

// The links of every shortest path, there and back: of equals a runner may take any.
Ways::Links Ways::links_of(Epoch& epoch, Index a, Index b) {
  Links out(plan_.links.size(), false);
  for (const auto& [from, to] : {std::pair(a, b), std::pair(b, a)}) {
    const std::vector<Ns>& there = distances(epoch, from, false);
    const std::vector<Ns>& rest = distances(epoch, to, true);
    const Ns whole = there[to];
    if (whole == kNever) return {};
    for (Index l = 0; l < plan_.links.size(); ++l) {
      for (const bool reverse : {false, true}) {
        const Index x = reverse ? plan_.links[l].b : plan_.links[l].a;
        const Index y = reverse ? plan_.links[l].a : plan_.links[l].b;
        if (there[x] == kNever || rest[y] == kNever || down_at(l, epoch.from, false)) continue;
        if (there[x] + delay_at(l, reverse, epoch.from) + 1 + rest[y] == whole) out[l] = true;
      }
    }
  }
  return out;
}

Intervals Ways::down(Index a, Index b) {
  Intervals out;
  Links before;
  for (std::size_t e = 0; e < epochs_.size(); ++e) {
    const Links links = links_of(epochs_[e], a, b);
    const Ns from = epochs_[e].from;
    const Ns to = e + 1 < epochs_.size() ? epochs_[e + 1].from : kNever;
    if (e > 0 && links != before) out.push_back({epochs_[e].cause, from});
    if (links.empty() && !plan_.links.empty()) out.push_back({from, to});
    for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
      const plan::Fault& fault = plan_.faults[f];
      if (links.empty() || !effects_[f].on || (!changes_paths(fault) && !loses_all(fault))) continue;
      if (std::none_of(fault.links.begin(), fault.links.end(), [&](Index l) { return links[l]; })) continue;
      const Interval broken{std::max(from, *effects_[f].on), std::min(to, effects_[f].off.value_or(kNever))};
      if (broken.from < broken.to) out.push_back(broken);
    }
    before = links;
  }
  return merged(std::move(out));
}

bool Ways::crosses(std::size_t fault, Index a, Index b) {
  const Effect& effect = effects_[fault];
  if (!effect.on || a == b) return false;
  const Ns off = effect.off.value_or(kNever);
  for (std::size_t e = 0; e < epochs_.size(); ++e) {
    const Ns to = e + 1 < epochs_.size() ? epochs_[e + 1].from : kNever;
    if (epochs_[e].from > off || to < *effect.on) continue;
    const Links links = links_of(epochs_[e], a, b);
    for (const Index l : plan_.faults[fault].links) {
      if (!links.empty() && links[l]) return true;
    }
  }
  return false;
}

}  // namespace portolan::check
