// What goes out to a downstream: messages pulled from the log while its session has room, announcements before them,
// GAPs in their place.
#include <algorithm>
#include <utility>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {
namespace {

constexpr std::uint32_t kTurnMessages = 64;  // of one downstream before the next has its turn
constexpr std::uint32_t kTopicMessages = 8;  // of one topic before the next of the same downstream

}  // namespace

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
  CatchUp* job = catch_up_of(d, s);
  if (job != nullptr && entry.sequence > job->next) return pull_by_sequence(d, topic, *job);
  const std::uint64_t last = entry.last;
  if (entry.is_gap()) {
    const Pull told = job != nullptr && last < job->next ? Pull::more : pull_gap(d, topic);
    if (told != Pull::more) return told;
  } else if (cursor(d, s) != 0 && entry.sequence >= cursor(d, s)) {
    const Pull sent = send_entry(d, e, true);
    if (sent != Pull::more) return sent;
  }
  l.sent = next_eligible(d, log_.entry(e).next);
  release_skipped(d, topic);
  if (job = catch_up_of(d, s); job != nullptr && last >= job->next) go_on_with(*job, last);
  return l.sent == kNil ? Pull::empty : Pull::more;
}

// Its messages (and GAPs) up to `last` are on their way.
void Core::go_on_with(CatchUp& job, std::uint64_t last) {
  job.since_ns = now_.mono_ns;
  job.next = last + 1;
  if (last == wire::kUnknownLast || job.next > log_.stream(job.stream).contiguous)
    end_catch_up(job.downstream, job.stream);
}

// What lies between is served wherever it stands in the log, or as it comes from the home; its places there are passed
// later, and only then count as delivered.
Core::Pull Core::pull_by_sequence(std::uint32_t d, std::uint32_t topic, CatchUp& job) {
  const std::uint32_t s = job.stream;
  const Stream& stream = log_.stream(s);
  std::uint64_t last = job.next;
  const std::uint32_t e = last > stream.contiguous ? kNil : log_.find(s, last);
  const std::uint32_t gap = e == kNil ? log_.find_gap(s, last) : kNil;
  if (last > stream.contiguous) {
    --last;
  } else if (e != kNil) {
    const Pull sent = eligible(d, log_.entry(e)) ? send_entry(d, e, false) : Pull::more;
    if (sent != Pull::more) return sent;
  } else if (const bool latest = stream.gap_first <= last && last <= stream.gap_last;
             latest || gap != kNil || stream.home == Home::local) {
    Missing missing{stream.gap_last, stream.gap_reason};
    if (!latest)
      missing = gap == kNil ? missing_from(d, s, last) : Missing{log_.entry(gap).last, log_.entry(gap).reason};
    if (!may_tell_gap(d, topic)) return Pull::empty;
    if (!tell_gap(d, s, last, missing.last, missing.reason)) {
      downstreams_[d].control_blocked = jobs_due_ = true;
      return Pull::blocked;
    }
    ++lag(d, topic).gaps_ahead;
    last = missing.last;
  } else if (stream.home == Home::remote && downstreams_[stream.home_peer].slot != kNil) {
    return Pull::empty;  // until more of it has come
  } else {
    end_catch_up(d, s);
    return Pull::more;
  }
  // Telling it may have announced the stream, and that may have begun this anew.
  if (CatchUp* now = catch_up_of(d, s); now != nullptr && now->next <= last + 1) go_on_with(*now, last);
  return Pull::more;
}

