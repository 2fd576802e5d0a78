// Endpoint: construction, and the public calls handed to the state's functions.
#include "broker/session/endpoint.hpp"

#include <algorithm>
#include <bit>

#include "broker/crypto/seal.hpp"
#include "broker/session/state.hpp"

namespace portolan::broker {
namespace {

std::uint64_t purpose_of(const Identity& identity) {  // a later start draws anew from the same seed
  return identity.id * 0x9E3779B97F4A7C15ull ^ (std::uint64_t{identity.incarnation} << 32) ^ 0x73657373696F6Eull;
}

std::uint32_t pages_per_session(const Limits& limits) {
  return std::bit_ceil(std::max<std::uint32_t>(limits.window_packets / session::kPagePackets, 4));
}

}  // namespace

Endpoint::State::State(const Limits& l, const Identity& self, const Entropy& entropy, Arena& arena, Store& st)
    : limits(l), identity(self), store(&st), random(entropy, purpose_of(self)), cookies(random), reset_tokens(self) {
  prepare_sealing();
  limits.grants_per_class = std::min(limits.grants_per_class, kRowMost);
  sessions = arena.take<Session>(l.sessions);
  peers = arena.take<Peer>(l.peers);
  known_capacity = std::bit_ceil(2 * (l.downstreams + l.peers));
  known = arena.take<KnownIdentity>(known_capacity);
  allowed_capacity = l.downstreams;
  allowed = arena.take<Key32>(allowed_capacity);
  work.build(arena, l.sessions);
  life.build(arena, l.sessions + l.peers);
  // Pages: two for each session and four windows' worth for those that are busy.
  const std::uint32_t pages_each = pages_per_session(l);
  pages.build(arena, std::min(l.sessions * pages_each, l.sessions * 2 + 4 * pages_each));
  // Entries: what lanes may hold, but no more than twice the messages there are; control has its own share.
  const std::uint64_t entry_most = std::uint64_t{l.sessions} * l.window_messages * (kLanes - 1);
  const std::uint64_t control_most = std::min<std::uint64_t>(std::uint64_t{l.sessions} * 64 + 4ull * l.control_queue,
                                                             std::uint64_t{l.sessions} * l.control_queue);
  entries.build(arena,
                static_cast<std::uint32_t>(std::min<std::uint64_t>(entry_most, 2ull * l.messages) + control_most));
  bodies.build(arena, static_cast<std::uint32_t>(2 * control_most + std::min(256u, 64 * l.sessions)));
  items.build(arena, std::max<std::uint32_t>(std::min(512u, 64 * l.sessions), 2 * l.receive_messages));
  partials.build(arena, std::max<std::uint32_t>(4, std::min<std::uint32_t>(32, l.large_slots / 2)));
  partial_row = l.message_bytes_max / PTL_SEGMENT_PAYLOAD + 1;
  growing = arena.take<std::uint32_t>(l.sessions);
  partial_slots = arena.take<std::uint32_t>(std::size_t{partials.count()} * partial_row);
  topic_repairs = arena.take<TopicRepair>(l.topics + 2);
  scratch = arena.take<std::uint8_t>(kControlMost);
  events.build(arena, 4 * l.sessions + 16);
  progressed.build(arena, l.sessions);
  roomy.build(arena, l.sessions);
  replies.build(arena, std::max(std::min(32u, 2 * l.sessions + 4), l.sessions));  // all are told when a broker ends
  for (auto* rings : {want_slots, begun_wants, keep_wants, keepers}) {
    for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) rings[c].build(arena, l.sessions);
  }
  dirty_grants.build(arena, l.sessions);
  buffers.build(arena, l.transmits);
  const std::uint32_t pages_row = pages_each;
  const std::uint32_t words = std::max<std::uint32_t>(l.receive_messages / 64, 1);
  const std::uint32_t row = limits.grants_per_class;
  buffer_bytes = arena.take_raw<std::uint8_t>(std::size_t{l.transmits} * l.datagram_bytes);
  opened_payload = arena.take_raw<std::uint8_t>(l.datagram_bytes);
  sealed_segment = arena.take_raw<std::uint8_t>(
      std::min<std::uint32_t>(PTL_SEGMENT_MAX, l.message_bytes_max + PTL_RECORD_BYTES + PTL_TRAILER_BYTES));
  auto* windows = arena.take<ptl_window>(l.sessions);
  auto* tables = arena.take<std::uint32_t>(std::size_t{l.sessions} * pages_row);
  auto* bits = arena.take<std::uint64_t>(std::size_t{l.sessions} * kLanes * words);
  auto* grants = arena.take<ptl_grant>(std::size_t{l.sessions} * PTL_CLASSES * row);
  auto* in_segments = arena.take<InSegment>(std::size_t{l.sessions} * PTL_CLASSES * row);
  auto* out_segments = arena.take<OutSegment>(std::size_t{l.sessions} * PTL_CLASSES * row);
  if (arena.short_of_memory()) return;
  for (std::uint32_t i = 0; i < l.sessions; ++i) {
    Session& s = sessions[i];
    s.slot = i;
    s.index_incarnation = static_cast<std::uint32_t>(random.below(256));
    s.window = windows + i;
    s.page_table = tables + std::size_t{i} * pages_row;
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      s.lanes_in[lane].bits = bits + (std::size_t{i} * kLanes + lane) * words;
    }
    for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
      s.classes_in[c].row = grants + (std::size_t{i} * PTL_CLASSES + c) * row;
      s.classes_in[c].segments = in_segments + (std::size_t{i} * PTL_CLASSES + c) * row;
      s.classes_out[c].row = out_segments + (std::size_t{i} * PTL_CLASSES + c) * row;
    }
  }
}

