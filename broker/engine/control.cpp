// Control messages in. Bodies are decoded and validated by broker/wire/control.*; what does not decode, or names what
// was never announced, is counted and ignored.
#include <algorithm>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {
namespace {

constexpr std::uint64_t kResumeAfterDetachNs = 50'000'000;

}  // namespace

void Core::on_control(std::uint32_t slot, const Incoming& in) {
  if (lose_count > 0 && in.control == lose_control) {
    --lose_count;
    return;
  }
  const auto handle = [&](auto body, auto method) {
    if (wire::decode(in.body, body)) {
      (this->*method)(slot, body);
    } else {
      bad_control();
    }
  };
  switch (in.control) {
    case PTL_C_TOPIC:
      return handle(wire::TopicBody{}, &Core::on_topic);
    case PTL_C_STREAM:
      return handle(wire::StreamBody{}, &Core::on_stream);
    case PTL_C_INTEREST:
      return handle(wire::InterestBody{}, &Core::on_interest);
    case PTL_C_SUBSCRIBED:
      return handle(wire::SubscribedBody{}, &Core::on_subscribed);
    case PTL_C_RESUME:
      return handle(wire::ResumeBody{}, &Core::on_resume);
    case PTL_C_GAP:
      return handle(wire::GapBody{}, &Core::on_gap);
    case PTL_C_BUSY:
      return handle(wire::BusyBody{}, &Core::on_busy);
    case PTL_C_GONE:
      return handle(wire::GoneBody{}, &Core::on_gone);
    case PTL_C_ASK:
      return handle(wire::AskBody{}, &Core::on_ask);
    case PTL_C_DETACHED: {  // a home broker let me go: I come back with snapshot and RESUMEs, in a moment
      Downstream& peer = downstreams_[slots_[slot].downstream];
      if (!peer.broker) return;
      peer.snapshot_due_ns = now_.mono_ns + kResumeAfterDetachNs;
      next_housekeep_ns_ = std::min(next_housekeep_ns_, peer.snapshot_due_ns);
      return;
    }
    default:
      return bad_control();
  }
}

std::uint32_t Core::rule_for(std::string_view name) const {
  for (std::uint32_t i = 0; i < rule_count_; ++i) {
    if (wire::filter_matches({rules_[i].filter, rules_[i].length}, name)) return i;
  }
  return kNil;
}

void Core::on_topic(std::uint32_t slot, const wire::TopicBody& body) {
  if (body.alias == 0 || body.alias > limits_.topics) return bad_control();
  std::uint32_t t = log_.find_topic(body.name);
  if (topic_alias(slot, body.alias) != t) announced_topic(slot, body.alias, kNil);  // its former topic may be over
  // Whoever may subscribe names topics for RESUME; whoever may do neither makes no topic here.
  const std::uint32_t d = slots_[slot].downstream;
  if (!may(d, kMaySubscribe, body.name) && deny_topic(d, kMayPublish, body.name)) {
    return announced_topic(slot, body.alias, kDeniedAlias);
  }
  if (t == kNil) {
    t = add_topic(body.name);
    if (t == kNil) return announced_topic(slot, body.alias, kRefusedAlias);
    const std::uint32_t at = rule_for(body.name);
    const TopicRule rule = at == kNil ? TopicRule{} : rules_[at].rule;
    Topic& topic = log_.topic(t);
    topic.counted = static_cast<std::uint16_t>(std::min(at, counted_rules_));
    topic.retain_ns = rule.retain_ns;
    topic.retain_bytes = rule.retain_bytes;
    topic.lane = rule.filter.empty() ? static_cast<Lane>(body.lane) : rule.lane;
    if (topic.lane == Lane::control) topic.lane = Lane::realtime;
    topic.wanted_since = union_since(t);
    match_new_topic(t);
  }
  announced_topic(slot, body.alias, t);
}

