// New keys for what a session sends, without a pause (PROTOCOL.md "Key phases"): announced under the old ones, used
// once that is acknowledged; the old ones live until nothing that left under them is open.
#include "broker/session/state.hpp"

namespace portolan::broker {
namespace {

enum What : std::uint32_t { kNext = 1, kOver = 2 };

std::uint32_t initiator_index(const Session& s) {
  return s.initiator ? s.local_index : s.remote_index;
}
std::uint32_t responder_index(const Session& s) {
  return s.initiator ? s.remote_index : s.local_index;
}

void add_phase(const Session& s, PhaseKeys& keys) {
  ++keys.phase;
  next_phase(keys.secret, initiator_index(s), responder_index(s), keys.keys[keys.phase & 1]);
  keys.known[keys.phase & 1] = true;
}

void drop_phase(PhaseKeys& keys, std::uint32_t phase) {
  keys.keys[phase & 1] = DirectionKeys{};
  keys.known[phase & 1] = false;
}

}  // namespace

bool Endpoint::State::tell_key(Session& s, std::uint32_t what, std::uint32_t phase) {
  std::uint8_t body[8];
  session::put(body, what);
  session::put(body + 4, phase);
  return enqueue_control(s, PTL_C_KEY, body, true);
}

bool Endpoint::State::may_rekey(const Session& s) const {
  const SessionOptions& o = s.options;
  return (o.rekey_packets != 0 && s.out.next() - s.phase_packet >= o.rekey_packets) ||
         (o.rekey_bytes != 0 && s.phase_bytes >= o.rekey_bytes) ||
         (o.rekey_ns != 0 && now.mono_ns - s.phase_since_ns >= o.rekey_ns);
}

bool Endpoint::State::old_phase_open(Session& s) {
  if (s.out.settled() + 1 < s.phase_packet) return true;
  for (std::uint64_t bits = s.segments_live; bits != 0; bits &= bits - 1) {
    const OutSegment& seg = segment_at(s, static_cast<std::uint32_t>(std::countr_zero(bits)));
    if (seg.ticket != 0 && !seg.recut && seg.phase != (s.send_phase & 1)) return true;
  }
  return false;
}

void Endpoint::State::service_keys(Session& s) {
  if (s.keys_out.phase != s.send_phase) {  // announced
    if (ahead(s.lanes_out[kControlLane].admitted, s.key_number) < 0) return;
    ++s.send_phase;
    s.phase_packet = s.out.next();
    s.phase_bytes = 0;
    s.phase_since_ns = now.mono_ns;
    ++counters.rekeys;
    return;
  }
  if (const std::uint32_t old = s.send_phase - 1; s.keys_out.known[old & 1]) {
    if (!old_phase_open(s) && tell_key(s, kOver, old)) drop_phase(s.keys_out, old);
    return;
  }
  if (!may_rekey(s) || !tell_key(s, kNext, s.send_phase + 1)) return;
  s.key_number = s.lanes_out[kControlLane].sent;
  add_phase(s, s.keys_out);
}

bool Endpoint::State::receive_key(Session& s, std::span<const std::uint8_t> body) {
  const auto what = session::get<std::uint32_t>(body.data());
  const auto phase = session::get<std::uint32_t>(body.data() + 4);
  const std::uint32_t newest = s.keys_in.phase;
  switch (what) {
    case kNext:
      if (phase != newest + 1 || s.keys_in.known[phase & 1]) return false;
      add_phase(s, s.keys_in);
      return true;
    case kOver:
      if (phase + 1 != newest || !s.keys_in.known[phase & 1]) return false;
      drop_phase(s.keys_in, phase);
      return true;
    default:
      return false;
  }
}

}  // namespace portolan::broker
