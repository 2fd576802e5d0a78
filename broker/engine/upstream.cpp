// What comes in on data lanes: aliases resolved, duplicates known, messages admitted or refused whole, and `delivered`
// raised upstream once every downstream has an entry. An upstream number only remembers the entry it became, so the
// same message arriving twice (offered again after a reconnect) waits for the one that is held.
#include <algorithm>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {
namespace {

constexpr std::uint64_t kRetryAfterNs = 100'000'000;
constexpr std::uint64_t kNameLateNs = 5'000'000'000;

}  // namespace

void Core::on_data(std::uint32_t slot, Incoming& in) {
  if (in.stage >= Incoming::Stage::starved) return on_starved(slot, in);
  if (in.stage == Incoming::Stage::begun) return on_begun(slot, in);
  if (in.message == kNil) return;
  const std::uint32_t s = stream_of(slot, in);
  if (s >= kPastAlias) through_over(slot, data_lane(in.lane), in.number, in.number);
  if (s == kPastAlias || (s == kRefusedAlias && downstreams_[slots_[slot].downstream].broker)) {
    // A peer can do nothing about it: to be let go of would help nobody.
    if (s == kRefusedAlias) ++counters.refused[static_cast<std::uint32_t>(RefuseReason::memory_full)];
    store_.release(in.message);
    put_number(slot, in.lane, in.number, kNil);
  } else if (s == kRefusedAlias) {
    refuse(slot, in, kNil, RefuseReason::bad_topic);
  } else if (s == kDeniedAlias) {
    refuse(slot, in, kNil, RefuseReason::permission);
  } else if (s != kNil && !awaits_cursor(s)) {
    admit(slot, in, s);
  } else if (!wait_for_stream(slot, in)) {
    // Nothing that the other side counts on is dropped quietly: with the session it offers all of it again.
    store_.release(in.message);
    ++counters.refused[static_cast<std::uint32_t>(RefuseReason::memory_full)];
    endpoint_.close(now_, in.session, DownReason::local);
  }
}

// My clients gave this stream up and want it again: its alias is still known, but what comes may belong to the new
// subscription, whose STREAM it has overtaken.
bool Core::awaits_cursor(std::uint32_t s) const {
  const Stream& stream = log_.stream(s);
  return stream.home == Home::remote && !stream.covered && wanted_since(stream.topic, stream.home_peer) != 0;
}

// Data may overtake the control lane. In arrival order, so that the log is too.
bool Core::wait_for_stream(std::uint32_t slot, const Incoming& in) {
  ask_name_again(slot, in.publisher);
  if (free_waiting_ == kNil) return false;
  const std::uint32_t w = free_waiting_;
  free_waiting_ = waiting_[w].next;
  waiting_[w] = {in, kNil};
  store_.at(in.message).time_ns = now_.mono_ns;
  std::uint32_t* link = &slots_[slot].waiting_head;
  while (*link != kNil) link = &waiting_[*link].next;
  *link = w;
  return true;
}

// The STREAM is repaired in a few round trips, or its sender never meant to send one; meanwhile what waits for it holds
// memory that others need. With the session all of it is offered again.
void Core::housekeep_waiting() {
  const std::uint64_t bound_ns = short_of_memory(7) ? kNameLateNs / 5 : kNameLateNs;
  for (std::uint32_t slot = 0; slot < limits_.sessions; ++slot) {
    const std::uint32_t first = slots_[slot].used ? slots_[slot].waiting_head : kNil;
    if (first == kNil || now_.mono_ns - store_.at(waiting_[first].incoming.message).time_ns < bound_ns) continue;
    ++counters.refused[static_cast<std::uint32_t>(RefuseReason::bad_topic)];
    endpoint_.close(now_, slots_[slot].session, DownReason::local);
  }
}

void Core::resolve_waiting(std::uint32_t slot) {
  std::uint32_t* link = &slots_[slot].waiting_head;
  while (*link != kNil) {
    const std::uint32_t w = *link;
    const std::uint32_t s = stream_of(slot, waiting_[w].incoming.publisher);
    if (s == kNil || (s < kPastAlias && awaits_cursor(s))) {
      link = &waiting_[w].next;
      continue;
    }
    *link = waiting_[w].next;
    Incoming in = waiting_[w].incoming;
    waiting_[w].next = free_waiting_;
    free_waiting_ = w;
    on_data(slot, in);
  }
}

