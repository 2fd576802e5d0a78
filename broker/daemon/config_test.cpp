#include "broker/daemon/config.hpp"

#include <gtest/gtest.h>

namespace portolan::daemon {
namespace {

constexpr const char* kRight = R"(
id: 1
name: hamburg
listen: ["127.0.0.1:7400", "[::1]:7400"]
security: plain
limits: sim
heartbeat: {brokers: 50 ms, clients: 1 s}
rate: 100 Mbit/s
fragment: 1088 B
detach: {after: 3 s, bytes: 1 MiB}
drain: 2 s
peers:
  - {id: 2, name: rotterdam, address: "127.0.0.2:7400"}
  - {id: 3, address: "far.example:7400", role: standby-leaf}
topics:
  - {filter: crane/+/load, retain: 5 s, retain-bytes: 8 MiB, lane: bulk}
  - {filter: "#"}
log: {level: debug, form: json}
metrics: {listen: "127.0.0.1:9464"}
)";

std::string first_message(const std::string& text) {
  const ReadConfig read = parse_config(text, "f.yaml");
  EXPECT_FALSE(read.config) << text;
  return read.messages.empty() ? "" : read.messages.front();
}

std::string replaced(const std::string& what, const std::string& by) {
  std::string text = kRight;
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), by);
}

