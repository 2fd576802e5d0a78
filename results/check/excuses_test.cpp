// What a fault excuses, and what it must not: only what lies on the way, in time and place. And clocks that drift.
#include "results/check/lying.hpp"

namespace portolan::check {
namespace {

plan::Plan degraded_plan() {
  plan::Plan plan = honest::small_plan();
  plan::Fault fault = honest::cut(plan, "hamburg", 3 * kSecond, 8 * kSecond);
  fault.kind = plan::FaultKind::degrade;
  fault.overlay = true;
  fault.replaces = {"loss"};
  fault.impairments.loss.kind = plan::LossKind::uniform;
  fault.impairments.loss.probability = 500'000'000;
  plan.faults = {fault};
  plan.expectations = {{"gaps", plan::ExpectKind::gaps, "#", plan::kNone, 0, 1000, "degraded.yaml:1"}};
  return plan;
}

TEST(Excuses, ADegradedLinkExcusesWhoIsDetachedBehindIt) {
  honest::Run run = honest::run_honestly(degraded_plan());
  tell_gap(run, kDesk, "berth/7/load", 7 * kSecond, 2);  // from hamburg
  const Outcome o = outcome_of(run, "near");
  EXPECT_EQ(o.code, 0) << o.said;
}

TEST(Excuses, ADegradedLinkElsewhereExcusesNothing) {
  honest::Run run = honest::run_honestly(degraded_plan());
  tell_gap(run, "berlin/green/desk", "ais/1/position", 7 * kSecond, 2);  // from rotterdam
  const Outcome o = outcome_of(run, "far");
  EXPECT_EQ(o.code, 1) << o.said;
  EXPECT_TRUE(o.names(Rule::r1)) << o.said;
}

TEST(Excuses, AChangeOfPathsElsewhereExcusesNothing) {
  plan::Plan plan = degraded_plan();
  plan.faults = {honest::cut(plan, "hamburg", 5 * kSecond, 6 * kSecond)};
  plan.convergence_ns = 2 * kSecond;
  for (plan::Topic& t : plan.topics) t.retain_ns = kSecond;
  honest::Run run = honest::run_honestly(plan);
  tell_gap(run, "berlin/green/desk", "ais/1/position", 6 * kSecond, 1);
  for (LogicalRow& r : run.app("berlin/green/desk").rows) {  // told late enough for the retention
    if (r.kind == Kind::gap) r.row.time_ns += 1100 * kMs;
  }
  const Outcome o = outcome_of(run, "paths");
  EXPECT_EQ(o.code, 1) << o.said;
  EXPECT_TRUE(o.names(Rule::r1)) << o.said;
}

TEST(Excuses, ARefusalAfterAcceptingIsCoveredByAGap) {
  plan::Plan plan = degraded_plan();
  plan.faults.clear();
  honest::Run run = honest::run_honestly(plan);
  LogicalFile& crane = run.app(kCrane);
  const std::uint64_t sequence = tell_gap(run, kDesk, "berth/7/load", 5 * kSecond, 5);
  for (LogicalRow& r : crane.rows) {
    if (r.kind == Kind::received && r.row.sequence == sequence) r.kind = Kind::refused, r.row.code = 2;
  }
  run.count(kCrane, 1, "received", -1);
  const Outcome o = outcome_of(run, "covered");
  EXPECT_EQ(o.code, 0) << o.said;
}

TEST(Excuses, ASubscriberAwayForGoodDoesNotExcuseEarlierAnswers) {
  plan::Plan plan = honest::small_plan();
  plan.faults = {honest::stop(plan, plan::FaultKind::kill, {kPilot}, 7 * kSecond, 0)};
  plan.expectations.clear();
  honest::Run run = honest::run_honestly(plan);
  EXPECT_EQ(outcome_of(run, "away").code, 0);
  erase_at(run.app(kShip), run.app(kShip).find(Kind::received)[3]);
  run.count(kShip, 1, "received", -1);
  const Outcome o = outcome_of(run, "away");
  EXPECT_EQ(o.code, 1) << o.said;
  EXPECT_TRUE(o.names(Rule::r6)) << o.said;
}

// Cut off from 3 s to 5 s, and its broker dies for good at `dies`. Detached by hamburg 3.2 s after the cut, so that the
// crane hears *received* of what the desk never got.
Outcome gone_again(Ns dies, const std::string& name) {
  plan::Plan plan = honest::small_plan();
  plan.faults = {honest::cut(plan, "hamburg", 3 * kSecond, 5 * kSecond),
                 honest::stop(plan, plan::FaultKind::kill, {"berlin/blue/broker"}, dies, 0)};
  plan.expectations.clear();
  honest::Run run = honest::run_honestly(plan);
  drop_delivery(run, kDesk,
                [](const LogicalRow& r) { return r.topic == "berth/7/load" && r.row.time_ns > 3 * kSecond; });
  for (LogicalRow& r : run.app(kCrane).rows) {
    if (r.kind == Kind::received && r.row.time_ns > 3 * kSecond) r.row.time_ns = std::max(r.row.time_ns, 6200 * kMs);
  }
  auto& rows = run.app(kCrane).rows;
  std::stable_sort(rows.begin(), rows.end(),
                   [](const LogicalRow& a, const LogicalRow& b) { return a.row.time_ns < b.row.time_ns; });
  return outcome_of(run, name);
}

TEST(Excuses, AnAbsenceGoesOnWhereTheWayIsGoneAgainBeforeTheSessionIsBack) {
  const Outcome o = gone_again(5300 * kMs, "again");
  EXPECT_FALSE(o.names(Rule::r2)) << o.said;
  EXPECT_FALSE(o.names(Rule::r1)) << o.said;
}

TEST(Excuses, AnAbsenceEndsWhereTheWayStandsLongEnough) {
  const Outcome o = gone_again(5700 * kMs, "stood");
  EXPECT_EQ(o.code, 1) << o.said;
  EXPECT_TRUE(o.names(Rule::r2)) << o.said;
}

// The crane dies at 5 s and the last message that it offered before is not there. Whether that is odd depends on how
// exactly its last instants can be known.
Outcome silent_before_death(bool virtual_time, std::size_t silent) {
  plan::Plan plan = honest::small_plan();
  plan.faults = {honest::stop(plan, plan::FaultKind::kill, {kCrane}, 5 * kSecond, 0)};
  plan.expectations.clear();
  honest::Run run = honest::run_honestly(plan);
  for (LogicalRow& r : run.runner.rows) {
    if (r.text == "virtual_time" && !virtual_time) r.text = "probes";
  }
  const std::vector<std::size_t> offers = run.app(kCrane).find(Kind::publish);
  const LogicalRow last = run.app(kCrane).rows[offers[offers.size() - silent]];
  const auto of_it = [&](const LogicalRow& r) {
    return r.topic == last.topic && r.row.publisher == last.row.publisher && r.row.sequence >= last.row.sequence;
  };
  const auto forget = [&](const std::string& process, Kind kind, const char* counter) {
    LogicalFile& file = run.app(process);
    for (std::size_t i = file.rows.size(); i-- > 0;) {
      if (file.rows[i].kind != kind || !of_it(file.rows[i])) continue;
      file.rows.erase(file.rows.begin() + static_cast<std::ptrdiff_t>(i));
      run.count(process, 1, counter, -1);
    }
  };
  forget(kCrane, Kind::publish, "published");
  forget(kCrane, Kind::accepted, "accepted");
  forget(kCrane, Kind::received, "received");
  EXPECT_EQ(run.app(kCrane).find(Kind::publish).size(), offers.size() - silent);
  return outcome_of(run, "silent");
}

TEST(Clocks, InRealTimeAKilledPublisherMayMissItsLastShot) {
  // Of what else misses them (subscribers that got them) nothing is asked here: only of the load.
  const auto found = [](const Outcome& o) { return o.said.find("load was not offered") != std::string::npos; };
  EXPECT_TRUE(found(silent_before_death(true, 1)));
  EXPECT_FALSE(found(silent_before_death(false, 1)));
  EXPECT_TRUE(found(silent_before_death(false, 9)));
}

TEST(Clocks, ADriftingClockIsSetRightByItsRows) {
  honest::Run run = honest::run_honestly(honest::small_plan());
  for (LogicalRow& r : run.runner.rows) {
    if (r.text == "virtual_time") r.text = "probes";  // a runner in real time
  }
  for (LogicalFile* f : {&run.app(kDesk), &run.audit(kDesk)}) {
    f->clock_domain = 1;
    for (LogicalRow& r : f->rows) r.row.time_ns += r.row.time_ns < 5 * kSecond ? 3 * kMs : 50 * kMs;
  }
  EXPECT_EQ(outcome_of(run, "drift").code, 1);  // parts no longer sum to the latency
  LogicalFile& audit = run.audit(kDesk);
  for (const auto& [from, offset] : {std::pair<Ns, Ns>{0, 3 * kMs}, {5 * kSecond + 10 * kMs, 50 * kMs}}) {
    LogicalRow clock{Kind::clock, {}, "", ""};
    clock.row.time_ns = from;
    clock.row.extra = -offset;
    clock.row.value = 20'000;
    audit.rows.insert(audit.rows.begin(), clock);
  }
  const Outcome o = outcome_of(run, "drift");
  EXPECT_EQ(o.code, 0) << o.said;
}

}  // namespace
}  // namespace portolan::check
