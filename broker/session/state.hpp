// What an Endpoint is made of. Internal to broker/session/: the functions are spread over files by idea (lifecycle,
// handshake, key_phases, receive, path_probe, acknowledge, transmit, timers, segments_in, segments_out, grants); all
// state is here, in the Arena.
#pragma once

#include "broker/crypto/cookie.hpp"
#include "broker/crypto/random.hpp"
#include "broker/session/session_state.hpp"
#include "broker/session/timer_heap.hpp"

namespace portolan::broker {

struct Peer {
  PeerConfig config;
  SessionOptions options;
  std::uint32_t slot = kNil;     // session that is up
  std::uint32_t attempt = kNil;  // session that is on its way
};

struct KnownIdentity {  // by open addressing; an incarnation lower than the last seen one is refused
  std::uint64_t id = 0;
  std::uint32_t incarnation = 0;
  std::uint32_t slot = kNil;
  Key32 key{};
};

struct Reply {  // a datagram that belongs to no session, or to one that is gone
  PathId path;
  std::uint32_t bytes = 0;
  std::uint8_t data[kHandshakeBytes];
};

struct TransmitBuffer {
  std::uint32_t next = kNil;
  bool out = false;
};

struct Endpoint::State {
  State(const Limits& limits, const Identity& identity, const Entropy& entropy, Arena& arena, Store& store);

  Limits limits;
  Identity identity;
  Store* store;
  Random random;
  CookieJar cookies;
  ResetTokens reset_tokens;
  Now now;  // of the last call that told it
  EndpointCounters counters;
  std::uint64_t credit_high = 0;  // most bytes that one peer had here, admitted and not yet taken
  std::uint64_t repair_high = 0, repair_high_bound = 1;  // of one session's second: the nearest to its bound

  Session* sessions = nullptr;
  Peer* peers = nullptr;
  std::uint32_t peer_count = 0;
  KnownIdentity* known = nullptr;
  std::uint32_t known_capacity = 0, known_used = 0;
  Key32* allowed = nullptr;
  std::uint32_t allowed_count = 0, allowed_capacity = 0;
  bool clients_accepted = false;
  bool binds_keys = false;
  SessionOptions client_options;
  bool draining = false;
  bool admits_explicitly = false;
  bool gives_early = false;
  InterestState interest;

  session::TimerHeap work;  // by session slot: when poll_transmit has something to do
  session::TimerHeap life;  // by session slot, then by peer: attempts and deaths, served by tick
  session::SentPages pages;
  session::Pool<OutEntry> entries;
  session::Pool<InItem> items;
  session::Pool<InMessage> partials;
  std::uint32_t* partial_slots = nullptr;
  std::uint32_t partial_row = 0;  // slots of one long message at most
  session::Bodies bodies;
  Queue incoming;
  std::uint64_t arrived = 0, taken = 0;  // messages put into `incoming`, and polled
  std::uint32_t polled_body = kNil;
  std::uint8_t* scratch = nullptr;  // the control body that was polled last
  session::Ring<SessionEvent> events;
  session::Ring<std::uint32_t> progressed, roomy;  // slots
  session::Ring<Reply> replies;
  session::Pool<TransmitBuffer> buffers;
  std::uint8_t* buffer_bytes = nullptr;
  // Sessions that wait for slots, round robin: see grants.cpp.
  session::Ring<std::uint32_t> want_slots[PTL_CLASSES], begun_wants[PTL_CLASSES];
  session::Ring<std::uint32_t> keep_wants[PTL_CLASSES], keepers[PTL_CLASSES];
  session::Ring<std::uint32_t> dirty_grants;  // sessions with a GRANT to be told
  // Sessions that send a message of which segments are still to come (segments_early.cpp).
  std::uint32_t* growing = nullptr;
  std::uint32_t growing_count = 0;
  bool entries_wanted = false;         // somebody was refused for want of entries
  std::uint32_t waiting_segments = 0;  // whole, but no memory to take them
  std::uint64_t resets_window_ns = 0;
  std::uint32_t resets_in_window = 0;

