// Construction, and the turn of work: what the endpoint has is taken in, then everything that became due goes out.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {
namespace {

constexpr std::uint32_t kInputsPerTurn = 8'192;
constexpr std::uint32_t kServedPerTurn = 1'024;

}  // namespace

Core::Core(const Limits& limits, const EngineConfig& config, Arena& arena)
    : limits_(limits),
      own_id_(config.identity.id),
      own_incarnation_(config.identity.incarnation),
      detach_ns_(config.detach_ns),
      detach_bytes_(config.detach_bytes),
      store_(limits, arena),
      log_(limits, arena, store_),
      endpoint_(limits, config.identity, config.entropy, arena, store_),
      down_ring_(std::bit_ceil(limits.window_messages) * 2),
      up_ring_(std::bit_ceil(std::max(limits.window_messages, limits.receive_messages)) * 2) {
  const std::size_t ds = limits.downstreams;
  rules_ = arena.take<Rule>(config.topics.size());
  counted_rules_ = std::min(static_cast<std::uint32_t>(config.topics.size()), kCountedRules);
  topic_counters_ = arena.take<TopicCounters>(std::size_t{counted_rules_} + 1);
  downstreams_ = arena.take<Downstream>(ds);
  slots_ = arena.take<Slot>(limits.sessions);
  slot_at_ = arena.take<std::uint32_t>(limits.sessions);
  if (slot_at_ != nullptr) std::fill_n(slot_at_, limits.sessions, kNil);
  lags_ = arena.take<Lag>(ds * limits.topics);
  cursors_ = arena.take<std::uint64_t>(ds * limits.streams);
  owing_.construct(arena, limits.topics, limits.downstreams);
  announced_.construct(arena, limits.downstreams, limits.streams);
  catching_up_.construct(arena, limits.downstreams, limits.streams);
  catch_ups_ = arena.take<CatchUp>(limits.streams);
  in_flight_ = arena.take_raw<InFlight>(ds * kDataLanes * down_ring_);
  // What a slot needs of these three is made when a session takes it (take_slot).
  up_numbers_ = arena.take_raw<UpNumber>(std::size_t{limits.sessions} * kDataLanes * up_ring_);
  topic_aliases_ = arena.take_raw<std::uint32_t>(std::size_t{limits.sessions} * (limits.topics + 1));
  in_aliases_ = arena.take_raw<InAlias>(std::size_t{limits.sessions} * (limits.streams + 1));
  out_aliases_ = arena.take<std::uint32_t>(ds * limits.streams);
  place_uses_ = arena.take<std::uint8_t>(ds * limits.streams);
  stream_places_.construct(arena, limits.downstreams, limits.streams);
  topic_places_.construct(arena, limits.downstreams, limits.topics);
  waiting_ = arena.take<Waiting>(limits.unresolved_messages);
  filters_ = arena.take<Filter>(limits.filters);
  filter_texts_ = arena.take<char>(std::size_t{limits.filters} * limits.topic_name_bytes);
  union_ = arena.take<UnionFilter>(limits.filters);
  union_texts_ = arena.take<char>(std::size_t{limits.filters} * limits.topic_name_bytes);
  static_assert(std::is_trivially_copyable_v<Event>);
  events_ = arena.take_raw<Event>(limits.events);
  if (limits.message_bytes_max > (kEarlySegments - 1) * PTL_SEGMENT_PAYLOAD) through_bound_ = kThroughs;
  throughs_ = arena.take<Through>(through_bound_);
  through_numbers_ = arena.take<std::uint32_t>(std::size_t{through_bound_} * ds);
  take_permissions(config.permissions, arena);
  for (const TopicRule& rule : config.topics) {
    char* text = arena.take<char>(rule.filter.size());
    if (text == nullptr || rules_ == nullptr) continue;
    std::memcpy(text, rule.filter.data(), rule.filter.size());
    rules_[rule_count_++] = {text, static_cast<std::uint32_t>(rule.filter.size()), rule};
  }
  if (arena.short_of_memory()) return;
  for (std::uint32_t i = limits.filters; i-- > 0;) {
    filters_[i].next = free_filter_;
    free_filter_ = i;
  }
  for (std::uint32_t i = limits.unresolved_messages; i-- > 0;) {
    waiting_[i].next = free_waiting_;
    free_waiting_ = i;
  }
  for (const PeerConfig& peer : config.peers) {
    if (peer.id == own_id_ || downstream_high_ == limits.downstreams || downstream_high_ == limits.peers) continue;
    Downstream& d = downstreams_[downstream_high_++];
    d.used = d.broker = true;
    d.id = peer.id;
    d.role = peer.role;
    i_am_hub_ = i_am_hub_ || is_leaf(peer.role);
    if (peer.role == PeerRole::hub && hub_ == kNil) hub_ = downstream_high_ - 1;
    SessionOptions options = config.broker_sessions;
    options.initiate = own_id_ < peer.id;
    endpoint_.configure_peer(peer, options);
  }
  peer_count_ = downstream_high_;
  for (std::uint32_t p = 0; p < peer_count_ && hub_ != kNil; ++p) {
    const PeerRole role = downstreams_[p].role;
    downstreams_[p].dormant = p != hub_ && (role == PeerRole::standby || role == PeerRole::hub);
  }
  endpoint_.accept_clients(config.client_sessions, config.allowed_clients, !permitted_all_);
  endpoint_.admit_explicitly();
  if (through_bound_ != 0) endpoint_.give_early();
  mine_ = {own_incarnation_, 0, 0};
  endpoint_.set_interest(mine_);
}

