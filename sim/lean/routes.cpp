// Dijkstra from each destination, backwards, when first asked for; ties go to the lower node and link, so that equal
// plans give equal paths on every machine.
#include "sim/lean/routes.hpp"

#include <limits>
#include <queue>
#include <tuple>

namespace portolan::sim {

Routes::Routes(const plan::Plan& plan, const std::vector<link::LinkModel>& directions)
    : plan_(plan), directions_(directions) {
  converge(0);
}

void Routes::converge(std::uint64_t now_ns) {
  std::vector<bool> up(plan_.links.size());
  for (std::size_t l = 0; l < up.size(); ++l)
    up[l] = directions_[2 * l].up(now_ns) && directions_[2 * l + 1].up(now_ns);
  converge(now_ns, up);
}

void Routes::converge(std::uint64_t now_ns, const std::vector<bool>& up) {
  ++epoch_;
  into_.assign(plan_.nodes.size(), {});
  towards_.assign(plan_.nodes.size(), {});
  for (plan::Index l = 0; l < plan_.links.size(); ++l) {
    const auto& forward = directions_[2 * l];
    const auto& backward = directions_[2 * l + 1];
    if (!up[l]) continue;
    const auto& link = plan_.links[l];
    into_[link.b].push_back({link.a, l, false, forward.delay_ns(now_ns)});
    into_[link.a].push_back({link.b, l, true, backward.delay_ns(now_ns)});
  }
}

void Routes::compute(plan::Index to) {
  constexpr auto far = std::numeric_limits<std::uint64_t>::max();
  auto& hops = towards_[to];
  hops.assign(plan_.nodes.size(), {});
  std::vector<std::uint64_t> cost(plan_.nodes.size(), far);
  using Item = std::tuple<std::uint64_t, plan::Index>;
  std::priority_queue<Item, std::vector<Item>, std::greater<>> open;
  cost[to] = 0;
  open.emplace(0, to);
  while (!open.empty()) {
    const auto [so_far, node] = open.top();
    open.pop();
    if (so_far > cost[node]) continue;
    // Traffic does not pass through another harbour's service host: only edges forward.
    if (node != to && plan_.nodes[node].kind == plan::NodeKind::service) continue;
    for (const Edge& edge : into_[node]) {
      const std::uint64_t through = so_far + edge.cost_ns + 1;  // +1: of equal delays the fewer hops
      if (through < cost[edge.to]) {
        cost[edge.to] = through;
        hops[edge.to] = {edge.link, edge.reverse};
        open.emplace(through, edge.to);
      }
    }
  }
}

Hop Routes::next(plan::Index node, plan::Index to) {
  if (towards_[to].empty()) compute(to);
  return towards_[to][node];
}

}  // namespace portolan::sim