  // lifecycle.cpp
  Session* find(SessionId handle);
  Session* take_session();
  void start_session(Session& s);  // keys and peer are known: packet state begins
  void establish(Session& s);      // up: event, replaces the old one
  void end_session(Session& s, DownReason reason, bool tell);
  void free_entries(Session& s);
  void release_entry(Session& s, std::uint32_t entry);
  KnownIdentity* identity_of(std::uint64_t id, bool create);
  void send_close(Session& s, DownReason reason);
  static std::uint8_t phase_flag(std::uint32_t phase) { return (phase & 1) != 0 ? PTL_F_KEY_PHASE : 0; }

  // handshake.cpp
  void begin_attempt(std::uint32_t peer);
  void attempt_due(Session& s);
  Drop receive_handshake(PathId path, std::span<const std::uint8_t> payload);
  Drop receive_hello(PathId path, std::span<const std::uint8_t> payload);
  Drop receive_cookie(PathId path, std::span<const std::uint8_t> payload);
  Drop receive_init(PathId path, std::span<const std::uint8_t> payload);
  Drop receive_response(PathId path, std::span<const std::uint8_t> payload);
  void reply(PathId path, std::uint32_t type, std::uint32_t session, std::span<const std::uint8_t> payload);
  void answer_version(PathId path, std::uint32_t datagram_bytes);
  void answer_unknown(PathId path, std::uint32_t session, std::uint32_t datagram_bytes);
  Drop receive_reset(PathId path, std::span<const std::uint8_t> payload);
  std::uint32_t fragment_max() const;
  Welcome my_welcome(std::uint32_t local_index, PathId path, const SessionOptions& options) const;
  void take_keys(Session& s, const SessionKeys& keys);
  void take_welcome(Session& s, const Welcome& theirs, std::uint32_t capabilities);
  void refuse_mode(PathId path, std::uint64_t nonce, const Welcome& theirs, const SessionOptions& options,
                   bool configured, NoiseIk& noise);
  void mode_refused(Session& s, const Welcome& theirs);
  void tell_refused(const Session* s, const Welcome& theirs, bool configured);
  bool allowed_client(const Key32& key) const;
  bool rate_limited();

  // receive.cpp
  std::uint8_t* opened_payload = nullptr;  // of the sealed datagram in hand
  Verdict receive_one(PathId path, const DatagramView& datagram);
  Drop receive_multiplexed(Session& s, const ptl_frame& frame, std::span<const std::uint8_t> payload);
  Drop admit_record(Session& s, const ptl_record& record, std::span<const std::uint8_t> body, bool repaired);
  Drop admit_control(Session& s, const ptl_record& record, std::span<const std::uint8_t> body, bool repaired);
  void hand_up_control(Session& s, std::uint32_t item);
  bool came_before(const Session& s, std::uint32_t lane, std::uint32_t number) const;
  bool in_range(const Session& s, std::uint32_t lane, std::uint32_t number) const;
  void note_admitted(Session& s, std::uint32_t lane, std::uint32_t number);
  bool consume(Session& s, const ptl_frame& frame, bool at_once);
  void note_tampered(Session& s);
  bool consumed = false;  // by the datagram in hand
  Drop receive_probe(Session& s, PathId path, const session::ProbeBody& body, std::uint32_t frame_bytes);
  void credit_freed(Session& s, std::uint32_t bytes);
  std::uint64_t credit_offer(const Session& s) const;
  void path_seen(Session& s, PathId path, std::uint64_t packet, std::uint32_t bytes);
  bool take_segment_control(Session& s, std::uint32_t control, std::span<const std::uint8_t> body);

  TopicRepair* topic_repairs = nullptr;  // by topic alias of mine, the last: all beyond the table
  void count_repair(const OutEntry& e, std::uint32_t bytes) {
    if (e.lane == kControlLane) return;
    TopicRepair& topic = topic_repairs[std::min(e.topic, limits.topics + 1)];
    ++topic.sent;
    topic.bytes += bytes;
  }

