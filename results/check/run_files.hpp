// Opens a run directory: the plan and every record file, and says what is missing, damaged or not as the manifest and
// the plan ask. What is wrong becomes findings of rule `records` (inconclusive); what can be read is read.
#pragma once

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "results/check/judgement.hpp"
#include "results/record/reader.hpp"
#include "scenarios/plan/plan.hpp"

namespace portolan::check {

using plan::Index;
using plan::Ns;

// What a clock domain's `clock` rows say: from then on, on that clock.
struct ClockPoint {
  Ns from = 0;
  Ns offset = 0;
  Ns uncertainty = 0;
};

struct RecordFile {
  std::string name;  // within records/
  record::RecordReader reader;
  bool whole = true;              // intact, and as the manifest says
  std::vector<ClockPoint> clock;  // of its domain, by time; the header holds until the first
  Index process() const { return reader.header().process; }
  std::uint32_t incarnation() const { return reader.header().incarnation; }
  // A time of this file's clock on the run's timeline.
  Ns on_run(Ns own) const {
    const auto after =
        std::upper_bound(clock.begin(), clock.end(), own, [](Ns t, const ClockPoint& p) { return t < p.from; });
    return own + (after == clock.begin() ? reader.header().clock_offset_ns : std::prev(after)->offset);
  }
  Ns time(const record::Row& row) const { return on_run(row.time_ns); }
  Ns uncertainty() const { return worst_uncertainty; }
  Ns worst_uncertainty = 0;  // of the run: the header's, or a clock point's
};

struct RunFiles {
  std::string folder;
  plan::Plan plan;
  std::string plan_sha256;        // hexadecimal
  std::vector<RecordFile> files;  // sorted by process, incarnation, writer; the runner's last
  const RecordFile* runner = nullptr;

  // The file of a writer, or null.
  const RecordFile* find(record::Writer writer, Index process, std::uint32_t incarnation) const;
  bool whole(record::Writer writer, Index process, std::uint32_t incarnation) const;
  std::string process_name(Index process) const;
  std::uint64_t rows() const;
  std::uint64_t unknown_rows() const;  // of kinds that this version does not know
  Ns uncertainty() const;              // the worst of all clocks
  std::uint64_t bytes() const;
};

// An error only where there is nothing to judge at all (no such folder: 64; no readable plan: 2).
Expected<RunFiles> open_run(const std::string& folder, Judgement& judgement);

std::string sha256_hex(std::string_view bytes);
Expected<std::string> read_file(const std::string& path);

}  // namespace portolan::check
