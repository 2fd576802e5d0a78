#include "results/check/subscriber.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace portolan::check {

using record::Kind;
using record::Row;

std::string SubscriberReader::place(const Row& row) const {
  return fmt::format("{} row {}: {} publisher {} incarnation {} sequence {}", s_.file->name, row.number,
                     s_.file->reader.text(row.topic), row.publisher, row.incarnation, row.sequence);
}

// The stream that a row names; `received` 0 when nobody in this tenant can have sent it.
SubscriberReader::Cache* SubscriberReader::find(const Row& row) {
  auto& of_topic = cache_[row.topic];
  for (Cache& c : of_topic) {
    if (c.publisher == row.publisher && c.incarnation == row.incarnation) return &c;
  }
  const Index tenant = run_.plan.processes[s_.process].tenant;
  const Index topic = ledger_.topic_of(tenant, s_.file->reader.text(row.topic));
  const Index client = ledger_.client_of(tenant, row.publisher);
  Cache cache{row.publisher, row.incarnation, 0, nullptr};
  if (topic != plan::kNone && client != plan::kNone) {
    cache.sent = ledger_.find(client, topic, row.incarnation);
    Received r;
    r.process = client;
    r.topic = topic;
    r.incarnation = row.incarnation;
    s_.received.push_back(std::move(r));
    s_.samples.emplace_back();
    cache.received = s_.received.size();
  }
  of_topic.push_back(cache);
  return &of_topic.back();
}

void SubscriberReader::ask(const Row& row) {
  const Ns at = s_.file->time(row);
  const std::string_view filter = s_.file->reader.text(row.text);
  Asked* last = nullptr;
  for (Asked& a : s_.asked) {
    if (a.filter == filter) last = &a;
  }
  switch (static_cast<Kind>(row.kind)) {
    case Kind::subscribe:
      if (last != nullptr && last->until == kNever) break;  // asked again while it stands
      s_.asked.push_back({std::string(filter), at, kNever, 0, kNever});
      std::fill(matched_.begin(), matched_.end(), std::int8_t{0});
      break;
    case Kind::subscribed: {
      const std::uint64_t cursors = s_.rows[static_cast<std::size_t>(Kind::cursor)];
      if (row.value != cursors) {
        judgement_.undecided(Rule::records, "cursor rows missing", s_.file->name,
                             fmt::format("row {}: {} cursors before it, it counts {}", row.number, cursors, row.value));
      }
      if (last == nullptr) {
        judgement_.undecided(Rule::records, "subscribe rows missing", s_.file->name,
                             fmt::format("row {}: '{}' confirmed but never asked for", row.number, filter));
        break;
      }
      if (last->subscribed == kNever) last->subscribed = at, last->unreachable = row.sequence;
      break;
    }
    case Kind::unsubscribe:
      if (last != nullptr) last->until = at;
      break;
    default:
      break;
  }
}

void SubscriberReader::cursor(const Row& row) {
  Cache* cache = find(row);
  if (cache->received == 0) {
    judgement_.fail(Rule::r4, "cursor of a stream that cannot be", s_.file->name, place(row), Invariant::corruption);
    return;
  }
  Received& r = s_.received[cache->received - 1];
  if (!r.has_cursor) {
    r.has_cursor = true;
    r.cursor = row.sequence;
    r.cursor_at = s_.file->time(row);
    r.next = std::max(r.next, row.sequence);
  } else if (row.sequence >
             r.next) {  // after subscribing anew; what lies between was owed only if a subscription stood
    r.holes.push_back({r.next, row.sequence - 1});
    r.next = row.sequence;
  }
}

