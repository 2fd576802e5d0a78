// Writes one record file (results/RECORDS.md): header, rows, strings before first use, end row. For load clients and
// hosts of engines, one Writer per file, one thread. Memory is bounded: a buffer of fixed size and the strings seen.
// Errors stick: after the first (a full disk, say) rows are counted as lost, ok() is false, and finish() returns it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "results/record/record.hpp"
#include "scenarios/base/error.hpp"

namespace portolan::record {

inline constexpr std::size_t kDefaultBufferBytes = 64 * 1024;
inline constexpr std::uint32_t kMaxTexts = 1u << 20;       // strings in one file
inline constexpr std::uint32_t kMaxTextBytes = 64 * 1024;  // bytes of one string

// Header with the fields that every writer must fill; name is cut to 63 bytes.
Header make_header(Writer writer, std::uint32_t process, std::uint64_t process_id, std::uint32_t incarnation,
                   std::uint32_t host, std::string_view process_name, std::uint64_t seed,
                   const std::array<std::uint8_t, 32>& plan_sha256);

// What the manifest (`file` row of runner.rec) says of a finished file.
struct FileSummary {
  std::uint64_t rows = 0;   // all, the end row included
  std::uint64_t bytes = 0;  // of the file
  std::uint64_t hash = 0;   // XXH3-64 of the whole file
};

// Takes bytes in order; 0, or an errno.
using Sink = std::function<int(std::span<const std::uint8_t>)>;

class RecordWriter {
 public:
  // Creates or truncates `path`; its folder must exist.
  static Expected<RecordWriter> create(const std::string& path, const Header& header,
                                       std::size_t buffer_bytes = kDefaultBufferBytes);
  // Into anything else (memory, in tests); `name` is for messages.
  static RecordWriter to_sink(Sink sink, std::string name, const Header& header,
                              std::size_t buffer_bytes = kDefaultBufferBytes);
  ~RecordWriter();  // closes; without finish() the file has no end row and counts as truncated
  RecordWriter(RecordWriter&&) noexcept;
  RecordWriter& operator=(RecordWriter&&) noexcept;

  // The string's index for Row::topic and Row::text; writes its row when it is new. "" is 0.
  std::uint32_t intern(std::string_view text);
  // Writes a row; `number` is filled in. False once an error has happened.
  bool put(const Row& row);
  bool put(Kind kind, Row row) {
    row.kind = static_cast<std::uint16_t>(kind);
    return put(row);
  }
  // Hands what is buffered to the file (each second, say, so that a kill loses little).
  bool flush();
  // End row, flush, close. A killed process' file is closed by its host with EndCode::killed.
  Expected<FileSummary> finish(EndCode code = EndCode::finished);

  bool ok() const;
  Error error() const;              // the first; meaningful when !ok()
  std::uint64_t rows() const;       // written or buffered so far
  std::uint64_t rows_lost() const;  // refused because of the error

 private:
  struct State;
  explicit RecordWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace portolan::record
