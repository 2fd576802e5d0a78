// The broker behind Engine: one object whose parts are split over the files of this folder by idea.
//   log.*          what was published: topics, streams, entries, retention
//   turn.cpp       construction and the turn of work
//   sessions.cpp   sessions up and down; housekeep.cpp: what only time brings about
//   interest.cpp   filters, what matches, my union towards peers; answers.cpp: SUBSCRIBED, digest and its mending
//   downstream.cpp who is served: attach, `delivered`, detach; send.cpp: pulling from the log, announcing, GAPs
//   resume.cpp     RESUME: what is held again, what is a GAP, what the home broker is asked
//   through.cpp    long messages that go on while they come
//   upstream.cpp   who sends: aliases, admission, the three answers
//   memory.cpp     retention, and what gives way when memory is short
//   control.cpp    control messages in
//   aliases.cpp    names of streams and topics, per session, within the receiver's tables
//   give_back.cpp  streams and topics of which nothing is left
//   permissions.cpp  who may publish and subscribe what
//   hubs.cpp       hub, standby and leaf: what passes where, and what happens when a hub dies
// Invariants:
//   (D, T) attached: acked <= sent <= end of T's log; every entry from `acked` on that D is eligible for counts D in
//   `pending`; both pointers stand on eligible entries or at the end (kNil). So nothing that is pointed at is removed.
//   In-flight numbers of the current epoch are in log order per (D, T).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "broker/engine.hpp"
#include "broker/engine/bits.hpp"
#include "broker/engine/log.hpp"
#include "broker/wire/control.hpp"