bool Core::known_duplicate(std::uint32_t slot, const Incoming& in, std::uint32_t s) {
  const Stream& stream = log_.stream(s);
  if (in.sequence > stream.contiguous) return false;
  // From the publisher: it came before, and everyone had it, or it would still be held.
  if (!downstreams_[slots_[slot].downstream].broker) return true;
  // From the home, which sends it again because a client of mine asked, or because a session was lost.
  bool wanted = withheld_for_clients_;
  owing_.for_each(stream.topic, [&](std::uint32_t d) {
    if (may_need(d, s) && cursor(d, s) != 0 && cursor(d, s) <= in.sequence) wanted = true;
  });
  return !wanted;
}

void Core::admit(std::uint32_t slot, const Incoming& in, std::uint32_t s) {
  const bool from_peer = downstreams_[slots_[slot].downstream].broker;
  ++(from_peer ? counters.forwarded_in : counters.published_in);
  const std::uint32_t held = log_.find(s, in.sequence);
  if (held == kNil && !from_peer && refused_before(s, in.sequence)) return refuse_again(slot, in, s);
  if (held != kNil || known_duplicate(slot, in, s)) {
    through_over(slot, data_lane(in.lane), in.number, in.number);
    ++counters.duplicates_dropped;
    store_.release(in.message);
    put_number(slot, in.lane, in.number, held);
    return;
  }
  if (short_of_memory(7) || !log_.room_for_message()) relieve_memory();
  const Stream& stream = log_.stream(s);
  // Slots are no reason to refuse what is here already: those who grant them see to it that there are some.
  if (short_of_memory(8, true) || !log_.room_for_message()) {
    refuse(slot, in, s, RefuseReason::memory_full);
    return;
  }
  Message& message = store_.at(in.message);
  message.key = message_key(log_.topic(stream.topic).hash, stream.publisher, stream.incarnation, in.sequence);
  message.sequence = in.sequence;
  message.stream = s;
  message.time_ns = now_.mono_ns;
  // What I asked the home for again was received before, as far as its publisher is concerned: from here on it is mine
  // to keep, and the home's window is not held up by whom it is for.
  const bool again = from_peer && in.sequence <= stream.contiguous;
  const std::uint32_t e =
      log_.append(s, in.sequence, in.message, now_.mono_ns, from_peer ? slots_[slot].downstream : kNil);
  put_number(slot, in.lane, in.number, again ? kNil : e);
  TopicCounters& counted = counters_of(stream.topic);
  ++counted.messages_in;
  counted.bytes_in += log_.entry(e).length;
  through_whole(slot, in, e);
  if (!log_.entry(e).early()) {
    appended(e);
    link_early(s);
  }
  if (stream.unplaced_first != 0) stand_gap(s, 0, 0, 0);
  const Topic& topic = log_.topic(stream.topic);
  if (topic.head != kNil && log_.entry(topic.head).pending == 0) expire(stream.topic);
}

// Those that came too early and have now come into line.
void Core::link_early(std::uint32_t s) {
  for (std::uint32_t e = log_.link_next(s); e != kNil; e = log_.link_next(s)) appended(e);
  ask_for_forgotten_gaps(s);
}

// The whole message or nothing. Its publisher hears BUSY; whoever waits for that sequence is told a GAP in its place.
// A broker that hears BUSY takes me for a downstream that fell behind: DETACHED, and I RESUME when there is room.
void Core::refuse(std::uint32_t slot, const Incoming& in, std::uint32_t s, RefuseReason reason) {
  const std::uint32_t d = slots_[slot].downstream;
  if (in.message != kNil) store_.release(in.message);
  if (through_of(slot, data_lane(in.lane), in.number) != kNil) {
    // Others have it already, and shall not have what its publisher hears was refused. It is offered again.
    endpoint_.close(now_, in.session, DownReason::local);
    return;
  }
  ++counters.refused[static_cast<std::uint32_t>(reason)];
  if (s != kNil) ++counters_of(log_.stream(s).topic).refused;
  // What waits for the very message that finds no room takes that room, and would for ever; and of refusals that are
  // scattered too widely some would be forgotten. With the session all of it is offered again, in order.
  const bool clogged = s != kNil && downstreams_[d].broker && log_.stream(s).early != 0;
  if (clogged || (s != kNil && !downstreams_[d].broker && !log_.can_take_gap(s, in.sequence, in.sequence))) {
    endpoint_.close(now_, in.session, DownReason::local);
    drop_early_of(slot);
    return;
  }
  if (!tell_busy(slot, in, reason)) return;
  std::uint32_t e = kNil;  // `delivered` passes it when everybody has been told
  if (s != kNil && !downstreams_[d].broker) {
    e = stand_gap(s, in.sequence, in.sequence, static_cast<std::uint32_t>(GapReason::refused));
  }
  put_number(slot, in.lane, in.number, e);
}