// Duplicate, disorder, and the holes that a jump leaves.
void SubscriberReader::order(const Row& row, Received& r) {
  std::uint32_t& newest = s_.newest[{r.topic, r.process}];
  const std::string& family = run_.plan.topics[r.topic].family;
  if (row.incarnation < newest) {
    ++r.disorder;
    judgement_.fail(Rule::r1, "older incarnation after a newer one", family, place(row), Invariant::disorder);
  }
  newest = std::max(newest, row.incarnation);
  if (row.sequence >= r.next) {
    if (row.sequence > r.next) r.holes.push_back({r.next, row.sequence - 1});
    r.next = row.sequence + 1;
    return;
  }
  const auto inside = [&](const Range& h) { return row.sequence >= h.first && row.sequence <= h.last; };
  const auto hole = std::find_if(r.holes.begin(), r.holes.end(), inside);
  if (hole != r.holes.end()) {
    ++r.disorder;
    judgement_.fail(Rule::r1, "out of order", family, place(row), Invariant::disorder);
    const Range whole = *hole;
    r.holes.erase(hole);
    if (whole.first < row.sequence) r.holes.push_back({whole.first, row.sequence - 1});
    if (row.sequence < whole.last) r.holes.push_back({row.sequence + 1, whole.last});
    return;
  }
  if (row.sequence < r.cursor) {
    ++r.disorder;
    judgement_.fail(Rule::r1, "delivered from before its start cursor", family, place(row), Invariant::disorder);
    return;
  }
  for (const GapTold& g : r.gaps) {
    if (row.sequence >= g.range.first && row.sequence <= g.range.last) {
      ++r.disorder;
      judgement_.fail(Rule::r1, "delivered after a gap was told over it", family, place(row), Invariant::disorder);
      return;
    }
  }
  ++r.duplicates;
  judgement_.fail(Rule::r1, "delivered twice", family, place(row), Invariant::duplicate);
}

// Whether the delivered message is one that was published, unchanged, earlier.
void SubscriberReader::check_delivered(const Row& row, const Cache& cache, Ns at) {
  const Received& r = s_.received[cache.received - 1];
  const std::string& family = run_.plan.topics[r.topic].family;
  const Message* m = cache.sent == nullptr ? nullptr : cache.sent->find(row.sequence);
  if (m != nullptr && m->offered) {
    if (row.hash != m->hash || row.value != m->size) {
      judgement_.fail(Rule::r4, "delivered bytes are not the published ones", family,
                      fmt::format("{}: hash {:016x} of {} bytes, the plan computes {:016x} of {}", place(row), row.hash,
                                  row.value, m->hash, m->size),
                      Invariant::corruption);
      judgement_.fail(Rule::rule6, "payload of another message", family, place(row), Invariant::corruption);
    }
    if (at < m->sent - cache.sent->uncertainty - s_.file->uncertainty()) {
      judgement_.fail(Rule::r4, "delivered before it was published", family,
                      fmt::format("{}: delivered at {} ns, sent at {}", place(row), at, m->sent),
                      Invariant::corruption);
    }
    s_.samples[cache.received - 1].push_back({at, at - m->intended, m->size});
    return;
  }
  // Never offered by the records. Whoever has whole records of a publisher that did not send it holds a forgery.
  const bool known =
      run_.whole(record::Writer::application, r.process, row.incarnation) && (m == nullptr || !m->answered());
  if (!known) {
    judgement_.undecided(Rule::records, "delivered, but the publisher's rows are missing", family, place(row));
    return;
  }
  judgement_.fail(Rule::r4, "delivered what nobody published", family, place(row), Invariant::corruption);
}

void SubscriberReader::deliver(const Row& row) {
  const Ns at = s_.file->time(row);
  Cache* cache = find(row);
  if (cache->received == 0) {
    judgement_.fail(Rule::r4, "delivered what nobody published", s_.file->name,
                    place(row) + " (no such topic or publisher in this tenant)", Invariant::corruption);
    return;
  }
  Received& r = s_.received[cache->received - 1];
  ++r.deliveries;
  std::int8_t& matched = matched_[row.topic];
  if (matched == 0) {
    matched = -1;
    for (const Asked& a : s_.asked) {
      if (plan::filter_matches(a.filter, run_.plan.topics[r.topic].name)) matched = 1;
    }
  }
  if (matched < 0)
    judgement_.fail(Rule::r1, "delivered without being asked for", run_.plan.topics[r.topic].family, place(row));
  if (at < s_.first_session && s_.before_session.empty()) s_.before_session = place(row);
  if (!r.has_cursor) {
    judgement_.undecided(Rule::records, "cursor rows missing", s_.file->name,
                         place(row) + ": no cursor of this stream before it");
    r.has_cursor = true;
    r.cursor = r.next = row.sequence;
    r.cursor_at = at;
  }
  check_delivered(row, *cache, at);
  order(row, r);
}

