// Construction, the turn of work, sessions up and down, and what only time brings about.
#include <algorithm>
#include <cstring>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {
namespace {

constexpr std::uint64_t kHousekeepNs = 100'000'000;
// A broker that has just started gives peers it has never seen this long before it calls them unreachable.
constexpr std::uint64_t kBootGraceNs = 1'000'000'000;
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
  downstreams_ = arena.take<Downstream>(ds);
  slots_ = arena.take<Slot>(limits.sessions);
  lags_ = arena.take<Lag>(ds * limits.topics);
  cursors_ = arena.take<std::uint64_t>(ds * limits.streams);
  owing_.construct(arena, limits.topics, limits.downstreams);
  announced_.construct(arena, limits.downstreams, limits.streams);
  catching_up_.construct(arena, limits.downstreams, limits.streams);
  catch_ups_ = arena.take<CatchUp>(limits.streams);
  in_flight_ = arena.take_raw<InFlight>(ds * kDataLanes * down_ring_);
  up_numbers_ = arena.take<UpNumber>(std::size_t{limits.sessions} * kDataLanes * up_ring_);
  topic_aliases_ = arena.take<std::uint32_t>(std::size_t{limits.sessions} * (limits.topics + 1));
  stream_aliases_ = arena.take<std::uint32_t>(std::size_t{limits.sessions} * (limits.streams + 1));
  waiting_ = arena.take<Waiting>(limits.unresolved_messages);
  filters_ = arena.take<Filter>(limits.filters);
  filter_texts_ = arena.take<char>(std::size_t{limits.filters} * limits.topic_name_bytes);
  union_ = arena.take<UnionFilter>(limits.filters);
  union_texts_ = arena.take<char>(std::size_t{limits.filters} * limits.topic_name_bytes);
  events_ = arena.take<Event>(limits.events);
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
    SessionOptions options = config.broker_sessions;
    options.initiate = own_id_ < peer.id;
    endpoint_.configure_peer(peer, options);
  }
  peer_count_ = downstream_high_;
  endpoint_.accept_clients(config.client_sessions, config.allowed_clients);
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
  while (dirty_head_ != kNil) {
    const std::uint32_t slot = dirty_head_;
    dirty_head_ = slots_[slot].next_dirty;
    slots_[slot].dirty = false;
    raise_delivered(slot);
  }
}

std::uint32_t Core::slot_of(SessionId session) const {
  for (std::uint32_t i = 0; i < limits_.sessions; ++i) {
    if (slots_[i].used && slots_[i].session == session) return i;
  }
  return kNil;
}

std::uint32_t Core::take_slot(const SessionEvent& event, std::uint32_t downstream) {
  for (std::uint32_t i = 0; i < limits_.sessions; ++i) {
    if (slots_[i].used) continue;
    const bool dirty = slots_[i].dirty;
    const std::uint32_t next = slots_[i].next_dirty;
    slots_[i] = Slot{};
    slots_[i].dirty = dirty;
    slots_[i].next_dirty = next;
    slots_[i].used = true;
    slots_[i].session = event.session;
    slots_[i].uid = event.uid;
    slots_[i].downstream = downstream;
    std::fill_n(&topic_alias(i, 0), limits_.topics + 1, kNil);
    std::fill_n(&stream_alias(i, 0), limits_.streams + 1, kNil);
    std::fill_n(&up_numbers_[std::size_t{i} * kDataLanes * up_ring_], std::size_t{kDataLanes} * up_ring_, UpNumber{});
    return i;
  }
  return kNil;
}

void Core::free_slot(std::uint32_t slot) {
  Slot& s = slots_[slot];
  while (s.waiting_head != kNil) {
    const std::uint32_t w = s.waiting_head;
    s.waiting_head = waiting_[w].next;
    store_.release(waiting_[w].incoming.message);
    waiting_[w].next = free_waiting_;
    free_waiting_ = w;
  }
  s.used = false;
  for (std::uint32_t i = 0; i < log_.streams(); ++i) {
    if (log_.stream(i).upstream == slot) log_.stream(i).upstream = kNil;
  }
}

std::uint32_t Core::find_downstream(std::uint64_t id, bool broker) const {
  for (std::uint32_t d = 0; d < downstream_high_; ++d) {
    if (downstreams_[d].used && downstreams_[d].id == id && downstreams_[d].broker == broker) return d;
  }
  return kNil;
}

// A place for a client: free, or of the client that was detached the longest ago and is away.
std::uint32_t Core::take_client(std::uint64_t id) {
  std::uint32_t best = kNil;
  for (std::uint32_t d = peer_count_; d < downstream_high_ && best == kNil; ++d) {
    if (!downstreams_[d].used) best = d;
  }
  if (best == kNil && downstream_high_ < limits_.downstreams) best = downstream_high_++;
  if (best == kNil) {
    for (std::uint32_t d = peer_count_; d < downstream_high_; ++d) {
      const Downstream& c = downstreams_[d];
      if (c.slot != kNil || !(c.detached || c.filter_count == 0)) continue;
      if (best == kNil || c.since_ns < downstreams_[best].since_ns) best = d;
    }
    if (best == kNil) return kNil;
    forget_client(best);
  }
  const bool queued = downstreams_[best].queued;
  const std::uint32_t next = downstreams_[best].next_ready;
  downstreams_[best] = Downstream{};
  downstreams_[best].queued = queued;
  downstreams_[best].next_ready = next;
  downstreams_[best].used = true;
  downstreams_[best].id = id;
  std::fill_n(&cursor(best, 0), limits_.streams, 0ull);
  return best;
}