bool Core::tell_busy(std::uint32_t slot, const Incoming& in, RefuseReason reason) {
  const std::uint32_t d = slots_[slot].downstream;
  wire::BusyBody body;
  body.retry_after_ns = kRetryAfterNs;
  body.lane = static_cast<std::uint32_t>(in.lane);
  body.number = in.number;
  body.reason = static_cast<std::uint32_t>(reason);
  if (room(d) == 0 || !tell(d, PTL_C_BUSY, body)) {
    endpoint_.close(now_, in.session, DownReason::local);
    return false;
  }
  note_refusal(slot, in.lane, in.number);
  return true;
}

// By its publisher, offered again because the session ended before my BUSY came: the GAP stands already.
bool Core::refused_before(std::uint32_t s, std::uint64_t sequence) const {
  const Stream& stream = log_.stream(s);
  if (sequence > stream.contiguous) return log_.gap_known(s, sequence, sequence);
  const auto refused = static_cast<std::uint32_t>(GapReason::refused);
  const bool latest = stream.gap_first <= sequence && sequence <= stream.gap_last && stream.gap_reason == refused;
  return latest || log_.find_gap(s, sequence, refused) != kNil;
}

void Core::refuse_again(std::uint32_t slot, const Incoming& in, std::uint32_t s) {
  store_.release(in.message);
  if (!tell_busy(slot, in, RefuseReason::memory_full)) return;
  put_number(slot, in.lane, in.number, log_.find_gap(s, in.sequence, static_cast<std::uint32_t>(GapReason::refused)));
}

// What came early in this session, which has ended.
void Core::drop_early_of(std::uint32_t slot) {
  for (std::uint32_t s = 0; s < log_.streams(); ++s) {
    const Stream& stream = log_.stream(s);
    if (stream.upstream == slot && stream.early != 0) log_.drop_early(s, stream.highest);
  }
}

// One refusal after the other makes one GAP, as long as nobody has been told its shorter form.
std::uint32_t Core::lengthen_gap(std::uint32_t s, std::uint64_t first, std::uint64_t last, std::uint32_t reason) {
  const std::uint32_t topic = log_.stream(s).topic, tail = log_.topic(topic).tail;
  if (tail == kNil) return kNil;
  bool passed = log_.entry(tail).pending == 0;
  owing_.for_each(topic, [&](std::uint32_t d) {
    passed = passed || (eligible(d, log_.entry(tail)) && lag(d, topic).sent == kNil);
  });
  return passed ? kNil : log_.lengthen_gap(s, first, last, reason);
}

// Puts a GAP into the log; one that finds no entry free waits with its stream for the next chance. first 0: only that.
std::uint32_t Core::stand_gap(std::uint32_t s, std::uint64_t first, std::uint64_t last, std::uint32_t reason) {
  Stream& stream = log_.stream(s);
  if (stream.unplaced_first != 0) {
    const std::uint32_t e = log_.append_gap(s, stream.unplaced_first, stream.unplaced_last, stream.unplaced_reason,
                                            now_.mono_ns, stream.home == Home::remote ? stream.home_peer : kNil);
    if (e != kNil) {
      stream.unplaced_first = stream.unplaced_last = 0;
      appended(e);
      link_early(s);
    }
  }
  if (first == 0) return kNil;
  if (const std::uint32_t longer = lengthen_gap(s, first, last, reason); longer != kNil) {
    link_early(s);
    return longer;
  }
  const std::uint32_t e =
      log_.append_gap(s, first, last, reason, now_.mono_ns, stream.home == Home::remote ? stream.home_peer : kNil);
  if (e != kNil) {
    appended(e);
    link_early(s);
    return e;
  }
  if (stream.unplaced_first == 0) stream.unplaced_reason = reason;
  stream.unplaced_first = stream.unplaced_first == 0 ? first : std::min(stream.unplaced_first, first);
  stream.unplaced_last = std::max(stream.unplaced_last, last);
  return kNil;
}

void Core::put_number(std::uint32_t slot, Lane lane, std::uint32_t number, std::uint32_t e) {
  UpLane& up = slots_[slot].lanes[data_lane(lane)];
  const std::uint32_t ahead = number - up.delivered;
  if (ahead == 0 || ahead > 0x7FFFFFFFu) return;
  if (ahead >= up_ring_) {  // more than it may have on its way: whatever this is, a new session sorts it out
    endpoint_.close(now_, slots_[slot].session, DownReason::local);
    return;
  }
  UpNumber& place = number_at(slot, data_lane(lane), number);
  place.entry = e;
  place.serial = e == kNil ? kDoneSerial : log_.entry(e).serial;
  if (number - up.delivered > up.highest - up.delivered) up.highest = number;
  mark_dirty(slot);
}

