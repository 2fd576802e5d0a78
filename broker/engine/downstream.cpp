// Who is served: a downstream is, per topic, a position in the log plus the session messages in flight. The only queue
// in front of it is the log itself (send.cpp pulls from it), so a slow one slows nobody.
#include <algorithm>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {
namespace {

constexpr std::uint64_t kOnTheWayNs = 1'000'000'000;

}  // namespace

std::uint32_t Core::room(std::uint32_t d) const {
  const std::uint32_t slot = downstreams_[d].slot;
  return slot == kNil ? 0 : endpoint_.control_room(slots_[slot].session);
}

bool Core::may_send(std::uint32_t d) const {
  const Downstream& down = downstreams_[d];
  return down.slot != kNil && !down.syncing && !down.detached && !down.dormant;
}

// ------------------------------------------------------------------ position in the log

std::uint32_t Core::next_eligible(std::uint32_t d, std::uint32_t e) const {
  while (e != kNil && !eligible(d, log_.entry(e))) e = log_.entry(e).next;
  return e;
}

// From now on this downstream is in the topic's minimum. Its start cursors: behind everything that came, unless it asks
// for replay, or may have been mine before I lost my memory (then all that I hold is offered, and its library knows).
void Core::attach(std::uint32_t d, std::uint32_t topic, std::uint8_t replay) {
  const Downstream& down = downstreams_[d];
  Lag& l = lag(d, topic);
  l.attached = true;
  l.acked = l.sent = kNil;
  l.inflight = 0;
  ++l.epoch;
  owing_.set(topic, d);
  const bool all = replay == 2 || (!down.seen && (withheld_for_clients_ || (down.broker && withheld_for_peers_)));
  for (std::uint32_t s = log_.topic(topic).first_stream; s != kNil; s = log_.stream(s).next_in_topic) {
    const Stream& stream = log_.stream(s);
    if (!should_serve(d, s) || (stream.home == Home::remote && !stream.covered)) continue;
    // What is retained of it is retained at its home, perhaps longer than here: that is asked, and says where to begin.
    if (replay == 2 && !down.broker && stream.home == Home::remote && downstreams_[stream.home_peer].slot != kNil) {
      l.waits = true;
      continue;
    }
    // Its clients were subscribed all along; for what began meanwhile they have no cursor to ask by.
    if (down.broker && now_.mono_ns < down.returning_until_ns) {
      resume(d, s, stream.start);
      continue;
    }
    const std::uint64_t other = other_hubs_cursor(d, s);
    const std::uint64_t from = other != 0 ? other : replay_start(s, all ? 2 : replay);
    cursor(d, s) = from;
    if (from <= stream.highest) resume_held(d, s, from);
  }
}

// The homes have been asked, and have answered as far as they can: what none of them said begins as here.
void Core::end_waits(std::uint32_t d) {
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    Lag& l = lag(d, t);
    if (!l.waits) continue;
    l.waits = false;
    for (std::uint32_t s = log_.topic(t).first_stream; s != kNil; s = log_.stream(s).next_in_topic) {
      if (cursor(d, s) != 0 || !should_serve(d, s)) continue;
      cursor(d, s) = replay_start(s, 2);
      if (cursor(d, s) <= log_.stream(s).highest) resume_held(d, s, cursor(d, s));
    }
    rematch_topic(d, t, 0);
  }
}

// Where a stream begins for a new subscriber. Retained: as far back as nothing is missing, for entries leave in the
// order in which they came, which after repair or RESUME is not that of their sequences.
std::uint64_t Core::replay_start(std::uint32_t s, std::uint8_t replay) const {
  const Stream& stream = log_.stream(s);
  std::uint64_t from = stream.highest + 1;
  if (stream.held == 0 || replay == 0) return from;
  if (replay == 1) return log_.find(s, stream.contiguous) != kNil ? stream.contiguous : from;
  from = stream.contiguous + 1;
  while (from > log_.low(s) && log_.find(s, from - 1) != kNil) --from;
  return from;
}

void Core::release_topic(std::uint32_t d, std::uint32_t topic) {
  Lag& l = lag(d, topic);
  std::uint32_t e = l.acked;
  end_catch_ups(d, topic);
  forget_through(d, topic);
  l.attached = l.waits = false;
  downstreams_[d].aliases_full = false;
  l.acked = l.sent = kNil;
  l.inflight = 0;
  ++l.epoch;
  owing_.clear(topic, d);
  while (e != kNil) {
    // The next one first: it is owed too, so it stays, while this one may go at once.
    const std::uint32_t next = next_eligible(d, log_.entry(e).next);
    release_one(d, log_.entry(e));
    e = next;
  }
}

