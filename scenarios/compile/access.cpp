// Stage: access networks. A client that says `access` runs on a machine of its own, a station, joined to its harbour's
// service host by that harbour's access network; the others stay on the service host itself.
#include "scenarios/base/hash.hpp"
#include "scenarios/compile/context.hpp"

namespace portolan::compile {
namespace {

using plan::LinkKind;

const std::vector<std::string> kKinds = {"model", "point-to-point", "csma", "wifi"};

void read_wifi(Context& c, const Map& map, plan::Wifi& wifi) {
  const std::vector<std::string> standards = {"802.11n-2.4GHz", "802.11n-5GHz", "802.11ac", "802.11ax-2.4GHz",
                                              "802.11ax-5GHz"};
  const std::vector<std::string> widths = {"20 MHz", "40 MHz", "80 MHz", "160 MHz"};
  wifi = {standards[2], 40, -1, 20, 3'000};
  if (const Tree* value = map.find("standard")) {
    if (const auto which = c.choice(*value, map.path("standard"), standards)) wifi.standard = standards[*which];
  }
  if (const Tree* value = map.find("width")) {
    if (const auto which = c.choice(*value, map.path("width"), widths)) wifi.width_mhz = 20u << *which;
  }
  const bool narrow = wifi.standard.starts_with("802.11n") || wifi.standard.ends_with("2.4GHz");
  if (narrow && wifi.width_mhz > 40) {
    c.out.error(map.at(), map.path("width"), wifi.standard + " has 20 MHz and 40 MHz only");
  }
  if (const Tree* value = map.find("mcs"); value != nullptr && !(value->is_scalar() && value->text == "auto")) {
    const std::uint64_t most = wifi.standard.starts_with("802.11n") ? 7 : wifi.standard == "802.11ac" ? 9 : 11;
    if (const auto mcs = c.count(*value, map.path("mcs"), 0, most)) wifi.mcs = static_cast<std::int32_t>(*mcs);
  }
  if (const Tree* value = map.find("power")) {
    const std::string text = value->is_scalar() ? value->text : "";
    const auto number = text.ends_with(" dBm") ? read_count(text.substr(0, text.size() - 4)) : read_count("");
    if (number && *number <= 36) {
      wifi.tx_power_dbm = static_cast<std::int32_t>(*number);
    } else {
      c.out.error(value->at, map.path("power"), "is not a power of 0 to 36 dBm; say one such as `20 dBm`");
    }
  }
  if (const Tree* value = map.find("path-loss-exponent")) {
    const auto milli = read_quantity((value->is_scalar() ? value->text : "") + " us", Unit::time);
    if (milli && *milli >= 1'000 && *milli <= 6'000) {
      wifi.exponent_milli = static_cast<std::uint32_t>(*milli);
    } else {
      c.out.error(value->at, map.path("path-loss-exponent"),
                  "is not an exponent of 1.0 to 6.0; say `\"3.0\"`: 2 in the open, 3 among cranes and stacks");
    }
  }
}

Access read_one(Context& c, const Tree& value, const std::string& key) {
  Access access;
  const Tree* kind = nullptr;
  if (value.is_map()) {
    for (const Tree::Entry& e : value.entries) {
      if (e.key == "kind" && kind == nullptr) kind = &e.value;
    }
  }
  if (kind == nullptr) {
    c.out.error(value.at, join(key, "kind"), "is missing; say `kind: wifi`; valid: " + listed(kKinds));
    return access;
  }
  const auto which = c.choice(*kind, join(key, "kind"), kKinds);
  if (!which) return access;
  access.kind = static_cast<LinkKind>(*which);
  access.medium.assign(c.plan.tenants.size(), kNone);
  std::vector<std::string> keys = {"kind"};
  if (access.kind == LinkKind::wifi) {
    keys.insert(keys.end(), {"standard", "width", "mcs", "power", "path-loss-exponent"});
    read_wifi(c, Map(c, value, key, keys), access.wifi);
    return access;
  }
  if (access.kind == LinkKind::csma) {
    keys.insert(keys.end(), {"rate", "delay"});
    Map map(c, value, key, keys);
    if (map.need("rate", "100 Mbit/s") != nullptr) map.read("rate", Unit::rate, access.rate_bps);
    if (map.need("delay", "1 us") != nullptr) map.read("delay", Unit::time, access.delay_ns);
    return access;
  }
  if (access.kind == LinkKind::point_to_point) {
    keys.insert(keys.end(), {"rate", "delay", "queue", "mtu"});
  } else {
    keys.push_back("model");
    keys.insert(keys.end(), kImpairmentKeys.begin(), kImpairmentKeys.end());
  }
  Map map(c, value, key, keys);
  std::vector<std::string> models;
  for (const auto& [name, known] : c.models) models.push_back(name);
  const Tree* model = map.find("model");
  if (model != nullptr) {
    if (const auto at = c.choice(*model, map.path("model"), models)) access.model = c.models[models[*at]];
  } else if (map.find("delay") == nullptr) {
    c.out.error(value.at, map.path("delay"),
                "is missing; say `delay: 1 ms`" +
                    (access.kind == LinkKind::model ? ", or `model: NAME`; valid: " + listed(models) : std::string()));
  }
  if (access.kind == LinkKind::point_to_point) map.need("rate", "100 Mbit/s");
  read_impairments(c, map, access.model, nullptr);
  finish_impairments(access.model);
  access.model.impairments.delay_ns = access.model.delay_ns;  // a terminal is no kilometre wide
  return access;
}

}  // namespace

void read_access(Context& c) {
  c.access.assign(c.plan.harbours.size(), std::nullopt);
  for (Index h = 0; h < c.plan.harbours.size(); ++h) {
    const Tree& value = c.harbour_entries[h]->value;
    if (!value.is_map()) continue;
    for (const Tree::Entry& e : value.entries) {
      if (e.key != "access" || c.access[h]) continue;
      c.access[h] = read_one(c, e.value, "harbours." + c.plan.harbours[h].name + ".access");
    }
  }
}

AccessUse read_access_use(Context& c, const Tree& value, const std::string& key) {
  AccessUse use{50'000, 0};
  if (value.is_scalar() && value.text == "true") return use;
  Map map(c, value, key, {"within", "speed"});
  std::uint64_t metres = 0;
  if (map.read("within", Unit::length, metres)) {
    use.within_mm = metres * 1'000;
    if (metres == 0 || metres > 5'000) {
      c.out.error(map.find("within")->at, map.path("within"), "must be 1 m to 5 km round the access point");
    }
  }
  map.read("speed", Unit::speed, use.speed_mm_s);
  return use;
}

Index add_station(Context& c, Index harbour, Index tenant, const std::string& name, const AccessUse& use, Position at) {
  const Index service = c.service[harbour][tenant];
  if (!c.access[harbour]) {
    c.out.error(at, "clients." + name.substr(name.rfind('/') + 1) + ".access",
                c.plan.harbours[harbour].name + " has no access network; say `access: {kind: wifi}` at harbours." +
                    c.plan.harbours[harbour].name);
    return service;
  }
  if (c.next_address[tenant] > c.last_address[tenant]) {
    c.out.error(at, "tenants." + c.plan.tenants[tenant].name + ".subnet", "has no address left for " + name);
    return service;
  }
  Access& access = *c.access[harbour];
  if (access.medium.empty()) return service;  // wrong, and said so
  plan::Node node{name,        plan::NodeKind::station,       harbour, tenant, show_address(c.next_address[tenant]++),
                  kLoopbackNs, c.plan.nodes[service].machine, {}};
  // Two points within the circle, drawn until they lie in it: no sine needed.
  std::uint64_t draws = 0;
  const auto point = [&](std::int64_t& x, std::int64_t& y) {
    const auto r = static_cast<std::int64_t>(use.within_mm);
    const auto draw = [&] {
      return static_cast<std::int64_t>(
                 below64(draw64(c.plan.seed, name64("station"), name64(name), draws++), 2 * use.within_mm + 1)) -
             r;
    };
    do {
      x = draw();
      y = draw();
    } while (x * x + y * y > r * r);
  };
  point(node.motion.x_mm, node.motion.y_mm);
  point(node.motion.to_x_mm, node.motion.to_y_mm);
  node.motion.speed_mm_s = use.speed_mm_s;
  const auto index = static_cast<Index>(c.plan.nodes.size());
  c.plan.nodes.push_back(std::move(node));

  plan::Link link;
  link.name = c.plan.nodes[service].name + "--" + name.substr(name.rfind('/') + 1);
  link.a = service;
  link.b = index;
  link.model = "access";
  link.kind = access.kind;
  link.a_to_b = link.b_to_a = access.model.impairments;
  link.seed = draw64(c.plan.seed, name64("link"), name64(link.name)) >> 1;
  if (access.kind == LinkKind::csma || access.kind == LinkKind::wifi) {
    Index& medium = access.medium[tenant];
    if (medium == kNone) {
      medium = static_cast<Index>(c.plan.media.size());
      c.plan.media.push_back({c.plan.nodes[service].name + "/" + kKinds[static_cast<std::size_t>(access.kind)],
                              access.kind, service, access.rate_bps, access.delay_ns, access.wifi});
    }
    link.medium = medium;
  }
  c.plan.links.push_back(std::move(link));
  c.link_at.push_back(at);
  return index;
}

}  // namespace portolan::compile
