// Who is served: a downstream is, per topic, a position in the log plus the session messages in flight. It pulls while
// its session has room, so the only queue in front of it is the log itself, and a slow one slows nobody.
#include <algorithm>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {
namespace {

constexpr std::uint32_t kTurnMessages = 64;  // of one downstream before the next has its turn
constexpr std::uint64_t kOnTheWayNs = 1'000'000'000;
constexpr std::uint32_t kTopicMessages = 8;  // of one topic before the next of the same downstream

}  // namespace

std::uint32_t Core::room(std::uint32_t d) const {
  const std::uint32_t slot = downstreams_[d].slot;
  return slot == kNil ? 0 : endpoint_.control_room(slots_[slot].session);
}

bool Core::may_send(std::uint32_t d) const {
  const Downstream& down = downstreams_[d];
  return down.slot != kNil && !down.syncing && !down.detached;
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
    if (stream.home == Home::unknown || (stream.home == Home::remote && (down.broker || !stream.covered))) continue;
    const std::uint64_t from = replay_start(s, all ? 2 : replay);
    cursor(d, s) = from;
    if (from <= stream.highest) resume_held(d, s, from);
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
  while (from > stream.low && log_.find(s, from - 1) != kNil) --from;
  return from;
}

void Core::release_topic(std::uint32_t d, std::uint32_t topic) {
  Lag& l = lag(d, topic);
  std::uint32_t e = l.acked;
  end_catch_ups(d, topic);
  l.attached = false;
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
  for (DownLane& lane : downstreams_[d].lanes) lane = DownLane{};
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    Lag& l = lag(d, t);
    l.queued = false;
    l.sent = l.acked;
    l.inflight = 0;
    ++l.epoch;
  }
  downstreams_[d].control_blocked = false;
}

void Core::release_one(std::uint32_t d, Entry& entry) {
  downstreams_[d].backlog_bytes -= entry.length;
  if (--entry.pending == 0) completed(entry);
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
  const std::uint32_t upstream = log_.stream(entry.stream).upstream;
  if (upstream != kNil) mark_dirty(upstream);
  const std::uint32_t topic = entry.topic;
  if (&log_.entry(log_.topic(topic).head) == &entry) expire(topic);
}

// A new entry at the end of its topic's log: everyone in the minimum owes it.
void Core::appended(std::uint32_t e) {
  Entry& entry = log_.entry(e);
  std::uint32_t over = kNil;
  owing_.for_each(entry.topic, [&](std::uint32_t d) {
    if (!eligible(d, entry)) return;
    Downstream& down = downstreams_[d];
    Lag& l = lag(d, entry.topic);
    ++entry.pending;
    down.backlog_bytes += entry.length;
    counters.backlog_bytes_high = std::max(counters.backlog_bytes_high, down.backlog_bytes);
    if (down.backlog_bytes > detach_bytes_) over = d;
    if (l.acked == kNil) l.acked = e;
    if (l.sent != kNil) {
      if (catching_up_.test(d, entry.stream)) make_ready(d, entry.topic);
      return;
    }
    l.sent = e;
    make_ready(d, entry.topic);
  });
  if (entry.pending == 0) {
    completed(entry);
  } else if (over != kNil) {
    detach(over, static_cast<std::uint32_t>(GapReason::detached));
  }
}

// ------------------------------------------------------------------ sending

void Core::make_ready(std::uint32_t d, std::uint32_t topic) {
  Lag& l = lag(d, topic);
  if (!l.attached || !l.sendable || l.sent == kNil || !may_send(d)) return;
  if (l.queued) {  // since before it was detached, say
    queue_downstream(d);
    return;
  }
  DownLane& lane = downstreams_[d].lanes[data_lane(log_.topic(topic).lane)];
  l.queued = true;
  l.next_ready = kNil;
  (lane.ready_tail == kNil ? lane.ready_head : lag(d, lane.ready_tail).next_ready) = topic;
  lane.ready_tail = topic;
  queue_downstream(d);
}

