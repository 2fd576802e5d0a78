// RESUME: "of this stream I need `next` on". What the log still holds is served again; what it no longer holds is told
// as a GAP by the home broker, exactly; a broker that is not the home asks the home.
#include <algorithm>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {
namespace {

constexpr std::uint64_t kCatchUpNs = 2'000'000'000;  // since the home last gave something of it

}  // namespace

void Core::on_resume(std::uint32_t slot, const wire::ResumeBody& body) {
  const std::uint32_t d = slots_[slot].downstream;
  Downstream& down = downstreams_[d];
  if (body.topic == 0 || body.topic > limits_.topics) return bad_control();
  const std::uint32_t topic = topic_alias(slot, body.topic);
  if (topic >= kPastAlias) return bad_control();
  if (deny_topic(d, kMaySubscribe, log_.name_of(topic))) return;
  std::uint32_t s = log_.find_stream(topic, body.publisher, body.incarnation);
  if (s == kNil) s = revive(topic, body.publisher, body.incarnation);
  // Asked by a broker that does not know the home: not mine, so not my answer. Asked by my client or leaf: I remember,
  // for the home (or the publisher, after my own restart) will come.
  const bool below = !down.broker || is_leaf(down.role);
  if (s == kNil && below) s = add_stream(topic, body.publisher, body.incarnation);
  if (s == kNil || !may_need(d, s)) return;
  if (down.broker) announced_.clear(d, s);  // it may have given the stream back
  const std::uint64_t next = std::max<std::uint64_t>(body.next, 1);
  if (down.detached) {
    cursor(d, s) = next;
    if (!down.receiving) {
      down.reattach_due_ns = now_.mono_ns;
      next_housekeep_ns_ = now_.mono_ns;  // with the other RESUMEs of the same batch
    }
    return;
  }
  if (lag(d, topic).attached) resume(d, s, next);
}

void Core::resume(std::uint32_t d, std::uint32_t s, std::uint64_t next) {
  Stream& stream = log_.stream(s);
  expire(stream.topic);  // what is too old is gone, however long ago anybody looked
  std::uint64_t& c = cursor(d, s);
  c = downstreams_[d].broker && c != 0 ? std::min(c, next) : next;
  if (stream.home == Home::unknown) {
    ask_home(s, next);
    return;
  }
  resume_held(d, s, next);
  if (stream.home == Home::local) {
    tell_missing(d, s, next);
  } else if (stream.covered) {
    std::uint64_t missing = next;
    while (missing <= stream.contiguous && log_.find(s, missing) != kNil) ++missing;
    if (missing <= stream.contiguous) {
      ask_home(s, missing);
      if (!catching_up_.test(d, s)) begin_catch_up(d, s, missing);
    }
  }
}

void Core::resume_held(std::uint32_t d, std::uint32_t s, std::uint64_t next) {
  const Stream& stream = log_.stream(s);
  std::uint32_t first = kNil;
  for (std::uint32_t e = log_.held_from(s, next); e != kNil; e = log_.entry(e).after) {
    if (!eligible(d, log_.entry(e))) continue;
    if (first == kNil || log_.entry(e).position < log_.entry(first).position) first = e;
  }
  if (first == kNil) return;
  rewind(d, stream.topic, first);
  if (!held_in_order(s, next)) begin_catch_up(d, s, next);
}

// Do all messages of it stand in the log in the order of their sequences, with few gaps between?
bool Core::held_in_order(std::uint32_t s, std::uint64_t next) const {
  std::uint64_t position = 0, expected = std::max(next, log_.low(s));
  std::uint32_t gaps = 0;
  for (std::uint32_t e = log_.held_from(s, next); e != kNil; e = log_.entry(e).after) {
    const Entry& entry = log_.entry(e);
    gaps += entry.sequence == expected ? 0u : 1u;
    if (entry.position < position || gaps > kGapsAhead) return false;
    position = entry.position;
    expected = entry.sequence + 1;
  }
  return true;
}

// A sequence that is neither held nor to come: how far that goes, and why.
Core::Missing Core::missing_from(std::uint32_t d, std::uint32_t s, std::uint64_t q) const {
  const Stream& stream = log_.stream(s);
  Missing missing{stream.contiguous, static_cast<std::uint32_t>(downstreams_[d].was_detached ? GapReason::detached
                                                                                             : GapReason::retention)};
  if (const std::uint32_t e = log_.held_from(s, q); e != kNil) {
    missing.last = std::min(missing.last, log_.entry(e).sequence - 1);
  }
  if (q < stream.start) {
    missing.last = std::min(missing.last, stream.start - 1);
    missing.reason = static_cast<std::uint32_t>(GapReason::broker_lost);
  }
  return missing;
}

