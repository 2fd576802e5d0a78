// What an Endpoint is made of. Internal to broker/session/: the functions are spread over files by idea (lifecycle,
// handshake, receive, acknowledge, transmit, timers, segments_in, segments_out); all state is here, in the Arena.
#pragma once

#include "broker/crypto/cookie.hpp"
#include "broker/crypto/noise.hpp"
#include "broker/crypto/random.hpp"
#include "broker/crypto/siphash.hpp"
#include "broker/session/endpoint.hpp"
#include "broker/session/frame.hpp"
#include "broker/session/pacer.hpp"
#include "broker/session/pool.hpp"
#include "broker/session/receive_window.hpp"
#include "broker/session/rtt.hpp"
#include "broker/session/sent_packets.hpp"
#include "broker/session/timer_heap.hpp"

namespace portolan::broker {

using session::kMillisecond;
using session::kSecond;
using session::Queue;
using session::SentPacket;

inline constexpr std::uint32_t kLanes = PTL_LANES;
inline constexpr std::uint32_t kControlLane = PTL_LANE_CONTROL;
inline constexpr std::uint32_t kHandshakeBytes = 640;  // of any datagram that is not a session's
inline constexpr std::uint64_t kBacklogNs = 50 * kMillisecond;
inline constexpr std::uint64_t kBacklogLeast = 2'560;  // a slow session may still queue this much
inline constexpr std::uint32_t kControlReserve = 32;   // control entries kept for GRANT and its like
inline constexpr std::uint32_t kRowMost = 32;          // grants per class and session

// A message that is sent, from send() until its packets are acknowledged.
struct OutEntry {
  std::uint64_t sequence = 0;
  std::uint32_t next = kNil;
  MessageId message = kNil;   // data lanes
  std::uint32_t body = kNil;  // control lane: chain of chunks
  std::uint32_t topic = 0;
  std::uint32_t publisher = 0;
  std::uint32_t epoch = 0;
  std::uint32_t number = 0;
  std::uint32_t length = 0;
  std::uint16_t segments = 0;  // long messages: how many, cut, done
  std::uint16_t cut = 0;
  std::uint16_t done = 0;
  std::uint8_t lane = 0;
  bool withdrawn = false;  // refused by the peer: nothing more of it is cut
};

struct OutLane {
  std::uint32_t sent = 0, admitted = 0, delivered = 0;
  Queue fresh;    // short messages, never sent
  Queue lengthy;  // long messages, not wholly cut
  std::uint64_t fresh_bytes = 0, lengthy_bytes = 0;
  bool room_wanted[2] = {};  // by a short, by a long message
};

struct InLane {
  std::uint32_t admitted = 0, delivered = 0;
  std::uint64_t* bits = nullptr;  // numbers above `admitted` that came
};

// A message on its way up.
struct InItem {
  std::uint64_t sequence = 0;
  std::uint32_t next = kNil;
  std::uint32_t slot = 0;  // of the session
  SessionId handle = kNil;
  MessageId message = kNil;
  std::uint32_t body = kNil;
  std::uint32_t length = 0;
  std::uint32_t credit = 0;  // bytes of it that count for the peer's credit
  std::uint32_t topic = 0, publisher = 0, number = 0, epoch = 0;
  std::uint8_t lane = 0;
  bool repaired = false;
};

// What both ends tell each other inside the handshake, sealed. 72 bytes.
struct Welcome {
  std::uint64_t id = 0;
  std::uint32_t incarnation = 0;
  std::uint32_t session_index = 0;  // its sender's choice: what the other side writes into its frames
  std::uint32_t receive_messages = 0;
  std::uint32_t message_bytes_max = 0;
  std::uint32_t grants_per_class = 0;
  std::uint32_t reserved = 0;
  std::uint64_t credit_bytes = 0;
  std::uint64_t idle_interval_ns = 0;
  std::uint64_t rtt_ns = 0;  // the initiator's sample from HELLO to COOKIE; 0: none
  Token reset_token{};
};
static_assert(sizeof(Welcome) == 72);

// One segment being sent. It lives in its session's row, by ticket, until GRANT's base passes it.
struct OutSegment {
  std::uint64_t acked = 0, resend = 0;
  std::uint32_t ticket = 0;      // 0: free
  std::uint32_t generation = 0;  // counted at each cut, for what old packets still name
  std::uint32_t entry = kNil;
  std::uint32_t bytes = 0;   // record header and trailer included
  std::uint32_t offset = 0;  // of its payload in the message
  std::uint32_t crc = 0;     // of all but the trailer
  std::uint32_t fresh = 0;   // next fragment never sent
  std::uint32_t fragments = 0;
  std::uint16_t index = 0;  // of the segment in its message
  std::uint8_t lane = 0;
  std::uint32_t order = 0;  // of cutting
  ptl_record record{};
};
struct OutClass {
  std::uint32_t next_ticket = 1, base = 1, granted_end = 1;  // granted: below granted_end
  std::uint32_t queued = 0;                                  // segments not yet cut
  std::uint32_t want_told = 0;
  OutSegment* row = nullptr;
};

// One ticket that is open to the peer, or whose slot holds a segment not yet taken.
struct InSegment {
  std::uint32_t slot = kNil;
  bool repaired = false;
  bool used = false;  // a fragment came
};
struct InClass {
  std::uint32_t base = 1, granted_end = 1, wanted = 0;
  std::uint32_t done = 0;         // bits: ticket base + i is done
  std::uint32_t ready = 0;        // bits: ticket base + i is whole and waits for memory
  std::uint32_t next_unused = 1;  // above every ticket of which a fragment came
  std::uint64_t last_used_ns = 0;
  bool queued = false;  // waits for slots
  bool grant_dirty = false;
  ptl_grant* row = nullptr;
  InSegment* segments = nullptr;
};
// A long message of which some segments are here. Those before `appended` are in `message`; later ones wait in the row
// of partial_slots that has the InMessage's index.
struct InMessage {
  std::uint32_t next = kNil;
  MessageId message = kNil;
  ptl_record record{};
  std::uint32_t length = 0;
  std::uint32_t segments = 0, appended = 0;
  std::uint32_t reserved_slots[PTL_CLASSES] = {};
  std::uint32_t reserved_blocks = 0;
  bool copied = false;  // into blocks, since slots are scarce
  bool repaired = false;
};

inline std::uint32_t record_lane(const ptl_record& r) {
  return session::record_flags(r) & session::kRecordLaneMask;
}

enum class SessionState : std::uint8_t { free = 0, hello_sent, init_sent, responding, up };

struct Session {
  SessionState state = SessionState::free;
  bool initiator = false;
  SessionId handle = kNil;
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;  // of the handle
  std::uint32_t index_incarnation = 0;
  std::uint32_t local_index = 0, remote_index = 0;
  std::uint64_t uid = 0;
  std::uint64_t peer = 0;
  std::uint32_t peer_incarnation = 0;
  std::uint32_t peer_slot = kNil;  // configured peer
  PathId path;
  SessionOptions options;
  std::uint64_t idle_ns = 0;
  Token reset_token{};
  SipKey tag_in{}, tag_out{};

