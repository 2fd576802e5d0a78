#include "results/check/delivery.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace portolan::check {

void Counts::add(const Counts& o) {
  published += o.published, accepted += o.accepted, refused += o.refused, received += o.received, busy += o.busy;
  unanswered += o.unanswered, owed += o.owed, delivered += o.delivered, deliveries += o.deliveries, gaps += o.gaps;
  lost += o.lost, undecided += o.undecided, excused += o.excused, died += o.died;
  duplicates += o.duplicates, disorder += o.disorder;
}

// A subscriber incarnation and a publisher incarnation on one topic, with all that does not change between messages.
struct DeliveryJudge::Pair {
  Pair(Subscriber& s_, std::size_t subscriber_, Sent& sent_, const Received* r_, Counts& counts_)
      : s(s_), subscriber(subscriber_), sent(sent_), r(r_), counts(counts_) {}
  Subscriber& s;
  std::size_t subscriber;
  Sent& sent;
  const Received* r;  // null: not one row about it
  Counts& counts;
  Index home = 0, broker = 0;
  std::vector<const Asked*> asked;  // that match, in order
  Ns threshold = kNever;            // what is sent after this is owed whatever the cursor says
  Ns close = 0;                     // the subscription ended then
  bool closed_early = false;        // before the end of the run
  Ns detach_ns = 0;
  std::size_t hole = 0;  // walks r->holes
  std::vector<const GapTold*> gaps;
};

DeliveryJudge::DeliveryJudge(const RunFiles& run, const Timeline& timeline, Ledger& ledger,
                             std::vector<Subscriber>& subscribers, Judgement& judgement)
    : plan_(run.plan), timeline_(timeline), ledger_(ledger), subscribers_(subscribers), judgement_(judgement) {
  by_topic_.resize(plan_.topics.size());
  sent_of_topic_.resize(plan_.topics.size());
  subscribers_of_topic_.resize(plan_.topics.size());
  missing_.resize(subscribers.size());
  for (std::size_t i = 0; i < ledger_.sent().size(); ++i) sent_of_topic_[ledger_.sent()[i].topic].push_back(i);
  for (Index t = 0; t < plan_.topics.size(); ++t) {
    for (Index p = 0; p < plan_.processes.size(); ++p) {
      const plan::Process& process = plan_.processes[p];
      if (process.tenant != plan_.topics[t].tenant) continue;
      if (std::any_of(process.subscriptions.begin(), process.subscriptions.end(), [&](const plan::Subscription& s) {
            return plan::filter_matches(s.filter, plan_.topics[t].name);
          })) {
        subscribers_of_topic_[t].push_back(p);
      }
    }
  }
}

std::string DeliveryJudge::place(const Pair& pair, std::uint64_t sequence) const {
  return fmt::format("{} of {} incarnation {} sequence {} at {} incarnation {}", plan_.topics[pair.sent.topic].name,
                     plan_.processes[pair.sent.process].name, pair.sent.incarnation, sequence,
                     plan_.processes[pair.s.process].name, pair.s.incarnation);
}

// It went with its publisher and its home broker: both died, and the broker before it had `settle` to pass it on.
bool DeliveryJudge::died(const Pair& pair, const Message& m) const {
  if (m.received != kNever) return false;
  const Life* publisher = timeline_.life(pair.sent.process, pair.sent.incarnation);
  if (publisher == nullptr || !publisher->died()) return false;
  const Ns broker_died = timeline_.death_after(pair.home, m.sent);
  if (broker_died == kNever) return false;
  Ns disturbed = m.accepted;
  for (const Interval& i : timeline_.chain(pair.home, pair.broker, pair.s.process)) {
    if (i.from < broker_died && i.to >= m.sent) disturbed = std::max(disturbed, std::min(i.to, broker_died));
  }
  return broker_died <= disturbed + plan_.settle_ns;
}