void Core::queue_downstream(std::uint32_t d) {
  Downstream& down = downstreams_[d];
  if (down.queued || !may_send(d)) return;  // who cannot be served is not kept in line: it would be served for ever
  bool ready = false;
  for (const DownLane& lane : down.lanes) ready = ready || (lane.ready_head != kNil && !lane.blocked);
  if (!ready) return;
  down.queued = true;
  down.next_ready = kNil;
  (ready_tail_ == kNil ? ready_head_ : downstreams_[ready_tail_].next_ready) = d;
  ready_tail_ = d;
}

void Core::serve(std::uint32_t d) {
  Downstream& down = downstreams_[d];
  std::uint32_t left = kTurnMessages;
  for (DownLane& lane : down.lanes) {
    while (left > 0 && may_send(d) && !lane.blocked && lane.ready_head != kNil) {
      const std::uint32_t topic = lane.ready_head;
      Lag& l = lag(d, topic);
      lane.ready_head = l.next_ready;
      if (lane.ready_head == kNil) lane.ready_tail = kNil;
      l.queued = false;
      Pull pull = Pull::more;
      for (std::uint32_t i = 0; i < kTopicMessages && left > 0 && pull == Pull::more; ++i, --left) {
        pull = pull_one(d, topic);
      }
      if (pull == Pull::blocked) lane.blocked = true;
      if (pull != Pull::empty) make_ready(d, topic);
    }
  }
  queue_downstream(d);
}

Core::Pull Core::pull_one(std::uint32_t d, std::uint32_t topic) {
  Lag& l = lag(d, topic);
  if (!l.attached || !l.sendable || l.sent == kNil || !may_send(d)) return Pull::empty;
  const std::uint32_t e = l.sent;
  const Entry& entry = log_.entry(e);
  const std::uint32_t s = entry.stream;
  if (entry.is_gap()) return pull_gap(d, topic);
  if (CatchUp* job = catch_up_of(d, s); job != nullptr && entry.sequence >= job->next) {
    if (entry.sequence > job->next) return pull_by_sequence(d, topic, *job);
    end_catch_up(d, s);
  }
  if (cursor(d, s) != 0 && entry.sequence >= cursor(d, s)) {
    const Pull sent = send_entry(d, e, true);
    if (sent != Pull::more) return sent;
  }
  l.sent = next_eligible(d, entry.next);
  release_skipped(d, topic);
  return l.sent == kNil ? Pull::empty : Pull::more;
}

// What lies between is served as it comes from the home, wherever it stands in the log; its places there are passed
// later, and only then count as delivered.
Core::Pull Core::pull_by_sequence(std::uint32_t d, std::uint32_t topic, CatchUp& job) {
  const std::uint32_t s = job.stream;
  const Stream& stream = log_.stream(s);
  const std::uint32_t e = log_.find(s, job.next);
  if (e != kNil) {
    const Pull sent = send_entry(d, e, false);
    if (sent != Pull::more) return sent;
    ++job.next;
  } else if (stream.gap_first <= job.next && job.next <= stream.gap_last) {
    if (!tell_gap(d, s, job.next, stream.gap_last, stream.gap_reason)) {
      downstreams_[d].control_blocked = jobs_due_ = true;
      return Pull::blocked;
    }
    if (stream.gap_last >= stream.contiguous) {
      end_catch_up(d, s);
      make_ready(d, topic);
      return Pull::more;
    }
    job.next = stream.gap_last + 1;
  } else {
    return Pull::empty;  // until more of it has come
  }
  job.since_ns = now_.mono_ns;
  return Pull::more;
}

