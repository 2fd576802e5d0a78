// Writes the audit rows of a broker in a rehearsal (results/RECORDS.md): what crossed its engine's boundary, on the
// run's timeline. What a row says is in the file before any datagram that follows from it leaves, so a kill loses
// nothing that somebody else saw.
#pragma once

#include "broker/daemon/config.hpp"
#include "broker/engine.hpp"
#include "broker/udp/loop.hpp"
#include "results/record/journal.hpp"

namespace portolan::daemon {

class Witness {
 public:
  static Expected<Witness> create(const Record& record, std::uint64_t id, std::uint32_t incarnation);

  void judged(std::span<const broker::Verdict> verdicts);
  void event(const broker::Event& event);
  // Before anything leaves; `second`: also write the counters that moved.
  Expected<void> turn(const broker::Engine& engine, const udp::Loop& loop, bool second);
  Expected<void> finish(const broker::Engine& engine, const udp::Loop& loop);

 private:
  Witness(record::Journal journal, record::LastWords words, std::uint64_t epoch_ns)
      : journal_(std::move(journal)), words_(std::move(words)), epoch_ns_(epoch_ns) {}
  std::int64_t now() const;
  void sample(const broker::Engine& engine, const udp::Loop& loop);

  record::Journal journal_;
  record::LastWords words_;
  std::uint64_t epoch_ns_;
  std::vector<record::Row> missing_;
};

}  // namespace portolan::daemon
