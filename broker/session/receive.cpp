// What comes in: header, tag, replay window, then by type. A packet number is marked only once its content is kept, so
// whatever is dropped here for want of room is reported missing and comes again.
#include <algorithm>

#include "broker/session/state.hpp"

namespace portolan::broker {

Verdict Endpoint::State::receive_one(PathId path, const DatagramView& datagram) {
  Verdict verdict;
  ++counters.datagrams_in;
  counters.bytes_in += datagram.bytes;
  ptl_frame frame;
  verdict.drop = session::parse_frame(datagram.view(), frame);
  if (verdict.drop == Drop::bad_version) answer_version(path, datagram.bytes);
  if (verdict.drop != Drop::none) return count(verdict.drop), verdict;
  const std::span<const std::uint8_t> payload = datagram.view().subspan(PTL_FRAME_BYTES);
  const std::uint32_t type = session::type_of(frame);
  verdict.packet = frame.packet;
  consumed = false;

  if (type == PTL_HANDSHAKE || type == PTL_RESET) {
    verdict.drop = session::check_payload(payload, frame.crc);
    const auto body = payload.first(payload.size() - PTL_TRAILER_BYTES);
    if (verdict.drop == Drop::none) {
      verdict.drop = type == PTL_RESET ? receive_reset(path, body) : receive_handshake(path, body);
    }
    if (verdict.drop != Drop::none) count(verdict.drop);
    return verdict;
  }

  const std::uint32_t slot = frame.session & 0xFFFFFFu;
  Session* found = slot < limits.sessions ? &sessions[slot] : nullptr;
  if (found == nullptr || found->local_index != frame.session ||
      (found->state != SessionState::up && found->state != SessionState::responding)) {
    answer_unknown(path, frame.session, datagram.bytes);
    verdict.drop = count(Drop::unknown_session);
    return verdict;
  }
  Session& s = *found;
  verdict.session_uid = s.uid;
  const std::uint32_t phase = (frame.flags & PTL_F_KEY_PHASE) != 0;
  if (!s.keys_in.known[phase]) {
    verdict.drop = count(Drop::bad_phase);
    return verdict;
  }
  if (!frame_tag_is_right(s.keys_in.of(phase).tag, datagram.data)) {
    verdict.drop = count(Drop::bad_tag);
    return verdict;
  }
  const ptl_window_result seen = s.in.test(frame.packet);
  if (seen != PTL_W_FRESH) {
    verdict.drop = count(seen == PTL_W_REPLAY ? Drop::replay : Drop::old);
    return verdict;
  }
  const bool spoken = session::is_spoken(type);
  const bool fragment = type == PTL_DATA && (frame.flags & PTL_F_MULTIPLEXED) == 0;
  std::span<const std::uint8_t> body = payload;
  if (spoken && !fragment) {
    const std::size_t bytes = payload.size() - PTL_TRAILER_BYTES;
    if (s.sealed && datagram.bytes > limits.datagram_bytes) {  // more than I said I take: there is no room to open it
      verdict.drop = count(Drop::bad_length);
      return verdict;
    }
    body = s.sealed ? std::span<const std::uint8_t>(opened_payload, bytes) : payload.first(bytes);
    verdict.drop = s.sealed ? session::open_packet(s.keys_in.of(phase).packet, datagram.view(), opened_payload)
                            : session::check_payload(payload, frame.crc);
    if (verdict.drop == Drop::bad_trailer) note_tampered(s);
    if (verdict.drop != Drop::none) return count(verdict.drop), verdict;
  }
  s.last_received_ns = now.mono_ns;
  s.bytes_received += datagram.bytes;
  if (datagram.ecn == kEcnMarked) ++s.ce_marks;
  if (s.state == SessionState::responding) establish(s);
  path_seen(s, path, frame.packet, datagram.bytes);
  const SessionId handle = s.handle;
  switch (type) {
    case PTL_DATA:
      verdict.drop = fragment ? receive_fragment(s, frame, body) : receive_multiplexed(s, frame, body);
      break;
    case PTL_ACK:
      consume(s, frame, false);
      verdict.drop = receive_ack(s, body);
      break;
    case PTL_HEARTBEAT:
      if (consume(s, frame, true)) verdict.drop = receive_heartbeat(s, body, frame.packet == s.in.largest());
      break;
    case PTL_PROBE:
      consume(s, frame, false);
      verdict.drop = body.size() < sizeof(session::ProbeBody)
                         ? Drop::bad_length
                         : receive_probe(s, path, session::get<session::ProbeBody>(body.data()), frame.bytes);
      break;
    case PTL_CLOSE:
      consume(s, frame, false);
      end_session(s, DownReason::closed, false);
      break;
    default:  // of a later version, or PARITY: its number came, its content means nothing here
      consume(s, frame, false);
      verdict.drop = Drop::unknown;
      break;
  }
  verdict.consumed = consumed;
  if (verdict.drop != Drop::none) count(verdict.drop);
  if (Session* still = find(handle)) reschedule(*still);
  return verdict;
}

// Somebody has the key of the tags and not that of the seals, or a peer seals wrongly: either ends, though not at once.
void Endpoint::State::note_tampered(Session& s) {
  if (s.state != SessionState::up) return;
  if (s.tampered == 0 || now.mono_ns - s.tampered_since_ns > kTamperedWindow) {
    s.tampered = 0;
    s.tampered_since_ns = now.mono_ns;
  }
  if (++s.tampered >= kTamperedMost) end_session(s, DownReason::tampered, true);
}

// Marks the number; eliciting frames ask for an ACK: at once, or on every second and after a quarter of the RTT.
bool Endpoint::State::consume(Session& s, const ptl_frame& frame, bool at_once) {
  if (!s.in.mark(frame.packet, now.mono_ns, s.rtt.tolerance())) return false;
  consumed = true;
  const std::uint32_t type = session::type_of(frame);
  if (type != PTL_DATA && type != PTL_HEARTBEAT) return true;
  ++s.unacknowledged;
  ask_ack(s, at_once || s.unacknowledged >= 2 ? 0 : s.rtt.ack_delay());
  return true;
}

bool Endpoint::State::came_before(const Session& s, std::uint32_t lane, std::uint32_t number) const {
  const InLane& l = s.lanes_in[lane];
  if (static_cast<std::int32_t>(number - l.admitted) <= 0) return true;
  if (!in_range(s, lane, number)) return false;
  const std::uint32_t at = number & (std::max<std::uint32_t>(limits.receive_messages, 64) - 1);
  return (l.bits[at / 64] >> (at % 64) & 1) != 0;
}

bool Endpoint::State::in_range(const Session& s, std::uint32_t lane, std::uint32_t number) const {
  return number - s.lanes_in[lane].admitted < std::max<std::uint32_t>(limits.receive_messages, 64);
}

// The message is held here, once for all: `admitted` may rise over it.
void Endpoint::State::note_admitted(Session& s, std::uint32_t lane, std::uint32_t number) {
  InLane& l = s.lanes_in[lane];
  const std::uint32_t mask = std::max<std::uint32_t>(limits.receive_messages, 64) - 1;
  l.bits[(number & mask) / 64] |= 1ull << (number & 63);
  while (true) {
    const std::uint32_t at = (l.admitted + 1) & mask;
    const std::uint64_t bit = 1ull << (at % 64);
    if ((l.bits[at / 64] & bit) == 0) break;
    l.bits[at / 64] &= ~bit;
    ++l.admitted;
  }
}

Drop Endpoint::State::receive_multiplexed(Session& s, const ptl_frame& frame, std::span<const std::uint8_t> payload) {
  // Validate the whole datagram first: a malformed one leaves nothing behind.
  std::uint32_t records = 0;
  std::uint32_t fresh = 0;
  for (std::size_t at = 0; at < payload.size();) {
    if (payload.size() - at < PTL_RECORD_BYTES) return Drop::bad_length;
    const auto record = session::get<ptl_record>(payload.data() + at);
    const std::uint32_t length = session::record_length(record);
    const std::uint32_t lane = session::record_flags(record) & session::kRecordLaneMask;
    if (length > payload.size() - at - PTL_RECORD_BYTES || record.segment != 0 || record.last_segment != 0) {
      return Drop::bad_length;
    }
    if (!came_before(s, lane, record.number)) {
      ++fresh;
      if (!in_range(s, lane, record.number)) return Drop::backlog_full;
    }
    ++records;
    at += PTL_RECORD_BYTES + session::padded(length);
    if (at > payload.size()) return Drop::bad_length;
  }
  if (items.free() < fresh) return Drop::backlog_full;
  const bool repaired = (frame.flags & PTL_F_RETRANSMIT) != 0;
  const SessionId handle = s.handle;
  for (std::size_t at = 0; at < payload.size();) {
    const auto record = session::get<ptl_record>(payload.data() + at);
    const std::uint32_t length = session::record_length(record);
    const std::uint32_t lane = session::record_flags(record) & session::kRecordLaneMask;
    const auto body = payload.subspan(at + PTL_RECORD_BYTES, length);
    at += PTL_RECORD_BYTES + session::padded(length);
    if (came_before(s, lane, record.number)) continue;
    const Drop drop =
        lane == kControlLane ? admit_control(s, record, body, repaired) : admit_record(s, record, body, repaired);
    if (drop != Drop::none) return drop;  // not marked: it comes again, and what was admitted is known by its number
    if (find(handle) == nullptr) return Drop::none;
  }
  consume(s, frame, false);
  if (records != 0 && fresh == 0) {
    if (repaired) ++counters.spurious_repairs;
    return Drop::duplicate_message;
  }
  return Drop::none;
}

Drop Endpoint::State::admit_record(Session& s, const ptl_record& record, std::span<const std::uint8_t> body,
                                   bool repaired) {
  const auto bytes = static_cast<std::uint32_t>(body.size());
  if (s.credit_came + bytes + PTL_RECORD_BYTES > s.credit_given) return Drop::over_credit;
  const MessageId message = store->create();
  if (message == kNil) return Drop::buffers_full;
  if (!store->append_copy(message, body)) {
    store->release(message);
    return Drop::buffers_full;
  }
  s.credit_came += bytes + PTL_RECORD_BYTES;
  credit_high = std::max(credit_high, s.credit_came - s.credit_taken);
  const std::uint32_t at = items.take();
  InItem& item = items[at];
  item.handle = s.handle;
  item.message = message;
  item.length = bytes;
  item.credit = bytes + PTL_RECORD_BYTES;
  item.topic = record.topic;
  item.publisher = record.publisher;
  item.number = record.number;
  item.sequence = record.sequence;
  item.epoch = record.epoch;
  item.lane = static_cast<std::uint8_t>(session::record_flags(record) & session::kRecordLaneMask);
  item.repaired = repaired;
  incoming.push(items, at);
  ++arrived;
  note_admitted(s, item.lane, record.number);
  return Drop::none;
}

// Control messages go up in the order of their numbers; those that come too early wait.
Drop Endpoint::State::admit_control(Session& s, const ptl_record& record, std::span<const std::uint8_t> body,
                                    bool repaired) {
  const auto bytes = static_cast<std::uint32_t>(body.size());
  if (bytes > kControlMost) return Drop::bad_control;
  const std::uint32_t chain = bodies.keep(body.data(), bytes);
  if (chain == kNil && bytes != 0) return Drop::buffers_full;
  const std::uint32_t at = items.take();
  InItem& item = items[at];
  item.handle = s.handle;
  item.body = chain;
  item.length = bytes;
  item.topic = record.topic;
  item.number = record.number;
  item.lane = kControlLane;
  item.repaired = repaired;
  // Insert by number; nearly always at the end.
  if (s.held.empty() || static_cast<std::int32_t>(item.number - items[s.held.tail].number) > 0) {
    s.held.push(items, at);
  } else if (static_cast<std::int32_t>(item.number - items[s.held.head].number) < 0) {
    item.next = s.held.head;
    s.held.head = at;
  } else {
    std::uint32_t before = s.held.head;
    while (static_cast<std::int32_t>(item.number - items[items[before].next].number) > 0) before = items[before].next;
    item.next = items[before].next;
    items[before].next = at;
  }
  note_admitted(s, kControlLane, record.number);
  const SessionId handle = s.handle;
  while (find(handle) != nullptr && !s.held.empty() &&
         static_cast<std::int32_t>(items[s.held.head].number - s.lanes_in[kControlLane].admitted) <= 0) {
    const std::uint32_t ready = s.held.pop(items);
    s.lanes_in[kControlLane].delivered = items[ready].number;
    hand_up_control(s, ready);
  }
  return Drop::none;
}

// Segment credit and key phases are the endpoint's own affair; everything else is the engine's.
void Endpoint::State::hand_up_control(Session& s, std::uint32_t at) {
  const InItem item = items[at];
  if (item.topic >= PTL_C_WANT && item.topic <= PTL_C_ABANDON) {
    std::uint8_t body[32];
    const bool fits = item.length <= sizeof body;
    if (fits) bodies.copy(item.body, body, item.length);
    bodies.drop(item.body);
    items.give(at);
    if (!fits || !take_segment_control(s, item.topic, {body, item.length})) count(Drop::bad_control);
    return;
  }
  if (item.topic == PTL_C_KEY) {
    std::uint8_t body[8];
    const bool fits = item.length == sizeof body;
    if (fits) bodies.copy(item.body, body, item.length);
    bodies.drop(item.body);
    items.give(at);
    // A peer whose phases are not mine could not be understood much longer.
    if (!fits || !receive_key(s, body)) end_session(s, DownReason::local, true);
    return;
  }
  if (item.topic == PTL_C_BUSY && item.length >= 16) {
    std::uint8_t body[16];
    bodies.copy(item.body, body, sizeof body);
    message_refused(s, session::get<std::uint32_t>(body + 8), session::get<std::uint32_t>(body + 12));
  }
  if (item.topic == PTL_C_GONE && item.length == 12) {  // never comes: `admitted` may rise over it
    std::uint8_t body[12];
    bodies.copy(item.body, body, sizeof body);
    const auto lane = session::get<std::uint32_t>(body);
    const auto first = session::get<std::uint32_t>(body + 4);
    const auto last = session::get<std::uint32_t>(body + 8);
    // A sender has no more than this on its way; `admitted` rises here, and what is in range with it.
    std::uint32_t left = std::max<std::uint32_t>(limits.receive_messages, 64);
    for (std::uint32_t n = first;
         left != 0 && lane != kControlLane && lane < kLanes && ahead(last, n) >= 0 && in_range(s, lane, n);
         ++n, --left) {
      if (came_before(s, lane, n)) continue;
      ++counters.gone_messages;
      forget_partial(s, lane, n);
      note_admitted(s, lane, n);
    }
  }
  incoming.push(items, at);
  ++arrived;
}

// What the engine has taken over may be sent anew. When the store runs short, nothing more is promised.
std::uint64_t Endpoint::State::credit_offer(const Session& s) const {
  const Store::Usage usage = store->usage();
  const bool scarce = usage.blocks > limits.small_blocks - limits.small_blocks / 8 ||
                      usage.messages > limits.messages - limits.messages / 8;
  return scarce ? s.credit_given : std::max(s.credit_given, s.credit_taken + limits.credit_bytes);
}

void Endpoint::State::credit_freed(Session& s, std::uint32_t bytes) {
  s.credit_taken += bytes;
  // Tell before half of the credit is used up; otherwise the next ACK does.
  if (s.state == SessionState::up && s.credit_came + limits.credit_bytes / 2 > s.credit_given &&
      credit_offer(s) > s.credit_given) {
    ask_ack(s, s.rtt.ack_delay());
    reschedule(s);
  }
}

// An authenticated packet from another path proves nothing about who answers there: challenge it first.
// Until it answers it is sent no more bytes than came from it.
void Endpoint::State::path_seen(Session& s, PathId path, std::uint64_t packet, std::uint32_t bytes) {
  if (path == s.path || s.state != SessionState::up) return;
  if (s.probe_nonce != 0 && s.probe_path == path) {
    s.probe_room += bytes;
    if (s.probe_due_ns == kNever) s.probe_due_ns = std::max(now.mono_ns, s.probe_next_ns);
    return;
  }
  if (packet <= s.in.largest()) return;
  s.probe_room = bytes;
  s.probe_next_ns = now.mono_ns;
  s.probe_path = path;
  s.probe_nonce = random.next() | 1;
  s.probe_tries = 0;
  s.probe_due_ns = now.mono_ns;
}

// An unknown kind is a later version's: counted and ignored.
Drop Endpoint::State::receive_probe(Session& s, PathId path, const session::ProbeBody& body,
                                    std::uint32_t frame_bytes) {
  switch (body.kind) {
    case session::kProbePath:
      s.answer_probe = true;
      s.answer_path = path;
      s.answer_nonce = body.nonce;
      return Drop::none;
    case session::kProbePathAnswer:
      if (s.probe_nonce == 0 || body.nonce != s.probe_nonce || path != s.probe_path) return Drop::none;
      s.path = path;
      s.probe_nonce = 0;
      s.probe_due_ns = kNever;
      reset_path_mtu(s);  // may end it
      return Drop::none;
    case session::kProbeSize:
      if (frame_bytes != body.bytes || s.size_answer_count == std::size(s.size_answers)) return Drop::none;
      s.size_answers[s.size_answer_count++] = {body.bytes, body.nonce};
      return Drop::none;
    case session::kProbeSizeAnswer:
      s.mtu.answered(now.mono_ns, {body.bytes, body.nonce});
      if (s.mtu.size() != s.options.fragment_bytes) apply_path_mtu(s);
      return Drop::none;
    default:
      return Drop::unknown;
  }
}

}  // namespace portolan::broker