TEST(Config, reads_every_key) {
  const ReadConfig read = parse_config(kRight, "f.yaml");
  ASSERT_TRUE(read.config) << (read.messages.empty() ? "" : read.messages[0]);
  const Config& c = *read.config;
  EXPECT_EQ(c.id, 1u);
  EXPECT_EQ(c.name, "hamburg");
  ASSERT_EQ(c.listen.size(), 2u);
  EXPECT_TRUE(c.listen[1].v6());
  EXPECT_EQ(c.limits.sessions, broker::Limits::sim().sessions);
  EXPECT_EQ(c.heartbeat_brokers_ns, 50'000'000u);
  EXPECT_EQ(c.heartbeat_clients_ns, 1'000'000'000u);
  EXPECT_EQ(c.rate_bps, 100'000'000u);
  EXPECT_EQ(c.fragment_bytes, 1'088u);
  EXPECT_EQ(c.detach_ns, 3'000'000'000u);
  EXPECT_EQ(c.detach_bytes, 1u << 20);
  EXPECT_EQ(c.drain_ns, 2'000'000'000u);
  ASSERT_EQ(c.peers.size(), 2u);
  EXPECT_EQ(c.peers[0].role, broker::PeerRole::mesh);
  EXPECT_EQ(c.peers[1].role, broker::PeerRole::standby_leaf);
  ASSERT_EQ(c.topics.size(), 2u);
  EXPECT_EQ(c.topics[0].lane, broker::Lane::bulk);
  EXPECT_EQ(c.topics[0].retain_bytes, 8u << 20);
  EXPECT_EQ(c.topics[1].lane, broker::Lane::realtime);
  EXPECT_EQ(c.log.level, "debug");
  EXPECT_TRUE(c.log.json);
  EXPECT_EQ(c.metrics_listen, "127.0.0.1:9464");
}

TEST(Config, tells_where_and_what_would_be_right) {
  struct Case {
    const char *what, *by, *message;
  };
  for (const Case& c : {
           Case{"\nid: 1\n", "\nidd: 1\n", "f.yaml:2:1: idd: unknown key; did you mean \"id\"?"},
           Case{"\nid: 1\n", "\n", "f.yaml:2:1: id: is missing; say `id: 1`"},
           Case{"\nid: 1\n", "\nid: 0\n", "f.yaml:2:5: id: 0 is out of range; valid: 1 to "},
           Case{"security: plain", "security: none", "f.yaml:5:11: security: unknown value \"none\"; valid: plain"},
           Case{"security: plain\n", "", "f.yaml:2:1: security: is missing; say `security: plain`"},
           Case{"127.0.0.1:7400", "localhost",
                "f.yaml:4:10: listen: \"localhost\" is not an address; say ADDRESS:PORT"},
           Case{"limits: sim", "limits: simm", "f.yaml:6:9: limits: unknown value \"simm\"; did you mean \"sim\"?"},
           Case{"50 ms", "50", "f.yaml:7:22: heartbeat.brokers: the bare number 50 needs a unit"},
           Case{"50 ms", "1 ms", "f.yaml:7:22: heartbeat.brokers: is out of range; valid: 10 ms to 10 s"},
           Case{"1088 B", "1000 B", "f.yaml:9:11: fragment: is out of range; valid: multiples of 64 B"},
           Case{"id: 3", "id: 1", "f.yaml:14:10: peers[1].id: 1 is this broker's own id"},
           Case{"id: 3", "id: 2", "f.yaml:14:10: peers[1].id: 2 is named twice"},
           Case{"far.example:7400", "far.example", "f.yaml:14:22: peers[1].address: \"far.example\" has no port"},
           Case{"standby-leaf", "leafy",
                "f.yaml:14:48: peers[1].role: unknown value \"leafy\"; did you mean \"leaf\"?"},
           Case{"crane/+/load", "crane//load", "f.yaml:16:14: topics[0].filter: \"crane//load\" is no filter"},
           Case{"json", "jason", "f.yaml:18:27: log.form: unknown value \"jason\"; did you mean \"json\"?"},
           Case{"\"127.0.0.1:9464\"", "here", "f.yaml:19:19: metrics.listen: \"here\" is not an address"},
           Case{"listen: \"127.0.0.1:9464\"", "",
                "f.yaml:19:10: metrics.listen: is missing; say `listen: 127.0.0.1:9464`"},
       }) {
    const std::string message = first_message(replaced(c.what, c.by));
    EXPECT_EQ(message.substr(0, std::string(c.message).size()), c.message) << message;
  }
}

TEST(Config, an_empty_or_absent_file_says_what_to_do) {
  EXPECT_NE(first_message("").find("needs at least id, listen and security"), std::string::npos);
  const ReadConfig none = read_config("/no/such/file.yaml");
  ASSERT_EQ(none.messages.size(), 1u);
  EXPECT_EQ(none.messages[0].rfind("/no/such/file.yaml: cannot be opened", 0), 0u) << none.messages[0];
}

TEST(Config, more_peers_than_the_limits_hold_are_refused) {
  std::string text = "id: 1\nlisten: 127.0.0.1:1\nsecurity: plain\nlimits: thousand\npeers:\n";
  for (int i = 2; i < 5; ++i)
    text += "  - {id: " + std::to_string(i) + ", address: 127.0.0.1:" + std::to_string(i) + "}\n";
  EXPECT_NE(first_message(text).find("3 peers, but limits \"thousand\" holds 2"), std::string::npos);
}

TEST(Config, says_what_needs_a_restart) {
  const Config running = *parse_config(kRight, "f").config;
  EXPECT_TRUE(needs_restart(running, running).empty());
  EXPECT_TRUE(needs_restart(running, *parse_config(replaced("level: debug", "level: info"), "f").config).empty());
  struct Case {
    const char *what, *by, *key;
  };
  for (const Case& c :
       {Case{"\nid: 1\n", "\nid: 9\n", "id"}, Case{"127.0.0.1:7400", "127.0.0.1:7401", "listen"},
        Case{"limits: sim", "limits: daemon", "limits"}, Case{"50 ms", "60 ms", "heartbeat"},
        Case{"100 Mbit/s", "90 Mbit/s", "rate"}, Case{"1088 B", "1280 B", "fragment"}, Case{"1 MiB", "2 MiB", "detach"},
        Case{"127.0.0.2:7400", "127.0.0.3:7400", "peers"}, Case{"retain: 5 s", "retain: 6 s", "topics"},
        Case{"drain: 2 s", "drain: 2 s\ncontrol: /tmp/c", "control"}, Case{"json", "text", "log.form"},
        Case{"9464", "9465", "metrics"}}) {
    const auto next = parse_config(replaced(c.what, c.by), "f");
    ASSERT_TRUE(next.config) << c.by << next.messages[0];
    EXPECT_EQ(needs_restart(running, *next.config), std::vector<std::string>{c.key});
  }
}

}  // namespace
}  // namespace portolan::daemon
