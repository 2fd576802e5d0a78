// What goes out, built just in time: datagrams of no session first, then each session whose deadline has come: ACK and
// HEARTBEAT unpaced, then by the pacer repair, control, ordered and realtime in turn; bulk keeps a tenth.
#include <algorithm>

#include "broker/session/state.hpp"

namespace portolan::broker {

using session::SentKind;
using session::SentPacket;

namespace {
constexpr std::uint32_t kPathProbes = 5;
constexpr std::uint32_t kPathProbeBytes = PTL_FRAME_BYTES + sizeof(session::ProbeBody) + PTL_TRAILER_BYTES;
}  // namespace

bool Endpoint::State::poll_transmit(Transmit& out) {
  if (replies.size() != 0) {
    const std::uint32_t buffer = buffers.take();
    if (buffer == kNil) return false;
    buffers[buffer].out = true;
    Reply datagram;
    replies.pop(datagram);
    std::copy_n(datagram.data, datagram.bytes, buffer_at(buffer));
    out.path = datagram.path;
    out.parts[0] = {buffer_at(buffer), datagram.bytes};
    out.part_count = 1;
    out.bytes = datagram.bytes;
    out.handle = buffer;
    out.lane = kControlLane;
    out.retransmission = false;
    out.ecn = kEcnNone;
    out.key_count = 0;
    ++counters.datagrams_out;
    counters.bytes_out += datagram.bytes;
    return true;
  }
  while (buffers.free() != 0 && work.earliest() <= now.mono_ns) {
    Session& s = sessions[work.first()];
    if (s.state == SessionState::up) {
      service(s);  // may end it
      if (s.state == SessionState::up && build(s, out)) {
        reschedule(s);
        return true;
      }
    }
    reschedule(s);
    // Whatever claimed to be due could not be built: look again a little later rather than spin.
    if (work.due(s.slot) <= now.mono_ns) work.set(s.slot, now.mono_ns + kMillisecond);
  }
  return false;
}

// Header, seal or trailer (unless a fragment), tag, packet number, books.
void Endpoint::State::finish(Session& s, Transmit& out, std::uint32_t buffer, std::uint32_t payload_bytes,
                             ptl_frame& frame, SentKind kind, const SentPacket& record) {
  std::uint8_t* data = buffer_at(buffer);
  frame.version_type = static_cast<std::uint8_t>(PTL_VERSION << 4 | frame.version_type);
  frame.session = s.remote_index;
  const bool fragment = frame.ticket != 0;
  if (!fragment) {
    payload_bytes += PTL_TRAILER_BYTES;
    frame.bytes = payload_bytes;
    frame.flags = static_cast<std::uint8_t>(frame.flags | phase_flag(s.send_phase));
  }
  const std::uint32_t bytes = PTL_FRAME_BYTES + payload_bytes;
  if (kind == SentKind::none || !s.out.room(pages)) {
    frame.packet = s.out.skip();
  } else {
    SentPacket packet = record;
    packet.sent_ns = now.mono_ns;
    packet.bytes = static_cast<std::uint16_t>(bytes);
    packet.kind = kind;
    if (kind == SentKind::heartbeat && !s.waited) s.rate.nothing_waits();
    packet.mark = s.rate.sent(now.mono_ns, bytes);
    frame.packet = s.out.add(pages, packet);
  }
  if (fragment) {
    session::put(data, frame);
  } else {
    close_payload(s, data, frame);
  }
  set_frame_tag(s.keys_out.of((frame.flags & PTL_F_KEY_PHASE) != 0).tag, data);
  s.phase_bytes += bytes;
  s.pacer.charge(now.mono_ns, bytes, s.waited ? s.waiting_since_ns : now.mono_ns);
  out.path = s.path;
  out.parts[0] = {data, bytes};
  out.part_count = 1;
  out.bytes = bytes;
  out.handle = buffer;
  buffers[buffer].out = true;
  out.lane = static_cast<std::uint8_t>(session::lane_of(frame));
  out.retransmission = (frame.flags & PTL_F_RETRANSMIT) != 0;
  out.ecn = s.options.ecn ? kEcnCapable : kEcnNone;
  ++counters.datagrams_out;
  counters.bytes_out += bytes;
  if (out.retransmission) {
    ++counters.repair_datagrams;
    counters.repair_bytes += bytes;
    s.repair_pacer.charge(now.mono_ns, bytes);
    s.repair_window.sent(now.mono_ns, bytes, s.repair_pacer.rate_bps());
    if (s.repair_window.used() * repair_high_bound > repair_high * s.repair_window.bound()) {
      repair_high = s.repair_window.used();
      repair_high_bound = s.repair_window.bound();
    }
  }
}

// Seals a payload that is no fragment, or gives it its plain trailer; writes the header, but for its tag.
void Endpoint::State::close_payload(const Session& s, std::uint8_t* data, ptl_frame& frame) {
  const std::uint32_t bytes = frame.bytes - PTL_TRAILER_BYTES;
  if (s.sealed) {
    session::put(data, frame);
    frame.crc = session::seal_packet(s.keys_out.of((frame.flags & PTL_F_KEY_PHASE) != 0).packet, data, bytes);
  } else {
    frame.crc = session::seal_payload(data + PTL_FRAME_BYTES, bytes);
  }
  session::put(data, frame);
}

bool Endpoint::State::build(Session& s, Transmit& out) {
  const std::uint32_t buffer = buffers.take();
  if (buffer == kNil) return false;
  std::uint8_t* payload = buffer_at(buffer) + PTL_FRAME_BYTES;
  out.key_count = 0;
  ptl_frame frame{};
  bool challenge = s.probe_due_ns <= now.mono_ns;
  if (challenge && s.probe_room < kPathProbeBytes) {  // until more comes from there
    challenge = false;
    s.probe_due_ns = kNever;
  }
  if (s.answer_probe || challenge) {
    const bool answer = s.answer_probe;
    const std::uint32_t kind = answer ? session::kProbePathAnswer : session::kProbePath;
    session::put(payload, session::ProbeBody{kind, 0, answer ? s.answer_nonce : s.probe_nonce});
    frame.version_type = PTL_PROBE;
    finish(s, out, buffer, sizeof(session::ProbeBody), frame, SentKind::none, {});
    if (answer) {
      out.path = s.answer_path;
      s.answer_probe = false;
    } else {
      out.path = s.probe_path;
      s.probe_room -= kPathProbeBytes;
      s.probe_due_ns = s.probe_next_ns = now.mono_ns + std::max(s.rtt.answer(), 100 * kMillisecond);
      if (++s.probe_tries == kPathProbes) {
        s.probe_due_ns = kNever;
        s.probe_nonce = 0;
      }
    }
    return true;
  }
  if (s.ack_due_ns <= now.mono_ns) {
    const std::uint32_t bytes = write_ack(s, payload);
    frame.version_type = PTL_ACK;
    finish(s, out, buffer, bytes, frame, SentKind::none, {});
    return true;
  }
  if (s.heartbeat_due_ns <= now.mono_ns && s.heartbeat_nth == 0 && s.waited && s.data_open != 0 && s.rate.may_send() &&
      now.mono_ns < s.heartbeat_last_ns + s.idle_ns) {
    // More data leaves as soon as the pacer lets it, and says as much: only what is last needs a heartbeat behind it.
    s.heartbeat_due_ns = std::max(now.mono_ns, s.pacer.ready_at()) + s.rtt.heartbeat(0, kNever);
  }
  if (s.heartbeat_due_ns <= now.mono_ns) {
    const std::uint32_t bytes = write_heartbeat(s, payload);
    frame.version_type = PTL_HEARTBEAT;
    finish(s, out, buffer, bytes, frame, SentKind::heartbeat, {});
    return true;
  }
  if (build_size_probe(s, buffer, out)) return true;
  if (s.state == SessionState::up && build_data(s, buffer, out)) {
    check_room(s);
    return true;
  }
  buffers.give(buffer);
  return false;
}

bool Endpoint::State::build_data(Session& s, std::uint32_t buffer, Transmit& out) {
  if (!s.pacer.ready(now.mono_ns) || !s.rate.may_send() || !s.out.room(pages)) return false;
  if (s.repair_pacer.ready(now.mono_ns)) {
    if (entries_to_repair(s) && build_multiplexed(s, buffer, true, out)) return true;
    if (resendable(s) != 0 && build_fragment(s, buffer, true, out)) return true;
  }
  const bool fragments = fragment_waits(s);
  const bool shorts = short_waits(s);
  // Short messages beside a long one wait for one fragment at most, and the long one is never starved.
  const bool control = may_send(s, kControlLane);
  if (fragments && (!shorts || (!s.last_was_fragment && !control))) {
    s.last_was_fragment = true;
    return build_fragment(s, buffer, false, out);
  }
  s.last_was_fragment = false;
  return shorts && build_multiplexed(s, buffer, false, out);
}

bool Endpoint::State::may_send(Session& s, std::uint32_t lane) {
  const OutLane& l = s.lanes_out[lane];
  if (l.fresh.empty()) return false;
  const OutEntry& e = entries[l.fresh.head];
  if (e.number - l.admitted >= s.peer_receive) return false;
  return lane == kControlLane || s.credit_used + e.length + PTL_RECORD_BYTES <= s.credit_limit;
}

bool Endpoint::State::bulk_turn(const Session& s) const {
  return s.bulk_owed >= s.options.fragment_bytes;
}

bool Endpoint::State::short_waits(Session& s) {
  return may_send(s, PTL_LANE_CONTROL) || may_send(s, PTL_LANE_ORDERED) || may_send(s, PTL_LANE_REALTIME) ||
         may_send(s, PTL_LANE_BULK);
}

// The next short message for a datagram with this much room left; taken from its queue. kNil: none fits.
std::uint32_t Endpoint::State::choose_fresh(Session& s, std::uint32_t room) {
  const auto fits = [&](std::uint32_t lane) {
    return may_send(s, lane) &&
           PTL_RECORD_BYTES + session::padded(entries[s.lanes_out[lane].fresh.head].length) <= room;
  };
  std::uint32_t lane = kLanes;
  if (fits(PTL_LANE_CONTROL)) {
    lane = PTL_LANE_CONTROL;
  } else if (bulk_turn(s) && fits(PTL_LANE_BULK)) {
    lane = PTL_LANE_BULK;
  } else {
    for (std::uint32_t i = 0; i < 2 && lane == kLanes; ++i) {
      const std::uint32_t at = PTL_LANE_ORDERED + ((s.turn + i) & 1);
      if (fits(at)) lane = at;
    }
    if (lane == kLanes && fits(PTL_LANE_BULK)) lane = PTL_LANE_BULK;
  }
  if (lane == kLanes) return kNil;
  OutLane& l = s.lanes_out[lane];
  const std::uint32_t at = l.fresh.pop(entries);
  const std::uint32_t bytes = entries[at].length + PTL_RECORD_BYTES;
  if (lane != kControlLane) {
    l.fresh_bytes -= bytes;
    s.credit_used += bytes;
    if (lane == PTL_LANE_BULK) {
      s.bulk_owed -= std::min<std::uint64_t>(s.bulk_owed, bytes);
    } else {
      s.turn = lane & 1;  // ordered (1) gives way to realtime (2), and back
      if (!s.lanes_out[PTL_LANE_BULK].fresh.empty())
        s.bulk_owed = std::min<std::uint64_t>(s.bulk_owed + bytes / 9, 65'536);
    }
  }
  return at;
}

// Entries of lost packets that the peer has admitted meanwhile need nothing more.
bool Endpoint::State::entries_to_repair(Session& s) {
  while (!s.repair.empty()) {
    const OutEntry& e = entries[s.repair.head()];
    if (static_cast<std::int32_t>(e.number - s.lanes_out[e.lane].admitted) > 0) return true;
    release_entry(s, s.repair.pop(entries));
  }
  return false;
}

std::uint32_t Endpoint::State::choose_repair(Session& s, std::uint32_t room) {
  if (!entries_to_repair(s)) return kNil;
  if (PTL_RECORD_BYTES + session::padded(entries[s.repair.head()].length) > room) return kNil;
  return s.repair.pop(entries);
}

bool Endpoint::State::build_multiplexed(Session& s, std::uint32_t buffer, bool repair, Transmit& out) {
  std::uint8_t* payload = buffer_at(buffer) + PTL_FRAME_BYTES;
  const std::uint32_t room = s.options.fragment_bytes - PTL_TRAILER_BYTES;
  std::uint32_t at = 0;
  Queue carried;
  ptl_frame frame{};
  while (true) {
    const std::uint32_t entry = repair ? choose_repair(s, room - at) : choose_fresh(s, room - at);
    if (entry == kNil) break;
    const OutEntry& e = entries[entry];
    ptl_record record{};
    record.flags_length = session::record_flags_length(e.lane, e.length);
    record.topic = e.topic;
    record.publisher = e.publisher;
    record.number = e.number;
    record.sequence = e.sequence;
    record.epoch = e.epoch;
    session::put(payload + at, record);
    at += PTL_RECORD_BYTES;
    if (repair) count_repair(e, PTL_RECORD_BYTES + e.length);
    if (e.lane == kControlLane) {
      bodies.copy(e.body, payload + at, e.length);
    } else {
      std::uint8_t* to = payload + at;
      store->for_each_piece(
          e.message, [&to](std::span<const std::uint8_t> bytes) { to = std::copy(bytes.begin(), bytes.end(), to); });
      const std::uint64_t key = store->at(e.message).key;
      if (key != 0 && out.key_count < out.keys.size()) out.keys[out.key_count++] = key;
    }
    const std::uint32_t end = session::padded(e.length);
    std::fill(payload + at + e.length, payload + at + end, std::uint8_t{0});
    at += end;
    if (carried.empty()) frame.flags = static_cast<std::uint8_t>(e.lane << PTL_F_LANE_SHIFT);
    carried.push(entries, entry);
  }
  if (carried.empty()) return false;
  frame.version_type = PTL_DATA;
  frame.flags = static_cast<std::uint8_t>(frame.flags | PTL_F_MULTIPLEXED | (repair ? PTL_F_RETRANSMIT : 0));
  frame.fragment_unit = static_cast<std::uint8_t>(s.options.fragment_bytes / PTL_FRAGMENT_UNIT);
  SentPacket packet;
  packet.content = carried.head;
  finish(s, out, buffer, at, frame, SentKind::messages, packet);
  note_data_sent(s);
  return true;
}

void Endpoint::State::note_data_sent(Session& s) {
  if (s.data_open++ == 0) {
    s.resort_base_ns = now.mono_ns;
    s.resort_shift = 0;
  }
  s.heartbeat_nth = 0;
  // A window that is full waits for answers: nothing to be gained there by asking late.
  const bool more = short_waits(s) || fragment_waits(s);
  const std::uint64_t wait = s.rtt.heartbeat(0, more ? kNever : s.rate.min_rtt_ns());
  // Data that never pauses must not put it off for ever: it carries the interest.
  s.heartbeat_due_ns = std::min(now.mono_ns + wait, std::max(now.mono_ns, s.heartbeat_last_ns + s.idle_ns));
}

bool Endpoint::State::lane_has_room(Session& s, std::uint32_t lane, bool lengthy) {
  const OutLane& l = s.lanes_out[lane];
  if (l.sent - l.delivered >= limits.window_messages || l.sent + 1 - l.admitted >= s.peer_receive) return false;
  if (entries.free() <= kControlReserve + entries.count() / 16) {
    entries_wanted = true;
    return false;
  }
  // 50 ms of the rate in all, each lane by its share of the sending: one lane's queue never refuses another's messages.
  const std::uint64_t share = (lane == PTL_LANE_BULK ? 2 : 9) * (s.rate.rate_bps() / 8) / 20;
  const std::uint64_t bound = std::max<std::uint64_t>(share * (kBacklogNs / kMillisecond) / 1'000, kBacklogLeast);
  return (lengthy ? l.lengthy_bytes : l.fresh_bytes) < bound;
}

void Endpoint::State::check_room(Session& s) {
  tell_wants(s);
  for (std::uint32_t lane = 1; lane < kLanes; ++lane) {
    for (const bool lengthy : {false, true}) {
      bool& wanted = s.lanes_out[lane].room_wanted[lengthy];
      if (!wanted || !lane_has_room(s, lane, lengthy)) continue;
      wanted = false;
      if (!s.room_queued) s.room_queued = roomy.push(s.slot);
    }
  }
}

// Entries are shared: those that one session gave back may be what another waits for.
void Endpoint::State::check_all_room() {
  if (entries.free() <= kControlReserve + entries.count() / 8) return;
  entries_wanted = false;
  for (std::uint32_t i = 0; i < limits.sessions; ++i) {
    if (sessions[i].state == SessionState::up) check_room(sessions[i]);
  }
}

bool Endpoint::State::enqueue_control(Session& s, std::uint32_t control, std::span<const std::uint8_t> body,
                                      bool internal) {
  const std::uint32_t reserve = internal ? 0 : std::min(kControlReserve, limits.control_queue / 2);
  if (s.control_queued + reserve >= limits.control_queue) return false;
  const auto bytes = static_cast<std::uint32_t>(body.size());
  const std::uint32_t chain = bodies.keep(body.data(), bytes);
  if (chain == kNil && bytes != 0) return false;
  const std::uint32_t at = entries.take();
  if (at == kNil) {
    bodies.drop(chain);
    return false;
  }
  OutEntry& e = entries[at];
  e.body = chain;
  e.topic = control;
  e.length = bytes;
  e.lane = kControlLane;
  e.number = ++s.lanes_out[kControlLane].sent;
  ++s.control_queued;
  s.lanes_out[kControlLane].fresh.push(entries, at);
  return true;
}

}  // namespace portolan::broker
