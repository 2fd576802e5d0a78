// Long messages, receiving: fragments put into slots by the layout's accept(), whole segments checked and joined. Slots
// are read where they lie; when they run short, segments are copied into blocks. What there is no memory for waits in
// its slot: no ticket is passed, so the sender waits too. The engine may be told of a message at its first segment:
// segments_early.cpp.
#include <algorithm>

#include "broker/crypto/crc32c.hpp"
#include "broker/crypto/seal.hpp"
#include "broker/session/state.hpp"

namespace portolan::broker {
namespace {

constexpr std::uint64_t kRetry = 2 * kMillisecond;  // whole segments that wait for memory

// Of one message: memory was set aside, and others were told, by what the first of its segments said.
bool contradict(const ptl_record& a, const ptl_record& b) {
  return a.flags_length != b.flags_length || a.last_segment != b.last_segment || a.topic != b.topic ||
         a.publisher != b.publisher || a.sequence != b.sequence || a.epoch != b.epoch;
}

}  // namespace

Drop Endpoint::State::receive_fragment(Session& s, const ptl_frame& frame, std::span<const std::uint8_t> payload) {
  ptl_fragment fragment;
  const auto bytes = static_cast<std::uint32_t>(payload.size());
  if (ptl_fragment_of(&frame, PTL_FRAME_BYTES + bytes, &fragment) == 0) return Drop::bad_length;
  InClass& ic = s.classes_in[fragment.slot_class];
  const std::uint32_t row = limits.grants_per_class;
  const std::uint32_t offset = fragment.ticket - ic.base;
  if (ahead(fragment.ticket, ic.base) < 0 || (offset < row && (ic.done >> offset & 1) != 0)) {
    consume(s, frame, false);
    if ((frame.flags & PTL_F_RETRANSMIT) != 0) ++counters.spurious_repairs;
    return Drop::duplicate_message;
  }
  std::uint32_t slot = 0;
  std::uint32_t opening = 0;
  const std::uint32_t at = fragment.ticket & (row - 1);
  if (ptl_grant_of(&ic.row[at], fragment.ticket, &slot, &opening) == 0) return Drop::no_grant;
  ptl_slot* into = store->slot(kind_of(fragment.slot_class), slot);
  // The default copy reads through a pointer that is not const; it writes nothing there.
  void* from = const_cast<std::uint8_t*>(payload.data());
  const ptl_accept_result result = fragment.slot_class == PTL_LARGE
                                       ? ptl_accept(into, opening, PTL_LARGE_DATA, &fragment, now.mono_ns, from, 0)
                                       : ptl_accept(into, opening, PTL_SMALL_DATA, &fragment, now.mono_ns, from, 0);
  switch (result) {
    case PTL_A_TAKEN:
    case PTL_A_COMPLETED:
    case PTL_A_PRESENT:
      break;
    case PTL_A_LIE:
      return Drop::lie;
    case PTL_A_BAD_LENGTH:
      return Drop::bad_length;
    case PTL_A_BUSY:
      return Drop::slots_full;
    default:
      return Drop::no_grant;
  }
  consume(s, frame, false);
  InSegment& segment = ic.segments[at];
  segment.used = true;
  segment.repaired = segment.repaired || (frame.flags & PTL_F_RETRANSMIT) != 0;
  ic.last_used_ns = now.mono_ns;
  ic.sent = true;
  segment_bytes_came(s, bytes);
  if (ahead(fragment.ticket + 1, ic.next_unused) > 0) {
    ic.next_unused = fragment.ticket + 1;
    queue_want(s, fragment.slot_class);
  }
  if (result == PTL_A_PRESENT && (frame.flags & PTL_F_RETRANSMIT) != 0) ++counters.spurious_repairs;
  return result == PTL_A_COMPLETED ? segment_whole(s, fragment.slot_class, fragment.ticket) : Drop::none;
}

// READY: this thread alone owns the slot. Each fragment's CRC was given by its header; the trailer is the CRC of them
// all, or their authenticator: then they are opened where they lie.
Drop Endpoint::State::segment_whole(Session& s, std::uint32_t c, std::uint32_t ticket) {
  InClass& ic = s.classes_in[c];
  ptl_slot* slot = store->slot(kind_of(c), ic.segments[ticket & (limits.grants_per_class - 1)].slot);
  const std::uint64_t shape = PTL_LOAD(&slot->shape);
  const std::uint32_t bytes = ptl_shape_bytes(shape);
  const std::uint32_t size = ptl_shape_size(shape);
  std::uint8_t* data = ptl_data(slot);
  std::uint64_t bad = 0;
  for (std::uint32_t i = 0; i < ptl_fragments(bytes, size); ++i) {
    const std::uint32_t from = i * size;
    if (crc32c({data + from, std::min(size, bytes - from)}) != slot->crc[i]) bad |= 1ull << i;
  }
  if (bad != 0) {
    ptl_discard_fragments(slot, ptl_high(PTL_LOAD(&slot->gate)), bad);
    if (!tell_segment(s, PTL_C_NEED, c, ticket, bad)) end_session(s, DownReason::local, true);
    return Drop::bad_crc;
  }
  const std::uint32_t body = bytes - PTL_TRAILER_BYTES;
  // A phase whose keys are gone: none of its fragments can have passed, but for a peer that forgets what it has open.
  const std::uint32_t phase = ptl_shape_phase(shape);
  const bool sound = !s.sealed
                         ? session::get<session::Trailer>(data + body) == session::plain_trailer({data, body})
                         : s.keys_in.known[phase] && open_sealed(s.keys_in.of(phase).segment, segment_nonce(c, ticket),
                                                                 {}, {data, body}, data + body, data);
  const auto record = session::get<ptl_record>(data);
  const std::uint32_t lane = session::record_flags(record) & session::kRecordLaneMask;
  const std::uint32_t length = session::record_length(record);
  const std::uint64_t first = std::uint64_t{record.segment} * PTL_SEGMENT_PAYLOAD;
  const bool sensible = lane != kControlLane && length != 0 && length <= limits.message_bytes_max && first < length &&
                        record.last_segment == (length - 1) / PTL_SEGMENT_PAYLOAD &&
                        body - PTL_RECORD_BYTES == std::min<std::uint64_t>(length - first, PTL_SEGMENT_PAYLOAD) &&
                        (came_before(s, lane, record.number) || in_range(s, lane, record.number));
  if (!sound) {  // the fragments are as their headers say, and yet not what was sealed: it shall be cut anew
    const bool told = tell_segment(s, PTL_C_ABANDON, c, ticket, kAbandonByReceiver);
    ticket_done(s, c, ticket, true);
    if (!told) {
      end_session(s, DownReason::local, true);
    } else {
      note_tampered(s);
    }
    return Drop::bad_trailer;
  }
  if (!sensible) {  // the peer itself says what cannot be
    end_session(s, DownReason::local, true);
    return Drop::bad_length;
  }
  if (came_before(s, lane, record.number)) {
    ticket_done(s, c, ticket, true);
    return Drop::duplicate_message;
  }
  if (!take_segment(s, c, ticket)) {
    ic.ready |= 1u << (ticket - ic.base);
    ++waiting_segments;
  }
  return s.state == SessionState::up ? Drop::none : Drop::bad_length;
}

// False: there is no memory now. One that contradicts those before it ends the session.
bool Endpoint::State::take_segment(Session& s, std::uint32_t c, std::uint32_t ticket) {
  const InSegment segment = s.classes_in[c].segments[ticket & (limits.grants_per_class - 1)];
  ptl_slot* slot = store->slot(kind_of(c), segment.slot);
  const auto record = session::get<ptl_record>(ptl_data(slot));
  const std::uint32_t part = ptl_shape_bytes(PTL_LOAD(&slot->shape)) - PTL_RECORD_BYTES - PTL_TRAILER_BYTES;
  if (items.free() == 0) return false;
  std::uint32_t index = 0;
  InMessage* m = partial_of(s, record, c, index);
  if (m == nullptr) {
    ask_for_memory(s, record);
    return false;
  }
  if (contradict(m->record, record)) {
    end_session(s, DownReason::local, true);
    return true;
  }
  std::uint32_t* row = partial_slots + std::size_t{index} * partial_row;
  m->repaired = m->repaired || segment.repaired;
  if (record.segment < m->appended || row[record.segment] != kNil) {  // twice, under two tickets
    ticket_done(s, c, ticket, true);
    return true;
  }
  if (!m->copied && m->reserved_slots[c] != 0) {
    --m->reserved_slots[c];
    store->unreserve_slots(kind_of(c), 1);
  }
  if (record.segment != m->appended) {
    row[record.segment] = c << 31 | segment.slot;
    ticket_done(s, c, ticket, false);
    return true;
  }
  if (!append_segment(*m, c, segment.slot, part)) return false;
  ticket_done(s, c, ticket, false);
  while (m->appended < m->segments && row[m->appended] != kNil) {
    const std::uint32_t held = row[m->appended];
    const std::uint32_t last = m->length - m->appended * PTL_SEGMENT_PAYLOAD;
    if (!append_segment(*m, held >> 31, held & 0x7FFFFFFFu, std::min<std::uint32_t>(last, PTL_SEGMENT_PAYLOAD))) break;
    row[m->appended - 1] = kNil;
  }
  if (m->appended == m->segments) {
    finish_partial(s, index);
  } else {
    give_early(s, *m);
  }
  return true;
}

// Whether a message of this length may have slots, and how many of each class; of `c` one is there already.
bool Endpoint::State::slots_for(std::uint32_t length, std::uint32_t c, std::uint32_t* slots) const {
  for (std::uint32_t at = 0; at < length; at += PTL_SEGMENT_PAYLOAD) {
    const std::uint32_t part = std::min<std::uint32_t>(length - at, PTL_SEGMENT_PAYLOAD);
    ++slots[part + PTL_RECORD_BYTES + PTL_TRAILER_BYTES <= PTL_SMALL_DATA ? PTL_SMALL : PTL_LARGE];
  }
  if (c < PTL_CLASSES) --slots[c];
  bool in_slots = true;
  const std::uint32_t totals[PTL_CLASSES] = {limits.small_slots, limits.large_slots};
  for (std::uint32_t k = 0; k < PTL_CLASSES; ++k) {
    if (k != c && slots[k] == 0) continue;
    // A quarter stays for others' reassembly, of a small pool (but not of two or three) passage() and one more: what is
    // retained must not stop what comes in.
    const std::uint32_t others = totals[k] < 4 ? 0 : std::max(totals[k] / 4, passage(k) + 1);
    in_slots = in_slots && free_slots(k) >= store->reserved_slots(kind_of(k)) + slots[k] + others;
  }
  return in_slots;
}

// The message that a segment belongs to; at its first segment memory for all of it is set aside, or nothing is begun.
InMessage* Endpoint::State::partial_of(Session& s, const ptl_record& record, std::uint32_t c, std::uint32_t& index) {
  for (index = s.partial.head; index != kNil; index = partials[index].next) {
    if (partials[index].record.number == record.number && record_lane(partials[index].record) == record_lane(record)) {
      return &partials[index];
    }
  }
  const std::uint32_t length = session::record_length(record);
  const std::uint32_t segments = record.last_segment + 1u;
  std::uint32_t slots[PTL_CLASSES] = {};
  const bool in_slots = slots_for(length, c, slots);  // besides the one that is here
  const std::uint32_t blocks = length / limits.small_block_bytes + 1;
  if (partials.free() == 0) return nullptr;
  const MessageId message = store->create();
  if (message == kNil) return nullptr;
  if (!in_slots && !store->reserve_blocks(blocks)) {
    store->release(message);
    return nullptr;
  }
  store->at(message).coming = length;
  index = partials.take();
  InMessage& m = partials[index];
  m.message = message;
  m.record = record;
  m.length = length;
  m.segments = segments;
  m.copied = !in_slots;
  if (in_slots) {
    ++slots[c];  // take_segment takes each from the reservation, the one that is here too
    for (std::uint32_t k = 0; k < PTL_CLASSES; ++k) {
      m.reserved_slots[k] = slots[k];
      store->reserve_slots(kind_of(k), slots[k]);
    }
  } else {
    m.reserved_blocks = blocks;
  }
  if (s.starved_number == record.number && s.starved_lane == record_lane(record)) s.starved_since_ns = 0;
  std::fill_n(partial_slots + std::size_t{index} * partial_row, segments, kNil);
  s.partial.push(partials, index);
  for (std::uint32_t k = 0; k < PTL_CLASSES; ++k) queue_want(s, k);  // it is served before those that have not begun
  return &m;
}

bool Endpoint::State::append_segment(InMessage& m, std::uint32_t c, std::uint32_t slot, std::uint32_t bytes) {
  if (!m.copied) {
    if (!store->append_slot(m.message, kind_of(c), slot, PTL_RECORD_BYTES, bytes)) return false;
  } else {
    const std::uint8_t* data = ptl_data(store->slot(kind_of(c), slot));
    if (!store->append_reserved(m.message, {data + PTL_RECORD_BYTES, bytes}, m.reserved_blocks)) return false;
    store->give_slot(kind_of(c), slot);
  }
  ++m.appended;
  return true;
}

void Endpoint::State::unlink_partial(Session& s, std::uint32_t index) {
  Queue rest;
  while (!s.partial.empty()) {
    const std::uint32_t i = s.partial.pop(partials);
    if (i != index) rest.push(partials, i);
  }
  s.partial = rest;
  const InMessage& m = partials[index];
  for (std::uint32_t k = 0; k < PTL_CLASSES; ++k) store->unreserve_slots(kind_of(k), m.reserved_slots[k]);
  store->unreserve_blocks(m.reserved_blocks);
  partials.give(index);
}

void Endpoint::State::finish_partial(Session& s, std::uint32_t index) {
  const InMessage m = partials[index];
  unlink_partial(s, index);
  store->at(m.message).coming = 0;
  if (m.given) message_grew();
  const std::uint32_t at = items.take();  // take_segment saw that there is one
  InItem& item = items[at];
  item.handle = s.handle;
  item.message = m.message;
  item.length = m.length;
  item.topic = m.record.topic;
  item.publisher = m.record.publisher;
  item.number = m.record.number;
  item.sequence = m.record.sequence;
  item.epoch = m.record.epoch;
  item.lane = static_cast<std::uint8_t>(record_lane(m.record));
  item.repaired = m.repaired;
  const std::uint32_t credit = m.length + PTL_RECORD_BYTES;
  if ((session::record_flags(m.record) & session::kRecordCounted) != 0 && s.credit_came + credit <= s.credit_given) {
    item.credit = credit;
    s.credit_came += credit;
    credit_high = std::max(credit_high, s.credit_came - s.credit_taken);
  }
  incoming.push(items, at);
  ++arrived;
  note_admitted(s, item.lane, item.number);
  ask_ack(s, 0);
}

void Endpoint::State::drop_partial(Session& s, std::uint32_t index) {
  const InMessage m = partials[index];
  const std::uint32_t* row = partial_slots + std::size_t{index} * partial_row;
  for (std::uint32_t i = m.appended; i < m.segments; ++i) {
    if (row[i] != kNil) store->give_slot(kind_of(row[i] >> 31), row[i] & 0x7FFFFFFFu);
  }
  unlink_partial(s, index);
  store->at(m.message).broken = true;
  if (m.given) message_broke(m.message);
  store->release(m.message);
}

// The peer withdrew the message: what came of it goes back.
void Endpoint::State::forget_partial(Session& s, std::uint32_t lane, std::uint32_t number) {
  for (std::uint32_t i = s.partial.head; i != kNil; i = partials[i].next) {
    if (partials[i].record.number != number || record_lane(partials[i].record) != lane) continue;
    drop_partial(s, i);
    return;
  }
}

// Slots that became whole without a datagram through here.
void Endpoint::State::scan_gates(Session& s) {
  const SessionId handle = s.handle;
  for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
    InClass& ic = s.classes_in[c];
    for (std::uint32_t ticket = ic.base; find(handle) != nullptr && ticket != ic.granted_end; ++ticket) {
      if (ahead(ticket, ic.base) < 0) continue;  // the base has moved over it
      const std::uint32_t bit = 1u << (ticket - ic.base);
      InSegment& segment = ic.segments[ticket & (limits.grants_per_class - 1)];
      if (((ic.done | ic.ready) & bit) != 0 || segment.slot == kNil) continue;
      if (ptl_ready(store->slot(kind_of(c), segment.slot)) == 0) continue;
      segment.used = true;
      ic.last_used_ns = now.mono_ns;
      ic.sent = true;
      if (ahead(ticket + 1, ic.next_unused) > 0) ic.next_unused = ticket + 1;
      segment_bytes_came(s, ptl_shape_bytes(PTL_LOAD(&store->slot(kind_of(c), segment.slot)->shape)));
      const Drop drop = segment_whole(s, c, ticket);
      if (drop != Drop::none) count(drop);
    }
  }
}