Endpoint::Endpoint(const Limits& limits, const Identity& identity, const Entropy& entropy, Arena& arena, Store& store) {
  struct alignas(State) Room {
    std::uint8_t bytes[sizeof(State)];
  };
  Room* room = arena.take<Room>(1);
  if (room == nullptr) {  // a dry run: the same takes, to learn the bytes
    State dry(limits, identity, entropy, arena, store);
    return;
  }
  State* state = new (room) State(limits, identity, entropy, arena, store);
  if (!arena.short_of_memory()) s_ = state;
}

void Endpoint::configure_peer(const PeerConfig& config, const SessionOptions& options) {
  State& st = *s_;
  if (st.peer_count == st.limits.peers) return;
  const std::uint32_t at = st.peer_count++;
  st.peers[at].config = config;
  st.peers[at].options = options;
  if (options.initiate) st.life.set(st.limits.sessions + at, 0);
}

void Endpoint::accept_clients(const SessionOptions& options, std::span<const Key32> allowed, bool bind_keys) {
  State& st = *s_;
  st.clients_accepted = true;
  st.binds_keys = bind_keys || !allowed.empty();
  st.client_options = options;
  st.allowed_count = static_cast<std::uint32_t>(std::min<std::size_t>(allowed.size(), st.allowed_capacity));
  std::copy_n(allowed.begin(), st.allowed_count, st.allowed);
}

void Endpoint::receive(Now now, PathId path, std::span<const DatagramView> datagrams, std::span<Verdict> verdicts) {
  State& st = *s_;
  st.now = now;
  for (std::size_t i = 0; i < datagrams.size(); ++i) {
    const Verdict verdict = st.receive_one(path, datagrams[i]);
    if (i < verdicts.size()) verdicts[i] = verdict;
  }
  st.serve_wants();
}

void Endpoint::segment_ready(Now now, SessionId session) {
  s_->now = now;
  Session* s = s_->find(session);
  if (s == nullptr || s->state != SessionState::up) return;
  s->doorbells = true;
  s_->scan_gates(*s);
  s_->gates_open(*s);
  s_->serve_wants();
  if ((s = s_->find(session)) != nullptr) s_->reschedule(*s);
}

bool Endpoint::poll_transmit(Now now, Transmit& out) {
  s_->now = now;
  return s_->poll_transmit(out);
}

void Endpoint::release_transmit(std::uint32_t handle) {
  if (!s_->buffers.known(handle) || !s_->buffers[handle].out) return;
  s_->buffers[handle].out = false;
  s_->buffers.give(handle);
}

void Endpoint::tick(Now now) {
  s_->now = now;
  s_->tick();
}

