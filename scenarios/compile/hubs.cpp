// Stages: hubs and leaves, and who holds sessions with whom. Without hubs all brokers of a tenant are a mesh; with hubs
// a leaf's broker has its hub's and its standby's for peers, hubs are a mesh, and a hub has its leaves besides.
#include <algorithm>

#include "scenarios/compile/context.hpp"

namespace portolan::compile {
namespace {

std::vector<std::string> hub_names(const Context& c) {
  std::vector<std::string> names;
  for (const auto& h : c.plan.harbours) {
    if (h.is_hub) names.push_back(h.name);
  }
  return names;
}

// The hub that a leaf's `hub` or `standby` names.
Index named_hub(Context& c, Index leaf, const Tree& value, const std::string& key) {
  const auto hub = c.harbour(value, key);
  if (!hub) return kNone;
  if (*hub == leaf) {
    c.out.error(value.at, key, "is the harbour itself; name another, or say `hub: true`");
    return kNone;
  }
  if (!c.plan.harbours[*hub].is_hub) {
    const auto names = hub_names(c);
    c.out.error(value.at, key,
                "\"" + value.text + "\" is no hub; say `hub: true` there" +
                    (names.empty() ? std::string() : ", or name one of: " + listed(names)));
    return kNone;
  }
  return *hub;
}

void resolve_harbour(Context& c, Index h, bool any_hub) {
  plan::Harbour& harbour = c.plan.harbours[h];
  const Tree::Entry& entry = *c.harbour_entries[h];
  const std::string key = "harbours." + harbour.name;
  const Tree* hub = nullptr;
  const Tree* standby = nullptr;
  if (entry.value.is_map()) {
    for (const Tree::Entry& e : entry.value.entries) {
      if (e.key == "hub" && hub == nullptr) hub = &e.value;
      if (e.key == "standby" && standby == nullptr) standby = &e.value;
    }
  }
  const bool leaf = hub != nullptr && !harbour.is_hub && !(hub->is_scalar() && hub->text == "false");
  if (leaf) harbour.hub = named_hub(c, h, *hub, key + ".hub");
  if (!leaf && !harbour.is_hub && any_hub) {
    c.out.error(entry.at, key + ".hub", "is missing where others have hubs; name one of: " + listed(hub_names(c)));
  }
  if (standby == nullptr) return;
  if (!leaf) {
    c.out.error(standby->at, key + ".standby", "is for a harbour that names a `hub`; leave it out");
    return;
  }
  harbour.standby = named_hub(c, h, *standby, key + ".standby");
  if (harbour.standby != kNone && harbour.standby == harbour.hub) {
    c.out.error(standby->at, key + ".standby", "is the hub itself; name another hub");
    harbour.standby = kNone;
  }
}

}  // namespace

void resolve_hubs(Context& c) {
  if (c.plan.harbours.size() != c.harbour_entries.size()) return;
  const bool any_hub =
      std::any_of(c.plan.harbours.begin(), c.plan.harbours.end(), [](const auto& h) { return h.is_hub; });
  for (Index h = 0; h < c.plan.harbours.size(); ++h) resolve_harbour(c, h, any_hub);
  const std::size_t hubs = hub_names(c).size();
  if (hubs > kMeshMost) {
    c.out.error(c.harbour_entries[0]->at, "harbours",
                std::to_string(hubs) + " hubs; they hold sessions each with each, so at most " +
                    std::to_string(kMeshMost) + ": let the others name a hub");
  }
  if (!any_hub && c.plan.harbours.size() > kMeshMost) {
    c.out.error(c.harbour_entries[0]->at, "harbours",
                std::to_string(c.plan.harbours.size()) + " harbours without hubs would need " +
                    std::to_string(c.plan.harbours.size() * (c.plan.harbours.size() - 1) / 2) + " sessions; beyond " +
                    std::to_string(kMeshMost) +
                    " say `hub: true` at some, and `hub: NAME, standby: NAME` at the others");
  }
}

namespace {

// The broker of a tenant at a harbour; kNone where it is not.
Index broker_at(const Context& c, Index harbour, Index tenant) {
  const Index node = c.service[harbour][tenant];
  return node == kNone ? kNone : c.processes.at(c.plan.nodes[node].name + "/broker");
}

void join(Context& c, Index from, Index to, plan::PeerRole role) {
  c.plan.processes[from].peers.push_back(to);
  c.plan.processes[from].peer_roles.push_back(role);
}

void join_leaf(Context& c, Index t, Index leaf, Index hub, const char* what, plan::PeerRole up, plan::PeerRole down) {
  const Index mine = broker_at(c, leaf, t);
  if (mine == kNone || hub == kNone) return;
  const Index its = broker_at(c, hub, t);
  if (its == kNone) {
    c.out.error(c.harbour_entries[leaf]->at, "harbours." + c.plan.harbours[leaf].name + "." + what,
                "tenant \"" + c.plan.tenants[t].name + "\" is here but not at " + c.plan.harbours[hub].name +
                    "; add it to tenants." + c.plan.tenants[t].name + ".harbours");
    return;
  }
  join(c, mine, its, up);
  join(c, its, mine, down);
}

}  // namespace

void join_brokers(Context& c) {
  using plan::PeerRole;
  for (Index t = 0; t < c.plan.tenants.size(); ++t) {
    std::vector<Index> equals;  // hubs, or all where there are none
    for (Index h = 0; h < c.plan.harbours.size(); ++h) {
      const Index broker = broker_at(c, h, t);
      if (broker != kNone && c.plan.harbours[h].hub == kNone) equals.push_back(broker);
    }
    for (Index x : equals) {
      for (Index y : equals) {
        if (x != y) join(c, x, y, PeerRole::mesh);
      }
    }
    for (Index h = 0; h < c.plan.harbours.size(); ++h) {
      const plan::Harbour& harbour = c.plan.harbours[h];
      join_leaf(c, t, h, harbour.hub, "hub", PeerRole::hub, PeerRole::leaf);
      join_leaf(c, t, h, harbour.standby, "standby", PeerRole::standby, PeerRole::standby_leaf);
    }
  }
}

const std::string& hub_name(const Context& c, Index harbour) {
  const Index hub = c.plan.harbours[harbour].hub;
  return c.plan.harbours[hub == kNone ? harbour : hub].name;
}

std::set<std::pair<Index, Index>> broker_sessions(const plan::Plan& plan, Index home,
                                                  const std::vector<Index>& receivers) {
  std::set<std::pair<Index, Index>> sessions;
  for (Index r : receivers) {
    const auto way = plan::broker_way(plan, home, plan.processes[r].broker);
    for (std::size_t i = 1; i < way.size(); ++i) sessions.insert({way[i - 1], way[i]});
  }
  return sessions;
}

}  // namespace portolan::compile