// Of sessions whose doorbell was rung once: it may come late or never.
void Endpoint::State::scan_all_gates() {
  gates_due_ns = kNever;
  for (std::uint32_t i = 0; i < limits.sessions; ++i) {
    Session& s = sessions[i];
    if (s.state != SessionState::up || !s.doorbells) continue;
    scan_gates(s);
    gates_open(s);
    reschedule(s);
  }
  serve_wants();
}

void Endpoint::State::gates_open(const Session& s) {
  const auto open = [](const InClass& ic) { return ic.granted_end != ic.base; };
  if (s.state != SessionState::up || !s.doorbells || std::none_of(s.classes_in, s.classes_in + PTL_CLASSES, open))
    return;
  gates_due_ns = std::min(gates_due_ns, now.mono_ns + std::min(s.rtt.smoothed() / 4, kMillisecond));
}

void Endpoint::State::retry_segments(Session& s) {
  for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
    InClass& ic = s.classes_in[c];
    for (std::uint32_t i = 0; i < limits.grants_per_class && ic.ready != 0; ++i) {
      const std::uint32_t ticket = ic.base + i;
      if ((ic.ready >> i & 1) == 0) continue;
      ic.ready &= ~(1u << i);
      if (take_segment(s, c, ticket)) {
        --waiting_segments;
        if (s.state != SessionState::up) return;
        i = kNil;  // the base may have moved: from the start
      } else {
        ic.ready |= 1u << i;
      }
    }
  }
  s.segments_retry_ns = now.mono_ns + kRetry;
}

void Endpoint::State::drop_in_segments(Session& s) {
  while (!s.partial.empty()) drop_partial(s, s.partial.head);
  for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
    InClass& ic = s.classes_in[c];
    waiting_segments -= static_cast<std::uint32_t>(std::popcount(ic.ready));
    ic.ready = 0;
    for (std::uint32_t i = 0; i < limits.grants_per_class; ++i) {
      if (ic.segments[i].slot == kNil) continue;
      ptl_grant_clear(&ic.row[i]);
      store->give_slot(kind_of(c), ic.segments[i].slot);
      ic.segments[i] = {};
    }
  }
}

}  // namespace portolan::broker
