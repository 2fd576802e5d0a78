// The head's `convergence`: one constant, or three parts, each a constant, a spread or one of the named ones.
#include <span>

#include "scenarios/compile/context.hpp"

namespace portolan::compile {
namespace {

using plan::JitterKind;
using plan::Spread;

constexpr Ns us = 1'000;
constexpr Ns ms = 1'000'000;
constexpr Ns s = 1'000'000'000;

struct Named {
  const char* name;
  Spread spread;
};
// Detection: the interface tells (carrier); BFD with three packets missed, 50 ms apart, each up to a quarter early (RFC
// 5880, 6.8.7); BGP's hold time of 90 s, keepalives each 30 s (RFC 4271). Propagation: an iBGP update through a route
// reflector; eBGP with an advertisement interval of 5 s (RFC 4271, 9.2.1.1). Install: into the kernel's table, or into
// a router's hardware with many routes.
const Named kDetection[] = {{"carrier", {1 * ms, {JitterKind::uniform, 9 * ms, 9 * ms}}},
                            {"bfd", {112'500 * us, {JitterKind::uniform, 37'500 * us, 37'500 * us}}},
                            {"bgp-hold", {60 * s, {JitterKind::uniform, 30 * s, 30 * s}}}};
const Named kPropagation[] = {{"ibgp", {5 * ms, {JitterKind::exponential, 10 * ms, 100 * ms}}},
                              {"ebgp", {20 * ms, {JitterKind::uniform, 5 * s, 5 * s}}}};
const Named kInstall[] = {{"kernel", {1 * ms, {JitterKind::exponential, 2 * ms, 20 * ms}}},
                          {"hardware", {50 * ms, {JitterKind::uniform, 150 * ms, 150 * ms}}}};

void read_part(Context& c, const Tree& value, const std::string& key, std::span<const Named> named, Spread& to) {
  std::vector<std::string> names;
  for (const Named& n : named) names.emplace_back(n.name);
  if (value.is_scalar() && !value.text.empty() && value.text.front() >= 'a') {
    if (const auto which = c.choice(value, key, names)) to = named[*which].spread;
    return;
  }
  if (!value.is_map()) {
    const auto time = c.quantity(value, key, Unit::time);
    if (time) to = {*time, {}};
    return;
  }
  Map map(c, value, key, {"least", "uniform", "exponential", "normal", "max"});
  map.read("least", Unit::time, to.least_ns);
  int said = 0;
  for (const auto& [name, kind] : {std::pair{"uniform", JitterKind::uniform},
                                   {"exponential", JitterKind::exponential},
                                   {"normal", JitterKind::normal}}) {
    if (map.find(name) == nullptr) continue;
    ++said;
    to.more.kind = kind;
    map.read(name, Unit::time, to.more.scale_ns);
  }
  if (said != 1) {
    c.out.error(
        value.at, key,
        "needs exactly one of uniform, exponential, normal; say one such as `{least: 5 ms, exponential: 10 ms}`");
    return;
  }
  to.more.max_ns = to.more.kind == JitterKind::uniform ? to.more.scale_ns : 10 * to.more.scale_ns;
  map.read("max", Unit::time, to.more.max_ns);
}

}  // namespace

void read_convergence(Context& c, const Map& top) {
  plan::Convergence& parts = c.plan.convergence;
  parts.detection.least_ns = 1 * s;
  const Tree* value = top.find("convergence");
  if (value != nullptr && value->is_map()) {
    parts = {};
    Map map(c, *value, "convergence", {"detection", "propagation", "install"});
    if (const Tree* part = map.need("detection", "bfd")) {
      read_part(c, *part, "convergence.detection", kDetection, parts.detection);
    }
    if (const Tree* part = map.need("propagation", "ibgp")) {
      read_part(c, *part, "convergence.propagation", kPropagation, parts.propagation);
    }
    if (const Tree* part = map.need("install", "kernel")) {
      read_part(c, *part, "convergence.install", kInstall, parts.install);
    }
  } else if (value != nullptr) {
    top.read("convergence", Unit::time, parts.detection.least_ns);
  }
  c.plan.convergence_ns = 0;
  for (const Spread& part : {parts.detection, parts.propagation, parts.install}) {
    c.plan.convergence_ns += part.least_ns + part.more.max_ns;
  }
}

}  // namespace portolan::compile
