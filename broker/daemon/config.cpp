#include "broker/daemon/config.hpp"

#include <algorithm>

#include "broker/wire/control.hpp"

namespace portolan::daemon {

namespace {

using read::Map;
using read::Tree;
using read::Unit;

const std::vector<std::string> kTop = {"id",    "name",        "listen", "security", "limits", "heartbeat",
                                       "rate",  "fragment",    "detach", "drain",    "peers",  "topics",
                                       "state", "incarnation", "log",    "metrics",  "record", "control"};
const std::vector<std::string> kLimits = {"daemon", "sim", "long", "thousand", "thousand_hub"};
const std::vector<std::string> kRoles = {"mesh", "hub", "standby", "leaf", "standby-leaf"};
const std::vector<std::string> kLanes = {"ordered", "realtime", "bulk"};
const std::vector<std::string> kLevels = {"trace", "debug", "info", "warning", "error"};
constexpr std::uint64_t kIdMost = 0x7FFF'FFFF'FFFF'FFFF;

class ConfigReader {
 public:
  ConfigReader(read::Reader& reader, const Tree& root) : r_(reader), top_(reader, root, "", kTop) {}

  Config read() {
    who();
    listen();
    sessions();
    if (const Tree* peers = top_.find("peers")) read_peers(*peers);
    if (const Tree* topics = top_.find("topics")) read_topics(*topics);
    log();
    metrics();
    if (const Tree* record = top_.find("record")) read_record(*record);
    return std::move(c_);
  }

