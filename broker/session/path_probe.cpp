// PROBE frames for the size of the path, and what a change of it means for what is under way (path_mtu.hpp decides).
#include <algorithm>

#include "broker/session/state.hpp"

namespace portolan::broker {

void Endpoint::State::reset_path_mtu(Session& s) {
  const std::uint32_t peer = s.peer_limits.fragment_max / PTL_FRAGMENT_UNIT * PTL_FRAGMENT_UNIT;
  s.mtu.reset(now.mono_ns, s.base_fragment_bytes, std::max(s.base_fragment_bytes, std::min(fragment_max(), peer)));
  if (s.mtu.size() != s.options.fragment_bytes) apply_path_mtu(s);
}

// A probe that is due, padded to the size that it stands for; or an answer to one of the peer's.
bool Endpoint::State::build_size_probe(Session& s, std::uint32_t buffer, Transmit& out) {
  std::uint8_t* payload = buffer_at(buffer) + PTL_FRAME_BYTES;
  ptl_frame frame{};
  frame.version_type = PTL_PROBE;
  if (s.size_answer_count != 0) {
    const session::PathMtu::Probe probe = s.size_answers[--s.size_answer_count];
    session::put(payload, session::ProbeBody{session::kProbeSizeAnswer, probe.bytes, probe.nonce});
    finish(s, out, buffer, sizeof(session::ProbeBody), frame, session::SentKind::none, {});
    return true;
  }
  session::PathMtu::Probe probe;
  const bool due =
      s.mtu.deadline() <= now.mono_ns && s.mtu.next_probe(now.mono_ns, s.rtt.answer(), random.next() | 1, probe);
  if (s.mtu.size() != s.options.fragment_bytes) apply_path_mtu(s);
  if (!due || s.state != SessionState::up) return false;
  const std::uint32_t bytes = probe.bytes - PTL_TRAILER_BYTES;
  std::fill_n(payload, bytes, std::uint8_t{0});
  session::put(payload, session::ProbeBody{session::kProbeSize, probe.bytes, probe.nonce});
  finish(s, out, buffer, bytes, frame, session::SentKind::none, {});
  ++counters.size_probes_out;
  return true;
}

// From now on everything is cut to this. What was cut larger, and is not all there, never passes a path that has become
// narrower: segments give up their tickets and are cut anew, short messages that are none any more become long.
void Endpoint::State::apply_path_mtu(Session& s) {
  const bool narrower = s.mtu.size() < s.options.fragment_bytes;
  ++(narrower ? counters.path_narrower : counters.path_wider);
  s.options.fragment_bytes = s.mtu.size();
  s.rate.set_packet_bytes(PTL_FRAME_BYTES + s.options.fragment_bytes);
  if (!narrower) return;
  for (std::uint64_t bits = s.segments_live; bits != 0; bits &= bits - 1) {
    const auto place = static_cast<std::uint32_t>(std::countr_zero(bits));
    const OutSegment& seg = segment_at(s, place);
    const std::uint64_t all = seg.fragments >= 64 ? ~0ull : (1ull << seg.fragments) - 1;
    if (seg.recut || seg.size <= s.mtu.size() || seg.acked == all || entries[seg.entry].withdrawn) continue;
    if (!tell_segment(s, PTL_C_ABANDON, place / kRowMost, seg.ticket, kAbandonBySender)) {
      return end_session(s, DownReason::local, true);
    }
    ticket_refused(s, place / kRowMost, seg.ticket);
  }
  for (OutLane& lane : s.lanes_out) {
    Queue stay;
    while (!lane.fresh.empty()) {
      const std::uint32_t entry = lane.fresh.pop(entries);
      if (is_short(s, entries[entry].length)) {
        stay.push(entries, entry);
        continue;
      }
      lane.fresh_bytes -= entries[entry].length + PTL_RECORD_BYTES;
      enqueue_long(s, entry);
    }
    lane.fresh = stay;
  }
  session::RepairQueue stay;
  while (!s.repair.empty()) {
    const std::uint32_t entry = s.repair.pop(entries);
    if (!repair_as_long(s, entry)) stay.push(entries, entry);
  }
  s.repair = stay;
  check_room(s);
}

bool Endpoint::State::is_short(const Session& s, std::uint32_t length) const {
  return PTL_RECORD_BYTES + session::padded(length) + PTL_TRAILER_BYTES <= s.options.fragment_bytes;
}

// A lost short message that no datagram of today holds leaves as a segment. It may only have been late: whichever comes
// first, its number counts for credit once at either end.
bool Endpoint::State::repair_as_long(Session& s, std::uint32_t entry) {
  OutEntry& e = entries[entry];
  if (e.lane == kControlLane || is_short(s, e.length)) return false;
  if (ahead(e.number, s.lanes_out[e.lane].admitted) <= 0) return false;  // it came meanwhile: let it be dropped there
  e.counted = 1;
  enqueue_long(s, entry);
  return true;
}

}  // namespace portolan::broker
