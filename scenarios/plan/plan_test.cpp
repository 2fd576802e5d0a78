#include "scenarios/plan/plan.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "scenarios/plan/json_schema.hpp"

namespace portolan::plan {
namespace {

// Every array has at least one element and every field another value than its default, so that a field forgotten in
// the reader or the writer shows.
Plan full_plan() {
  Plan p;
  p.name = "test";
  p.title = "Ein Plan für die Prüfung";
  p.scenario_sha256 = std::string(64, 'a');
  p.seed = 0x7FFFFFFFFFFFFFFFull;
  p.duration_ns = 5'000'000'000;
  p.settle_ns = 1;
  p.drain_ns = 2;
  p.convergence_ns = 3;
  p.fragment_bytes = 1088;
  p.harbours = {{"a", 52'520'000, 13'400'000, true}, {"b", -1, -2, false}};
  p.tenants = {{"blue", 100, "10.0.0.0/16"}};
  p.nodes = {{"a/edge", NodeKind::edge, 0, kNone, "172.16.0.1", 7},
             {"a/blue", NodeKind::service, 0, 0, "10.0.0.1", 8},
             {"b/blue", NodeKind::service, 1, 0, "10.0.1.1", 9}};
  Impairments x;
  x.delay_ns = 1;
  x.jitter = {JitterKind::normal, 2, 3};
  x.loss = {LossKind::gilbert_elliott, 4, 5, 6, 7};
  x.rate_bps = 8;
  x.queue = {QueueKind::codel, 9, 10, 11};
  x.reorder = 12;
  x.reorder_ns = 13;
  x.duplicate = 14;
  x.delay_trace = {{15, 16}, {17, 18}};
  x.delay_trace_period_ns = 19;
  x.rate_trace_ms = {1, 2, 2};
  x.rate_trace_period_ns = 2'000'000;
  p.links = {{"a--b", 0, 1, "veth", 20, 21, x, Impairments{}, 22}};
  Process broker{"a/blue/broker", ProcessKind::broker, 1, 0, 1, 4000, kNone, {1}, 23, "sim", 24, 25, 26, 27, {}, -28};
  Process other = broker;
  other.name = "b/blue/broker";
  other.node = 2;
  other.id = 2;
  other.peers = {0};
  Process client{"a/blue/c",
                 ProcessKind::client,
                 1,
                 0,
                 3,
                 4001,
                 0,
                 {},
                 29,
                 "thousand",
                 30,
                 31,
                 32,
                 33,
                 {{"ais/+", Replay::retained, 34, 35}},
                 36};
  p.processes = {broker, other, client};
  p.topics = {{"ais/1", 0, TopicClass::ordered, 1, "ais/+", "g", {0, 1}, 37, 38, 39, 40, 41}};
  p.loads = {{"l", LoadKind::fleet, 42, 43, 44, 45, 46, 47, {{{1, 2}, {-3, -4}}}, "f", std::string(64, 'b'), 48}};
  p.streams = {{0, 2, 0, 49}};
  p.faults = {{"f", FaultKind::lose_control, 50, 51, {0}, Way::b_to_a, {2}, true, x, {"loss"}, -52, -53, 54}};
  p.expectations = {{"e", ExpectKind::repair_ratio, "#", 0, 9999, 55, "x.yaml:1"}};
  p.calibration = {"c", "placeholder", 56, 57, 58, 59, 60, 61, std::string(64, 'c')};
  p.inputs = {{"i", std::string(64, 'd')}};
  return p;
}

std::string error_of(const std::string& text) {
  const auto plan = from_json(text, "p.json");
  return plan ? "none" : plan.error().text();
}
std::string error_with(const char* pointer, const nlohmann::json& value) {
  auto document = nlohmann::json::parse(to_json(full_plan()));
  document[nlohmann::json::json_pointer(pointer)] = value;
  return error_of(document.dump());
}

TEST(Plan, RoundTripKeepsEveryByte) {
  const std::string text = to_json(full_plan());
  const auto plan = from_json(text, "p.json");
  ASSERT_TRUE(plan) << plan.error().text();
  EXPECT_EQ(to_json(*plan), text);
}

TEST(Plan, JsonIsCanonical) {
  const std::string text = to_json(full_plan());
  EXPECT_EQ(text, nlohmann::json::parse(text).dump(2) + "\n");
  const auto flat = nlohmann::json::parse(text).flatten();
  for (const auto& [pointer, value] : flat.items()) {
    EXPECT_FALSE(value.is_number_float()) << pointer;
  }
}

// Whoever adds a field must add it to the schema, and to full_plan with a value of its own.
TEST(Plan, SchemaNamesExactlyTheFieldsWritten) {
  const auto schema = nlohmann::json::parse(schema_text);
  const auto document = nlohmann::json::parse(to_json(full_plan()));
  for (const auto& [key, value] : document.items()) EXPECT_TRUE(schema["properties"].contains(key)) << key;
  for (const auto& [key, value] : schema["properties"].items()) EXPECT_TRUE(document.contains(key)) << key;
  EXPECT_TRUE(schema_faults(schema_text, document).empty());
}

TEST(Plan, ErrorsNameTheJsonPointer) {
  EXPECT_EQ(error_with("/version", 2), "p.json: /version: is 2, this program reads plans of version 1");
  EXPECT_NE(error_with("/links/0/a", "x").find("/links/0/a: "), std::string::npos) << error_with("/links/0/a", "x");
  EXPECT_NE(error_with("/links/0/a_to_b/loss/kind", "often").find("/links/0/a_to_b/loss/kind: "), std::string::npos);
  EXPECT_NE(error_with("/links/0/speed", 1).find("/links/0"), std::string::npos);
  EXPECT_EQ(error_with("/links/0/a", 9), "p.json: /links/0/a: no such node");
  EXPECT_EQ(error_with("/links/0/b", 0), "p.json: /links/0: joins a node to itself");
  EXPECT_EQ(error_with("/processes/2/broker", 2), "p.json: /processes/2/broker: a client has a broker of its tenant");
  EXPECT_EQ(error_with("/processes/1/id", 1), "p.json: /processes/1/id: is 0 or taken");
  EXPECT_EQ(error_with("/streams/0/topic", 1), "p.json: /streams/0/topic: no such topic");
  EXPECT_EQ(error_with("/faults/0/until_ns", 50), "p.json: /faults/0/until_ns: heals before it begins");
  EXPECT_NE(error_with("/nodes/0/loopback_delay_ns", -1).find("/nodes/0/loopback_delay_ns"), std::string::npos);
  EXPECT_NE(error_with("/duration_ns", 1.5).find("/duration_ns"), std::string::npos);
}

TEST(Plan, WhatIsNotAPlanIsRefused) {
  const std::string text = to_json(full_plan());
  for (const std::string& bad :
       {std::string(), std::string("{}"), std::string("[]"), std::string("null"), text.substr(0, text.size() / 2),
        std::string("\xff\xfe"), std::string(100000, '['), "{\"name\": \"\xc3(\"}" + std::string()}) {
    const auto plan = from_json(bad, "p.json");
    ASSERT_FALSE(plan) << bad.substr(0, 40);
    EXPECT_EQ(plan.error().code, Exit::usage);
    EXPECT_EQ(plan.error().place, "p.json");
  }
  EXPECT_FALSE(read_plan("/nonexistent/plan.json"));
  EXPECT_FALSE(read_plan("/"));
}

// Any one value replaced by any other kind of value: a plan or an error, never a crash and never a wrong index.
TEST(Plan, AnyValueMayBeWrong) {
  const auto whole = nlohmann::json::parse(to_json(full_plan()));
  const auto flat = whole.flatten();
  const std::vector<nlohmann::json> values = {nullptr,
                                              -1,
                                              0,
                                              4294967295u,
                                              18446744073709551615u,
                                              1.5,
                                              "",
                                              "x",
                                              true,
                                              nlohmann::json::array(),
                                              nlohmann::json::object()};
  std::size_t refused = 0;
  std::size_t tried = 0;
  for (const auto& [pointer, old] : flat.items()) {
    for (int k = 0; k < 3; ++k) {  // in turn, so that each kind meets every sort of field
      auto document = whole;
      document[nlohmann::json::json_pointer(pointer)] = values[tried++ % values.size()];
      if (!from_json(document.dump(), "p.json")) ++refused;
    }
  }
  EXPECT_GT(refused, tried / 2);
  EXPECT_LT(refused, tried);
}

TEST(Plan, Filters) {
  struct Case {
    const char* filter;
    const char* topic;
    bool matches;
  };
  for (const Case& c :
       {Case{"#", "a/b", true}, Case{"a/#", "a", true}, Case{"a/#", "a/b/c", true}, Case{"a/#", "ab", false},
        Case{"+/b", "a/b", true}, Case{"+", "a/b", false}, Case{"a/+", "a", false}, Case{"a/+/c", "a/b/c", true},
        Case{"a/+/c", "a/b/d", false}, Case{"a", "a", true}, Case{"a/b", "a", false}, Case{"a", "a/b", false},
        Case{"+/#", "a", true}, Case{"ais/+/position", "ais/211/position", true}}) {
    EXPECT_EQ(filter_matches(c.filter, c.topic), c.matches) << c.filter << " " << c.topic;
  }
  for (const char* good : {"#", "+", "a/+/b", "a/#", "a"}) EXPECT_TRUE(filter_valid(good)) << good;
  for (const char* bad : {"", "/", "a/", "/a", "a//b", "#/a", "a+", "a/b#", "a\nb"})
    EXPECT_FALSE(filter_valid(bad)) << bad;
  EXPECT_FALSE(topic_valid("a/+"));
  EXPECT_FALSE(topic_valid(std::string(256, 'a')));
}

}  // namespace
}  // namespace portolan::plan
