// Long messages, sending: cut into segments when there is a ticket for each, sent as fragments, kept until GRANT's base
// passes the ticket (PROTOCOL.md "Segments and grants"). A segment's place in the session's row is its ticket's.
#include <algorithm>

#include "broker/crypto/crc32c.hpp"
#include "broker/crypto/seal.hpp"
#include "broker/session/state.hpp"

namespace portolan::broker {
namespace {

constexpr std::uint32_t kOverhead = PTL_RECORD_BYTES + PTL_TRAILER_BYTES;

std::uint32_t part_bytes(std::uint32_t length, std::uint32_t segment) {
  return std::min<std::uint32_t>(length - segment * PTL_SEGMENT_PAYLOAD, PTL_SEGMENT_PAYLOAD);
}
std::uint32_t class_of(std::uint32_t part) {
  return part + kOverhead <= PTL_SMALL_DATA ? PTL_SMALL : PTL_LARGE;
}

std::uint64_t place_bit(std::uint32_t place) {
  return 1ull << place;
}

struct SegmentControl {  // bodies of WANT, GRANT, NEED and ABANDON
  std::uint32_t slot_class = 0;
  std::uint32_t ticket = 0;  // WANT: last wanted; GRANT: base
  std::uint64_t bits = 0;    // GRANT: window; NEED: fragments
};
static_assert(sizeof(SegmentControl) == 16);

}  // namespace

bool Endpoint::State::take_segment_control(Session& s, std::uint32_t control, std::span<const std::uint8_t> bytes) {
  if (bytes.size() != sizeof(SegmentControl)) return false;
  const auto body = session::get<SegmentControl>(bytes.data());
  if (body.slot_class >= PTL_CLASSES) return false;
  switch (control) {
    case PTL_C_WANT:
      return receive_want(s, body.slot_class, body.ticket);
    case PTL_C_GRANT:
      return receive_grant(s, body.slot_class, body.ticket, static_cast<std::uint32_t>(body.bits));
    case PTL_C_NEED:
      return receive_need(s, body.slot_class, body.ticket, body.bits);
    case PTL_C_ABANDON:
      return body.bits == kAbandonByReceiver ? ticket_refused(s, body.slot_class, body.ticket)
                                             : receive_abandon(s, body.slot_class, body.ticket);
    default:
      return false;
  }
}

bool Endpoint::State::tell_segment(Session& s, std::uint32_t control, std::uint32_t slot_class, std::uint32_t ticket,
                                   std::uint64_t bits) {
  std::uint8_t bytes[sizeof(SegmentControl)];
  session::put(bytes, SegmentControl{slot_class, ticket, bits});
  return enqueue_control(s, control, bytes, true);
}

void Endpoint::State::enqueue_long(Session& s, std::uint32_t entry) {
  OutEntry& e = entries[entry];
  e.segments = (e.length + PTL_SEGMENT_PAYLOAD - 1) / PTL_SEGMENT_PAYLOAD & 0x3FFu;
  s.lanes_out[e.lane].lengthy.push(entries, entry);
  if (offer_segments(s)) note_growing(s);
}

// Segments that have come meanwhile (or all, of a message that is whole) may be cut, and credit for them asked for.
// True while there are more to come.
bool Endpoint::State::offer_segments(Session& s) {
  bool more = false;
  for (OutLane& l : s.lanes_out) {
    for (std::uint32_t i = l.lengthy.head; i != kNil; i = entries[i].next) {
      OutEntry& e = entries[i];
      if (e.here == e.segments) continue;
      const Message& message = store->at(e.message);
      const std::uint32_t here = message.coming == 0 ? e.segments : message.length / PTL_SEGMENT_PAYLOAD;
      for (; e.here < here; ++e.here) {
        const std::uint32_t part = part_bytes(e.length, e.here);
        ++s.classes_out[class_of(part)].queued;
        l.lengthy_bytes += part;
      }
      more = more || e.here != e.segments;
    }
  }
  tell_wants(s);
  return more;
}

// WANT names the last ticket that what is queued will need; said once for each rise, or again when credit went back.
void Endpoint::State::tell_wants(Session& s) {
  for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
    OutClass& oc = s.classes_out[c];
    const std::uint32_t wanted = oc.next_ticket - 1 + oc.queued;
    if (ahead(wanted, oc.granted_end) < 0 || wanted == oc.want_told) continue;
    if (tell_segment(s, PTL_C_WANT, c, wanted, 0)) oc.want_told = wanted;
  }
}

