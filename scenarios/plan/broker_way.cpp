#include "scenarios/plan/plan.hpp"

namespace portolan::plan {

std::vector<Index> broker_way(const Plan& plan, Index from, Index to) {
  const auto hub_of = [&](Index broker) {
    const Process& p = plan.processes[broker];
    for (std::size_t i = 0; i < p.peers.size() && i < p.peer_roles.size(); ++i) {
      if (p.peer_roles[i] == PeerRole::hub) return p.peers[i];
    }
    return broker;
  };
  std::vector<Index> way = {from};
  if (from == to) return way;
  for (const Index next : {hub_of(from), hub_of(to), to}) {
    if (way.back() != next) way.push_back(next);
  }
  return way;
}

}  // namespace portolan::plan
