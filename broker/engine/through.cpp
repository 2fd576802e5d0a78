// Cut-through: a long message (kEarlySegments and more) leaves for each downstream as its segments come in, beside the
// log. The log itself, and with it admission, order, retention, RESUME and `delivered`, knows whole messages only:
//   begun    the endpoint tells of the first segment, when memory for all of it is set aside. Each downstream to which
//            the log would send it next (its sequence follows on the log's, and all of the log before it has been sent)
//            is sent it at once, under a session message number that is noted here; who has no room is tried again
//   whole    it is admitted like any other, and its entry stands in the log: accepted. Whoever comes to that entry and
//            has a number noted is not sent it again: its `delivered` is that number's, or that of the newest number of
//            the same topic in flight, whichever is later, since `delivered` is cumulative and releases in log order
//   broken   its session ends, or its sender withdraws it: every endpoint that sends it has withdrawn it already
//            (segments_early.cpp), nobody has seen a part of it, and the log never knew it: it was never accepted. It
//            comes again whole, in a later session, or never
//   slow     whatever has a later number in the same lane has its answer put off until this one is whole. So where it
//            comes so slowly that sending all of it at once, later, takes less than what is left, it is taken back, and
//            that downstream gets it from the log: nobody's answer waits for longer than kPutOffNs, or than the whole
//            message takes on that downstream's line. Before that already where the lane's window runs full
//   dropped  a downstream's session ends, or it is let go: the numbers are forgotten, and it gets the message from the
//            log
// A message for which no memory can be set aside is refused: BUSY with a time, and the GAP in its place, at its first
// segment; a peer's waits instead, in its sender's log.
#include <algorithm>
#include <utility>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {
namespace {

constexpr std::uint64_t kPutOffNs = 500'000'000;

}  // namespace

std::uint32_t Core::through_of(std::uint32_t slot, std::uint32_t lane, std::uint32_t number) const {
  for (std::uint32_t i = 0; through_used_ != 0 && i < through_bound_; ++i) {
    const Through& t = throughs_[i];
    if (t.used && t.entry == kNil && t.slot == slot && t.lane == lane && t.number == number) return i;
  }
  return kNil;
}

void Core::free_through(Through& t) {
  if (t.message != kNil) store_.release(t.message);
  std::fill_n(&through_number(static_cast<std::uint32_t>(&t - throughs_), 0), limits_.downstreams, 0u);
  t = Through{};
  --through_used_;
}

// What is whole keeps its place as long as a number is noted, no longer.
void Core::free_settled(Through& t) {
  const std::uint32_t* row = &through_number(static_cast<std::uint32_t>(&t - throughs_), 0);
  if (t.entry == kNil || std::any_of(row, row + limits_.downstreams, [](std::uint32_t n) { return n != 0; })) return;
  free_through(t);
}

void Core::on_begun(std::uint32_t slot, const Incoming& in) {
  const std::uint32_t s = stream_of(slot, in);
  std::uint32_t at = kNil;
  if (s < kPastAlias && !awaits_cursor(s) && in.sequence > log_.stream(s).contiguous &&
      log_.find(s, in.sequence) == kNil && !store_.at(in.message).broken) {
    for (std::uint32_t i = 0; i < through_bound_ && at == kNil; ++i) {
      Through& t = throughs_[i];
      if (t.used && t.entry != kNil && log_.entry(t.entry).serial != t.serial) free_through(t);  // not owed any more
      if (!t.used) at = i;
    }
  }
  if (at == kNil) return store_.release(in.message);
  const Stream& stream = log_.stream(s);
  Message& message = store_.at(in.message);
  message.key = message_key(log_.topic(stream.topic).hash, stream.publisher, stream.incarnation, in.sequence);
  message.sequence = in.sequence;
  message.stream = s;
  message.time_ns = now_.mono_ns;
  Through& t = throughs_[at];
  t.used = true;
  t.message = in.message;
  t.sequence = in.sequence;
  t.slot = slot;
  t.lane = data_lane(in.lane);
  t.number = in.number;
  t.stream = s;
  t.stream_serial = stream.serial;
  t.since_ns = t.grew_ns = now_.mono_ns;
  ++through_used_;
}