bool Endpoint::State::receive_grant(Session& s, std::uint32_t slot_class, std::uint32_t base, std::uint32_t window) {
  OutClass& oc = s.classes_out[slot_class];
  if (ahead(base, oc.base) < 0 || ahead(base, oc.next_ticket) > 0 || window > kGrantWindowMost) return false;
  for (; oc.base != base; ++oc.base) {
    const std::uint32_t at = oc.base & (limits.grants_per_class - 1);
    if (oc.row[at].ticket != oc.base) continue;
    if (oc.row[at].recut) {
      oc.row[at].ticket = 0;  // it stays, for another ticket
    } else {
      free_segment(s, slot_class * kRowMost + at);
    }
  }
  const std::uint32_t end = base + window;
  if (ahead(end, oc.granted_end) < 0) oc.want_told = 0;  // credit went back: say again what is wanted
  oc.granted_end = end;
  check_room(s);
  return true;
}

// Cuts the next segment of this lane that is here, if its class has a ticket and the ticket's place is free.
bool Endpoint::State::cut_next(Session& s, std::uint32_t lane) {
  OutLane& l = s.lanes_out[lane];
  std::uint32_t entry = l.lengthy.head, before = kNil;
  for (; entry != kNil && entries[entry].cut == entries[entry].here; entry = entries[entry].next) before = entry;
  if (entry == kNil) return false;
  OutEntry& e = entries[entry];
  const std::uint32_t part = part_bytes(e.length, e.cut);
  const std::uint32_t c = class_of(part);
  OutClass& oc = s.classes_out[c];
  const std::uint32_t at = oc.next_ticket & (limits.grants_per_class - 1);
  OutSegment& seg = oc.row[at];
  if (ahead(oc.next_ticket, oc.granted_end) >= 0 || seg.entry != kNil) return false;
  const std::uint32_t generation = seg.generation + 1;
  seg = OutSegment{};
  seg.generation = generation;
  seg.ticket = oc.next_ticket++;
  seg.entry = entry;
  seg.bytes = part + kOverhead;
  seg.index = e.cut;
  seg.lane = static_cast<std::uint8_t>(lane);
  seg.size = s.options.fragment_bytes;
  seg.fragments = ptl_fragments(seg.bytes, seg.size);
  seg.order = s.cut_order++;
  --oc.queued;
  l.lengthy_bytes -= part;

  seg.record.flags_length = session::record_flags_length(e.lane, e.length);
  if (e.counted) seg.record.flags_length |= session::kRecordCounted << 24;
  seg.record.topic = e.topic;
  seg.record.publisher = e.publisher;
  seg.record.number = e.number;
  seg.record.sequence = e.sequence;
  seg.record.epoch = e.epoch;
  seg.record.segment = e.cut;
  seg.record.last_segment = static_cast<std::uint16_t>(e.segments - 1);
  seg.phase = s.send_phase & 1;
  seg.piece = store->at(e.message).first_piece;
  seg.skip = e.cut * PTL_SEGMENT_PAYLOAD;
  for (; seg.piece != kNil && seg.skip >= store->piece(seg.piece).length; seg.piece = store->piece(seg.piece).next) {
    seg.skip -= store->piece(seg.piece).length;
  }

  if (++e.cut == e.segments) l.lengthy.remove(entries, entry, before);
  s.segments_live |= place_bit(c * kRowMost + at);
  s.segments_fresh |= place_bit(c * kRowMost + at);
  return true;
}

// The receiver gave this ticket up: the segment stays, and is cut under a new one as soon as there is credit.
bool Endpoint::State::ticket_refused(Session& s, std::uint32_t c, std::uint32_t ticket) {
  OutClass& oc = s.classes_out[c];
  const std::uint32_t at = ticket & (limits.grants_per_class - 1);
  OutSegment& seg = oc.row[at];
  if (ticket == 0 || ahead(ticket, oc.next_ticket) >= 0) return false;
  if (seg.ticket != ticket || seg.recut || entries[seg.entry].withdrawn) return true;  // over, or told before
  const std::uint32_t place = c * kRowMost + at;
  seg.recut = true;
  seg.resend = 0;
  s.segments_fresh &= ~place_bit(place);
  s.segments_resend &= ~place_bit(place);
  ++oc.recuts;
  ++oc.queued;
  s.lanes_out[seg.lane].lengthy_bytes += seg.bytes - kOverhead;
  tell_wants(s);
  return true;
}