  // path_probe.cpp
  void reset_path_mtu(Session& s);
  void apply_path_mtu(Session& s);
  bool build_size_probe(Session& s, std::uint32_t buffer, Transmit& out);
  bool is_short(const Session& s, std::uint32_t length) const;
  bool repair_as_long(Session& s, std::uint32_t entry);

  // acknowledge.cpp
  Drop receive_ack(Session& s, std::span<const std::uint8_t> payload);
  Drop receive_heartbeat(Session& s, std::span<const std::uint8_t> payload, bool newest);
  void packet_acknowledged(Session& s, std::uint64_t number);
  void packet_lost(Session& s, std::uint64_t number);
  void progress_lanes(Session& s, const std::uint32_t* admitted, const std::uint32_t* delivered);
  std::uint32_t write_ack(Session& s, std::uint8_t* payload);
  std::uint32_t write_heartbeat(Session& s, std::uint8_t* payload);
  void ask_ack(Session& s, std::uint64_t within_ns);
  void follow_rate(Session& s);

  // transmit.cpp
  bool poll_transmit(Transmit& out);
  bool build(Session& s, Transmit& out);
  bool build_data(Session& s, std::uint32_t buffer, Transmit& out);
  bool build_multiplexed(Session& s, std::uint32_t buffer, bool repair, Transmit& out);
  std::uint8_t* buffer_at(std::uint32_t buffer) { return buffer_bytes + std::size_t{buffer} * limits.datagram_bytes; }
  std::uint32_t choose_fresh(Session& s, std::uint32_t room);
  std::uint32_t choose_repair(Session& s, std::uint32_t room);
  bool may_send(Session& s, std::uint32_t lane);  // its first short message, now
  bool bulk_turn(const Session& s) const;
  bool short_waits(Session& s);
  bool entries_to_repair(Session& s);
  void note_data_sent(Session& s);
  void finish(Session& s, Transmit& out, std::uint32_t buffer, std::uint32_t payload_bytes, ptl_frame& frame,
              session::SentKind kind, const session::SentPacket& record);
  static void close_payload(const Session& s, std::uint8_t* data, ptl_frame& frame);
  void check_room(Session& s);
  void check_all_room();
  bool lane_has_room(Session& s, std::uint32_t lane, bool lengthy);
  bool enqueue_control(Session& s, std::uint32_t control, std::span<const std::uint8_t> body, bool internal);

  // timers.cpp
  void service(Session& s);  // timers that only set what is to be sent
  void reschedule(Session& s);
  std::uint64_t resort_due(const Session& s) const;
  void tick();

  // key_phases.cpp
  void service_keys(Session& s);
  bool may_rekey(const Session& s) const;
  bool old_phase_open(Session& s);
  bool tell_key(Session& s, std::uint32_t what, std::uint32_t phase);
  bool receive_key(Session& s, std::span<const std::uint8_t> body);

  // segments_out.cpp
  void enqueue_long(Session& s, std::uint32_t entry);
  bool fragment_waits(Session& s);  // cuts the next segment when there is credit and nothing else of its lane is open
  std::uint64_t resendable(Session& s) const;
  bool cut_next(Session& s, std::uint32_t lane);
  bool build_fragment(Session& s, std::uint32_t buffer, bool repair, Transmit& out);
  void write_segment(const OutSegment& seg, std::uint32_t from, std::uint32_t bytes, std::uint8_t* out);
  std::uint32_t crc_of(const OutSegment& seg) const;  // plain mode's trailer
  void write_fragment(Session& s, std::uint32_t place, std::uint32_t from, std::uint32_t bytes, std::uint8_t* out);
  // The segment that was sealed last, all of it: its fragments are mostly built in a row, and are then copies of this.
  std::uint8_t* sealed_segment = nullptr;
  SessionId sealed_session = kNil;
  std::uint32_t sealed_place = 0, sealed_generation = 0;
  void fragment_acknowledged(Session& s, const session::SentPacket& packet, std::uint64_t number);
  void fragment_lost(Session& s, const session::SentPacket& packet);
  void tell_wants(Session& s);
  bool tell_segment(Session& s, std::uint32_t control, std::uint32_t slot_class, std::uint32_t ticket,
                    std::uint64_t bits);
  OutSegment& segment_at(Session& s, std::uint32_t place) const {
    return s.classes_out[place / kRowMost].row[place % kRowMost];
  }
  bool receive_grant(Session& s, std::uint32_t slot_class, std::uint32_t base, std::uint32_t window);
  bool receive_need(Session& s, std::uint32_t slot_class, std::uint32_t ticket, std::uint64_t bits);
  bool ticket_refused(Session& s, std::uint32_t slot_class, std::uint32_t ticket);
  bool cut_again(Session& s, std::uint32_t slot_class);
  bool tell_gone(Session& s, std::uint32_t lane, std::uint32_t number);
  void message_refused(Session& s, std::uint32_t lane, std::uint32_t number);
  void withdraw(Session& s, std::uint32_t lane, std::uint32_t number);
  void free_segment(Session& s, std::uint32_t place);
  void drop_out_segments(Session& s);