namespace portolan::broker::core {

static_assert(wire::kControlBytesMax == kControlMost, "what can be encoded can be sent");

inline constexpr std::uint32_t kGapsAhead = 8;  // told of one topic while messages before them are on their way
// Control messages left free for what must not wait (BUSY, interest deltas) while announcements and GAPs go out.
inline constexpr std::uint32_t kControlReserve = 16;
inline constexpr std::uint64_t kHousekeepNs = 100'000'000;
// A broker that has just started gives peers it has never seen this long before it calls them unreachable.
inline constexpr std::uint64_t kBootGraceNs = 1'000'000'000;
inline constexpr std::uint32_t kRefusedAlias = kNil - 1;  // announced, but no table had room for it
inline constexpr std::uint32_t kDeniedAlias = kNil - 2;   // announced by who has no right to it
inline constexpr std::uint32_t kPastAlias = kNil - 3;     // of a stream that is over: what comes is of no use
// A stream's alias: its place in the receiver's table, and which use of that place it is.
inline constexpr std::uint32_t kPlaceMask = 0xFFFFFFu;
inline constexpr std::uint32_t kDataLanes = 3;  // ordered, realtime, bulk
inline std::uint32_t data_lane(Lane lane) {
  return static_cast<std::uint32_t>(lane) - 1;
}

struct Filter {
  std::uint64_t answer_version = 0;  // SUBSCRIBED still owed for this INTEREST version; 0: none
  std::uint64_t need_version = 0;    // of my union: peers must have answered it first
  std::uint32_t length = 0;
  std::uint32_t next = kNil;     // of the same downstream, or free
  std::uint32_t unioned = kNil;  // client's: its place in my union
  std::uint8_t replay = 0;
  bool stale = false;  // in the snapshot that is coming in: not named yet
  bool ghost = false;  // of a former incarnation: keeps its place in the minimum, is not served
};

struct UnionFilter {          // what my clients want together, told to every peer
  std::uint64_t version = 0;  // at which it was added, or asked for more replay
  std::uint64_t since = 0;    // at which it was added
  std::uint32_t length = 0;
  std::uint32_t references = 0;  // 0: free
  std::uint8_t replay = 0;
};

struct Lag {  // of one (downstream, topic)
  std::uint32_t acked = kNil;
  std::uint32_t sent = kNil;
  std::uint32_t inflight = 0;
  std::uint32_t epoch = 0;
  std::uint32_t next_ready = kNil;
  std::uint32_t gaps_after = 0;  // the last message's number when GAPs were told ahead of messages in flight
  std::uint8_t gaps_ahead = 0;   // how many
  bool attached = false;         // in the minimum
  bool sendable = false;         // a live filter matches
  bool queued = false;           // in a ready list
  bool again = false;            // to be placed again (came_another_way)
  bool gaps_wait = false;        // GAPs of it, for the messages before them to arrive
  bool waits = false;            // for the homes' word on where what they retain begins
  std::uint32_t alias = 0;       // TOPIC was sent in this session; 0: not
};

struct InFlight {
  std::uint32_t topic = kNil;
  std::uint32_t entry = kNil;
  std::uint32_t epoch = 0;
};

struct DownLane {
  std::uint32_t ready_head = kNil;
  std::uint32_t ready_tail = kNil;
  std::uint32_t sent = 0;
  std::uint32_t delivered = 0;
  bool blocked = false;
};

enum class SnapshotStep : std::uint8_t { none, begin, filters, resumes, end };

struct Downstream {
  std::uint64_t id = 0;
  std::uint64_t since_ns = 0;            // of the present session, or of its absence
  std::uint64_t let_go_ns = 0;           // when it was detached the last time
  std::uint64_t progress_ns = 0;         // when its `delivered` rose the last time
  std::uint64_t ghost_until_ns = 0;      // 0: no ghost filters
  std::uint64_t returning_until_ns = 0;  // a broker that I had let go came back with another incarnation
  std::uint64_t backlog_bytes = 0;
  std::uint32_t unreachable = 0;       // peer: harbours that it says it cannot reach
  std::uint64_t interest_version = 0;  // what I hold of its interest
  std::uint64_t interest_digest = 0;
  std::uint64_t snapshot_answer = 0;  // SUBSCRIBED owed for a snapshot (version + 1); 0: none
  std::uint64_t snapshot_need = 0;
  std::uint64_t peer_answered = 0;    // peer: the version of mine that it has answered in this session
  std::uint64_t behind_since_ns = 0;  // its HEARTBEAT speaks of an interest that I do not hold; 0: it does not
  std::uint64_t ask_after_ns = 0;
  std::uint64_t ask_backoff_ns = 0;
  std::uint64_t snapshot_due_ns = 0;  // peer: send mine (again) then; 0: not
  std::uint64_t reattach_due_ns = 0;  // detached, and RESUME came outside a snapshot
  std::uint32_t incarnation = 0;
  Key32 key{};  // that it proved to have, in its present or latest session
  std::uint32_t interest_incarnation = 0;
  std::uint32_t slot = kNil;  // of its session; kNil: absent
  std::uint32_t first_filter = kNil;
  std::uint32_t last_filter = kNil;
  std::uint32_t filter_count = 0;
  std::uint32_t announce_at = kNil;  // next stream to look at; kNil: all announced
  std::uint32_t snapshot_at = 0;
  std::uint32_t next_ready = kNil;
  SnapshotStep snapshot = SnapshotStep::none;
  DownLane lanes[kDataLanes];
  std::uint32_t topics_max = 0, streams_max = 0;  // aliases that it can hold
  PeerRole role = PeerRole::mesh;
  bool used = false;
  bool broker = false;
  bool dormant = false;    // my hub or standby, whichever does not serve me now
  bool turned_to = false;  // a hub that I have just turned to: my next snapshot says so
  bool moved = false;      // a leaf that has just turned to me
  bool seen = false;       // its snapshot was complete once since I started
  bool syncing = false;    // session up, snapshot not complete
  bool receiving = false;  // its snapshot is coming in
  bool detached = false;
  bool was_detached = false;  // RESUMEs now say `detached` where messages are gone
  bool queued = false;
  bool control_blocked = false;  // something waits for room in its control queue
  bool gaps_wait = false;        // some topic's
  bool aliases_full = false;     // its table of streams was, and it has given up no topic since
};

// Numbers that I refused: neither `admitted` nor `delivered` passes them before the peer has my BUSY, or a publisher
// would hear *accepted* first. `control`: the control message that carries the last of these BUSYs.
struct Refusals {
  std::uint32_t first = 0, last = 0, control = 0;
};
inline constexpr std::uint32_t kRefusalRanges = 8;

struct UpLane {
  std::uint32_t admitted = 0;
  std::uint32_t delivered = 0;
  std::uint32_t highest = 0;
  std::uint32_t refusal_count = 0;
  Refusals refusals[kRefusalRanges];
};

struct Slot {  // one session, as far as data comes from it
  SessionId session = kNil;
  std::uint64_t uid = 0;
  std::uint32_t downstream = kNil;
  std::uint32_t waiting_head = kNil;  // data whose STREAM has not come
  std::uint32_t next_dirty = kNil;
  std::uint32_t next_here = kNil;  // another of the same place in the endpoint: its end has not been heard of
  UpLane lanes[kDataLanes];
  bool used = false;
  bool dirty = false;
};

struct InAlias {  // a place of the table of what a session's sender announced
  std::uint32_t stream = kNil;
  std::uint32_t serial = 0;
  std::uint32_t alias = 0;
};

struct UpNumber {  // what became of an upstream's session message number
  std::uint32_t entry = kNil;
  std::uint32_t serial = 0;  // 0: not come; kDone: nothing to wait for
};
inline constexpr std::uint32_t kDoneSerial = ~0u;

// A downstream needs what does not stand in my log in the order of sequences: what came upon a RESUME of mine, or will,
// stands behind later ones; and GAPs, told at once, overtake the messages between them. So the stream is served by
// sequence until that is over, or its window, or its memory of GAPs, might fill with what it cannot deliver yet. What
// has still to come from the home holds up its topic meanwhile.
struct CatchUp {
  std::uint64_t next = 0;
  std::uint64_t since_ns = 0;
  std::uint32_t downstream = kNil;  // kNil: free
  std::uint32_t stream = kNil;
};

// A long message that goes on while it comes: who gets it, and under which session message number stands in
// through_numbers_. Once it is whole its entry stands in the log, and whoever comes to that has been sent it already.
inline constexpr std::uint32_t kThroughs = 32;
struct Through {
  MessageId message = kNil;  // while it comes: a reference
  std::uint64_t sequence = 0;
  std::uint32_t slot = kNil, lane = 0, number = 0;  // from where
  std::uint32_t stream = kNil, stream_serial = 0;
  std::uint32_t entry = kNil, serial = 0;   // once it is whole
  std::uint64_t since_ns = 0, grew_ns = 0;  // when it began, and when more of it came the last time that I looked
  std::uint32_t here = 0;                   // bytes, then
  bool taken_back = false;  // from somebody, since it comes slowly: nobody else gets it before it is whole
  bool used = false;
};

struct Waiting {
  Incoming incoming;
  std::uint32_t next = kNil;
};

class Core {
 public:
  Core(const Limits& limits, const EngineConfig& config, Arena& arena);