bool DeliveryJudge::retention_passed(const Pair& pair, const GapTold& gap, const Message& m) const {
  const plan::Topic& topic = plan_.topics[pair.sent.topic];
  if (topic.retain_ns == 0 && topic.retain_bytes == 0) return true;
  if (topic.retain_ns > 0 && m.sent + topic.retain_ns <= gap.at) return true;
  if (topic.retain_bytes == 0) return false;
  std::uint64_t bytes = 0;  // of the topic, since this message was sent
  for (const std::size_t i : sent_of_topic_[pair.sent.topic]) {
    const auto& messages = ledger_.sent()[i].messages;
    auto at =
        std::lower_bound(messages.begin(), messages.end(), m.sent, [](const Message& a, Ns t) { return a.sent < t; });
    for (; at != messages.end() && at->sent <= gap.at && bytes <= topic.retain_bytes; ++at) bytes += at->size;
  }
  return bytes > topic.retain_bytes;
}

// Whether the timeline has a cause for this gap over this message. Reasons: RECORDS.md.
bool DeliveryJudge::explained(const Pair& pair, const GapTold& gap, const Message& m) const {
  const Intervals& chain = timeline_.chain(pair.home, pair.broker, pair.s.process);
  const auto disturbed = [&](const Interval& i) { return i.overlaps(m.sent, gap.at); };
  using record::GapCode;
  switch (static_cast<GapCode>(gap.reason)) {
    case GapCode::retention:
      return std::any_of(chain.begin(), chain.end(), disturbed) && retention_passed(pair, gap, m);
    case GapCode::detached: {
      const Intervals& impaired = timeline_.impaired(pair.home, pair.broker, pair.s.process);
      return std::any_of(impaired.begin(), impaired.end(), [&](const Interval& i) {
        if (!disturbed(i) && !i.overlaps(m.sent - pair.detach_ns, gap.at)) return false;
        if (i.length(gap.at) > pair.detach_ns) return true;
        std::uint64_t bytes = 0;  // on this topic alone, so less than the backlog that counts: never excuses too much
        for (const Message& other : pair.sent.messages) {
          if (other.sent >= i.from && other.sent <= gap.at) bytes += other.size;
        }
        return bytes > plan_.processes[pair.home].detach_bytes;
      });
    }
    case GapCode::publisher_lost: {
      const Life* publisher = timeline_.life(pair.sent.process, pair.sent.incarnation);
      const Ns broker = timeline_.death_after(pair.home, m.sent);
      return publisher != nullptr && publisher->died() && publisher->to <= gap.at &&
             (broker <= gap.at || std::any_of(chain.begin(), chain.end(), disturbed));
    }
    case GapCode::broker_lost:
      return timeline_.death_after(pair.home, m.sent) <= gap.at || timeline_.death_after(pair.broker, m.sent) <= gap.at;
    case GapCode::refused:
      return m.refused;
    default:
      return false;
  }
}

// By when it should have come: `settle` after it was admitted, or after the last disturbance on its way that began by
// then.
DeliveryJudge::Due DeliveryJudge::due(const Pair& pair, Ns admitted) const {
  Due out{admitted + plan_.settle_ns, false, 0};
  for (const Interval& i : timeline_.chain(pair.home, pair.broker, pair.s.process)) {
    if (i.from >= pair.close || i.from > out.at) break;
    if (i.to < admitted) continue;
    if (i.to >= pair.close) {
      out.away = true;
      out.away_ns = pair.close - i.from;
    } else {
      out.at = std::max(out.at, i.to + plan_.settle_ns);
    }
  }
  return out;
}