// Serves again from this entry on. What was in flight is sent again as well (its numbers no longer tell in log order).
void Core::rewind(std::uint32_t d, std::uint32_t topic, std::uint32_t e) {
  Lag& l = lag(d, topic);
  const std::uint64_t position = log_.entry(e).position;
  if (l.sent != kNil && log_.entry(l.sent).position <= position) return;
  if (l.acked == kNil || log_.entry(l.acked).position > position) {
    Downstream& down = downstreams_[d];
    for (std::uint32_t x = e; x != l.acked; x = log_.entry(x).next) {
      Entry& entry = log_.entry(x);
      if (!eligible(d, entry)) continue;
      ++entry.pending;
      down.backlog_bytes += entry.length;
    }
    Topic& t = log_.topic(topic);
    if (t.oldest_pending == kNil || log_.entry(t.oldest_pending).position > position) t.oldest_pending = e;
    l.acked = e;
  }
  l.sent = l.acked;
  l.inflight = 0;
  ++l.epoch;
  make_ready(d, topic);
}

void Core::reset_sending(std::uint32_t d) {
  end_catch_ups(d, kNil);
  forget_through(d, kNil);
  for (DownLane& lane : downstreams_[d].lanes) lane = DownLane{};
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    Lag& l = lag(d, t);
    l.queued = false;
    l.sent = l.acked;
    l.inflight = l.gaps_ahead = 0;
    l.gaps_wait = false;
    ++l.epoch;
  }
  downstreams_[d].control_blocked = false;
}

bool Core::owes(std::uint32_t d, const Entry& entry) const {
  const Lag& l = lag(d, log_.topic_of(entry));
  return l.attached && l.acked != kNil && log_.entry(l.acked).position <= entry.position && !entry.early() &&
         eligible(d, entry);
}

void Core::release_one(std::uint32_t d, Entry& entry) {
  downstreams_[d].backlog_bytes -= entry.length;
  if (--entry.pending != 0) return;
  if (!entry.is_gap()) {
    TopicCounters& c = counters_of(log_.topic_of(entry));
    const std::uint64_t took_ns = now_.mono_ns - entry.time_ns;
    const auto bits = static_cast<std::uint32_t>(std::bit_width(took_ns >> TopicCounters::kLeastBits));
    ++c.delivered_within[std::min(bits, TopicCounters::kBuckets - 1)];
    ++c.delivered;
    c.delivered_sum_ns += took_ns;
  }
  completed(entry);
}

// All from `acked` up to and with this entry is delivered (session numbers rise in log order, and `delivered` is
// cumulative), told, or was skipped.
void Core::release_through(std::uint32_t d, std::uint32_t topic, std::uint32_t e) {
  Lag& l = lag(d, topic);
  const std::uint64_t position = log_.entry(e).position;
  while (l.acked != kNil && log_.entry(l.acked).position <= position) {
    Entry& entry = log_.entry(l.acked);
    std::uint64_t& c = cursor(d, entry.stream);
    if (c != 0 && !entry.is_gap()) c = std::max(c, entry.sequence + 1);
    if (c >= entry.sequence && entry.is_gap() && entry.last != wire::kUnknownLast) c = std::max(c, entry.last + 1);
    l.acked = next_eligible(d, entry.next);
    release_one(d, entry);
  }
}

// With nothing in flight, what was passed over (before the cursor, told as a GAP) is done as well.
void Core::release_skipped(std::uint32_t d, std::uint32_t topic) {
  Lag& l = lag(d, topic);
  while (l.inflight == 0 && l.acked != l.sent) {
    Entry& entry = log_.entry(l.acked);
    l.acked = next_eligible(d, entry.next);
    release_one(d, entry);
  }
}

void Core::completed(Entry& entry) {
  const Stream& stream = log_.stream(entry.stream);
  if (stream.upstream != kNil) mark_dirty(stream.upstream);
  const std::uint32_t home = stream.home == Home::remote ? downstreams_[stream.home_peer].slot : kNil;
  if (home != kNil) mark_dirty(home);
  const std::uint32_t topic = log_.topic_of(entry);
  if (&log_.entry(log_.topic(topic).head) == &entry) expire(topic);
}

// A new entry at the end of its topic's log: everyone in the minimum owes it.
void Core::appended(std::uint32_t e) {
  Entry& entry = log_.entry(e);
  std::uint32_t over = kNil;
  owing_.for_each(log_.topic_of(entry), [&](std::uint32_t d) {
    if (!eligible(d, entry)) return;
    Downstream& down = downstreams_[d];
    Lag& l = lag(d, log_.topic_of(entry));
    ++entry.pending;
    down.backlog_bytes += entry.length;
    counters.backlog_bytes_high = std::max(counters.backlog_bytes_high, down.backlog_bytes);
    if (down.backlog_bytes > detach_bytes_) over = d;
    if (l.acked == kNil) l.acked = e;
    if (l.sent != kNil) {
      if (catching_up_.test(d, entry.stream)) make_ready(d, log_.topic_of(entry));
      return;
    }
    l.sent = e;
    make_ready(d, log_.topic_of(entry));
  });
  if (entry.pending == 0) {
    completed(entry);
  } else if (over != kNil) {
    detach(over, static_cast<std::uint32_t>(GapReason::detached));
  }
}

// ------------------------------------------------------------------ delivered, detach