  void receive(Now now, PathId path, std::span<const DatagramView> datagrams, std::span<Verdict> verdicts);
  void segment_ready(Now now, SessionId session);
  void tick(Now now);
  void drain(Now now);
  bool poll_transmit(Now now, Transmit& out);
  bool poll_event(Event& out);
  std::uint64_t next_deadline() const;
  std::uint32_t high_water(std::span<Endpoint::HighWater> out) const;

  bool more_work = false;
  std::uint32_t lose_control = 0, lose_count = 0;
  EngineCounters counters;
  std::span<const TopicCounters> topic_counters() const { return {topic_counters_, std::size_t{counted_rules_} + 1}; }
  Endpoint& endpoint() { return endpoint_; }
  const Endpoint& endpoint() const { return endpoint_; }

 private:
  // sessions.cpp
  void start(Now now);
  void work(Now now);  // takes what the endpoint has, then pumps
  bool take_input();
  void pump();
  void on_session(const SessionEvent& event);
  void session_up(const SessionEvent& event);
  void session_down(const SessionEvent& event);
  void session_refused(const SessionEvent& event);
  std::uint32_t slot_of(SessionId session) const;
  std::uint32_t take_slot(const SessionEvent& event, std::uint32_t downstream);
  void free_slot(std::uint32_t slot);
  std::uint32_t find_downstream(std::uint64_t id, bool broker) const;
  std::uint32_t take_client(std::uint64_t id);
  void new_incarnation(std::uint32_t d, std::uint32_t incarnation);
  void place_cursors(std::uint32_t d, std::uint32_t topic);
  void forget_client(std::uint32_t d);
  void housekeep();
  void housekeep_downstream(std::uint32_t d);
  void check_withheld();
  void end_withholding();
  bool kept_back(bool from_peer) const {
    return withheld_for_clients_ || (withheld_for_peers_ && (!from_peer || i_am_hub_));
  }
  void push_event(const Event& event);
  bool nameable(std::uint32_t d, std::uint32_t stream);