std::uint64_t Endpoint::next_deadline() const {
  if (s_->replies.size() != 0 || s_->events.size() != 0) return 0;
  const std::uint64_t timers = std::min({s_->work.earliest(), s_->life.earliest(), s_->gates_due_ns});
  return s_->somebody_wants() ? std::min(timers, s_->wants_retry_ns) : timers;
}

bool Endpoint::poll_session_event(SessionEvent& out) {
  // In the order in which things came: what a session brought (perhaps acknowledged already) goes up before its end
  // does, and what its successor brings after both.
  const SessionEvent* first = s_->events.first();
  if (first == nullptr || s_->taken < first->after) return false;
  return s_->events.pop(out);
}

bool Endpoint::poll_message(Incoming& out) {
  State& st = *s_;
  const SessionEvent* event = st.events.first();
  if (st.incoming.empty() || (event != nullptr && event->after <= st.taken)) return false;
  ++st.taken;
  const std::uint32_t at = st.incoming.pop(st.items);
  const InItem item = st.items[at];
  st.items.give(at);
  out = Incoming{};
  out.session = item.handle;
  out.lane = static_cast<Lane>(item.lane);
  out.number = item.number;
  out.repaired = item.repaired;
  if (item.lane == kControlLane) {
    st.bodies.copy(item.body, st.scratch, item.length);
    st.bodies.drop(item.body);
    out.control = item.topic;
    out.body = {st.scratch, item.length};
  } else {
    out.stage = item.stage;
    out.length = item.length;
    out.message = item.message;
    out.topic = item.topic;
    out.publisher = item.publisher;
    out.sequence = item.sequence;
    out.epoch = item.epoch;
    if (Session* s = st.find(item.handle)) st.credit_freed(*s, item.credit);
  }
  ++st.counters.messages_in;
  return true;
}

bool Endpoint::poll_progress(SessionId& out) {
  std::uint32_t slot = 0;
  while (s_->progressed.pop(slot)) {
    Session& s = s_->sessions[slot];
    s.progress_queued = false;
    if (s.state != SessionState::up) continue;
    out = s.handle;
    return true;
  }
  return false;
}

bool Endpoint::poll_room(SessionId& out) {
  std::uint32_t slot = 0;
  if (s_->entries_wanted) s_->check_all_room();
  while (s_->roomy.pop(slot)) {
    Session& s = s_->sessions[slot];
    s.room_queued = false;
    if (s.state != SessionState::up) continue;
    out = s.handle;
    return true;
  }
  return false;
}

SendResult Endpoint::send(Now now, SessionId session, Lane lane, const Outgoing& message, std::uint32_t& number) {
  State& st = *s_;
  st.now = now;
  Session* s = st.find(session);
  const auto l = static_cast<std::uint32_t>(lane);
  if (s == nullptr || s->state != SessionState::up || l == kControlLane || l >= kLanes) return SendResult::not_up;
  const std::uint32_t length = st.store->at(message.message).full_length();
  if (st.store->at(message.message).broken) return SendResult::not_up;
  if (length > s->peer_message_max) return SendResult::too_long;
  const bool lengthy = !st.is_short(*s, length);
  OutLane& out = s->lanes_out[l];
  if (!st.lane_has_room(*s, l, lengthy)) {
    out.room_wanted[lengthy] = true;
    return SendResult::no_room;
  }
  const std::uint32_t at = st.entries.take();
  if (at == kNil) return SendResult::no_room;  // lane_has_room leaves some for control
  OutEntry& e = st.entries[at];
  e.message = message.message;
  e.topic = message.topic;
  e.publisher = message.publisher;
  e.sequence = message.sequence;
  e.epoch = message.epoch;
  e.lane = l & 0xFu;
  e.length = length;
  e.number = number = ++out.sent;
  st.store->add_reference(message.message);
  ++st.counters.messages_out;
  if (lengthy) {
    st.enqueue_long(*s, at);
  } else {
    out.fresh.push(st.entries, at);
    out.fresh_bytes += length + PTL_RECORD_BYTES;
  }
  st.reschedule(*s);
  return SendResult::ok;
}

