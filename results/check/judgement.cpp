#include "results/check/judgement.hpp"

#include <algorithm>

namespace portolan::check {

std::string_view name_of(Rule rule) {
  static constexpr std::array<std::string_view, kRules> names = {"R1", "R2", "R3", "R4", "R5",      "R6",         "6",
                                                                 "7",  "8",  "11", "12", "records", "expectation"};
  return names[static_cast<std::size_t>(rule)];
}

std::string_view title_of(Rule rule) {
  switch (rule) {
    case Rule::r1:
      return "each owed message is delivered once, in order, or lies in an explained gap";
    case Rule::r2:
      return "a received message reached every subscriber whose start cursor it follows";
    case Rule::r3:
      return "each gap has its counter, each counter its gap";
    case Rule::r4:
      return "payloads are those that the plan computes";
    case Rule::r5:
      return "every topic with load and subscribers has something owed, and the records are whole";
    case Rule::r6:
      return "accepted messages are received or gapped within `settle`";
    case Rule::rule6:
      return "no message mixes with another";
    case Rule::rule7:
      return "no packet number is accepted twice, nothing unauthenticated is delivered";
    case Rule::rule8:
      return "slots, buffers, repair rate and credit stay within their bounds";
    case Rule::rule11:
      return "owed = delivered + gaps after the drain, and the metrics agree";
    case Rule::rule12:
      return "the same seed gives the same trace hash";
    case Rule::records:
      return "records are present, whole and what the plan asks for";
    case Rule::expectation:
      return "the scenario's expectations";
  }
  return "";
}

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::held:
      return "held";
    case Verdict::failed:
      return "failed";
    case Verdict::inconclusive:
      return "inconclusive";
  }
  return "";
}

Finding& Judgement::add(Rule rule, Verdict verdict, Invariant invariant, std::string_view what,
                        std::string_view where) {
  std::string key = std::string(name_of(rule)) + '\n' + std::string(name_of(verdict)) + '\n' + std::string(what) + '\n';
  key += findings_.size() < kMaxFindings ? where : std::string_view("elsewhere");
  const auto [at, fresh] = index_.try_emplace(key, findings_.size());
  if (fresh) {
    Finding finding;
    finding.rule = rule;
    finding.verdict = verdict;
    finding.invariant = invariant;
    finding.what = what;
    finding.where = findings_.size() < kMaxFindings ? where : std::string_view("elsewhere");
    findings_.push_back(std::move(finding));
  }
  return findings_[at->second];
}

void Judgement::note(Finding& finding, std::string example, std::uint64_t count) {
  finding.count += count;
  if (!example.empty() && finding.examples.size() < kMaxExamples) finding.examples.push_back(std::move(example));
}

void Judgement::fail(Rule rule, std::string_view what, std::string_view where, std::string example,
                     Invariant invariant) {
  note(add(rule, Verdict::failed, invariant, what, where), std::move(example));
}

void Judgement::undecided(Rule rule, std::string_view what, std::string_view where, std::string example) {
  note(add(rule, Verdict::inconclusive, Invariant::no, what, where), std::move(example));
}

Verdict Judgement::verdict_of(Rule rule) const {
  Verdict verdict = Verdict::held;
  for (const Finding& f : findings_) {
    if (f.rule != rule) continue;
    if (f.verdict == Verdict::failed) return Verdict::failed;
    verdict = Verdict::inconclusive;
  }
  return verdict;
}

bool Judgement::invariant_broken() const {
  return std::any_of(findings_.begin(), findings_.end(),
                     [](const Finding& f) { return f.verdict == Verdict::failed && f.invariant != Invariant::no; });
}

Exit Judgement::exit_code() const {
  if (findings_.empty()) return Exit::held;
  if (invariant_broken()) return Exit::failed;
  const bool undecided = std::any_of(findings_.begin(), findings_.end(),
                                     [](const Finding& f) { return f.verdict == Verdict::inconclusive; });
  return undecided ? Exit::inconclusive : Exit::failed;
}

Verdict Judgement::verdict() const {
  const Exit code = exit_code();
  return code == Exit::held ? Verdict::held : code == Exit::failed ? Verdict::failed : Verdict::inconclusive;
}

}  // namespace portolan::check