void Core::mark_dirty(std::uint32_t slot) {
  if (slots_[slot].dirty) return;
  slots_[slot].dirty = true;
  slots_[slot].next_dirty = dirty_head_;
  dirty_head_ = slot;
}

// The BUSY has just been sent: it is the newest control message.
void Core::note_refusal(std::uint32_t slot, Lane lane, std::uint32_t number) {
  UpLane& up = slots_[slot].lanes[data_lane(lane)];
  const std::uint32_t control = endpoint_.progress(slots_[slot].session, Lane::control).sent;
  if (up.refusal_count > 0) {
    Refusals& newest = up.refusals[up.refusal_count - 1];
    // One after the other they are one range. More scattered than there are places for: what lies between waits too.
    if (number == newest.last + 1 || up.refusal_count == kRefusalRanges) {
      if (static_cast<std::int32_t>(number - newest.first) < 0) newest.first = number;
      if (static_cast<std::int32_t>(number - newest.last) > 0) newest.last = number;
      newest.control = control;
      return;
    }
  }
  up.refusals[up.refusal_count++] = {number, number, control};
}

void Core::drop_told_refusals(std::uint32_t slot) {
  for (UpLane& up : slots_[slot].lanes) {
    if (up.refusal_count == 0) continue;
    const std::uint32_t told = endpoint_.progress(slots_[slot].session, Lane::control).admitted;
    std::uint32_t kept = 0;
    for (std::uint32_t i = 0; i < up.refusal_count; ++i) {
      if (static_cast<std::int32_t>(told - up.refusals[i].control) < 0) up.refusals[kept++] = up.refusals[i];
    }
    if (kept != up.refusal_count) mark_dirty(slot);
    up.refusal_count = kept;
  }
}

void Core::raise_numbers(std::uint32_t slot) {
  if (!slots_[slot].used) return;
  for (std::uint32_t lane = 0; lane < kDataLanes; ++lane) {
    raise_admitted(slot, lane);
    raise_delivered(slot, lane);
  }
}

void Core::raise_admitted(std::uint32_t slot, std::uint32_t i) {
  UpLane& lane = slots_[slot].lanes[i];
  const std::uint32_t before = lane.admitted;
  const auto refused = [&lane](std::uint32_t number) {
    for (std::uint32_t r = 0; r < lane.refusal_count; ++r) {
      const Refusals& range = lane.refusals[r];
      if (number - range.first <= range.last - range.first) return true;
    }
    return false;
  };
  while (lane.admitted != lane.highest && number_at(slot, i, lane.admitted + 1).serial != 0 &&
         !refused(lane.admitted + 1)) {
    ++lane.admitted;
  }
  if (lane.admitted == before) return;
  endpoint_.set_admitted(slots_[slot].session, static_cast<Lane>(i + 1), lane.admitted);
}

void Core::raise_delivered(std::uint32_t slot, std::uint32_t i) {
  Slot& session = slots_[slot];
  UpLane& lane = session.lanes[i];
  // A far broker lets go of its slow client before its home, which sees only the sum, lets go of the far broker.
  const bool from_peer = downstreams_[session.downstream].broker;
  const std::uint32_t crowded = limits_.window_messages / 4 * (from_peer ? 2 : 3);
  const std::uint32_t before = lane.delivered;
  // Who sends it has it: where it came by two ways (a leaf's hub died) two brokers may owe it to each other.
  const auto open = [&](const UpNumber& u) {
    const Entry& entry = log_.entry(u.entry);
    return entry.serial == u.serial && entry.pending > (from_peer && owes(session.downstream, entry) ? 1u : 0u);
  };
  while (lane.delivered != lane.admitted && !kept_back(from_peer)) {
    UpNumber& u = number_at(slot, i, lane.delivered + 1);
    if (u.serial != kDoneSerial && open(u)) {
      // Nobody's window may run full because one of many is slow or away.
      if (lane.highest - lane.delivered <= crowded) break;
      detach_laggards(u.entry, static_cast<std::uint32_t>(GapReason::detached), true);
      if (open(u)) break;
    }
    u = UpNumber{};
    ++lane.delivered;
  }
  if (lane.delivered != before) endpoint_.set_delivered(session.session, static_cast<Lane>(i + 1), lane.delivered);
}

}  // namespace portolan::broker::core