void Core::start(Now now) {
  now_ = now;
  if (started_) return;
  started_ = true;
  started_ns_ = now.mono_ns;
  next_housekeep_ns_ = now.mono_ns + kHousekeepNs;
  for (std::uint32_t d = 0; d < downstream_high_; ++d) downstreams_[d].since_ns = now.mono_ns;
  check_withheld();
}

void Core::receive(Now now, PathId path, std::span<const DatagramView> datagrams, std::span<Verdict> verdicts) {
  start(now);
  endpoint_.receive(now, path, datagrams, verdicts);
  work(now);
}

void Core::segment_ready(Now now, SessionId session) {
  start(now);
  endpoint_.segment_ready(now, session);
  work(now);
}

void Core::tick(Now now) {
  start(now);
  endpoint_.tick(now);
  if (now.mono_ns >= next_housekeep_ns_) housekeep();
  work(now);
}

void Core::drain(Now now) {
  start(now);
  endpoint_.drain(now);
  work(now);
}

void Core::work(Now now) {
  now_ = now;
  more_work = take_input();
  pump();
}

bool Core::poll_transmit(Now now, Transmit& out) {
  start(now);
  if (endpoint_.poll_transmit(now, out)) return true;
  // What has just left made room: fill it within the same call, or a paced session would idle until the next input.
  bool roomy = false;
  SessionId session = kNil;
  while (endpoint_.poll_room(session)) {
    const std::uint32_t slot = slot_of(session);
    if (slot == kNil) continue;
    const std::uint32_t d = slots_[slot].downstream;
    for (DownLane& lane : downstreams_[d].lanes) lane.blocked = false;
    queue_downstream(d);
    roomy = true;
  }
  if (!roomy && ready_head_ == kNil) return false;
  pump();
  return endpoint_.poll_transmit(now, out);
}

