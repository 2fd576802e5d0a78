#include "sim/lean/recorder.hpp"

#include <algorithm>

#include "sim/lean/scheduler.hpp"

namespace portolan::sim {

namespace {

// A thousand harbours have three thousand files: with the common buffer a fifth of all the memory of their run.
constexpr std::size_t kBuffersBytes = 48u << 20;
constexpr std::size_t kBufferLeastBytes = 8u << 10;

std::size_t buffer_bytes(std::size_t processes) {
  return std::clamp(kBuffersBytes / (2 * processes + 1), kBufferLeastBytes, record::kDefaultBufferBytes);
}

}  // namespace

Expected<record::RecordWriter> RecordFolder::open(record::Writer writer, plan::Index process, std::uint32_t incarnation,
                                                  std::string& name) {
  std::string label = "runner";
  std::uint64_t id = 0;
  std::uint32_t host = plan::kNone;
  std::string file = "runner.rec";
  if (process != plan::kNone) {
    label = plan_.processes[process].name;
    id = plan_.processes[process].id;
    host = plan_.processes[process].node;
    file = label;
    for (char& c : file) {
      if (c == '/') c = '_';
    }
    file += "." + std::to_string(incarnation) + (writer == record::Writer::application ? ".app.rec" : ".audit.rec");
  }
  name = file;
  return record::RecordWriter::create(
      folder_ + "/" + file, record::make_header(writer, process, id, incarnation, host, label, seed_, plan_sha256_),
      buffer_bytes(plan_.processes.size()));
}

Expected<std::unique_ptr<Recorder>> Recorder::open(RecordFolder& folder, record::Writer writer, plan::Index process,
                                                   std::uint32_t incarnation) {
  std::string name;
  auto file = folder.open(writer, process, incarnation, name);
  if (!file) return tl::unexpected<Error>(file.error());
  return std::unique_ptr<Recorder>(new Recorder(folder, std::move(*file), std::move(name)));
}

void Recorder::add(record::Row row) {
  row.time_ns = static_cast<std::int64_t>(now_ns());
  if (!writer_.put(row)) folder_.failed(writer_.error());
}

void Recorder::add_at(std::int64_t time_ns, record::Kind kind, record::Row row) {
  row.time_ns = time_ns;
  row.kind = static_cast<std::uint16_t>(kind);
  if (!writer_.put(row)) folder_.failed(writer_.error());
}

void Recorder::packets(std::uint64_t uid, std::uint64_t first, std::uint64_t last) {
  record::Row row;
  row.hash = uid;
  row.sequence = first;
  row.last = last;
  add(record::Kind::packets, row);
}

void Recorder::counter(std::string_view name, std::uint32_t code, std::uint64_t value) {
  const std::uint32_t index = text(name);
  const auto [at, fresh] = last_counter_.try_emplace({index, code}, value);
  if (!fresh && at->second == value) return;
  at->second = value;
  record::Row row;
  row.text = index;
  row.code = code;
  row.value = value;
  add(record::Kind::counter, row);
}

void Recorder::counter_row(std::string_view name, std::uint64_t value) {
  record::Row row;
  row.text = text(name);
  row.value = value;
  add(record::Kind::link_counters, row);
}

void Recorder::high_water(std::string_view name, std::uint64_t used_most, std::uint64_t bound) {
  const std::uint32_t index = text(name);
  const auto [at, fresh] = last_mark_.try_emplace(index, used_most);
  if (!fresh && at->second == used_most) return;
  at->second = used_most;
  record::Row row;
  row.text = index;
  row.value = used_most;
  row.sequence = bound;
  add(record::Kind::high_water, row);
}

void Recorder::end(record::EndCode code) {
  if (ended_) return;
  ended_ = true;
  auto summary = writer_.finish(code);
  if (!summary) {
    folder_.failed(summary.error());
    return;
  }
  folder_.closed({name_, *summary});
}

}  // namespace portolan::sim
