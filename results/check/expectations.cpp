#include "results/check/expectations.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "results/check/windows.hpp"

namespace portolan::check {

namespace {

using plan::ExpectKind;

std::string shown(std::int64_t value, const std::string& unit) {
  if (unit == "ns") return fmt::format("{:.3f} ms", static_cast<double>(value) / 1e6);
  if (unit == "ppm") return fmt::format("{:.3f} %", static_cast<double>(value) / 1e4);
  if (unit == "permille") return fmt::format("{:.3f} times", static_cast<double>(value) / 1e3);
  return std::to_string(value);
}

class ExpectationJudge {
 public:
  ExpectationJudge(const RunFiles& run, const std::vector<Subscriber>& subscribers, const DeliveryJudge& delivery,
                   const std::vector<LinkWay>& links, const Audit& audit, const Statistics& statistics,
                   Judgement& judgement)
      : run_(run),
        delivery_(delivery),
        windows_(run, subscribers, links, audit),
        statistics_(statistics),
        judgement_(judgement) {}

  std::vector<Measured> judge() {
    std::vector<bool> gaps_named(run_.plan.topics.size(), false);
    for (const plan::Expectation& e : run_.plan.expectations) {
      if (e.kind == ExpectKind::gaps) {
        const std::vector<bool> topics = covered(run_.plan, e);
        for (Index t = 0; t < gaps_named.size(); ++t) gaps_named[t] = gaps_named[t] || topics[t];
      }
      out_.push_back(measure(e));
      report(out_.back());
    }
    default_gaps(gaps_named);
    return std::move(out_);
  }

 private:
  Counts counts(const plan::Expectation& e) const {
    Counts sum;
    const std::vector<bool> topics = covered(run_.plan, e);
    for (Index t = 0; t < topics.size(); ++t) {
      if (topics[t]) sum.add(delivery_.by_topic()[t]);
    }
    return sum;
  }

  // Nothing when there was no fault to recover from; the largest number when some stream never came back.
  std::optional<std::int64_t> recovery() const {
    std::optional<std::int64_t> worst;
    for (const FaultReport& f : statistics_.faults) {
      if (f.on) worst = std::max<std::int64_t>(worst.value_or(0), f.recovery.value_or(kNever));
    }
    return worst;
  }

  Measured measure(const plan::Expectation& e) {
    Measured m;
    m.expectation = &e;
    m.name = e.name;
    m.where = e.where;
    m.limit = e.limit;
    m.unit = "count";
    bool at_least = false;
    const auto number = [](std::uint64_t v) { return static_cast<std::int64_t>(v); };
    switch (e.kind) {
      case ExpectKind::lost:
        m.measured = number(counts(e).lost);
        break;
      case ExpectKind::gaps:
        m.measured = number(counts(e).gaps);
        break;
      case ExpectKind::duplicates:
        m.measured = number(counts(e).duplicates);
        break;
      case ExpectKind::disorder:
        m.measured = number(counts(e).disorder);
        break;
      case ExpectKind::refused:
        m.measured = number(counts(e).refused);
        break;
      case ExpectKind::deliveries:
        m.measured = number(counts(e).deliveries), at_least = true;
        break;
      case ExpectKind::busy:
        m.measured = number(counts(e).busy), at_least = true;
        break;
      case ExpectKind::latency_above_floor:
      case ExpectKind::latency:
      case ExpectKind::latency_rise:
        m.unit = "ns", m.measured = windows_.measure(e);
        break;
      case ExpectKind::recovery:
        m.unit = "ns", m.measured = recovery();
        break;
      case ExpectKind::repair_ratio: {
        m.unit = "permille";
        const RepairReport& r = statistics_.repair;
        if (r.lost_bytes > 0)
          m.measured = number(r.repair_bytes * 1000 / r.lost_bytes);
        else if (r.repair_bytes == 0)
          m.measured = 0;
        break;
      }
      case ExpectKind::spurious_repair:
        m.unit = "ppm", m.measured = windows_.measure(e);
        break;
      case ExpectKind::utilisation_most:
        m.unit = "ppm", m.measured = windows_.measure(e);
        break;
      case ExpectKind::queue:
        m.unit = "permille", m.measured = windows_.measure(e);
        break;
      case ExpectKind::utilisation_least:
      case ExpectKind::fairness:
      case ExpectKind::goodput:
        m.unit = "ppm", m.measured = windows_.measure(e), at_least = true;
        break;
    }
    if (!m.measured) {
      m.verdict = Verdict::inconclusive;
    } else if (at_least ? *m.measured < m.limit : *m.measured > m.limit) {
      m.verdict = Verdict::failed;
      m.by = at_least ? m.limit - *m.measured : *m.measured - m.limit;
    }
    return m;
  }

  void report(const Measured& m) {
    if (m.verdict == Verdict::held) return;
    Finding& finding = judgement_.add(Rule::expectation, m.verdict, Invariant::no, m.name, m.where);
    if (!m.measured) return judgement_.note(finding, "nothing to measure it by in this run");
    finding.measured = m.measured;
    finding.limit = m.limit;
    finding.by = m.by;
    const bool never = m.unit == "ns" && *m.measured == kNever;
    judgement_.note(finding, never ? fmt::format("some stream never came back, the limit is {}", shown(m.limit, m.unit))
                                   : fmt::format("measured {}, limit {}: off by {}", shown(*m.measured, m.unit),
                                                 shown(m.limit, m.unit), shown(m.by, m.unit)));
  }

  // `gaps` is an expectation that every topic has: 0 unless the scenario says otherwise.
  void default_gaps(const std::vector<bool>& named) {
    Measured m;
    m.name = "gaps at most 0 (by default)";
    m.unit = "count";
    std::uint64_t gaps = 0;
    for (Index t = 0; t < named.size(); ++t) gaps += named[t] ? 0 : delivery_.by_topic()[t].gaps;
    m.measured = static_cast<std::int64_t>(gaps);
    m.by = static_cast<std::int64_t>(gaps);
    m.verdict = gaps > 0 ? Verdict::failed : Verdict::held;
    if (std::all_of(named.begin(), named.end(), [](bool n) { return n; })) return;
    out_.push_back(m);
    report(m);
  }

  const RunFiles& run_;
  const DeliveryJudge& delivery_;
  const Windows windows_;
  const Statistics& statistics_;
  Judgement& judgement_;
  std::vector<Measured> out_;
};

}  // namespace

std::vector<Measured> judge_expectations(const RunFiles& run, const std::vector<Subscriber>& subscribers,
                                         const DeliveryJudge& delivery, const std::vector<LinkWay>& links,
                                         const Audit& audit, const Statistics& statistics, Judgement& judgement) {
  return ExpectationJudge(run, subscribers, delivery, links, audit, statistics, judgement).judge();
}

}  // namespace portolan::check