  // control.cpp
  void on_control(std::uint32_t slot, const Incoming& in);
  void on_topic(std::uint32_t slot, const wire::TopicBody& body);
  void announced_topic(std::uint32_t slot, std::uint32_t alias, std::uint32_t topic);
  void on_stream(std::uint32_t slot, const wire::StreamBody& body);
  void stream_from_publisher(std::uint32_t stream, const wire::StreamBody& body);
  void stream_from_home(std::uint32_t slot, std::uint32_t stream, const wire::StreamBody& body);
  void on_gap(std::uint32_t slot, const wire::GapBody& body);
  void on_busy(std::uint32_t slot, const wire::BusyBody& body);
  void on_gone(std::uint32_t slot, const wire::GoneBody& body);
  void on_ask(std::uint32_t slot, const wire::AskBody& body);
  void bad_control() { ++counters.bad_control; }
  template <typename Body>
  bool tell(std::uint32_t d, std::uint32_t control, const Body& body);
  std::uint32_t room(std::uint32_t d) const;
  std::uint32_t rule_for(std::string_view name) const;  // kNil: of none
  TopicCounters& counters_of(std::uint32_t topic) { return topic_counters_[log_.topic(topic).counted]; }
  void count_out(std::uint32_t topic, std::uint32_t bytes) {
    ++counters.delivered_out;
    TopicCounters& c = counters_of(topic);
    ++c.messages_out;
    c.bytes_out += bytes;
  }

  // aliases.cpp
  std::uint32_t alias_of(std::uint32_t d, std::uint32_t stream);  // 0: the receiver's table is full
  void forget_alias(std::uint32_t d, std::uint32_t stream);
  void forget_topic_alias(std::uint32_t d, std::uint32_t topic);
  void forget_aliases(std::uint32_t d);
  std::uint32_t take_place(BitMatrix& places, std::uint32_t d, std::uint32_t most);
  std::uint32_t stream_of(std::uint32_t slot, std::uint32_t alias) const;  // kNil: not announced yet
  std::uint32_t stream_of(std::uint32_t slot, const Incoming& in) const {  // of a message
    return wire::valid_sequence(in.sequence) ? stream_of(slot, in.publisher) : kRefusedAlias;
  }
  void ask_name_again(std::uint32_t slot, std::uint32_t alias);
  void announced_stream(std::uint32_t slot, std::uint32_t alias, std::uint32_t stream);

  // give_back.cpp
  std::uint32_t add_stream(std::uint32_t topic, std::uint64_t publisher, std::uint32_t incarnation);
  std::uint32_t add_topic(std::string_view name);
  bool superseded(std::uint32_t stream) const;
  bool spare(std::uint32_t stream) const;
  bool needed(std::uint32_t stream) const;
  void give_back(std::uint32_t stream);
  bool spare_topic(std::uint32_t topic, bool also_needed) const;
  void give_back_topic(std::uint32_t topic);
  void give_back_some();
  std::uint32_t revive(std::uint32_t topic, std::uint64_t publisher, std::uint32_t incarnation);

