// What a plan will cost to run: predicted from loads, paths and calibration; for people, never for a record.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "scenarios/compile/context.hpp"

namespace portolan::compile {

Cost predict_cost(const plan::Plan& plan, const std::string& folder) {
  const Paths paths(plan);
  const auto to = receivers(plan);
  const auto rates = stream_rates(plan, folder);
  const double seconds = static_cast<double>(plan.duration_ns) / 1e9;
  Cost cost;
  std::vector<double> in(plan.processes.size(), 0);
  std::vector<double> out(plan.processes.size(), 0);
  std::vector<double> busy(plan.processes.size(), 0);  // seconds of CPU a second
  const plan::Calibration cal = plan::charged(plan);
  const auto harbour = [&](Index p) { return plan.nodes[plan.processes[p].node].harbour; };
  for (std::size_t s = 0; s < plan.streams.size(); ++s) {
    const plan::Stream& stream = plan.streams[s];
    const LoadRate& rate = rates[s];
    const double messages = rate.messages / seconds;
    const double fragments = std::ceil((rate.bytes + 48) / plan.fragment_bytes);
    const double acks = 0.5;  // one for two datagrams
    const Index home = plan.processes[stream.process].broker;
    cost.messages_per_second += messages;
    cost.deliveries_per_second += messages * static_cast<double>(to[s].size());
    const auto receive = [&](Index broker) {
      in[broker] += messages * fragments * (1 + acks);
      out[broker] += messages * fragments * acks;
      busy[broker] += messages * (static_cast<double>(cal.per_message_in_ns) +
                                  rate.bytes / 1024 * static_cast<double>(cal.per_kib_ns));
    };
    const auto send = [&](Index broker) {
      out[broker] += messages * fragments;
      in[broker] += messages * fragments * acks;
      busy[broker] += messages * (static_cast<double>(cal.per_message_out_ns) +
                                  rate.bytes / 1024 * static_cast<double>(cal.per_kib_ns));
    };
    receive(home);
    for (Index r : to[s]) send(plan.processes[r].broker);
    for (const auto& [from, broker] : broker_sessions(plan, home, to[s])) {
      send(from);
      receive(broker);
      cost.link_deadlines_per_second +=
          messages * fragments * (1 + acks) * static_cast<double>(paths.path(harbour(from), harbour(broker)).size());
    }
  }
  cost.deliveries = cost.deliveries_per_second * seconds;
  for (Index p = 0; p < plan.processes.size(); ++p) {
    const plan::Process& process = plan.processes[p];
    if (process.kind != plan::ProcessKind::broker) continue;
    const double beats = process.heartbeat_idle_ns > 0 ? 1e9 / static_cast<double>(process.heartbeat_idle_ns) : 0;
    const double beats_all = beats * static_cast<double>(process.peers.size());
    in[p] += 2 * beats_all;
    out[p] += 2 * beats_all;
    for (Index peer : process.peers) {
      cost.link_deadlines_per_second += 2 * beats * static_cast<double>(paths.path(harbour(p), harbour(peer)).size());
    }
    const double ns = in[p] * static_cast<double>(cal.per_datagram_in_ns) +
                      out[p] * static_cast<double>(cal.per_datagram_out_ns) +
                      beats_all * static_cast<double>(cal.per_timer_ns) + busy[p];
    cost.brokers.push_back({p, in[p] + out[p], ns / 1e9});
  }
  std::stable_sort(cost.brokers.begin(), cost.brokers.end(),
                   [](const auto& x, const auto& y) { return x.cpu_share > y.cpu_share; });
  return cost;
}

std::string show_cost(const plan::Plan& plan, const Cost& cost) {
  char line[256];
  std::string out;
  const auto say = [&](const char* format, auto... values) {
    std::snprintf(line, sizeof line, format, values...);
    out += line;
  };
  say("%s: %zu harbours, %zu links, %zu brokers, %zu clients, %zu topics, %zu streams, %zu faults, %.3g s + %.3g s "
      "drain\n",
      plan.name.c_str(), plan.harbours.size(),
      static_cast<std::size_t>(
          std::count_if(plan.links.begin(), plan.links.end(), [](const auto& l) { return l.model != "veth"; })),
      cost.brokers.size(), plan.processes.size() - cost.brokers.size(), plan.topics.size(), plan.streams.size(),
      plan.faults.size(), static_cast<double>(plan.duration_ns) / 1e9, static_cast<double>(plan.drain_ns) / 1e9);
  say("published %.0f/s, deliveries %.0f/s (%.0f in all), link deadlines %.0f/s\n", cost.messages_per_second,
      cost.deliveries_per_second, cost.deliveries, cost.link_deadlines_per_second);
  say("predicted CPU by calibration \"%s\", busiest brokers first:\n", plan.calibration.name.c_str());
  for (std::size_t i = 0; i < std::min<std::size_t>(cost.brokers.size(), 12); ++i) {
    const BrokerCost& b = cost.brokers[i];
    say("  %-32s %9.0f datagrams/s  %6.2f %% of a core%s\n", plan.processes[b.process].name.c_str(),
        b.datagrams_per_second, b.cpu_share * 100, b.cpu_share > 0.8 ? "  <- near its limit" : "");
  }
  if (cost.brokers.size() > 12) say("  and %zu more\n", cost.brokers.size() - 12);
  return out;
}

}  // namespace portolan::compile