// Cuts the oldest of those segments anew, with the fragment size of today. When the new ticket's place is held by one
// of them it is that one's turn, else nobody could ever leave.
bool Endpoint::State::cut_again(Session& s, std::uint32_t c) {
  OutClass& oc = s.classes_out[c];
  if (oc.recuts == 0 || ahead(oc.next_ticket, oc.granted_end) >= 0) return false;
  const std::uint32_t to = oc.next_ticket & (limits.grants_per_class - 1);
  if (oc.row[to].entry != kNil && !oc.row[to].recut) return false;
  std::uint32_t from = oc.row[to].recut ? to : kNil;
  for (std::uint32_t i = 0; from != to && i < limits.grants_per_class; ++i) {
    if (oc.row[i].recut && (from == kNil || ahead(oc.row[i].order, oc.row[from].order) < 0)) from = i;
  }
  OutSegment seg = oc.row[from];
  const std::uint32_t generation = oc.row[to].generation + 1;
  oc.row[from].ticket = 0;
  oc.row[from].entry = kNil;
  oc.row[from].recut = false;
  ++oc.row[from].generation;
  s.segments_live &= ~place_bit(c * kRowMost + from);
  seg.recut = false;
  seg.acked = seg.resend = seg.doubted = 0;
  seg.fresh = 0;
  seg.generation = generation;
  seg.ticket = oc.next_ticket++;
  seg.phase = s.send_phase & 1;
  seg.trailed = seg.trailed && !s.sealed;  // a plain trailer is the same in each cut
  seg.size = s.options.fragment_bytes;
  seg.fragments = ptl_fragments(seg.bytes, seg.size);
  oc.row[to] = seg;
  s.segments_live |= place_bit(c * kRowMost + to);
  s.segments_fresh |= place_bit(c * kRowMost + to);
  --oc.recuts;
  --oc.queued;
  s.lanes_out[seg.lane].lengthy_bytes -= seg.bytes - kOverhead;
  ++counters.segments_recut;
  return true;
}

bool Endpoint::State::fragment_waits(Session& s) {
  // Asked several times for each datagram, and most sessions have no long message.
  if (s.classes_out[PTL_SMALL].queued + s.classes_out[PTL_LARGE].queued == 0) return s.segments_fresh != 0;
  for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
    while (cut_again(s, c)) {
    }
  }
  // Bulk is cut only when nothing else is: its tickets must not stand before those of the other lanes.
  bool lanes[kLanes] = {};
  for (std::uint64_t bits = s.segments_fresh; bits != 0; bits &= bits - 1) {
    lanes[segment_at(s, static_cast<std::uint32_t>(std::countr_zero(bits))).lane] = true;
  }
  for (std::uint32_t lane = 1; lane < kLanes; ++lane) {
    if (!lanes[lane]) lanes[lane] = cut_next(s, lane);
  }
  return s.segments_fresh != 0;
}

// Segments with fragments to send again; not those whose ticket was taken back meanwhile.
std::uint64_t Endpoint::State::resendable(Session& s) const {
  std::uint64_t usable = 0;
  for (std::uint64_t bits = s.segments_resend; bits != 0; bits &= bits - 1) {
    const auto place = static_cast<std::uint32_t>(std::countr_zero(bits));
    const OutClass& oc = s.classes_out[place / kRowMost];
    if (ahead(oc.row[place % kRowMost].ticket, oc.granted_end) < 0) usable |= place_bit(place);
  }
  return usable;
}