Core::Pull Core::send_entry(std::uint32_t d, std::uint32_t e, bool in_log_order) {
  Downstream& down = downstreams_[d];
  const Entry& entry = log_.entry(e);
  const std::uint32_t s = entry.stream, topic = entry.topic;
  const Lane lane = log_.topic(topic).lane;
  DownLane& dl = down.lanes[data_lane(lane)];
  if (dl.sent - dl.delivered >= down_ring_ - 1) return Pull::blocked;  // until `delivered` rises
  if (!announced_.test(d, s) && !announce(d, s)) {
    down.control_blocked = jobs_due_ = true;
    return Pull::blocked;
  }
  std::uint32_t number = 0;
  const Outgoing out{entry.message, topic + 1, s + 1, entry.sequence, 0};
  switch (endpoint_.send(now_, slots_[down.slot].session, lane, out, number)) {
    case SendResult::ok: {
      Lag& l = lag(d, topic);
      in_flight(d, data_lane(lane), number) = {in_log_order ? topic : kNil, e, l.epoch};
      dl.sent = number;
      if (in_log_order) ++l.inflight;
      ++counters.delivered_out;
      break;
    }
    case SendResult::no_room:
      return Pull::blocked;
    case SendResult::not_up:
      return Pull::empty;  // its end comes as an event
    case SendResult::too_long:
      if (!tell_gap(d, s, entry.sequence, entry.sequence, static_cast<std::uint32_t>(GapReason::refused))) {
        down.control_blocked = jobs_due_ = true;
        return Pull::blocked;
      }
      break;
  }
  return Pull::more;
}

Core::Pull Core::pull_gap(std::uint32_t d, std::uint32_t topic) {
  Lag& l = lag(d, topic);
  const Entry& entry = log_.entry(l.sent);
  const std::uint64_t c = cursor(d, entry.stream);
  // Whoever has passed it already, or never wanted it, is not told; nor who hears of it with the STREAM.
  const bool wanted = c != 0 && c <= entry.last && should_serve(d, entry.stream);
  const bool announced = announced_.test(d, entry.stream);
  const bool with_stream = wanted && !announced && entry.last <= log_.stream(entry.stream).contiguous;
  if (with_stream ? !announce(d, entry.stream)
                  : wanted && !tell_gap(d, entry.stream, std::max(entry.sequence, c), entry.last, entry.reason)) {
    downstreams_[d].control_blocked = jobs_due_ = true;
    return Pull::blocked;
  }
  l.sent = next_eligible(d, entry.next);
  release_skipped(d, topic);
  return l.sent == kNil ? Pull::empty : Pull::more;
}

// ------------------------------------------------------------------ announcing, gaps

// The one-hop rule: another broker is served only what is published here.
bool Core::should_serve(std::uint32_t d, std::uint32_t s) const {
  const Stream& stream = log_.stream(s);
  return stream.home == Home::local || (stream.home == Home::remote && !downstreams_[d].broker);
}

bool Core::announce(std::uint32_t d, std::uint32_t s, bool check) {
  const Stream& stream = log_.stream(s);
  const std::uint32_t topic = stream.topic;
  if (room(d) < 3) return false;
  if (!tell_topic(d, topic)) return false;
  wire::StreamBody body;
  body.alias = s + 1;
  body.topic = topic + 1;
  body.publisher = stream.publisher;
  body.incarnation = stream.incarnation;
  body.start = std::max<std::uint64_t>(cursor(d, s), 1);
  body.previous_incarnation = stream.previous_incarnation;
  body.previous_last = stream.previous_last;
  body.interest = downstreams_[d].interest_version;
  if (!tell(d, PTL_C_STREAM, body)) return false;
  announced_.set(d, s);
  if (check) tell_what_is_gone(d, s);
  return true;
}

// A start cursor promises everything from there on. What is no longer held of it (a GAP told in a session that ended
// before it came, say) is told again, or asked of the home.
void Core::tell_what_is_gone(std::uint32_t d, std::uint32_t s) {
  const Stream& stream = log_.stream(s);
  std::uint64_t missing = cursor(d, s);
  if (stream.home == Home::local) {
    tell_missing(d, s, missing);
    return;
  }
  while (missing <= stream.contiguous && log_.find(s, missing) != kNil) ++missing;
  if (missing <= stream.contiguous) ask_home(s, missing);
}

