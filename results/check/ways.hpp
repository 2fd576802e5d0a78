// Which links the datagrams between two hosts go over, and when they could not: the plan's shortest-delay paths over
// the links that were up, changed one `convergence` after each change of a link, as the plan has it and runners do. All
// that a link's fault may excuse is decided here: a fault on another way excuses nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "results/check/interval.hpp"
#include "scenarios/plan/plan.hpp"

namespace portolan::check {

struct Effect {
  std::optional<Ns> on, off;
};

class Ways {
 public:
  // `effects` by fault, as they happened; they and the plan must outlive this.
  Ways(const plan::Plan& plan, const std::vector<Effect>& effects);

  // When two nodes had no way that works, or theirs was changing.
  Intervals down(Index a, Index b);
  // Whether a link of the fault lay on the way between two nodes at some time while the fault was on.
  bool crosses(std::size_t fault, Index a, Index b);

 private:
  using Links = std::vector<bool>;  // by link: lies on a shortest path, in either direction
  struct Epoch {                    // of the routes in use
    Ns from = 0;
    Ns cause = 0;                                                 // when the link changed
    std::map<std::pair<Index, bool>, std::vector<Ns>> distances;  // by node and whether towards it
  };
  bool down_at(Index link, Ns at, bool loses_all) const;
  Ns delay_at(Index link, bool reverse, Ns at) const;
  const std::vector<Ns>& distances(Epoch& epoch, Index node, bool towards);
  Links links_of(Epoch& epoch, Index a, Index b);

  const plan::Plan& plan_;
  const std::vector<Effect>& effects_;
  std::vector<Epoch> epochs_;
  std::vector<std::vector<std::pair<Index, bool>>> at_node_;  // (link, node is its b)
};

}  // namespace portolan::check