void Endpoint::State::write_segment(const OutSegment& seg, std::uint32_t from, std::uint32_t bytes, std::uint8_t* out) {
  const std::uint32_t end = from + bytes;
  const std::uint32_t body_end = seg.bytes - PTL_TRAILER_BYTES;
  if (from < PTL_RECORD_BYTES) {
    std::uint8_t record[PTL_RECORD_BYTES];
    session::put(record, seg.record);
    const std::uint32_t stop = std::min<std::uint32_t>(end, PTL_RECORD_BYTES);
    out = std::copy(record + from, record + stop, out);
    from = stop;
  }
  if (from < end && from < body_end) {
    std::uint32_t skip = seg.skip + from - PTL_RECORD_BYTES;
    std::uint32_t left = std::min(end, body_end) - from;
    from += left;
    for (std::uint32_t p = seg.piece; p != kNil && left != 0;) {
      const Piece& piece = store->piece(p);
      p = piece.next;
      if (skip >= piece.length) {
        skip -= piece.length;
        continue;
      }
      const auto use = store->bytes_of(piece).subspan(skip, std::min(left, piece.length - skip));
      out = std::copy(use.begin(), use.end(), out);
      left -= static_cast<std::uint32_t>(use.size());
      skip = 0;
    }
  }
  if (from < end) std::copy(seg.trailer + (from - body_end), seg.trailer + (end - body_end), out);
}

std::uint32_t Endpoint::State::crc_of(const OutSegment& seg) const {
  std::uint32_t crc = crc32c({reinterpret_cast<const std::uint8_t*>(&seg.record), sizeof seg.record});
  std::uint32_t skip = seg.skip;
  std::uint32_t left = seg.bytes - kOverhead;
  for (std::uint32_t p = seg.piece; p != kNil && left != 0; p = store->piece(p).next) {
    const std::span<const std::uint8_t> bytes = store->bytes_of(store->piece(p));
    const auto use = bytes.subspan(skip, std::min<std::size_t>(left, bytes.size() - skip));
    crc = crc32c(use, crc);
    left -= static_cast<std::uint32_t>(use.size());
    skip = 0;
  }
  return crc;
}

// The bytes of one fragment as they leave. A cut's trailer is made once, with its first fragment; sealed bytes are
// fixed by key, class and ticket, so any fragment is made again by seeking the cipher, and only plaintext is kept.
void Endpoint::State::write_fragment(Session& s, std::uint32_t place, std::uint32_t from, std::uint32_t bytes,
                                     std::uint8_t* out) {
  OutSegment& seg = segment_at(s, place);
  const std::uint32_t body_end = seg.bytes - PTL_TRAILER_BYTES;
  if (!s.sealed) {
    if (!seg.trailed) session::put(seg.trailer, crc_of(seg));
    seg.trailed = true;
    return write_segment(seg, from, bytes, out);
  }
  const Key32& key = s.keys_out.of(seg.phase).segment;
  const SealNonce nonce = segment_nonce(place / kRowMost, seg.ticket);
  if (!seg.trailed) {
    write_segment(seg, 0, body_end, sealed_segment);
    seal_in_place(key, nonce, {}, {sealed_segment, body_end}, seg.trailer);
    seg.trailed = true;
    sealed_session = s.handle;
    sealed_place = place;
    sealed_generation = seg.generation;
  }
  const std::uint32_t body = from < body_end ? std::min(bytes, body_end - from) : 0;
  if (sealed_session == s.handle && sealed_place == place && sealed_generation == seg.generation) {
    std::copy_n(sealed_segment + from, body, out);
  } else {
    write_segment(seg, from, body, out);
    seal_part(key, nonce, from, {out, body});
  }
  write_segment(seg, from + body, bytes - body, out + body);
}

