// What the checker found: rules, findings with their numbers and first examples, and the exit code they add up to.
// Rules are those of the design's "What the checker decides"; results/RECORDS.md says which rows decide each.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "scenarios/base/error.hpp"

namespace portolan::check {

enum class Rule : std::uint8_t { r1, r2, r3, r4, r5, r6, rule6, rule7, rule8, rule11, rule12, records, expectation };
inline constexpr std::size_t kRules = 13;
std::string_view name_of(Rule rule);   // "R1", "7", "records"
std::string_view title_of(Rule rule);  // one line for people

enum class Verdict : std::uint8_t { held, failed, inconclusive };
std::string_view name_of(Verdict verdict);

// An invariant that is broken however late the harness was: exit 1 whatever else is inconclusive.
enum class Invariant : std::uint8_t { no, duplicate, corruption, disorder };

inline constexpr std::size_t kMaxExamples = 5;
inline constexpr std::size_t kMaxFindings = 500;  // beyond: counted in the last one of their rule

struct Finding {
  Rule rule = Rule::records;
  Verdict verdict = Verdict::failed;
  Invariant invariant = Invariant::no;
  std::string what;   // "lost", "duplicate delivery": the kind of trouble
  std::string where;  // topic family, process or file
  std::uint64_t count = 0;
  std::vector<std::string> examples;
  std::optional<std::int64_t> measured, limit, by;  // expectations
};

class Judgement {
 public:
  void fail(Rule rule, std::string_view what, std::string_view where, std::string example,
            Invariant invariant = Invariant::no);
  void undecided(Rule rule, std::string_view what, std::string_view where, std::string example);
  Finding& add(Rule rule, Verdict verdict, Invariant invariant, std::string_view what, std::string_view where);
  // Many of the same at once.
  void note(Finding& finding, std::string example, std::uint64_t count = 1);

  const std::vector<Finding>& findings() const { return findings_; }
  Verdict verdict_of(Rule rule) const;
  bool invariant_broken() const;
  // 2 before 1, but a broken invariant is 1 (design, "Exit codes").
  Exit exit_code() const;
  Verdict verdict() const;
  // A rule with nothing to judge by must not read as held.
  void not_applicable(Rule rule) { applicable_[static_cast<std::size_t>(rule)] = false; }
  bool applicable(Rule rule) const { return applicable_[static_cast<std::size_t>(rule)]; }

 private:
  std::vector<Finding> findings_;
  std::map<std::string, std::size_t> index_;
  std::array<bool, kRules> applicable_{true, true, true, true, true, true, true, true, true, true, true, true, true};
};

}  // namespace portolan::check
