// ACK and HEARTBEAT, written and read: what came, what is missing for long enough to be sent again, how far lanes and
// credit have moved (PROTOCOL.md "ACK", "HEARTBEAT", "Repair").
#include <algorithm>

#include "broker/session/state.hpp"

namespace portolan::broker {

using session::AckBody;
using session::AckRange;
using session::HeartbeatBody;
using session::SentKind;
using session::SentPacket;

void Endpoint::State::ask_ack(Session& s, std::uint64_t within_ns) {
  s.ack_due_ns = std::min(s.ack_due_ns, now.mono_ns + within_ns);
}

std::uint32_t Endpoint::State::write_ack(Session& s, std::uint8_t* payload) {
  AckBody body;
  AckRange ranges[session::kAckRangesMax];
  const std::uint64_t told = s.in.describe(body, ranges, session::kAckRangesMax, s.ack_from);
  const std::uint32_t count = body.range_count;
  s.credit_given = credit_offer(s);
  body.settled = s.out.settled();
  body.credit = s.credit_given;
  body.bytes = s.bytes_received;
  body.delay_ns = static_cast<std::uint32_t>(std::min<std::uint64_t>(now.mono_ns - s.in.largest_at_ns(), 0xFFFFFFFFu));
  body.ce_marks = s.ce_marks;
  for (std::uint32_t l = 0; l < kLanes; ++l) {
    body.admitted[l] = admits_explicitly && l != kControlLane ? s.lanes_in[l].told : s.lanes_in[l].admitted;
    body.delivered[l] = s.lanes_in[l].delivered;
  }
  session::put(payload, body);
  for (std::uint32_t i = 0; i < count; ++i) session::put(payload + sizeof body + i * sizeof(AckRange), ranges[i]);
  s.unacknowledged = 0;
  // More gaps than one ACK can tell: some follow at once, and what they leave in the next ACK, whenever it goes.
  const bool more = told < body.mature;
  s.ack_from = more ? told : 0;
  s.ack_chain = more && s.ack_chain + 1 < kAckChainMost ? s.ack_chain + 1 : 0;
  s.ack_due_ns = s.ack_chain != 0 ? now.mono_ns : kNever;
  ++counters.acks_out;
  return static_cast<std::uint32_t>(sizeof body + count * sizeof(AckRange));
}

Drop Endpoint::State::receive_ack(Session& s, std::span<const std::uint8_t> payload) {
  if (payload.size() < sizeof(AckBody)) return Drop::bad_length;
  const auto body = session::get<AckBody>(payload.data());
  if (body.range_count > session::kAckRangesMax ||
      payload.size() != sizeof body + body.range_count * sizeof(AckRange)) {
    return Drop::bad_length;
  }
  const std::uint64_t next = s.out.next();
  if (body.largest >= next || body.contiguous > body.largest || body.mature > body.largest ||
      body.skip > body.largest - body.contiguous) {
    return Drop::bad_control;
  }
  // All of it is looked at first: of a malformed one nothing counts.
  const std::uint8_t* ranges = payload.data() + sizeof body;
  std::uint64_t end = body.contiguous + body.skip;
  for (std::uint32_t i = 0; i < body.range_count; ++i) {
    const auto range = session::get<AckRange>(ranges + i * sizeof(AckRange));
    end += std::uint64_t{range.gap} + range.length;
    if (range.gap == 0 || range.length == 0 || end > body.largest) return Drop::bad_control;
  }

  if (const SentPacket* packet = s.out.find(pages, body.largest)) {
    const std::uint64_t elapsed = now.mono_ns - packet->sent_ns;
    if (elapsed > body.delay_ns) {
      s.rtt.sample(elapsed - body.delay_ns);
      s.rate.round_trip(elapsed - body.delay_ns);
    }
  }
  const std::uint32_t open_before = s.out.open();
  // The peer's window has forgotten what lies this far back and lifts `contiguous` over it, whether it came or not.
  if (body.largest >= PTL_WINDOW_PACKETS) {
    const std::uint64_t forgotten = body.largest - PTL_WINDOW_PACKETS + 32;
    s.out.for_open(pages, 1, forgotten, [&](std::uint64_t n) { packet_lost(s, n); });
  }
  s.out.for_open(pages, 1, body.contiguous, [&](std::uint64_t n) { packet_acknowledged(s, n); });
  std::uint64_t at = body.contiguous + body.skip;
  for (std::uint32_t i = 0; i < body.range_count; ++i) {
    const auto range = session::get<AckRange>(ranges + i * sizeof(AckRange));
    const std::uint64_t first = at + range.gap + 1;
    const std::uint64_t last = first + range.length - 1;
    s.out.for_open(pages, first, last, [&](std::uint64_t n) { packet_acknowledged(s, n); });
    s.out.for_open(pages, at + 1, std::min(first - 1, body.mature), [&](std::uint64_t n) { packet_lost(s, n); });
    at = last;
  }
  s.rate.end_of_ack(now.mono_ns, std::max(body.ce_marks, s.peer_received.ce_marks) - s.peer_received.ce_marks);
  follow_rate(s);
  if (s.out.open() != open_before) {
    s.resort_base_ns = now.mono_ns;
    s.resort_shift = 0;
  }
  // Both only grow: of ACKs that overtook one another the newest counts.
  s.peer_received.bytes = std::max(s.peer_received.bytes, body.bytes);
  s.peer_received.ce_marks = std::max(s.peer_received.ce_marks, body.ce_marks);
  progress_lanes(s, body.admitted, body.delivered);
  if (body.credit > s.credit_limit) s.credit_limit = body.credit;
  counters.gone_packets += s.in.settle(body.settled);
  // The peer still asks for numbers whose content is elsewhere by now: tell it so, once in a round trip.
  if (body.contiguous < std::min(body.mature, s.out.settled()) && now.mono_ns - s.settled_told_ns >= s.rtt.smoothed()) {
    s.settled_told_ns = now.mono_ns;
    ask_ack(s, 0);
  }
  if (s.data_open == 0) {
    s.heartbeat_nth = 0;
    s.heartbeat_due_ns = std::max(now.mono_ns, s.heartbeat_last_ns + s.idle_ns);
  }
  check_room(s);
  return Drop::none;
}

void Endpoint::State::follow_rate(Session& s) {
  s.pacer.set_rate(s.rate.pacing_bps());
  s.repair_pacer.set_rate(s.rate.rate_bps() / 2);
}

void Endpoint::State::packet_acknowledged(Session& s, std::uint64_t number) {
  const SentPacket packet = *s.out.find(pages, number);
  s.out.settle(pages, number);
  if (packet.kind != SentKind::heartbeat) s.mtu.acknowledged(number, packet.bytes - PTL_FRAME_BYTES);
  s.rate.acknowledged(now.mono_ns, packet.mark, packet.sent_ns, packet.bytes);
  if (packet.kind == SentKind::messages) {
    --s.data_open;
    for (std::uint32_t e = packet.content; e != kNil;) {
      const std::uint32_t next = entries[e].next;
      release_entry(s, e);
      e = next;
    }
  } else if (packet.kind == SentKind::fragment) {
    --s.data_open;
    fragment_acknowledged(s, packet, number);
  }
}

// The number never comes; what it held leaves again under a new one.
void Endpoint::State::packet_lost(Session& s, std::uint64_t number) {
  const SentPacket packet = *s.out.find(pages, number);
  s.out.settle(pages, number);
  s.rate.lost(packet.mark, packet.bytes);
  ++counters.packets_lost;
  if (packet.kind != SentKind::heartbeat) s.mtu.lost(now.mono_ns, number, packet.bytes - PTL_FRAME_BYTES);
  if (packet.kind == SentKind::messages) {
    --s.data_open;
    for (std::uint32_t e = packet.content; e != kNil;) {
      const std::uint32_t next = entries[e].next;
      if (!repair_as_long(s, e)) s.repair.push(entries, e);
      e = next;
    }
  } else if (packet.kind == SentKind::fragment) {
    --s.data_open;
    fragment_lost(s, packet);
  }
}

void Endpoint::State::progress_lanes(Session& s, const std::uint32_t* admitted, const std::uint32_t* delivered) {
  bool moved = false;
  for (std::uint32_t l = 0; l < kLanes; ++l) {
    OutLane& lane = s.lanes_out[l];
    // Serial numbers: forward, and never beyond what was sent.
    const auto forward = [&lane](std::uint32_t& mine, std::uint32_t theirs) {
      if (static_cast<std::int32_t>(theirs - mine) <= 0 || static_cast<std::int32_t>(lane.sent - theirs) < 0)
        return false;
      mine = theirs;
      return true;
    };
    const bool a = forward(lane.admitted, admitted[l]);
    const bool d = forward(lane.delivered, delivered[l]);
    moved = moved || a || d;
  }
  if (moved && !s.progress_queued) s.progress_queued = progressed.push(s.slot);
}

std::uint32_t Endpoint::State::write_heartbeat(Session& s, std::uint8_t* payload) {
  HeartbeatBody body;
  body.timestamp_ns = now.mono_ns;
  body.echo_ns = s.peer_timestamp_ns;
  if (s.peer_timestamp_ns != 0) {
    body.echo_delay_ns =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(now.mono_ns - s.peer_timestamp_at_ns, 0xFFFFFFFFu));
  }
  const InterestState& mine = s.own_interest_set ? s.own_interest : interest;
  body.interest_incarnation = mine.incarnation;
  body.interest_version = mine.version;
  body.interest_digest = mine.digest;
  body.settled = s.out.settled();
  for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
    body.ticket_sent[c] = s.classes_out[c].next_ticket - 1;
    body.ticket_wanted[c] = s.classes_out[c].next_ticket - 1 + s.classes_out[c].queued;
  }
  session::put(payload, body);
  ++counters.heartbeats_out;
  s.heartbeat_last_ns = now.mono_ns;
  if (s.data_open == 0) {
    s.heartbeat_due_ns = now.mono_ns + s.idle_ns;
  } else {
    // After sixteen without any answer the path is dead rather than slow: go over to the idle interval.
    ++s.heartbeat_nth;
    s.heartbeat_due_ns = now.mono_ns + (s.heartbeat_nth < 16 ? s.rtt.heartbeat(s.heartbeat_nth, kNever)
                                                             : std::max(s.rtt.heartbeat(2, kNever), s.idle_ns / 4));
  }
  return sizeof body;
}

Drop Endpoint::State::receive_heartbeat(Session& s, std::span<const std::uint8_t> payload, bool newest) {
  if (payload.size() != sizeof(HeartbeatBody)) return Drop::bad_length;
  const auto body = session::get<HeartbeatBody>(payload.data());
  s.peer_timestamp_ns = body.timestamp_ns;
  s.peer_timestamp_at_ns = now.mono_ns;
  s.peer_interest = {body.interest_incarnation, body.interest_version, body.interest_digest};
  s.peer_interest_known = true;
  counters.gone_packets += s.in.settle(std::min(body.settled, s.in.largest()));
  // WANT only raises what is wanted; what was withdrawn since is wanted no more, and its slots go back.
  for (std::uint32_t c = 0; newest && c < PTL_CLASSES; ++c) {
    InClass& ic = s.classes_in[c];
    if (ahead(body.ticket_wanted[c], ic.base - 1) >= 0 && ahead(ic.wanted, body.ticket_wanted[c]) > 0) {
      ic.wanted = body.ticket_wanted[c];
    }
  }
  return Drop::none;
}

}  // namespace portolan::broker
