// One record file of the run, with the run's time filled in. Closed files are listed for the runner's manifest.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "results/record/writer.hpp"
#include "scenarios/plan/plan.hpp"

namespace portolan::sim {

struct ClosedFile {
  std::string name;
  record::FileSummary summary;
};

// Where the files of a run go, and what became of them.
class RecordFolder {
 public:
  RecordFolder(const plan::Plan& plan, std::string folder, const std::array<std::uint8_t, 32>& plan_sha256,
               std::uint64_t seed)
      : plan_(plan), folder_(std::move(folder)), plan_sha256_(plan_sha256), seed_(seed) {}

  Expected<record::RecordWriter> open(record::Writer writer, plan::Index process, std::uint32_t incarnation,
                                      std::string& name);
  void closed(ClosedFile file) { closed_.push_back(std::move(file)); }
  const std::vector<ClosedFile>& files() const { return closed_; }
  // The first error of any file; a run whose records are not whole must not pass.
  void failed(const Error& error) {
    if (!error_) error_ = std::make_unique<Error>(error);
  }
  const Error* error() const { return error_.get(); }

 private:
  const plan::Plan& plan_;
  std::string folder_;
  std::array<std::uint8_t, 32> plan_sha256_;
  std::uint64_t seed_;
  std::vector<ClosedFile> closed_;
  std::unique_ptr<Error> error_;
};

class Recorder {
 public:
  static Expected<std::unique_ptr<Recorder>> open(RecordFolder& folder, record::Writer writer, plan::Index process,
                                                  std::uint32_t incarnation);

  void add(record::Row row);  // time: now
  void add(record::Kind kind, record::Row row) {
    row.kind = static_cast<std::uint16_t>(kind);
    add(row);
  }
  void add_at(std::int64_t time_ns, record::Kind kind, record::Row row);
  std::uint32_t text(std::string_view text) { return writer_.intern(text); }
  std::uint32_t text_of(std::span<const char> text) { return writer_.intern({text.data(), text.size()}); }
  void packets(std::uint64_t uid, std::uint64_t first, std::uint64_t last);
  // Written only when it moved since the last time, and once at the start.
  void counter(std::string_view name, std::uint32_t code, std::uint64_t value);
  void counter_row(std::string_view name, std::uint64_t value);  // link_counters, always written
  void high_water(std::string_view name, std::uint64_t used_most, std::uint64_t bound);
  void end(record::EndCode code);

 private:
  Recorder(RecordFolder& folder, record::RecordWriter writer, std::string name)
      : folder_(folder), writer_(std::move(writer)), name_(std::move(name)) {}
  RecordFolder& folder_;
  record::RecordWriter writer_;
  std::string name_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t> last_counter_;
  std::map<std::uint32_t, std::uint64_t> last_mark_;
  bool ended_ = false;
};

}  // namespace portolan::sim
