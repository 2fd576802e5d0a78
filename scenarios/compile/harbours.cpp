// Stage: the scenario's head, harbours, tenants, and the nodes that follow from them.
#include <algorithm>

#include "scenarios/compile/context.hpp"

namespace portolan::compile {
namespace {

constexpr std::size_t kMaxHarbours = 4'096;
constexpr std::size_t kMaxTenants = 64;
const std::vector<std::string> kHarbourKeys = {"at", "hub", "standby", "access", "machine"};

const std::vector<std::string> kTopKeys = {"title",       "duration", "seed",     "settle",   "drain",
                                           "convergence", "overlay",  "fragment", "security", "broker",
                                           "calibration", "harbours", "tenants",  "models",   "links",
                                           "clients",     "topics",   "load",     "faults",   "expect"};

}  // namespace

void read_header(Context& c, const Options& options) {
  Map top(c, c.root, "", kTopKeys);
  if (!top.ok()) return;
  plan::Plan& p = c.plan;
  if (const Tree* title = top.find("title")) p.title = c.word(*title, "title").value_or("");
  if (const Tree* duration = top.need("duration", "60 s")) {
    p.duration_ns = c.quantity(*duration, "duration", Unit::time).value_or(0);
    if (p.duration_ns == 0 && !c.out.error_at(duration->at)) {
      c.out.error(duration->at, "duration", "must be longer than 0 s");
    }
  }
  // Without a duration nothing else is "after the end".
  if (p.duration_ns == 0) p.duration_ns = Ns{366} * 24 * 3'600'000'000'000;
  p.seed = 1;
  if (const Tree* seed = top.find("seed")) {
    p.seed = c.count(*seed, "seed", 0, 0x7FFFFFFFFFFFFFFFull).value_or(1);
  }
  if (options.seed) p.seed = *options.seed;
  p.settle_ns = 10'000'000'000;
  top.read("settle", Unit::time, p.settle_ns);
  p.drain_ns = p.settle_ns;
  top.read("drain", Unit::time, p.drain_ns);
  read_convergence(c, top);
  if (const Tree* overlay = top.find("overlay")) {
    // The other headers are the same for all, so there is one choice.
    if (c.choice(*overlay, "overlay", {"vxlan", "none"}).value_or(0) == 1)
      p.overlay = {plan::OverlayKind::none, 0, 1500};
  }
  if (const Tree* fragment = top.find("fragment")) {
    const auto bytes = c.quantity(*fragment, "fragment", Unit::size);
    if (bytes && (*bytes < 1088 || *bytes > 4032 || *bytes % 64 != 0)) {
      c.out.error(fragment->at, "fragment",
                  show_size(static_cast<std::uint64_t>(*bytes)) +
                      " is not a fragment size; valid: multiples of 64 B from 1088 B to 4032 B");
    } else if (bytes) {
      p.fragment_bytes = static_cast<std::uint32_t>(*bytes);
      c.fragment_given = true;
    }
  }
  if (const Tree* security = top.find("security")) {
    p.security = static_cast<plan::Security>(c.choice(*security, "security", {"plain", "sealed"}).value_or(0));
  }
  for (const char* key : {"harbours", "clients", "topics", "load"}) {
    top.need(key, "{...}");
  }
}

bool valid_name(Context& c, const std::string& name, Position at, const std::string& key) {
  const bool good = !name.empty() && name.size() <= 40 && name[0] >= 'a' && name[0] <= 'z' &&
                    std::all_of(name.begin(), name.end(),
                                [](char x) { return (x >= 'a' && x <= 'z') || (x >= '0' && x <= '9') || x == '-'; });
  if (!good) {
    c.out.error(at, key, "\"" + name + "\" is not a name; use at most 40 of a-z, 0-9 and -, a letter first");
    return false;
  }
  if (name.find("--") != std::string::npos) {
    c.out.error(at, key, "\"" + name + "\" contains --, which joins the two ends of a link; use a single -");
    return false;
  }
  for (const char* reserved : {"all", "end", "broker", "edge", "at", "none", "true", "false", "generate"}) {
    if (name == reserved) {
      c.out.error(at, key, "\"" + name + "\" is a word of the language; choose another name");
      return false;
    }
  }
  return true;
}

void read_harbours(Context& c) {
  const Tree* node = nullptr;
  for (const auto& e : c.root.entries) {
    if (e.key == "harbours" && node == nullptr) node = &e.value;
  }
  if (node == nullptr) return;
  Map map(c, *node, "harbours", {});
  if (!map.ok()) return;
  if (map.entries().size() > kMaxHarbours) {
    c.out.error(node->at, "harbours", "more than " + std::to_string(kMaxHarbours) + " harbours");
    return;
  }
  for (const auto& e : map.entries()) {
    const std::string key = map.path(e.key);
    if (c.harbours.contains(e.key)) continue;  // reported
    valid_name(c, e.key, e.at, key);
    plan::Harbour h;
    h.name = e.key;
    const Tree* at = &e.value;
    std::string at_key = key;
    if (e.value.is_map()) {
      Map settings(c, e.value, key, kHarbourKeys);
      at = settings.need("at", "52.52 N, 13.40 E");
      at_key = key + ".at";
      if (const Tree* hub = settings.find("hub")) h.is_hub = hub->is_scalar() && hub->text == "true";
    }
    if (at != nullptr) {
      if (at->is_scalar()) {
        const auto place = read_coordinates(at->text);
        if (place) {
          h.lat_udeg = place->lat_udeg;
          h.lon_udeg = place->lon_udeg;
        } else {
          c.out.error(at->at, at_key, place.error().cause);
        }
      } else {
        c.out.error(at->at, at_key,
                    "is not a place; say latitude and longitude in degrees, such as `52.52 N, 13.40 E`");
      }
    }
    for (const auto& other : c.plan.harbours) {
      const bool same = other.lat_udeg == h.lat_udeg && other.lon_udeg == h.lon_udeg;
      if (same && !c.out.error_on_line(e.at.line) && (h.lat_udeg != 0 || h.lon_udeg != 0)) {
        c.out.error(e.at, key, "lies exactly where " + other.name + " lies; two harbours need two places");
      }
    }
    c.harbours.emplace(h.name, static_cast<Index>(c.plan.harbours.size()));
    c.plan.harbours.push_back(std::move(h));
    c.harbour_entries.push_back(&e);
  }
  if (c.plan.harbours.empty()) c.out.error(node->at, "harbours", "there is none; name at least one");
}

namespace {

// "10.0.0.0/16" -> first address and number of hosts.
bool parse_subnet(const std::string& text, std::uint32_t& base, std::uint32_t& hosts) {
  unsigned part[4];
  unsigned length = 0;
  char tail = 0;
  if (std::sscanf(text.c_str(), "%3u.%3u.%3u.%3u/%2u%c", &part[0], &part[1], &part[2], &part[3], &length, &tail) != 5) {
    return false;
  }
  if (length < 8 || length > 30) return false;
  base = 0;
  for (unsigned x : part) {
    if (x > 255) return false;
    base = base << 8 | x;
  }
  hosts = (1u << (32 - length)) - 2;
  return (base & (hosts + 1)) == 0;
}

constexpr Ns kVethDelayNs = 20'000;                          // edge to service
constexpr std::uint32_t kUnderlay = 172u << 24 | 16u << 16;  // 172.16.0.0/12

struct TenantEntry {
  std::uint32_t base = 10u << 24;
  std::uint32_t hosts = 65'534;
  std::vector<Index> harbours;
};

TenantEntry read_tenant(Context& c, const Tree& value, const std::string& key, plan::Tenant& t) {
  TenantEntry entry;
  std::uint32_t& hosts = entry.hosts;
  const Tree* where = nullptr;
  if (value.kind != Tree::Kind::null && !(value.is_map() && value.entries.empty())) {
    Map settings(c, value, key, {"subnet", "vni", "harbours"});
    if (const Tree* subnet = settings.find("subnet")) {
      const auto text = c.word(*subnet, key + ".subnet");
      if (text && !parse_subnet(*text, entry.base, hosts)) {
        c.out.error(
            subnet->at, key + ".subnet",
            "\"" + *text + "\" is not an IPv4 network; say one such as `10.0.0.0/16` (/8 to /30, host bits zero)");
      } else if (text) {
        t.subnet = *text;
        if (hosts < c.plan.harbours.size()) {
          c.out.error(subnet->at, key + ".subnet",
                      "has " + std::to_string(hosts) + " addresses for " + std::to_string(c.plan.harbours.size()) +
                          " harbours; use a larger one");
        }
      }
    }
    if (const Tree* vni = settings.find("vni")) {
      t.vni = static_cast<std::uint32_t>(c.count(*vni, key + ".vni", 1, 16'777'215).value_or(t.vni));
    }
    where = settings.find("harbours");
  }
  if (where != nullptr) {
    entry.harbours = c.harbour_list(*where, key + ".harbours");
    std::sort(entry.harbours.begin(), entry.harbours.end());
  } else {
    for (Index h = 0; h < c.plan.harbours.size(); ++h) entry.harbours.push_back(h);
  }
  return entry;
}

}  // namespace

void read_tenants(Context& c) {
  const Tree* node = nullptr;
  for (const auto& e : c.root.entries) {
    if (e.key == "tenants" && node == nullptr) node = &e.value;
  }
  std::vector<TenantEntry> entries;
  const auto add = [&](const std::string& name, const Tree& value) {
    plan::Tenant t;
    t.name = name;
    t.vni = static_cast<std::uint32_t>(100 + c.plan.tenants.size());
    t.subnet = "10.0.0.0/16";
    entries.push_back(read_tenant(c, value, "tenants." + name, t));
    c.tenants.emplace(name, static_cast<Index>(c.plan.tenants.size()));
    c.plan.tenants.push_back(std::move(t));
  };
  if (node == nullptr) {
    add("main", Tree{});
  } else {
    Map map(c, *node, "tenants", {});
    if (map.entries().size() > kMaxTenants) {
      c.out.error(node->at, "tenants", "more than " + std::to_string(kMaxTenants) + " tenants");
      return;
    }
    for (const auto& e : map.entries()) {
      if (c.tenants.contains(e.key)) continue;  // reported
      valid_name(c, e.key, e.at, map.path(e.key));
      const auto vni_before = c.plan.tenants.size();
      add(e.key, e.value);
      for (std::size_t i = 0; i < vni_before; ++i) {
        if (c.plan.tenants[i].vni == c.plan.tenants.back().vni) {
          c.out.error(e.at, map.path(e.key) + ".vni",
                      "is the same as that of tenant \"" + c.plan.tenants[i].name + "\"; each tenant needs its own");
        }
      }
    }
    if (c.plan.tenants.empty() && map.ok()) {
      c.out.error(node->at, "tenants", "there is none; name one or leave `tenants` out");
    }
  }
  std::vector<std::string> machine(c.plan.harbours.size());
  for (Index h = 0; h < c.plan.harbours.size(); ++h) {
    if (c.harbour_entries[h]->value.is_map()) {
      for (const auto& e : c.harbour_entries[h]->value.entries) {
        if (e.key == "machine")
          machine[h] = c.word(e.value, "harbours." + c.plan.harbours[h].name + ".machine").value_or("");
      }
    }
    c.edge.push_back(static_cast<Index>(c.plan.nodes.size()));
    c.plan.nodes.push_back({c.plan.harbours[h].name + "/edge",
                            plan::NodeKind::edge,
                            h,
                            kNone,
                            show_address(kUnderlay + h + 1),
                            kLoopbackNs,
                            machine[h],
                            {}});
  }
  c.service.assign(c.plan.harbours.size(), std::vector<Index>(c.plan.tenants.size(), kNone));
  for (Index t = 0; t < c.plan.tenants.size(); ++t) {
    for (Index h : entries[t].harbours) {
      c.service[h][t] = static_cast<Index>(c.plan.nodes.size());
      c.plan.nodes.push_back({c.plan.harbours[h].name + "/" + c.plan.tenants[t].name,
                              plan::NodeKind::service,
                              h,
                              t,
                              show_address(entries[t].base + h + 1),
                              kLoopbackNs,
                              machine[h],
                              {}});
    }
    c.next_address.push_back(entries[t].base + static_cast<std::uint32_t>(c.plan.harbours.size()) + 1);
    c.last_address.push_back(entries[t].base + entries[t].hosts);
  }
  // The way from a service to its harbour's edge. Runners find it by its model.
  for (const plan::Node& n : c.plan.nodes) {
    if (n.kind != plan::NodeKind::service) continue;
    plan::Link veth;
    veth.name = c.plan.harbours[n.harbour].name + "/edge--" + n.name;
    veth.a = c.edge[n.harbour];
    veth.b = c.service[n.harbour][n.tenant];
    veth.model = "veth";
    veth.a_to_b.delay_ns = kVethDelayNs;
    veth.b_to_a.delay_ns = kVethDelayNs;
    c.plan.links.push_back(std::move(veth));
    c.link_at.push_back({});
  }
}

}  // namespace portolan::compile
