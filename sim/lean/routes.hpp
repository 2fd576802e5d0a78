// Which link a datagram takes next: shortest delay over the plan's links, as a converged link-state routing protocol
// would have it. Tables change only when `converge` is called (the plan's `convergence` after a link's change), so
// until then datagrams run into the cut. A link counts as down when either direction is (what BFD, RFC 5880, would
// find).
#pragma once

#include <cstdint>
#include <vector>

#include "scenarios/plan/plan.hpp"
#include "sim/link/link_model.hpp"

namespace portolan::sim {

struct Hop {
  plan::Index link = plan::kNone;
  bool reverse = false;  // b -> a
};

class Routes {
 public:
  // `directions[2 * l]` is a->b of link l, `[2 * l + 1]` is b->a. Both outlive this object.
  Routes(const plan::Plan& plan, const std::vector<link::LinkModel>& directions);
  // Takes the links as they are at this time.
  void converge(std::uint64_t now_ns);
  // The same where only these links are believed to be up.
  void converge(std::uint64_t now_ns, const std::vector<bool>& up);
  // The next hop from `node` towards `to`; link kNone when there is no path.
  Hop next(plan::Index node, plan::Index to);
  std::uint64_t epoch() const { return epoch_; }

 private:
  struct Edge {
    plan::Index to;
    plan::Index link;
    bool reverse;
    std::uint64_t cost_ns;
  };
  void compute(plan::Index to);

  const plan::Plan& plan_;
  const std::vector<link::LinkModel>& directions_;
  std::vector<std::vector<Edge>> into_;    // [node]: edges that end here, with their costs; links that are up
  std::vector<std::vector<Hop>> towards_;  // [destination][node]; empty until asked for
  std::uint64_t epoch_ = 0;
};

}  // namespace portolan::sim