bool Endpoint::send_control(Now now, SessionId session, std::uint32_t control, std::span<const std::uint8_t> body) {
  State& st = *s_;
  st.now = now;
  Session* s = st.find(session);
  if (s == nullptr || s->state != SessionState::up) return false;
  if (body.size() > kControlMost) return false;
  if (!st.enqueue_control(*s, control, body, false)) {
    st.end_session(*s, DownReason::local, true);
    return false;
  }
  st.reschedule(*s);
  return true;
}

std::uint32_t Endpoint::control_room(SessionId session) const {
  const Session* s = s_->find(session);
  if (s == nullptr || s->state != SessionState::up) return 0;
  const std::uint32_t most = s_->limits.control_queue > kControlReserve ? s_->limits.control_queue - kControlReserve
                                                                        : s_->limits.control_queue / 2;
  const std::uint32_t queue = s->control_queued < most ? most - s->control_queued : 0;
  const std::uint32_t chunks = s_->bodies.free() > 64 ? (s_->bodies.free() - 64) / session::kChunksMost : 0;
  const std::uint32_t entries = s_->entries.free() > kControlReserve ? s_->entries.free() - kControlReserve : 0;
  return std::min({queue, chunks, entries});
}

Progress Endpoint::progress(SessionId session, Lane lane) const {
  const Session* s = s_->find(session);
  if (s == nullptr) return {};
  const OutLane& l = s->lanes_out[static_cast<std::uint32_t>(lane) % kLanes];
  return {l.sent, l.admitted, l.delivered};
}

void Endpoint::admit_explicitly() {
  s_->admits_explicitly = true;
}

void Endpoint::give_early() {
  s_->gives_early = true;
}

bool Endpoint::room_for_long(std::uint32_t length) const {
  std::uint32_t slots[PTL_CLASSES] = {};
  const std::uint32_t blocks = s_->limits.small_blocks - s_->store->usage().blocks;
  return s_->slots_for(length, PTL_CLASSES, slots) || blocks > length / s_->limits.small_block_bytes;
}

void Endpoint::set_admitted(SessionId session, Lane lane, std::uint32_t number) {
  Session* s = s_->find(session);
  if (s == nullptr || s->state != SessionState::up) return;
  InLane& l = s->lanes_in[static_cast<std::uint32_t>(lane) % kLanes];
  if (static_cast<std::int32_t>(number - l.told) <= 0 || static_cast<std::int32_t>(number - l.admitted) > 0) return;
  l.told = number;
  s_->ask_ack(*s, s->rtt.ack_delay());
  s_->reschedule(*s);
}

void Endpoint::set_delivered(SessionId session, Lane lane, std::uint32_t number) {
  Session* s = s_->find(session);
  if (s == nullptr || s->state != SessionState::up) return;
  InLane& l = s->lanes_in[static_cast<std::uint32_t>(lane) % kLanes];
  if (static_cast<std::int32_t>(number - l.delivered) <= 0) return;
  l.delivered = static_cast<std::int32_t>(number - l.admitted) > 0 ? l.admitted : number;
  s_->ask_ack(*s, s->rtt.ack_delay());
  s_->reschedule(*s);
}

void Endpoint::set_interest(const InterestState& mine) {
  s_->interest = mine;
}

void Endpoint::set_interest(SessionId session, const InterestState& mine) {
  Session* s = s_->find(session);
  if (s == nullptr) return;
  s->own_interest = mine;
  s->own_interest_set = true;
}

bool Endpoint::peer_interest(SessionId session, InterestState& out) const {
  const Session* s = s_->find(session);
  if (s == nullptr || !s->peer_interest_known) return false;
  out = s->peer_interest;
  return true;
}

void Endpoint::withdraw(Now now, SessionId session, Lane lane, std::uint32_t number) {
  s_->now = now;
  Session* s = s_->find(session);
  if (s == nullptr || s->state != SessionState::up || s->ending) return;
  s_->withdraw(*s, static_cast<std::uint32_t>(lane), number);
  if (s->state == SessionState::up) s_->reschedule(*s);
}

void Endpoint::close(Now now, SessionId session, DownReason reason) {
  s_->now = now;
  Session* s = s_->find(session);
  if (s != nullptr) s_->end_session(*s, reason, true);
}