  // Handshake.
  std::uint64_t nonce = 0;
  std::uint64_t backoff_ns = 0;
  std::uint32_t tries = 0;
  std::uint64_t init_hash = 0;            // responder: names the first message, to answer its repeat alike
  std::uint8_t message[kHandshakeBytes];  // init or response, to repeat
  std::uint32_t message_bytes = 0;
  NoiseIk noise;  // initiator: between the two messages

  // Packets.
  session::ReceiveWindow in;
  session::SentPackets out;
  session::Rtt rtt;
  session::Pacer pacer, repair_pacer;
  ptl_window* window = nullptr;
  std::uint32_t* page_table = nullptr;
  std::uint64_t last_received_ns = 0, grace_until_ns = 0;
  std::uint64_t bytes_received = 0;
  std::uint32_t ce_marks = 0;
  std::uint64_t ack_due_ns = kNever;
  std::uint32_t unacknowledged = 0;  // eliciting datagrams since the last ACK
  std::uint64_t settled_told_ns = 0;
  std::uint32_t data_open = 0;  // packets with messages or fragments that are open
  std::uint64_t heartbeat_due_ns = kNever, heartbeat_last_ns = 0;
  std::uint32_t heartbeat_nth = 0;
  std::uint64_t resort_base_ns = 0;
  std::uint32_t resort_shift = 0;
  std::uint64_t peer_timestamp_ns = 0, peer_timestamp_at_ns = 0;
  InterestState peer_interest;
  bool peer_interest_known = false;

