#include "results/check/run_files.hpp"

#include <sodium/crypto_hash_sha256.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "results/record/names.hpp"

namespace portolan::check {

namespace fs = std::filesystem;

std::string sha256_hex(std::string_view bytes) {
  std::array<unsigned char, crypto_hash_sha256_BYTES> digest{};
  crypto_hash_sha256(digest.data(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  static constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  for (const unsigned char b : digest) {
    hex += digits[b >> 4];
    hex += digits[b & 15];
  }
  return hex;
}

Expected<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return fail(Exit::inconclusive, path, "cannot be read");
  return text.str();
}

const RecordFile* RunFiles::find(record::Writer writer, Index process, std::uint32_t incarnation) const {
  const auto key = [](const RecordFile& f) { return std::tuple(f.process(), f.incarnation(), f.reader.writer()); };
  const auto wanted = std::tuple(process, incarnation, writer);
  const auto at = std::lower_bound(files.begin(), files.end(), wanted,
                                   [&](const RecordFile& f, const auto& w) { return key(f) < w; });
  return at != files.end() && key(*at) == wanted ? &*at : nullptr;
}

bool RunFiles::whole(record::Writer writer, Index process, std::uint32_t incarnation) const {
  const RecordFile* file = find(writer, process, incarnation);
  return file != nullptr && file->whole;
}

std::string RunFiles::process_name(Index process) const {
  return process < plan.processes.size() ? plan.processes[process].name : "runner";
}

std::uint64_t RunFiles::unknown_rows() const {
  std::uint64_t sum = 0;
  for (const RecordFile& f : files) sum += f.reader.unknown_rows();
  return sum;
}

Ns RunFiles::uncertainty() const {
  Ns worst = 0;
  for (const RecordFile& f : files) worst = std::max(worst, f.uncertainty());
  return worst;
}

std::uint64_t RunFiles::rows() const {
  std::uint64_t sum = 0;
  for (const RecordFile& f : files) sum += f.reader.summary().rows;
  return sum;
}

std::uint64_t RunFiles::bytes() const {
  std::uint64_t sum = 0;
  for (const RecordFile& f : files) sum += f.reader.summary().bytes;
  return sum;
}

namespace {

std::string hex_of(const std::array<std::uint8_t, 32>& bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  for (const std::uint8_t b : bytes) {
    hex += digits[b >> 4];
    hex += digits[b & 15];
  }
  return hex;
}

// "" when the header belongs to this plan, or what does not.
std::string header_fault(const RunFiles& run, const RecordFile& file) {
  const record::Header& h = file.reader.header();
  if (hex_of(h.plan_sha256) != run.plan_sha256) return "was written for another plan (SHA-256 differs)";
  if (h.seed != run.plan.seed) return "was written for another seed";
  if (file.reader.writer() == record::Writer::runner) {
    return h.process == plan::kNone ? "" : "header names a process, but the runner wrote it";
  }
  if (h.process >= run.plan.processes.size()) return "header names a process that the plan does not have";
  const plan::Process& p = run.plan.processes[h.process];
  if (h.process_id != p.id || h.host != p.node || h.incarnation == 0 ||
      file.reader.process_name() != std::string_view(p.name).substr(0, 63)) {
    return "header does not fit the plan's process " + p.name;
  }
  if (file.reader.writer() == record::Writer::application && p.kind != plan::ProcessKind::client) {
    return "application rows of a broker";
  }
  return "";
}

void read_files(RunFiles& run, Judgement& judgement) {
  std::vector<std::string> names;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(run.folder + "/records", ec)) {
    if (entry.path().extension() == ".rec") names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    auto reader = record::RecordReader::open(run.folder + "/records/" + name);
    if (!reader) {
      judgement.undecided(Rule::records, "unreadable file", name, reader.error().cause);
      continue;
    }
    RecordFile file{name, std::move(*reader), true, {}};
    for (const std::string& defect : file.reader.defects()) {
      judgement.undecided(Rule::records, "damaged file", name, defect);
      file.whole = false;
    }
    if (const std::string fault = header_fault(run, file); !fault.empty()) {
      judgement.undecided(Rule::records, "foreign file", name, fault);
      continue;
    }
    run.files.push_back(std::move(file));
  }
  std::sort(run.files.begin(), run.files.end(), [](const RecordFile& a, const RecordFile& b) {
    return std::tuple(a.process(), a.incarnation(), a.reader.writer(), a.name) <
           std::tuple(b.process(), b.incarnation(), b.reader.writer(), b.name);
  });
  for (std::size_t i = 1; i < run.files.size(); ++i) {
    const RecordFile& a = run.files[i - 1];
    const RecordFile& b = run.files[i];
    if (a.process() == b.process() && a.incarnation() == b.incarnation() && a.reader.writer() == b.reader.writer()) {
      judgement.undecided(Rule::records, "two files of one writer", b.name, "the other is " + a.name);
    }
  }
}

// `clock` rows count for every file of their clock domain.
void read_clocks(RunFiles& run) {
  std::map<std::uint32_t, std::vector<ClockPoint>> domains;
  for (const RecordFile& file : run.files) {
    file.reader.for_each([&](const record::Row& row) {
      if (row.kind != static_cast<std::uint16_t>(record::Kind::clock)) return;
      domains[file.reader.header().clock_domain].push_back({row.time_ns, row.extra, static_cast<Ns>(row.value)});
    });
  }
  for (auto& [domain, points] : domains) {
    std::stable_sort(points.begin(), points.end(),
                     [](const ClockPoint& a, const ClockPoint& b) { return a.from < b.from; });
  }
  for (RecordFile& file : run.files) {
    const auto at = domains.find(file.reader.header().clock_domain);
    if (at != domains.end()) file.clock = at->second;
    file.worst_uncertainty = static_cast<Ns>(file.reader.header().clock_uncertainty_ns);
    for (const ClockPoint& p : file.clock) file.worst_uncertainty = std::max(file.worst_uncertainty, p.uncertainty);
  }
}

// Every file but the runner's is listed in the manifest with its rows and hash, and the other way round.
void check_manifest(RunFiles& run, Judgement& judgement) {
  struct Listed {
    std::uint64_t rows, hash;
    bool seen = false;
  };
  std::map<std::string, Listed> manifest;
  run.runner->reader.for_each([&](const record::Row& row) {
    if (row.kind == static_cast<std::uint16_t>(record::Kind::file)) {
      manifest.try_emplace(std::string(run.runner->reader.text(row.text)), Listed{row.value, row.hash});
    }
  });
  for (RecordFile& file : run.files) {
    if (&file == run.runner) continue;
    const auto at = manifest.find(file.name);
    if (at == manifest.end()) {
      if (run.runner->whole) judgement.undecided(Rule::records, "file not in the manifest", file.name, "");
      file.whole = false;
      continue;
    }
    at->second.seen = true;
    const record::FileSummary is = file.reader.summary();
    if (is.rows != at->second.rows || is.hash != at->second.hash) {
      judgement.undecided(Rule::records, "file differs from the manifest", file.name,
                          std::to_string(is.rows) + " rows, the manifest says " + std::to_string(at->second.rows) +
                              (is.rows == at->second.rows ? " (the hash differs)" : ""));
      file.whole = false;
    }
  }
  for (const auto& [name, listed] : manifest) {
    if (!listed.seen) judgement.undecided(Rule::records, "file of the manifest is missing or unusable", name, "");
  }
}

}  // namespace

Expected<RunFiles> open_run(const std::string& folder, Judgement& judgement) {
  std::error_code ec;
  if (!fs::is_directory(folder, ec)) return fail(Exit::usage, folder, "no such run directory");
  RunFiles run;
  run.folder = folder;
  const auto text = read_file(folder + "/plan.json");
  if (!text) return fail(Exit::inconclusive, text.error().place, "no plan to judge by: " + text.error().cause);
  run.plan_sha256 = sha256_hex(*text);
  auto parsed = plan::from_json(*text, folder + "/plan.json");
  if (!parsed) return fail(Exit::inconclusive, parsed.error().place, "no plan to judge by: " + parsed.error().cause);
  run.plan = std::move(*parsed);
  read_files(run, judgement);
  read_clocks(run);
  for (const RecordFile& file : run.files) {
    if (file.reader.writer() == record::Writer::runner) run.runner = &file;
  }
  if (run.runner == nullptr) {
    judgement.undecided(Rule::records, "no runner.rec", "records/",
                        "starts, stops, faults and the manifest are unknown");
  } else {
    check_manifest(run, judgement);
  }
  return run;
}

}  // namespace portolan::check
