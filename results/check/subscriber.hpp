// The subscribers' side: what one client incarnation asked for, was promised, got and was told, read from its
// application file. What a single row shows to be wrong (duplicate, disorder, forgery, corruption) is found here; what
// is missing is judged in delivery.hpp once everything is read.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "results/check/ledger.hpp"

namespace portolan::check {

struct Range {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

struct GapTold {
  Range range;  // clipped to what was still open
  std::uint32_t reason = 0;
  Ns at = 0;
  std::uint32_t row = 0;
};

// One subscriber incarnation's view of one stream of a publisher incarnation.
struct Received {
  Index process = 0;  // the publisher
  Index topic = 0;
  std::uint32_t incarnation = 0;
  bool has_cursor = false;
  std::uint64_t cursor = 0;
  Ns cursor_at = kNever;
  std::uint64_t next = 0;    // one past the highest delivered or told; the cursor at first
  std::vector<Range> holes;  // below next: neither delivered nor told
  std::vector<GapTold> gaps;
  std::uint64_t deliveries = 0, duplicates = 0, disorder = 0;
};

struct Asked {
  std::string filter;
  Ns at = 0;
  Ns subscribed = kNever;
  std::uint64_t unreachable = 0;
  Ns until = kNever;
};

// One delivery of a message that was published: what statistics are made of.
struct Sample {
  Ns delivered = 0;
  Ns latency = 0;  // delivered - intended
  std::uint32_t bytes = 0;
};

// A subscriber incarnation and one (topic, publisher incarnation) of its deliveries.
struct Subscriber {
  Index process = 0;
  std::uint32_t incarnation = 0;
  const RecordFile* file = nullptr;
  const Life* life = nullptr;
  bool whole = true;
  std::vector<Asked> asked;
  std::vector<Received> received;
  std::vector<std::vector<Sample>> samples;                 // beside `received`
  std::uint64_t rows[48] = {};                              // by kind, application kinds only
  std::map<std::pair<Index, Index>, std::uint32_t> newest;  // (topic, publisher) -> incarnation delivered last
  std::map<std::uint32_t, std::uint64_t> gap_messages;      // by reason: in `gap` rows; an open-ended one counts 1
  std::uint64_t closed_gap_messages = 0;                    // without the open-ended ones
  std::uint64_t sessions_lost = 0;
  Ns first_session = kNever;
  bool session_rows_missing = false;  // a session ended that never began
  bool session_is_up = false;
  std::string before_session;  // the first delivery before any session, if one is
  Ns close() const { return life == nullptr || life->to == kNever ? kNever : life->to; }
};

class SubscriberReader {
 public:
  SubscriberReader(const RunFiles& run, const Timeline& timeline, Ledger& ledger, Judgement& judgement)
      : run_(run), timeline_(timeline), ledger_(ledger), judgement_(judgement) {}
  Subscriber read(const RecordFile& file);

 private:
  struct Cache {  // what was found for a stream, by the file's topic string
    std::uint64_t publisher;
    std::uint32_t incarnation;
    std::size_t received;  // index + 1; 0: impossible
    Sent* sent;
  };
  Cache* find(const record::Row& row);
  std::string place(const record::Row& row) const;
  void ask(const record::Row& row);
  void cursor(const record::Row& row);
  void deliver(const record::Row& row);
  void check_delivered(const record::Row& row, const Cache& cache, Ns at);
  void order(const record::Row& row, Received& r);
  void gap(const record::Row& row);
  void check_asked();

  const RunFiles& run_;
  const Timeline& timeline_;
  Ledger& ledger_;
  Judgement& judgement_;
  Subscriber s_;
  std::vector<std::vector<Cache>> cache_;
  std::vector<std::int8_t> matched_;  // by the file's topic string: 0 unknown, 1 asked for, -1 never
};

}  // namespace portolan::check
