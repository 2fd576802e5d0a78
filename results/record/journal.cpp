#include "results/record/journal.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <iterator>

#include "results/record/hash.hpp"

namespace portolan::record {

namespace {

constexpr std::size_t kRunsMost = 256;                      // sessions with an open run of packets
constexpr std::size_t kPacketsAccepted = 0, kVerdicts = 1;  // in totals_

// What the trace of a process in real time covers: order matters, nothing is ever compared between two runs.
std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t words[2] = {a, b};
  return hash64({reinterpret_cast<const std::uint8_t*>(words), sizeof words});
}

}  // namespace

Expected<Journal> Journal::create(const std::string& path, const Header& header) {
  auto writer = RecordWriter::create(path, header);
  if (!writer) return tl::unexpected<Error>(writer.error());
  return Journal(std::move(*writer));
}

// What it counts itself comes first, at known places.
Journal::Journal(RecordWriter writer) : writer_(std::move(writer)) {
  counter("packets_accepted", 0, 0);
  counter("verdicts", 0, 0);
}

void Journal::add(std::int64_t time_ns, Kind kind, Row row) {
  row.time_ns = time_ns;
  writer_.put(kind, row);
}

Row Journal::packets_row(const Run& run) const {
  Row row;
  row.kind = static_cast<std::uint16_t>(Kind::packets);
  row.hash = run.uid;
  row.sequence = run.first;
  row.last = run.last;
  return row;
}

void Journal::verdict(std::int64_t time_ns, std::uint64_t session_uid, std::uint64_t packet, std::uint32_t drop,
                      bool consumed) {
  trace_ = mixed(trace_ ^ session_uid, packet << 8 | drop);
  ++trace_calls_;
  if (drop != 0) {
    ++verdict_count_;
    Row row;
    row.hash = session_uid;
    row.sequence = packet;
    row.code = drop;
    add(time_ns, Kind::verdict, row);
  }
  if (session_uid == 0 || packet == 0) return;  // handshakes carry no packet number
  // A duplicate of a message consumes its number too; and what was taken without any mark must not stay unseen.
  if (!consumed && drop != 0) return;
  ++packet_count_;
  for (Run& run : runs_) {
    if (run.uid != session_uid) continue;
    if (packet == run.last + 1) {
      run.last = packet;
      return;
    }
    Row row = packets_row(run);
    row.time_ns = time_ns;
    writer_.put(row);
    run.first = run.last = packet;
    return;
  }
  if (runs_.size() == kRunsMost) {
    Row row = packets_row(runs_.front());
    row.time_ns = time_ns;
    writer_.put(row);
    runs_.erase(runs_.begin());
  }
  runs_.push_back({session_uid, packet, packet});
}

Journal::Total& Journal::total(Kind kind, std::string_view name, std::uint32_t code) {
  if (next_ >= totals_.size()) next_ = kVerdicts + 1;
  if (next_ < totals_.size()) {
    const Total& likely = totals_[next_];
    const bool it_is =
        likely.name == name.data() && likely.row.code == code && likely.row.kind == static_cast<std::uint16_t>(kind);
    if (it_is) return totals_[next_++];
  }
  const std::uint32_t text = writer_.intern(name);
  const auto [at, fresh] = index_.try_emplace({text, code}, totals_.size());
  if (fresh) {
    Total t;
    t.row.kind = static_cast<std::uint16_t>(kind);
    t.row.text = text;
    t.row.code = code;
    totals_.push_back(t);
  }
  totals_[at->second].name = name.data();
  next_ = at->second + 1;
  return totals_[at->second];
}

void Journal::counter(std::string_view name, std::uint32_t code, std::uint64_t value) {
  total(Kind::counter, name, code).row.value = value;
}

void Journal::high_water(std::string_view name, std::uint64_t used_most, std::uint64_t bound) {
  Total& t = total(Kind::high_water, name, 0);
  t.row.value = used_most;
  t.row.sequence = bound;
}

void Journal::write_counters(std::int64_t time_ns) {
  totals_[kPacketsAccepted].row.value = packet_count_;
  totals_[kVerdicts].row.value = verdict_count_;
  for (Total& t : totals_) {
    if (!t.fresh && t.written == t.row.value) continue;
    t.fresh = false;
    t.written = t.row.value;
    t.row.time_ns = time_ns;
    writer_.put(t.row);
  }
}

std::uint64_t Journal::bytes() const {
  return sizeof(Header) + writer_.rows() * sizeof(Row);
}

Row Journal::trace_row() const {
  Row row;
  row.kind = static_cast<std::uint16_t>(Kind::trace);
  row.hash = trace_;
  row.value = trace_calls_;
  return row;
}

void Journal::missing(std::vector<Row>& rows) const {
  for (const Run& run : runs_) rows.push_back(packets_row(run));
  for (std::size_t i = 0; i < totals_.size(); ++i) {
    Row row = totals_[i].row;
    if (i == kPacketsAccepted) row.value = packet_count_;
    if (i == kVerdicts) row.value = verdict_count_;
    if (totals_[i].fresh || totals_[i].written != row.value) rows.push_back(row);
  }
  rows.push_back(trace_row());
}

Expected<FileSummary> Journal::finish(std::int64_t time_ns, EndCode code) {
  for (const Run& run : runs_) {
    Row row = packets_row(run);
    row.time_ns = time_ns;
    writer_.put(row);
  }
  runs_.clear();
  write_counters(time_ns);
  Row trace = trace_row();
  trace.time_ns = time_ns;
  writer_.put(trace);
  return writer_.finish(code);
}

