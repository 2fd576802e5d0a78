// Reads one record file (results/RECORDS.md) by mapping it: rows are used where they lie. open() reads the file once
// and checks header, numbering, kinds, strings, end row and hash. What is wrong is said in defects(), and what came
// before it can still be read, so that a checker can say what is missing; only a file without a sound header is an
// error.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "results/record/names.hpp"
#include "results/record/record.hpp"
#include "results/record/writer.hpp"
#include "scenarios/base/error.hpp"

namespace portolan::record {

class RecordReader {
 public:
  static Expected<RecordReader> open(const std::string& path);
  // The same over bytes in memory, which must outlive the reader.
  static Expected<RecordReader> of(std::span<const std::uint8_t> bytes, std::string name);
  ~RecordReader();
  RecordReader(RecordReader&&) noexcept;
  RecordReader& operator=(RecordReader&&) noexcept;

  const std::string& name() const;
  const Header& header() const;
  Writer writer() const { return static_cast<Writer>(header().writer); }
  std::string_view process_name() const;
  const std::vector<std::string>& defects() const;  // none: complete and intact
  bool killed() const;                              // closed by its host with EndCode::killed
  FileSummary summary() const;                      // as the manifest should say
  std::uint64_t unknown_rows() const;               // of kinds that this version does not know: skipped
  // The string of an index; "" for 0 and for indices never defined.
  std::string_view text(std::uint32_t index) const;
  std::uint32_t text_count() const;  // indices go from 1 to this

  // All rows before the end row or the first defect, in order; the bytes of strings lie between them.
  std::span<const Row> raw_rows() const;
  // Calls visit(row) for each row but text and end, and those of unknown kinds.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    const auto rows = raw_rows();
    const bool all_known = unknown_rows() == 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].kind == static_cast<std::uint16_t>(Kind::text)) {
        i += static_cast<std::size_t>((rows[i].value + sizeof(Row) - 1) / sizeof(Row));
      } else if (all_known || known(rows[i].kind)) {
        visit(rows[i]);
      }
    }
  }

 private:
  struct State;
  explicit RecordReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace portolan::record
