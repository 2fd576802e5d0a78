#include "broker/client/fake_endpoint.hpp"

#include <utility>

namespace portolan::broker {

using testing::fake;
using testing::FakeEndpoint;

namespace testing {
FakeEndpoint* fake = nullptr;
}

struct Endpoint::State {
  std::vector<std::uint8_t> body;  // of the control message that was polled last
  EndpointCounters counters;
};

Endpoint::Endpoint(const Limits&, const Identity&, const Entropy&, Arena&, Store& store) {
  static State state;
  static FakeEndpoint instance;
  state = State{};
  instance = FakeEndpoint{};
  instance.store = &store;
  s_ = &state;
  fake = &instance;
}
void Endpoint::configure_peer(const PeerConfig&, const SessionOptions&) {}
void Endpoint::accept_clients(const SessionOptions&, std::span<const Key32>, bool) {}
void Endpoint::receive(Now, PathId, std::span<const DatagramView>, std::span<Verdict>) {}
void Endpoint::segment_ready(Now, SessionId session) {
  fake->rung.push_back(session);
}
bool Endpoint::poll_transmit(Now, Transmit&) {
  return false;
}
void Endpoint::release_transmit(std::uint32_t) {}
void Endpoint::tick(Now) {}
std::uint64_t Endpoint::next_deadline() const {
  return kNever;
}
bool Endpoint::poll_session_event(SessionEvent& out) {
  if (fake->events.empty()) return false;
  out = fake->events.front();
  fake->events.pop_front();
  return true;
}
bool Endpoint::poll_message(Incoming& out) {
  if (fake->in.empty()) return false;
  out = fake->in.front().head;
  s_->body = fake->in.front().bytes;
  fake->in.pop_front();
  if (out.lane == Lane::control) {
    out.body = s_->body;
  } else {
    out.message = fake->store->create();
    fake->store->append_copy(out.message, s_->body);
  }
  return true;
}
bool Endpoint::poll_progress(SessionId&) {
  return false;
}
bool Endpoint::poll_room(SessionId& out) {
  out = fake->session;
  return std::exchange(fake->room_again, false);
}
SendResult Endpoint::send(Now, SessionId session, Lane lane, const Outgoing& message, std::uint32_t& number) {
  if (session != fake->session) return SendResult::not_up;
  if (!fake->room) return SendResult::no_room;
  number = ++fake->progress[static_cast<int>(lane)].sent;
  std::string bytes;
  fake->store->for_each_piece(message.message, [&](auto span) { bytes.append(span.begin(), span.end()); });
  fake->sent.push_back({lane, message, number, bytes});
  return SendResult::ok;
}
bool Endpoint::send_control(Now, SessionId, std::uint32_t control, std::span<const std::uint8_t> body) {
  fake->control.push_back({control, {body.begin(), body.end()}});
  return true;
}
std::uint32_t Endpoint::control_room(SessionId) const {
  return fake->control_room;
}
Progress Endpoint::progress(SessionId, Lane lane) const {
  return fake->progress[static_cast<int>(lane)];
}
void Endpoint::set_delivered(SessionId, Lane lane, std::uint32_t number) {
  fake->delivered[static_cast<int>(lane)] = number;
}
void Endpoint::admit_explicitly() {}
void Endpoint::give_early() {}
bool Endpoint::room_for_long(std::uint32_t) const {
  return true;
}
void Endpoint::set_admitted(SessionId, Lane, std::uint32_t) {}
bool Endpoint::peer_limits(SessionId, PeerLimits& out) const {
  out.topics_max = out.streams_max = 1u << 20;
  return true;
}
void Endpoint::set_interest(SessionId, const InterestState&) {}
void Endpoint::set_interest(const InterestState& mine) {
  fake->interest = mine;
}
bool Endpoint::peer_interest(SessionId, InterestState&) const {
  return false;
}
void Endpoint::close(Now, SessionId session, DownReason reason) {
  ++fake->closed;
  fake->events.push_back({SessionEvent::Kind::down, session, 0, 0, 0, true, reason});
}
void Endpoint::drain(Now) {}
std::uint64_t Endpoint::backlog_ns(SessionId) const {
  return 20'000'000;
}
std::uint64_t Endpoint::backlog_bytes(SessionId) const {
  return 0;
}
std::uint64_t Endpoint::smoothed_rtt_ns(SessionId) const {
  return 0;
}
const EndpointCounters& Endpoint::counters() const {
  return s_->counters;
}
std::uint32_t Endpoint::high_water(std::span<HighWater>) const {
  return 0;
}

}  // namespace portolan::broker
