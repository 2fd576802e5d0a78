#include "results/record/writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <vector>

#include "results/record/hash.hpp"

namespace portolan::record {

namespace {

std::span<const std::uint8_t> bytes_of(const void* data, std::size_t size) {
  return {static_cast<const std::uint8_t*>(data), size};
}

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return hash64(bytes_of(text.data(), text.size())); }
};

// Writes all of it, whatever the interruptions; 0, or an errno.
int write_all(int fd, std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return ENOSPC;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return 0;
}

}  // namespace

Header make_header(Writer writer, std::uint32_t process, std::uint64_t process_id, std::uint32_t incarnation,
                   std::uint32_t host, std::string_view process_name, std::uint64_t seed,
                   const std::array<std::uint8_t, 32>& plan_sha256) {
  Header h;
  h.writer = static_cast<std::uint32_t>(writer);
  h.process = process;
  h.process_id = process_id;
  h.incarnation = incarnation;
  h.host = host;
  h.seed = seed;
  h.plan_sha256 = plan_sha256;
  const std::size_t n = std::min(process_name.size(), h.process_name.size() - 1);
  std::copy_n(process_name.data(), n, h.process_name.data());
  return h;
}

struct RecordWriter::State {
  Sink sink;
  int fd = -1;
  std::string name;
  std::vector<std::uint8_t> buffer;
  std::size_t used = 0;
  std::unordered_map<std::string, std::uint32_t, TextHash, std::equal_to<>> texts;
  Hasher hasher;
  std::uint64_t rows = 0;
  std::uint64_t rows_lost = 0;
  std::uint64_t bytes = 0;
  std::optional<Error> error;
  bool finished = false;

  ~State() {
    if (!finished && !error) flush();
    if (fd >= 0) ::close(fd);
  }

  void fail_with(int number) {
    if (error) return;
    error = Error{Exit::cannot, name,
                  std::string("cannot write records: ") + std::strerror(number) +
                      "; free some space or choose another folder with --out"};
  }

  int hand_over(std::span<const std::uint8_t> data) { return fd >= 0 ? write_all(fd, data) : sink(data); }

  bool flush() {
    if (error) return false;
    if (used == 0) return true;
    const auto data = bytes_of(buffer.data(), used);
    hasher.add(data);
    used = 0;
    if (const int number = hand_over(data); number != 0) {
      fail_with(number);
      return false;
    }
    return true;
  }

  void append(const void* data, std::size_t size) {
    if (used + size > buffer.size()) flush();
    std::memcpy(buffer.data() + used, data, size);
    used += size;
    bytes += size;
  }

  bool put(Row row) {
    if (error || finished) {
      ++rows_lost;
      return false;
    }
    if (rows > 0xFFFFFFFFull) {
      error = Error{Exit::cannot, name, "more than 2^32 rows in one record file; make the run shorter"};
      ++rows_lost;
      return false;
    }
    row.number = static_cast<std::uint32_t>(rows++);
    append(&row, sizeof row);
    return !error;
  }

  std::uint32_t add_text(std::string_view text) {
    if (error || finished) return 0;
    if (text.size() > kMaxTextBytes || texts.size() >= kMaxTexts) {
      error = Error{Exit::cannot, name, "too many or too long strings for one record file"};
      return 0;
    }
    const auto index = static_cast<std::uint32_t>(texts.size() + 1);
    Row row;
    row.kind = static_cast<std::uint16_t>(Kind::text);
    row.text = index;
    row.value = text.size();
    put(row);
    std::array<char, sizeof(Row)> raw;
    for (std::size_t at = 0; at < text.size(); at += raw.size()) {
      raw.fill(0);
      std::copy_n(text.data() + at, std::min(raw.size(), text.size() - at), raw.data());
      append(raw.data(), raw.size());
      ++rows;
    }
    texts.emplace(text, index);
    return index;
  }
};

RecordWriter::RecordWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
RecordWriter::~RecordWriter() = default;
RecordWriter::RecordWriter(RecordWriter&&) noexcept = default;
RecordWriter& RecordWriter::operator=(RecordWriter&&) noexcept = default;

Expected<RecordWriter> RecordWriter::create(const std::string& path, const Header& header, std::size_t buffer_bytes) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) {
    return fail(Exit::cannot, path,
                std::string("cannot create: ") + std::strerror(errno) + "; choose another folder with --out");
  }
  RecordWriter writer = to_sink(nullptr, path, header, buffer_bytes);
  writer.state_->fd = fd;
  return writer;
}

RecordWriter RecordWriter::to_sink(Sink sink, std::string name, const Header& header, std::size_t buffer_bytes) {
  auto state = std::make_unique<State>();
  state->sink = std::move(sink);
  state->name = std::move(name);
  state->buffer.resize(std::max(buffer_bytes, sizeof(Header) + sizeof(Row)));
  state->append(&header, sizeof header);
  return RecordWriter(std::move(state));
}

std::uint32_t RecordWriter::intern(std::string_view text) {
  if (text.empty()) return 0;
  if (const auto found = state_->texts.find(text); found != state_->texts.end()) return found->second;
  return state_->add_text(text);
}

bool RecordWriter::put(const Row& row) {
  return state_->put(row);
}
bool RecordWriter::flush() {
  return state_->flush();
}

Expected<FileSummary> RecordWriter::finish(EndCode code) {
  State& s = *state_;
  if (s.finished) return fail(Exit::cannot, s.name, "record file finished twice");
  s.flush();
  Row row;
  row.kind = static_cast<std::uint16_t>(Kind::end);
  row.code = static_cast<std::uint32_t>(code);
  row.value = s.rows;
  row.hash = s.hasher.value();
  s.put(row);
  s.flush();
  s.finished = true;
  if (s.fd >= 0) {
    // Some file systems report a full disk only here.
    const int result = ::close(s.fd);
    s.fd = -1;
    if (result != 0 && errno != EINTR) s.fail_with(errno);
  }
  if (s.error) return tl::unexpected<Error>(*s.error);
  return FileSummary{s.rows, s.bytes, s.hasher.value()};
}

bool RecordWriter::ok() const {
  return !state_->error;
}
Error RecordWriter::error() const {
  return state_->error.value_or(Error{Exit::held, state_->name, "no error"});
}
std::uint64_t RecordWriter::rows() const {
  return state_->rows;
}
std::uint64_t RecordWriter::rows_lost() const {
  return state_->rows_lost;
}

}  // namespace portolan::record