void Core::forget_client(std::uint32_t d) {
  remove_filters(d, false, false);
  std::fill_n(&cursor(d, 0), limits_.streams, 0ull);
  downstreams_[d].used = false;
}

void Core::on_session(const SessionEvent& event) {
  if (event.kind == SessionEvent::Kind::up) {
    session_up(event);
  } else {
    session_down(event);
  }
}

void Core::session_up(const SessionEvent& event) {
  std::uint32_t d = find_downstream(event.peer, event.configured);
  if (d == kNil && !event.configured) d = take_client(event.peer);
  if (d == kNil) {
    endpoint_.close(now_, event.session, DownReason::local);
    return;
  }
  Downstream& down = downstreams_[d];
  if (down.slot != kNil) {  // the endpoint told no end of the old one
    free_slot(down.slot);
    down.slot = kNil;
  }
  const std::uint32_t slot = take_slot(event, d);
  if (slot == kNil) {
    endpoint_.close(now_, event.session, DownReason::local);
    return;
  }
  if (down.incarnation != 0 && event.peer_incarnation != down.incarnation) new_incarnation(d, event.peer_incarnation);
  down.incarnation = event.peer_incarnation;
  down.slot = slot;
  down.since_ns = now_.mono_ns;
  down.syncing = true;
  down.receiving = false;
  down.peer_answered = 0;
  down.snapshot_answer = 0;
  down.behind_since_ns = down.ask_after_ns = down.ask_backoff_ns = 0;
  down.announce_at = kNil;
  announced_.clear_row(d);
  for (std::uint32_t t = 0; t < log_.topics(); ++t) lag(d, t).topic_told = false;
  reset_sending(d);
  if (down.broker) begin_snapshot(d);
  answers_due_ = true;
  Event up;
  up.kind = EventKind::session_up;
  up.peer = event.peer;
  up.peer_incarnation = event.peer_incarnation;
  up.session_uid = event.uid;
  push_event(up);
}

void Core::session_down(const SessionEvent& event) {
  const std::uint32_t slot = slot_of(event.session);
  if (slot == kNil) return;
  const std::uint32_t d = slots_[slot].downstream;
  Downstream& down = downstreams_[d];
  free_slot(slot);
  if (down.slot == slot) {
    down.slot = kNil;
    down.since_ns = now_.mono_ns;
    down.syncing = down.receiving = false;
    down.snapshot = SnapshotStep::none;
    down.announce_at = kNil;
    down.snapshot_answer = 0;
    for (std::uint32_t f = down.first_filter; f != kNil; f = filters_[f].next) filters_[f].answer_version = 0;
    reset_sending(d);
  }
  answers_due_ = true;  // who waited for this peer waits no longer
  Event gone;
  gone.kind = EventKind::session_down;
  gone.peer = event.peer != 0 ? event.peer : down.id;
  gone.peer_incarnation = event.peer_incarnation;
  gone.session_uid = event.uid;
  gone.code = static_cast<std::uint32_t>(event.reason);
  push_event(gone);
}

// Whoever comes back with another incarnation has lost its memory. A client's cursors died with it: a new subscriber.
// A broker has clients that live on: its former interest keeps its place until they are back or the bound has passed.
void Core::new_incarnation(std::uint32_t d, std::uint32_t incarnation) {
  Downstream& down = downstreams_[d];
  down.incarnation = incarnation;
  down.interest_version = 0;
  if (!down.broker) {
    remove_filters(d, false, false);
    std::fill_n(&cursor(d, 0), limits_.streams, 0ull);
    down.detached = down.was_detached = false;
    down.interest_digest = 0;
    return;
  }
  down.interest_digest = 0;
  if (down.detached) {  // its place is gone; it subscribes anew, and its clients' RESUMEs bring back what is held
    std::fill_n(&cursor(d, 0), limits_.streams, 0ull);
    down.detached = down.was_detached = false;
  }
  if (down.first_filter == kNil) return;
  for (std::uint32_t f = down.first_filter; f != kNil; f = filters_[f].next) {
    filters_[f].ghost = true;
    filters_[f].stale = false;
  }
  down.filter_count = 0;
  down.ghost_until_ns = now_.mono_ns + detach_ns_;
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    lag(d, t).sendable = false;
    if (lag(d, t).attached) place_cursors(d, t);
  }
}

