// Judges the hosts' own rows: packet numbers (7), bounds (8), counters against rows (R3, 11), where the time went,
// sessions between brokers, trace hashes (12). Collects what the summary shows of them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "results/check/subscriber.hpp"

namespace portolan::check {

struct Mark {
  std::string process, name;
  std::uint64_t used = 0, bound = 0;
};

struct TraceOf {
  Index process = 0;
  std::uint32_t incarnation = 0;
  std::uint64_t hash = 0, calls = 0;
};

struct Audit {
  std::map<std::string, std::uint64_t> totals;  // counters by "name" or "name/code", last values, all processes
  std::vector<Mark> marks;                      // by process and pool: the most
  std::vector<TraceOf> traces;
  std::uint64_t trace_hash = 0;  // over all of them in order
  std::uint64_t run_trace = 0;   // the runner's own, of the whole run
  std::uint64_t packets = 0, verdicts = 0, splits = 0, unsplit = 0;
  std::map<std::string, std::uint64_t> links;     // link_counters rows
  std::map<std::string, std::uint64_t> fidelity;  // fidelity rows
  std::map<std::string, std::string> ran;         // of those: runner, fidelity, reassembly
};

Audit judge_audit(const RunFiles& run, const Timeline& timeline, Ledger& ledger,
                  const std::vector<Subscriber>& subscribers, Judgement& judgement);

// Fills in trace_hash from traces.
void hash_traces(Audit& audit);
// Rule 12: the traces of the other run of the same seed.
void judge_traces(const Audit& mine, const Audit& other, Judgement& judgement);
// The traces of a run alone, without judging anything else.
Audit read_traces(const RunFiles& run);

}  // namespace portolan::check