void Core::announced_topic(std::uint32_t slot, std::uint32_t alias, std::uint32_t t) {
  std::uint32_t& place = topic_alias(slot, alias);
  if (place < kPastAlias) --log_.topic(place).in_aliases;
  place = t;
  if (t < kPastAlias) ++log_.topic(t).in_aliases;
}

void Core::on_stream(std::uint32_t slot, const wire::StreamBody& body) {
  const std::uint32_t place = body.alias & kPlaceMask;
  if (place == 0 || place > limits_.streams || body.topic == 0 || body.topic > limits_.topics) {
    return bad_control();
  }
  const std::uint32_t topic = topic_alias(slot, body.topic);
  if (topic == kNil) return bad_control();
  const std::uint32_t from = slots_[slot].downstream;
  const Downstream& sender = downstreams_[from];
  // A client publishes in its own name alone: as whom it proved itself, and in its present life.
  const bool own = sender.broker || (body.publisher == sender.id && body.incarnation == sender.incarnation);
  if (!own) bad_control();
  std::uint32_t s = kNil;
  if (topic == kDeniedAlias || (topic < kPastAlias && deny_topic(from, kMayPublish, log_.name_of(topic)))) {
    s = kDeniedAlias;
  } else if (topic != kRefusedAlias && own) {
    s = log_.find_stream(topic, body.publisher, body.incarnation);
    if (s == kNil) s = add_stream(topic, body.publisher, body.incarnation);
  }
  announced_stream(slot, body.alias, s == kNil ? kRefusedAlias : s);
  if (s < kPastAlias && !downstreams_[slots_[slot].downstream].dormant) {
    if (downstreams_[slots_[slot].downstream].broker) {
      stream_from_home(slot, s, body);
    } else {
      stream_from_publisher(s, body);
    }
    owing_.for_each(topic, [&](std::uint32_t d) { announce_soon(d, s); });
  }
  if (slots_[slot].waiting_head != kNil) resolve_waiting(slot);
}

// I am its home. Whoever is in the minimum is owed everything from its start on.
void Core::stream_from_publisher(std::uint32_t s, const wire::StreamBody& body) {
  Stream& stream = log_.stream(s);
  const bool fresh = stream.home == Home::unknown;
  stream.home = Home::local;
  if (!fresh) {
    if (body.start > stream.contiguous + 1) {
      stand_gap(s, stream.contiguous + 1, body.start - 1, static_cast<std::uint32_t>(GapReason::broker_lost));
    }
    return;
  }
  log_.begin_stream(s, body.start);
  const std::uint32_t before = log_.previous_stream(stream.topic, stream.publisher, stream.incarnation);
  stream.previous_incarnation = body.previous_incarnation;
  stream.previous_last = body.previous_last;
  if (before != kNil) {
    stream.previous_incarnation = log_.stream(before).incarnation;
    stream.previous_last = log_.stream(before).contiguous;
  }
  owing_.for_each(stream.topic, [&](std::uint32_t d) {
    std::uint64_t& c = cursor(d, s);
    if (c != 0 && c < body.start) {  // it asked before the publisher came back to a broker that had lost its memory
      const auto reason = static_cast<std::uint32_t>(GapReason::broker_lost);
      if (!tell_gap(d, s, c, body.start - 1, reason)) stand_gap(s, c, body.start - 1, reason);
    }
    if (c == 0) c = body.start;
  });
}