// Two slots, written in turn; `said` names the one that is whole: its count, modulo two.
struct LastWords::Shared {
  static constexpr std::uint64_t kMagic = 0x314C'5452'4F50'574Cull;
  struct Slot {
    std::uint64_t lengths[kLastWordsFiles];
    std::uint64_t rows;
    Row row[kLastWordsRows];
  };
  std::uint64_t magic;
  std::atomic<std::uint64_t> said;
  Slot slots[2];
};

namespace {

Error cannot(const std::string& path) {
  return {Exit::cannot, path, std::strerror(errno)};
}

}  // namespace

Expected<LastWords> LastWords::create(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return tl::unexpected<Error>(cannot(path));
  void* at = MAP_FAILED;
  if (::ftruncate(fd, sizeof(Shared)) == 0) {
    at = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  const Error error = cannot(path);
  ::close(fd);
  if (at == MAP_FAILED) return tl::unexpected<Error>(error);
  LastWords words;
  words.shared_ = static_cast<Shared*>(at);
  words.shared_->magic = Shared::kMagic;
  return words;
}

LastWords::~LastWords() {
  if (shared_ != nullptr) ::munmap(shared_, sizeof(Shared));
}
LastWords::LastWords(LastWords&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
LastWords& LastWords::operator=(LastWords&& other) noexcept {
  std::swap(shared_, other.shared_);
  return *this;
}

bool LastWords::say(const std::uint64_t (&lengths)[kLastWordsFiles], const std::vector<Row>& rows) {
  if (rows.size() > kLastWordsRows) return false;
  const std::uint64_t next = shared_->said.load(std::memory_order_relaxed) + 1;
  Shared::Slot& slot = shared_->slots[next % 2];
  std::memcpy(slot.lengths, lengths, sizeof slot.lengths);
  slot.rows = rows.size();
  std::memcpy(slot.row, rows.data(), rows.size() * sizeof(Row));
  shared_->said.store(next, std::memory_order_release);
  return true;
}

namespace {

Expected<std::string> whole_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  if (!in && !in.eof()) return tl::unexpected<Error>(cannot(path));
  return bytes;
}

Expected<FileSummary> close_file(const std::string& path, std::uint64_t length, std::vector<Row> rows,
                                 std::int64_t time_ns) {
  auto bytes = whole_file(path);
  if (!bytes) return tl::unexpected<Error>(bytes.error());
  if (length < sizeof(Header) || (length - sizeof(Header)) % sizeof(Row) != 0 || bytes->size() < length) {
    return fail(Exit::cannot, path,
                "holds " + std::to_string(bytes->size()) + " bytes, its process spoke of " + std::to_string(length));
  }
  bytes->resize(length);
  std::uint64_t number = (length - sizeof(Header)) / sizeof(Row);
  const auto append = [&](Row row) {
    row.number = static_cast<std::uint32_t>(number++);
    bytes->append(reinterpret_cast<const char*>(&row), sizeof row);
  };
  for (Row& row : rows) {
    row.time_ns = time_ns;
    append(row);
  }
  const auto hash = [&] { return hash64({reinterpret_cast<const std::uint8_t*>(bytes->data()), bytes->size()}); };
  Row end;
  end.kind = static_cast<std::uint16_t>(Kind::end);
  end.code = static_cast<std::uint32_t>(EndCode::killed);
  end.value = number;
  end.hash = hash();
  append(end);
  const std::string fresh = path + ".closing";
  std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
  out.write(bytes->data(), static_cast<std::streamsize>(bytes->size()));
  out.close();
  if (!out || std::rename(fresh.c_str(), path.c_str()) != 0) return tl::unexpected<Error>(cannot(path));
  return FileSummary{number, bytes->size(), hash()};
}

}  // namespace

bool has_spoken(const std::string& last_words) {
  std::ifstream in(last_words, std::ios::binary);
  std::uint64_t head[2] = {};
  static_assert(offsetof(LastWords::Shared, said) == sizeof head[0]);
  in.read(reinterpret_cast<char*>(head), sizeof head);
  return in && head[0] == LastWords::Shared::kMagic && head[1] != 0;
}

Expected<std::vector<FileSummary>> close_killed(const std::string& last_words, const std::vector<std::string>& files,
                                                std::int64_t time_ns) {
  const auto bytes = whole_file(last_words);
  if (!bytes) return tl::unexpected<Error>(bytes.error());
  auto shared = std::make_unique<LastWords::Shared>();
  if (bytes->size() != sizeof *shared) return fail(Exit::cannot, last_words, "is no file of last words");
  std::memcpy(static_cast<void*>(shared.get()), bytes->data(), sizeof *shared);
  const std::uint64_t said = shared->said.load();
  const LastWords::Shared::Slot& slot = shared->slots[said % 2];
  if (shared->magic != LastWords::Shared::kMagic || said == 0 || slot.rows > kLastWordsRows ||
      files.size() > kLastWordsFiles) {
    return fail(Exit::cannot, last_words, "its process had not said anything yet");
  }
  std::vector<FileSummary> closed;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (files[i].empty()) continue;
    std::vector<Row> rows;
    if (i == 0) rows.assign(slot.row, slot.row + slot.rows);
    auto one = close_file(files[i], slot.lengths[i], std::move(rows), time_ns);
    if (!one) return tl::unexpected<Error>(one.error());
    closed.push_back(*one);
  }
  return closed;
}

}  // namespace portolan::record
