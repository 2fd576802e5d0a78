#include "scenarios/compile/context.hpp"

#include <sodium.h>

#include <algorithm>
#include <queue>
#include <set>

#include "scenarios/base/exact.hpp"
#include "scenarios/base/hash.hpp"

namespace portolan::compile {

std::string sha256_hex(std::string_view bytes) {
  unsigned char hash[crypto_hash_sha256_BYTES];
  crypto_hash_sha256(hash, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  char hex[2 * sizeof hash + 1];
  sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
  return hex;
}

Ns floor_of(std::uint64_t distance_m) {
  // d / (2/3 c) seconds = d * 3e9 / (2 * 299792458) nanoseconds.
  return static_cast<Ns>(static_cast<unsigned_int128>(distance_m) * 3'000'000'000u / 599'584'916u);
}

std::uint64_t distance_between(const plan::Harbour& a, const plan::Harbour& b) {
  const auto point = [](const plan::Harbour& h) {
    return exact::Point{static_cast<double>(h.lat_udeg) / 1e6, static_cast<double>(h.lon_udeg) / 1e6};
  };
  return static_cast<std::uint64_t>(exact::great_circle_m(point(a), point(b)));
}

std::string show_address(std::uint32_t a) {
  return std::to_string(a >> 24) + "." + std::to_string(a >> 16 & 255) + "." + std::to_string(a >> 8 & 255) + "." +
         std::to_string(a & 255);
}

std::vector<std::string> Context::harbour_names() const {
  std::vector<std::string> names;
  for (const auto& h : plan.harbours) names.push_back(h.name);
  return names;
}

std::optional<Index> Context::harbour(const Tree& value, const std::string& key) {
  const auto name = word(value, key);
  if (!name) return std::nullopt;
  const auto found = harbours.find(*name);
  if (found != harbours.end()) return found->second;
  out.error(value.at, key, "no harbour \"" + *name + "\"" + suggest(*name, harbour_names()));
  return std::nullopt;
}

std::vector<Index> Context::harbour_list(const Tree& value, const std::string& key) {
  std::vector<Index> list;
  if (value.is_scalar() && value.text == "all") {
    for (Index i = 0; i < plan.harbours.size(); ++i) list.push_back(i);
    return list;
  }
  std::set<Index> seen;
  for (const Tree* item : one_or_more(value, key)) {
    const auto h = harbour(*item, key);
    if (!h) continue;
    if (seen.insert(*h).second) {
      list.push_back(*h);
    } else {
      out.error(item->at, key, "harbour \"" + item->text + "\" is named twice; once is enough");
    }
  }
  return list;
}

std::vector<Index> Context::tenant_list(const Tree* value, const std::string& key) {
  std::vector<Index> list;
  if (value == nullptr) {
    for (Index i = 0; i < plan.tenants.size(); ++i) list.push_back(i);
    return list;
  }
  std::vector<std::string> names;
  for (const auto& t : plan.tenants) names.push_back(t.name);
  for (const Tree* item : one_or_more(*value, key)) {
    const auto found = tenants.find(item->text);
    if (found == tenants.end()) {
      out.error(item->at, key, "no tenant \"" + item->text + "\"" + suggest(item->text, names));
    } else if (std::find(list.begin(), list.end(), found->second) != list.end()) {
      out.error(item->at, key, "tenant \"" + item->text + "\" is named twice; once is enough");
    } else {
      list.push_back(found->second);
    }
  }
  return list;
}

std::optional<std::string> Context::input_file(const Tree& value, const std::string& key) {
  constexpr std::size_t kMaxInputBytes = std::size_t{64} << 20;
  const auto name = word(value, key);
  if (!name) return std::nullopt;
  if (name->front() == '/') {
    out.error(value.at, key, "\"" + *name + "\" is absolute; name it relative to the scenario's folder");
    return std::nullopt;
  }
  std::string why;
  auto text = read::read_file(folder + *name, kMaxInputBytes, why);
  if (!text) {
    out.error(value.at, key, "\"" + *name + "\" " + why + "; paths are relative to the scenario's folder");
    return std::nullopt;
  }
  input_hashes[*name] = sha256_hex(*text);
  return text;
}

Paths::Paths(const plan::Plan& plan) : plan_(plan) {
  const std::size_t n = plan.harbours.size();
  struct Edge {
    Index to = 0;
    Ns delay = 0;
    Step step;
  };
  std::vector<std::vector<Edge>> out(n);
  for (Index i = 0; i < plan.links.size(); ++i) {
    const plan::Link& l = plan.links[i];
    if (plan.nodes[l.a].kind != plan::NodeKind::edge || plan.nodes[l.b].kind != plan::NodeKind::edge) continue;
    const Index a = plan.nodes[l.a].harbour;
    const Index b = plan.nodes[l.b].harbour;
    out[a].push_back({b, l.a_to_b.delay_ns, {i, true}});
    out[b].push_back({a, l.b_to_a.delay_ns, {i, false}});
  }
  delay_.assign(n, std::vector<Ns>(n, -1));
  last_.assign(n, std::vector<Step>(n));
  for (Index from = 0; from < n; ++from) {
    using At = std::pair<Ns, Index>;
    std::priority_queue<At, std::vector<At>, std::greater<>> open;
    std::vector<bool> done(n, false);
    delay_[from][from] = 0;
    open.push({0, from});
    while (!open.empty()) {
      const Index here = open.top().second;
      open.pop();
      if (done[here]) continue;
      done[here] = true;
      for (const Edge& e : out[here]) {
        const Ns there = delay_[from][here] + e.delay;
        // Equal paths: the first found stays, in the plan's order, so that the choice is the same everywhere.
        if (delay_[from][e.to] >= 0 && delay_[from][e.to] <= there) continue;
        delay_[from][e.to] = there;
        last_[from][e.to] = e.step;
        open.push({there, e.to});
      }
    }
  }
}

std::uint64_t Paths::rate_bps(const plan::Impairments& x) {
  if (x.rate_trace_ms.empty()) return x.rate_bps;
  return static_cast<std::uint64_t>(static_cast<unsigned_int128>(x.rate_trace_ms.size()) * 12'000 * 1'000'000'000 /
                                    static_cast<std::uint64_t>(x.rate_trace_period_ns));
}

std::vector<Paths::Step> Paths::path(Index from, Index to) const {
  std::vector<Step> steps;
  if (delay_[from][to] < 0) return steps;
  while (to != from) {
    const Step step = last_[from][to];
    const plan::Link& l = plan_.links[step.link];
    steps.push_back(step);
    to = plan_.nodes[step.forward ? l.a : l.b].harbour;
  }
  std::reverse(steps.begin(), steps.end());
  return steps;
}

}  // namespace portolan::compile
