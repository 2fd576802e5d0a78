#include "scenarios/plan/plan_check.hpp"

#include <algorithm>
#include <set>
#include <unordered_set>

namespace portolan::plan {
namespace {

class Check {
 public:
  explicit Check(const Plan& plan) : plan_(plan) {}

  std::string run() {
    harbours();
    nodes();
    media();
    links();
    processes();
    topics();
    loads();
    faults();
    expectations();
    return fault_;
  }

 private:
  void report(const std::string& array, std::size_t i, const std::string& what) {
    if (fault_.empty()) fault_ = "/" + array + "/" + std::to_string(i) + what;
  }
  void need(bool holds, const std::string& array, std::size_t i, const char* what) {
    if (!holds) report(array, i, what);
  }
  template <typename V>
  static bool in(Index i, const V& array) {
    return i < array.size();
  }

  void harbours() {
    for (std::size_t i = 0; i < plan_.harbours.size(); ++i) {
      const Harbour& h = plan_.harbours[i];
      const auto is_hub = [&](Index other) { return in(other, plan_.harbours) && plan_.harbours[other].is_hub; };
      need(h.hub == kNone || (!h.is_hub && is_hub(h.hub)), "harbours", i, "/hub: a leaf's is a hub, a hub has none");
      need(h.standby == kNone || (h.hub != kNone && h.standby != h.hub && is_hub(h.standby)), "harbours", i,
           "/standby: another hub than `hub`");
    }
  }

  void nodes() {
    for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
      const Node& n = plan_.nodes[i];
      need(in(n.harbour, plan_.harbours), "nodes", i, "/harbour: no such harbour");
      const bool edge = n.kind == NodeKind::edge;
      need(edge ? n.tenant == kNone : in(n.tenant, plan_.tenants), "nodes", i,
           "/tenant: a service node or station has a tenant of the plan, an edge node none");
    }
  }

  void media() {
    for (std::size_t i = 0; i < plan_.media.size(); ++i) {
      const Medium& m = plan_.media[i];
      need(in(m.node, plan_.nodes), "media", i, "/node: no such node");
      need(m.kind != LinkKind::wifi || !m.wifi.standard.empty(), "media", i, "/wifi/standard: is empty");
      need(m.kind != LinkKind::csma || m.rate_bps > 0, "media", i, "/rate_bps: must be positive");
    }
  }

  void impairments(const Impairments& x, const std::string& array, std::size_t i) {
    const bool sorted = std::is_sorted(x.delay_trace.begin(), x.delay_trace.end(),
                                       [](const auto& p, const auto& q) { return p.at_ns < q.at_ns; });
    need(sorted, array, i, ": delay_trace is not sorted");
    need(std::is_sorted(x.rate_trace_ms.begin(), x.rate_trace_ms.end()), array, i, ": rate_trace_ms is not sorted");
    need(x.rate_trace_ms.empty() || x.rate_trace_period_ns >= Ns{x.rate_trace_ms.back()} * 1'000'000, array, i,
         ": rate_trace_period_ns is before the trace's end");
  }

  void links() {
    for (std::size_t i = 0; i < plan_.links.size(); ++i) {
      const Link& l = plan_.links[i];
      need(in(l.a, plan_.nodes), "links", i, "/a: no such node");
      need(in(l.b, plan_.nodes), "links", i, "/b: no such node");
      need(l.a != l.b, "links", i, ": joins a node to itself");
      const bool shared = l.kind == LinkKind::csma || l.kind == LinkKind::wifi;
      need(shared ? in(l.medium, plan_.media) && plan_.media[l.medium].kind == l.kind : l.medium == kNone, "links", i,
           "/medium: links of kind csma and wifi have one of their kind, others none");
      impairments(l.a_to_b, "links", i);
      impairments(l.b_to_a, "links", i);
    }
  }

  void processes() {
    std::unordered_set<std::uint64_t> ids;
    for (std::size_t i = 0; i < plan_.processes.size(); ++i) {
      const Process& p = plan_.processes[i];
      if (!in(p.node, plan_.nodes)) return report("processes", i, "/node: no such node");
      if (!in(p.tenant, plan_.tenants)) return report("processes", i, "/tenant: no such tenant");
      need(plan_.nodes[p.node].tenant == p.tenant, "processes", i, "/tenant: is not the tenant of its node");
      need(p.id != 0 && ids.insert(p.id).second, "processes", i, "/id: is 0 or taken");
      need(p.kind == ProcessKind::client || p.broker == kNone, "processes", i, "/broker: a broker has none");
      need(p.kind == ProcessKind::broker || broker_of(p.broker, p.tenant), "processes", i,
           "/broker: a client has a broker of its tenant");
      need(p.kind == ProcessKind::broker || p.peers.empty(), "processes", i, "/peers: a client has none");
      need(p.peer_roles.size() == p.peers.size(), "processes", i, "/peer_roles: one for each peer");
      for (Index peer : p.peers) {
        need(peer != i && broker_of(peer, p.tenant), "processes", i, "/peers: must be other brokers of its tenant");
      }
      for (const Subscription& s : p.subscriptions) {
        need(filter_valid(s.filter), "processes", i, "/subscriptions: not a topic filter");
        need(s.until_ns == 0 || s.until_ns > s.at_ns, "processes", i, "/subscriptions: ends before it starts");
      }
    }
  }
  bool broker_of(Index i, Index tenant) const {
    return in(i, plan_.processes) && plan_.processes[i].kind == ProcessKind::broker &&
           plan_.processes[i].tenant == tenant;
  }

