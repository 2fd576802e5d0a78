// Stage: link models (presets and the scenario's own) and links: distance makes delay, overrides make the rest.
#include <algorithm>

#include "scenarios/base/hash.hpp"
#include "scenarios/compile/context.hpp"

namespace portolan::compile {
namespace {

std::vector<std::string> keys_with(const std::vector<std::string>& more) {
  std::vector<std::string> keys = more;
  keys.insert(keys.end(), kImpairmentKeys.begin(), kImpairmentKeys.end());
  return keys;
}

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

}  // namespace

void read_models(Context& c) {
  add_presets(c);
  const Tree* node = nullptr;
  for (const auto& e : c.root.entries) {
    if (e.key == "models" && node == nullptr) node = &e.value;
  }
  if (node == nullptr) return;
  Map map(c, *node, "models", {});
  for (const auto& e : map.entries()) {
    const std::string key = map.path(e.key);
    if (c.models.contains(e.key)) {
      c.out.error(e.at, key, "is a model already; choose another name");
      continue;
    }
    LinkModel model;
    Map settings(c, e.value, key, keys_with({"like"}));
    std::vector<std::string> names;
    for (const auto& [name, known] : c.models) names.push_back(name);
    if (const Tree* like = settings.find("like")) {
      if (const auto which = c.choice(*like, settings.path("like"), names)) model = c.models[names[*which]];
    } else if (settings.ok() && settings.find("delay") == nullptr) {
      c.out.error(e.value.at, settings.path("delay"), "is missing; say `delay: 1 ms + 6 us/km`, or `like: internet`");
    }
    model.name = e.key;
    read_impairments(c, settings, model, nullptr);
    model.delay_given = false;
    c.models.emplace(e.key, std::move(model));
  }
}

std::optional<std::string> link_name(std::string_view text, std::string& a, std::string& b, bool& one_way) {
  std::size_t join_at = text.find(" -- ");
  one_way = join_at == std::string_view::npos;
  if (one_way) join_at = text.find(" -> ");
  if (join_at == std::string_view::npos) return std::nullopt;
  a = std::string(trimmed(text.substr(0, join_at)));
  std::string_view rest = trimmed(text.substr(join_at + 4));
  std::string suffix;
  const std::size_t open = rest.find('(');
  if (open != std::string_view::npos) {
    suffix = std::string(rest.substr(open));
    rest = trimmed(rest.substr(0, open));
  }
  b = std::string(rest);
  return suffix;
}

namespace {

// ns-3's own devices take delay and rate, and nothing that our LinkModel does.
plan::LinkKind read_kind(Context& c, const Map& map) {
  const Tree* kind = map.find("kind");
  if (kind == nullptr) return plan::LinkKind::model;
  const auto which = c.choice(*kind, map.path("kind"), {"model", "point-to-point", "csma"});
  if (which.value_or(0) == 0) return plan::LinkKind::model;
  const bool csma = *which == 2;
  for (const auto& e : map.entries()) {
    const bool takes = e.key == "kind" || e.key == "delay" || e.key == "rate" || e.key == "length" || e.key == "mtu" ||
                       (e.key == "queue" && !csma);
    if (takes) continue;
    c.out.error(e.at, map.path(e.key),
                "a " + kind->text + " device of ns-3 has none; leave it out, or leave out `kind`");
  }
  map.need("delay", "5 ms");
  map.need("rate", "100 Mbit/s");
  return csma ? plan::LinkKind::csma : plan::LinkKind::point_to_point;
}

void add_link(Context& c, const Tree::Entry& e, const std::string& key) {
  std::string ends[2];
  bool one_way = false;
  const auto suffix = link_name(e.key, ends[0], ends[1], one_way);
  if (!suffix || one_way) {
    c.out.error(e.at, key, "is not a link; say its two harbours as `berlin -- hamburg: MODEL`");
    return;
  }
  Index at[2];
  for (int i = 0; i < 2; ++i) {
    const auto found = c.harbours.find(ends[i]);
    if (found == c.harbours.end()) {
      c.out.error(e.at, key, "no harbour \"" + ends[i] + "\"" + suggest(ends[i], c.harbour_names()));
      return;
    }
    at[i] = found->second;
  }
  if (at[0] == at[1]) {
    c.out.error(e.at, key, "joins " + ends[0] + " to itself; name two harbours");
    return;
  }
  const std::string name = ends[0] + "--" + ends[1] + *suffix;
  const std::string reverse = ends[1] + "--" + ends[0] + *suffix;
  if (c.links.contains(name) || c.links.contains(reverse)) {
    const Position first = c.link_at[c.links[c.links.contains(name) ? name : reverse]];
    c.out.error(e.at, key,
                "joins the same harbours as on line " + std::to_string(first.line) + "; for a second link say `" +
                    ends[0] + " -- " + ends[1] + " (second)`");
    return;
  }
  plan::Link link;
  link.name = name;
  link.a = c.edge[at[0]];
  link.b = c.edge[at[1]];
  link.distance_m = distance_between(c.plan.harbours[at[0]], c.plan.harbours[at[1]]);
  link.floor_ns = floor_of(link.distance_m);
  link.seed = draw64(c.plan.seed, name64("link"), name64(name)) >> 1;  // 63 bits: JSON readers with signed integers

  std::vector<std::string> models;
  for (const auto& [model_name, known] : c.models) models.push_back(model_name);
  LinkModel way[2];
  if (e.value.is_map()) {
    Map map(c, e.value, key, keys_with({"model", "length", "towards", "kind"}));
    link.kind = read_kind(c, map);
    const Tree* model = map.find("model");
    if (model == nullptr && map.find("delay") == nullptr && link.kind == plan::LinkKind::model) {
      c.out.error(e.value.at, map.path("model"), "is missing; valid: " + listed(models) + ", or give a `delay`");
    }
    if (model != nullptr) {
      if (const auto which = c.choice(*model, map.path("model"), models)) way[0] = c.models[models[*which]];
    }
    link.model = model != nullptr ? way[0].name : "custom";
    std::uint64_t length = 0;
    if (map.read("length", Unit::length, length)) {
      if (length < link.distance_m) {
        c.out.error(map.find("length")->at, map.path("length"),
                    "is shorter than the great circle of " + std::to_string(link.distance_m / 1000) + " km");
      } else {
        link.distance_m = length;
      }
    }
    read_impairments(c, map, way[0], nullptr);
    way[1] = way[0];
    if (const Tree* towards = map.find("towards")) {
      Map directions(c, *towards, map.path("towards"), {ends[0], ends[1]});
      for (const auto& d : directions.entries()) {
        if (d.key != ends[0] && d.key != ends[1]) continue;
        Map one(c, d.value, directions.path(d.key), kImpairmentKeys);
        read_impairments(c, one, way[d.key == ends[1] ? 0 : 1], nullptr);
      }
    }
  } else if (const auto which = c.choice(e.value, key, models)) {
    way[0] = way[1] = c.models[models[*which]];
    link.model = way[0].name;
  }
  if (link.model.empty()) link.model = "custom";
  for (int i = 0; i < 2; ++i) {
    finish_impairments(way[i]);
    plan::Impairments& x = i == 0 ? link.a_to_b : link.b_to_a;
    x = way[i].impairments;
    x.delay_ns = way[i].delay_ns +
                 static_cast<Ns>(static_cast<unsigned_int128>(way[i].delay_ps_per_km) * link.distance_m / 1'000'000);
    if (x.delay_ns < link.floor_ns && !c.out.error_on_line(e.at.line)) {
      c.out.error(e.at, key,
                  "its delay of " + show_time(x.delay_ns) + " is below the floor of " + show_time(link.floor_ns) +
                      " (" + std::to_string(link.distance_m / 1000) +
                      " km at two thirds of the speed of light); give it at least that");
    }
  }
  if (link.kind == plan::LinkKind::csma) {
    link.medium = static_cast<Index>(c.plan.media.size());
    c.plan.media.push_back({name, plan::LinkKind::csma, link.a, link.a_to_b.rate_bps, link.a_to_b.delay_ns, {}});
  }
  c.links.emplace(name, static_cast<Index>(c.plan.links.size()));
  c.plan.links.push_back(std::move(link));
  c.link_at.push_back(e.at);
}

}  // namespace

// The services' interfaces are set to what the narrowest uplink leaves beside the tunnel's headers.
void set_mtus(Context& c) {
  plan::Overlay& overlay = c.plan.overlay;
  std::uint32_t least = 0;
  Position at;
  for (std::size_t i = 0; i < c.plan.links.size(); ++i) {
    const plan::Link& l = c.plan.links[i];
    if (l.model == "veth") continue;
    const std::uint32_t mtu = std::min(l.a_to_b.mtu_bytes, l.b_to_a.mtu_bytes);
    if (least == 0 || mtu < least) at = c.link_at[i];
    least = least == 0 ? mtu : std::min(least, mtu);
  }
  if (least == 0) least = 1'500;
  constexpr std::uint32_t kHeaders = 40 + 20 + 8;  // frame, IPv4, UDP
  constexpr std::uint32_t kLeastFragment = 1'088;
  const std::uint32_t least_fragment = c.fragment_given ? c.plan.fragment_bytes : kLeastFragment;
  if (least < overlay.header_bytes + kHeaders + least_fragment) {
    c.out.error(at, "links",
                "an MTU of " + std::to_string(least) + " B has no room for fragments of " +
                    std::to_string(least_fragment) + " B with " + std::to_string(overlay.header_bytes + kHeaders) +
                    " B of headers");
    return;
  }
  overlay.inner_mtu_bytes = least - overlay.header_bytes;
  for (plan::Link& l : c.plan.links) {
    if (l.model == "veth") l.a_to_b.mtu_bytes = l.b_to_a.mtu_bytes = overlay.inner_mtu_bytes;
  }
}

void read_links(Context& c) {
  const Tree* node = nullptr;
  for (const auto& e : c.root.entries) {
    if (e.key == "links" && node == nullptr) node = &e.value;
  }
  if (node != nullptr) {
    Map map(c, *node, "links", {});
    for (const auto& e : map.entries()) add_link(c, e, map.path(e.key));
  }
  if (c.plan.harbours.size() < 2 || c.out.failed()) return;
  // A network split by construction: nothing would ever arrive across.
  const Paths paths(c.plan);
  std::vector<std::string> apart;
  for (Index h = 1; h < c.plan.harbours.size(); ++h) {
    if (paths.delay(0, h) < 0) apart.push_back(c.plan.harbours[h].name);
  }
  if (!apart.empty()) {
    c.out.error(
        node != nullptr ? node->at : c.root.at, "links",
        "the network is split: no way from " + c.plan.harbours[0].name + " to " + listed(apart) + "; add a link");
  }
}

}  // namespace portolan::compile