// True when it stopped at its bound of work.
bool Core::take_input() {
  SessionEvent event;
  while (endpoint_.poll_session_event(event)) on_session(event);
  Incoming in;
  std::uint32_t taken = 0;
  while (taken < kInputsPerTurn) {
    while (endpoint_.poll_session_event(event)) on_session(event);  // each in its place among the messages
    if (!endpoint_.poll_message(in)) break;
    ++taken;
    const std::uint32_t slot = slot_of(in.session);
    if (slot == kNil) {
      if (in.lane != Lane::control && in.message != kNil) store_.release(in.message);
    } else if (in.lane == Lane::control) {
      on_control(slot, in);
    } else {
      on_data(slot, in);
    }
  }
  while (endpoint_.poll_session_event(event)) on_session(event);
  SessionId session = kNil;
  while (endpoint_.poll_progress(session)) on_progress(session);
  while (endpoint_.poll_room(session)) {
    const std::uint32_t slot = slot_of(session);
    if (slot == kNil) continue;
    for (DownLane& lane : downstreams_[slots_[slot].downstream].lanes) lane.blocked = false;
    queue_downstream(slots_[slot].downstream);
  }
  return taken == kInputsPerTurn;
}

void Core::pump() {
  if (jobs_due_ || answers_due_) {
    jobs_due_ = false;
    answers_due_ = false;
    for (std::uint32_t d = 0; d < downstream_high_; ++d) {
      if (!downstreams_[d].used || downstreams_[d].slot == kNil) continue;
      run_snapshot(d);
      run_announce(d);
      run_answers(d);
      Downstream& down = downstreams_[d];
      if (!down.control_blocked) continue;
      jobs_due_ = true;
      if (room(d) <= kControlReserve) continue;
      down.control_blocked = false;
      for (DownLane& lane : down.lanes) lane.blocked = false;
      queue_downstream(d);
    }
  }
  for (std::uint32_t served = 0; ready_head_ != kNil && served < kServedPerTurn; ++served) {
    const std::uint32_t d = ready_head_;
    ready_head_ = downstreams_[d].next_ready;
    if (ready_head_ == kNil) ready_tail_ = kNil;
    downstreams_[d].queued = false;
    serve(d);
  }
  if (ready_head_ != kNil) more_work = true;
  run_throughs();
  while (dirty_head_ != kNil) {
    const std::uint32_t slot = dirty_head_;
    dirty_head_ = slots_[slot].next_dirty;
    slots_[slot].dirty = false;
    raise_numbers(slot);
  }
}

void Core::push_event(const Event& event) {
  if (event_count_ == limits_.events) {
    ++counters.events_dropped;
    return;
  }
  events_[(event_head_ + event_count_++) % limits_.events] = event;
}

bool Core::poll_event(Event& out) {
  if (event_count_ == 0) return false;
  out = events_[event_head_];
  denied_pending_ -= out.kind == EventKind::denied ? 1 : 0;
  event_head_ = (event_head_ + 1) % limits_.events;
  --event_count_;
  return true;
}

std::uint64_t Core::next_deadline() const {
  if (more_work) return 0;
  return std::min(endpoint_.next_deadline(), next_housekeep_ns_);
}

std::uint32_t Core::high_water(std::span<Endpoint::HighWater> out) const {
  const Store::Usage u = store_.usage();
  const Endpoint::HighWater mine[] = {
      {"messages", u.messages_high, limits_.messages},
      {"small_blocks", u.blocks_high, limits_.small_blocks},
      {"small_slots", u.small_slots_high, limits_.small_slots},
      {"large_slots", u.large_slots_high, limits_.large_slots},
      {"log_entries", log_.entries_high(), log_.entries_bound()},
      {"topics", log_.topics(), limits_.topics},  // places ever used
      {"streams", log_.streams(), limits_.streams},
      {"downstreams", downstream_high_, limits_.downstreams},
      {"backlog_bytes", counters.backlog_bytes_high, detach_bytes_},
  };
  std::uint32_t n = 0;
  for (const auto& row : mine) {
    if (n < out.size()) out[n++] = row;
  }
  return n + endpoint_.high_water(out.subspan(n));
}

}  // namespace portolan::broker::core
