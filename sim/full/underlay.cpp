#include "sim/full/underlay.hpp"

#include "sim/lean/scheduler.hpp"

namespace portolan::sim {

Underlay::Underlay(const plan::Plan& plan, const std::vector<link::LinkModel>& directions,
                   std::function<void(std::uint64_t)> converged)
    : plan_(plan), directions_(directions), converged_(std::move(converged)) {
  tables_.assign(plan.nodes.size(), std::make_shared<Routes>(plan, directions));
  epochs_.assign(plan.nodes.size(), epoch_);
}

void Underlay::links_changed() {
  at(now_ns() + static_cast<std::uint64_t>(plan_.convergence_ns), [this] { all_at_once(); });
}

void Underlay::all_at_once() {
  auto table = std::make_shared<Routes>(plan_, directions_);
  table->converge(now_ns());
  tables_.assign(plan_.nodes.size(), table);
  epochs_.assign(plan_.nodes.size(), ++epoch_);
  converged_(epoch_);
}

}  // namespace portolan::sim
