// Every lie about a run is found: an honest run is changed in one way, told consistently (numbers, hashes and manifest
// fit) or by damaging files, and never passes. Each case says which exit code is right, and which rule must speak.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "results/check/lying.hpp"
#include "results/record/names.hpp"

namespace portolan::check {
namespace {

// A publisher and a broker that come back, an outage beyond the retention: every kind of row is there.
plan::Plan eventful_plan() {
  plan::Plan plan = honest::small_plan();
  plan.faults = {honest::stop(plan, plan::FaultKind::restart, {"rotterdam/blue/ship2"}, 3 * kSecond, 3500 * kMs),
                 honest::cut(plan, "hamburg", 5 * kSecond, 7 * kSecond),
                 honest::stop(plan, plan::FaultKind::restart, {"rotterdam/green/broker"}, 8 * kSecond, 8500 * kMs)};
  for (plan::Topic& t : plan.topics) t.retain_ns = kSecond;
  plan.processes[honest::process(plan, kDesk)].subscriptions[1].until_ns = 9 * kSecond;
  plan.expectations = {{"gaps", plan::ExpectKind::gaps, "#", plan::kNone, 0, 1000, "eventful.yaml:1"}};
  return plan;
}

const Run& honest_run() {
  static const honest::Run run = honest::run_honestly(eventful_plan());
  return run;
}

// A lie that the host believed itself: its counters fit.
struct Lie {
  std::string name;
  int code;
  Rule rule;
  std::function<void(Run&)> tell;
};

std::size_t middle(const LogicalFile& f, Kind kind) {
  const auto at = f.find(kind);
  return at.at(at.size() / 2);
}

// Adds a delivery after the one at `at`, with its split row and counters.
void add_delivery(Run& run, const std::string& client, std::size_t at, LogicalRow row) {
  LogicalFile& app = run.app(client);
  app.rows.insert(app.rows.begin() + static_cast<std::ptrdiff_t>(at) + 1, row);
  run.count(client, 1, "delivered", 1);
  run.count(client, 1, "unsplit", 1);
}

void recount_cursors(LogicalFile& app) {
  std::uint64_t cursors = 0;
  for (LogicalRow& r : app.rows) {
    if (r.kind == Kind::cursor) ++cursors;
    if (r.kind == Kind::subscribed) r.row.value = cursors;
  }
}

bool of_stream(const LogicalRow& r, const std::string& topic, std::uint32_t incarnation = 1) {
  return r.topic == topic && r.row.incarnation == incarnation;
}

// Takes an accepted message of the crane away from its only subscriber, and has the publisher told that it was refused
// after all: a promise that was given is not taken back so.
void refuse_later(Run& run, bool after_received) {
  LogicalFile& crane = run.app(kCrane);
  const std::size_t at = crane.find(Kind::received)[20];
  LogicalRow refused = crane.rows[at];
  const std::uint64_t sequence = refused.row.sequence;
  refused.kind = Kind::refused;
  refused.row.code = 2;
  if (after_received) {
    crane.rows.insert(crane.rows.begin() + static_cast<std::ptrdiff_t>(at) + 1, refused);
  } else {
    crane.rows[at] = refused;
    run.count(kCrane, 1, "received", -1);
  }
  drop_delivery(run, kDesk,
                [=](const LogicalRow& r) { return of_stream(r, "berth/7/load") && r.row.sequence == sequence; });
}

std::vector<Lie> lies() {
  std::vector<Lie> out;
  out.push_back({"drop", 1, Rule::r1, [](Run& run) {
                   const std::uint64_t seq = run.app(kDesk).rows[middle(run.app(kDesk), Kind::deliver)].row.sequence;
                   const std::string topic = run.app(kDesk).rows[middle(run.app(kDesk), Kind::deliver)].topic;
                   drop_delivery(run, kDesk,
                                 [=](const LogicalRow& r) { return of_stream(r, topic) && r.row.sequence == seq; });
                 }});
  out.push_back({"drop_last", 1, Rule::r1, [](Run& run) {
                   const LogicalRow last = run.app(kPilot).rows[run.app(kPilot).find(Kind::deliver).back()];
                   drop_delivery(run, kPilot, [&](const LogicalRow& r) {
                     return of_stream(r, last.topic, last.row.incarnation) && r.row.sequence == last.row.sequence;
                   });
                 }});
  out.push_back({"drop_received", 1, Rule::r2, [](Run& run) {
                   const LogicalRow last = run.app(kPilot).rows[run.app(kPilot).find(Kind::deliver).front()];
                   drop_delivery(run, kPilot, [&](const LogicalRow& r) {
                     return of_stream(r, last.topic, last.row.incarnation) && r.row.sequence == last.row.sequence;
                   });
                 }});
  out.push_back({"duplicate", 1, Rule::r1, [](Run& run) {
                   const std::size_t at = middle(run.app(kDesk), Kind::deliver);
                   add_delivery(run, kDesk, at, run.app(kDesk).rows[at]);
                 }});
  out.push_back({"swap", 1, Rule::r1, [](Run& run) {
                   LogicalFile& app = run.app(kDesk);
                   std::vector<std::size_t> berth;
                   for (const std::size_t i : app.find(Kind::deliver)) {
                     if (app.rows[i].topic == "berth/7/load") berth.push_back(i);
                   }
                   std::swap(app.rows[berth[20]].row.sequence, app.rows[berth[21]].row.sequence);
                   std::swap(app.rows[berth[20]].row.hash, app.rows[berth[21]].row.hash);
                 }});
  out.push_back({"flip", 1, Rule::r4,
                 [](Run& run) { run.app(kDesk).rows[middle(run.app(kDesk), Kind::deliver)].row.hash ^= 0x100; }});
  out.push_back({"flip_published", 1, Rule::r4,
                 [](Run& run) { run.app(kShip).rows[middle(run.app(kShip), Kind::publish)].row.hash ^= 0x100; }});
  out.push_back({"cut_short", 1, Rule::r4,
                 [](Run& run) { --run.app(kDesk).rows[middle(run.app(kDesk), Kind::deliver)].row.value; }});
  out.push_back({"forge", 1, Rule::r4, [](Run& run) {
                   const std::size_t at = run.app(kDesk).find(Kind::deliver).back();
                   LogicalRow forged = run.app(kDesk).rows[at];
                   forged.row.sequence += 1000;
                   add_delivery(run, kDesk, at, forged);
                 }});
  out.push_back({"forge_publisher", 1, Rule::r4, [](Run& run) {
                   const std::size_t at = run.app(kDesk).find(Kind::deliver).back();
                   LogicalRow forged = run.app(kDesk).rows[at];
                   forged.row.publisher = 4242;
                   add_delivery(run, kDesk, at, forged);
                 }});
  out.push_back({"other_tenant", 1, Rule::r4, [](Run& run) {
                   const std::size_t at = run.app(kDesk).find(Kind::deliver).back();
                   LogicalRow foreign = run.app("berlin/green/desk").nth(Kind::deliver, 5);
                   foreign.row.time_ns = run.app(kDesk).rows[at].row.time_ns;
                   add_delivery(run, kDesk, at, foreign);
                 }});
  out.push_back({"drop_topic_with_counter", 1, Rule::r1, [](Run& run) {
                   const auto of = [](const LogicalRow& r) { return r.topic == "ais/1/position"; };
                   drop_delivery(run, kPilot, of);
                   LogicalFile& app = run.app(kPilot);
                   const auto gaps = std::count_if(app.rows.begin(), app.rows.end(),
                                                   [&](const LogicalRow& r) { return r.kind == Kind::gap && of(r); });
                   std::erase_if(app.rows, of);
                   recount_cursors(app);
                   run.count(kPilot, 1, "gaps", -gaps);
                   run.count("hamburg/blue/broker", 1, "gaps_told", 45);
                 }});
  out.push_back({"drop_topic_received_too", 1, Rule::r1, [](Run& run) {
                   const auto of = [](const LogicalRow& r) { return r.topic == "berth/7/load"; };
                   drop_delivery(run, kDesk, of);
                   LogicalFile& app = run.app(kDesk);
                   std::erase_if(app.rows, of);
                   recount_cursors(app);
                   run.count(kDesk, 1, "gaps", -1);
                   LogicalFile& crane = run.app(kCrane);
                   run.count(kCrane, 1, "received", -static_cast<std::int64_t>(crane.find(Kind::received).size()));
                   crane.erase(Kind::received);
                 }});
  out.push_back({"drop_prefix", 1, Rule::r1, [](Run& run) {
                   drop_delivery(run, kPilot, [](const LogicalRow& r) {
                     return of_stream(r, "ais/1/position") && r.row.sequence <= 3;
                   });
                 }});
  out.push_back({"drop_prefix_with_cursor", 1, Rule::r1, [](Run& run) {
                   drop_delivery(run, kPilot, [](const LogicalRow& r) {
                     return of_stream(r, "ais/1/position") && r.row.sequence <= 3;
                   });
                   LogicalFile& app = run.app(kPilot);
                   for (LogicalRow& r : app.rows) {
                     if (r.kind == Kind::cursor && of_stream(r, "ais/1/position")) r.row.sequence = 4;
                   }
                 }});
  out.push_back({"before_publish", 1, Rule::r4, [](Run& run) {
                   LogicalRow& r = run.app(kDesk).nth(Kind::deliver, 0);
                   r.row.time_ns = run.app(kShip).rows.front().row.time_ns + 100 * kMs;
                 }});
  out.push_back({"swap_publishers", 1, Rule::r4, [](Run& run) {
                   LogicalFile& app = run.app(kPilot);
                   for (LogicalRow& r : app.rows) {
                     if (r.kind != Kind::deliver && r.kind != Kind::gap && r.kind != Kind::cursor) continue;
                     if (r.row.incarnation != 1) continue;
                     const bool first = r.topic == "ais/1/position";
                     r.topic = first ? "ais/2/position" : "ais/1/position";
                     r.row.publisher += first ? 1 : static_cast<std::uint64_t>(-1);
                   }
                 }});
  out.push_back({"lose_incarnation", 1, Rule::r1, [](Run& run) {
                   for (const std::string& client : {kDesk, kPilot}) {
                     for (LogicalRow& r : run.app(client).rows) {
                       if (r.topic == "ais/2/position" && r.row.incarnation == 2) r.row.incarnation = 1;
                     }
                   }
                 }});
  out.push_back({"gap_without_cause", 1, Rule::r1, [](Run& run) {
                   // Told as expired while nothing was wrong.
                   LogicalFile& app = run.app("berlin/green/desk");
                   const std::size_t at = app.find(Kind::deliver)[10];
                   LogicalRow gap = app.rows[at];
                   gap.kind = Kind::gap;
                   gap.row.last = gap.row.sequence;
                   gap.row.code = 1;
                   gap.row.hash = gap.row.value = 0;
                   const std::uint64_t seq = gap.row.sequence;
                   drop_delivery(run, "berlin/green/desk",
                                 [=](const LogicalRow& r) { return r.row.sequence == seq && r.row.incarnation == 1; });
                   app.rows.insert(app.rows.begin() + static_cast<std::ptrdiff_t>(at), gap);
                   run.count("berlin/green/desk", 1, "gaps", 1);
                   LogicalFile& broker = run.audit("berlin/green/broker");
                   LogicalRow told = broker.nth(Kind::counter, 0);
                   told.text = "gaps_told";
                   told.row.code = 1;
                   told.row.value = 1;
                   broker.rows.push_back(told);
                 }});
  out.push_back({"gap_uncounted_by_engine", 1, Rule::r3, [](Run& run) { run.count(kPilot, 1, "gaps", -1); }});
  out.push_back({"gap_uncounted_by_broker", 1, Rule::r3, [](Run& run) {
                   std::erase_if(run.audit("hamburg/blue/broker").rows,
                                 [](const LogicalRow& r) { return r.text == "gaps_told"; });
                 }});
  out.push_back({"counter_without_gap", 1, Rule::r3, [](Run& run) { run.count("berlin/green/desk", 1, "gaps", 1); }});
  out.push_back({"told_counter_without_gap", 1, Rule::r3, [](Run& run) {
                   LogicalFile& broker = run.audit("berlin/green/broker");
                   LogicalRow told = broker.nth(Kind::counter, 0);
                   told.text = "gaps_told";
                   told.row.code = 1;
                   told.row.value = 7;
                   broker.rows.push_back(told);
                 }});
  out.push_back({"received_too_late", 1, Rule::r6,
                 [](Run& run) { run.app(kShip).nth(Kind::received, 3).row.time_ns = 14 * kSecond; }});
  out.push_back({"drop_gap", 1, Rule::r1, [](Run& run) {
                   LogicalFile& app = run.app(kPilot);
                   erase_at(app, app.find(Kind::gap).front());
                   run.count(kPilot, 1, "gaps", -1);
                 }});
  out.push_back({"never_received", 1, Rule::r6, [](Run& run) {
                   erase_at(run.app(kShip), run.app(kShip).find(Kind::received)[3]);
                   run.count(kShip, 1, "received", -1);
                 }});
  out.push_back({"delivered_uncounted", 1, Rule::rule11, [](Run& run) { run.count(kDesk, 1, "delivered", 3); }});
  out.push_back({"packet_twice", 1, Rule::rule7, [](Run& run) {
                   run.audit(kDesk).nth(Kind::packets, 1).row.sequence = 500;
                   run.count(kDesk, 1, "packets_accepted", 2);
                 }});
  out.push_back(
      {"marks_differ", 1, Rule::rule7, [](Run& run) { run.audit(kDesk).nth(Kind::packets, 1).row.value = 7; }});
  for (const char* pool : {"session.credit_bytes", "session.repair_bytes"}) {
    const auto of = [pool](LogicalFile& f) -> LogicalRow& {
      for (LogicalRow& r : f.rows) {
        if (r.kind == Kind::high_water && r.text == pool) return r;
      }
      throw std::out_of_range(pool);
    };
    out.push_back({std::string("over_") + pool, 1, Rule::rule8,
                   [of](Run& run) { of(run.audit("berlin/blue/broker")).row.value = 65; }});
    out.push_back({std::string("no_") + pool, 2, Rule::records,
                   [of](Run& run) { of(run.audit("berlin/blue/broker")).text = "small_blocks"; }});
  }
  out.push_back({"sent_over_its_credit", 1, Rule::rule8, [](Run& run) {
                   run.audit("berlin/blue/broker").nth(Kind::verdict, 0).row.code = record::kVerdictOverCredit;
                 }});
  out.push_back(
      {"over_bound", 1, Rule::rule8, [](Run& run) { run.audit(kDesk).nth(Kind::high_water, 0).row.value = 65; }});
  out.push_back(
      {"split_does_not_sum", 1, Rule::rule11, [](Run& run) { run.audit(kDesk).nth(Kind::split, 9).row.extra += 5; }});
  out.push_back({"split_floor", 1, Rule::rule11, [](Run& run) { run.audit(kDesk).nth(Kind::split, 9).row.last -= 5; }});
  out.push_back({"no_session", 1, Rule::rule7,
                 [](Run& run) { run.app(kDesk).nth(Kind::session_up, 0).row.time_ns = 9 * kSecond; }});
  out.push_back({"intended_moved", 2, Rule::records, [](Run& run) {
                   for (LogicalRow& r : run.app(kCrane).rows) {
                     if (r.kind == Kind::publish) r.row.intended_ns += 2 * kMs, r.row.sent_ns += 2 * kMs;
                   }
                 }});
  out.push_back({"load_not_offered", 2, Rule::records, [](Run& run) {
                   // The last message of the crane never existed.
                   LogicalFile& crane = run.app(kCrane);
                   const std::uint64_t last = crane.rows[crane.find(Kind::publish).back()].row.sequence;
                   for (const char* name : {"published", "accepted", "received"}) run.count(kCrane, 1, name, -1);
                   std::erase_if(crane.rows, [&](const LogicalRow& r) {
                     return r.row.sequence == last && r.topic == "berth/7/load";
                   });
                   drop_delivery(run, kDesk, [&](const LogicalRow& r) {
                     return r.topic == "berth/7/load" && r.row.sequence == last;
                   });
                 }});
  out.push_back({"ended_early", 2, Rule::records, [](Run& run) {
                   // All is told consistently, but the plan asks for three more seconds.
                   run.plan.drain_ns += 3 * kSecond;
                 }});
  out.push_back({"a_client_ended_early", 2, Rule::records, [](Run& run) {
                   for (LogicalRow& r : run.runner.rows) {
                     if (r.kind == Kind::stopped && r.row.value == honest::process(run.plan, kPilot)) {
                       r.row.time_ns -= 2 * kSecond;
                     }
                   }
                 }});
  out.push_back({"audit_rows_end_early", 2, Rule::records, [](Run& run) {
                   for (LogicalRow& r : run.audit("berlin/blue/broker").rows) {
                     r.row.time_ns = std::min<std::int64_t>(r.row.time_ns, 9 * kSecond);
                   }
                 }});
  out.push_back({"a_death_that_nobody_ordered", 2, Rule::records, [](Run& run) {
                   run.app(kPilot).end = run.audit(kPilot).end = record::EndCode::killed;
                   for (LogicalRow& r : run.runner.rows) {
                     if (r.kind == Kind::stopped && r.row.value == honest::process(run.plan, kPilot)) r.row.code = 1;
                   }
                 }});
  out.push_back({"fault_at_another_time", 2, Rule::records, [](Run& run) {
                   for (LogicalRow& r : run.runner.rows) {
                     if (r.kind == Kind::fault_on && r.row.value == 1) r.row.time_ns -= 3 * kSecond;
                   }
                 }});
  out.push_back({"refused_after_received", 1, Rule::r2, [](Run& run) { refuse_later(run, true); }});
  out.push_back({"refused_after_accepted", 1, Rule::r1, [](Run& run) { refuse_later(run, false); }});
  out.push_back(
      {"gap_messages_uncounted_by_engine", 1, Rule::r3, [](Run& run) { run.count(kPilot, 1, "gap_messages", -1); }});
  out.push_back({"gap_messages_uncounted_by_broker", 1, Rule::r3,
                 [](Run& run) { run.count("hamburg/blue/broker", 1, "gaps_told", -1); }});
  out.push_back({"told_messages_nobody_heard", 1, Rule::r3,
                 [](Run& run) { run.count("hamburg/blue/broker", 1, "gaps_told", 1); }});
  out.push_back({"consensus_out_of_nothing", 1, Rule::rule11,
                 [](Run& run) { run.audit(kDesk).nth(Kind::split, 9).row.last += 5; }});
  out.push_back({"uncertain_clock", 2, Rule::records, [](Run& run) {
                   LogicalRow clock{Kind::clock, {}, "", ""};
                   clock.row.value = kSecond;
                   LogicalFile& audit = run.audit(kDesk);
                   audit.rows.insert(audit.rows.begin(), clock);
                 }});
  out.push_back({"unreachable_without_a_cause", 1, Rule::r1, [](Run& run) {
                   // Brokers that had just met might excuse the first two seconds, and no more.
                   const auto early = [](const LogicalRow& r) {
                     return of_stream(r, "ais/1/position") && r.row.sequence <= 10;
                   };
                   drop_delivery(run, kDesk, early);
                   for (LogicalRow& r : run.app(kDesk).rows) {
                     if (r.kind == Kind::subscribed) r.row.sequence = 1;
                     if (r.kind == Kind::cursor && of_stream(r, "ais/1/position")) r.row.sequence = 11;
                   }
                 }});
  out.push_back({"never_confirmed", 2, Rule::r5, [](Run& run) {
                   LogicalFile& app = run.app("berlin/green/desk");
                   app.erase(Kind::subscribed);
                 }});
  return out;
}

TEST(Lies, TheHonestRunHolds) {
  const std::string folder = scratch("none");
  honest_run().write(folder);
  const Outcome o = outcome_of(folder);
  EXPECT_EQ(o.code, 0) << o.said;
  std::filesystem::remove_all(folder);
}

TEST(Lies, EachIsFoundByItsRule) {
  for (const Lie& lie : lies()) {
    SCOPED_TRACE(lie.name);
    const std::string folder = scratch(lie.name);
    honest::Run run = honest_run();
    ASSERT_NO_THROW(lie.tell(run));
    run.write(folder);
    const Outcome o = outcome_of(folder);
    EXPECT_EQ(o.code, lie.code) << o.said;
    EXPECT_TRUE(o.names(lie.rule)) << "rule " << name_of(lie.rule) << " said nothing\n" << o.said;
    std::filesystem::remove_all(folder);
  }
}

TEST(Lies, RowsOfALaterVersionAreSkippedAndCounted) {
  honest::Run run = honest_run();
  LogicalRow later{static_cast<Kind>(46), {}, "", ""};
  later.row.text = 0;
  run.app(kDesk).rows.insert(run.app(kDesk).rows.begin() + 5, later);
  later.kind = static_cast<Kind>(75);
  run.audit(kDesk).rows.insert(run.audit(kDesk).rows.begin(), later);
  const std::string folder = scratch("later");
  run.write(folder);
  const auto checked = check_run(folder, {});
  ASSERT_TRUE(checked.has_value());
  EXPECT_EQ((*checked)->judgement.exit_code(), Exit::held) << text(**checked);
  EXPECT_EQ((*checked)->run.unknown_rows(), 2u);
  std::filesystem::remove_all(folder);
}

// All rows of a kind gone from all files of their writer, everything else (numbers, hashes, manifest) made to fit.
TEST(Lies, NoKindOfRowCanBeLeftOut) {
  std::vector<Kind> kinds;
  for (std::uint16_t k = 1; k < 128; ++k) {
    if (!record::name_of(static_cast<Kind>(k)).empty()) kinds.push_back(static_cast<Kind>(k));
  }
  std::size_t deleted_kinds = 0;
  for (const Kind kind : kinds) {
    SCOPED_TRACE(std::string(record::name_of(kind)));
    honest::Run run = honest_run();
    std::size_t deleted = run.runner.find(kind).size();
    run.runner.erase(kind);
    for (LogicalFile& f : run.files) deleted += f.find(kind).size(), f.erase(kind);
    if (deleted == 0) continue;
    ++deleted_kinds;
    const std::string folder = scratch("kind");
    run.write(folder);
    const Outcome o = outcome_of(folder);
    EXPECT_NE(o.code, 0) << o.said;
    // What rows say is missing is inconclusive, unless a promise is seen broken by what is left.
    const bool promise = kind == Kind::deliver || kind == Kind::gap || kind == Kind::received || kind == Kind::accepted;
    if (!promise) {
      EXPECT_EQ(o.code, 2) << o.said;
    }
    std::filesystem::remove_all(folder);
  }
  EXPECT_GE(deleted_kinds, 26u);
}

// One row of each kind gone from the middle of one file.
TEST(Lies, NoSingleRowThatAMessageNeedsCanBeLeftOut) {
  const std::vector<std::pair<std::string, Kind>> cases = {
      {kDesk, Kind::subscribe}, {kDesk, Kind::subscribed}, {kDesk, Kind::cursor},  {kDesk, Kind::unsubscribe},
      {kDesk, Kind::deliver},   {kPilot, Kind::gap},       {kShip, Kind::publish}, {kShip, Kind::accepted},
      {kShip, Kind::received},  {kDesk, Kind::session_up}};
  for (const auto& [client, kind] : cases) {
    SCOPED_TRACE(std::string(record::name_of(kind)));
    const std::string folder = scratch("row");
    honest::Run run = honest_run();
    erase_at(run.app(client), middle(run.app(client), kind));
    run.write(folder);
    const Outcome o = outcome_of(folder);
    EXPECT_NE(o.code, 0) << o.said;
    std::filesystem::remove_all(folder);
  }
}

TEST(Lies, EveryRunnerRowCounts) {
  for (std::size_t i = 0; i < honest_run().runner.rows.size(); ++i) {
    honest::Run run = honest_run();
    const LogicalRow row = run.runner.rows[i];
    // Of totals of drops the seconds may say more.
    if (row.kind == Kind::link_counters && row.text.find("/dropped") != std::string::npos) continue;
    if (row.kind == Kind::fidelity && row.text.find('=') != std::string::npos) continue;  // how it ran, where said
    SCOPED_TRACE(std::string(record::name_of(row.kind)) + " " + row.text + " " + std::to_string(row.row.value));
    erase_at(run.runner, i);
    const std::string folder = scratch("runner");
    run.write(folder);
    const Outcome o = outcome_of(folder);
    EXPECT_EQ(o.code, 2) << o.said;
    std::filesystem::remove_all(folder);
  }
}

class Damage : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = scratch("damage");
    honest_run().write(folder_);
    for (const auto& e : std::filesystem::directory_iterator(folder_ + "/records")) files_.push_back(e.path());
    std::sort(files_.begin(), files_.end());
    ASSERT_GT(files_.size(), 15u);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::string slurp(const std::filesystem::path& path) { return read_file(path.string()).value(); }
  static void spill(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }
  // The file changed, judged, and put back.
  Outcome with(const std::filesystem::path& path, const std::string& bytes) {
    const std::string whole = slurp(path);
    spill(path, bytes);
    Outcome o = outcome_of(folder_);
    spill(path, whole);
    return o;
  }
  std::string folder_;
  std::vector<std::filesystem::path> files_;
};

TEST_F(Damage, TruncatingAnyFileIsInconclusive) {
  files_.push_back(folder_ + "/plan.json");
  for (const auto& path : files_) {
    const std::string whole = slurp(path);
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{100}, whole.size() / 2, whole.size() - 96, whole.size() - 1}) {
      const Outcome o = with(path, whole.substr(0, size));
      EXPECT_EQ(o.code, 2) << path << " cut to " << size << "\n" << o.said;
    }
  }
}

