// What each edge's routing table says, and when it comes to say it. With a constant convergence all edges change at
// once, as in lean fidelity; with the three parts each edge has a view of its own, so that paths may loop or end in
// nothing for a while, as they do between real routers:
//   detection    each end of the link finds out by itself (BFD, RFC 5880)
//   propagation  the news floods along the links that still work: their delay, and this much at each edge it reaches
//   install      from the news to the forwarding table
// A change that is over before it was detected is never told.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "sim/lean/routes.hpp"

namespace portolan::sim {

class Underlay {
 public:
  Underlay(const plan::Plan& plan, const std::vector<link::LinkModel>& directions,
           std::function<void(std::uint64_t)> converged);
  Hop next(plan::Index node, plan::Index to) { return tables_[node]->next(node, to); }
  std::uint64_t epoch(plan::Index node) const { return epochs_[node]; }
  void links_changed();

 private:
  void all_at_once();

  const plan::Plan& plan_;
  const std::vector<link::LinkModel>& directions_;
  std::function<void(std::uint64_t)> converged_;
  std::vector<std::shared_ptr<Routes>> tables_;  // by node
  std::vector<std::uint64_t> epochs_;            // by node
  std::uint64_t epoch_ = 1;
};

}  // namespace portolan::sim