// Its home is the peer whose session this is. Where the home begins later than I need, I ask: it knows what is a GAP.
void Core::stream_from_home(std::uint32_t slot, std::uint32_t s, const wire::StreamBody& body) {
  Stream& stream = log_.stream(s);
  const std::uint32_t home = slots_[slot].downstream;
  // Published here: a hub that has it by another, to which I gave it before, is no home of it.
  if (stream.home == Home::local) return;
  const bool covered = stream.home == Home::remote && stream.covered;
  const bool fresh = stream.home == Home::unknown || stream.home == Home::remote;
  stream.previous_incarnation = body.previous_incarnation;
  stream.previous_last = body.previous_last;
  if (stream.home == Home::remote && stream.home_peer != home) came_another_way(s, home);
  stream.home = Home::remote;
  stream.home_peer = home;
  const std::uint64_t since = wanted_since(stream.topic, home);
  if (since == 0) return;
  if (!covered && body.interest < since) {
    // Said of a subscription that my clients have given up meanwhile. My snapshot makes the home say it anew.
    begin_snapshot(home);
    return;
  }
  stream.covered = true;
  std::uint64_t wanted = body.start;
  if (covered || !fresh) {
    wanted = std::min(wanted, stream.contiguous + 1);
  } else {
    log_.begin_stream(s, std::max(body.start, stream.contiguous + 1));
  }
  link_early(s);
  owing_.for_each(stream.topic, [&](std::uint32_t d) {
    std::uint64_t& c = cursor(d, s);
    if (!may_need(d, s)) return;
    if (c == 0) {
      c = body.start;
      resume_held(d, s, c);  // what came before it subscribed and is kept for others lies behind its position
      if (lag(d, stream.topic).waits && c <= stream.contiguous && log_.find(s, c) == kNil) begin_catch_up(d, s, c);
    }
    if (c < wanted && log_.find(s, c) == kNil) wanted = c;
  });
  if (wanted < body.start && !send_resume(home, s, wanted)) begin_snapshot(home);
}

void Core::on_gap(std::uint32_t slot, const wire::GapBody& body) {
  const std::uint32_t s = stream_of(slot, body.stream);
  if (s == kNil) ask_name_again(slot, body.stream);
  if (s == kPastAlias) return;
  if (s > kPastAlias) return bad_control();
  // A publisher may tell but one kind: what a broker before me refused, which I would wait for in vain.
  const bool refused = body.reason == static_cast<std::uint32_t>(GapReason::refused);
  if (!downstreams_[slots_[slot].downstream].broker) {
    if (!refused || body.last == wire::kUnknownLast) return bad_control();
    if (log_.gap_known(s, body.first, body.last)) return;
  }
  if (!log_.can_take_gap(s, body.first, body.last)) {
    ++counters.gaps_forgotten;
    if (downstreams_[slots_[slot].downstream].broker && log_.room_for_gap()) {
      stand_gap(s, body.first, body.last, body.reason);
      return ask_for_forgotten_gaps(s);
    }
    endpoint_.close(now_, slots_[slot].session, DownReason::local);
    return;
  }
  stand_gap(s, body.first, body.last, body.reason);
}

// A downstream has no room for what I sent: it has fallen behind, like any other that does.
void Core::on_busy(std::uint32_t slot, const wire::BusyBody&) {
  detach(slots_[slot].downstream, static_cast<std::uint32_t>(GapReason::detached));
}

void Core::on_gone(std::uint32_t slot, const wire::GoneBody& body) {
  if (body.lane < 1 || body.lane > kDataLanes || body.last - body.first >= up_ring_) return bad_control();
  through_over(slot, body.lane - 1, body.first, body.last);
  for (std::uint32_t n = body.first; n != body.last + 1; ++n) {
    const UpLane& lane = slots_[slot].lanes[body.lane - 1];
    const std::uint32_t ahead = n - lane.delivered;
    if (ahead == 0 || ahead >= up_ring_ || number_at(slot, body.lane - 1, n).serial != 0) continue;
    put_number(slot, static_cast<Lane>(body.lane), n, kNil);
  }
}

// Both questions have one answer: the snapshot carries the RESUMEs.
void Core::on_ask(std::uint32_t slot, const wire::AskBody&) {
  const std::uint32_t d = slots_[slot].downstream;
  const bool later = downstreams_[d].dormant && downstreams_[d].snapshot_due_ns != 0;  // greet_dormant
  if (downstreams_[d].broker && !later) begin_snapshot(d);
}

}  // namespace portolan::broker::core
