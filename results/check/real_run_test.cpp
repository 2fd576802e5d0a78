// The same lies about a run of the simulator: real_run_test RUN. The run must hold as it is; no lie about it may. Takes
// any run whose clients subscribe and that lost nothing; registered in CTest behind real_run_test.py, which makes one.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include "results/check/check.hpp"
#include "results/check/output.hpp"
#include "results/record/names.hpp"
#include "results/testdata/honest_run.hpp"

namespace {

using namespace portolan;
using honest::LogicalFile;
using honest::LogicalRow;
using honest::Run;
using record::Kind;

int failures = 0;

struct Victim {  // the client that is lied about, and one stream of it with many deliveries
  std::string name;
  std::string topic;
  std::uint64_t publisher = 0;
  std::uint32_t incarnation = 0;
  bool of(const LogicalRow& r) const {
    return r.topic == topic && r.row.publisher == publisher && r.row.incarnation == incarnation;
  }
};

Victim choose(const Run& run) {
  Victim best;
  std::size_t most = 0;
  for (const LogicalFile& f : run.files) {
    if (f.writer != record::Writer::application || f.incarnation != 1) continue;
    std::map<std::tuple<std::string, std::uint64_t, std::uint32_t>, std::size_t> streams;
    for (const LogicalRow& r : f.rows) {
      if (r.kind == Kind::deliver) ++streams[{r.topic, r.row.publisher, r.row.incarnation}];
    }
    for (const auto& [key, count] : streams) {
      if (count <= most) continue;
      most = count;
      best = {run.plan.processes[f.process].name, std::get<0>(key), std::get<1>(key), std::get<2>(key)};
    }
  }
  return best;
}

std::vector<std::size_t> deliveries(Run& run, const Victim& v) {
  std::vector<std::size_t> out;
  const LogicalFile& app = run.app(v.name);
  for (const std::size_t i : app.find(Kind::deliver)) {
    if (v.of(app.rows[i])) out.push_back(i);
  }
  return out;
}

// So that neither engine nor host ever saw them.
void drop(Run& run, const Victim& v, const std::function<bool(const LogicalRow&)>& which) {
  const auto hit = [&](const LogicalRow& r) {
    return (r.kind == Kind::deliver || r.kind == Kind::split) && v.of(r) && which(r);
  };
  LogicalFile& app = run.app(v.name);
  const auto delivered = std::count_if(app.rows.begin(), app.rows.end(), hit);
  const auto split = std::count_if(run.audit(v.name).rows.begin(), run.audit(v.name).rows.end(), hit);
  std::erase_if(app.rows, hit);
  std::erase_if(run.audit(v.name).rows, hit);
  run.count(v.name, 1, "delivered", -delivered);
  run.count(v.name, 1, "unsplit", split - delivered);
}

void add(Run& run, const Victim& v, std::size_t after, LogicalRow row) {
  LogicalFile& app = run.app(v.name);
  app.rows.insert(app.rows.begin() + static_cast<std::ptrdiff_t>(after) + 1, std::move(row));
  run.count(v.name, 1, "delivered", 1);
  run.count(v.name, 1, "unsplit", 1);
}

struct Lie {
  std::string name;
  int code;  // 0: any but held
  std::function<void(Run&, const Victim&)> tell;
};

std::vector<Lie> lies() {
  const auto middle = [](Run& run, const Victim& v) {
    const auto at = deliveries(run, v);
    return at.at(at.size() / 2);
  };
  std::vector<Lie> out;
  out.push_back({"drop", 1, [=](Run& run, const Victim& v) {
                   const std::uint64_t seq = run.app(v.name).rows[middle(run, v)].row.sequence;
                   drop(run, v, [=](const LogicalRow& r) { return r.row.sequence == seq; });
                 }});
  out.push_back({"drop the last", 1, [](Run& run, const Victim& v) {
                   const std::uint64_t seq = run.app(v.name).rows[deliveries(run, v).back()].row.sequence;
                   drop(run, v, [=](const LogicalRow& r) { return r.row.sequence == seq; });
                 }});
  out.push_back({"drop a prefix", 1, [](Run& run, const Victim& v) {
                   const std::uint64_t first = run.app(v.name).rows[deliveries(run, v).front()].row.sequence;
                   drop(run, v, [=](const LogicalRow& r) { return r.row.sequence < first + 3; });
                 }});
  out.push_back({"drop the stream with its counter raised", 1, [](Run& run, const Victim& v) {
                   drop(run, v, [](const LogicalRow&) { return true; });
                   LogicalFile& app = run.app(v.name);
                   std::erase_if(app.rows, [&](const LogicalRow& r) { return v.of(r) && r.kind == Kind::cursor; });
                   std::uint64_t cursors = 0;
                   for (LogicalRow& r : app.rows) {
                     if (r.kind == Kind::cursor) ++cursors;
                     if (r.kind == Kind::subscribed) r.row.value = cursors;
                   }
                   run.count(v.name, 1, "drop", 100);
                 }});
  out.push_back({"duplicate", 1, [=](Run& run, const Victim& v) {
                   const std::size_t at = middle(run, v);
                   add(run, v, at, run.app(v.name).rows[at]);
                 }});
  out.push_back({"swap", 1, [](Run& run, const Victim& v) {
                   const auto at = deliveries(run, v);
                   auto& rows = run.app(v.name).rows;
                   std::swap(rows[at[5]].row.sequence, rows[at[6]].row.sequence);
                   std::swap(rows[at[5]].row.hash, rows[at[6]].row.hash);
                   std::swap(rows[at[5]].row.value, rows[at[6]].row.value);
                 }});
  out.push_back(
      {"flip a byte", 1, [=](Run& run, const Victim& v) { run.app(v.name).rows[middle(run, v)].row.hash ^= 1; }});
  out.push_back({"forge", 1, [=](Run& run, const Victim& v) {
                   const std::size_t at = deliveries(run, v).back();
                   LogicalRow row = run.app(v.name).rows[at];
                   row.row.sequence += 100'000;
                   add(run, v, at, row);
                 }});
  out.push_back({"deliver before publish", 1,
                 [=](Run& run, const Victim& v) { run.app(v.name).rows[middle(run, v)].row.time_ns = 1; }});
  out.push_back({"swap publishers", 1, [](Run& run, const Victim& v) {
                   // With any other publisher of the tenant.
                   const plan::Index mine = honest::process(run.plan, v.name);
                   for (const plan::Process& p : run.plan.processes) {
                     if (p.kind != plan::ProcessKind::client || p.id == v.publisher ||
                         p.tenant != run.plan.processes[mine].tenant)
                       continue;
                     for (LogicalRow& r : run.app(v.name).rows) {
                       if (r.kind == Kind::deliver && v.of(r)) r.row.publisher = p.id;
                     }
                     return;
                   }
                 }});
  out.push_back({"lose a packet's uniqueness", 1, [](Run& run, const Victim& v) {
                   LogicalFile& audit = run.audit(v.name);
                   const std::size_t at = audit.find(Kind::packets).front();
                   const LogicalRow again = audit.rows[at];
                   audit.rows.insert(audit.rows.begin() + static_cast<std::ptrdiff_t>(at), again);
                   run.count(v.name, 1, "packets_accepted",
                             static_cast<std::int64_t>(again.row.last - again.row.sequence + 1));
                 }});
  for (std::uint16_t k = 1; k < 128; ++k) {
    const auto kind = static_cast<Kind>(k);
    if (record::name_of(kind).empty()) continue;
    out.push_back({"no rows of kind " + std::string(record::name_of(kind)), 0, [=](Run& run, const Victim&) {
                     run.runner.erase(kind);
                     for (LogicalFile& f : run.files) f.erase(kind);
                   }});
  }
  return out;
}

bool has(const Run& run, const Run& lied) {
  std::size_t a = run.runner.rows.size(), b = lied.runner.rows.size();
  for (const LogicalFile& f : run.files) a += f.rows.size();
  for (const LogicalFile& f : lied.files) b += f.rows.size();
  return a != b;
}

int judged(const std::string& folder, std::string& said) {
  const auto checked = check::check_run(folder, {});
  if (!checked) {
    said = checked.error().text();
    return static_cast<int>(checked.error().code);
  }
  said = check::text(**checked);
  return static_cast<int>((*checked)->judgement.exit_code());
}

void expect(const std::string& what, bool ok, int code, const std::string& said) {
  if (ok) return;
  ++failures;
  fmt::print("{}: exit {}\n{}\n", what, code, said);
}

void truncations(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<fs::path> paths;
  for (const auto& e : fs::directory_iterator(folder + "/records")) paths.push_back(e.path());
  for (const fs::path& path : paths) {
    const std::string whole = check::read_file(path.string()).value();
    for (const std::size_t size : {whole.size() / 2, whole.size() - 96}) {
      std::ofstream(path, std::ios::binary | std::ios::trunc) << whole.substr(0, size);
      std::string said;
      const int code = judged(folder, said);
      expect(fmt::format("{} cut to {} bytes", path.filename().string(), size), code == 2, code, said);
    }
    std::ofstream(path, std::ios::binary | std::ios::trunc) << whole;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 64;
  const std::string folder = argv[1], scratch = folder + ".lie";
  const Run run = honest::read_run(folder);
  const Victim victim = choose(run);
  std::string said;
  int code = judged(folder, said);
  expect("the run itself", code == 0, code, said);
  std::filesystem::remove_all(scratch);
  run.write(scratch);
  code = judged(scratch, said);
  expect("the run, written anew", code == 0, code, said);
  std::size_t told = 0;
  for (const Lie& lie : lies()) {
    Run lied = run;
    lie.tell(lied, victim);
    if (lie.code == 0 && !has(run, lied)) continue;  // the run has no such rows
    std::filesystem::remove_all(scratch);
    lied.write(scratch);
    code = judged(scratch, said);
    expect(lie.name, lie.code == 0 ? code != 0 : code == lie.code, code, said);
    ++told;
  }
  std::filesystem::remove_all(scratch);
  run.write(scratch);
  truncations(scratch);
  std::filesystem::remove_all(scratch);
  fmt::print("{} lies about {} ({}), {} not found\n", told, victim.name, victim.topic, failures);
  return failures == 0 ? 0 : 1;
}