// Where they are served by sequence, GAPs are told in their turn.
void Core::tell_missing(std::uint32_t d, std::uint32_t s, std::uint64_t next) {
  const Stream& stream = log_.stream(s);
  if (catching_up_.test(d, s)) return;
  for (std::uint64_t q = next; q <= stream.contiguous;) {
    if (log_.find(s, q) != kNil) {
      ++q;
      continue;
    }
    const Missing missing = missing_from(d, s, q);
    // Where the control queue is full, the log carries the GAP; those who have passed it are not told.
    if (!tell_gap(d, s, q, missing.last, missing.reason)) stand_gap(s, q, missing.last, missing.reason);
    q = missing.last + 1;
  }
}

// More GAPs beyond what is still missing were told than I can remember (before I was restarted, by another way): when
// the nearest are passed, the home is asked for the others. Each time it got me on, so this comes to an end.
void Core::ask_for_forgotten_gaps(std::uint32_t s) {
  Stream& stream = log_.stream(s);
  if (!stream.gaps_forgotten || stream.home != Home::remote || stream.contiguous <= stream.gaps_asked_for) return;
  if (stream.later_gap_count > kGapsAhead) return;
  stream.gaps_forgotten = false;
  stream.gaps_asked_for = stream.contiguous;
  ask_home(s, stream.contiguous + 1);
}

// The least sequence that this broker's clients need and that it does not hold: what it asks the home for. 0: nothing.
std::uint64_t Core::wanted_next(std::uint32_t s) {
  const Stream& stream = log_.stream(s);
  const bool known = stream.home == Home::remote && stream.covered;
  std::uint64_t next = known ? stream.contiguous + 1 : 0;
  owing_.for_each(stream.topic, [&](std::uint32_t d) {
    if (!may_need(d, s)) return;
    const std::uint64_t c = cursor(d, s);
    if (c == 0 || (stream.home != Home::unknown && (c > stream.contiguous || log_.find(s, c) != kNil))) return;
    if (next == 0 || c < next) next = c;
  });
  return next;
}

void Core::ask_home(std::uint32_t s, std::uint64_t next) {
  const Stream& stream = log_.stream(s);
  for (std::uint32_t p = 0; p < peer_count_; ++p) {
    if (stream.home == Home::remote && stream.home_peer != p) continue;
    const Downstream& peer = downstreams_[p];
    // A snapshot under way names it in its turn; a session to come begins with one.
    if (peer.dormant || peer.slot == kNil || peer.snapshot == SnapshotStep::begin ||
        peer.snapshot == SnapshotStep::filters)
      continue;
    if (!send_resume(p, s, next)) begin_snapshot(p);
  }
}

bool Core::send_resume(std::uint32_t peer, std::uint32_t s, std::uint64_t next) {
  const Stream& stream = log_.stream(s);
  if (room(peer) < 3 || !tell_topic(peer, stream.topic)) return false;
  return tell(peer, PTL_C_RESUME,
              wire::ResumeBody{stream.publisher, next, lag(peer, stream.topic).alias, stream.incarnation});
}

// ------------------------------------------------------------------ catching up by sequence

CatchUp* Core::catch_up_of(std::uint32_t d, std::uint32_t s) {
  if (!catching_up_.test(d, s)) return nullptr;
  for (std::uint32_t i = 0; i < catch_up_high_; ++i) {
    if (catch_ups_[i].downstream == d && catch_ups_[i].stream == s) return &catch_ups_[i];
  }
  return nullptr;
}

void Core::begin_catch_up(std::uint32_t d, std::uint32_t s, std::uint64_t next) {
  end_catch_up(d, s);
  for (std::uint32_t i = 0; i < limits_.streams; ++i) {
    if (catch_ups_[i].downstream != kNil) continue;
    catch_ups_[i] = {next, now_.mono_ns, d, s};
    catch_up_high_ = std::max(catch_up_high_, i + 1);
    catching_up_.set(d, s);
    return;
  }
}

void Core::end_catch_up(std::uint32_t d, std::uint32_t s) {
  CatchUp* job = catch_up_of(d, s);
  if (job != nullptr) job->downstream = kNil;
  while (catch_up_high_ > 0 && catch_ups_[catch_up_high_ - 1].downstream == kNil) --catch_up_high_;
  catching_up_.clear(d, s);
}

void Core::end_catch_ups(std::uint32_t d, std::uint32_t topic) {
  catching_up_.for_each(d, [&](std::uint32_t s) {
    if (topic == kNil || log_.stream(s).topic == topic) end_catch_up(d, s);
  });
}

// A home that does not answer must not hold up the other streams of the topic.
void Core::housekeep_catch_ups() {
  for (std::uint32_t i = 0; i < catch_up_high_; ++i) {
    const CatchUp job = catch_ups_[i];
    if (job.downstream == kNil || now_.mono_ns - job.since_ns < kCatchUpNs) continue;
    if (lag(job.downstream, log_.stream(job.stream).topic).gaps_wait)
      continue;  // for messages on their way, not for the home
    end_catch_up(job.downstream, job.stream);
    make_ready(job.downstream, log_.stream(job.stream).topic);
  }
}

}  // namespace portolan::broker::core
