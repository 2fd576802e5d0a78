// Deadlines. Two heaps: `work` (when poll_transmit has something to send for a session) and `life` (attempts and
// deaths, served by tick). Both are lazy: a deadline that has moved away is found out when it comes.
#include <algorithm>

#include "broker/session/state.hpp"

namespace portolan::broker {

// The last resort: nothing at all was acknowledged for longer than an answer takes, heartbeats included.
std::uint64_t Endpoint::State::resort_due(const Session& s) const {
  if (s.data_open == 0) return kNever;
  const std::uint64_t wait = s.rtt.answer() + s.rtt.smoothed() / 2 + s.rtt.tolerance() + s.rtt.ack_delay();
  return s.resort_base_ns + std::min<std::uint64_t>(wait << s.resort_shift, std::max(wait, kSecond));
}

void Endpoint::State::service(Session& s) {
  const auto last_ticket = std::max(s.classes_out[PTL_SMALL].next_ticket, s.classes_out[PTL_LARGE].next_ticket);
  if (s.out.next() > kLastPacket || last_ticket > kLastTicket) return end_session(s, DownReason::exhausted, true);
  if (s.in.service(now.mono_ns, s.rtt.answer())) ask_ack(s, 0);
  service_keys(s);
  if (resort_due(s) <= now.mono_ns) {
    // One packet, the oldest: it brings an answer, and the answer says the rest.
    std::uint64_t oldest = 0;
    s.out.for_open(pages, 1, s.out.next() - 1, [&](std::uint64_t number) {
      const session::SentPacket* packet = s.out.find(pages, number);
      if (oldest == 0 && packet->kind != session::SentKind::heartbeat) oldest = number;
    });
    if (oldest != 0) packet_lost(s, oldest);
    s.rate.silence();
    s.resort_base_ns = now.mono_ns;
    s.resort_shift = std::min(s.resort_shift + 1, 10u);
  }
  if (segments_due(s) <= now.mono_ns) {
    take_back_idle(s);
    retry_segments(s);
    serve_wants();
  }
}

void Endpoint::State::reschedule(Session& s) {
  if (s.state != SessionState::up) {
    work.set(s.slot, kNever);
    return;
  }
  std::uint64_t due =
      std::min({s.ack_due_ns, s.heartbeat_due_ns, s.in.deadline(), s.probe_due_ns, resort_due(s), segments_due(s)});
  due = std::min(due, s.mtu.deadline());
  if (s.answer_probe || s.size_answer_count != 0) due = now.mono_ns;
  if (due > now.mono_ns && s.out.room(pages)) {
    const bool fresh = short_waits(s) || fragment_waits(s);
    const bool waits = fresh || entries_to_repair(s) || resendable(s) != 0;
    if (waits && !s.waited && s.nothing_at_ns < now.mono_ns && s.pacer.ready_at() < now.mono_ns && s.rate.may_send()) {
      s.rate.nothing_waits();  // until now
    }
    if (!waits && s.waited) s.nothing_at_ns = now.mono_ns;
    if (waits && !s.waited && s.nothing_at_ns < now.mono_ns) s.waiting_since_ns = now.mono_ns;
    s.waited = waits;
    if (waits && s.rate.may_send()) {  // else acknowledgements make room
      due = std::min(due, fresh ? s.pacer.ready_at() : std::max(s.pacer.ready_at(), s.repair_pacer.ready_at()));
    }
  }
  work.set(s.slot, due);
}

void Endpoint::State::tick() {
  retry_wants();
  if (gates_due_ns <= now.mono_ns) scan_all_gates();
  while (life.earliest() <= now.mono_ns) {
    const std::uint32_t at = life.first();
    if (at >= limits.sessions) {
      begin_attempt(at - limits.sessions);
      continue;
    }
    Session& s = sessions[at];
    switch (s.state) {
      case SessionState::hello_sent:
      case SessionState::init_sent:
        attempt_due(s);
        break;
      case SessionState::responding:
        end_session(s, DownReason::handshake_failed, false);
        break;
      case SessionState::up:
        if (now.mono_ns >= std::max(s.grace_until_ns, s.last_received_ns + 3 * s.idle_ns)) {
          end_session(s, DownReason::timeout, false);
        } else {
          life.set(at, std::max(s.grace_until_ns, s.last_received_ns + 3 * s.idle_ns));
        }
        break;
      case SessionState::free:
        life.set(at, kNever);
        break;
    }
  }
}

}  // namespace portolan::broker
