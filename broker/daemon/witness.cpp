#include "broker/daemon/witness.hpp"

#include <charconv>

#include "broker/udp/counters.hpp"

namespace portolan::daemon {

namespace {

bool from_hex(const std::string& text, std::array<std::uint8_t, 32>& out) {
  if (text.size() != 64) return false;
  for (std::size_t i = 0; i < 32; ++i) {
    const char* at = text.data() + 2 * i;
    const auto [end, error] = std::from_chars(at, at + 2, out[i], 16);
    if (error != std::errc{} || end != at + 2) return false;
  }
  return true;
}

}  // namespace

Expected<Witness> Witness::create(const Record& record, std::uint64_t id, std::uint32_t incarnation) {
  std::array<std::uint8_t, 32> plan{};
  if (!from_hex(record.plan_sha256, plan)) return fail(Exit::usage, "record.plan", "is no SHA-256 in hexadecimal");
  auto journal =
      record::Journal::create(record.file, record::make_header(record::Writer::audit, record.process, id, incarnation,
                                                               record.node, record.process_name, record.seed, plan));
  if (!journal) return tl::unexpected<Error>(journal.error());
  auto words = record::LastWords::create(record.file + ".last");
  if (!words) return tl::unexpected<Error>(words.error());
  return Witness(std::move(*journal), std::move(*words), record.epoch_ns);
}

std::int64_t Witness::now() const {
  return static_cast<std::int64_t>(udp::monotonic_ns() - epoch_ns_);
}

void Witness::judged(std::span<const broker::Verdict> verdicts) {
  const std::int64_t at = now();
  for (const broker::Verdict& v : verdicts) {
    journal_.verdict(at, v.session_uid, v.packet, static_cast<std::uint32_t>(v.drop), v.consumed);
  }
}

void Witness::event(const broker::Event& event) {
  record::Row row;
  row.publisher = event.peer;
  row.incarnation = event.peer_incarnation;
  row.code = event.code;
  row.hash = event.session_uid;
  switch (event.kind) {
    case broker::EventKind::session_up:
      return journal_.add(now(), record::Kind::peer_up, row);
    case broker::EventKind::session_down:
      return journal_.add(now(), record::Kind::peer_down, row);
    case broker::EventKind::detached:
      return journal_.add(now(), record::Kind::detached, row);
    default:
      return;
  }
}

void Witness::sample(const broker::Engine& engine, const udp::Loop& loop) {
  const auto tell = [this](const char* name, std::uint32_t code, std::uint64_t value) {
    journal_.counter(name, code, value);
  };
  udp::each_counter(engine.endpoint_counters(), tell);
  udp::each_counter(engine.counters(), tell);
  udp::each_counter(loop.socket_counters(), tell);
  std::array<broker::Endpoint::HighWater, 64> marks{};
  const std::uint32_t n = engine.high_water(marks);
  for (std::uint32_t i = 0; i < n; ++i) journal_.high_water(marks[i].name, marks[i].used_most, marks[i].bound);
}

Expected<void> Witness::turn(const broker::Engine& engine, const udp::Loop& loop, bool second) {
  sample(engine, loop);
  if (second) journal_.write_counters(now());
  if (!journal_.flush()) return tl::unexpected<Error>(journal_.error());
  missing_.clear();
  journal_.missing(missing_);
  if (!words_.say({journal_.bytes(), 0}, missing_)) return fail(Exit::cannot, "record", "too many counters");
  return {};
}

Expected<void> Witness::finish(const broker::Engine& engine, const udp::Loop& loop) {
  sample(engine, loop);
  auto summary = journal_.finish(now(), record::EndCode::finished);
  if (!summary) return tl::unexpected<Error>(summary.error());
  return {};
}

}  // namespace portolan::daemon