void Endpoint::drain(Now now) {
  s_->now = now;
  s_->draining = true;
  for (std::uint32_t i = 0; i < s_->limits.sessions; ++i) {
    if (s_->sessions[i].state != SessionState::free) s_->end_session(s_->sessions[i], DownReason::closed, true);
  }
  for (std::uint32_t i = 0; i < s_->peer_count; ++i) s_->life.set(s_->limits.sessions + i, kNever);
}

std::uint64_t Endpoint::backlog_bytes(SessionId session) const {
  const Session* s = s_->find(session);
  if (s == nullptr) return 0;
  std::uint64_t bytes = 0;
  for (const OutLane& l : s->lanes_out) bytes += l.fresh_bytes + l.lengthy_bytes;
  return bytes;
}

std::uint64_t Endpoint::backlog_ns(SessionId session) const {
  const Session* s = s_->find(session);
  return s == nullptr ? 0 : backlog_bytes(session) * 8'000 / std::max<std::uint64_t>(s->rate.rate_bps() / 1'000'000, 1);
}

std::uint64_t Endpoint::smoothed_rtt_ns(SessionId session) const {
  const Session* s = s_->find(session);
  return s == nullptr ? 0 : s->rtt.smoothed();
}

bool Endpoint::peer_limits(SessionId session, PeerLimits& out) const {
  const Session* s = s_->find(session);
  if (s == nullptr || s->state != SessionState::up) return false;
  out = s->peer_limits;
  return true;
}

TopicRepair Endpoint::topic_repair(std::uint32_t alias) const {
  return s_->topic_repairs[std::min(alias, s_->limits.topics + 1)];
}

bool Endpoint::stats(SessionId session, SessionStats& out) const {
  const Session* s = s_->find(session);
  if (s == nullptr || s->state != SessionState::up) return false;
  out.fragment_bytes = s->options.fragment_bytes;
  out.size_probes = s->mtu.counts().probes;
  out.size_answers = s->mtu.counts().answers;
  out.size_falls = s->mtu.counts().falls;
  out.size_rises = s->mtu.counts().rises;
  out.rate_bps = s->rate.rate_bps();
  out.peer_bytes = s->peer_received.bytes;
  out.peer_ce_marks = s->peer_received.ce_marks;
  out.send_phase = s->send_phase;
  out.receive_phase = s->keys_in.phase;
  return true;
}

void Endpoint::set_numbers_for_test(SessionId session, std::uint64_t packet, std::uint32_t ticket) {
  Session* s = s_->find(session);
  if (s == nullptr) return;
  s->out.skip_to(packet);
  for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
    OutClass& oc = s->classes_out[c];
    oc.next_ticket = oc.base = oc.granted_end = ticket;
    InClass& ic = s->classes_in[c];
    ic.base = ic.granted_end = ic.next_unused = ticket;
    ic.wanted = ticket - 1;
  }
}

bool Endpoint::keys_for_test(SessionId session, DirectionKeys& keys) const {
  const Session* s = s_->find(session);
  if (s == nullptr) return false;
  keys = s->keys_out.of(s->send_phase);
  return true;
}

const EndpointCounters& Endpoint::counters() const {
  return s_->counters;
}

std::uint32_t Endpoint::high_water(std::span<HighWater> out) const {
  const State& st = *s_;
  const HighWater all[] = {
      {"session.entries", st.entries.most(), st.entries.count()},
      {"session.control_chunks", st.bodies.pool().most(), st.bodies.pool().count()},
      {"session.incoming", st.items.most(), st.items.count()},
      {"session.sent_pages", st.pages.most(), st.pages.count()},
      {"session.partial_messages", st.partials.most(), st.partials.count()},
      {"session.events", st.events.most(), st.events.count()},
      {"session.replies", st.replies.most(), st.replies.count()},
      {"session.transmits", st.buffers.most(), st.buffers.count()},
      {"session.credit_bytes", st.credit_high, st.limits.credit_bytes},
      {"session.repair_bytes", st.repair_high, st.repair_high_bound},
  };
  const auto n = std::min(out.size(), std::size(all));
  std::copy_n(all, n, out.begin());
  return static_cast<std::uint32_t>(n);
}

}  // namespace portolan::broker