void SubscriberReader::gap(const Row& row) {
  Cache* cache = find(row);
  if (cache->received == 0) {
    judgement_.fail(Rule::r3, "gap of a stream that cannot be", s_.file->name, place(row));
    return;
  }
  Received& r = s_.received[cache->received - 1];
  if (row.last < row.sequence) {
    judgement_.fail(Rule::r3, "gap that ends before it begins", s_.file->name, place(row));
    return;
  }
  const std::uint64_t messages = row.last == ~0ull ? 1 : row.last - row.sequence + 1;
  s_.gap_messages[row.code] += messages;
  s_.closed_gap_messages += row.last == ~0ull ? 0 : messages;
  if (row.last < r.next) {
    // Everything in it was delivered or told before, unless it names a hole that came first.
    const auto inside = [&](const Range& h) { return row.sequence <= h.last && row.last >= h.first; };
    if (std::none_of(r.holes.begin(), r.holes.end(), inside) && r.has_cursor) {
      judgement_.fail(Rule::r3, "gap over what was delivered", run_.plan.topics[r.topic].family, place(row));
    }
    r.gaps.push_back({{row.sequence, row.last}, row.code, s_.file->time(row), row.number});
    return;
  }
  if (row.sequence > r.next && r.has_cursor) r.holes.push_back({r.next, row.sequence - 1});
  r.gaps.push_back({{std::max(row.sequence, r.next), row.last}, row.code, s_.file->time(row), row.number});
  r.next = row.last == ~0ull ? row.last : row.last + 1;
}

// The subscriptions that the plan has this incarnation ask for, and their end.
void SubscriberReader::check_asked() {
  constexpr Ns kSlack = 1'000'000;
  if (s_.life == nullptr || !s_.whole) return;
  const Ns close = s_.life->to == kNever ? timeline_.end() : s_.life->to;
  Ns active_until = close;
  for (const Interval& away : timeline_.away(s_.process)) {
    if (away.from < active_until && away.to >= active_until) active_until = std::max(away.from, s_.life->from);
  }
  for (const plan::Subscription& want : run_.plan.processes[s_.process].subscriptions) {
    const Ns from = std::max(want.at_ns, s_.life->from);
    if (from + kSlack >= active_until || (want.until_ns > 0 && want.until_ns <= from)) continue;
    const auto asked =
        std::find_if(s_.asked.begin(), s_.asked.end(), [&](const Asked& a) { return a.filter == want.filter; });
    if (asked == s_.asked.end()) {
      judgement_.undecided(Rule::records, "subscribe rows missing", s_.file->name,
                           fmt::format("'{}' was not asked for", want.filter));
    } else if (want.until_ns > 0 && want.until_ns + kSlack < active_until && asked->until == kNever) {
      judgement_.undecided(Rule::records, "unsubscribe rows missing", s_.file->name, fmt::format("'{}'", want.filter));
    }
  }
}

Subscriber SubscriberReader::read(const RecordFile& file) {
  s_ = Subscriber{};
  s_.process = file.process();
  s_.incarnation = file.incarnation();
  s_.file = &file;
  s_.life = timeline_.life(s_.process, s_.incarnation);
  s_.whole = file.whole;
  cache_.assign(file.reader.text_count() + 1, {});
  matched_.assign(file.reader.text_count() + 1, 0);
  file.reader.for_each([&](const Row& row) {
    switch (static_cast<Kind>(row.kind)) {
      case Kind::deliver:
        deliver(row);
        break;
      case Kind::cursor:
        cursor(row);
        break;
      case Kind::gap:
        gap(row);
        break;
      case Kind::subscribe:
      case Kind::subscribed:
      case Kind::unsubscribe:
        ask(row);
        break;
      case Kind::session_up:
        s_.first_session = std::min(s_.first_session, file.time(row));
        if (s_.session_is_up) {
          judgement_.undecided(Rule::records, "session_down rows missing", file.name,
                               fmt::format("row {}: a second session while one is up", row.number));
        }
        s_.session_is_up = true;
        break;
      case Kind::session_down:
        s_.session_rows_missing |= s_.first_session == kNever;
        s_.session_is_up = false;
        ++s_.sessions_lost;
        break;
      default:
        break;
    }
    if (row.kind < 48 &&
        (row.kind != static_cast<std::uint16_t>(Kind::publish) || (row.flags & record::kFlagOfferedAgain) == 0)) {
      ++s_.rows[row.kind];
    }
  });
  check_asked();
  if (!s_.before_session.empty() && (s_.first_session == kNever || s_.session_rows_missing)) {
    judgement_.undecided(Rule::records, "session_up rows missing", file.name, s_.before_session);
  } else if (!s_.before_session.empty()) {
    judgement_.fail(Rule::rule7, "delivered before any session was up", file.name, s_.before_session,
                    Invariant::corruption);
  }
  for (Received& r : s_.received) {
    std::sort(r.holes.begin(), r.holes.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  }
  return std::move(s_);
}

}  // namespace portolan::check
