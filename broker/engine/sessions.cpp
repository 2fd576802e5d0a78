// Sessions up and down: who is behind them, and what another incarnation of a neighbour means.
#include <algorithm>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {

std::uint32_t Core::slot_of(SessionId session) const {
  if (session == kNil) return kNil;
  std::uint32_t slot = slot_at_[Endpoint::place_of(session, limits_)];
  while (slot != kNil && slots_[slot].session != session) slot = slots_[slot].next_here;
  return slot;
}

std::uint32_t Core::take_slot(const SessionEvent& event, std::uint32_t downstream) {
  for (std::uint32_t i = 0; i < limits_.sessions; ++i) {
    if (slots_[i].used) continue;
    const bool dirty = slots_[i].dirty;
    const std::uint32_t next = slots_[i].next_dirty;
    slots_[i] = Slot{};
    slots_[i].dirty = dirty;
    slots_[i].next_dirty = next;
    slots_[i].used = true;
    slots_[i].session = event.session;
    slots_[i].uid = event.uid;
    std::uint32_t& here = slot_at_[Endpoint::place_of(event.session, limits_)];
    slots_[i].next_here = here;
    here = i;
    slots_[i].downstream = downstream;
    std::fill_n(&topic_alias(i, 0), limits_.topics + 1, kNil);
    std::fill_n(&in_alias(i, 0), limits_.streams + 1, InAlias{});
    std::fill_n(&up_numbers_[std::size_t{i} * kDataLanes * up_ring_], std::size_t{kDataLanes} * up_ring_, UpNumber{});
    return i;
  }
  return kNil;
}

void Core::free_slot(std::uint32_t slot) {
  Slot& s = slots_[slot];
  while (s.waiting_head != kNil) {
    const std::uint32_t w = s.waiting_head;
    s.waiting_head = waiting_[w].next;
    store_.release(waiting_[w].incoming.message);
    waiting_[w].next = free_waiting_;
    free_waiting_ = w;
  }
  for (std::uint32_t lane = 0; lane < kDataLanes; ++lane) through_over(slot, lane, 0, ~0u);
  std::uint32_t* at = &slot_at_[Endpoint::place_of(s.session, limits_)];
  while (*at != slot && *at != kNil) at = &slots_[*at].next_here;
  if (*at == slot) *at = s.next_here;
  s.used = false;
  for (std::uint32_t i = 0; i < log_.streams(); ++i) {
    Stream& stream = log_.stream(i);
    if (!stream.used || stream.upstream != slot) continue;
    stream.upstream = kNil;
    stream.gone_ns = now_.mono_ns;
  }
  for (std::uint32_t alias = 1; alias <= limits_.topics; ++alias) announced_topic(slot, alias, kNil);
}

std::uint32_t Core::find_downstream(std::uint64_t id, bool broker) const {
  for (std::uint32_t d = 0; d < downstream_high_; ++d) {
    if (downstreams_[d].used && downstreams_[d].id == id && downstreams_[d].broker == broker) return d;
  }
  return kNil;
}

// A place for a client: free, or of the client that was detached the longest ago and is away.
std::uint32_t Core::take_client(std::uint64_t id) {
  std::uint32_t best = kNil;
  for (std::uint32_t d = peer_count_; d < downstream_high_ && best == kNil; ++d) {
    if (!downstreams_[d].used) best = d;
  }
  if (best == kNil && downstream_high_ < limits_.downstreams) best = downstream_high_++;
  if (best == kNil) {
    for (std::uint32_t d = peer_count_; d < downstream_high_; ++d) {
      const Downstream& c = downstreams_[d];
      if (c.slot != kNil || !(c.detached || c.filter_count == 0)) continue;
      if (best == kNil || c.since_ns < downstreams_[best].since_ns) best = d;
    }
    if (best == kNil) return kNil;
    forget_client(best);
  }
  const bool queued = downstreams_[best].queued;
  const std::uint32_t next = downstreams_[best].next_ready;
  downstreams_[best] = Downstream{};
  downstreams_[best].queued = queued;
  downstreams_[best].next_ready = next;
  downstreams_[best].used = true;
  downstreams_[best].id = id;
  std::fill_n(&cursor(best, 0), limits_.streams, 0ull);
  return best;
}

void Core::forget_client(std::uint32_t d) {
  remove_filters(d, false, false);
  std::fill_n(&cursor(d, 0), limits_.streams, 0ull);
  downstreams_[d].used = false;
}

void Core::on_session(const SessionEvent& event) {
  if (event.kind == SessionEvent::Kind::up) {
    session_up(event);
  } else if (event.kind == SessionEvent::Kind::refused) {
    session_refused(event);
  } else {
    session_down(event);
  }
}

