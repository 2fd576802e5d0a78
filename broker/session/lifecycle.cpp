// Birth and death of sessions: table places, indices, events, and giving everything back.
#include <algorithm>

#include "broker/session/state.hpp"

namespace portolan::broker {

Session* Endpoint::State::find(SessionId handle) {
  if (handle == kNil) return nullptr;
  Session& s = sessions[handle % limits.sessions];
  return s.state != SessionState::free && s.handle == handle ? &s : nullptr;
}

Session* Endpoint::State::take_session() {
  Session* oldest = nullptr;  // a stranger's handshake that nobody confirmed yields to the next one
  for (std::uint32_t i = 0; i < limits.sessions; ++i) {
    Session& s = sessions[i];
    if (s.state == SessionState::responding && (oldest == nullptr || s.last_received_ns < oldest->last_received_ns)) {
      oldest = &s;
    }
    if (s.state != SessionState::free) continue;
    oldest = &s;
    break;
  }
  if (oldest == nullptr) return nullptr;
  if (oldest->state != SessionState::free) end_session(*oldest, DownReason::handshake_failed, false);
  Session& s = *oldest;
  ++s.generation;
  s.handle = s.generation * limits.sessions + s.slot;  // as place_of() takes it apart
  s.index_incarnation = (s.index_incarnation + 1) & 0xFF;
  s.local_index = s.index_incarnation << 24 | s.slot;
  s.remote_index = 0;
  s.peer_slot = kNil;
  s.peer = 0;
  s.peer_incarnation = 0;
  s.uid = 0;
  s.tries = 0;
  s.backoff_ns = 0;
  s.message_bytes = 0;
  s.init_hash = 0;
  s.initiator = false;
  s.rtt = {};
  return &s;
}

void Endpoint::State::start_session(Session& s) {
  s.mtu = {};
  s.base_fragment_bytes = s.options.fragment_bytes;
  s.size_answer_count = 0;
  reset_path_mtu(s);
  s.in.reset(s.window);
  s.out.reset(s.page_table, std::bit_ceil(std::max<std::uint32_t>(limits.window_packets / session::kPagePackets, 4)));
  s.rate.reset(now.mono_ns, s.rtt.known() ? s.rtt.smoothed() : 0, PTL_FRAME_BYTES + s.options.fragment_bytes,
               {s.options.rate_bps, s.options.first_bps}, s.uid);
  s.pacer.reset(s.rate.pacing_bps(), kMillisecond);
  s.repair_pacer.reset(s.rate.rate_bps() / 2, session::kRepairBurstNs);
  s.waited = false;
  s.nothing_at_ns = s.waiting_since_ns = now.mono_ns;
  s.repair_window = {};
  s.last_received_ns = now.mono_ns;
  s.bytes_received = 0;
  s.ce_marks = 0;
  s.peer_received = {};
  s.ack_due_ns = kNever;
  s.unacknowledged = 0;
  s.ack_from = 0;
  s.ack_chain = 0;
  s.tampered = 0;
  s.settled_told_ns = 0;
  s.data_open = 0;
  s.heartbeat_due_ns = kNever;
  s.heartbeat_last_ns = 0;
  s.heartbeat_nth = 0;
  s.resort_base_ns = now.mono_ns;
  s.resort_shift = 0;
  s.peer_timestamp_ns = 0;
  s.peer_interest_known = false;
  s.own_interest_set = false;
  s.probe_nonce = 0;
  s.probe_due_ns = kNever;
  s.answer_probe = false;
  const std::uint32_t words = std::max<std::uint32_t>(limits.receive_messages / 64, 1);
  for (std::uint32_t l = 0; l < kLanes; ++l) {
    s.lanes_out[l] = {};
    std::uint64_t* bits = s.lanes_in[l].bits;
    std::fill_n(bits, words, 0);
    s.lanes_in[l] = {0, 0, bits, 0};
  }
  s.repair = {};
  s.held = {};
  s.control_queued = 0;
  s.credit_used = s.credit_came = s.credit_taken = 0;
  s.credit_given = limits.credit_bytes;
  s.turn = 0;
  s.bulk_owed = 0;
  s.last_was_fragment = false;
  for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
    OutSegment* out_row = s.classes_out[c].row;
    s.classes_out[c] = {};
    s.classes_out[c].row = out_row;
    ptl_grant* grants = s.classes_in[c].row;
    InSegment* segments = s.classes_in[c].segments;
    const InClass before = s.classes_in[c];
    s.classes_in[c] = {};
    s.classes_in[c].queued = before.queued;
    s.classes_in[c].queued_begun = before.queued_begun;
    s.classes_in[c].queued_keep = before.queued_keep;
    s.classes_in[c].keeper = before.keeper;
    s.classes_in[c].row = grants;
    s.classes_in[c].segments = segments;
    for (std::uint32_t i = 0; i < limits.grants_per_class; ++i) {
      out_row[i] = {};
      grants[i] = {};
      segments[i] = {};
    }
  }
  s.segments_live = s.segments_fresh = s.segments_resend = 0;
  s.cut_order = 0;
  s.partial = {};
  s.starved_since_ns = 0;
  s.round_ns = s.round_bytes = s.round_bytes_before = 0;
  s.doorbells = false;
}

