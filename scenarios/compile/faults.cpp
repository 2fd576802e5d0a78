// Stage: faults on the timeline.
#include <algorithm>

#include "scenarios/compile/context.hpp"

namespace portolan::compile {
namespace {

using plan::FaultKind;

const std::vector<std::string> kKinds = {"cut",     "degrade", "partition",  "kill",
                                         "restart", "pause",   "clock-skew", "lose-control"};

struct Chosen {
  std::vector<Index> links;
  plan::Way way = plan::Way::both;
};

class FaultReader {
 public:
  FaultReader(Context& c, const Tree& value, std::string key) : c_(c), value_(value), key_(std::move(key)) {}

  void run() {
    errors_before_ = c_.out.errors();
    if (!value_.is_map()) {
      c_.out.error(value_.at, key_, "must be a map such as `{cut: berlin -- hamburg, at: 20 s, for: 10 s}`");
      return;
    }
    std::string kind;
    for (const auto& e : value_.entries) {
      if (std::find(kKinds.begin(), kKinds.end(), e.key) == kKinds.end()) continue;
      if (!kind.empty()) {
        c_.out.error(e.at, key_, "is both " + kind + " and " + e.key + "; make two faults of it");
        return;
      }
      kind = e.key;
    }
    std::vector<std::string> keys = {"at", "for", "until", "name"};
    if (kind.empty()) {
      keys.insert(keys.end(), kKinds.begin(), kKinds.end());
      Map(c_, value_, key_, keys);
      if (!c_.out.error_on_line(value_.at.line))
        c_.out.error(value_.at, key_, "says no kind; valid: " + listed(kKinds));
      return;
    }
    keys.push_back(kind);
    if (kind == "degrade") keys.insert(keys.end(), kImpairmentKeys.begin(), kImpairmentKeys.end());
    if (kind == "clock-skew") keys.insert(keys.end(), {"step", "rate"});
    if (kind == "lose-control") keys.push_back("count");
    Map map(c_, value_, key_, keys);
    read(map, kind);
  }

 private:
  void read(const Map& map, const std::string& kind) {
    fault_.kind = kind == "lose-control"
                      ? FaultKind::lose_control
                      : static_cast<FaultKind>(std::find(kKinds.begin(), kKinds.end(), kind) - kKinds.begin());
    const Tree& target = *map.find(kind);
    fault_.name = kind + " " + describe(target);
    if (const Tree* name = map.find("name")) fault_.name = c_.word(*name, map.path("name")).value_or(fault_.name);
    times(map, kind);
    std::vector<Chosen> chosen;
    if (kind == "cut" || kind == "degrade") chosen = links(target, map.path(kind));
    if (kind == "partition") chosen = crossing(target, map.path(kind));
    if (kind == "degrade") degrade(map, chosen);
    const bool of_processes = chosen.empty() && kind != "cut" && kind != "degrade" && kind != "partition";
    if (of_processes) processes(map, kind, target);
    if (kind == "clock-skew") skew(map);
    if (kind == "lose-control") {
      const Tree* count = map.need("count", "1");
      fault_.count = static_cast<std::uint32_t>(
          count != nullptr ? c_.count(*count, map.path("count"), 1, 1'000'000).value_or(1) : 1);
    }
    // The plan's `way` is by each link's own ends, so links of different ways are faults of their own.
    for (const Chosen& one : chosen) {
      plan::Fault f = fault_;
      f.links = one.links;
      f.way = one.way;
      push(std::move(f));
    }
    if (of_processes && !fault_.processes.empty()) push(fault_);
  }

  void push(plan::Fault f) {
    if (c_.out.errors() > errors_before_) return;
    c_.plan.faults.push_back(std::move(f));
    c_.fault_at.push_back(value_.at);
  }

  static std::string describe(const Tree& target) {
    if (target.is_scalar()) return target.text;
    std::string out;
    for (const Tree& item : target.items) out += (out.empty() ? "" : ", ") + item.text;
    return out;
  }

