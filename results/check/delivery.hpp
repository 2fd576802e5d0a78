// Judges what is missing: which messages are owed to whom, and whether each was delivered, told as a gap that the
// timeline explains, or is lost (R1, R2, R5, R6). Also counts everything by topic.
#pragma once

#include <cstdint>
#include <vector>

#include "results/check/subscriber.hpp"

namespace portolan::check {

struct Counts {
  std::uint64_t published = 0, accepted = 0, refused = 0, received = 0, unanswered = 0;  // messages, once each
  std::uint64_t busy = 0;        // of those refused: with a time after which to try again
  std::uint64_t owed = 0;        // (message, subscriber) pairs
  std::uint64_t delivered = 0;   // of those owed
  std::uint64_t deliveries = 0;  // deliver rows, owed or not
  std::uint64_t gaps = 0;        // owed and told as explained gaps
  std::uint64_t lost = 0;        // owed and neither
  std::uint64_t undecided = 0;   // neither, and the run ended too early (or the records are not whole) to say
  std::uint64_t excused = 0;     // not owed: the subscriber is away beyond its broker's detach bound when the run ends
  std::uint64_t died = 0;        // not owed: died with publisher and home broker before it was received
  std::uint64_t duplicates = 0, disorder = 0;
  void add(const Counts& other);
};

class DeliveryJudge {
 public:
  DeliveryJudge(const RunFiles& run, const Timeline& timeline, Ledger& ledger, std::vector<Subscriber>& subscribers,
                Judgement& judgement);
  void judge();
  const std::vector<Counts>& by_topic() const { return by_topic_; }
  // When an owed message that never came was intended: such a stream has not recovered.
  struct Missing {
    Index topic;
    Ns intended;
    Ns told;  // when a gap said so; kNever: never
  };
  const std::vector<std::vector<Missing>>& missing() const { return missing_; }  // by subscriber

 private:
  struct Pair;
  struct Due {
    Ns at;
    bool away;   // the chain is broken when the subscription or the run ends
    Ns away_ns;  // for how long
  };
  Due due(const Pair& pair, Ns admitted) const;
  void judge_subscriber(Subscriber& s, std::size_t index);
  void judge_pair(Subscriber& s, Sent& sent, const Received* r, Pair& pair);
  void judge_message(Pair& pair, Message& m, std::uint64_t sequence);
  Ns reached_after(const Pair& pair, const Asked& asked) const;
  bool explained(const Pair& pair, const GapTold& gap, const Message& m) const;
  bool retention_passed(const Pair& pair, const GapTold& gap, const Message& m) const;
  bool died(const Pair& pair, const Message& m) const;
  void judge_received(Sent& sent);
  void judge_confirmations(const Subscriber& s);
  void judge_topics();
  bool silent_by_plan(Index topic) const;
  std::string place(const Pair& pair, std::uint64_t sequence) const;

  const plan::Plan& plan_;
  const Timeline& timeline_;
  Ledger& ledger_;
  std::vector<Subscriber>& subscribers_;
  Judgement& judgement_;
  std::vector<Counts> by_topic_;
  std::vector<std::vector<std::size_t>> sent_of_topic_;
  std::vector<std::vector<Missing>> missing_;
  std::vector<std::vector<Index>> subscribers_of_topic_;  // processes, as planned
};

}  // namespace portolan::check
