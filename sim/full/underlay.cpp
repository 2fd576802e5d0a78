#include "sim/full/underlay.hpp"

#include "scenarios/base/hash.hpp"
#include "sim/lean/scheduler.hpp"

namespace portolan::sim {

namespace {

bool is_constant(const plan::Spread& spread) {
  return spread.more.kind == plan::JitterKind::none;
}

}  // namespace

Underlay::Underlay(const plan::Plan& plan, const std::vector<link::LinkModel>& directions,
                   std::function<void(std::uint64_t)> converged)
    : plan_(plan), directions_(directions), converged_(std::move(converged)), truth_(plan.links.size()) {
  const plan::Convergence& c = plan.convergence;
  in_parts_ = !is_constant(c.detection) || !is_constant(c.propagation) || !is_constant(c.install) ||
              c.propagation.least_ns > 0 || c.install.least_ns > 0;
  for (plan::Index l = 0; l < plan.links.size(); ++l) {
    const auto edge = [&plan](plan::Index node) { return plan.nodes[node].kind == plan::NodeKind::edge; };
    if (edge(plan.links[l].a) && edge(plan.links[l].b)) links_.push_back(l);
  }
  if (in_parts_) views_.assign(plan.nodes.size(), truth_);
  tables_.assign(plan.nodes.size(), std::make_shared<Routes>(plan, directions));
  epochs_.assign(plan.nodes.size(), epoch_);
}

template <typename F>
void Underlay::after(Part part, std::uint64_t change, std::uint64_t link, std::uint64_t who, F then) {
  const plan::Convergence& c = plan_.convergence;
  const plan::Spread& spread = part == Part::detection     ? c.detection
                               : part == Part::propagation ? c.propagation
                                                           : c.install;
  const std::uint64_t bits =
      draw64(plan_.seed, name64("convergence"), static_cast<std::uint64_t>(part), change, link, who);
  const std::uint64_t delay = static_cast<std::uint64_t>(spread.least_ns) + link::jitter_ns(spread.more, bits);
  ++open_[change];
  at(now_ns() + delay, [this, change, then = std::move(then)] {
    then();
    settle(change);
  });
}

void Underlay::settle(std::uint64_t change) {
  if (--open_[change] > 0) return;
  open_.erase(change);
  converged_(epoch_);
}

void Underlay::links_changed() {
  if (!in_parts_) {
    at(now_ns() + static_cast<std::uint64_t>(plan_.convergence_ns), [this] { all_at_once(); });
    return;
  }
  const std::uint64_t change = ++changes_;
  made_.clear();
  open_[change] = 1;
  for (const plan::Index l : links_) {
    const bool up = directions_[2 * l].up(now_ns()) && directions_[2 * l + 1].up(now_ns());
    if (up == truth_[l].up) continue;
    truth_[l] = {truth_[l].number + 1, up};
    const plan::Link& link = plan_.links[l];
    for (const plan::Index end : {link.a, link.b}) {
      const plan::Index other = end == link.a ? link.b : link.a;
      after(Part::detection, change, l, end,
            [this, change, end, other, item = Item{l, truth_[l]}] { detected(change, end, other, item); });
    }
  }
  settle(change);
}

void Underlay::all_at_once() {
  auto table = std::make_shared<Routes>(plan_, directions_);
  table->converge(now_ns());
  tables_.assign(plan_.nodes.size(), table);
  epochs_.assign(plan_.nodes.size(), ++epoch_);
  converged_(epoch_);
}

void Underlay::detected(std::uint64_t change, plan::Index end, plan::Index other, const Item& item) {
  if (truth_[item.link].number != item.news.number) return;  // over before it was noticed
  auto items = std::make_shared<std::vector<Item>>(1, item);
  for (const plan::Index l : links_) {
    if (!item.news.up || l == item.link) continue;
    const News& mine = views_[end][l];
    const News& theirs = views_[other][l];
    if (mine.number != theirs.number) items->push_back({l, mine.number > theirs.number ? mine : theirs});
  }
  learn(change, end, items);
  const std::vector<bool> reached = reached_from(end);
  for (plan::Index n = 0; n < plan_.nodes.size(); ++n) {
    if (!reached[n] || n == end) continue;
    const std::uint64_t who = std::uint64_t{end} << 32 | n;
    after(Part::propagation, change, item.link, who, [this, change, n, items] { learn(change, n, items); });
  }
}

void Underlay::learn(std::uint64_t change, plan::Index node, const Items& items) {
  bool news = false;
  for (const Item& item : *items) {
    News& known = views_[node][item.link];
    if (item.news.number <= known.number) continue;
    known = item.news;
    news = true;
  }
  if (news) after(Part::install, change, items->front().link, node, [this, node] { install(node); });
}

void Underlay::install(plan::Index node) {
  std::vector<bool> up(plan_.links.size(), true);
  for (const plan::Index l : links_) up[l] = views_[node][l].up;
  std::shared_ptr<Routes>& table = made_[up];
  if (table == nullptr) {
    table = std::make_shared<Routes>(plan_, directions_);
    table->converge(now_ns(), up);
  }
  tables_[node] = table;
  epochs_[node] = ++epoch_;
}

std::vector<bool> Underlay::reached_from(plan::Index node) const {
  std::vector<bool> reached(plan_.nodes.size(), false);
  std::vector<plan::Index> open{node};
  reached[node] = true;
  while (!open.empty()) {
    const plan::Index here = open.back();
    open.pop_back();
    for (const plan::Index l : links_) {
      const plan::Link& link = plan_.links[l];
      if (!truth_[l].up || (link.a != here && link.b != here)) continue;
      const plan::Index there = link.a == here ? link.b : link.a;
      if (!reached[there]) open.push_back(there);
      reached[there] = true;
    }
  }
  return reached;
}

}  // namespace portolan::sim