KnownIdentity* Endpoint::State::identity_of(std::uint64_t id, bool create) {
  std::uint32_t at = static_cast<std::uint32_t>((id * 0x9E3779B97F4A7C15ull) >> 33) & (known_capacity - 1);
  KnownIdentity* idle = nullptr;  // whose session is over: forgotten when there is no room for a new one
  for (std::uint32_t i = 0; i < known_capacity; ++i, at = (at + 1) & (known_capacity - 1)) {
    if (known[at].id == id) return &known[at];
    if (known[at].id != 0) {
      const auto is_peer = [&](const Peer& p) { return p.config.id == known[at].id; };
      if (create && known_used + 1 >= known_capacity && known[at].slot == kNil &&
          std::none_of(peers, peers + peer_count, is_peer)) {
        idle = &known[at];  // no place ever becomes empty, so everybody else's search still passes here
      }
      continue;
    }
    if (!create) return nullptr;
    if (known_used + 1 >= known_capacity) {
      if (idle != nullptr) {
        *idle = KnownIdentity{};
        idle->id = id;
      }
      return idle;
    }
    ++known_used;
    known[at].id = id;
    return &known[at];
  }
  return nullptr;
}

void Endpoint::State::establish(Session& s) {
  KnownIdentity* who = identity_of(s.peer, true);
  if (who != nullptr) {
    if (who->slot != kNil && who->slot != s.slot) end_session(sessions[who->slot], DownReason::replaced, false);
    who->slot = s.slot;
    who->incarnation = s.peer_incarnation;
    who->key = s.peer_key;  // its place may have been taken and made anew since the handshake began
  }
  if (s.peer_slot != kNil) {
    Peer& peer = peers[s.peer_slot];
    if (peer.attempt != kNil && peer.attempt != s.slot) {
      end_session(sessions[peer.attempt], DownReason::replaced, false);
    }
    peer.attempt = kNil;
    peer.slot = s.slot;
  }
  s.state = SessionState::up;
  s.last_received_ns = now.mono_ns;
  s.heartbeat_due_ns = now.mono_ns;  // confirms the keys to the responder, and brings the interest at once
  // The peer's first words take a round trip, however long that is against the idle interval.
  s.grace_until_ns = now.mono_ns + 3 * s.idle_ns + 2 * s.rtt.smoothed();
  life.set(s.slot, s.grace_until_ns);
  SessionEvent event;
  event.kind = SessionEvent::Kind::up;
  event.session = s.handle;
  event.peer = s.peer;
  event.peer_incarnation = s.peer_incarnation;
  event.uid = s.uid;
  event.configured = s.peer_slot != kNil;
  event.after = arrived;
  event.key = s.peer_key;
  events.push(event);
  reschedule(s);
}