void Core::session_up(const SessionEvent& event) {
  std::uint32_t d = find_downstream(event.peer, event.configured);
  if (d == kNil && !event.configured) d = take_client(event.peer);
  if (d == kNil) {
    endpoint_.close(now_, event.session, DownReason::local);
    return;
  }
  Downstream& down = downstreams_[d];
  if (down.slot != kNil) {  // the endpoint told no end of the old one
    free_slot(down.slot);
    down.slot = kNil;
  }
  const std::uint32_t slot = take_slot(event, d);
  if (slot == kNil) {
    endpoint_.close(now_, event.session, DownReason::local);
    return;
  }
  if (down.incarnation != 0 && event.peer_incarnation != down.incarnation) new_incarnation(d, event.peer_incarnation);
  down.incarnation = event.peer_incarnation;
  down.key = event.key;
  down.slot = slot;
  down.since_ns = down.progress_ns = now_.mono_ns;
  down.syncing = true;
  down.receiving = false;
  down.peer_answered = 0;
  down.snapshot_answer = 0;
  down.behind_since_ns = down.ask_after_ns = down.ask_backoff_ns = 0;
  down.announce_at = kNil;
  PeerLimits limits;
  endpoint_.peer_limits(event.session, limits);
  down.topics_max = limits.topics_max;
  down.streams_max = limits.streams_max;
  forget_aliases(d);
  reset_sending(d);
  if (down.broker) tell_interest(d);
  choose_hub();
  if (down.broker && down.dormant) {
    greet_dormant(d);
  } else if (down.broker) {
    begin_snapshot(d);
  }
  answers_due_ = true;
  Event up;
  up.kind = EventKind::session_up;
  up.peer = event.peer;
  up.peer_incarnation = event.peer_incarnation;
  up.session_uid = event.uid;
  push_event(up);
}

void Core::session_refused(const SessionEvent& event) {
  Event refused;
  refused.kind = EventKind::session_refused;
  refused.peer = event.peer;
  refused.peer_incarnation = event.peer_incarnation;
  refused.code = static_cast<std::uint32_t>(event.reason);
  push_event(refused);
}

void Core::session_down(const SessionEvent& event) {
  const std::uint32_t slot = slot_of(event.session);
  if (slot == kNil) return;
  const std::uint32_t d = slots_[slot].downstream;
  Downstream& down = downstreams_[d];
  free_slot(slot);
  if (down.slot == slot) {
    down.slot = kNil;
    down.since_ns = now_.mono_ns;
    down.syncing = down.receiving = false;
    down.snapshot = SnapshotStep::none;
    down.announce_at = kNil;
    down.snapshot_answer = 0;
    for (std::uint32_t f = down.first_filter; f != kNil; f = filters_[f].next) filters_[f].answer_version = 0;
    reset_sending(d);
  }
  answers_due_ = true;  // who waited for this peer waits no longer
  choose_hub();
  Event gone;
  gone.kind = EventKind::session_down;
  gone.peer = event.peer != 0 ? event.peer : down.id;
  gone.peer_incarnation = event.peer_incarnation;
  gone.session_uid = event.uid;
  gone.code = static_cast<std::uint32_t>(event.reason);
  push_event(gone);
}

// Whoever comes back with another incarnation has lost its memory. A client's cursors died with it: a new subscriber.
// A broker has clients that live on: its former interest keeps its place until they are back or the bound has passed.
void Core::new_incarnation(std::uint32_t d, std::uint32_t incarnation) {
  Downstream& down = downstreams_[d];
  down.incarnation = incarnation;
  down.interest_version = 0;
  if (!down.broker) {
    remove_filters(d, false, false);
    std::fill_n(&cursor(d, 0), limits_.streams, 0ull);
    down.detached = down.was_detached = false;
    down.interest_digest = 0;
    return;
  }
  down.interest_digest = 0;
  if (down.detached) {  // its place is gone; it subscribes anew, and its clients' RESUMEs bring back what is held
    std::fill_n(&cursor(d, 0), limits_.streams, 0ull);
    down.detached = down.was_detached = false;
    down.returning_until_ns = now_.mono_ns + detach_ns_;
  }
  if (down.first_filter == kNil) return;
  for (std::uint32_t f = down.first_filter; f != kNil; f = filters_[f].next) {
    filters_[f].ghost = true;
    filters_[f].stale = false;
  }
  down.filter_count = 0;
  down.ghost_until_ns = now_.mono_ns + detach_ns_;
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    lag(d, t).sendable = false;
    if (lag(d, t).attached) place_cursors(d, t);
  }
}

// Its start cursors are now what it will really be served: what it still owes, and what has not come yet, but nothing
// from before it subscribed.
void Core::place_cursors(std::uint32_t d, std::uint32_t topic) {
  for (std::uint32_t s = log_.topic(topic).first_stream; s != kNil; s = log_.stream(s).next_in_topic) {
    std::uint64_t& c = cursor(d, s);
    if (c == 0) continue;
    std::uint64_t from = log_.stream(s).contiguous + 1;
    for (std::uint32_t e = lag(d, topic).acked; e != kNil; e = next_eligible(d, log_.entry(e).next)) {
      const Entry& entry = log_.entry(e);
      if (entry.stream == s && !entry.is_gap()) from = std::min(from, entry.sequence);
    }
    c = std::max(c, from);
  }
}

}  // namespace portolan::broker::core
