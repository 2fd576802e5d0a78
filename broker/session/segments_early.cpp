// Long messages that go on before they are whole (cut-through). The receiving side tells the engine of a message at its
// first segment, when memory for all of it has been set aside; the engine may send it at once to whomever it is for. A
// message's pieces grow in the store, where every session that sends it finds them: a segment that is whole here can be
// cut there (offer_segments), while the next ones still come. So a message is on all its hops at the same time, and no
// session copies it. Credit is asked only for what is here, so a message that comes slowly holds nobody's slots.
//   When the rest will never come (its session ends, its sender withdraws it), each session that sends it withdraws it
// too: tickets given up, GONE for its number; the next receiver drops what it has and does the same. Nobody ever sees a
// part of it.
//   Two half messages never wait for each other's memory: a message begins only with room for the whole (partial_of).
#include <algorithm>

#include "broker/session/state.hpp"

namespace portolan::broker {

void Endpoint::State::give_early(Session& s, InMessage& m) {
  if (m.given) return message_grew();
  // One item must be left for it when it is whole.
  if (!gives_early || m.appended == 0 || m.segments < kEarlySegments || items.free() < 2) return;
  m.given = true;
  store->add_reference(m.message);
  const std::uint32_t at = items.take();
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
  item.stage = Incoming::Stage::begun;
  incoming.push(items, at);
  ++arrived;
}

// The engine may let go of something, or refuse the message, which then leaves nothing behind.
void Endpoint::State::ask_for_memory(Session& s, const ptl_record& record) {
  if (!gives_early || items.free() < 2) return;
  const std::uint32_t lane = record_lane(record);
  const bool another = s.starved_since_ns == 0 || came_before(s, s.starved_lane, s.starved_number);
  if (another) {
    s.starved_since_ns = now.mono_ns;
    s.starved_number = record.number;
    s.starved_lane = lane;
  } else if (s.starved_number != record.number || s.starved_lane != lane ||
             now.mono_ns - s.starved_asked_ns < kStarvedAgainNs) {
    return;
  }
  s.starved_asked_ns = now.mono_ns;
  const std::uint32_t at = items.take();
  InItem& item = items[at];
  item.handle = s.handle;
  item.length = session::record_length(record);
  item.publisher = record.publisher;
  item.number = record.number;
  item.sequence = record.sequence;
  item.lane = static_cast<std::uint8_t>(lane);
  const bool long_since = now.mono_ns - s.starved_since_ns >= kStarvedLongNs;
  item.stage = long_since ? Incoming::Stage::starved_long : Incoming::Stage::starved;
  incoming.push(items, at);
  ++arrived;
}

void Endpoint::State::note_growing(Session& s) {
  if (s.growing) return;
  s.growing = true;
  growing[growing_count++] = s.slot;
}

void Endpoint::State::message_grew() {
  std::uint32_t kept = 0;
  for (std::uint32_t i = 0; i < growing_count; ++i) {
    Session& s = sessions[growing[i]];
    const bool more = s.state == SessionState::up && offer_segments(s);
    if (more) {
      growing[kept++] = s.slot;
    } else {
      s.growing = false;
    }
    if (s.state == SessionState::up) reschedule(s);
  }
  growing_count = kept;
}

// What is not whole is not wholly cut either, so each that sends it has it in a queue. From the start again after each,
// since a session that cannot be told ends, and takes others' messages with it.
void Endpoint::State::message_broke(MessageId message) {
  for (std::uint32_t i = 0; i < growing_count; ++i) {
    Session& s = sessions[growing[i]];
    if (s.state != SessionState::up || s.ending) continue;
    std::uint32_t found = kNil;
    for (const OutLane& l : s.lanes_out) {
      for (std::uint32_t e = l.lengthy.head; e != kNil && found == kNil; e = entries[e].next) {
        if (entries[e].message == message) found = e;
      }
    }
    if (found == kNil) continue;
    withdraw(s, entries[found].lane, entries[found].number);
    if (s.state == SessionState::up) reschedule(s);
    i = kNil;
  }
}

}  // namespace portolan::broker