  // hubs.cpp
  bool passes(std::uint32_t d, std::uint32_t from) const;
  bool may_need(std::uint32_t d, std::uint32_t stream) const;
  InterestState interest_towards(std::uint32_t d) const;
  void tell_interest(std::uint32_t d);
  std::uint64_t wanted_since(std::uint32_t topic, std::uint32_t home) const;
  void choose_hub();
  void greet_dormant(std::uint32_t d);
  void take_over(std::uint32_t from, std::uint32_t to);
  std::uint64_t other_hubs_cursor(std::uint32_t d, std::uint32_t stream);
  void let_go_quietly(std::uint32_t d);
  void place_again(std::uint32_t d, std::uint32_t topic);
  void came_another_way(std::uint32_t stream, std::uint32_t home);

  // interest.cpp
  void on_interest(std::uint32_t slot, const wire::InterestBody& body);
  void add_filter(std::uint32_t d, const wire::InterestBody& body);
  void remove_filter(std::uint32_t d, std::uint32_t filter, std::uint32_t before);
  void remove_filters(std::uint32_t d, bool stale_only, bool ghost_only);
  void snapshot_complete(std::uint32_t d, std::uint64_t version);
  void rematch(std::uint32_t d, std::string_view filter, std::uint8_t replay);
  void rematch_topic(std::uint32_t d, std::uint32_t topic, std::uint8_t replay);
  void match_new_topic(std::uint32_t topic);
  std::string_view text_of(std::uint32_t filter) const;
  std::uint32_t union_add(std::string_view text, std::uint8_t replay);
  void union_remove(std::uint32_t unioned);
  bool union_matches(std::uint32_t topic) const;
  std::uint64_t union_since(std::uint32_t topic) const;
  std::string_view union_text(std::uint32_t unioned) const;
  void interest_changed(wire::InterestOp op, std::string_view text, std::uint8_t replay);
  void begin_snapshot(std::uint32_t d);
  void run_snapshot(std::uint32_t d);
  bool answered_by_peers(std::uint32_t d, std::uint64_t need) const;
  void run_answers(std::uint32_t d);
  bool answer(std::uint32_t d, std::uint64_t version);
  void on_subscribed(std::uint32_t slot, const wire::SubscribedBody& body);
  void check_interest(std::uint32_t d);

  // permissions.cpp
  void take_permissions(std::span<const Permission> permissions, Arena& arena);
  bool may(std::uint32_t d, Right right, std::string_view topic) const;
  bool may_all(std::uint32_t d, Right right, std::string_view filter) const;
  void denied(std::uint32_t d, Right right, std::string_view name);
  bool deny_filter(std::uint32_t slot, const wire::InterestBody& body);
  bool deny_topic(std::uint32_t d, Right right, std::string_view name);

