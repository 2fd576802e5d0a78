// Stage: expectations. Nothing lost, no gap, no duplicate and no disorder are expected unless the scenario says
// otherwise.
#include <algorithm>
#include <set>

#include "scenarios/base/hash.hpp"
#include "scenarios/compile/context.hpp"

namespace portolan::compile {
namespace {

using plan::ExpectKind;

struct Key {
  std::string_view name;
  ExpectKind kind;
};
constexpr Key kCounts[] = {{"lost", ExpectKind::lost},
                           {"gaps", ExpectKind::gaps},
                           {"duplicates", ExpectKind::duplicates},
                           {"disorder", ExpectKind::disorder},
                           {"refused", ExpectKind::refused},
                           {"deliveries-at-least", ExpectKind::deliveries},
                           {"busy-at-least", ExpectKind::busy}};

const std::vector<std::string> kKeys = {"of",
                                        "tenant",
                                        "lost",
                                        "gaps",
                                        "duplicates",
                                        "disorder",
                                        "refused",
                                        "deliveries-at-least",
                                        "busy-at-least",
                                        "latency-above-floor",
                                        "latency",
                                        "latency-rise",
                                        "recovery",
                                        "repair-ratio",
                                        "spurious-repair",
                                        "utilisation-at-least",
                                        "utilisation-at-most",
                                        "queue-at-most",
                                        "fairness-at-least",
                                        "goodput-at-least",
                                        "link",
                                        "between",
                                        "after",
                                        "until",
                                        "compared-with"};
// Those that narrow what is expected, and expect nothing themselves.
const std::vector<std::string> kNarrowing = {"of", "tenant", "link", "between", "after", "until", "compared-with"};

// "p99.9" -> 9990, "max" -> 10000.
std::optional<std::uint32_t> percentile(std::string_view text) {
  if (text == "max") return 10'000;
  if (text.size() < 2 || text[0] != 'p') return std::nullopt;
  const auto share = read_quantity(std::string(text.substr(1)) + " %", Unit::share);
  if (!share || *share == 0 || *share % 100'000 != 0) return std::nullopt;
  return static_cast<std::uint32_t>(*share / 100'000);
}

class ExpectReader {
 public:
  ExpectReader(Context& c, const Tree& value, std::string key)
      : c_(c), map_(c, value, std::move(key), kKeys), at_(value.at) {}

  void run() {
    if (!map_.ok()) return;
    base_.filter = "#";
    if (const Tree* of = map_.find("of")) {
      const auto text = c_.word(*of, map_.path("of"));
      if (text && !plan::filter_valid(*text)) {
        c_.out.error(of->at, map_.path("of"),
                     "\"" + *text + "\" is not a topic filter, such as `ais/+/position` or `berth/#`");
      } else if (text) {
        base_.filter = *text;
      }
    }
    const auto tenants = c_.tenant_list(map_.find("tenant"), map_.path("tenant"));
    if (map_.find("tenant") != nullptr && tenants.size() == 1) base_.tenant = tenants[0];
    if (map_.find("tenant") != nullptr && tenants.size() > 1) {
      c_.out.error(map_.find("tenant")->at, map_.path("tenant"), "name one tenant, or leave it out for all");
    }
    check_filter();
    window(map_, base_.after_ns, base_.until_ns);
    link();
    between();
    for (const auto& k : kCounts) {
      const Tree* value = map_.find(k.name);
      if (value == nullptr) continue;
      const auto n = c_.count(*value, map_.path(k.name), 0, 1'000'000'000'000);
      if (n) add(k.kind, std::string(k.name), 0, static_cast<std::int64_t>(*n), value->at);
    }
    latencies("latency-above-floor", ExpectKind::latency_above_floor);
    latencies("latency", ExpectKind::latency);
    if (const Tree* value = map_.find("recovery")) {
      const auto t = c_.quantity(*value, map_.path("recovery"), Unit::time);
      if (t) add(ExpectKind::recovery, "recovery", 0, *t, value->at);
    }
    if (const Tree* value = map_.find("repair-ratio")) {
      if (const auto r = ratio(*value, "repair-ratio", "us", "the repaired bytes per lost byte, such as `2.0`")) {
        add(ExpectKind::repair_ratio, "repair-ratio", 0, *r, value->at);
      }
    }
    share("spurious-repair", ExpectKind::spurious_repair, "5 %");
    share("utilisation-at-least", ExpectKind::utilisation_least, "90 %");
    share("utilisation-at-most", ExpectKind::utilisation_most, "90 %");
    queue();
    if (const Tree* value = map_.find("fairness-at-least")) {
      const auto r = ratio(*value, "fairness-at-least", "ms", "Jain's index of 0 to 1, such as `\"0.9\"`");
      if (r && *r > 1'000'000) {
        c_.out.error(value->at, map_.path("fairness-at-least"), "is above 1, which Jain's index never is");
      } else if (r) {
        add(ExpectKind::fairness, "fairness-at-least", 0, *r, value->at);
      }
    }
    goodput();
    rise();
    std::vector<std::string> expecting;
    std::copy_if(kKeys.begin(), kKeys.end(), std::back_inserter(expecting),
                 [](const std::string& k) { return !narrows(k); });
    const auto& all = map_.entries();
    if (std::all_of(all.begin(), all.end(), [](const auto& e) { return narrows(e.key); })) {
      c_.out.error(at_, map_.path(""), "expects nothing; say one of " + listed(expecting));
    }
    idle("link", {"utilisation-at-least", "utilisation-at-most", "queue-at-most", "goodput-at-least"});
    idle("between", {"fairness-at-least"});
    idle("compared-with", {"latency-rise"});
    for (const char* key : {"after", "until"}) {
      idle(key, {"latency", "latency-above-floor", "latency-rise", "utilisation-at-least", "utilisation-at-most",
                 "queue-at-most", "fairness-at-least", "goodput-at-least"});
    }
  }

 private:
  static bool narrows(const std::string& key) {
    return std::find(kNarrowing.begin(), kNarrowing.end(), key) != kNarrowing.end();
  }

  // A key that narrows none of what is said beside it.
  void idle(const std::string& key, const std::vector<std::string>& uses) {
    const Tree* value = map_.find(key);
    if (value == nullptr || std::any_of(uses.begin(), uses.end(), [&](const auto& u) { return map_.find(u); })) return;
    c_.out.error(value->at, map_.path(key), "has no meaning here; it belongs to " + listed(uses));
  }

  void window(const Map& map, plan::Ns& after, plan::Ns& until) {
    map.read("after", Unit::time, after);
    const bool ends = map.read("until", Unit::time, until);
    for (const auto& [key, time] : {std::pair{"after", after}, {"until", until}}) {
      if (map.find(key) != nullptr && time > c_.plan.duration_ns) {
        c_.out.error(map.find(key)->at, map.path(key),
                     show_time(time) + " is after the end; the run lasts " + show_time(c_.plan.duration_ns));
      }
    }
    if (ends && until <= after) {
      c_.out.error(map.find("until")->at, map.path("until"), "must be later than `after`, " + show_time(after));
    }
  }

  void link() {
    const Tree* value = map_.find("link");
    if (value == nullptr) return;
    const auto text = c_.word(*value, map_.path("link"));
    if (!text) return;
    std::string a;
    std::string b;
    bool one_way = false;
    const auto suffix = link_name(*text, a, b, one_way);
    const auto forward = suffix ? c_.links.find(a + "--" + b + *suffix) : c_.links.end();
    const auto backward = suffix ? c_.links.find(b + "--" + a + *suffix) : c_.links.end();
    if (forward == c_.links.end() && backward == c_.links.end()) {
      std::vector<std::string> names;
      for (const auto& [name, at] : c_.links) {
        names.push_back(name.substr(0, name.find("--")) + " -- " + name.substr(name.find("--") + 2));
      }
      c_.out.error(value->at, map_.path("link"), "no link \"" + *text + "\"" + suggest(*text, names));
      return;
    }
    const bool turned = forward == c_.links.end();
    base_.link = turned ? backward->second : forward->second;
    if (one_way) base_.way = turned ? plan::Way::b_to_a : plan::Way::a_to_b;
    if (least_rate() == 0) {
      c_.out.error(value->at, map_.path("link"), "\"" + *text + "\" has no rate to measure by; give it one");
    }
  }

  // Of the link, in the way named; of both, the slower.
  std::uint64_t least_rate() const {
    if (base_.link == kNone) return 0;
    const plan::Link& l = c_.plan.links[base_.link];
    const std::uint64_t there = Paths::rate_bps(l.a_to_b);
    const std::uint64_t back = Paths::rate_bps(l.b_to_a);
    if (base_.way == plan::Way::a_to_b) return there;
    if (base_.way == plan::Way::b_to_a) return back;
    return std::min(there, back);
  }

  bool needs_link(const Tree& value, const std::string& key) {
    if (base_.link == kNone && map_.find("link") == nullptr) {
      c_.out.error(value.at, map_.path(key), "needs a link beside it; say `link: a -> b`");
    }
    return base_.link != kNone;
  }

  void between() {
    if (const Tree* value = map_.find("between")) {
      const auto which = c_.choice(*value, map_.path("between"), {"topics", "publishers"});
      if (which) base_.between = static_cast<plan::Between>(*which);
    }
  }

  // A plain decimal number in parts: of a unit whose nanoseconds are those parts.
  std::optional<std::int64_t> ratio(const Tree& value, const std::string& key, const char* parts,
                                    const std::string& example) {
    const auto text = c_.word(value, map_.path(key));
    if (!text) return std::nullopt;
    const auto number = read_quantity(*text + " " + parts, Unit::time);
    if (!number) {
      c_.out.error(value.at, map_.path(key), "\"" + *text + "\" is not a ratio; say " + example);
      return std::nullopt;
    }
    return *number;
  }

  void share(const std::string& key, ExpectKind kind, const char* example) {
    const Tree* value = map_.find(key);
    if (value == nullptr) return;
    if (kind != ExpectKind::spurious_repair && !needs_link(*value, key)) return;
    const auto ppb = c_.quantity(*value, map_.path(key), Unit::share);
    if (!ppb) return;
    if (*ppb % 1'000 != 0) {
      c_.out.error(value->at, map_.path(key),
                   "is finer than a part per million; say one such as `" + std::string(example) + "`");
      return;
    }
    add(kind, key, 0, *ppb / 1'000, value->at);
  }

  // One BDP: the link's rate for the time there and back on it.
  void queue() {
    const Tree* value = map_.find("queue-at-most");
    if (value == nullptr || !needs_link(*value, "queue-at-most")) return;
    const auto r = ratio(*value, "queue-at-most", "us", "bandwidth-delay products, such as `\"1.0\"`");
    if (!r) return;
    const plan::Link& l = c_.plan.links[base_.link];
    const auto round_trip = static_cast<std::uint64_t>(l.a_to_b.delay_ns + l.b_to_a.delay_ns);
    base_.reference =
        static_cast<std::uint64_t>(static_cast<unsigned_int128>(least_rate()) * round_trip / 8'000'000'000u);
    if (base_.reference > 0) {
      add(ExpectKind::queue, "queue-at-most", 0, *r, value->at);
    } else if (least_rate() > 0) {
      c_.out.error(
          value->at, map_.path("queue-at-most"),
          "\"" + l.name + "\" holds less than a byte in its bandwidth-delay product; name a longer or faster link");
    }
    base_.reference = 0;
  }

  // "85 %" of the link's rate, or a rate.
  void goodput() {
    const Tree* value = map_.find("goodput-at-least");
    if (value == nullptr) return;
    const std::string key = map_.path("goodput-at-least");
    const auto text = c_.word(*value, key);
    if (!text) return;
    if (text->find("bit/s") != std::string::npos) {
      const auto rate = c_.quantity(*value, key, Unit::rate);
      base_.reference = static_cast<std::uint64_t>(rate.value_or(0));
      if (rate && *rate == 0) c_.out.error(value->at, key, "must be above 0");
      if (base_.reference > 0) add(ExpectKind::goodput, "goodput-at-least", 0, 1'000'000, value->at);
    } else if (needs_link(*value, "goodput-at-least")) {
      base_.reference = least_rate();
      if (base_.reference > 0) share("goodput-at-least", ExpectKind::goodput, "85 %");
    }
    base_.reference = 0;
  }

  void rise() {
    if (map_.find("latency-rise") == nullptr) return;
    const Tree* with = map_.find("compared-with");
    if (with == nullptr) {
      c_.out.error(map_.find("latency-rise")->at, map_.path("latency-rise"),
                   "needs a time to compare with; say `compared-with: {after: 2 s, until: 10 s}`");
      return;
    }
    Map map(c_, *with, map_.path("compared-with"), {"after", "until"});
    if (!map.ok() || map.need("until", "10 s") == nullptr) return;
    window(map, base_.base_after_ns, base_.base_until_ns);
    latencies("latency-rise", ExpectKind::latency_rise);
    base_.base_after_ns = base_.base_until_ns = 0;
  }

  void add(ExpectKind kind, const std::string& what, std::uint32_t permyriad, std::int64_t limit, Position at) {
    plan::Expectation e = base_;
    e.kind = kind;
    e.percentile_permyriad = permyriad;
    e.limit = limit;
    e.name = what + (e.filter == "#" ? "" : " of " + e.filter) +
             (e.tenant == kNone ? "" : " (" + c_.plan.tenants[e.tenant].name + ")") + where_and_when(e);
    e.where = c_.file_name + ":" + std::to_string(at.line);
    for (const auto& other : c_.plan.expectations) {
      if (other.kind == e.kind && other.filter == e.filter && other.tenant == e.tenant &&
          other.percentile_permyriad == e.percentile_permyriad && other.link == e.link && other.way == e.way &&
          other.after_ns == e.after_ns && other.until_ns == e.until_ns && other.between == e.between &&
          other.base_after_ns == e.base_after_ns && other.base_until_ns == e.base_until_ns) {
        c_.out.error(at, map_.path(what), "is expected twice, first at " + other.where + "; keep one");
        return;
      }
    }
    c_.plan.expectations.push_back(std::move(e));
    c_.expect_at.push_back(at);
  }

  std::string where_and_when(const plan::Expectation& e) const {
    std::string out;
    if (e.link != kNone) {
      const plan::Link& l = c_.plan.links[e.link];
      const auto end = [&](Index node) { return c_.plan.harbours[c_.plan.nodes[node].harbour].name; };
      const bool back = e.way == plan::Way::b_to_a;
      out += " on " + end(back ? l.b : l.a) + (e.way == plan::Way::both ? " -- " : " -> ") + end(back ? l.a : l.b);
    }
    if (e.kind == ExpectKind::fairness)
      out += e.between == plan::Between::topics ? " between topics" : " between publishers";
    if (e.after_ns > 0) out += " after " + show_time(e.after_ns);
    if (e.until_ns > 0) out += " until " + show_time(e.until_ns);
    return out;
  }

  void latencies(const char* key, ExpectKind kind) {
    const Tree* value = map_.find(key);
    if (value == nullptr) return;
    if (!value->is_map()) {
      c_.out.error(value->at, map_.path(key), "needs a percentile; say `" + std::string(key) + ": {p99: 30 ms}`");
      return;
    }
    Map each(c_, *value, map_.path(key), {});
    for (const auto& e : each.entries()) {
      const auto p = percentile(e.key);
      if (!p) {
        c_.out.error(e.at, each.path(e.key),
                     "is not a percentile; valid: p50, p99, p99.9 and such (two decimals), max");
        continue;
      }
      const auto limit = c_.quantity(e.value, each.path(e.key), Unit::time);
      if (limit) add(kind, e.key + " " + key, *p, *limit, e.value.at);
    }
  }

  void check_filter() {
    if (base_.filter == "#") return;
    std::vector<std::string> families;
    for (const auto& t : c_.plan.topics) {
      if (base_.tenant != kNone && t.tenant != base_.tenant) continue;
      if (plan::filter_matches(base_.filter, t.name)) return;
      if (std::find(families.begin(), families.end(), t.family) == families.end()) families.push_back(t.family);
    }
    if (c_.plan.topics.empty()) return;
    c_.out.error(map_.find("of")->at, map_.path("of"),
                 "\"" + base_.filter + "\" matches no topic" + suggest(base_.filter, families));
  }

  Context& c_;
  Map map_;
  Position at_;
  plan::Expectation base_;
};

}  // namespace

void read_expectations(Context& c) {
  for (const auto& section : c.root.entries) {
    if (section.key != "expect") continue;
    if (section.value.kind == Tree::Kind::null) break;
    if (!section.value.is_list()) {
      c.out.error(section.value.at, "expect", "must be a list, each beginning with `- `");
      break;
    }
    for (std::size_t i = 0; i < section.value.items.size(); ++i) {
      ExpectReader(c, section.value.items[i], "expect[" + std::to_string(i) + "]").run();
    }
    break;
  }
  for (const auto& k : kCounts) {
    if (k.kind == ExpectKind::refused || k.kind == ExpectKind::deliveries || k.kind == ExpectKind::busy) continue;
    const bool said = std::any_of(c.plan.expectations.begin(), c.plan.expectations.end(),
                                  [&](const auto& e) { return e.kind == k.kind; });
    if (said) continue;
    plan::Expectation e;
    e.kind = k.kind;
    e.name = std::string(k.name);
    e.filter = "#";
    e.where = "default";
    c.plan.expectations.push_back(std::move(e));
    c.expect_at.push_back({});
  }
}

}  // namespace portolan::compile
