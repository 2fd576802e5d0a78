// Takes a run directory apart into logical rows.
#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "results/record/reader.hpp"
#include "results/testdata/honest_run.hpp"

namespace portolan::honest {

Run read_run(const std::string& folder) {
  Run run;
  auto plan = plan::read_plan(folder + "/plan.json");
  if (!plan) throw std::runtime_error(plan.error().text());
  run.plan = std::move(*plan);
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/records")) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) {
    const auto reader = record::RecordReader::open(path.string());
    if (!reader) throw std::runtime_error(reader.error().text());
    LogicalFile file;
    file.writer = reader->writer();
    file.process = reader->header().process;
    file.incarnation = reader->header().incarnation;
    file.name = path.filename().string();
    file.end = reader->killed() ? record::EndCode::killed : record::EndCode::finished;
    reader->for_each([&](const record::Row& row) {
      const auto kind = static_cast<record::Kind>(row.kind);
      if (kind == record::Kind::file) return;  // written anew
      file.rows.push_back({kind, row, std::string(reader->text(row.topic)), std::string(reader->text(row.text))});
    });
    if (file.writer == record::Writer::runner) {
      run.runner = std::move(file);
    } else {
      run.files.push_back(std::move(file));
    }
  }
  return run;
}

}  // namespace portolan::honest