  void times(const Map& map, const std::string& kind) {
    const Ns end = c_.plan.duration_ns;
    if (const Tree* at = map.need("at", "20 s")) {
      fault_.at_ns = c_.quantity(*at, map.path("at"), Unit::time).value_or(0);
      if (fault_.at_ns >= end) {
        c_.out.error(at->at, map.path("at"),
                     show_time(fault_.at_ns) + " is after the end; the run lasts " + show_time(end));
      }
    }
    const Tree* last = map.find("for");
    const Tree* until = map.find("until");
    if (last != nullptr && until != nullptr) {
      c_.out.error(until->at, map.path("until"), "is said beside `for`; keep one");
    }
    const bool for_ever = kind == "kill" || kind == "lose-control";
    if (for_ever || kind == "clock-skew") {
      const Tree* said = last != nullptr ? last : until;
      if (for_ever && said != nullptr) {
        c_.out.error(said->at, map.path(last != nullptr ? "for" : "until"),
                     kind == "kill" ? "a kill is for ever; use `restart` for what comes back"
                                    : "has no meaning here; leave it out");
      }
      if (for_ever || said == nullptr) return;
    }
    Ns length = 0;
    if (until != nullptr) {
      if (until->is_scalar() && until->text == "end") return;  // never heals
      map.read("until", Unit::time, fault_.until_ns);
    } else if (last != nullptr) {
      if (map.read("for", Unit::time, length)) fault_.until_ns = fault_.at_ns + length;
    } else if (kind == "restart") {
      fault_.until_ns = fault_.at_ns + 1'000'000'000;
    } else {
      c_.out.error(value_.at, map.path("for"),
                   "is missing; say how long it lasts, such as `for: 10 s`, or `until: end`");
      return;
    }
    const Tree* said = until != nullptr ? until : (last != nullptr ? last : &value_);
    const std::string key = map.path(until != nullptr ? "until" : "for");
    if (fault_.until_ns <= fault_.at_ns && !c_.out.error_at(said->at)) {
      c_.out.error(
          said->at, key,
          until != nullptr ? "must be later than `at`, " + show_time(fault_.at_ns) : "must be longer than 0 s");
    }
    if (fault_.until_ns > end && fault_.at_ns < end) {
      c_.out.error(said->at, key,
                   "it heals at " + show_time(fault_.until_ns) + ", after the end; the run lasts " + show_time(end) +
                       " (`until: end` for never)");
    }
  }

  std::vector<Chosen> links(const Tree& target, const std::string& key) {
    Chosen both;
    std::vector<Chosen> all;
    for (const Tree* item : c_.one_or_more(target, key)) {
      if (c_.harbours.contains(item->text)) {  // all its uplinks
        for (const auto& [name, link] : c_.links) {
          const plan::Link& l = c_.plan.links[link];
          const Index edge = c_.edge[c_.harbours[item->text]];
          if ((l.a == edge || l.b == edge) &&
              std::find(both.links.begin(), both.links.end(), link) == both.links.end()) {
            both.links.push_back(link);
          }
        }
        continue;
      }
      std::string a;
      std::string b;
      bool one_way = false;
      const auto suffix = link_name(item->text, a, b, one_way);
      const auto forward = suffix ? c_.links.find(a + "--" + b + *suffix) : c_.links.end();
      const auto backward = suffix ? c_.links.find(b + "--" + a + *suffix) : c_.links.end();
      if (forward == c_.links.end() && backward == c_.links.end()) {
        unknown_link(*item, key);
        continue;
      }
      const bool turned = forward == c_.links.end();
      const Index link = turned ? backward->second : forward->second;
      if (one_way) {
        all.push_back({{link}, turned ? plan::Way::b_to_a : plan::Way::a_to_b});
      } else if (std::find(both.links.begin(), both.links.end(), link) != both.links.end()) {
        c_.out.error(item->at, key, "link \"" + item->text + "\" is named twice; once is enough");
      } else {
        both.links.push_back(link);
      }
    }
    if (!both.links.empty()) all.push_back(std::move(both));
    return all;
  }

  void unknown_link(const Tree& item, const std::string& key) {
    std::vector<std::string> names;
    for (const auto& [name, link] : c_.links) {
      const std::size_t at = name.find("--");
      names.push_back(name.substr(0, at) + " -- " + name.substr(at + 2));
    }
    c_.out.error(item.at, key, "no link \"" + item.text + "\"" + suggest(item.text, names));
  }