bool Endpoint::State::build_fragment(Session& s, std::uint32_t buffer, bool repair, Transmit& out) {
  // The oldest cut first; bulk behind the others, but for its tenth.
  std::uint32_t best = kNil;
  bool bulk_waits = false;
  for (std::uint64_t bits = repair ? resendable(s) : s.segments_fresh; bits != 0; bits &= bits - 1) {
    const auto place = static_cast<std::uint32_t>(std::countr_zero(bits));
    const OutSegment& seg = segment_at(s, place);
    bulk_waits = bulk_waits || seg.lane == PTL_LANE_BULK;
    if (best == kNil) {
      best = place;
      continue;
    }
    const OutSegment& other = segment_at(s, best);
    const bool bulk = seg.lane == PTL_LANE_BULK;
    const bool other_bulk = other.lane == PTL_LANE_BULK;
    if (bulk != other_bulk ? bulk == bulk_turn(s) : ahead(seg.order, other.order) < 0) best = place;
  }
  if (best == kNil) return false;
  OutSegment& seg = segment_at(s, best);
  const std::uint32_t size = seg.size;
  std::uint32_t index = 0;
  if (repair) {
    index = static_cast<std::uint32_t>(std::countr_zero(seg.resend));
    seg.resend &= seg.resend - 1;
    if (seg.resend == 0) s.segments_resend &= ~place_bit(best);
  } else {
    index = seg.fresh++;
    if (seg.fresh == seg.fragments) s.segments_fresh &= ~place_bit(best);
  }
  const std::uint32_t bytes = std::min(size, seg.bytes - index * size);
  if (repair) count_repair(entries[seg.entry], bytes);
  std::uint8_t* payload = buffer_at(buffer) + PTL_FRAME_BYTES;
  write_fragment(s, best, index * size, bytes, payload);
  ptl_frame frame{};
  frame.version_type = PTL_DATA;
  frame.flags = static_cast<std::uint8_t>(std::uint32_t{seg.lane} << PTL_F_LANE_SHIFT |
                                          (best >= kRowMost ? PTL_F_CLASS_LARGE : 0) | (repair ? PTL_F_RETRANSMIT : 0) |
                                          phase_flag(seg.phase));
  frame.fragment_unit = static_cast<std::uint8_t>(size / PTL_FRAGMENT_UNIT);
  frame.fragment_index = static_cast<std::uint8_t>(index);
  frame.ticket = seg.ticket;
  frame.bytes = seg.bytes;
  frame.crc = crc32c({payload, bytes});
  SentPacket packet;
  packet.content = best;
  packet.generation = seg.generation;
  packet.fragment = static_cast<std::uint8_t>(index);
  const std::uint64_t key = store->at(entries[seg.entry].message).key;
  if (key != 0) out.keys[out.key_count++] = key;
  finish(s, out, buffer, bytes, frame, session::SentKind::fragment, packet);
  note_data_sent(s);
  if (!repair) {
    if (seg.lane == PTL_LANE_BULK) {
      s.bulk_owed -= std::min<std::uint64_t>(s.bulk_owed, bytes);
    } else if (bulk_waits || !s.lanes_out[PTL_LANE_BULK].lengthy.empty() || !s.lanes_out[PTL_LANE_BULK].fresh.empty()) {
      s.bulk_owed = std::min<std::uint64_t>(s.bulk_owed + bytes / 9, 65'536);
    }
  }
  return true;
}

void Endpoint::State::fragment_acknowledged(Session& s, const SentPacket& packet, std::uint64_t number) {
  OutSegment& seg = segment_at(s, packet.content);
  if (seg.ticket == 0 || seg.recut || seg.generation != packet.generation) return;
  if ((seg.doubted >> packet.fragment & 1) != 0 && number < seg.doubted_below) return;
  seg.acked |= 1ull << packet.fragment;
  seg.resend &= ~seg.acked;
  if (seg.resend == 0) s.segments_resend &= ~place_bit(packet.content);
}

void Endpoint::State::fragment_lost(Session& s, const SentPacket& packet) {
  OutSegment& seg = segment_at(s, packet.content);
  if (seg.ticket == 0 || seg.recut || seg.generation != packet.generation || entries[seg.entry].withdrawn) return;
  if ((seg.acked >> packet.fragment & 1) != 0) return;
  seg.resend |= 1ull << packet.fragment;
  s.segments_resend |= place_bit(packet.content);
}

// The receiver found fragments with a wrong CRC in a whole segment: it has them no longer. What is not held here either
// is said to be gone, or it would wait for ever.
bool Endpoint::State::receive_need(Session& s, std::uint32_t slot_class, std::uint32_t ticket, std::uint64_t bits) {
  const std::uint32_t at = ticket & (limits.grants_per_class - 1);
  OutSegment& seg = s.classes_out[slot_class].row[at];
  if (seg.ticket != ticket || ticket == 0 || entries[seg.entry].withdrawn) {
    ++counters.gone_told;
    return tell_segment(s, PTL_C_ABANDON, slot_class, ticket, kAbandonBySender);
  }
  if (seg.recut) return true;
  bits &= seg.fresh >= 64 ? ~0ull : (1ull << seg.fresh) - 1;
  seg.acked &= ~bits;
  seg.resend |= bits;
  seg.doubted |= bits;
  seg.doubted_below = s.out.next();
  if (seg.resend != 0) s.segments_resend |= place_bit(slot_class * kRowMost + at);
  return true;
}

bool Endpoint::State::tell_gone(Session& s, std::uint32_t lane, std::uint32_t number) {
  std::uint8_t body[12];
  session::put(body, lane);
  session::put(body + 4, number);
  session::put(body + 8, number);
  ++counters.gone_told;
  return enqueue_control(s, PTL_C_GONE, body, true);
}

// BUSY for a long message: what is not cut never will be, and what is open at the peer is given up. The same when what
// is sent while it comes will never be whole.
void Endpoint::State::message_refused(Session& s, std::uint32_t lane, std::uint32_t number) {
  if (lane == kControlLane || lane >= kLanes) return;
  for (std::uint32_t i = s.lanes_out[lane].lengthy.head; i != kNil; i = entries[i].next) {
    if (entries[i].number == number && entries[i].cut == 0) return;  // the peer cannot know of it
  }
  withdraw(s, lane, number);
}

void Endpoint::State::withdraw(Session& s, std::uint32_t lane, std::uint32_t number) {
  bool curtailed = false;  // some of it was never cut
  OutLane& l = s.lanes_out[lane];
  std::uint32_t entry = l.lengthy.head, before = kNil;
  for (; entry != kNil && entries[entry].number != number; entry = entries[entry].next) before = entry;
  if (entry != kNil) {
    l.lengthy.remove(entries, entry, before);
    OutEntry& e = entries[entry];
    for (std::uint32_t i = e.cut; i < e.here; ++i) {
      const std::uint32_t part = part_bytes(e.length, i);
      --s.classes_out[class_of(part)].queued;
      l.lengthy_bytes -= part;
    }
    e.segments = e.here = e.cut;
    curtailed = true;
  }
  std::uint64_t passed = 0;  // whose tickets are over: nothing more will free them
  bool whole = true;         // as far as it was cut, the peer has it
  bool told = true;
  for (std::uint64_t bits = s.segments_live; bits != 0; bits &= bits - 1) {
    const auto place = static_cast<std::uint32_t>(std::countr_zero(bits));
    OutSegment& seg = segment_at(s, place);
    const OutEntry& e = entries[seg.entry];
    if (e.lane != lane || e.number != number) continue;
    entry = seg.entry;
    whole = false;
    seg.resend = 0;
    seg.fresh = seg.fragments;
    s.segments_fresh &= ~place_bit(place);
    s.segments_resend &= ~place_bit(place);
    if (seg.recut) {
      seg.recut = false;
      OutClass& oc = s.classes_out[place / kRowMost];
      --oc.recuts;
      --oc.queued;
      l.lengthy_bytes -= seg.bytes - kOverhead;
      if (seg.ticket == 0) passed |= place_bit(place);
    } else {
      told = told && tell_segment(s, PTL_C_ABANDON, place / kRowMost, seg.ticket, kAbandonBySender);
    }
  }
  if (entry == kNil) return;
  OutEntry& e = entries[entry];
  whole = whole && e.done == e.segments && !curtailed;
  e.withdrawn = true;
  if (!whole) told = told && tell_gone(s, lane, number);
  if (e.done == e.segments) {
    release_entry(s, entry);  // it is in no list any more
  } else if (told) {
    for (; passed != 0; passed &= passed - 1) free_segment(s, static_cast<std::uint32_t>(std::countr_zero(passed)));
  }
  if (!told) end_session(s, DownReason::local, true);
}

void Endpoint::State::free_segment(Session& s, std::uint32_t place) {
  OutSegment& seg = segment_at(s, place);
  const std::uint32_t entry = seg.entry;
  seg.ticket = 0;
  seg.entry = kNil;
  s.segments_live &= ~place_bit(place);
  s.segments_fresh &= ~place_bit(place);
  s.segments_resend &= ~place_bit(place);
  if (++entries[entry].done == entries[entry].segments) release_entry(s, entry);
}

void Endpoint::State::drop_out_segments(Session& s) {
  while (s.segments_live != 0) free_segment(s, static_cast<std::uint32_t>(std::countr_zero(s.segments_live)));
  for (OutLane& lane : s.lanes_out) {  // which takes it out of the list of those that grow
    while (!lane.lengthy.empty()) release_entry(s, lane.lengthy.pop(entries));
  }
}

}  // namespace portolan::broker