// With what has just been taken in and sent, those may have their turn who could not be sent it before.
void Core::run_throughs() {
  if (through_in_the_way_) ease_throughs();
  for (std::uint32_t i = 0; through_used_ != 0 && i < through_bound_; ++i) {
    const Through& t = throughs_[i];
    if (!t.used || t.entry != kNil || t.taken_back || store_.at(t.message).broken) continue;
    const Stream& stream = log_.stream(t.stream);
    if (stream.serial != t.stream_serial || stream.contiguous + 1 != t.sequence) continue;
    owing_.for_each(stream.topic, [&](std::uint32_t d) { start_through(i, d); });
  }
}

void Core::start_through(std::uint32_t through, std::uint32_t d) {
  const Through& t = throughs_[through];
  const std::uint32_t s = t.stream, topic = log_.stream(s).topic;
  Downstream& down = downstreams_[d];
  Lag& l = lag(d, topic);
  const Lane lane = log_.topic(topic).lane;  // which need not be the one that it came on
  DownLane& dl = down.lanes[data_lane(lane)];
  std::uint32_t& number = through_number(through, d);
  if (number != 0 || !l.attached || !l.sendable || l.sent != kNil || !may_send(d) || dl.blocked) return;
  const std::uint32_t from = slots_[t.slot].downstream;
  if (!passes(d, downstreams_[from].broker ? from : kNil) || catching_up_.test(d, s)) return;
  if (cursor(d, s) == 0 || t.sequence < cursor(d, s) || dl.sent - dl.delivered >= down_ring_ - 1) return;
  if (!announced_.test(d, s) && (room(d) <= kControlReserve || !nameable(d, s) || !announce(d, s))) return;
  std::uint32_t given = 0;
  const Outgoing out{t.message, l.alias, out_alias(d, s), t.sequence, 0};
  switch (endpoint_.send(now_, slots_[down.slot].session, lane, out, given)) {
    case SendResult::ok:
      number = dl.sent = given;
      in_flight(d, data_lane(lane), given) = {kNil, kNil, 0};
      count_out(topic, store_.at(t.message).full_length());
      ++counters.sent_through;
      break;
    case SendResult::no_room:
      dl.blocked = true;
      break;
    case SendResult::not_up:
    case SendResult::too_long:  // its GAP is told when the log comes to it
      break;
  }
}

void Core::ease_throughs() {
  through_in_the_way_ = false;
  for (std::uint32_t i = 0; through_used_ != 0 && i < through_bound_; ++i) {
    Through& t = throughs_[i];
    if (!t.used || t.entry != kNil || store_.at(t.message).broken || store_.at(t.message).coming == 0) continue;
    const std::uint32_t here = store_.at(t.message).length;
    if (here != t.here) t.grew_ns = now_.mono_ns;
    t.here = here;
    for (std::uint32_t d = 0; d < downstream_high_; ++d) {
      if (through_number(i, d) == 0 || !worth_taking_back(t, d)) continue;
      const Lane lane = log_.topic(log_.stream(t.stream).topic).lane;
      t.taken_back = true;
      ++counters.through_taken_back;
      endpoint_.withdraw(now_, slots_[downstreams_[d].slot].session, lane, std::exchange(through_number(i, d), 0u));
    }
  }
}