  // The links with one end among the harbours named.
  std::vector<Chosen> crossing(const Tree& target, const std::string& key) {
    const auto inside = c_.harbour_list(target, key);
    if (inside.empty()) return {};
    if (inside.size() == c_.plan.harbours.size()) {
      c_.out.error(target.at, key, "names every harbour; name those on one side only");
      return {};
    }
    Chosen chosen;
    for (Index l = 0; l < c_.plan.links.size(); ++l) {
      const auto in = [&](Index node) {
        return std::find(inside.begin(), inside.end(), c_.plan.nodes[node].harbour) != inside.end();
      };
      if (in(c_.plan.links[l].a) != in(c_.plan.links[l].b)) chosen.links.push_back(l);
    }
    if (chosen.links.empty()) return {};
    return {chosen};
  }

  void below_floor(const Map& map, Ns delay, const std::vector<Chosen>& chosen) {
    for (const Chosen& one : chosen) {
      for (Index l : one.links) {
        const plan::Link& link = c_.plan.links[l];
        if (delay >= link.floor_ns) continue;
        c_.out.error(map.find("delay")->at, map.path("delay"),
                     show_time(delay) + " is below the floor of " + link.name + ", " + show_time(link.floor_ns) +
                         "; give it at least that");
        return;
      }
    }
  }

  void degrade(const Map& map, const std::vector<Chosen>& chosen) {
    LinkModel model;
    read_impairments(c_, map, model, &fault_.replaces);
    if (fault_.replaces.empty()) {
      c_.out.error(value_.at, key_, "says not what gets worse; valid: " + listed(kImpairmentKeys));
    }
    if (model.delay_ps_per_km != 0) {
      c_.out.error(map.find("delay")->at, map.path("delay"), "a degraded delay is one figure, such as `80 ms`");
    }
    if (map.find("delay") != nullptr) below_floor(map, model.delay_ns, chosen);
    if (model.queue_time_ns > 0 && model.impairments.rate_bps == 0) {
      c_.out.error(map.find("queue")->at, map.path("queue"),
                   "a queue given in time needs a `rate` beside it; say `256 KiB`");
    }
    if (model.impairments.rate_bps > 0) {
      finish_impairments(model);
      if (map.find("queue") == nullptr) fault_.replaces.push_back("queue");
    }
    fault_.overlay = true;
    fault_.impairments = model.impairments;
    fault_.impairments.delay_ns = model.delay_ns;
  }

  void processes(const Map& map, const std::string& kind, const Tree& target) {
    for (const Tree* item : c_.one_or_more(target, map.path(kind))) {
      for (Index p : resolve_processes(c_, *item, map.path(kind))) {
        if (std::find(fault_.processes.begin(), fault_.processes.end(), p) == fault_.processes.end()) {
          fault_.processes.push_back(p);
        }
      }
    }
    std::sort(fault_.processes.begin(), fault_.processes.end());
  }

  void skew(const Map& map) {
    const bool step = map.read("step", Unit::step, fault_.skew_ns);
    const bool rate = map.read("rate", Unit::drift, fault_.skew_ppb);
    if (map.find("step") == nullptr && map.find("rate") == nullptr) {
      c_.out.error(value_.at, key_, "needs a `step` such as `-200 ms`, or a `rate` such as `50 ppm`");
    }
    (void)step;
    (void)rate;
  }

  Context& c_;
  const Tree& value_;
  std::string key_;
  plan::Fault fault_;
  std::size_t errors_before_ = 0;
};

}  // namespace

void read_faults(Context& c) {
  for (const auto& section : c.root.entries) {
    if (section.key != "faults") continue;
    if (section.value.kind == Tree::Kind::null) return;
    if (!section.value.is_list()) {
      c.out.error(section.value.at, "faults", "must be a list, each beginning with `- `");
      return;
    }
    for (std::size_t i = 0; i < section.value.items.size(); ++i) {
      FaultReader(c, section.value.items[i], "faults[" + std::to_string(i) + "]").run();
    }
    break;
  }
  // By time; equal times keep the file's order.
  std::vector<std::size_t> order(c.plan.faults.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t x, std::size_t y) { return c.plan.faults[x].at_ns < c.plan.faults[y].at_ns; });
  std::vector<plan::Fault> faults;
  std::vector<Position> at;
  for (std::size_t i : order) {
    faults.push_back(std::move(c.plan.faults[i]));
    at.push_back(c.fault_at[i]);
  }
  c.plan.faults = std::move(faults);
  c.fault_at = std::move(at);
}

}  // namespace portolan::compile