  // Address change.
  PathId probe_path;
  std::uint64_t probe_nonce = 0, probe_due_ns = kNever;
  std::uint32_t probe_tries = 0;
  bool answer_probe = false;
  PathId answer_path;
  std::uint64_t answer_nonce = 0;

  // Messages.
  OutLane lanes_out[kLanes];
  InLane lanes_in[kLanes];
  Queue repair;                      // entries of lost packets
  Queue held;                        // control messages that came too early, by number
  std::uint32_t control_queued = 0;  // control entries alive
  std::uint32_t peer_receive = 0, peer_message_max = 0;
  std::uint64_t credit_limit = 0, credit_used = 0;                    // mine to send
  std::uint64_t credit_came = 0, credit_taken = 0, credit_given = 0;  // the peer's
  std::uint32_t turn = 0;                                             // round robin of ordered and realtime
  std::uint64_t bulk_owed = 0;                                        // bytes
  bool last_was_fragment = false;
  bool progress_queued = false, room_queued = false, credit_short = false;

  // Segments.
  OutClass classes_out[PTL_CLASSES];
  InClass classes_in[PTL_CLASSES];
  std::uint64_t segments_live = 0;  // bits: row slots in use, class * kRowMost + place
  std::uint64_t segments_fresh = 0, segments_resend = 0;
  std::uint32_t cut_order = 0;
  Queue partial;  // InMessages
  std::uint64_t segments_retry_ns = 0;
  bool grants_dirty = false;
};

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

  Session* sessions = nullptr;
  Peer* peers = nullptr;
  std::uint32_t peer_count = 0;
  KnownIdentity* known = nullptr;
  std::uint32_t known_capacity = 0, known_used = 0;
  Key32* allowed = nullptr;
  std::uint32_t allowed_count = 0, allowed_capacity = 0;
  bool clients_accepted = false;
  SessionOptions client_options;
  bool draining = false;
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
  std::uint32_t polled_body = kNil;
  std::uint8_t* scratch = nullptr;  // the control body that was polled last
  session::Ring<SessionEvent> events;
  session::Ring<std::uint32_t> progressed, roomy;  // slots
  session::Ring<Reply> replies;
  session::Pool<TransmitBuffer> buffers;
  std::uint8_t* buffer_bytes = nullptr;
  session::Ring<std::uint32_t> want_slots[PTL_CLASSES];  // sessions that wait for slots, round robin
  session::Ring<std::uint32_t> dirty_grants;             // sessions with a GRANT to be told
  std::uint32_t reserved_slots[PTL_CLASSES] = {};        // promised to long messages that have begun
  std::uint32_t reserved_blocks = 0;
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
  Welcome my_welcome(const Session& s) const;
  void take_welcome(Session& s, const Welcome& theirs);
  bool allowed_client(const Key32& key) const;
  bool rate_limited();

  // receive.cpp
  Verdict receive_one(PathId path, const DatagramView& datagram);
  Drop receive_data(Session& s, const ptl_frame& frame, std::span<const std::uint8_t> payload);
  Drop receive_multiplexed(Session& s, const ptl_frame& frame, std::span<const std::uint8_t> payload);
  Drop admit_record(Session& s, const ptl_record& record, std::span<const std::uint8_t> body, bool repaired);
  Drop admit_control(Session& s, const ptl_record& record, std::span<const std::uint8_t> body, bool repaired);
  void hand_up_control(Session& s, std::uint32_t item);
  bool came_before(const Session& s, std::uint32_t lane, std::uint32_t number) const;
  bool in_range(const Session& s, std::uint32_t lane, std::uint32_t number) const;
  void note_admitted(Session& s, std::uint32_t lane, std::uint32_t number);
  bool consume(Session& s, const ptl_frame& frame, bool at_once);
  void receive_probe(Session& s, PathId path, const session::ProbeBody& body);
  void credit_freed(Session& s, std::uint32_t bytes);
  std::uint64_t credit_offer(const Session& s) const;
  void path_seen(Session& s, PathId path, std::uint64_t packet);
  bool take_segment_control(Session& s, std::uint32_t control, std::span<const std::uint8_t> body);

