// The record format end to end: what a writer writes a reader reads back, and every kind of damage is named.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "results/record/hash.hpp"
#include "results/record/names.hpp"
#include "results/record/reader.hpp"
#include "results/record/writer.hpp"

namespace portolan::record {
namespace {

using Bytes = std::vector<std::uint8_t>;

Sink into(Bytes& out) {
  return [&out](std::span<const std::uint8_t> data) {
    out.insert(out.end(), data.begin(), data.end());
    return 0;
  };
}

Header a_header() {
  return make_header(Writer::application, 7, 42, 3, 1, "hamburg/blue/pilot", 99, {});
}

// A file with strings short and long, and some rows.
Bytes a_file(FileSummary* summary = nullptr, int rows = 500) {
  Bytes out;
  auto writer = RecordWriter::to_sink(into(out), "test", a_header(), 1024);
  const std::string long_text(300, 'x');
  for (int i = 0; i < rows; ++i) {
    Row row;
    row.topic = writer.intern(i % 2 != 0 ? "ais/1/position" : long_text);
    row.sequence = static_cast<std::uint64_t>(i);
    row.time_ns = i * 1000;
    EXPECT_TRUE(writer.put(Kind::publish, row));
  }
  const auto done = writer.finish();
  EXPECT_TRUE(done.has_value());
  if (summary != nullptr && done) *summary = *done;
  return out;
}

std::string first_defect(const Bytes& bytes) {
  const auto reader = RecordReader::of(bytes, "test");
  if (!reader) return reader.error().cause;
  return reader->defects().empty() ? "" : reader->defects().front();
}

TEST(Records, ReadBackAsWritten) {
  FileSummary summary;
  const Bytes bytes = a_file(&summary);
  const auto reader = RecordReader::of(bytes, "test");
  ASSERT_TRUE(reader.has_value());
  EXPECT_TRUE(reader->defects().empty());
  EXPECT_EQ(reader->process_name(), "hamburg/blue/pilot");
  EXPECT_EQ(reader->header().incarnation, 3u);
  EXPECT_EQ(reader->text_count(), 2u);
  EXPECT_FALSE(reader->killed());
  EXPECT_EQ(summary.bytes, bytes.size());
  EXPECT_EQ(summary.hash, hash64(bytes));
  EXPECT_EQ(reader->summary().rows, summary.rows);
  EXPECT_EQ(reader->summary().hash, summary.hash);
  std::uint64_t next = 0;
  reader->for_each([&](const Row& row) {
    EXPECT_EQ(row.sequence, next);
    EXPECT_EQ(reader->text(row.topic), next % 2 != 0 ? "ais/1/position" : std::string(300, 'x'));
    ++next;
  });
  EXPECT_EQ(next, 500u);
}

TEST(Records, EveryTruncationIsNoticed) {
  const Bytes whole = a_file(nullptr, 40);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    ASSERT_NE(first_defect(part), "") << "cut to " << size << " bytes";
  }
}

TEST(Records, EveryFlippedByteIsNoticed) {
  const Bytes whole = a_file(nullptr, 20);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Bytes bytes = whole;
    bytes[at] ^= 0x20;
    const auto reader = RecordReader::of(bytes, "test");
    // What the hash cannot cover (the end row itself) the manifest does.
    const bool noticed = !reader || !reader->defects().empty() || reader->summary().hash != hash64(whole);
    ASSERT_TRUE(noticed) << "byte " << at;
  }
}

TEST(Records, MissingAndForeignRowsAreNamed) {
  Bytes bytes = a_file(nullptr, 10);
  const auto row0 = bytes.begin() + sizeof(Header);
  // The first row is a text of 300 bytes: 1 + 4 rows, then publish rows.
  const auto fifth = row0 + 5 * static_cast<std::ptrdiff_t>(sizeof(Row));
  Bytes missing = bytes;
  missing.erase(missing.begin() + (fifth - bytes.begin()), missing.begin() + (fifth - bytes.begin()) + sizeof(Row));
  EXPECT_EQ(first_defect(missing), "row 5: has number 6; rows are missing or mixed up");
  Bytes foreign = bytes;
  foreign[static_cast<std::size_t>(fifth - bytes.begin())] = static_cast<std::uint8_t>(Kind::fault_on);
  EXPECT_EQ(first_defect(foreign), "row 5: fault_on does not belong in a file of writer application");
  Bytes more = bytes;
  more.insert(more.end(), sizeof(Row), 0);
  EXPECT_EQ(first_defect(more), "bytes follow the end row");
}

TEST(Records, AFullDiskIsReportedAndSticks) {
  std::size_t room = 4096;
  auto writer = RecordWriter::to_sink(
      [&](std::span<const std::uint8_t> data) {
        if (data.size() > room) return ENOSPC;
        room -= data.size();
        return 0;
      },
      "records/a.rec", a_header(), 1024);
  std::uint64_t refused = 0;
  for (int i = 0; i < 100; ++i) refused += writer.put(Kind::publish, Row{}) ? 0 : 1;
  EXPECT_FALSE(writer.ok());
  EXPECT_GT(refused, 0u);
  EXPECT_GT(writer.rows_lost(), 0u);
  const auto done = writer.finish();
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, Exit::cannot);
  EXPECT_EQ(done.error().place, "records/a.rec");
  EXPECT_NE(done.error().cause.find("No space left on device"), std::string::npos);
}

TEST(Records, ARealFullDiskIsReported) {
  auto writer = RecordWriter::create("/dev/full", a_header());
  ASSERT_TRUE(writer.has_value());
  writer->put(Kind::publish, Row{});
  EXPECT_FALSE(writer->finish().has_value());
}

TEST(Records, FilesOnDiskAndKilledProcesses) {
  const std::string path = ::testing::TempDir() + "/killed.rec";
  auto writer = RecordWriter::create(path, a_header());
  ASSERT_TRUE(writer.has_value());
  writer->put(Kind::publish, Row{});
  ASSERT_TRUE(writer->finish(EndCode::killed).has_value());
  const auto reader = RecordReader::open(path);
  ASSERT_TRUE(reader.has_value());
  EXPECT_TRUE(reader->killed());
  EXPECT_TRUE(reader->defects().empty());
  EXPECT_FALSE(RecordWriter::create("/nonexistent/folder/x.rec", a_header()).has_value());
  EXPECT_FALSE(RecordReader::open(path + ".not").has_value());
  std::filesystem::remove(path);
}

TEST(Hash, PiecesEqualTheWhole) {
  Bytes bytes(100'000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 7);
  Hasher hasher;
  const std::span<const std::uint8_t> all = bytes;
  hasher.add(all.first(1));
  hasher.add(all.subspan(1, 4095));
  hasher.add(all.subspan(4096));
  EXPECT_EQ(hasher.value(), hash64(all));
  EXPECT_EQ(hash64({}), 0x2D06800538D394C2ull);  // XXH3-64 of nothing, as published
}

}  // namespace
}  // namespace portolan::record