  void topics() {
    std::set<std::pair<Index, std::string_view>> names;
    for (std::size_t i = 0; i < plan_.topics.size(); ++i) {
      const Topic& t = plan_.topics[i];
      need(in(t.tenant, plan_.tenants), "topics", i, "/tenant: no such tenant");
      need(topic_valid(t.name), "topics", i, "/name: not a topic name");
      need(names.insert({t.tenant, t.name}).second, "topics", i, "/name: is taken");
      for (Index r : t.replicas) need(in(r, plan_.harbours), "topics", i, "/replicas: no such harbour");
    }
  }

  void loads() {
    for (std::size_t i = 0; i < plan_.loads.size(); ++i) {
      const Load& l = plan_.loads[i];
      const bool synthetic = l.kind == LoadKind::periodic || l.kind == LoadKind::poisson;
      need(!synthetic || l.interval_ns > 0, "loads", i, "/interval_ns: must be positive");
      need(l.end_ns >= l.start_ns && l.end_ns <= plan_.duration_ns, "loads", i, "/end_ns: not within the run");
      need(l.kind != LoadKind::fleet || !l.lanes.empty(), "loads", i, "/lanes: a fleet sails at least one");
      for (const auto& lane : l.lanes) need(lane.size() >= 2, "loads", i, "/lanes: a lane has at least two points");
    }
    for (std::size_t i = 0; i < plan_.streams.size(); ++i) {
      const Stream& s = plan_.streams[i];
      if (!in(s.load, plan_.loads)) return report("streams", i, "/load: no such load");
      if (!in(s.topic, plan_.topics)) return report("streams", i, "/topic: no such topic");
      if (!in(s.process, plan_.processes)) return report("streams", i, "/process: no such process");
      const Process& p = plan_.processes[s.process];
      need(p.kind == ProcessKind::client, "streams", i, "/process: is not a client");
      need(p.tenant == plan_.topics[s.topic].tenant, "streams", i, ": publisher and topic are of different tenants");
    }
  }

  void faults() {
    Ns before = 0;
    for (std::size_t i = 0; i < plan_.faults.size(); ++i) {
      const Fault& f = plan_.faults[i];
      need(f.at_ns >= before, "faults", i, "/at_ns: faults are not sorted by time");
      before = f.at_ns;
      need(f.until_ns == 0 || f.until_ns > f.at_ns, "faults", i, "/until_ns: heals before it begins");
      for (Index l : f.links) need(in(l, plan_.links), "faults", i, "/links: no such link");
      for (Index p : f.processes) need(in(p, plan_.processes), "faults", i, "/processes: no such process");
      need(!f.links.empty() || !f.processes.empty(), "faults", i, ": hits neither a link nor a process");
      impairments(f.impairments, "faults", i);
    }
  }

  void expectations() {
    for (std::size_t i = 0; i < plan_.expectations.size(); ++i) {
      const Expectation& e = plan_.expectations[i];
      need(e.tenant == kNone || in(e.tenant, plan_.tenants), "expectations", i, "/tenant: no such tenant");
      need(filter_valid(e.filter), "expectations", i, "/filter: not a topic filter");
      need(e.link == kNone || in(e.link, plan_.links), "expectations", i, "/link: no such link");
      const bool of_link = e.kind == ExpectKind::utilisation_least || e.kind == ExpectKind::utilisation_most ||
                           e.kind == ExpectKind::queue;
      need(!of_link || e.link != kNone, "expectations", i, "/link: is needed");
      need((e.kind != ExpectKind::queue && e.kind != ExpectKind::goodput) || e.reference > 0, "expectations", i,
           "/reference: must be positive");
      need(e.until_ns == 0 || e.until_ns > e.after_ns, "expectations", i, "/until_ns: before after_ns");
      need(e.kind != ExpectKind::latency_rise || e.base_until_ns > e.base_after_ns, "expectations", i,
           "/base_until_ns: before base_after_ns");
    }
  }

  const Plan& plan_;
  std::string fault_;
};

}  // namespace

std::string first_inconsistency(const Plan& plan) {
  return Check(plan).run();
}

}  // namespace portolan::plan