  // segments_early.cpp
  void give_early(Session& s, InMessage& m);
  void ask_for_memory(Session& s, const ptl_record& record);
  bool offer_segments(Session& s);
  void note_growing(Session& s);
  void message_grew();
  void message_broke(MessageId message);

  // segments_in.cpp
  Drop receive_fragment(Session& s, const ptl_frame& frame, std::span<const std::uint8_t> payload);
  Drop segment_whole(Session& s, std::uint32_t slot_class, std::uint32_t ticket);
  bool take_segment(Session& s, std::uint32_t slot_class, std::uint32_t ticket);  // false: no memory now
  bool slots_for(std::uint32_t length, std::uint32_t slot_class, std::uint32_t* slots) const;
  InMessage* partial_of(Session& s, const ptl_record& record, std::uint32_t slot_class, std::uint32_t& index);
  bool append_segment(InMessage& m, std::uint32_t slot_class, std::uint32_t slot, std::uint32_t bytes);
  void finish_partial(Session& s, std::uint32_t index);
  void drop_partial(Session& s, std::uint32_t index);
  void unlink_partial(Session& s, std::uint32_t index);
  void forget_partial(Session& s, std::uint32_t lane, std::uint32_t number);
  void ticket_done(Session& s, std::uint32_t slot_class, std::uint32_t ticket, bool give_slot);
  bool receive_want(Session& s, std::uint32_t slot_class, std::uint32_t last_wanted);
  bool receive_abandon(Session& s, std::uint32_t slot_class, std::uint32_t ticket);
  std::uint32_t free_slots(std::uint32_t slot_class) const;
  std::uint32_t grant_window(const Session& s, std::uint32_t slot_class) const;
  bool wants_grant(const Session& s, std::uint32_t slot_class) const;
  bool may_keep_grant(const Session& s, std::uint32_t slot_class) const;
  std::uint32_t passage(std::uint32_t slot_class) const;
  void serve_begun(std::uint32_t slot_class);
  void serve_class(std::uint32_t slot_class);
  void segment_bytes_came(Session& s, std::uint32_t bytes);
  void queue_want(Session& s, std::uint32_t slot_class);
  bool open_grant(Session& s, std::uint32_t slot_class);
  void mark_dirty(Session& s) {
    if (!s.grants_dirty) s.grants_dirty = dirty_grants.push(s.slot);
  }
  void serve_wants();
  void retry_wants();
  bool somebody_wants() const;
  std::uint64_t wants_retry_ns = 0;
  void tell_grant(Session& s, std::uint32_t slot_class);
  void scan_gates(Session& s);
  void scan_all_gates();
  void gates_open(const Session& s);  // they are to be scanned, when doorbells ring for this session
  std::uint64_t gates_due_ns = kNever;
  void take_back_idle(Session& s);
  bool take_back(Session& s, std::uint32_t slot_class, bool wanted_too);
  void retry_segments(Session& s);
  void drop_in_segments(Session& s);
  std::uint64_t segments_due(const Session& s) const;

  Drop count(Drop drop) {
    ++counters.drops[static_cast<std::size_t>(drop)];
    return drop;
  }
};

}  // namespace portolan::broker