void DeliveryJudge::judge_message(Pair& pair, Message& m, std::uint64_t sequence) {
  const Received* r = pair.r;
  if (!m.answered()) return;  // a refusal of what was accepted before takes no promise back
  const Ns admitted = std::min(m.accepted, m.received);
  const bool cursor = r != nullptr && r->has_cursor && sequence >= r->cursor;
  if (!cursor && m.sent <= pair.threshold) return;
  const GapTold* told = nullptr;
  for (const GapTold* g : pair.gaps) {
    if (sequence >= g->range.first && sequence <= g->range.last) told = g;
  }
  bool passed = false, hole = false;
  if (r != nullptr && r->has_cursor) {
    passed = sequence < r->next && sequence >= r->cursor;
    while (pair.hole < r->holes.size() && r->holes[pair.hole].last < sequence) ++pair.hole;
    hole = pair.hole < r->holes.size() && r->holes[pair.hole].first <= sequence;
  }
  if (passed && !hole && told == nullptr) {
    ++pair.counts.owed;
    ++pair.counts.delivered;
    return;
  }
  if (told != nullptr) m.gapped = true;
  if (died(pair, m)) {
    ++pair.counts.died;
    return;
  }
  const auto stands = [&](const Asked* a) {
    const bool begun = a == pair.asked.front() || m.sent > a->subscribed;
    return begun && (a->until == kNever || admitted + plan_.settle_ns <= a->until);
  };
  if (std::none_of(pair.asked.begin(), pair.asked.end(), stands)) return;
  const std::string& family = plan_.topics[pair.sent.topic].family;
  if (told != nullptr) {
    ++pair.counts.owed;
    missing_[pair.subscriber].push_back({pair.sent.topic, m.intended, told->at});
    if (explained(pair, *told, m)) {
      ++pair.counts.gaps;
      return;
    }
    ++pair.counts.lost;
    judgement_.fail(Rule::r1, "gap without a cause", family,
                    fmt::format("{}: reason {}, told at {} ns", place(pair, sequence), told->reason, told->at));
    return;
  }
  const Due until = due(pair, admitted);
  const Ns due = until.at;
  const bool after_close = pair.closed_early && due > pair.close && !(hole || passed);
  // R2 asks more than R1: who was attached when it was received has it, or was told, whatever happened next.
  const bool attached = m.received != kNever && m.received < pair.close && r != nullptr && r->cursor_at <= m.received;
  const Intervals& absence = timeline_.absence(pair.home, pair.broker, pair.s.process);
  const bool detached = std::any_of(absence.begin(), absence.end(), [&](const Interval& i) {
    return i.overlaps(m.sent, m.received) && std::min(i.to, m.received) - i.from >= pair.detach_ns;
  });
  const bool whole = pair.s.whole && pair.sent.whole;
  const bool promised = attached && !detached;
  if (promised && whole) {
    judgement_.fail(Rule::r2, "received, but not by every subscriber", family,
                    fmt::format("{}: received at {} ns", place(pair, sequence), m.received));
  } else if (after_close) {
    return;
  }
  ++pair.counts.owed;
  missing_[pair.subscriber].push_back({pair.sent.topic, m.intended, kNever});
  if (!whole) {
    ++pair.counts.undecided;
    judgement_.undecided(Rule::records, "missing, but so are rows", family, place(pair, sequence));
  } else if (hole || passed || promised || (!until.away && due <= pair.close)) {
    ++pair.counts.lost;
    judgement_.fail(Rule::r1, "lost", family, fmt::format("{}: accepted at {} ns", place(pair, sequence), m.accepted));
  } else if (until.away && until.away_ns > pair.detach_ns) {
    --pair.counts.owed;
    ++pair.counts.excused;
  } else {
    ++pair.counts.undecided;
    judgement_.undecided(Rule::r1, "still under way when the run ended", family,
                         fmt::format("{}: accepted at {} ns, due by {}", place(pair, sequence), m.accepted, due));
  }
}

// A subscription was confirmed with harbours missing. This home broker can have been one of them only if something
// stood between the two, or one of them had just started; then all is owed from `settle` after the end of that on.
Ns DeliveryJudge::reached_after(const Pair& pair, const Asked& asked) const {
  const auto counts = [&](Ns from, Ns to) { return from <= asked.subscribed && to + plan_.settle_ns >= asked.at; };
  std::optional<Ns> over;
  for (const Index p : {pair.home, pair.broker}) {
    for (const Life& life : timeline_.lives(p)) {
      if (counts(life.from, life.from)) over = std::max(over.value_or(0), life.from);
    }
  }
  for (const Interval& i : timeline_.chain(pair.home, pair.broker, pair.s.process)) {
    if (i.to == kNever ? i.from <= asked.subscribed
                       : counts(i.from, i.to) || (over && i.from <= *over + plan_.settle_ns)) {
      if (i.to == kNever) return kNever;
      over = std::max(over.value_or(0), i.to);
    }
  }
  return over ? std::max(*over, asked.subscribed) + plan_.settle_ns : asked.subscribed;
}

