// Stage: sense. What each section says is right by itself; here, whether they say something together that can hold.
#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "scenarios/compile/context.hpp"

namespace portolan::compile {

using plan::FaultKind;

std::vector<std::vector<Index>> receivers(const plan::Plan& plan) {
  // By topic first: many streams share few topics, and the filters are matched once.
  std::vector<std::vector<Index>> by_topic(plan.topics.size());
  for (Index t = 0; t < plan.topics.size(); ++t) {
    for (Index p = 0; p < plan.processes.size(); ++p) {
      const plan::Process& process = plan.processes[p];
      if (process.tenant != plan.topics[t].tenant) continue;
      const bool wants = std::any_of(process.subscriptions.begin(), process.subscriptions.end(), [&](const auto& s) {
        return plan::filter_matches(s.filter, plan.topics[t].name);
      });
      if (wants) by_topic[t].push_back(p);
    }
  }
  std::vector<std::vector<Index>> by_stream;
  by_stream.reserve(plan.streams.size());
  for (const auto& s : plan.streams) by_stream.push_back(by_topic[s.topic]);
  return by_stream;
}

namespace {

Index harbour_of(const plan::Plan& plan, Index process) {
  return plan.nodes[plan.processes[process].node].harbour;
}

void check_subscriptions(Context& c) {
  std::vector<bool> wanted(c.plan.topics.size(), false);
  std::set<std::pair<int, std::string>> told;
  for (Index p = 0; p < c.plan.processes.size(); ++p) {
    const plan::Process& process = c.plan.processes[p];
    for (const auto& s : process.subscriptions) {
      bool any = false;
      std::vector<std::string> families;
      for (Index t = 0; t < c.plan.topics.size(); ++t) {
        const plan::Topic& topic = c.plan.topics[t];
        if (topic.tenant != process.tenant) continue;
        if (plan::filter_matches(s.filter, topic.name)) {
          any = true;
          wanted[t] = true;
        } else if (std::find(families.begin(), families.end(), topic.family) == families.end()) {
          families.push_back(topic.family);
        }
      }
      if (any || !told.insert({c.process_at[p].line, s.filter}).second) continue;
      const std::string name = process.name.substr(process.name.rfind('/') + 1);
      c.out.error(c.process_at[p], "clients." + name + ".subscribe",
                  "the filter \"" + s.filter + "\" matches no topic of tenant \"" +
                      c.plan.tenants[process.tenant].name + "\"" + suggest(s.filter, families));
    }
  }
  std::set<int> lines;
  for (Index t = 0; t < c.plan.topics.size(); ++t) {
    if (wanted[t] || !lines.insert(c.topic_at[t].line).second) continue;
    c.out.warning(c.topic_at[t], c.topic_key[t], "nobody subscribes to it; nothing of it will be judged");
  }
}

// Faults of one group must not overlap on one thing: which of them would count?
int group_of(FaultKind kind) {
  switch (kind) {
    case FaultKind::cut:
    case FaultKind::partition:
      return 0;
    case FaultKind::degrade:
      return 1;
    case FaultKind::kill:
    case FaultKind::restart:
    case FaultKind::pause:
      return 2;
    default:
      return -1;
  }
}

constexpr Ns kEver = std::numeric_limits<Ns>::max();
Ns end_of(const plan::Fault& f) {
  return f.until_ns == 0 ? kEver : f.until_ns;
}

void check_overlaps(Context& c) {
  struct Busy {
    std::size_t fault;
    Ns until;
  };
  std::map<std::tuple<int, bool, Index, int>, Busy> busy;  // group, process?, which, way
  for (std::size_t i = 0; i < c.plan.faults.size(); ++i) {
    const plan::Fault& f = c.plan.faults[i];
    const int group = group_of(f.kind);
    if (group < 0) continue;
    const auto take = [&](bool process, Index which, int way, const std::string& name) {
      auto& b = busy.try_emplace({group, process, which, way}, Busy{i, 0}).first->second;
      if (b.until > f.at_ns && b.fault != i) {
        const plan::Fault& other = c.plan.faults[b.fault];
        const bool dead = other.kind == FaultKind::kill;
        c.out.error(c.fault_at[i], "faults",
                    "\"" + f.name + "\" at " + show_time(f.at_ns) + " overlaps with \"" + other.name + "\" on line " +
                        std::to_string(c.fault_at[b.fault].line) + " (" + name + (dead ? " is dead from " : " from ") +
                        show_time(other.at_ns) + (b.until == kEver ? " on" : " to " + show_time(b.until)) +
                        (dead ? "); name another process" : "); begin it when that has healed"));
      }
      if (end_of(f) > b.until) b = {i, end_of(f)};
    };
    for (Index l : f.links) {
      if (f.way != plan::Way::b_to_a) take(false, l, 0, c.plan.links[l].name);
      if (f.way != plan::Way::a_to_b) take(false, l, 1, c.plan.links[l].name);
    }
    for (Index p : f.processes) take(true, p, 0, c.plan.processes[p].name);
  }
}

// The harbours that a cut or partition leaves without any way to some other harbour.
bool separates(const plan::Plan& plan, const plan::Fault& f, Index a, Index b) {
  std::vector<std::vector<Index>> next(plan.harbours.size());
  for (Index l = 0; l < plan.links.size(); ++l) {
    if (std::find(f.links.begin(), f.links.end(), l) != f.links.end()) continue;
    const Index x = plan.nodes[plan.links[l].a].harbour;
    const Index y = plan.nodes[plan.links[l].b].harbour;
    if (x == y) continue;
    next[x].push_back(y);
    next[y].push_back(x);
  }
  std::vector<bool> seen(plan.harbours.size(), false);
  std::vector<Index> open = {a};
  seen[a] = true;
  while (!open.empty()) {
    const Index here = open.back();
    open.pop_back();
    for (Index h : next[here]) {
      if (!seen[h]) open.push_back(h);
      seen[h] = true;
    }
  }
  return !seen[b];
}

bool gaps_expected(const plan::Plan& plan, const plan::Topic& topic) {
  return std::any_of(plan.expectations.begin(), plan.expectations.end(), [&](const auto& e) {
    return e.kind == plan::ExpectKind::gaps && e.limit > 0 && plan::filter_matches(e.filter, topic.name);
  });
}

void check_retention(Context& c, const std::vector<std::vector<Index>>& to) {
  std::set<std::pair<int, Index>> told;
  std::set<int> small;
  for (std::size_t s = 0; s < c.plan.streams.size(); ++s) {
    const plan::Stream& stream = c.plan.streams[s];
    const plan::Topic& topic = c.plan.topics[stream.topic];
    const plan::Load& load = c.plan.loads[stream.load];
    const Position at = c.topic_at[stream.topic];
    if (topic.retain_bytes < load.size_bytes && topic.retain_ns > 0 && small.insert(at.line).second) {
      c.out.error(at, c.topic_key[stream.topic] + ".retain",
                  "keeps " + show_size(topic.retain_bytes) + ", less than one message of " +
                      show_size(load.size_bytes) + " of load \"" + load.name + "\"; keep at least that");
    }
  }
  for (std::size_t i = 0; i < c.plan.faults.size(); ++i) {
    const plan::Fault& f = c.plan.faults[i];
    if (f.kind != FaultKind::cut && f.kind != FaultKind::partition) continue;
    const Ns outage = (f.until_ns == 0 ? c.plan.duration_ns : f.until_ns) - f.at_ns;
    std::map<std::pair<Index, Index>, bool> apart;
    for (std::size_t s = 0; s < c.plan.streams.size(); ++s) {
      const plan::Stream& stream = c.plan.streams[s];
      const plan::Topic& topic = c.plan.topics[stream.topic];
      if (topic.retain_ns >= outage || gaps_expected(c.plan, topic)) continue;
      const std::pair<int, Index> key{c.topic_at[stream.topic].line, static_cast<Index>(i)};
      if (told.contains(key)) continue;
      const Index from = harbour_of(c.plan, stream.process);
      for (Index r : to[s]) {
        const Index there = harbour_of(c.plan, r);
        if (from == there) continue;
        const auto [found, fresh] = apart.try_emplace({from, there}, false);
        if (fresh) found->second = separates(c.plan, f, from, there);
        if (!found->second) continue;
        told.insert(key);
        c.out.warning(c.topic_at[stream.topic], c.topic_key[stream.topic] + ".retain",
                      "keeps " + show_time(topic.retain_ns) + ", but \"" + f.name + "\" separates " +
                          c.plan.harbours[from].name + " and " + c.plan.harbours[there].name + " for " +
                          show_time(outage) + ": expect gaps, or keep it as long");
        break;
      }
    }
  }
}

// A latency that physics forbids: too many deliveries have a floor above the limit.
void check_floors(Context& c, const std::vector<std::vector<Index>>& to, const std::vector<LoadRate>& rates) {
  for (std::size_t i = 0; i < c.plan.expectations.size(); ++i) {
    const plan::Expectation& e = c.plan.expectations[i];
    if (e.kind != plan::ExpectKind::latency) continue;
    double all = 0;
    double above = 0;
    Ns highest = 0;
    std::string example;
    for (std::size_t s = 0; s < c.plan.streams.size(); ++s) {
      const plan::Stream& stream = c.plan.streams[s];
      const plan::Topic& topic = c.plan.topics[stream.topic];
      if (!plan::filter_matches(e.filter, topic.name) || (e.tenant != kNone && e.tenant != topic.tenant)) continue;
      const double rate = rates[s].messages;
      const Index from = harbour_of(c.plan, stream.process);
      for (Index r : to[s]) {
        const Index there = harbour_of(c.plan, r);
        const Ns floor = floor_of(distance_between(c.plan.harbours[from], c.plan.harbours[there]));
        all += rate;
        if (floor > e.limit) above += rate;
        if (floor > highest) {
          highest = floor;
          example = c.plan.harbours[from].name + " to " + c.plan.harbours[there].name;
        }
      }
    }
    if (all > 0 && above > all * (1 - e.percentile_permyriad / 10'000.0) + 1e-9) {
      c.out.error(c.expect_at[i], "expect.latency",
                  show_time(e.limit) + " is below the floor: " + example + " takes at least " + show_time(highest) +
                      " at two thirds of the speed of light; expect at least that, or use latency-above-floor");
    }
  }
}

// Whether a scenario says itself that not all of this topic will be taken: then an overload is what it is about.
bool refusals_expected(const plan::Plan& plan, const plan::Topic& topic) {
  return std::any_of(plan.expectations.begin(), plan.expectations.end(), [&](const auto& e) {
    return e.kind == plan::ExpectKind::refused && e.limit > 0 && plan::filter_matches(e.filter, topic.name);
  });
}

void check_rates(Context& c, const std::vector<std::vector<Index>>& to, const std::vector<LoadRate>& rates) {
  const Paths paths(c.plan);
  // By link and way, the bits per second of each load: loads need not run at the same time.
  std::vector<std::map<Index, double>> bits(2 * c.plan.links.size());
  for (std::size_t s = 0; s < c.plan.streams.size(); ++s) {
    const plan::Stream& stream = c.plan.streams[s];
    const LoadRate& rate = rates[s];
    if (refusals_expected(c.plan, c.plan.topics[stream.topic])) continue;
    for (const auto& [x, y] : broker_sessions(c.plan, c.plan.processes[stream.process].broker, to[s])) {
      for (const auto& step : paths.path(harbour_of(c.plan, x), harbour_of(c.plan, y))) {
        // Each fragment carries 68 bytes of headers (IP, UDP, frame).
        const double fragments = rate.bytes / c.plan.fragment_bytes + 1;
        bits[2 * step.link + (step.forward ? 0 : 1)][stream.load] +=
            rate.per_second * 8 * (rate.bytes + 32 + 68 * fragments);
      }
    }
  }
  for (Index l = 0; l < c.plan.links.size(); ++l) {
    const plan::Link& link = c.plan.links[l];
    for (int way = 0; way < 2; ++way) {
      const std::uint64_t rate = (way == 0 ? link.a_to_b : link.b_to_a).rate_bps;
      double offered = 0;  // at most, over the moments at which a load starts
      const auto& loads = bits[2 * l + static_cast<std::size_t>(way)];
      for (const auto& [load, own] : loads) {
        const Ns at = c.plan.loads[load].start_ns;
        double sum = 0;
        for (const auto& [other, more] : loads) {
          if (c.plan.loads[other].start_ns <= at && at < c.plan.loads[other].end_ns) sum += more;
        }
        offered = std::max(offered, sum);
      }
      if (rate == 0 || offered <= static_cast<double>(rate)) continue;
      const auto& ends = c.plan.nodes;
      const std::string& towards = c.plan.harbours[ends[way == 0 ? link.b : link.a].harbour].name;
      c.out.warning(c.link_at[l], "links." + link.name,
                    "is offered about " + show_rate(static_cast<std::uint64_t>(offered)) + " towards " + towards +
                        ", more than its rate of " + show_rate(rate));
    }
  }
}

}  // namespace

void check_sense(Context& c) {
  check_subscriptions(c);
  check_overlaps(c);
  const auto to = receivers(c.plan);
  check_retention(c, to);
  const auto rates = stream_rates(c.plan, c.folder);
  check_floors(c, to, rates);
  check_rates(c, to, rates);
}

}  // namespace portolan::compile