Core::Pull Core::send_entry(std::uint32_t d, std::uint32_t e, bool in_log_order) {
  Downstream& down = downstreams_[d];
  const Entry& entry = log_.entry(e);
  const std::uint32_t s = entry.stream, topic = log_.topic_of(entry);
  const Lane lane = log_.topic(topic).lane;
  DownLane& dl = down.lanes[data_lane(lane)];
  if (in_log_order && sent_through(d, e)) return Pull::more;
  if (dl.sent - dl.delivered >= limits_.window_messages / 2) through_in_the_way_ = through_used_ != 0;
  if (dl.sent - dl.delivered >= down_ring_ - 1) return Pull::blocked;  // until `delivered` rises
  if (!nameable(d, s)) {  // it begins behind what it could not be told of, should there be room one day
    cursor(d, s) = std::max(cursor(d, s), entry.sequence + 1);
    return Pull::more;
  }
  if (!announced_.test(d, s) && !announce(d, s)) {
    down.control_blocked = jobs_due_ = true;
    return Pull::blocked;
  }
  std::uint32_t number = 0;
  const Outgoing out{entry.message, lag(d, topic).alias, out_alias(d, s), entry.sequence, 0};
  switch (endpoint_.send(now_, slots_[down.slot].session, lane, out, number)) {
    case SendResult::ok: {
      Lag& l = lag(d, topic);
      in_flight(d, data_lane(lane), number) = {in_log_order ? topic : kNil, e, l.epoch};
      dl.sent = number;
      if (in_log_order) ++l.inflight;
      count_out(topic, entry.length);
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
  const Entry& entry = log_.entry(lag(d, topic).sent);
  const std::uint64_t c = cursor(d, entry.stream);
  // Whoever has passed it already, or never wanted it, is not told; nor who hears of it with the STREAM.
  const bool wanted = c != 0 && c <= entry.last && should_serve(d, entry.stream) && nameable(d, entry.stream);
  const bool announced = announced_.test(d, entry.stream);
  const bool with_stream = wanted && !announced && entry.last <= log_.stream(entry.stream).contiguous;
  if (wanted && !with_stream && !may_tell_gap(d, topic)) return Pull::empty;
  if (with_stream ? !announce(d, entry.stream)
                  : wanted && !tell_gap(d, entry.stream, std::max(entry.sequence, c), entry.last, entry.reason)) {
    downstreams_[d].control_blocked = jobs_due_ = true;
    return Pull::blocked;
  }
  if (wanted && !with_stream) ++lag(d, topic).gaps_ahead;
  return Pull::more;
}

// GAPs overtake the messages before them, and the receiver has to remember each: only so many at a time. The topic
// waits for those messages to arrive; the others of its lane do not.
bool Core::may_tell_gap(std::uint32_t d, std::uint32_t topic) {
  Lag& l = lag(d, topic);
  const Lane lane = log_.topic(topic).lane;
  const Progress progress = endpoint_.progress(slots_[downstreams_[d].slot].session, lane);
  if (l.gaps_ahead != 0 && static_cast<std::int32_t>(progress.admitted - l.gaps_after) >= 0) l.gaps_ahead = 0;
  if (l.gaps_ahead == kGapsAhead) {
    l.gaps_wait = downstreams_[d].gaps_wait = true;
    return false;
  }
  l.gaps_after = progress.sent;
  return true;
}

void Core::go_on_with_gaps(std::uint32_t d) {
  if (!std::exchange(downstreams_[d].gaps_wait, false)) return;
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    if (std::exchange(lag(d, t).gaps_wait, false)) make_ready(d, t);
  }
}

// ------------------------------------------------------------------ announcing, gaps

// The one-hop rule, and its extension to hubs.
bool Core::should_serve(std::uint32_t d, std::uint32_t s) const {
  return log_.stream(s).home != Home::unknown && may_need(d, s);
}

// A receiver whose tables are full can be told nothing of one more stream: counted, and it stalls nobody.
bool Core::nameable(std::uint32_t d, std::uint32_t s) {
  if (alias_of(d, s) != 0) return true;
  ++counters.aliases_short;
  return false;
}

bool Core::announce(std::uint32_t d, std::uint32_t s, bool check) {
  const Stream& stream = log_.stream(s);
  const std::uint32_t topic = stream.topic;
  if (room(d) < 3) return false;
  if (!tell_topic(d, topic)) return false;
  wire::StreamBody body;
  body.alias = alias_of(d, s);
  body.topic = lag(d, topic).alias;
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
  if (l.alias != 0) return true;
  std::uint32_t place = take_place(topic_places_, d, std::min(limits_.topics, downstreams_[d].topics_max));
  if (place == kNil) {  // one that it does not want any more; else any: it is named again when it is used
    std::uint32_t spare = kNil;
    for (std::uint32_t t = 0; t < log_.topics(); ++t) {
      if (lag(d, t).alias != 0 && (spare == kNil || (lag(d, spare).attached && !lag(d, t).attached))) spare = t;
    }
    if (spare == kNil) return false;
    forget_topic_alias(d, spare);
    place = take_place(topic_places_, d, limits_.topics);
  }
  wire::TopicBody body;
  body.alias = place + 1;
  body.lane = static_cast<std::uint8_t>(log_.topic(topic).lane);
  body.name = log_.name_of(topic);
  if (tell(d, PTL_C_TOPIC, body)) {
    l.alias = place + 1;
  } else {
    topic_places_.clear(d, place);
  }
  return l.alias != 0;
}

bool Core::should_announce(std::uint32_t d, std::uint32_t s) const {
  const Stream& stream = log_.stream(s);
  if (!stream.used) return false;
  const Lag& l = lag(d, stream.topic);
  if (!l.attached || !l.sendable || announced_.test(d, s) || !should_serve(d, s)) return false;
  return stream.home == Home::local || stream.covered;
}

// At once where the control queue has room, so that a start cursor is there before any message; else by run_announce.
void Core::announce_soon(std::uint32_t d, std::uint32_t s) {
  if (downstreams_[d].slot == kNil || !should_announce(d, s)) return;
  if (cursor(d, s) == 0 || !nameable(d, s)) return;
  if (may_send(d) && downstreams_[d].announce_at == kNil && room(d) > kControlReserve && announce(d, s)) return;
  downstreams_[d].announce_at = std::min(downstreams_[d].announce_at, s);
  jobs_due_ = true;
}

void Core::run_announce(std::uint32_t d) {
  Downstream& down = downstreams_[d];
  if (down.announce_at == kNil || down.syncing) return;
  for (; !down.detached && down.announce_at < log_.streams(); ++down.announce_at) {
    const std::uint32_t s = down.announce_at;
    if (!should_announce(d, s) || cursor(d, s) == 0 || !nameable(d, s)) continue;
    if (room(d) > kControlReserve && announce(d, s)) continue;
    jobs_due_ = true;
    return;
  }
  down.announce_at = kNil;
}

bool Core::tell_gap(std::uint32_t d, std::uint32_t s, std::uint64_t first, std::uint64_t last, std::uint32_t reason) {
  if (!nameable(d, s)) return true;
  if (room(d) <= kControlReserve || (!announced_.test(d, s) && !announce(d, s, false))) return false;
  if (!tell(d, PTL_C_GAP, wire::GapBody{first, last, out_alias(d, s), reason})) return false;
  // Counted where it meets the application: a GAP told to a broker is told by that broker in turn.
  if (!downstreams_[d].broker && reason < 8) {
    const std::uint64_t messages = last == wire::kUnknownLast ? 1 : last - first + 1;
    counters.gaps_told[reason] += messages;
    counters_of(log_.stream(s).topic).gaps_told += messages;
  }
  return true;
}

}  // namespace portolan::broker::core