 private:
  void who() {
    if (const Tree* id = top_.need("id", "1")) c_.id = r_.count(*id, "id", 1, kIdMost).value_or(0);
    if (const Tree* name = top_.find("name")) c_.name = r_.word(*name, "name").value_or("");
    if (c_.name.empty()) c_.name = "broker-" + std::to_string(c_.id);
    if (const Tree* state = top_.find("state")) c_.state = r_.word(*state, "state").value_or("");
    if (const Tree* i = top_.find("incarnation")) {
      c_.incarnation = static_cast<std::uint32_t>(r_.count(*i, "incarnation", 1, 0xFFFF'FFFF).value_or(0));
    }
    if (const Tree* control = top_.find("control")) c_.control = r_.word(*control, "control").value_or("");
    // Without keys anybody is anybody: nothing but the word itself may choose that.
    if (const Tree* security = top_.need("security", "plain")) r_.choice(*security, "security", {"plain"});
  }

  void listen() {
    const Tree* value = top_.need("listen", "[\"0.0.0.0:7400\", \"[::]:7400\"]");
    if (value == nullptr) return;
    for (const Tree* item : r_.one_or_more(*value, "listen")) {
      const auto address = udp::Address::parse(item->text);
      if (!address) {
        r_.out.error(item->at, "listen", address.error().cause);
      } else if (std::find(c_.listen.begin(), c_.listen.end(), *address) != c_.listen.end()) {
        r_.out.error(item->at, "listen", item->text + " is named twice; once is enough");
      } else {
        c_.listen.push_back(*address);
      }
    }
    if (c_.listen.size() > 16) r_.out.error(value->at, "listen", "more than 16 addresses");
  }

  void sessions() {
    if (const Tree* limits = top_.find("limits")) {
      if (const auto which = r_.choice(*limits, "limits", kLimits)) {
        c_.limits_name = kLimits[*which];
        broker::Limits::by_name(c_.limits_name, c_.limits);
      }
    }
    if (const Tree* heartbeat = top_.find("heartbeat")) {
      const Map map(r_, *heartbeat, "heartbeat", {"brokers", "clients"});
      map.read("brokers", Unit::time, c_.heartbeat_brokers_ns);
      map.read("clients", Unit::time, c_.heartbeat_clients_ns);
      for (const char* key : {"brokers", "clients"}) {
        const std::uint64_t ns = key[0] == 'b' ? c_.heartbeat_brokers_ns : c_.heartbeat_clients_ns;
        if (ns >= 10'000'000 && ns <= 10'000'000'000) continue;
        const Tree* at = map.find(key);
        r_.out.error(at == nullptr ? map.at() : at->at, map.path(key), "is out of range; valid: 10 ms to 10 s");
      }
    }
    top_.read("rate", Unit::rate, c_.rate_bps);
    if (top_.read("fragment", Unit::size, c_.fragment_bytes)) {
      if (c_.fragment_bytes < 1'088 || c_.fragment_bytes > 4'032 || c_.fragment_bytes % 64 != 0) {
        r_.out.error(top_.find("fragment")->at, "fragment",
                     "is out of range; valid: multiples of 64 B, 1088 B to 4032 B");
      }
    }
    if (const Tree* detach = top_.find("detach")) {
      const Map map(r_, *detach, "detach", {"after", "bytes"});
      map.read("after", Unit::time, c_.detach_ns);
      map.read("bytes", Unit::size, c_.detach_bytes);
    }
    top_.read("drain", Unit::time, c_.drain_ns);
  }

  void read_peers(const Tree& list) {
    if (!list.is_list()) {
      r_.out.error(list.at, "peers", "must be a list; say `- {id: 2, address: 192.0.2.7:7400}` for each other broker");
      return;
    }
    for (const Tree& item : list.items) {
      const std::string path = "peers[" + std::to_string(c_.peers.size()) + "]";
      const Map map(r_, item, path, {"id", "name", "address", "role"});
      Peer peer;
      if (const Tree* id = map.need("id", "2")) peer.id = r_.count(*id, map.path("id"), 1, kIdMost).value_or(0);
      if (const Tree* name = map.find("name")) peer.name = r_.word(*name, map.path("name")).value_or("");
      if (const Tree* role = map.find("role")) {
        peer.role = static_cast<broker::PeerRole>(r_.choice(*role, map.path("role"), kRoles).value_or(0));
      }
      if (const Tree* address = map.need("address", "192.0.2.7:7400")) {
        peer.address = r_.word(*address, map.path("address")).value_or("");
        // A name is resolved at start; what cannot be one is told here.
        if (peer.address.rfind(':') == std::string::npos || peer.address.back() == ':') {
          r_.out.error(address->at, map.path("address"), "\"" + peer.address + "\" has no port; say HOST:PORT");
        }
      }
      check_peer(map, peer);
      c_.peers.push_back(std::move(peer));
    }
    if (c_.peers.size() > c_.limits.peers) {
      r_.out.error(list.at, "peers",
                   std::to_string(c_.peers.size()) + " peers, but limits \"" + c_.limits_name + "\" holds " +
                       std::to_string(c_.limits.peers) + "; use hubs beyond 64 harbours");
    }
  }

  void check_peer(const Map& map, const Peer& peer) {
    const Tree* id = map.find("id");
    if (id == nullptr || peer.id == 0) return;
    if (peer.id == c_.id) {
      r_.out.error(id->at, map.path("id"), std::to_string(peer.id) + " is this broker's own id; name the others only");
    }
    for (const Peer& other : c_.peers) {
      if (other.id != peer.id) continue;
      r_.out.error(id->at, map.path("id"),
                   std::to_string(peer.id) + " is named twice; each broker has an id of its own");
    }
  }

  void read_topics(const Tree& list) {
    if (!list.is_list()) {
      r_.out.error(list.at, "topics",
                   "must be a list; say `- {filter: ais/#, retain: 5 s}`, first that matches counts");
      return;
    }
    for (const Tree& item : list.items) {
      const std::string path = "topics[" + std::to_string(c_.topics.size()) + "]";
      const Map map(r_, item, path, {"filter", "lane", "retain", "retain-bytes"});
      Topic topic;
      if (const Tree* filter = map.need("filter", "ais/#")) {
        topic.filter = r_.word(*filter, map.path("filter")).value_or("");
        if (!topic.filter.empty() && !broker::wire::valid_filter(topic.filter)) {
          r_.out.error(
              filter->at, map.path("filter"),
              "\"" + topic.filter + "\" is no filter; levels between /, none empty, + for one, # for the rest");
        }
      }
      if (const Tree* lane = map.find("lane")) {
        topic.lane = static_cast<broker::Lane>(1 + r_.choice(*lane, map.path("lane"), kLanes).value_or(1));
      }
      map.read("retain", Unit::time, topic.retain_ns);
      map.read("retain-bytes", Unit::size, topic.retain_bytes);
      c_.topics.push_back(std::move(topic));
    }
    if (c_.topics.size() > 1'024) r_.out.error(list.at, "topics", "more than 1024 rules");
  }

  void metrics() {
    const Tree* value = top_.find("metrics");
    if (value == nullptr) return;
    const Map map(r_, *value, "metrics", {"listen"});
    const Tree* at = map.need("listen", "127.0.0.1:9464");
    if (at == nullptr) return;
    c_.metrics_listen = r_.word(*at, map.path("listen")).value_or("");
    if (const auto address = udp::Address::parse(c_.metrics_listen); !address) {
      r_.out.error(at->at, map.path("listen"), address.error().cause);
    }
  }

  void log() {
    const Tree* value = top_.find("log");
    if (value == nullptr) return;
    const Map map(r_, *value, "log", {"level", "form"});
    if (const Tree* level = map.find("level")) {
      c_.log.level = kLevels[r_.choice(*level, "log.level", kLevels).value_or(2)];
    }
    if (const Tree* form = map.find("form")) c_.log.json = r_.choice(*form, "log.form", {"text", "json"}) == 1u;
  }

  void read_record(const Tree& value) {
    const Map map(r_, value, "record", {"file", "process", "node", "name", "seed", "plan", "epoch"});
    Record record;
    const auto number = [&](const char* key, std::uint64_t most) {
      const Tree* n = map.need(key, "0");
      return n == nullptr ? 0 : r_.count(*n, map.path(key), 0, most).value_or(0);
    };
    const auto text = [&](const char* key, const char* example) {
      const Tree* t = map.need(key, example);
      return t == nullptr ? std::string() : r_.word(*t, map.path(key)).value_or("");
    };
    record.file = text("file", "records/hamburg.1.audit.rec");
    record.process_name = text("name", "hamburg/broker");
    record.plan_sha256 = text("plan", "the SHA-256 of plan.json");
    record.process = static_cast<std::uint32_t>(number("process", 0xFFFF'FFFE));
    record.node = static_cast<std::uint32_t>(number("node", 0xFFFF'FFFE));
    record.seed = number("seed", kIdMost);
    record.epoch_ns = number("epoch", kIdMost);
    c_.record = std::move(record);
  }

  read::Reader& r_;
  Map top_;
  Config c_;
};

}  // namespace

ReadConfig parse_config(const std::string& text, const std::string& file) {
  ReadConfig out;
  read::Diagnostics diagnostics(file);
  const auto tree = read::parse_yaml(text, diagnostics, {"a configuration", "id, listen and security"});
  if (tree) {
    read::Reader reader{diagnostics};
    Config config = ConfigReader(reader, *tree).read();
    if (!diagnostics.failed()) out.config = std::move(config);
  }
  out.messages = diagnostics.lines();
  return out;
}

ReadConfig read_config(const std::string& path) {
  std::string why;
  const auto text = read::read_file(path, std::size_t{1} << 20, why);
  if (text) return parse_config(*text, path);
  ReadConfig out;
  out.messages.push_back(path + ": " + why + "; name a configuration file, such as portolan-broker.yaml");
  return out;
}

std::vector<std::string> needs_restart(const Config& running, const Config& next) {
  std::vector<std::string> keys;
  const auto differ = [&keys](const char* key, bool differs) {
    if (differs) keys.emplace_back(key);
  };
  const auto peers = [](const Config& c) {
    std::vector<std::string> all;
    for (const Peer& p : c.peers) {
      all.push_back(std::to_string(p.id) + " " + p.address + " " + std::to_string(static_cast<int>(p.role)) + " " +
                    p.name);
    }
    return all;
  };
  const auto topics = [](const Config& c) {
    std::vector<std::string> all;
    for (const Topic& t : c.topics) {
      all.push_back(t.filter + " " + std::to_string(static_cast<int>(t.lane)) + " " + std::to_string(t.retain_ns) +
                    " " + std::to_string(t.retain_bytes));
    }
    return all;
  };
  differ("id", running.id != next.id);
  differ("listen", running.listen != next.listen);
  differ("security", running.security != next.security);
  differ("limits", running.limits_name != next.limits_name);
  differ("heartbeat", running.heartbeat_brokers_ns != next.heartbeat_brokers_ns ||
                          running.heartbeat_clients_ns != next.heartbeat_clients_ns);
  differ("rate", running.rate_bps != next.rate_bps);
  differ("fragment", running.fragment_bytes != next.fragment_bytes);
  differ("detach", running.detach_ns != next.detach_ns || running.detach_bytes != next.detach_bytes);
  differ("peers", peers(running) != peers(next));
  differ("topics", topics(running) != topics(next));
  differ("state", running.state != next.state);
  differ("incarnation", running.incarnation != next.incarnation);
  differ("metrics", running.metrics_listen != next.metrics_listen);
  differ("control", running.control != next.control);
  differ("log.form", running.log.json != next.log.json);
  return keys;
}

}  // namespace portolan::daemon