  // acknowledge.cpp
  Drop receive_ack(Session& s, std::span<const std::uint8_t> payload);
  Drop receive_heartbeat(Session& s, std::span<const std::uint8_t> payload);
  void packet_acknowledged(Session& s, std::uint64_t number);
  void packet_lost(Session& s, std::uint64_t number);
  void progress_lanes(Session& s, const std::uint32_t* admitted, const std::uint32_t* delivered);
  std::uint32_t write_ack(Session& s, std::uint8_t* payload);
  std::uint32_t write_heartbeat(Session& s, std::uint8_t* payload);
  void ask_ack(Session& s, std::uint64_t within_ns);

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
  void check_room(Session& s);
  void check_all_room();
  bool lane_has_room(Session& s, std::uint32_t lane, bool lengthy);
  bool enqueue_control(Session& s, std::uint32_t control, std::span<const std::uint8_t> body, bool internal);

  // timers.cpp
  void service(Session& s);  // timers that only set what is to be sent
  void reschedule(Session& s);
  std::uint64_t resort_due(const Session& s) const;
  void tick();

  // segments_out.cpp
  void enqueue_long(Session& s, std::uint32_t entry);
  bool fragment_waits(Session& s);  // cuts the next segment when there is credit and nothing else of its lane is open
  std::uint64_t resendable(Session& s) const;
  bool cut_next(Session& s, std::uint32_t lane);
  bool build_fragment(Session& s, std::uint32_t buffer, bool repair, Transmit& out);
  void write_segment(const OutSegment& seg, std::uint32_t from, std::uint32_t bytes, std::uint8_t* out);
  void fragment_acknowledged(Session& s, const session::SentPacket& packet);
  void fragment_lost(Session& s, const session::SentPacket& packet);
  void tell_wants(Session& s);
  bool tell_segment(Session& s, std::uint32_t control, std::uint32_t slot_class, std::uint32_t ticket,
                    std::uint64_t bits);
  OutSegment& segment_at(Session& s, std::uint32_t place) const {
    return s.classes_out[place / kRowMost].row[place % kRowMost];
  }
  bool receive_grant(Session& s, std::uint32_t slot_class, std::uint32_t base, std::uint32_t window);
  void receive_need(Session& s, std::uint32_t slot_class, std::uint32_t ticket, std::uint64_t bits);
  void message_refused(Session& s, std::uint32_t lane, std::uint32_t number);
  void free_segment(Session& s, std::uint32_t place);
  void drop_out_segments(Session& s);

  // segments_in.cpp
  Drop receive_fragment(Session& s, const ptl_frame& frame, std::span<const std::uint8_t> payload);
  Drop segment_whole(Session& s, std::uint32_t slot_class, std::uint32_t ticket);
  bool take_segment(Session& s, std::uint32_t slot_class, std::uint32_t ticket);  // false: no memory now
  InMessage* partial_of(Session& s, const ptl_record& record, std::uint32_t slot_class, std::uint32_t& index);
  bool append_segment(InMessage& m, std::uint32_t slot_class, std::uint32_t slot, std::uint32_t bytes);
  void finish_partial(Session& s, std::uint32_t index);
  void drop_partial(Session& s, std::uint32_t index);
  void unlink_partial(Session& s, std::uint32_t index);
  void ticket_done(Session& s, std::uint32_t slot_class, std::uint32_t ticket, bool give_slot);
  bool receive_want(Session& s, std::uint32_t slot_class, std::uint32_t last_wanted);
  bool receive_abandon(Session& s, std::uint32_t slot_class, std::uint32_t ticket);
  std::uint32_t free_slots(std::uint32_t slot_class) const;
  std::uint32_t free_blocks() const;
  bool wants_grant(const Session& s, std::uint32_t slot_class) const;
  void queue_want(Session& s, std::uint32_t slot_class);
  bool open_grant(Session& s, std::uint32_t slot_class);
  void mark_dirty(Session& s) {
    if (!s.grants_dirty) s.grants_dirty = dirty_grants.push(s.slot);
  }
  void serve_wants();
  void tell_grant(Session& s, std::uint32_t slot_class);
  void take_back_idle(Session& s);
  void retry_segments(Session& s);
  void drop_in_segments(Session& s);
  std::uint64_t segments_due(const Session& s) const;

  Drop count(Drop drop) {
    ++counters.drops[static_cast<std::size_t>(drop)];
    return drop;
  }
};

}  // namespace portolan::broker