  // downstream.cpp
  Lag& lag(std::uint32_t d, std::uint32_t topic) { return lags_[static_cast<std::size_t>(d) * limits_.topics + topic]; }
  const Lag& lag(std::uint32_t d, std::uint32_t topic) const {
    return lags_[static_cast<std::size_t>(d) * limits_.topics + topic];
  }
  std::uint64_t& cursor(std::uint32_t d, std::uint32_t stream) {
    return cursors_[static_cast<std::size_t>(d) * limits_.streams + stream];
  }
  bool eligible(std::uint32_t d, const Entry& entry) const { return passes(d, entry.from); }
  bool may_send(std::uint32_t d) const;
  void attach(std::uint32_t d, std::uint32_t topic, std::uint8_t replay);
  void end_waits(std::uint32_t d);
  std::uint64_t replay_start(std::uint32_t stream, std::uint8_t replay) const;
  void release_topic(std::uint32_t d, std::uint32_t topic);
  void rewind(std::uint32_t d, std::uint32_t topic, std::uint32_t entry);
  std::uint32_t next_eligible(std::uint32_t d, std::uint32_t entry) const;
  bool owes(std::uint32_t d, const Entry& entry) const;
  void release_one(std::uint32_t d, Entry& entry);
  void release_through(std::uint32_t d, std::uint32_t topic, std::uint32_t entry);
  void release_skipped(std::uint32_t d, std::uint32_t topic);
  void completed(Entry& entry);
  void appended(std::uint32_t entry);
  void make_ready(std::uint32_t d, std::uint32_t topic);
  void queue_downstream(std::uint32_t d);
  void serve(std::uint32_t d);
  enum class Pull : std::uint8_t { more, empty, blocked };
  Pull pull_one(std::uint32_t d, std::uint32_t topic);
  Pull send_entry(std::uint32_t d, std::uint32_t entry, bool in_log_order);
  void go_on_with(CatchUp& job, std::uint64_t last);
  Pull pull_by_sequence(std::uint32_t d, std::uint32_t topic, CatchUp& job);
  Pull pull_gap(std::uint32_t d, std::uint32_t topic);
  bool may_tell_gap(std::uint32_t d, std::uint32_t topic);
  void go_on_with_gaps(std::uint32_t d);
  bool announce(std::uint32_t d, std::uint32_t stream, bool check = true);
  void tell_what_is_gone(std::uint32_t d, std::uint32_t stream);
  bool should_serve(std::uint32_t d, std::uint32_t stream) const;
  bool tell_topic(std::uint32_t d, std::uint32_t topic);
  bool should_announce(std::uint32_t d, std::uint32_t stream) const;
  void announce_soon(std::uint32_t d, std::uint32_t stream);
  void run_announce(std::uint32_t d);
  bool tell_gap(std::uint32_t d, std::uint32_t stream, std::uint64_t first, std::uint64_t last, std::uint32_t reason);
  void on_progress(SessionId session);
  void detach(std::uint32_t d, std::uint32_t reason);
  void reattach(std::uint32_t d);
  void detach_laggards(std::uint32_t entry, std::uint32_t reason, bool want_room);
  void reset_sending(std::uint32_t d);

  // resume.cpp
  void on_resume(std::uint32_t slot, const wire::ResumeBody& body);
  void resume(std::uint32_t d, std::uint32_t stream, std::uint64_t next);
  void resume_held(std::uint32_t d, std::uint32_t stream, std::uint64_t next);
  bool held_in_order(std::uint32_t stream, std::uint64_t next) const;
  struct Missing {
    std::uint64_t last = 0;
    std::uint32_t reason = 0;
  };
  Missing missing_from(std::uint32_t d, std::uint32_t stream, std::uint64_t sequence) const;
  void tell_missing(std::uint32_t d, std::uint32_t stream, std::uint64_t next);
  void ask_for_forgotten_gaps(std::uint32_t stream);
  void ask_home(std::uint32_t stream, std::uint64_t next);
  bool send_resume(std::uint32_t peer, std::uint32_t stream, std::uint64_t next);
  std::uint64_t wanted_next(std::uint32_t stream);
  void begin_catch_up(std::uint32_t d, std::uint32_t stream, std::uint64_t next);
  void end_catch_up(std::uint32_t d, std::uint32_t stream);
  void end_catch_ups(std::uint32_t d, std::uint32_t topic);  // of all topics: kNil
  void housekeep_catch_ups();
  CatchUp* catch_up_of(std::uint32_t d, std::uint32_t stream);

  // through.cpp
  void on_begun(std::uint32_t slot, const Incoming& in);
  void run_throughs();
  void start_through(std::uint32_t through, std::uint32_t d);
  void ease_throughs();
  bool worth_taking_back(const Through& through, std::uint32_t d) const;
  void through_whole(std::uint32_t slot, const Incoming& in, std::uint32_t entry);
  void through_over(std::uint32_t slot, std::uint32_t lane, std::uint32_t first, std::uint32_t last);
  bool sent_through(std::uint32_t d, std::uint32_t entry);
  void forget_through(std::uint32_t d, std::uint32_t topic);  // of all topics: kNil
  void free_through(Through& through);
  void free_settled(Through& through);
  std::uint32_t through_of(std::uint32_t slot, std::uint32_t lane, std::uint32_t number) const;
  std::uint32_t& through_number(std::uint32_t through, std::uint32_t d) {
    return through_numbers_[static_cast<std::size_t>(through) * limits_.downstreams + d];
  }
  void on_starved(std::uint32_t slot, const Incoming& in);

