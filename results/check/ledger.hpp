// The publishers' side: every message that was offered, what became of it, and whether its bytes are those that the
// plan computes. Messages of a stream and incarnation are dense from 1, so a message is found by index.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "results/check/timeline.hpp"
#include "scenarios/load/load.hpp"

namespace portolan::check {

struct Message {
  Ns intended = 0;
  Ns sent = 0;
  Ns accepted = kNever;
  Ns received = kNever;
  std::uint64_t hash = 0;  // that the plan computes
  std::uint32_t size = 0;
  bool offered = false;  // has a publish row
  bool refused = false;
  bool gapped = false;  // some subscriber was told a gap over it
  bool answered() const { return accepted != kNever || received != kNever; }
};

// What a publisher incarnation sent on one topic.
struct Sent {
  Index process = 0;
  Index topic = 0;
  std::uint32_t incarnation = 0;
  Index stream = plan::kNone;                            // of the plan
  std::uint64_t refused_on_the_spot = 0, told_when = 0;  // of them, those told a time after which to try again
  bool whole = true;                                     // the publisher's file is
  Ns uncertainty = 0;
  std::vector<Message> messages;  // [sequence - 1]
  const Message* find(std::uint64_t sequence) const {
    return sequence - 1 < messages.size() ? &messages[static_cast<std::size_t>(sequence - 1)] : nullptr;
  }
};

class Ledger {
 public:
  Ledger(const RunFiles& run, const Timeline& timeline, const load::Workload& workload, Judgement& judgement);

  std::vector<Sent>& sent() { return sent_; }
  const std::vector<Sent>& sent() const { return sent_; }
  // Null when that incarnation published nothing on the topic.
  Sent* find(Index process, Index topic, std::uint32_t incarnation);
  // Index of the plan's topic, or plan::kNone.
  Index topic_of(Index tenant, std::string_view name) const;
  // The client of a tenant with this identity, or plan::kNone.
  Index client_of(Index tenant, std::uint64_t id) const;
  const load::Workload& workload() const { return workload_; }
  const std::vector<Ns>& lateness() const { return lateness_; }  // sent - intended, all offers
  // What the plan computes for a message, whether or not it was offered; false if the plan has none.
  bool expected(Index topic, Index process, std::uint32_t incarnation, std::uint64_t sequence, std::uint64_t& hash,
                std::uint32_t& size);

 private:
  struct Reading;  // one file
  void read(const RecordFile& file);
  void publish(Reading& reading, const record::Row& row);
  void answer(Reading& reading, const record::Row& row);
  void check_shots(Index process, const Life& life, const RecordFile* file);
  Sent* sent_of(Reading& reading, const record::Row& row);

  const RunFiles& run_;
  const Timeline& timeline_;
  const load::Workload& workload_;
  Judgement& judgement_;
  std::vector<Sent> sent_;
  std::unordered_map<std::uint64_t, std::size_t> index_;
  std::vector<std::unordered_map<std::string, Index>> topics_;     // by tenant
  std::vector<std::unordered_map<std::uint64_t, Index>> clients_;  // by tenant
  std::vector<Ns> lateness_;
  std::vector<std::uint8_t> payload_;
  std::uint64_t holes_left_ = 1'000'000;  // sequences without a publish row that we make room for, in all
};

}  // namespace portolan::check