// Its start cursors are now what it will really be served: what it still owes, and what has not come yet, but nothing
// from before it subscribed.
void Core::place_cursors(std::uint32_t d, std::uint32_t topic) {
  for (std::uint32_t s = log_.topic(topic).first_stream; s != kNil; s = log_.stream(s).next_in_topic) {
    std::uint64_t& c = cursor(d, s);
    if (c == 0) continue;
    std::uint64_t from = log_.stream(s).contiguous + 1;
    for (std::uint32_t e = lag(d, topic).acked; e != kNil; e = next_eligible(d, log_.entry(e).next)) {
      const Entry& entry = log_.entry(e);
      if (entry.stream == s && !entry.is_gap()) from = std::min(from, entry.sequence);
    }
    c = std::max(c, from);
  }
}

void Core::check_withheld() {
  if (!withheld_for_peers_ && !withheld_for_clients_) return;
  const std::uint64_t age_ns = now_.mono_ns - started_ns_;
  bool unseen = false;
  for (std::uint32_t d = 0; d < peer_count_; ++d) unseen = unseen || !downstreams_[d].seen;
  const bool peers = unseen && age_ns < detach_ns_;
  // Half the bound, so that homes that wait for this broker's `delivered` do not take it for one that fell behind.
  const bool clients = own_incarnation_ > 1 && age_ns < detach_ns_ / 2;
  if (peers == withheld_for_peers_ && clients == withheld_for_clients_) return;
  withheld_for_peers_ = withheld_for_peers_ && peers;
  withheld_for_clients_ = withheld_for_clients_ && clients;
  end_withholding();
}

void Core::end_withholding() {
  for (std::uint32_t i = 0; i < limits_.sessions; ++i) {
    if (slots_[i].used) mark_dirty(i);
  }
  for (std::uint32_t t = 0; t < log_.topics(); ++t) expire(t);
}

void Core::housekeep() {
  next_housekeep_ns_ = now_.mono_ns + kHousekeepNs;
  check_withheld();
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    expire(t);
    Topic& topic = log_.topic(t);
    while (topic.oldest_pending != kNil && log_.entry(topic.oldest_pending).pending == 0) {
      topic.oldest_pending = log_.entry(topic.oldest_pending).next;
    }
    const std::uint32_t oldest = topic.oldest_pending;
    if (oldest != kNil && now_.mono_ns - log_.entry(oldest).time_ns >= detach_ns_) {
      detach_laggards(oldest, static_cast<std::uint32_t>(GapReason::detached), false);
    }
  }
  for (std::uint32_t d = 0; d < downstream_high_; ++d) {
    if (downstreams_[d].used) housekeep_downstream(d);
  }
  housekeep_catch_ups();
  for (std::uint32_t s = 0; s < log_.streams(); ++s) {
    const Stream& stream = log_.stream(s);
    if (stream.early == 0 || stream.upstream != kNil) continue;
    // Its publisher is gone, and with it what came before these: they were never accepted.
    const std::uint32_t e = log_.find(s, stream.highest);
    if (e == kNil || now_.mono_ns - log_.entry(e).time_ns >= detach_ns_) log_.drop_early(s, stream.highest);
  }
  if (now_.mono_ns < started_ns_ + kBootGraceNs + 2 * kHousekeepNs) answers_due_ = true;
  jobs_due_ = true;
  counters.retained_bytes = log_.retained_bytes();
  counters.retained_messages = log_.entries_used();
}

void Core::housekeep_downstream(std::uint32_t d) {
  Downstream& down = downstreams_[d];
  if (down.slot == kNil) {
    const bool owes = down.first_filter != kNil && !down.detached;
    if (owes && now_.mono_ns - down.since_ns >= detach_ns_) {
      detach(d, static_cast<std::uint32_t>(GapReason::detached));
    }
    return;
  }
  if (down.ghost_until_ns != 0 && now_.mono_ns >= down.ghost_until_ns) {
    down.ghost_until_ns = 0;
    remove_filters(d, false, true);
  }
  if (down.snapshot_due_ns != 0 && now_.mono_ns >= down.snapshot_due_ns) {
    down.snapshot_due_ns = 0;
    begin_snapshot(d);
  }
  if (down.reattach_due_ns != 0 && now_.mono_ns >= down.reattach_due_ns) reattach(d);
  check_interest(d);
}

bool Core::answered_by_peers(std::uint64_t need) const {
  const bool booting = now_.mono_ns < started_ns_ + kBootGraceNs;
  for (std::uint32_t d = 0; d < peer_count_; ++d) {
    const Downstream& peer = downstreams_[d];
    if (peer.slot == kNil) {
      if (booting && !peer.seen) return false;
    } else if (peer.peer_answered < need + 1) {
      return false;
    }
  }
  return true;
}

void Core::push_event(const Event& event) {
  if (event_count_ == limits_.events) {
    ++events_dropped_;
    return;
  }
  events_[(event_head_ + event_count_++) % limits_.events] = event;
}

bool Core::poll_event(Event& out) {
  if (event_count_ == 0) return false;
  out = events_[event_head_];
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
      {"topics", log_.topics(), limits_.topics},
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
