// How a run held in memory is looked up, changed and written.
#include <sodium/crypto_hash_sha256.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "results/testdata/honest_run.hpp"

namespace portolan::honest {

using record::Kind;
using record::Row;

std::vector<std::size_t> LogicalFile::find(Kind kind) const {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].kind == kind) out.push_back(i);
  }
  return out;
}

LogicalRow& LogicalFile::nth(Kind kind, std::size_t n) {
  return rows.at(find(kind).at(n));
}
void LogicalFile::erase(Kind kind) {
  std::erase_if(rows, [&](const LogicalRow& r) { return r.kind == kind; });
}

namespace {

LogicalFile& file_of(Run& run, record::Writer writer, const std::string& name, std::uint32_t incarnation) {
  const Index p = process(run.plan, name);
  for (LogicalFile& f : run.files) {
    if (f.writer == writer && f.process == p && f.incarnation == incarnation) return f;
  }
  throw std::out_of_range("no file of " + name);
}

}  // namespace

LogicalFile& Run::app(const std::string& name, std::uint32_t incarnation) {
  return file_of(*this, record::Writer::application, name, incarnation);
}
LogicalFile& Run::audit(const std::string& name, std::uint32_t incarnation) {
  return file_of(*this, record::Writer::audit, name, incarnation);
}

void Run::count(const std::string& name, std::uint32_t incarnation, const std::string& what, std::int64_t more) {
  LogicalFile& f = audit(name, incarnation);
  for (std::size_t i = f.rows.size(); i-- > 0;) {
    if (f.rows[i].kind != Kind::counter || f.rows[i].text != what) continue;
    f.rows[i].row.value += static_cast<std::uint64_t>(more);
    return;
  }
  throw std::out_of_range("no counter " + what);
}

void Run::write(const std::string& folder) const {
  namespace fs = std::filesystem;
  fs::create_directories(folder + "/records");
  const std::string text = plan::to_json(plan);
  std::ofstream(folder + "/plan.json", std::ios::binary) << text;
  std::array<std::uint8_t, 32> sha{};
  crypto_hash_sha256(sha.data(), reinterpret_cast<const unsigned char*>(text.data()), text.size());
  LogicalFile last = runner;
  const auto write_one = [&](const LogicalFile& f) {
    record::Header header =
        record::make_header(f.writer, f.process, 0, f.incarnation, plan::kNone, "runner", plan.seed, sha);
    if (f.process != plan::kNone) {
      const plan::Process& p = plan.processes[f.process];
      header = record::make_header(f.writer, f.process, p.id, f.incarnation, p.node, p.name, plan.seed, sha);
    }
    header.clock_domain = f.clock_domain;
    auto writer = record::RecordWriter::create(folder + "/records/" + f.name, header);
    for (const LogicalRow& r : f.rows) {
      Row row = r.row;
      row.topic = writer->intern(r.topic);
      row.text = writer->intern(r.text);
      writer->put(r.kind, row);
    }
    return *writer->finish(f.end);
  };
  for (const LogicalFile& f : files) {
    const record::FileSummary summary = write_one(f);
    Row row;
    for (const LogicalRow& r : runner.rows) row.time_ns = std::max(row.time_ns, r.row.time_ns);
    row.value = summary.rows;
    row.hash = summary.hash;
    last.rows.push_back({Kind::file, row, "", f.name});
  }
  write_one(last);
}

}  // namespace portolan::honest