void Core::on_progress(SessionId session) {
  const std::uint32_t slot = slot_of(session);
  if (slot == kNil) return;
  drop_told_refusals(slot);
  const std::uint32_t d = slots_[slot].downstream;
  if (downstreams_[d].slot != slot) return;
  for (std::uint32_t i = 0; i < kDataLanes; ++i) {
    DownLane& lane = downstreams_[d].lanes[i];
    const Progress progress = endpoint_.progress(session, static_cast<Lane>(i + 1));
    const std::uint32_t delivered = std::min(progress.delivered, lane.sent);
    if (lane.delivered < delivered) downstreams_[d].progress_ns = now_.mono_ns;
    while (lane.delivered < delivered) {
      const InFlight& f = in_flight(d, i, ++lane.delivered);
      if (f.topic == kNil) continue;  // out of log order
      Lag& l = lag(d, f.topic);
      if (f.epoch != l.epoch || l.inflight == 0) continue;  // from before a rewind
      release_through(d, f.topic, f.entry);
      --l.inflight;
      release_skipped(d, f.topic);
    }
    lane.blocked = false;
  }
  go_on_with_gaps(d);
  queue_downstream(d);
}

void Core::detach(std::uint32_t d, std::uint32_t reason) {
  Downstream& down = downstreams_[d];
  if (down.detached) return;
  down.detached = down.was_detached = true;
  down.let_go_ns = now_.mono_ns;
  down.announce_at = kNil;
  ++counters.detached;
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    if (lag(d, t).attached) release_topic(d, t);
  }
  down.backlog_bytes = 0;
  if (down.slot != kNil) {
    tell(d, PTL_C_DETACHED, wire::DetachedBody{reason});
  } else {
    remove_filters(d, false, false);  // it names them again when it comes back
    down.interest_digest = 0;
    down.interest_version = 0;
    down.ghost_until_ns = 0;
  }
  Event event;
  event.kind = EventKind::detached;
  event.peer = down.id;
  event.peer_incarnation = down.incarnation;
  event.code = reason;
  push_event(event);
}

// Back in the minimum: each stream from the cursor that RESUME gave, a stream that it never met from its beginning.
void Core::reattach(std::uint32_t d) {
  Downstream& down = downstreams_[d];
  down.detached = false;
  down.reattach_due_ns = 0;
  if (down.dormant) return;
  down.since_ns = now_.mono_ns;
  ++counters.resumed;
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    bool any = false, live = false;
    for (std::uint32_t f = down.first_filter; f != kNil && !live && log_.topic(t).used; f = filters_[f].next) {
      if (!wire::filter_matches(text_of(f), log_.name_of(t))) continue;
      any = true;
      live = !filters_[f].ghost;
    }
    Lag& l = lag(d, t);
    l.waits = false;
    l.sendable = live;
    if (!any) continue;
    l.attached = true;
    l.acked = l.sent = kNil;
    l.inflight = 0;
    ++l.epoch;
    owing_.set(t, d);
    for (std::uint32_t s = log_.topic(t).first_stream; s != kNil; s = log_.stream(s).next_in_topic) {
      const Stream& stream = log_.stream(s);
      if (stream.home == Home::unknown && cursor(d, s) == 0) continue;
      if (stream.home != Home::unknown && !should_serve(d, s)) continue;
      if (stream.home == Home::remote && !stream.covered && cursor(d, s) == 0) continue;
      resume(d, s, cursor(d, s) == 0 ? stream.start : cursor(d, s));
    }
    make_ready(d, t);
  }
  down.was_detached = false;
  down.announce_at = 0;
  jobs_due_ = true;
  queue_downstream(d);
}

// Lets go of those who owe this entry for too long. By age: the detach bound, counted anew for whoever has just come
// back. In want of room: those who are away, or else those who owe it for longer than any journey takes; whoever is
// merely on the way is waited for.
void Core::detach_laggards(std::uint32_t e, std::uint32_t reason, bool want_room) {
  const std::uint32_t topic = log_.topic_of(log_.entry(e));
  const std::uint64_t position = log_.entry(e).position;
  const std::uint64_t time_ns = log_.entry(e).time_ns;
  const std::uint32_t serial = log_.entry(e).serial;
  bool any_away = false;
  const auto owes = [&](std::uint32_t d) {
    const Lag& l = lag(d, topic);
    return log_.entry(e).serial == serial && l.acked != kNil && log_.entry(l.acked).position <= position;
  };
  owing_.for_each(topic, [&](std::uint32_t d) { any_away = any_away || (owes(d) && downstreams_[d].slot == kNil); });
  owing_.for_each(topic, [&](std::uint32_t d) {
    if (!owes(d)) return;
    const Downstream& down = downstreams_[d];
    std::uint64_t bound_ns = detach_ns_;
    if (want_room) {
      bound_ns = down.slot == kNil ? 0 : any_away ? kNever : std::min(detach_ns_ / 4, kOnTheWayNs);
    } else if (down.broker && down.slot != kNil) {
      bound_ns = 2 * detach_ns_;  // its clients fall behind there, each with a bound of its own
    }
    if (now_.mono_ns - std::max(down.since_ns, time_ns) >= bound_ns) detach(d, reason);
  });
}

}  // namespace portolan::broker::core
