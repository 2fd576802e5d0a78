// Honest runs pass, with and without faults; what the scenario's timeline excuses is excused and counted.
#include "results/check/check.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "results/check/output.hpp"
#include "results/testdata/honest_run.hpp"
#include "scenarios/plan/json_schema.hpp"

namespace portolan::check {
namespace {

using honest::kMs;
using honest::kSecond;
using plan::FaultKind;

class HonestRun : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "/honest." + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Checked> judge(const plan::Plan& plan) {
    honest::run_honestly(plan).write(folder_);
    auto checked = check_run(folder_, {});
    EXPECT_TRUE(checked.has_value()) << checked.error().text();
    return checked ? std::move(*checked) : nullptr;
  }
  static Counts totals(const Checked& c) {
    Counts sum;
    for (const Counts& x : c.delivery->by_topic()) sum.add(x);
    return sum;
  }
  std::string folder_;
};

TEST_F(HonestRun, WithoutFaultsHolds) {
  const auto c = judge(honest::small_plan());
  EXPECT_EQ(c->judgement.exit_code(), Exit::held) << text(*c);
  const Counts t = totals(*c);
  // 3 position streams of 45 and one berth stream of 180; the two blue ships go to two subscribers.
  EXPECT_EQ(t.published, 3 * 45 + 180u);
  EXPECT_EQ(t.accepted, t.published);
  EXPECT_EQ(t.received, t.published);
  EXPECT_EQ(t.owed, 2 * 2 * 45 + 45 + 180u);
  EXPECT_EQ(t.delivered, t.owed);
  EXPECT_EQ(t.deliveries, t.owed);
  EXPECT_EQ(t.gaps + t.lost + t.undecided + t.excused + t.died + t.duplicates + t.disorder, 0u);
}

TEST_F(HonestRun, OutageWithinRetentionDelaysButLosesNothing) {
  plan::Plan plan = honest::small_plan();
  plan.faults = {honest::cut(plan, "hamburg", 4 * kSecond, 6 * kSecond)};
  plan.expectations[1].limit = 5 * kSecond;
  plan.expectations.push_back({"back", plan::ExpectKind::recovery, "#", plan::kNone, 0, kSecond, "honest.yaml:4"});
  const auto c = judge(plan);
  EXPECT_EQ(c->judgement.exit_code(), Exit::held) << text(*c);
  EXPECT_EQ(totals(*c).gaps, 0u);
  ASSERT_EQ(c->statistics.faults.size(), 1u);
  EXPECT_GT(c->statistics.faults[0].streams, 0u);
  EXPECT_GT(c->statistics.faults[0].worst_latency, kSecond);
  ASSERT_TRUE(c->statistics.faults[0].recovery.has_value());
  EXPECT_GT(*c->statistics.faults[0].recovery, 100 * kMs);
  EXPECT_LT(*c->statistics.faults[0].recovery, kSecond);
}

TEST_F(HonestRun, WindowsMeasureWhatHappenedInThem) {
  plan::Plan plan = honest::small_plan();
  plan.faults = {honest::cut(plan, "hamburg", 4 * kSecond, 6 * kSecond)};
  plan.expectations.clear();
  const auto expect = [&](plan::ExpectKind kind, Ns after, Ns until) -> plan::Expectation& {
    plan::Expectation e;
    e.name = e.where = "window";
    e.kind = kind;
    e.filter = "ais/+/position";
    e.tenant = 0;
    e.percentile_permyriad = 10'000;
    e.limit = 1;
    e.after_ns = after;
    e.until_ns = until;
    plan.expectations.push_back(e);
    return plan.expectations.back();
  };
  using plan::ExpectKind;
  expect(ExpectKind::latency, kSecond, 3 * kSecond);
  expect(ExpectKind::latency, 3 * kSecond, 7 * kSecond);
  auto& rise = expect(ExpectKind::latency_rise, 3 * kSecond, 7 * kSecond);
  rise.base_after_ns = kSecond;
  rise.base_until_ns = 3 * kSecond;
  expect(ExpectKind::fairness, 2 * kSecond, 0).between = plan::Between::publishers;
  // To each of the two: two ships, 5 a second each, of some 64 bytes. To the pilot nothing in the outage.
  expect(ExpectKind::goodput, 1500 * kMs, 3500 * kMs).reference = 2 * 5 * 64 * 8;
  expect(ExpectKind::goodput, 4100 * kMs, 5900 * kMs).reference = 2 * 5 * 64 * 8;
  expect(ExpectKind::latency, 100 * kSecond, 101 * kSecond);  // of nothing
  const auto c = judge(plan);
  ASSERT_GE(c->expectations.size(), 7u);
  const auto measured = [&](std::size_t i) { return c->expectations[i].measured.value_or(-1); };
  EXPECT_GT(measured(0), kMs);
  EXPECT_LT(measured(0), 100 * kMs);
  EXPECT_GT(measured(1), kSecond);
  EXPECT_EQ(measured(2), measured(1) - measured(0));
  EXPECT_GT(measured(3), 990'000);
  EXPECT_LE(measured(3), 1'000'000);
  EXPECT_NEAR(static_cast<double>(measured(4)), 1e6, 2e5);
  EXPECT_EQ(measured(5), 0);
  EXPECT_EQ(c->expectations[5].verdict, Verdict::failed);
  EXPECT_EQ(c->expectations[3].verdict, Verdict::held);
  EXPECT_FALSE(c->expectations[6].measured.has_value());
  EXPECT_EQ(c->expectations[6].verdict, Verdict::inconclusive);
}

plan::Plan outage_beyond_retention(std::int64_t gaps_allowed) {
  plan::Plan plan = honest::small_plan();
  plan.faults = {honest::cut(plan, "hamburg", 4 * kSecond, 6 * kSecond)};
  for (plan::Topic& t : plan.topics) t.retain_ns = kSecond;
  plan.expectations = {{"gaps", plan::ExpectKind::gaps, "#", plan::kNone, 0, gaps_allowed, "honest.yaml:1"}};
  return plan;
}

TEST_F(HonestRun, OutageBeyondRetentionIsAnExplainedGap) {
  const auto c = judge(outage_beyond_retention(1000));
  EXPECT_EQ(c->judgement.exit_code(), Exit::held) << text(*c);
  // One second of 2 ships to hamburg's pilot (5 a second each), and of the crane's 20 a second to berlin.
  EXPECT_EQ(totals(*c).gaps, 2 * 5 + 20u);
  EXPECT_EQ(totals(*c).lost, 0u);
}

TEST_F(HonestRun, GapsBeyondTheExpectationFailByHowMuch) {
  const auto c = judge(outage_beyond_retention(25));
  EXPECT_EQ(c->judgement.exit_code(), Exit::failed);
  ASSERT_EQ(c->judgement.findings().size(), 1u) << text(*c);
  EXPECT_EQ(c->judgement.findings()[0].by, 5);
}

TEST_F(HonestRun, GapsAreForbiddenByDefault) {
  plan::Plan plan = outage_beyond_retention(0);
  plan.expectations.clear();
  const auto c = judge(plan);
  EXPECT_EQ(c->judgement.exit_code(), Exit::failed);
  EXPECT_EQ(c->judgement.findings().at(0).measured, 30);
}

TEST_F(HonestRun, RestartedPublisherSubscriberAndBrokersHold) {
  for (const char* who :
       {"rotterdam/blue/ship1", "hamburg/blue/pilot", "rotterdam/blue/broker", "hamburg/blue/broker"}) {
    std::filesystem::remove_all(folder_);
    plan::Plan plan = honest::small_plan();
    plan.faults = {honest::stop(plan, FaultKind::restart, {who}, 4 * kSecond + 3 * kMs, 5 * kSecond)};
    plan.expectations.clear();
    const auto c = judge(plan);
    EXPECT_EQ(c->judgement.exit_code(), Exit::held) << who << "\n" << text(*c);
    EXPECT_EQ(totals(*c).lost, 0u) << who;
  }
}

TEST_F(HonestRun, WhatDiesWithPublisherAndHomeBrokerIsCountedApart) {
  plan::Plan plan = honest::small_plan();
  // One message is accepted a millisecond after it is sent, and under way to berlin when both die another one later.
  const Ns sent = honest::run_honestly(plan).app("hamburg/blue/crane").nth(record::Kind::publish, 60).row.sent_ns;
  const Ns death = sent + 2 * kMs;
  plan.faults = {honest::stop(plan, FaultKind::kill, {"hamburg/blue/crane"}, death, 0),
                 honest::stop(plan, FaultKind::restart, {"hamburg/blue/broker"}, death, 5 * kSecond)};
  plan.expectations.clear();
  const auto c = judge(plan);
  EXPECT_EQ(c->judgement.exit_code(), Exit::held) << text(*c);
  EXPECT_EQ(totals(*c).died, 1u);
  EXPECT_EQ(totals(*c).lost, 0u);
}

TEST_F(HonestRun, AHarbourAwayBeyondItsDetachBoundIsExcused) {
  plan::Plan plan = honest::small_plan();
  plan.faults = {honest::cut(plan, "hamburg", 4 * kSecond, 0)};
  plan.expectations.clear();
  const auto c = judge(plan);
  EXPECT_EQ(c->judgement.exit_code(), Exit::held) << text(*c);
  EXPECT_GT(totals(*c).excused, 0u);
  EXPECT_EQ(totals(*c).lost, 0u);
}

TEST_F(HonestRun, AnImpossibleExpectationSaysByHowMuch) {
  plan::Plan plan = honest::small_plan();
  plan.expectations[1].limit = 1000;
  const auto c = judge(plan);
  EXPECT_EQ(c->judgement.exit_code(), Exit::failed);
  const Measured& m = c->expectations.at(1);
  EXPECT_EQ(m.verdict, Verdict::failed);
  ASSERT_TRUE(m.measured.has_value());
  EXPECT_EQ(m.by, *m.measured - 1000);
  EXPECT_NE(text(*c).find("off by"), std::string::npos);
}

TEST_F(HonestRun, ATopicWithNothingOwedIsInconclusive) {
  plan::Plan plan = honest::small_plan();
  plan.loads[1].start_ns = plan.loads[1].end_ns;  // the crane stays silent
  const auto c = judge(plan);
  EXPECT_EQ(c->judgement.exit_code(), Exit::inconclusive);
  EXPECT_EQ(c->judgement.findings().at(0).rule, Rule::r5) << text(*c);
}

TEST_F(HonestRun, AStreamThatDrawsNoMessageIsNoGapInAFamilyThatSpeaks) {
  plan::Plan plan = honest::small_plan();
  plan::Load silent = plan.loads[1];  // as a Poisson load of few messages may be
  silent.start_ns = silent.end_ns;
  plan.loads.push_back(silent);
  plan::Topic topic = plan.topics[plan.streams[2].topic];
  topic.name = "berth/8/load";
  plan.topics.push_back(topic);
  plan.streams.push_back({2, plan.streams[2].process, static_cast<plan::Index>(plan.topics.size() - 1), 0});
  auto c = judge(plan);
  EXPECT_EQ(c->judgement.exit_code(), Exit::held) << text(*c);

  plan.topics.back().family = "berth/8/#";  // alone in its family its silence would hide that nothing was tried
  c = judge(plan);
  EXPECT_EQ(c->judgement.exit_code(), Exit::inconclusive);
}

TEST_F(HonestRun, UnsubscribingEndsWhatIsOwed) {
  plan::Plan plan = honest::small_plan();
  plan.processes[honest::process(plan, "hamburg/blue/pilot")].subscriptions[0].until_ns = 5 * kSecond;
  const auto c = judge(plan);
  EXPECT_EQ(c->judgement.exit_code(), Exit::held) << text(*c);
}

TEST_F(HonestRun, PartsOfTheLatencyAreMeasuredAndSumUp) {
  const auto c = judge(honest::small_plan());
  for (const Family& f : c->statistics.families) {
    Ns sum = 0;
    for (const Ns part : f.part_mean) sum += part;
    EXPECT_NEAR(static_cast<double>(sum), static_cast<double>(f.latency.mean), 10.0) << f.name;
    EXPECT_EQ(f.splits, f.latency.count);
    EXPECT_GT(f.splits_at_p99, 0u);
    EXPECT_EQ(f.repaired.p50, 8 * kMs);
  }
}

TEST_F(HonestRun, SummaryKeepsToItsSchema) {
  plan::Plan plan = outage_beyond_retention(3);
  const auto c = judge(plan);
  const std::string summary = summary_json(*c);
  const auto faults = plan::schema_faults(summary_schema, nlohmann::json::parse(summary));
  for (const auto& f : faults) ADD_FAILURE() << f.pointer << ": " << f.what;
  const std::string none = summary_json(Error{Exit::inconclusive, "x", "y"});
  EXPECT_TRUE(plan::schema_faults(summary_schema, nlohmann::json::parse(none)).empty());
  EXPECT_FALSE(plan::schema_faults(summary_schema, nlohmann::json::parse("{\"version\": 2}")).empty());
  // Judged again, the same bytes.
  auto again = check_run(folder_, {});
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(summary_json(**again), summary);
  EXPECT_EQ(series_json(**again), series_json(*c));
}

TEST_F(HonestRun, JUnitCallsFailuresFailuresAndDoubtsErrors) {
  const auto failed = judge(outage_beyond_retention(3));
  std::string xml = junit_xml(summary_json(*failed));
  EXPECT_NE(xml.find("failures=\"1\" errors=\"0\" skipped=\"0\""), std::string::npos) << xml;
  xml = junit_xml(summary_json(Error{Exit::cannot, "x", "no <privilege>"}));
  EXPECT_NE(xml.find("failures=\"0\" errors=\"1\" skipped=\"0\""), std::string::npos) << xml;
  EXPECT_NE(xml.find("no &lt;privilege&gt;"), std::string::npos) << xml;
}

TEST_F(HonestRun, SeriesAreBounded) {
  const auto c = judge(honest::small_plan());
  const auto series = nlohmann::json::parse(series_json(*c));
  EXPECT_EQ(series["bin_ns"], kSecond);
  std::uint64_t sum = 0;
  for (const auto& f : series["families"]) {
    for (const auto& n : f["deliveries"]) sum += n.get<std::uint64_t>();
    EXPECT_LE(f["latency_cdf"].size(), 211u);
  }
  EXPECT_EQ(sum, totals(*c).deliveries);
}

TEST_F(HonestRun, TwiceTheSameTraceHoldsAndAnotherFails) {
  const plan::Plan plan = honest::small_plan();
  honest::Run run = honest::run_honestly(plan);
  run.write(folder_);
  run.write(folder_ + ".same");
  auto same = check_run(folder_, {folder_ + ".same"});
  ASSERT_TRUE(same.has_value());
  EXPECT_EQ((*same)->judgement.exit_code(), Exit::held) << text(**same);
  run.audit("berlin/blue/desk").nth(record::Kind::trace, 0).row.hash ^= 1;
  run.write(folder_ + ".other");
  auto other = check_run(folder_, {folder_ + ".other"});
  ASSERT_TRUE(other.has_value());
  EXPECT_EQ((*other)->judgement.exit_code(), Exit::failed);
  EXPECT_EQ((*other)->judgement.findings().at(0).rule, Rule::rule12);
  std::filesystem::remove_all(folder_ + ".same");
  std::filesystem::remove_all(folder_ + ".other");
}

TEST(Percentile, IsNearestRankOnAllSamples) {
  const std::vector<Ns> five = {10, 20, 30, 40, 50};
  EXPECT_EQ(percentile(five, 0), 10);
  EXPECT_EQ(percentile(five, 2000), 10);
  EXPECT_EQ(percentile(five, 2001), 20);
  EXPECT_EQ(percentile(five, 5000), 30);
  EXPECT_EQ(percentile(five, 9900), 50);
  EXPECT_EQ(percentile(five, 10000), 50);
  EXPECT_EQ(percentile({}, 5000), 0);
}

}  // namespace
}  // namespace portolan::check