  // upstream.cpp
  void on_data(std::uint32_t slot, Incoming& in);
  bool wait_for_stream(std::uint32_t slot, const Incoming& in);
  bool awaits_cursor(std::uint32_t stream) const;
  void resolve_waiting(std::uint32_t slot);
  void housekeep_waiting();
  void admit(std::uint32_t slot, const Incoming& in, std::uint32_t stream);
  bool known_duplicate(std::uint32_t slot, const Incoming& in, std::uint32_t stream);
  void refuse(std::uint32_t slot, const Incoming& in, std::uint32_t stream, RefuseReason reason);
  bool tell_busy(std::uint32_t slot, const Incoming& in, RefuseReason reason);
  bool refused_before(std::uint32_t stream, std::uint64_t sequence) const;
  void refuse_again(std::uint32_t slot, const Incoming& in, std::uint32_t stream);
  void drop_early_of(std::uint32_t slot);
  void link_early(std::uint32_t stream);
  std::uint32_t lengthen_gap(std::uint32_t stream, std::uint64_t first, std::uint64_t last, std::uint32_t reason);
  std::uint32_t stand_gap(std::uint32_t stream, std::uint64_t first, std::uint64_t last, std::uint32_t reason);
  void note_refusal(std::uint32_t slot, Lane lane, std::uint32_t number);
  void drop_told_refusals(std::uint32_t slot);
  void put_number(std::uint32_t slot, Lane lane, std::uint32_t number, std::uint32_t entry);
  UpNumber& number_at(std::uint32_t slot, std::uint32_t lane, std::uint32_t number) {
    return up_numbers_[(static_cast<std::size_t>(slot) * kDataLanes + lane) * up_ring_ + (number & (up_ring_ - 1))];
  }
  void mark_dirty(std::uint32_t slot);
  void raise_numbers(std::uint32_t slot);
  void raise_admitted(std::uint32_t slot, std::uint32_t lane);
  void raise_delivered(std::uint32_t slot, std::uint32_t lane);

  // memory.cpp
  void expire(std::uint32_t topic);
  void relieve_memory(std::uint32_t length = 0);
  bool waited_for(const Downstream& down, const Entry& entry) const;
  bool somebody_is_away() const;
  bool comes_back_for(const Entry& entry) const;
  void let_go_for_memory(std::uint32_t entry, std::uint32_t length);
  bool short_of_memory(std::uint32_t eighths, bool but_slots = false) const;

  InFlight& in_flight(std::uint32_t d, std::uint32_t lane, std::uint32_t number) {
    return in_flight_[(static_cast<std::size_t>(d) * kDataLanes + lane) * down_ring_ + (number & (down_ring_ - 1))];
  }
  InAlias& in_alias(std::uint32_t slot, std::uint32_t place) {
    return in_aliases_[static_cast<std::size_t>(slot) * (limits_.streams + 1) + place];
  }
  const InAlias& in_alias(std::uint32_t slot, std::uint32_t place) const {
    return in_aliases_[static_cast<std::size_t>(slot) * (limits_.streams + 1) + place];
  }
  std::uint32_t& out_alias(std::uint32_t d, std::uint32_t stream) {
    return out_aliases_[static_cast<std::size_t>(d) * limits_.streams + stream];
  }
  std::uint32_t& topic_alias(std::uint32_t slot, std::uint32_t alias) {
    return topic_aliases_[static_cast<std::size_t>(slot) * (limits_.topics + 1) + alias];
  }

  Limits limits_;
  std::uint64_t own_id_;
  std::uint32_t own_incarnation_;
  std::uint64_t detach_ns_, detach_bytes_;
  Store store_;
  Log log_;
  Endpoint endpoint_;

