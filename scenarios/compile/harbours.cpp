// Stage: the scenario's head, harbours, tenants, and the nodes that follow from them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "scenarios/compile/context.hpp"

namespace portolan::compile {
namespace {

constexpr std::size_t kMaxHarbours = 4'096;
constexpr std::size_t kMaxTenants = 64;

const std::vector<std::string> kTopKeys = {"title",    "duration", "seed",        "settle",   "drain",   "convergence",
                                           "fragment", "broker",   "calibration", "harbours", "tenants", "models",
                                           "links",    "clients",  "topics",      "load",     "faults",  "expect"};

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
  p.convergence_ns = 1'000'000'000;
  top.read("convergence", Unit::time, p.convergence_ns);
  if (const Tree* fragment = top.find("fragment")) {
    const auto bytes = c.quantity(*fragment, "fragment", Unit::size);
    if (bytes && (*bytes < 1088 || *bytes > 4032 || *bytes % 64 != 0)) {
      c.out.error(fragment->at, "fragment",
                  show_size(static_cast<std::uint64_t>(*bytes)) +
                      " is not a fragment size; valid: multiples of 64 B from 1088 B to 4032 B");
    } else if (bytes) {
      p.fragment_bytes = static_cast<std::uint32_t>(*bytes);
    }
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
  for (const char* reserved : {"all", "end", "broker", "edge", "at", "none"}) {
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
      Map settings(c, e.value, key, {"at", "hub"});
      at = settings.need("at", "52.52 N, 13.40 E");
      at_key = key + ".at";
      if (const Tree* hub = settings.find("hub")) {
        h.hub = c.choice(*hub, key + ".hub", {"false", "true"}).value_or(0) == 1;
      }
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

std::string address(std::uint32_t a) {
  return std::to_string(a >> 24) + "." + std::to_string(a >> 16 & 255) + "." + std::to_string(a >> 8 & 255) + "." +
         std::to_string(a & 255);
}

constexpr Ns kLoopbackNs = 15'000;   // two processes of one host: facts.md, half of a bare round trip less its wake-ups
constexpr Ns kVethDelayNs = 20'000;  // edge to service
constexpr std::uint32_t kUnderlay = 172u << 24 | 16u << 16;  // 172.16.0.0/12

struct TenantEntry {
  std::uint32_t base = 10u << 24;
  std::vector<Index> harbours;
};

TenantEntry read_tenant(Context& c, const Tree& value, const std::string& key, plan::Tenant& t) {
  TenantEntry entry;
  std::uint32_t hosts = 65'534;
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
  for (Index h = 0; h < c.plan.harbours.size(); ++h) {
    c.edge.push_back(static_cast<Index>(c.plan.nodes.size()));
    c.plan.nodes.push_back(
        {c.plan.harbours[h].name + "/edge", plan::NodeKind::edge, h, kNone, address(kUnderlay + h + 1), kLoopbackNs});
  }
  c.service.assign(c.plan.harbours.size(), std::vector<Index>(c.plan.tenants.size(), kNone));
  for (Index t = 0; t < c.plan.tenants.size(); ++t) {
    for (Index h : entries[t].harbours) {
      c.service[h][t] = static_cast<Index>(c.plan.nodes.size());
      c.plan.nodes.push_back({c.plan.harbours[h].name + "/" + c.plan.tenants[t].name, plan::NodeKind::service, h, t,
                              address(entries[t].base + h + 1), kLoopbackNs});
    }
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

void read_calibration(Context& c) {
  std::string text(placeholder_calibration_text);
  Position at;
  for (const auto& e : c.root.entries) {
    if (e.key != "calibration") continue;
    at = e.value.at;
    const auto file = c.input_file(e.value, "calibration");
    if (!file) return;
    text = *file;
    break;
  }
  const auto wrong = [&](const std::string& what) {
    c.out.error(at, "calibration", what + "; see scenarios/calibration/placeholder.json");
  };
  const auto document = nlohmann::json::parse(text, nullptr, false);
  if (!document.is_object()) return wrong("is not a JSON object");
  plan::Calibration& out = c.plan.calibration;
  const auto number = [&](const char* key, Ns& to) {
    const auto found = document.find(key);
    if (found == document.end() || !found->is_number_unsigned() || found->get<std::uint64_t>() > 1'000'000'000) {
      return wrong(std::string("has no \"") + key + "\" of 0 to 1000000000 ns");
    }
    to = found->get<Ns>();
  };
  const auto words = [&](const char* key, std::string& to) {
    const auto found = document.find(key);
    if (found == document.end() || !found->is_string() || found->get_ref<const std::string&>().empty()) {
      return wrong(std::string("has no text \"") + key + "\"");
    }
    to = found->get<std::string>();
  };
  words("name", out.name);
  words("source", out.source);
  number("per_datagram_in_ns", out.per_datagram_in_ns);
  number("per_datagram_out_ns", out.per_datagram_out_ns);
  number("per_message_in_ns", out.per_message_in_ns);
  number("per_message_out_ns", out.per_message_out_ns);
  number("per_timer_ns", out.per_timer_ns);
  number("per_kib_ns", out.per_kib_ns);
  out.sha256 = sha256_hex(text);
}

}  // namespace portolan::compile