void DeliveryJudge::judge_pair(Subscriber& s, Sent& sent, const Received* r, Pair& pair) {
  pair.home = plan_.processes[sent.process].broker;
  pair.broker = plan_.processes[s.process].broker;
  pair.close = std::min(s.close(), timeline_.end());
  Ns until = 0;
  for (const Asked* a : pair.asked) until = std::max(until, a->until);
  pair.closed_early = (s.life != nullptr && s.life->died()) || until < pair.close;
  pair.close = std::min(pair.close, until);
  pair.detach_ns = plan_.processes[pair.home].detach_ns;
  for (const Asked* a : pair.asked) {
    Ns from = a->subscribed;
    if (a->unreachable > 0) from = reached_after(pair, *a);
    if (from != kNever) from += sent.uncertainty + s.file->uncertainty();
    pair.threshold = std::min(pair.threshold, from);
  }
  if (r != nullptr) {
    for (const GapTold& g : r->gaps) pair.gaps.push_back(&g);
  }
  for (std::size_t i = 0; i < sent.messages.size(); ++i) judge_message(pair, sent.messages[i], i + 1);
}

void DeliveryJudge::judge_subscriber(Subscriber& s, std::size_t index) {
  std::map<std::tuple<Index, Index, std::uint32_t>, const Received*> received;
  for (std::size_t i = 0; i < s.received.size(); ++i) {
    const Received& r = s.received[i];
    received.emplace(std::tuple(r.process, r.topic, r.incarnation), &r);
    Counts& counts = by_topic_[r.topic];
    counts.deliveries += r.deliveries;
    counts.duplicates += r.duplicates;
    counts.disorder += r.disorder;
  }
  const Index tenant = plan_.processes[s.process].tenant;
  for (Index t = 0; t < plan_.topics.size(); ++t) {
    if (plan_.topics[t].tenant != tenant || sent_of_topic_[t].empty()) continue;
    std::vector<const Asked*> asked;
    for (const Asked& a : s.asked) {
      if (a.subscribed != kNever && plan::filter_matches(a.filter, plan_.topics[t].name)) asked.push_back(&a);
    }
    if (asked.empty()) continue;
    for (const std::size_t i : sent_of_topic_[t]) {
      Sent& sent = ledger_.sent()[i];
      const auto at = received.find(std::tuple(sent.process, t, sent.incarnation));
      Pair pair{s, index, sent, at == received.end() ? nullptr : at->second, by_topic_[t]};
      pair.asked = asked;
      judge_pair(s, sent, pair.r, pair);
    }
  }
}

// A subscription that was asked for, stood long enough without a fault in the way, and was never confirmed: nothing can
// be owed by it, so nothing is proven.
void DeliveryJudge::judge_confirmations(const Subscriber& s) {
  const Index broker = plan_.processes[s.process].broker;
  Ns close = std::min(s.close(), timeline_.end());
  Ns quiet_since = 0;
  for (const Interval& i : timeline_.chain(broker, broker, s.process)) {
    if (i.from >= close) break;
    if (i.to >= close)
      close = i.from;
    else
      quiet_since = i.to;
  }
  for (const Asked& a : s.asked) {
    const Ns end = std::min(close, a.until);
    if (a.subscribed == kNever && end - std::max(a.at, quiet_since) > plan_.settle_ns) {
      judgement_.undecided(Rule::r5, "subscription never confirmed", s.file->name,
                           fmt::format("'{}' asked for at {} ns", a.filter, a.at));
    }
  }
}