bool Core::worth_taking_back(const Through& t, std::uint32_t d) const {
  const Downstream& down = downstreams_[d];
  const DownLane& lane = down.lanes[data_lane(log_.topic(log_.stream(t.stream).topic).lane)];
  const auto i = static_cast<std::uint32_t>(&t - throughs_);
  const std::uint32_t number = through_numbers_[static_cast<std::size_t>(i) * limits_.downstreams + d];
  if (down.slot == kNil || lane.sent == number) return false;  // nobody waits behind it
  const std::uint64_t age_ns = now_.mono_ns - t.since_ns;
  const bool pressed = lane.sent - lane.delivered >= limits_.window_messages / 2;
  SessionStats stats;
  if ((age_ns < kPutOffNs && !pressed) || !endpoint_.stats(slots_[down.slot].session, stats)) return false;
  const std::uint64_t length = store_.at(t.message).full_length();
  const std::uint64_t left_ns =
      std::max(age_ns / 1'000 * (length - t.here) / std::max(t.here, 1u) * 1'000, now_.mono_ns - t.grew_ns);
  return left_ns > length * 8'000'000 / std::max<std::uint64_t>(stats.rate_bps / 1'000, 1);
}

void Core::through_whole(std::uint32_t slot, const Incoming& in, std::uint32_t e) {
  const std::uint32_t i = through_of(slot, data_lane(in.lane), in.number);
  if (i == kNil) return;
  Through& t = throughs_[i];
  store_.release(t.message);
  t.message = kNil;
  t.entry = e;
  t.serial = log_.entry(e).serial;
  free_settled(t);
}

// It will never be whole, or nobody needs it: an upstream's numbers [first, last].
void Core::through_over(std::uint32_t slot, std::uint32_t lane, std::uint32_t first, std::uint32_t last) {
  for (std::uint32_t i = 0; through_used_ != 0 && i < through_bound_; ++i) {
    Through& t = throughs_[i];
    if (!t.used || t.entry != kNil || t.slot != slot || t.lane != lane || t.number - first > last - first) continue;
    for (std::uint32_t d = 0; d < limits_.downstreams && store_.at(t.message).broken; ++d) {
      if (through_number(i, d) != 0) ++counters.through_broken;
    }
    free_through(t);
  }
}

// Sent already, under a number that is noted: from here on it is in flight like any other of its topic.
bool Core::sent_through(std::uint32_t d, std::uint32_t e) {
  for (std::uint32_t i = 0; through_used_ != 0 && i < through_bound_; ++i) {
    Through& t = throughs_[i];
    if (!t.used || t.entry != e || t.serial != log_.entry(e).serial) continue;
    const std::uint32_t number = through_number(i, d);
    if (number == 0) return false;
    through_number(i, d) = 0;
    free_settled(t);
    const std::uint32_t topic = log_.topic_of(log_.entry(e));
    Lag& l = lag(d, topic);
    const std::uint32_t lane = data_lane(log_.topic(topic).lane);
    const DownLane& dl = downstreams_[d].lanes[lane];
    const bool done = static_cast<std::int32_t>(number - dl.delivered) <= 0;
    for (std::uint32_t n = dl.sent; l.inflight != 0 && n != (done ? dl.delivered : number); --n) {
      InFlight& newest = in_flight(d, lane, n);
      if (newest.topic != topic || newest.epoch != l.epoch) continue;
      newest.entry = e;
      return true;
    }
    if (done) return true;
    in_flight(d, lane, number) = {topic, e, l.epoch};
    ++l.inflight;
    return true;
  }
  return false;
}

void Core::forget_through(std::uint32_t d, std::uint32_t topic) {
  for (std::uint32_t i = 0; through_used_ != 0 && i < through_bound_; ++i) {
    Through& t = throughs_[i];
    if (!t.used || (topic != kNil && log_.stream(t.stream).topic != topic)) continue;
    through_number(i, d) = 0;
    free_settled(t);
  }
}

// No memory for a long message to begin: what is only retained gives way, or whoever owes it for too long.
void Core::on_starved(std::uint32_t slot, const Incoming& in) {
  if (number_at(slot, data_lane(in.lane), in.number).serial != 0) return;  // refused already
  relieve_memory(in.length);
  const std::uint32_t s = stream_of(slot, in);
  const bool of_none = s == kRefusedAlias || s == kDeniedAlias;
  if (in.stage != Incoming::Stage::starved_long || downstreams_[slots_[slot].downstream].broker) return;
  if ((s >= kPastAlias && !of_none) || endpoint_.room_for_long(in.length)) return;  // it begins now
  const RefuseReason reason = s == kDeniedAlias ? RefuseReason::permission : RefuseReason::bad_topic;
  refuse(slot, in, of_none ? kNil : s, of_none ? reason : RefuseReason::memory_full);
}

}  // namespace portolan::broker::core