  struct Rule {
    char* filter = nullptr;
    std::uint32_t length = 0;
    TopicRule rule;
  };
  Rule* rules_;
  std::uint32_t rule_count_ = 0;
  TopicCounters* topic_counters_;
  std::uint32_t counted_rules_;

  struct Allowance {
    Key32 key{};
    std::uint8_t rights = 0;
    std::uint32_t length = 0;  // of its filter, in permission_texts_
  };
  Allowance* permissions_;
  char* permission_texts_;
  std::uint32_t permission_count_ = 0;
  bool permitted_all_ = true;  // there are no rules
  // Names in `denied` events, until they are polled; what finds no place is told by its counter only.
  static constexpr std::uint32_t kDeniedTexts = 16;
  char* denied_texts_;
  std::uint32_t denied_next_ = 0, denied_pending_ = 0;

  Downstream* downstreams_;
  std::uint32_t downstream_high_ = 0, peer_count_ = 0;
  Slot* slots_;
  std::uint32_t* slot_at_;  // by the session's place in the endpoint: its slot, and by `next_here` those of former ones
  Lag* lags_;
  std::uint64_t* cursors_;  // (downstream, stream): all below is delivered or not wanted; 0: not known yet
  BitMatrix owing_;         // topic x downstream: attached
  BitMatrix catching_up_;   // downstream x stream: has a CatchUp
  CatchUp* catch_ups_;
  std::uint32_t catch_up_high_ = 0;
  BitMatrix announced_;  // downstream x stream, in this session
  InFlight* in_flight_;
  std::uint32_t down_ring_;
  UpNumber* up_numbers_;
  std::uint32_t up_ring_;
  std::uint32_t* topic_aliases_;
  InAlias* in_aliases_;
  std::uint32_t* out_aliases_;              // (downstream, stream), in this session; 0: none
  std::uint8_t* place_uses_;                // (downstream, place): which use of it is the present one
  BitMatrix stream_places_, topic_places_;  // downstream x place, taken
  Through* throughs_;
  std::uint32_t* through_numbers_;  // (through, downstream); 0: not on its way
  std::uint32_t through_bound_ = 0, through_used_ = 0;
  bool through_in_the_way_ = false;  // perhaps: a lane takes no more
  Waiting* waiting_;
  std::uint32_t free_waiting_ = kNil;

  Filter* filters_;
  char* filter_texts_;
  std::uint32_t free_filter_ = kNil;
  UnionFilter* union_;
  char* union_texts_;
  std::uint32_t union_high_ = 0;
  InterestState mine_;
  std::uint32_t hub_ = kNil;  // a leaf's: which peer serves it now
  bool i_am_hub_ = false;

  Event* events_;
  std::uint32_t event_head_ = 0, event_count_ = 0;

  std::uint32_t ready_head_ = kNil, ready_tail_ = kNil;  // downstreams with something to send
  std::uint32_t dirty_head_ = kNil;                      // slots whose `delivered` may rise
  Now now_;
  std::uint64_t started_ns_ = 0, next_housekeep_ns_ = kNever;
  std::uint64_t backlog_high_ = 0;
  // A broker that starts raises no `delivered` over what a subscriber may be missing from whom it does not know yet:
  // peers' brokers (over what is published here), and after a restart its own former clients (over everything).
  bool withheld_for_peers_ = true, withheld_for_clients_ = true;
  bool started_ = false, answers_due_ = false, jobs_due_ = false, keep_expired_ = false;
  std::uint32_t give_back_at_ = 0;
  std::uint8_t scratch_[wire::kControlBytesMax];
};

template <typename Body>
bool Core::tell(std::uint32_t d, std::uint32_t control, const Body& body) {
  const std::uint32_t slot = downstreams_[d].slot;
  if (slot == kNil) return false;
  const std::size_t bytes = wire::encode(body, scratch_);
  return bytes != 0 && endpoint_.send_control(now_, slots_[slot].session, control, {scratch_, bytes});
}

}  // namespace portolan::broker::core