TEST_F(Damage, AMissingFileIsInconclusive) {
  for (const auto& path : files_) {
    const std::string whole = slurp(path);
    std::filesystem::remove(path);
    const Outcome o = outcome_of(folder_);
    EXPECT_EQ(o.code, 2) << path << "\n" << o.said;
    spill(path, whole);
  }
  std::filesystem::remove(folder_ + "/plan.json");
  EXPECT_EQ(outcome_of(folder_).code, 2);
  EXPECT_EQ(outcome_of(folder_ + ".none").code, 64);
}

TEST_F(Damage, AFlippedByteNeverPasses) {
  for (const auto& path : files_) {
    const std::string whole = slurp(path);
    for (std::size_t at = 9; at < whole.size(); at += whole.size() / 7 + 1) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
      const Outcome o = with(path, bytes);
      EXPECT_NE(o.code, 0) << path << " byte " << at << "\n" << o.said;
    }
  }
}

TEST_F(Damage, ARowCutOutNeverPasses) {
  for (const auto& path : files_) {
    const std::string whole = slurp(path);
    const std::size_t rows = (whole.size() - 256) / 96;
    for (std::size_t row = 0; row < rows; row += rows / 5 + 1) {
      const Outcome o = with(path, whole.substr(0, 256 + 96 * row) + whole.substr(256 + 96 * (row + 1)));
      EXPECT_NE(o.code, 0) << path << " row " << row << "\n" << o.said;
    }
  }
}

TEST_F(Damage, AFileOfAnotherRunIsNotBelieved) {
  plan::Plan other = eventful_plan();
  other.seed = 8;
  const std::string folder = scratch("other");
  honest::run_honestly(other).write(folder);
  for (const auto& path : files_) {
    const Outcome o = with(path, slurp(folder + "/records/" + path.filename().string()));
    EXPECT_EQ(o.code, 2) << path << "\n" << o.said;
  }
  std::filesystem::remove_all(folder);
}

// A duplicate is a failure however much else is missing (design, "Exit codes").
TEST(Lies, ABrokenInvariantOutranksMissingRecords) {
  const std::string folder = scratch("both");
  honest::Run run = honest_run();
  const std::size_t at = middle(run.app(kDesk), Kind::deliver);
  add_delivery(run, kDesk, at, run.app(kDesk).rows[at]);
  run.runner.erase(Kind::fidelity);
  run.write(folder);
  const Outcome o = outcome_of(folder);
  EXPECT_EQ(o.code, 1) << o.said;
  EXPECT_TRUE(o.names(Rule::records));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace portolan::check
