// The plan of the honest run.
#include <algorithm>

#include "results/testdata/honest_run.hpp"
#include "scenarios/plan/floor.hpp"

namespace portolan::honest {

namespace {

constexpr Index kHarbours = 3;

Index add_client(plan::Plan& p, const std::string& name, Index node, Index broker,
                 std::vector<plan::Subscription> subscriptions) {
  plan::Process c;
  c.name = name;
  c.kind = plan::ProcessKind::client;
  c.node = node;
  c.tenant = p.processes[broker].tenant;
  c.id = 1000 + p.processes.size();
  c.port = 5000;
  c.broker = broker;
  c.limits = "sim";
  c.heartbeat_idle_ns = 500 * kMs;
  c.subscriptions = std::move(subscriptions);
  p.processes.push_back(std::move(c));
  return static_cast<Index>(p.processes.size() - 1);
}

void add_stream(plan::Plan& p, Index load, Index client, const std::string& topic, const std::string& family,
                std::uint32_t index) {
  plan::Topic t;
  t.name = topic;
  t.family = family;
  t.tenant = p.processes[client].tenant;
  t.retain_ns = 10 * kSecond;
  t.retain_bytes = 1 << 20;
  p.topics.push_back(std::move(t));
  p.streams.push_back({load, client, static_cast<Index>(p.topics.size() - 1), index});
}

}  // namespace

plan::Plan small_plan() {
  plan::Plan p;
  p.name = "honest";
  p.title = "An honest small run";
  p.scenario_sha256 = std::string(64, '0');
  p.seed = 7;
  p.duration_ns = 10 * kSecond;
  p.drain_ns = 5 * kSecond;
  p.settle_ns = 2 * kSecond;
  p.convergence_ns = 100 * kMs;
  p.harbours = {{"berlin", 52'520'000, 13'405'000, true},
                {"hamburg", 53'540'000, 9'980'000, false},
                {"rotterdam", 51'950'000, 4'140'000, false}};
  p.tenants = {{"blue", 100, "10.0.0.0/16"}, {"green", 101, "10.0.0.0/16"}};
  for (Index h = 0; h < kHarbours; ++h) {
    p.nodes.push_back(
        {p.harbours[h].name + "/edge", plan::NodeKind::edge, h, plan::kNone, "172.16.0." + std::to_string(h), 0});
  }
  for (Index t = 0; t < 2; ++t) {
    for (Index h = 0; h < kHarbours; ++h) {
      p.nodes.push_back({p.harbours[h].name + "/" + p.tenants[t].name, plan::NodeKind::service, h, t,
                         "10.0.0." + std::to_string(h + 1), 20'000});
    }
  }
  for (Index h = 1; h < kHarbours; ++h) {
    plan::Link link;
    link.name = p.harbours[h].name + "--berlin";
    link.a = h;
    link.b = 0;
    link.model = "custom";
    link.floor_ns = plan::floor_ns(p.harbours[h], p.harbours[0]);
    link.a_to_b.delay_ns = link.b_to_a.delay_ns = link.floor_ns * 2;
    p.links.push_back(std::move(link));
  }
  for (Index n = kHarbours; n < p.nodes.size(); ++n) {
    plan::Link veth;
    veth.name = p.nodes[n].name + "--edge";
    veth.a = n;
    veth.b = p.nodes[n].harbour;
    veth.model = "veth";
    p.links.push_back(std::move(veth));
  }
  for (Index t = 0; t < 2; ++t) {
    for (Index h = 0; h < kHarbours; ++h) {
      plan::Process b;
      b.name = p.harbours[h].name + "/" + p.tenants[t].name + "/broker";
      b.node = kHarbours + t * kHarbours + h;
      b.tenant = t;
      b.id = 10 * (t + 1) + h;
      b.port = 4000;
      b.limits = "sim";
      b.heartbeat_idle_ns = 100 * kMs;
      b.detach_ns = 3 * kSecond;
      b.detach_bytes = 1 << 20;
      for (Index other = 0; other < kHarbours; ++other) {
        if (other != h) b.peers.push_back(t * kHarbours + other);
      }
      b.peer_roles.assign(b.peers.size(), plan::PeerRole::mesh);
      p.processes.push_back(std::move(b));
    }
  }
  plan::Load position;
  position.name = "positions";
  position.interval_ns = 200 * kMs;
  position.size_bytes = 64;
  position.start_ns = kSecond;
  position.end_ns = p.duration_ns;
  position.seed = 11;
  plan::Load berth = position;
  berth.name = "berths";
  berth.interval_ns = 50 * kMs;
  berth.size_bytes = 200;
  berth.seed = 12;
  p.loads = {position, berth};
  const std::vector<plan::Subscription> both = {{"ais/+/position", plan::Replay::none, 100 * kMs, 0},
                                                {"berth/#", plan::Replay::none, 100 * kMs, 0}};
  const std::vector<plan::Subscription> ais = {{"ais/+/position", plan::Replay::none, 100 * kMs, 0}};
  // Two publishers side by side on one host, so that swapping them changes nothing but who said what.
  const Index ship1 = add_client(p, "rotterdam/blue/ship1", 5, 2, {});
  const Index ship2 = add_client(p, "rotterdam/blue/ship2", 5, 2, {});
  const Index crane = add_client(p, "hamburg/blue/crane", 4, 1, {});
  add_client(p, "berlin/blue/desk", 3, 0, both);
  add_client(p, "hamburg/blue/pilot", 4, 1, ais);
  const Index other = add_client(p, "rotterdam/green/ship", 8, 5, {});
  add_client(p, "berlin/green/desk", 6, 3, ais);
  add_stream(p, 0, ship1, "ais/1/position", "ais/+/position", 0);
  add_stream(p, 0, ship2, "ais/2/position", "ais/+/position", 1);
  add_stream(p, 1, crane, "berth/7/load", "berth/#", 0);
  add_stream(p, 0, other, "ais/1/position", "ais/+/position", 2);
  p.expectations = {{"lost", plan::ExpectKind::lost, "#", plan::kNone, 0, 0, "honest.yaml:1"},
                    {"p99", plan::ExpectKind::latency_above_floor, "#", plan::kNone, 9900, 60 * kMs, "honest.yaml:2"},
                    {"recovery", plan::ExpectKind::deliveries, "#", plan::kNone, 0, 100, "honest.yaml:3"}};
  p.calibration.name = "none";
  p.calibration.source = "placeholder";
  p.calibration.sha256 = std::string(64, '1');
  return p;
}

Index process(const plan::Plan& plan, const std::string& name) {
  for (Index i = 0; i < plan.processes.size(); ++i) {
    if (plan.processes[i].name == name) return i;
  }
  return plan::kNone;
}

plan::Fault cut(const plan::Plan& plan, const std::string& harbour, Ns at, Ns until) {
  plan::Fault f;
  f.name = "cut of " + harbour;
  f.kind = plan::FaultKind::cut;
  f.at_ns = at;
  f.until_ns = until;
  for (Index l = 0; l < plan.links.size(); ++l) {
    if (plan.links[l].name == harbour + "--berlin") f.links.push_back(l);
  }
  return f;
}

plan::Fault stop(const plan::Plan& plan, plan::FaultKind kind, const std::vector<std::string>& processes, Ns at,
                 Ns until) {
  plan::Fault f;
  f.name = "stop of " + processes.front();
  f.kind = kind;
  f.at_ns = at;
  f.until_ns = until;
  for (const std::string& name : processes) f.processes.push_back(process(plan, name));
  return f;
}

}  // namespace portolan::honest
