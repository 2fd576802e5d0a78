// Stage: processes. A broker for each harbour and tenant, all brokers of a tenant in a full mesh; clients at home with
// the broker of their harbour.
#include <algorithm>

#include "scenarios/base/hash.hpp"
#include "scenarios/compile/context.hpp"

namespace portolan::compile {
namespace {

constexpr std::uint16_t kBrokerPort = 7400;
constexpr std::uint64_t kFirstClientId = 65'536;  // brokers count from 1, so their ids never meet
constexpr std::size_t kMaxProcesses = 60'000;
constexpr std::uint64_t kClientRate = 1'000'000'000;  // over the host's own loopback
const std::vector<std::string> kLimits = {"sim", "sim_client", "long", "long_client", "daemon", "thousand"};

const Tree* section(const Context& c, std::string_view name) {
  for (const auto& e : c.root.entries) {
    if (e.key == name) return &e.value;
  }
  return nullptr;
}

}  // namespace

void make_brokers(Context& c) {
  plan::Process defaults;
  defaults.kind = plan::ProcessKind::broker;
  defaults.port = kBrokerPort;
  defaults.limits = c.plan.harbours.size() > kMeshMost ? "thousand" : "sim";
  defaults.heartbeat_idle_ns = 100'000'000;
  defaults.detach_ns = 10'000'000'000;
  defaults.detach_bytes = 64u << 20;
  std::string limits_said;
  if (const Tree* node = section(c, "broker")) {
    Map map(c, *node, "broker", {"detach-after", "detach-bytes", "heartbeat", "client-heartbeat", "pacing", "limits"});
    map.read("detach-after", Unit::time, defaults.detach_ns);
    map.read("detach-bytes", Unit::size, defaults.detach_bytes);
    map.read("heartbeat", Unit::time, defaults.heartbeat_idle_ns);
    map.read("pacing", Unit::rate, defaults.send_rate_bps);
    for (const char* key : {"heartbeat", "client-heartbeat"}) {
      Ns idle = 0;
      if (map.read(key, Unit::time, idle) && (idle < 1'000'000 || idle > 10'000'000'000)) {
        c.out.error(map.find(key)->at, map.path(key), show_time(idle) + " is out of range; valid: 1 ms to 10 s");
      }
    }
    if (const Tree* limits = map.find("limits")) {
      if (const auto which = c.choice(*limits, "broker.limits", kLimits)) defaults.limits = kLimits[*which];
      limits_said = map.path("limits");
    }
  }
  for (Index t = 0; t < c.plan.tenants.size(); ++t) {
    for (Index h = 0; h < c.plan.harbours.size(); ++h) {
      if (c.service[h][t] == kNone) continue;
      plan::Process p = defaults;
      p.name = c.plan.nodes[c.service[h][t]].name + "/broker";
      p.node = c.service[h][t];
      p.tenant = t;
      p.id = c.plan.processes.size() + 1;
      c.processes.emplace(p.name, static_cast<Index>(c.plan.processes.size()));
      c.plan.processes.push_back(std::move(p));
      c.process_at.push_back({});
      c.limits_said.push_back(limits_said);
    }
  }
}

namespace {

std::optional<plan::Subscription> read_subscription(Context& c, const Tree& value, const std::string& key) {
  plan::Subscription s;
  const Tree* filter = &value;
  std::string filter_key = key;
  if (value.is_map()) {
    Map map(c, value, key, {"filter", "replay", "at", "until"});
    filter = map.need("filter", "ais/+/position");
    filter_key = map.path("filter");
    if (const Tree* replay = map.find("replay")) {
      s.replay =
          static_cast<plan::Replay>(c.choice(*replay, map.path("replay"), {"none", "last", "retained"}).value_or(0));
    }
    for (const char* which : {"at", "until"}) {
      Ns& to = std::string_view(which) == "at" ? s.at_ns : s.until_ns;
      if (map.read(which, Unit::time, to) && to > c.plan.duration_ns) {
        c.out.error(map.find(which)->at, map.path(which),
                    show_time(to) + " is after the end; the run lasts " + show_time(c.plan.duration_ns));
      }
    }
    if (s.until_ns != 0 && s.until_ns <= s.at_ns) {
      c.out.error(map.find("until")->at, map.path("until"), "must be later than `at`, " + show_time(s.at_ns));
    }
  }
  if (filter == nullptr) return std::nullopt;
  const auto text = c.word(*filter, filter_key);
  if (!text) return std::nullopt;
  if (!plan::filter_valid(*text)) {
    c.out.error(filter->at, filter_key,
                "\"" + *text +
                    "\" is not a topic filter; levels are joined by /, none is empty, "
                    "+ stands for one level and # for the rest, as in `ais/+/position` or `berth/#`");
    return std::nullopt;
  }
  s.filter = *text;
  return s;
}

// {harbour} and {hub} in a filter are the client's own.
std::string localised(const Context& c, std::string filter, Index harbour) {
  for (const auto& [word, name] : {std::pair<std::string, std::string>{"{harbour}", c.plan.harbours[harbour].name},
                                   {"{hub}", hub_name(c, harbour)}}) {
    for (auto at = filter.find(word); at != std::string::npos; at = filter.find(word))
      filter.replace(at, word.size(), name);
  }
  return filter;
}

void add_client(Context& c, const Tree::Entry& e, const std::string& key) {
  if (!valid_name(c, e.key, e.at, key)) return;
  if (c.harbours.contains(e.key) || c.tenants.contains(e.key)) {
    c.out.error(e.at, key,
                "is the name of a harbour or tenant too; choose another, so that faults can tell them apart");
    return;
  }
  Map map(c, e.value, key,
          {"at", "tenant", "count", "subscribe", "start", "pacing", "clock-offset", "limits", "access"});
  ClientEntry entry;
  entry.name = e.key;
  plan::Process base;
  base.kind = plan::ProcessKind::client;
  base.send_rate_bps = kClientRate;
  base.limits = "sim_client";
  base.heartbeat_idle_ns = 500'000'000;
  if (const Tree* broker = section(c, "broker"); broker != nullptr && broker->is_map()) {
    for (const auto& b : broker->entries) {
      if (b.key != "client-heartbeat" || !b.value.is_scalar()) continue;
      if (const auto idle = read_quantity(b.value.text, Unit::time)) base.heartbeat_idle_ns = *idle;
    }
  }
  map.read("pacing", Unit::rate, base.send_rate_bps);
  map.read("clock-offset", Unit::step, base.clock_offset_ns);
  if (const Tree* limits = map.find("limits")) {
    if (const auto which = c.choice(*limits, map.path("limits"), kLimits)) base.limits = kLimits[*which];
  }
  if (map.read("start", Unit::time, base.start_ns) && base.start_ns >= c.plan.duration_ns) {
    c.out.error(map.find("start")->at, map.path("start"),
                show_time(base.start_ns) + " is after the end; the run lasts " + show_time(c.plan.duration_ns));
  }
  if (const Tree* subscribe = map.find("subscribe")) {
    if (subscribe->is_list()) {
      for (const Tree& item : subscribe->items) {
        const auto s = read_subscription(c, item, map.path("subscribe"));
        if (!s) continue;
        for (const auto& other : base.subscriptions) {
          if (other.filter == s->filter && other.at_ns < (s->until_ns == 0 ? c.plan.duration_ns : s->until_ns) &&
              s->at_ns < (other.until_ns == 0 ? c.plan.duration_ns : other.until_ns)) {
            c.out.error(item.at, map.path("subscribe"),
                        "\"" + s->filter + "\" is subscribed twice at once; once is enough");
          }
        }
        base.subscriptions.push_back(*s);
      }
    } else if (const auto s = read_subscription(c, *subscribe, map.path("subscribe"))) {
      base.subscriptions.push_back(*s);
    }
  }
  std::optional<AccessUse> use;
  if (const Tree* access = map.find("access")) use = read_access_use(c, *access, map.path("access"));
  std::uint64_t copies = 1;
  if (const Tree* count = map.find("count")) copies = c.count(*count, map.path("count"), 1, 10'000).value_or(1);
  const auto tenants = c.tenant_list(map.find("tenant"), map.path("tenant"));
  const Tree* at = map.need("at", "all");
  const auto harbours = at != nullptr ? c.harbour_list(*at, map.path("at")) : std::vector<Index>();
  if (tenants.size() * harbours.size() * copies + c.plan.processes.size() > kMaxProcesses) {
    c.out.error(e.at, key, "makes more than " + std::to_string(kMaxProcesses) + " processes");
    return;
  }
  for (Index t : tenants) {
    for (Index h : harbours) {
      const Index node = c.service[h][t];
      if (node == kNone) {
        c.out.error(at->at, map.path("at"),
                    "tenant \"" + c.plan.tenants[t].name + "\" is not at " + c.plan.harbours[h].name +
                        "; add it to tenants." + c.plan.tenants[t].name + ".harbours");
        continue;
      }
      const Index broker = c.processes.at(c.plan.nodes[node].name + "/broker");
      for (std::uint64_t i = 0; i < copies; ++i) {
        plan::Process p = base;
        for (auto& s : p.subscriptions) s.filter = localised(c, s.filter, h);
        p.name = c.plan.nodes[node].name + "/" + e.key + (copies > 1 ? "-" + std::to_string(i + 1) : "");
        if (c.processes.contains(p.name)) {
          c.out.error(e.at, key, "makes a second process \"" + p.name + "\"; choose another name");
          continue;
        }
        p.node = use ? add_station(c, h, t, p.name, *use, e.at) : node;
        p.tenant = t;
        p.broker = broker;
        p.id = kFirstClientId + c.plan.processes.size();
        c.processes.emplace(p.name, static_cast<Index>(c.plan.processes.size()));
        entry.processes.push_back(static_cast<Index>(c.plan.processes.size()));
        c.plan.processes.push_back(std::move(p));
        c.process_at.push_back(e.at);
        c.limits_said.push_back(map.find("limits") != nullptr ? map.path("limits") : std::string());
      }
    }
  }
  c.clients.emplace(entry.name, std::move(entry));
}

}  // namespace

void read_clients(Context& c) {
  const Tree* node = section(c, "clients");
  if (node != nullptr) {
    Map map(c, *node, "clients", {});
    for (const auto& e : map.entries()) {
      if (!c.clients.contains(e.key)) add_client(c, e, map.path(e.key));
    }
  }
  // Ports count up on each host, so that a process is found by address and port.
  std::vector<std::uint16_t> next(c.plan.nodes.size(), kBrokerPort);
  for (auto& p : c.plan.processes) p.port = next[p.node]++;
}

std::vector<Index> resolve_processes(Context& c, const Tree& value, const std::string& key) {
  std::vector<Index> found;
  const auto text = c.word(value, key);
  if (!text) return found;
  std::vector<std::string> part;
  for (std::size_t from = 0; from <= text->size();) {
    const std::size_t to = std::min(text->find('/', from), text->size());
    part.push_back(text->substr(from, to - from));
    from = to + 1;
  }
  const auto entry = c.clients.find(part.back());
  const bool whole_entry = entry != c.clients.end();
  if (part.size() == 1 && whole_entry) return entry->second.processes;
  const auto matches = [&](Index i) {
    const plan::Process& p = c.plan.processes[i];
    const plan::Node& n = c.plan.nodes[p.node];
    if (c.plan.harbours[n.harbour].name != part[0]) return false;
    if (part.size() == 3 && c.plan.tenants[p.tenant].name != part[1]) return false;
    if (part.size() == 1) return true;
    if (part.size() == 2 && c.tenants.contains(part[1])) return c.plan.tenants[p.tenant].name == part[1];
    if (p.name.substr(p.name.rfind('/') + 1) == part.back()) return true;
    return whole_entry && std::binary_search(entry->second.processes.begin(), entry->second.processes.end(), i);
  };
  if (part.size() <= 3) {
    for (Index i = 0; i < c.plan.processes.size(); ++i) {
      if (matches(i)) found.push_back(i);
    }
  }
  if (!found.empty()) return found;
  std::vector<std::string> choices;
  for (const auto& h : c.plan.harbours) choices.push_back(h.name);
  for (const auto& [name, client] : c.clients) choices.push_back(name);
  if (part.size() > 1) {
    choices.clear();
    const bool known = c.harbours.contains(part[0]);
    for (const auto& p : c.plan.processes) {
      if (!known || p.name.starts_with(part[0] + "/"))
        choices.push_back(part.size() == 2 ? p.name.substr(0, p.name.find('/')) + p.name.substr(p.name.rfind('/'))
                                           : p.name);
    }
    std::sort(choices.begin(), choices.end());
    choices.erase(std::unique(choices.begin(), choices.end()), choices.end());
  }
  c.out.error(value.at, key,
              "no process \"" + *text + "\" (HARBOUR, CLIENT, HARBOUR/CLIENT, HARBOUR/broker or HARBOUR/TENANT/...)" +
                  suggest(*text, choices));
  return found;
}

}  // namespace portolan::compile