void Endpoint::State::release_entry(Session& s, std::uint32_t entry) {
  OutEntry& e = entries[entry];
  if (e.lane == kControlLane) {
    bodies.drop(e.body);
    --s.control_queued;
  } else {
    store->release(e.message);
  }
  entries.give(entry);
}

void Endpoint::State::free_entries(Session& s) {
  s.out.for_open(pages, 1, ~0ull >> 1, [&](std::uint64_t number) {
    session::SentPacket* packet = s.out.find(pages, number);
    if (packet == nullptr || packet->kind != session::SentKind::messages) return;
    for (std::uint32_t e = packet->content; e != kNil;) {
      const std::uint32_t next = entries[e].next;
      release_entry(s, e);
      e = next;
    }
  });
  s.out.clear(pages);
  while (!s.repair.empty()) release_entry(s, s.repair.pop(entries));
  for (OutLane& lane : s.lanes_out) {
    while (!lane.fresh.empty()) release_entry(s, lane.fresh.pop(entries));
  }
  while (!s.held.empty()) {
    const std::uint32_t item = s.held.pop(items);
    bodies.drop(items[item].body);
    items.give(item);
  }
}

void Endpoint::State::end_session(Session& s, DownReason reason, bool tell) {
  if (s.ending) return;  // what its end breaks may end others, and come back here
  const bool was_up = s.state == SessionState::up;
  s.ending = true;
  if (was_up && tell) send_close(s, reason);
  if (was_up || s.state == SessionState::responding) {
    drop_in_segments(s);
    drop_out_segments(s);
    free_entries(s);
  }
  if (was_up) {
    SessionEvent event;
    event.kind = SessionEvent::Kind::down;
    event.session = s.handle;
    event.peer = s.peer;
    event.peer_incarnation = s.peer_incarnation;
    event.uid = s.uid;
    event.configured = s.peer_slot != kNil;
    event.reason = reason;
    event.after = arrived;
    events.push(event);
  }
  KnownIdentity* who = s.peer != 0 ? identity_of(s.peer, false) : nullptr;
  if (who != nullptr && who->slot == s.slot) who->slot = kNil;
  s.state = SessionState::free;
  s.ending = false;
  s.noise.wipe();
  s.keys_in = s.keys_out = PhaseKeys{};
  work.set(s.slot, kNever);
  life.set(s.slot, kNever);
  if (s.peer_slot != kNil) {
    Peer& peer = peers[s.peer_slot];
    if (peer.slot == s.slot) peer.slot = kNil;
    if (peer.attempt == s.slot) peer.attempt = kNil;
    if (peer.options.initiate && peer.slot == kNil && peer.attempt == kNil && !draining) {
      life.set(limits.sessions + s.peer_slot, now.mono_ns + 10 * kMillisecond);
    }
  }
}

void Endpoint::State::send_close(Session& s, DownReason reason) {
  Reply datagram;
  session::CloseBody body;
  body.reason = static_cast<std::uint32_t>(reason);
  std::uint8_t* payload = datagram.data + PTL_FRAME_BYTES;
  session::put(payload, body);
  ptl_frame frame{};
  frame.version_type = PTL_VERSION << 4 | PTL_CLOSE;
  frame.session = s.remote_index;
  frame.packet = s.out.skip();
  frame.bytes = sizeof body + PTL_TRAILER_BYTES;
  frame.flags = phase_flag(s.send_phase);
  close_payload(s, datagram.data, frame);
  set_frame_tag(s.keys_out.of(s.send_phase).tag, datagram.data);
  datagram.path = s.path;
  datagram.bytes = PTL_FRAME_BYTES + frame.bytes;
  if (!replies.push(datagram)) count(Drop::rate_limited);
}

}  // namespace portolan::broker
