// A plan in which nothing has its default: where tests and the fuzzer begin.
#pragma once

#include <string>

#include "scenarios/plan/plan.hpp"

namespace portolan::plan {

// Every array has at least one element and every field another value than its default, so that a field forgotten in
// the reader or the writer shows.
inline Plan full_plan() {
  Plan p;
  p.name = "test";
  p.title = "Ein Plan für die Prüfung";
  p.scenario_sha256 = std::string(64, 'a');
  p.seed = 0x7FFFFFFFFFFFFFFFull;
  p.duration_ns = 5'000'000'000;
  p.settle_ns = 1;
  p.drain_ns = 2;
  p.convergence_ns = 3;
  p.convergence = {
      {70, {JitterKind::uniform, 71, 72}}, {73, {JitterKind::exponential, 74, 75}}, {76, {JitterKind::normal, 77, 78}}};
  p.overlay = {OverlayKind::none, 0, 1500};
  p.fragment_bytes = 1088;
  p.security = Security::sealed;
  p.harbours = {
      {"a", 52'520'000, 13'400'000, true, kNone, kNone}, {"b", -1, -2, false, 0, 2}, {"c", -3, -4, true, kNone, kNone}};
  p.tenants = {{"blue", 100, "10.0.0.0/16"}};
  p.nodes = {{"a/edge", NodeKind::edge, 0, kNone, "172.16.0.1", 7, "m1", {}},
             {"a/blue", NodeKind::service, 0, 0, "10.0.0.1", 8, "m2", {}},
             {"b/blue", NodeKind::service, 1, 0, "10.0.1.1", 9, "", {}},
             {"b/blue/c", NodeKind::station, 1, 0, "10.0.1.2", 10, "", {-79, 80, 81, -82, 83}}};
  p.media = {{"b/wifi", LinkKind::wifi, 2, 84, 85, {"802.11ac", 80, 7, 20, 2'500}}};
  Impairments x;
  x.delay_ns = 1;
  x.jitter = {JitterKind::normal, 2, 3};
  x.loss = {LossKind::gilbert_elliott, 4, 5, 6, 7};
  x.rate_bps = 8;
  x.queue = {QueueKind::fq_codel, 9, 10, 11, true};
  x.reorder = 12;
  x.reorder_ns = 13;
  x.duplicate = 14;
  x.delay_trace = {{15, 16}, {17, 18}};
  x.delay_trace_period_ns = 19;
  x.rate_trace_ms = {1, 2, 2};
  x.rate_trace_period_ns = 2'000'000;
  x.mtu_bytes = 1'400;
  p.links = {{"a--b", 0, 1, "custom", 20, 21, x, Impairments{}, 22, LinkKind::point_to_point, kNone},
             {"b--c", 2, 3, "access", 0, 0, Impairments{}, Impairments{}, 86, LinkKind::wifi, 0}};
  Process broker{
      "a/blue/broker",         ProcessKind::broker, 1, 0, 1, 4000, kNone, {1}, 23, "sim", 24, 25, 26, 27, {}, -28,
      {PeerRole::standby_leaf}};
  Process other = broker;
  other.name = "b/blue/broker";
  other.node = 2;
  other.id = 2;
  other.peers = {0};
  Process client{"a/blue/c",
                 ProcessKind::client,
                 1,
                 0,
                 3,
                 4001,
                 0,
                 {},
                 29,
                 "thousand",
                 30,
                 31,
                 32,
                 33,
                 {{"ais/+", Replay::retained, 34, 35}},
                 36,
                 {}};
  p.processes = {broker, other, client};
  p.topics = {{"ais/1", 0, TopicClass::ordered, 1, "ais/+", "g", {0, 1}, 37, 38, 39, 40, 41}};
  p.loads = {{"l", LoadKind::fleet, 42, 43, 44, 45, 46, 47, {{{1, 2}, {-3, -4}}}, "f", std::string(64, 'b'), 48}};
  p.streams = {{0, 2, 0, 49}};
  p.faults = {{"f", FaultKind::lose_control, 50, 51, {0}, Way::b_to_a, {2}, true, x, {"loss"}, -52, -53, 54}};
  p.expectations = {{"e", ExpectKind::latency_rise, "#", 0, 9999, 55, "x.yaml:1", 87, 88, 89, 90, 1, Way::a_to_b, 91,
                     Between::publishers}};
  p.calibration = {"c", "placeholder", 56, 57, 58, 59, 60, 61, 62, 63, std::string(64, 'c')};
  p.inputs = {{"i", std::string(64, 'd')}};
  return p;
}

}  // namespace portolan::plan
