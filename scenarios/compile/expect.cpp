// Stage: expectations. Nothing lost, no gap, no duplicate and no disorder are expected unless the scenario says
// otherwise.
#include <algorithm>
#include <set>

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
                           {"deliveries-at-least", ExpectKind::deliveries}};

const std::vector<std::string> kKeys = {"of",
                                        "tenant",
                                        "lost",
                                        "gaps",
                                        "duplicates",
                                        "disorder",
                                        "refused",
                                        "deliveries-at-least",
                                        "latency-above-floor",
                                        "latency",
                                        "recovery",
                                        "repair-ratio"};

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
    if (const Tree* value = map_.find("repair-ratio")) repair_ratio(*value);
    bool any = false;
    for (const auto& e : map_.entries()) any = any || (e.key != "of" && e.key != "tenant");
    if (!any)
      c_.out.error(at_, map_.path(""), "expects nothing; say one of " + listed({kKeys.begin() + 2, kKeys.end()}));
  }

 private:
  void add(ExpectKind kind, const std::string& what, std::uint32_t permyriad, std::int64_t limit, Position at) {
    plan::Expectation e = base_;
    e.kind = kind;
    e.percentile_permyriad = permyriad;
    e.limit = limit;
    e.name = what + (e.filter == "#" ? "" : " of " + e.filter) +
             (e.tenant == kNone ? "" : " (" + c_.plan.tenants[e.tenant].name + ")");
    e.where = c_.file_name + ":" + std::to_string(at.line);
    for (const auto& other : c_.plan.expectations) {
      if (other.kind == e.kind && other.filter == e.filter && other.tenant == e.tenant &&
          other.percentile_permyriad == e.percentile_permyriad) {
        c_.out.error(at, map_.path(what), "is expected twice, first at " + other.where + "; keep one");
        return;
      }
    }
    c_.plan.expectations.push_back(std::move(e));
    c_.expect_at.push_back(at);
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

  // Repair bytes over lost bytes: "2.0".
  void repair_ratio(const Tree& value) {
    const auto text = c_.word(value, map_.path("repair-ratio"));
    if (!text) return;
    const auto permille = read_quantity(*text + " us", Unit::time);
    if (!permille) {
      c_.out.error(value.at, map_.path("repair-ratio"),
                   "\"" + *text + "\" is not a ratio; say the repaired bytes per lost byte, such as `2.0`");
      return;
    }
    add(ExpectKind::repair_ratio, "repair-ratio", 0, *permille, value.at);
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
    if (k.kind == ExpectKind::refused || k.kind == ExpectKind::deliveries) continue;
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
