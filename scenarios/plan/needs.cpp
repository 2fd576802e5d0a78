#include "scenarios/plan/needs.hpp"

#include <algorithm>
#include <optional>

namespace portolan::plan {
namespace {

class Needs {
 public:
  Needs(const Plan& plan, std::span<const Feature> honoured) : plan_(plan), honoured_(honoured) {}

  // "/links/3/kind: csma" of the first need not honoured; empty when there is none.
  std::string first() {
    head();
    for (std::size_t i = 0; i < plan_.nodes.size(); ++i) node(plan_.nodes[i], at("nodes", i));
    for (std::size_t i = 0; i < plan_.links.size(); ++i) link(plan_.links[i], at("links", i));
    for (std::size_t i = 0; i < plan_.processes.size(); ++i) {
      const auto& roles = plan_.processes[i].peer_roles;
      const auto of_hubs = std::find_if(roles.begin(), roles.end(), [](PeerRole r) { return r != PeerRole::mesh; });
      if (of_hubs == roles.end()) continue;
      need(Feature::hubs, at("processes", i) + "/peer_roles/" + std::to_string(of_hubs - roles.begin()),
           "hubs and leaves");
      break;
    }
    for (std::size_t i = 0; i < plan_.topics.size(); ++i) {
      if (plan_.topics[i].klass == TopicClass::ordered) need(Feature::ordered, at("topics", i) + "/class", "ordered");
    }
    for (std::size_t i = 0; i < plan_.faults.size(); ++i) {
      const Fault& f = plan_.faults[i];
      if (f.kind == FaultKind::corrupt_disk) need(Feature::corrupt_disk, at("faults", i) + "/kind", "corrupt-disk");
      if (f.kind == FaultKind::degrade) way(f.impairments, at("faults", i) + "/impairments");
    }
    return found_;
  }

 private:
  static std::string at(const char* array, std::size_t i) { return "/" + std::string(array) + "/" + std::to_string(i); }

  void need(Feature feature, const std::string& where, const std::string& what) {
    if (!found_.empty() || std::find(honoured_.begin(), honoured_.end(), feature) != honoured_.end()) return;
    found_ = where + ": " + what;
  }

  void head() {
    const auto draws = [](const Spread& s) { return s.more.kind != JitterKind::none; };
    const Convergence& c = plan_.convergence;
    if (draws(c.detection) || draws(c.propagation) || draws(c.install) || c.propagation.least_ns > 0 ||
        c.install.least_ns > 0) {
      need(Feature::convergence_parts, "/convergence", "detection, propagation and install, each drawn");
    }
    if (plan_.security == Security::sealed) need(Feature::sealing, "/security", "sealed");
    if (plan_.overlay.kind == OverlayKind::none) need(Feature::no_overlay, "/overlay/kind", "none");
  }

  void node(const Node& n, const std::string& where) {
    if (!n.machine.empty() && n.machine != plan_.nodes[0].machine) {
      need(Feature::machines, where + "/machine", "a second machine, " + n.machine);
    }
    if (n.kind != NodeKind::station) return;
    need(Feature::stations, where + "/kind", "station");
    if (n.motion.speed_mm_s > 0) need(Feature::motion, where + "/motion", "a station that moves");
  }

  void link(const Link& l, const std::string& where) {
    if (l.kind == LinkKind::point_to_point) need(Feature::point_to_point, where + "/kind", "point-to-point");
    if (l.kind == LinkKind::csma) need(Feature::csma, where + "/kind", "csma");
    if (l.kind == LinkKind::wifi) need(Feature::wifi, where + "/kind", "wifi");
    way(l.a_to_b, where + "/a_to_b", l.model == "veth");
    way(l.b_to_a, where + "/b_to_a", l.model == "veth");
  }

  // The services' own interfaces are always smaller than an uplink, by the tunnel's headers.
  void way(const Impairments& x, const std::string& where, bool inner = false) {
    if (x.queue.kind == QueueKind::fq_codel) need(Feature::fq_codel, where + "/queue/kind", "fq-codel");
    if (x.queue.ecn) need(Feature::ecn, where + "/queue/ecn", "true");
    if (x.mtu_bytes < 1500 && !inner) {
      need(Feature::small_mtu, where + "/mtu_bytes", std::to_string(x.mtu_bytes));
    }
  }

  const Plan& plan_;
  std::span<const Feature> honoured_;
  std::string found_;
};

}  // namespace

Expected<void> refuse_needs(const Plan& plan, std::span<const Feature> honoured, const std::string& runner) {
  const std::string need = Needs(plan, honoured).first();
  if (need.empty()) return {};
  return fail(Exit::usage, plan.name, need + ": " + runner + " does not do that");
}

}  // namespace portolan::plan
