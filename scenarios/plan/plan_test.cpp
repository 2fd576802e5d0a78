#include "scenarios/plan/plan.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "scenarios/plan/json_schema.hpp"
#include "scenarios/plan/needs.hpp"
#include "scenarios/plan/testing/full_plan.hpp"

namespace portolan::plan {
namespace {

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
  EXPECT_EQ(error_with("/version", 1), "p.json: /version: is 1, this program reads plans of version 2");
  EXPECT_NE(error_with("/links/0/a", "x").find("/links/0/a: "), std::string::npos) << error_with("/links/0/a", "x");
  EXPECT_NE(error_with("/links/0/a_to_b/loss/kind", "often").find("/links/0/a_to_b/loss/kind: "), std::string::npos);
  EXPECT_NE(error_with("/links/0/speed", 1).find("/links/0"), std::string::npos);
  EXPECT_EQ(error_with("/links/0/a", 9), "p.json: /links/0/a: no such node");
  EXPECT_EQ(error_with("/links/0/b", 0), "p.json: /links/0: joins a node to itself");
  EXPECT_EQ(error_with("/processes/2/broker", 2), "p.json: /processes/2/broker: a client has a broker of its tenant");
  EXPECT_EQ(error_with("/processes/1/id", 1), "p.json: /processes/1/id: is 0 or taken");
  EXPECT_EQ(error_with("/streams/0/topic", 1), "p.json: /streams/0/topic: no such topic");
  EXPECT_EQ(error_with("/faults/0/until_ns", 50), "p.json: /faults/0/until_ns: heals before it begins");
  EXPECT_EQ(error_with("/harbours/1/hub", 1), "p.json: /harbours/1/hub: a leaf's is a hub, a hub has none");
  EXPECT_EQ(error_with("/harbours/1/standby", 0), "p.json: /harbours/1/standby: another hub than `hub`");
  EXPECT_EQ(error_with("/processes/0/peer_roles", nlohmann::json::array()),
            "p.json: /processes/0/peer_roles: one for each peer");
  EXPECT_EQ(error_with("/links/1/medium", nullptr),
            "p.json: /links/1/medium: links of kind csma and wifi have one of their kind, others none");
  EXPECT_EQ(error_with("/expectations/0/link", 7), "p.json: /expectations/0/link: no such link");
  EXPECT_NE(error_with("/nodes/0/loopback_delay_ns", -1).find("/nodes/0/loopback_delay_ns"), std::string::npos);
  EXPECT_NE(error_with("/duration_ns", 1.5).find("/duration_ns"), std::string::npos);
}

// Each need by itself, to a runner that does all else.
TEST(Plan, RunnersRefuseWhatTheyDoNotHonourAndNameIt) {
  const std::vector<Feature> all = {Feature::hubs,
                                    Feature::point_to_point,
                                    Feature::csma,
                                    Feature::wifi,
                                    Feature::stations,
                                    Feature::motion,
                                    Feature::fq_codel,
                                    Feature::ecn,
                                    Feature::convergence_parts,
                                    Feature::small_mtu,
                                    Feature::no_overlay,
                                    Feature::machines,
                                    Feature::ordered,
                                    Feature::corrupt_disk,
                                    Feature::sealing};
  const auto without = [&](Feature left_out, const Plan& plan) {
    std::vector<Feature> honoured = all;
    std::erase(honoured, left_out);
    const auto answer = refuse_needs(plan, honoured, "sim");
    return answer ? std::string("runs") : answer.error().text();
  };
  Plan plan = full_plan();
  EXPECT_TRUE(refuse_needs(plan, all, "sim"));
  EXPECT_EQ(without(Feature::hubs, plan), "test: /processes/0/peer_roles/0: hubs and leaves: sim does not do that");
  EXPECT_EQ(without(Feature::point_to_point, plan), "test: /links/0/kind: point-to-point: sim does not do that");
  EXPECT_EQ(without(Feature::wifi, plan), "test: /links/1/kind: wifi: sim does not do that");
  EXPECT_EQ(without(Feature::stations, plan), "test: /nodes/3/kind: station: sim does not do that");
  EXPECT_EQ(without(Feature::motion, plan), "test: /nodes/3/motion: a station that moves: sim does not do that");
  EXPECT_EQ(without(Feature::fq_codel, plan), "test: /links/0/a_to_b/queue/kind: fq-codel: sim does not do that");
  EXPECT_EQ(without(Feature::ecn, plan), "test: /links/0/a_to_b/queue/ecn: true: sim does not do that");
  EXPECT_EQ(without(Feature::small_mtu, plan), "test: /links/0/a_to_b/mtu_bytes: 1400: sim does not do that");
  EXPECT_EQ(without(Feature::sealing, plan), "test: /security: sealed: sim does not do that");
  EXPECT_EQ(without(Feature::no_overlay, plan), "test: /overlay/kind: none: sim does not do that");
  EXPECT_EQ(without(Feature::machines, plan), "test: /nodes/1/machine: a second machine, m2: sim does not do that");
  EXPECT_EQ(without(Feature::ordered, plan), "test: /topics/0/class: ordered: sim does not do that");
  EXPECT_EQ(without(Feature::convergence_parts, plan),
            "test: /convergence: detection, propagation and install, each drawn: sim does not do that");
  EXPECT_EQ(without(Feature::csma, plan), "runs");
  plan.media[0].kind = plan.links[1].kind = LinkKind::csma;
  EXPECT_EQ(without(Feature::csma, plan), "test: /links/1/kind: csma: sim does not do that");
  plan.faults[0].kind = FaultKind::corrupt_disk;
  EXPECT_EQ(without(Feature::corrupt_disk, plan), "test: /faults/0/kind: corrupt-disk: sim does not do that");
}

// A plan from before there was sealing: what it does not say is as it was, and it is written again as it came.
TEST(Plan, WhatCameLaterMayBeLeftOut) {
  Plan older = full_plan();
  older.security = Security::plain;
  older.calibration.per_sealed_datagram_ns = older.calibration.per_sealed_kib_ns = 0;
  const std::string text = to_json(older);
  EXPECT_EQ(text.find("seal"), std::string::npos);
  EXPECT_EQ(text.find("security"), std::string::npos);
  const auto read = from_json(text, "p.json");
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(read->security, Security::plain);
  EXPECT_EQ(to_json(*read), text);
  Plan sealed = older;
  sealed.security = Security::sealed;
  sealed.calibration.per_sealed_kib_ns = 7;
  EXPECT_EQ(from_json(to_json(sealed), "p.json")->security, Security::sealed);
  EXPECT_EQ(charged(older).per_kib_ns, older.calibration.per_kib_ns);
  EXPECT_EQ(charged(sealed).per_kib_ns, older.calibration.per_kib_ns + 7);
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
