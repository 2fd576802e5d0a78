// Record files of a process that lives in real time and may be killed at any instant. A Journal is one file with what
// every host of an engine writes about it: verdicts, runs of packet numbers, counters that moved. A LastWords is a
// small shared mapping beside the files, brought up to date at one point of each turn of the process' loop: how long
// the files are there, and which rows would still be missing at their ends. Whoever killed the process closes its files
// from it (close_killed), so they are whole and agree with each other as of that point.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "results/record/writer.hpp"

namespace portolan::record {

class Journal {
 public:
  static Expected<Journal> create(const std::string& path, const Header& header);

  void add(std::int64_t time_ns, Kind kind, Row row);
  std::uint32_t text(std::string_view text) { return writer_.intern(text); }

  // What the engine answered to a datagram (drop: broker::Drop, 0 accepted). Consecutive numbers become one row.
  void verdict(std::int64_t time_ns, std::uint64_t session_uid, std::uint64_t packet, std::uint32_t drop,
               bool consumed);
  // Running totals and marks as they stand now. Written by write_counters() as far as they moved, and once at the
  // start.
  void counter(std::string_view name, std::uint32_t code, std::uint64_t value);
  void high_water(std::string_view name, std::uint64_t used_most, std::uint64_t bound);
  void write_counters(std::int64_t time_ns);

  bool flush() { return writer_.flush(); }
  std::uint64_t bytes() const;  // of the file once flushed
  // What finish() would still write before the end row; `rows` is appended to.
  void missing(std::vector<Row>& rows) const;
  // Open runs of packets, counters, a trace row over all verdicts, the end row.
  Expected<FileSummary> finish(std::int64_t time_ns, EndCode code);
  bool ok() const { return writer_.ok(); }
  Error error() const { return writer_.error(); }

 private:
  explicit Journal(RecordWriter writer);
  struct Run {
    std::uint64_t uid = 0, first = 0, last = 0;
  };
  struct Total {
    Row row;
    const char* name = nullptr;  // where its name lay last time: hosts tell the same list again and again
    std::uint64_t written = 0;
    bool fresh = true;
  };
  Row packets_row(const Run& run) const;
  Row trace_row() const;
  Total& total(Kind kind, std::string_view name, std::uint32_t code);

  RecordWriter writer_;
  std::vector<Run> runs_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::size_t> index_;  // (text, code) of totals_
  std::vector<Total> totals_;
  std::size_t next_ = 0;  // in totals_: the one that is told next, as the time before
  std::uint64_t packet_count_ = 0, verdict_count_ = 0;
  std::uint64_t trace_ = 0, trace_calls_ = 0;
};

inline constexpr std::size_t kLastWordsFiles = 2;
inline constexpr std::size_t kLastWordsRows = 1'024;

class LastWords {
 public:
  static Expected<LastWords> create(const std::string& path);
  ~LastWords();
  LastWords(LastWords&&) noexcept;
  LastWords& operator=(LastWords&&) noexcept;

  // The first `lengths[i]` bytes of file i count, and `rows` belong at the end of file 0. False: too many rows.
  bool say(const std::uint64_t (&lengths)[kLastWordsFiles], const std::vector<Row>& rows);

 private:
  friend bool has_spoken(const std::string& last_words);
  friend Expected<std::vector<FileSummary>> close_killed(const std::string& last_words,
                                                         const std::vector<std::string>& files, std::int64_t time_ns);
  struct Shared;
  LastWords() = default;
  Shared* shared_ = nullptr;
};

// Whether a process has said anything yet: until then nothing of it has left, and its files cannot be closed.
bool has_spoken(const std::string& last_words);
// Closes the files of a process that is dead, in the order that it gave their lengths in; an empty path stands for a
// file that it does not have. The rows that are added have this time.
Expected<std::vector<FileSummary>> close_killed(const std::string& last_words, const std::vector<std::string>& files,
                                                std::int64_t time_ns);

}  // namespace portolan::record