// R6, and the publishers' counts.
void DeliveryJudge::judge_received(Sent& sent) {
  Counts& counts = by_topic_[sent.topic];
  counts.refused += sent.refused_on_the_spot;
  counts.busy += sent.told_when;
  const Life* life = timeline_.life(sent.process, sent.incarnation);
  const bool alive = life != nullptr && !life->died();
  const Index home = plan_.processes[sent.process].broker;
  const Ns end = timeline_.end();
  struct Absent {
    Ns from, detach_ns;
  };
  // Since when a way is broken that still is when the run ends; kNever: it works.
  const auto broken_at_end = [&](const Intervals& chain) {
    return !chain.empty() && chain.back().to >= end && chain.back().from < end ? chain.back().from : kNever;
  };
  const Ns cut_off = broken_at_end(timeline_.chain(home, home, sent.process));
  std::vector<Absent> absent;
  for (const Index p : subscribers_of_topic_[sent.topic]) {
    const Ns since = broken_at_end(timeline_.chain(home, plan_.processes[p].broker, p));
    if (since == kNever) continue;
    const Ns bound = std::max(plan_.processes[home].detach_ns, plan_.processes[plan_.processes[p].broker].detach_ns);
    absent.push_back({since, bound});
  }
  const std::string& family = plan_.topics[sent.topic].family;
  for (std::size_t i = 0; i < sent.messages.size(); ++i) {
    const Message& m = sent.messages[i];
    counts.published += m.offered ? 1 : 0;
    counts.accepted += m.answered() ? 1 : 0;
    counts.refused += m.refused ? 1 : 0;
    counts.received += m.received != kNever ? 1 : 0;
    if (m.refused || !m.offered) continue;  // what was accepted first is still owed: R1 and R2
    if (!m.answered()) ++counts.unanswered;
    if (!alive || m.gapped) continue;
    const Ns from = m.accepted == kNever ? m.sent : m.accepted;
    Ns due = std::max(from, timeline_.last_heal()) + plan_.settle_ns;
    if (m.received <= due) continue;
    // A subscriber that is away for good holds the answer up until its broker lets it go, not for ever.
    bool held_up = false;
    for (const Absent& a : absent) {
      if (a.from > due) continue;
      due = std::max(due, std::max(a.from, from) + a.detach_ns + plan_.settle_ns);
      held_up = true;
    }
    if (m.received <= due || cut_off <= due || (held_up && due > end)) continue;
    const char* what = m.received != kNever   ? "received too late"
                       : m.accepted == kNever ? "offered, but never answered"
                                              : "accepted, but neither received nor gapped";
    const std::string example =
        fmt::format("{} of {} incarnation {} sequence {}: since {} ns, due by {}{}", plan_.topics[sent.topic].name,
                    plan_.processes[sent.process].name, sent.incarnation, i + 1, from, due,
                    m.received == kNever ? "" : fmt::format(", received at {}", m.received));
    if (due > end || !sent.whole) {
      judgement_.undecided(Rule::r6, what, family, example);
    } else {
      judgement_.fail(Rule::r6, what, family, example);
    }
  }
}

// A Poisson stream may draw no message at all in its time: then its silence is the plan's, as long as its family
// speaks.
bool DeliveryJudge::silent_by_plan(Index topic) const {
  for (Index s = 0; s < plan_.streams.size(); ++s) {
    if (plan_.streams[s].topic != topic) continue;
    const std::uint64_t lives = ledger_.workload().incarnation_starts(plan_.streams[s].process).size();
    for (std::uint64_t i = 1; i <= lives; ++i) {
      const auto shots = load::Generator::make(ledger_.workload(), s, i);
      if (!shots || shots->peek()) return false;
    }
  }
  const plan::Topic& silent = plan_.topics[topic];
  for (Index t = 0; t < plan_.topics.size(); ++t) {
    if (plan_.topics[t].family == silent.family && plan_.topics[t].tenant == silent.tenant && by_topic_[t].owed > 0) {
      return true;
    }
  }
  return false;
}

void DeliveryJudge::judge_topics() {
  for (Index t = 0; t < plan_.topics.size(); ++t) {
    const bool load =
        std::any_of(plan_.streams.begin(), plan_.streams.end(), [&](const plan::Stream& s) { return s.topic == t; });
    if (!load || subscribers_of_topic_[t].empty() || by_topic_[t].owed > 0 || silent_by_plan(t)) continue;
    judgement_.undecided(Rule::r5, "nothing owed", plan_.topics[t].family,
                         fmt::format("{}: {} published, {} accepted", plan_.topics[t].name, by_topic_[t].published,
                                     by_topic_[t].accepted));
  }
}

void DeliveryJudge::judge() {
  for (std::size_t i = 0; i < subscribers_.size(); ++i) {
    judge_subscriber(subscribers_[i], i);
    judge_confirmations(subscribers_[i]);
  }
  for (Sent& sent : ledger_.sent()) judge_received(sent);
  judge_topics();
}

}  // namespace portolan::check
