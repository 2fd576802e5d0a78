// Rule 12: the trace hashes of two runs of the same seed.
#include <fmt/format.h>

#include <algorithm>

#include "results/check/audit.hpp"
#include "results/record/hash.hpp"

namespace portolan::check {

using record::Kind;
using record::Row;

void hash_traces(Audit& audit) {
  record::Hasher hasher;
  for (const TraceOf& t : audit.traces) {
    const std::uint64_t words[4] = {t.process, t.incarnation, t.hash, t.calls};
    hasher.add({reinterpret_cast<const std::uint8_t*>(words), sizeof words});
  }
  audit.trace_hash = hasher.value();
}

Audit read_traces(const RunFiles& run) {
  Audit audit;
  for (const RecordFile& file : run.files) {
    if (file.reader.writer() != record::Writer::audit) continue;
    file.reader.for_each([&](const Row& row) {
      if (row.kind != static_cast<std::uint16_t>(Kind::trace)) return;
      audit.traces.push_back({file.process(), file.incarnation(), row.hash, row.value});
    });
  }
  hash_traces(audit);
  return audit;
}

void judge_traces(const Audit& mine, const Audit& other, Judgement& judgement) {
  if (mine.traces.empty() || other.traces.empty()) {
    judgement.undecided(Rule::rule12, "no trace hashes to compare", "runs", "");
    return;
  }
  if (mine.trace_hash == other.trace_hash) return;
  std::string first = fmt::format("{} engines here, {} there", mine.traces.size(), other.traces.size());
  for (std::size_t i = 0; i < std::min(mine.traces.size(), other.traces.size()); ++i) {
    const TraceOf& a = mine.traces[i];
    const TraceOf& b = other.traces[i];
    if (a.hash == b.hash && a.calls == b.calls && a.process == b.process && a.incarnation == b.incarnation) continue;
    first = fmt::format("process {} incarnation {}: {:016x} after {} calls, there {:016x} after {}", a.process,
                        a.incarnation, a.hash, a.calls, b.hash, b.calls);
    break;
  }
  judgement.fail(Rule::rule12, "trace hashes differ", "runs", first);
}

}  // namespace portolan::check
