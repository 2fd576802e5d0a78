#include "results/record/journal.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "results/record/reader.hpp"

namespace portolan::record {
namespace {

namespace fs = std::filesystem;

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    char name[] = "/tmp/portolan-journal-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~JournalTest() override { fs::remove_all(folder_); }
  std::string path(const char* name) const { return folder_ + "/" + name; }
  static Header header(Writer writer) { return make_header(writer, 3, 7, 1, 0, "hamburg/crane", 1, {}); }
  Journal open(const char* name, Writer writer = Writer::audit) {
    auto journal = Journal::create(path(name), header(writer));
    if (!journal) throw std::runtime_error(journal.error().text());
    return std::move(*journal);
  }
  // As a host does at the end of a turn.
  static void say(LastWords& words, Journal& audit, Journal& application) {
    ASSERT_TRUE(audit.flush());
    ASSERT_TRUE(application.flush());
    std::vector<Row> rows;
    audit.missing(rows);
    ASSERT_TRUE(words.say({audit.bytes(), application.bytes()}, rows));
  }

  std::string folder_;
};

struct Read {
  std::vector<Row> rows;
  std::map<std::string, std::uint64_t> counters;
  bool killed = false;
};

Read read(const std::string& path) {
  auto reader = RecordReader::open(path);
  if (!reader) throw std::runtime_error(reader.error().text());
  EXPECT_TRUE(reader->defects().empty()) << reader->defects()[0];
  Read out;
  out.killed = reader->killed();
  reader->for_each([&](const Row& row) {
    if (row.kind == static_cast<std::uint16_t>(Kind::counter)) {
      out.counters[std::string(reader->text(row.text))] = row.value;
    } else {
      out.rows.push_back(row);
    }
  });
  return out;
}

TEST_F(JournalTest, consecutive_packets_are_one_row_and_drops_are_told) {
  Journal journal = open("a.rec");
  for (const std::uint64_t p : {1u, 2u, 3u, 7u, 8u}) journal.verdict(10, 99, p, 0, true);
  journal.verdict(11, 99, 8, 9, false);  // replayed
  journal.verdict(12, 99, 9, 19, true);  // a duplicate message in a packet that counts
  journal.verdict(13, 0, 0, 5, false);   // of no session
  journal.counter("delivered", 0, 4);
  ASSERT_TRUE(journal.finish(20, EndCode::finished));
  const Read got = read(path("a.rec"));
  std::vector<std::pair<std::uint64_t, std::uint64_t>> packets;
  int verdicts = 0, traces = 0;
  for (const Row& row : got.rows) {
    if (row.kind == static_cast<std::uint16_t>(Kind::packets)) packets.emplace_back(row.sequence, row.last);
    verdicts += row.kind == static_cast<std::uint16_t>(Kind::verdict) ? 1 : 0;
    traces += row.kind == static_cast<std::uint16_t>(Kind::trace) ? 1 : 0;
  }
  EXPECT_EQ(packets, (std::vector<std::pair<std::uint64_t, std::uint64_t>>{{1, 3}, {7, 9}}));
  EXPECT_EQ(verdicts, 3);
  EXPECT_EQ(traces, 1);
  EXPECT_EQ(got.counters.at("packets_accepted"), 6u);
  EXPECT_EQ(got.counters.at("verdicts"), 3u);
  EXPECT_EQ(got.counters.at("delivered"), 4u);
  EXPECT_FALSE(got.killed);
}

TEST_F(JournalTest, counters_are_written_when_they_moved) {
  Journal journal = open("a.rec");
  const auto rows_of = [&](std::int64_t at) {
    const std::uint64_t before = journal.bytes();
    journal.write_counters(at);
    return (journal.bytes() - before) / sizeof(Row);
  };
  journal.counter("published", 0, 0);
  journal.high_water("blocks", 1, 8);
  EXPECT_EQ(rows_of(1), 4u);  // two of its own
  EXPECT_EQ(rows_of(2), 0u);
  journal.counter("published", 0, 5);
  EXPECT_EQ(rows_of(3), 1u);
}

TEST_F(JournalTest, files_of_a_killed_process_end_at_its_last_words) {
  {
    Journal audit = open("x.audit.rec"), application = open("x.app.rec", Writer::application);
    auto words = LastWords::create(path("x.last"));
    ASSERT_TRUE(words);
    say(*words, audit, application);
    audit.verdict(5, 42, 1, 0, true);
    audit.counter("delivered", 0, 1);
    application.add(5, Kind::deliver, {});
    say(*words, audit, application);
    // What follows reached the files, or not, and was never said.
    audit.verdict(6, 42, 2, 9, false);
    audit.counter("delivered", 0, 2);
    audit.write_counters(6);
    audit.flush();
    application.add(6, Kind::deliver, {});
    application.flush();
  }  // destroyed without finish(), as a kill would
  const auto closed = close_killed(path("x.last"), {path("x.audit.rec"), path("x.app.rec")}, 77);
  ASSERT_TRUE(closed) << closed.error().text();
  const Read audit = read(path("x.audit.rec")), application = read(path("x.app.rec"));
  EXPECT_TRUE(audit.killed && application.killed);
  EXPECT_EQ(audit.counters.at("delivered"), 1u);
  EXPECT_EQ(audit.counters.at("packets_accepted"), 1u);
  EXPECT_EQ(audit.counters.at("verdicts"), 0u);
  EXPECT_EQ(application.rows.size(), 1u);
  ASSERT_FALSE(audit.rows.empty());
  EXPECT_EQ(audit.rows.back().time_ns, 77);
  // The summaries are what the reader finds.
  auto reader = RecordReader::open(path("x.audit.rec"));
  EXPECT_EQ(reader->summary().rows, closed->at(0).rows);
  EXPECT_EQ(reader->summary().hash, closed->at(0).hash);
}

TEST_F(JournalTest, a_process_killed_before_it_spoke_is_an_error) {
  Journal audit = open("x.audit.rec");
  audit.flush();
  EXPECT_FALSE(has_spoken(path("x.last")));
  { auto words = LastWords::create(path("x.last")); }
  EXPECT_FALSE(has_spoken(path("x.last")));
  EXPECT_FALSE(close_killed(path("x.last"), {path("x.audit.rec")}, 1));
  EXPECT_FALSE(close_killed(path("none.last"), {path("x.audit.rec")}, 1));
}

TEST_F(JournalTest, files_shorter_than_was_said_are_an_error) {
  Journal audit = open("x.audit.rec"), application = open("x.app.rec", Writer::application);
  auto words = LastWords::create(path("x.last"));
  say(*words, audit, application);
  EXPECT_TRUE(has_spoken(path("x.last")));
  fs::resize_file(path("x.app.rec"), 100);
  EXPECT_FALSE(close_killed(path("x.last"), {path("x.audit.rec"), path("x.app.rec")}, 1));
}

}  // namespace
}  // namespace portolan::record