bool Core::tell_topic(std::uint32_t d, std::uint32_t topic) {
  Lag& l = lag(d, topic);
  if (l.topic_told) return true;
  wire::TopicBody body;
  body.alias = topic + 1;
  body.lane = static_cast<std::uint8_t>(log_.topic(topic).lane);
  body.name = log_.name_of(topic);
  l.topic_told = tell(d, PTL_C_TOPIC, body);
  return l.topic_told;
}

bool Core::should_announce(std::uint32_t d, std::uint32_t s) const {
  const Stream& stream = log_.stream(s);
  const Lag& l = lag(d, stream.topic);
  if (!l.attached || !l.sendable || announced_.test(d, s) || !should_serve(d, s)) return false;
  return stream.home == Home::local || stream.covered;
}

// At once where the control queue has room, so that a start cursor is there before any message; else by run_announce.
void Core::announce_soon(std::uint32_t d, std::uint32_t s) {
  if (downstreams_[d].slot == kNil || !should_announce(d, s)) return;
  if (cursor(d, s) == 0) return;
  if (may_send(d) && downstreams_[d].announce_at == kNil && room(d) > kControlReserve && announce(d, s)) return;
  downstreams_[d].announce_at = std::min(downstreams_[d].announce_at, s);
  jobs_due_ = true;
}

void Core::run_announce(std::uint32_t d) {
  Downstream& down = downstreams_[d];
  if (down.announce_at == kNil || down.syncing) return;
  for (; !down.detached && down.announce_at < log_.streams(); ++down.announce_at) {
    const std::uint32_t s = down.announce_at;
    if (!should_announce(d, s) || cursor(d, s) == 0) continue;
    if (room(d) > kControlReserve && announce(d, s)) continue;
    jobs_due_ = true;
    return;
  }
  down.announce_at = kNil;
}

bool Core::tell_gap(std::uint32_t d, std::uint32_t s, std::uint64_t first, std::uint64_t last, std::uint32_t reason) {
  if (room(d) <= kControlReserve || (!announced_.test(d, s) && !announce(d, s, false))) return false;
  if (!tell(d, PTL_C_GAP, wire::GapBody{first, last, s + 1, reason})) return false;
  // Counted where it meets the application: a GAP told to a broker is told by that broker in turn.
  if (!downstreams_[d].broker && reason < 8) {
    counters.gaps_told[reason] += last == wire::kUnknownLast ? 1 : last - first + 1;
  }
  return true;
}

// ------------------------------------------------------------------ delivered, detach

void Core::on_progress(SessionId session) {
  const std::uint32_t slot = slot_of(session);
  if (slot == kNil) return;
  const std::uint32_t d = slots_[slot].downstream;
  if (downstreams_[d].slot != slot) return;
  for (std::uint32_t i = 0; i < kDataLanes; ++i) {
    DownLane& lane = downstreams_[d].lanes[i];
    const Progress progress = endpoint_.progress(session, static_cast<Lane>(i + 1));
    const std::uint32_t delivered = std::min(progress.delivered, lane.sent);
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
  queue_downstream(d);
}

void Core::detach(std::uint32_t d, std::uint32_t reason) {
  Downstream& down = downstreams_[d];
  if (down.detached) return;
  down.detached = down.was_detached = true;
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
  down.since_ns = now_.mono_ns;
  ++counters.resumed;
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    bool any = false, live = false;
    for (std::uint32_t f = down.first_filter; f != kNil && !live; f = filters_[f].next) {
      if (!wire::filter_matches(text_of(f), log_.name_of(t))) continue;
      any = true;
      live = !filters_[f].ghost;
    }
    Lag& l = lag(d, t);
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
      if (stream.home == Home::remote && (down.broker || !stream.covered) && cursor(d, s) == 0) continue;
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
  const std::uint32_t topic = log_.entry(e).topic;
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
