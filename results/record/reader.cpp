#include "results/record/reader.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "results/record/hash.hpp"
#include "results/record/names.hpp"

namespace portolan::record {

static_assert(std::endian::native == std::endian::little, "rows are used where they lie");

struct RecordReader::State {
  std::string name;
  std::span<const std::uint8_t> bytes;
  void* mapping = nullptr;
  Header header;
  std::span<const Row> rows;
  std::vector<std::string_view> texts{std::string_view{}};  // by index
  std::vector<std::string> defects;
  bool killed = false;
  std::uint64_t unknown = 0;
  FileSummary summary;

  ~State() {
    if (mapping != nullptr) ::munmap(mapping, bytes.size());
  }

  void defect(std::string what) { defects.push_back(std::move(what)); }
  void scan();
  std::string row_fault(const Row& row, std::size_t at, std::size_t total) const;
  void check_end(const Row& end, std::size_t at, std::size_t total);
};

// What makes row `at` unusable, or "".
std::string RecordReader::State::row_fault(const Row& row, std::size_t at, std::size_t total) const {
  const std::string place = "row " + std::to_string(at) + ": ";
  const auto kind = static_cast<Kind>(row.kind);
  if (row.number != at) return place + "has number " + std::to_string(row.number) + "; rows are missing or mixed up";
  if (!belongs(static_cast<Writer>(header.writer), kind)) {
    return place + (known(row.kind) ? std::string(name_of(kind)) : "kind " + std::to_string(row.kind)) +
           " does not belong in a file of writer " + std::string(name_of(static_cast<Writer>(header.writer)));
  }
  if (!known(row.kind)) return "";  // of a later version: skipped, whatever its fields mean
  if (kind == Kind::text) {
    if (row.text != texts.size()) return place + "string " + std::to_string(row.text) + " out of turn";
    if (row.value == 0 || row.value > kMaxTextBytes) return place + "string of impossible length";
    if ((row.value + sizeof(Row) - 1) / sizeof(Row) >= total - at) return place + "string cut short";
  } else if (row.topic >= texts.size() || row.text >= texts.size()) {
    return place + std::string(name_of(kind)) + " names a string that was never defined";
  }
  return "";
}

void RecordReader::State::check_end(const Row& end, std::size_t at, std::size_t total) {
  const std::size_t before = sizeof(Header) + at * sizeof(Row);
  if (end.value != at)
    defect("end row counts " + std::to_string(end.value) + " rows, " + std::to_string(at) + " are there");
  if (end.hash != hash64(bytes.first(before)))
    defect("hash of the rows differs from the end row's: bytes were changed");
  if (at + 1 != total || bytes.size() != before + sizeof(Row)) defect("bytes follow the end row");
  killed = end.code == static_cast<std::uint32_t>(EndCode::killed);
}

void RecordReader::State::scan() {
  const std::size_t total = (bytes.size() - sizeof(Header)) / sizeof(Row);
  const auto* first = reinterpret_cast<const Row*>(bytes.data() + sizeof(Header));
  std::size_t at = 0;
  bool ended = false;
  for (; at < total; ++at) {
    const Row& row = first[at];
    if (std::string fault = row_fault(row, at, total); !fault.empty()) {
      defect(std::move(fault));
      break;
    }
    if (!known(row.kind)) ++unknown;
    if (row.kind == static_cast<std::uint16_t>(Kind::end)) {
      ended = true;
      check_end(row, at, total);
      break;
    }
    if (row.kind == static_cast<std::uint16_t>(Kind::text)) {
      texts.emplace_back(reinterpret_cast<const char*>(&first[at + 1]), static_cast<std::size_t>(row.value));
      at += static_cast<std::size_t>((row.value + sizeof(Row) - 1) / sizeof(Row));
    }
  }
  rows = {first, at < total ? at : total};
  if (!ended && defects.empty()) defect("truncated: no end row after " + std::to_string(total) + " rows");
  summary = {total, bytes.size(), hash64(bytes)};
}

RecordReader::RecordReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
RecordReader::~RecordReader() = default;
RecordReader::RecordReader(RecordReader&&) noexcept = default;
RecordReader& RecordReader::operator=(RecordReader&&) noexcept = default;

Expected<RecordReader> RecordReader::of(std::span<const std::uint8_t> bytes, std::string name) {
  auto state = std::make_unique<State>();
  state->name = std::move(name);
  state->bytes = bytes;
  if (bytes.size() < sizeof(Header)) return fail(Exit::inconclusive, state->name, "truncated: no whole header");
  std::memcpy(&state->header, bytes.data(), sizeof(Header));
  const Header& h = state->header;
  if (h.magic != kMagic) return fail(Exit::inconclusive, state->name, "not a record file (magic differs)");
  if (h.version != kVersion || h.row_bytes != sizeof(Row)) {
    return fail(Exit::inconclusive, state->name,
                "record format version " + std::to_string(h.version) + "; this program reads version " +
                    std::to_string(kVersion));
  }
  if (name_of(static_cast<Writer>(h.writer)).empty() || h.process_name.back() != '\0') {
    return fail(Exit::inconclusive, state->name, "header is damaged");
  }
  state->scan();
  return RecordReader(std::move(state));
}

Expected<RecordReader> RecordReader::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(Exit::inconclusive, path, std::string("cannot open: ") + std::strerror(errno));
  struct stat info {};
  void* mapping = MAP_FAILED;
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
    mapping = ::mmap(nullptr, static_cast<std::size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
  }
  ::close(fd);
  if (mapping == MAP_FAILED) return fail(Exit::inconclusive, path, "empty, or not a regular file");
  const auto size = static_cast<std::size_t>(info.st_size);
  auto reader = of({static_cast<const std::uint8_t*>(mapping), size}, path);
  if (reader) {
    reader->state_->mapping = mapping;
  } else {
    ::munmap(mapping, size);
  }
  return reader;
}

const std::string& RecordReader::name() const {
  return state_->name;
}
const Header& RecordReader::header() const {
  return state_->header;
}
std::string_view RecordReader::process_name() const {
  return state_->header.process_name.data();
}
const std::vector<std::string>& RecordReader::defects() const {
  return state_->defects;
}
bool RecordReader::killed() const {
  return state_->killed;
}
std::uint64_t RecordReader::unknown_rows() const {
  return state_->unknown;
}
FileSummary RecordReader::summary() const {
  return state_->summary;
}
std::string_view RecordReader::text(std::uint32_t index) const {
  return index < state_->texts.size() ? state_->texts[index] : std::string_view{};
}
std::uint32_t RecordReader::text_count() const {
  return static_cast<std::uint32_t>(state_->texts.size() - 1);
}
std::span<const Row> RecordReader::raw_rows() const {
  return state_->rows;
}

}  // namespace portolan::record
