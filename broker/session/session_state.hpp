// One session's state: lanes, packets, segments, handshake. Plain data; the functions are Endpoint::State's. Internal
// to broker/session/.
#pragma once

#include "broker/crypto/cookie.hpp"
#include "broker/crypto/noise.hpp"
#include "broker/crypto/siphash.hpp"
#include "broker/session/endpoint.hpp"
#include "broker/session/frame.hpp"
#include "broker/session/pacer.hpp"
#include "broker/session/path_mtu.hpp"
#include "broker/session/pool.hpp"
#include "broker/session/rate_model.hpp"
#include "broker/session/receive_window.hpp"
#include "broker/session/repair_queue.hpp"
#include "broker/session/rtt.hpp"
#include "broker/session/sent_packets.hpp"

namespace portolan::broker {

using session::kMillisecond;
using session::kSecond;
using session::Queue;
using session::SentPacket;

inline constexpr std::uint32_t kLanes = PTL_LANES;
inline constexpr std::uint32_t kControlLane = PTL_LANE_CONTROL;
inline constexpr std::uint32_t kHandshakeBytes = 320;  // of any datagram that is not a session's
inline constexpr std::uint64_t kBacklogNs = 50 * kMillisecond;
inline constexpr std::uint64_t kBacklogLeast = 5'600;  // a slow session may still queue this much
inline constexpr std::uint32_t kControlReserve = 32;   // control entries kept for GRANT and its like
inline constexpr std::uint32_t kRowMost = 32;          // grants per class and session

inline constexpr std::uint32_t kGrantWindowMost = 1'024;  // that any receiver may give; what a row cannot hold waits
// A session ends, and its successor begins anew, this far before packet numbers or tickets do.
inline constexpr std::uint64_t kLastPacket = PTL_PACKET_MAX - (1u << 20);
inline constexpr std::uint32_t kLastTicket = 0xFFFFFFFFu - (1u << 16);
inline constexpr std::uint32_t kAckChainMost = 4;  // ACKs in a row while there are more gaps than one can tell
// What is tagged rightly but sealed wrongly: this many in this time end the session.
inline constexpr std::uint32_t kTamperedMost = 8;
inline constexpr std::uint64_t kTamperedWindow = 10 * kSecond;

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
  // Of long messages: segments, at most 257, and how many of them are here (while it is still coming), cut, and done.
  std::uint32_t segments : 10 = 0, here : 10 = 0, cut : 10 = 0;
  std::uint32_t done : 10 = 0, lane : 4 = 0;
  std::uint32_t withdrawn : 1 = 0;  // refused by the peer, or broken: nothing more of it is cut
  std::uint32_t counted : 1 = 0;    // long by now, but counted for credit when it was short
};
static_assert(sizeof(OutEntry) == 48 && PTL_MESSAGE_MAX / PTL_SEGMENT_PAYLOAD < 1u << 10);

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
  std::uint32_t told = 0;         // of `admitted`, as far as the engine has said so (admit_explicitly)
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
  Incoming::Stage stage = Incoming::Stage::whole;
};

// What both ends tell each other inside the handshake, sealed.
struct Welcome {
  std::uint64_t id = 0;
  std::uint32_t incarnation = 0;
  std::uint32_t session_index = 0;  // its sender's choice: what the other side writes into its frames
  std::uint32_t receive_messages = 0;
  std::uint32_t message_bytes_max = 0;
  std::uint32_t grants_per_class = 0;
  std::uint32_t capabilities = 0;  // enum Capability: initiator's offer again, responder's choice of it
  std::uint64_t credit_bytes = 0;
  std::uint64_t idle_interval_ns = 0;
  std::uint64_t rtt_ns = 0;  // the initiator's sample from HELLO to COOKIE; 0: none
  Token reset_token{};
  std::uint32_t fragment_max = 0;  // the largest fragment that its sender takes
  std::uint32_t topics_max = 0;    // aliases that its sender can hold
  std::uint32_t streams_max = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(Welcome) == 88);

// What the peer says has come, from its newest ACK; cumulative over the session. Input of the sending rate.
struct PeerReceived {
  std::uint64_t bytes = 0;     // of datagrams
  std::uint32_t ce_marks = 0;  // datagrams that a queue on the way marked
};

// The keys of one direction, by key phase (PROTOCOL.md "Key phases"): at most two phases live at once.
struct PhaseKeys {
  Key32 secret{};         // of the newest phase: the next one's is made of it
  DirectionKeys keys[2];  // by the phase's low bit
  bool known[2] = {};
  std::uint32_t phase = 0;  // the newest

  const DirectionKeys& of(std::uint32_t p) const { return keys[p & 1]; }
};

// One segment being sent. It lives in its session's row, by ticket, until GRANT's base passes it.
struct OutSegment {
  std::uint64_t acked = 0, resend = 0;
  // After a NEED: acknowledgements of its fragments count only for packets from this number on, for those of the
  // damaged ones may still come, behind the NEED.
  std::uint64_t doubted = 0, doubted_below = 0;
  std::uint32_t ticket = 0;      // 0: none (the place is free when it has no entry either)
  std::uint32_t generation = 0;  // counted at each cut, for what old packets still name
  std::uint32_t entry = kNil;
  std::uint32_t bytes = 0;               // record header and trailer included
  std::uint32_t piece = kNil, skip = 0;  // where its payload begins in the message
  std::uint32_t fresh = 0;               // next fragment never sent
  std::uint32_t fragments = 0;
  std::uint32_t size = 0;   // of a fragment: that of its cut, whatever the path takes by now
  std::uint16_t index = 0;  // of the segment in its message
  std::uint8_t lane = 0;
  bool recut = false;       // its ticket was given up: it waits for another
  bool trailed = false;     // `trailer` is that of this cut
  std::uint8_t phase = 0;   // low bit of the key phase that it was cut under
  std::uint32_t order = 0;  // of cutting
  std::uint8_t trailer[PTL_TRAILER_BYTES] = {};
  ptl_record record{};
};
struct OutClass {
  std::uint32_t next_ticket = 1, base = 1, granted_end = 1;  // granted: below granted_end
  std::uint32_t queued = 0;                                  // segments not yet cut, or to be cut again
  std::uint32_t recuts = 0;                                  // of them, to be cut again
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
  std::uint64_t check_ns = 0;  // unused grants: look again whether they should go back
  bool sent = false;           // a segment came once
  // In the endpoint's rings, which outlive the session: WANTs, WANTs of messages that have begun, wishes to keep two
  // grants, grants that are merely kept.
  bool queued = false, queued_begun = false, queued_keep = false, keeper = false;
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
  bool given = false;  // to the engine, before it is whole
};

inline std::uint32_t record_lane(const ptl_record& r) {
  return session::record_flags(r) & session::kRecordLaneMask;
}

// Tickets and numbers wrap: how far a is ahead of b.
inline std::int32_t ahead(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b);
}
inline PieceKind kind_of(std::uint32_t slot_class) {
  return slot_class == PTL_LARGE ? PieceKind::large_slot : PieceKind::small_slot;
}

// ABANDON's u64: who gives the ticket up.
inline constexpr std::uint64_t kAbandonBySender = 0;    // its message was refused, or it holds the segment no longer
inline constexpr std::uint64_t kAbandonByReceiver = 1;  // what came is not what was sealed: cut it anew

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
  Key32 peer_key{};
  std::uint32_t peer_slot = kNil;  // configured peer
  PathId path;
  SessionOptions options;
  std::uint64_t idle_ns = 0;
  Token reset_token{};
  bool sealed = false;
  PhaseKeys keys_in, keys_out;
  std::uint32_t send_phase = 0;    // of keys_out: what leaves now is tagged and sealed under it
  std::uint32_t key_number = 0;    // the control message that announced the newest phase
  std::uint64_t phase_packet = 1;  // the first packet of send_phase
  std::uint64_t phase_bytes = 0, phase_since_ns = 0;

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
  session::RateModel rate;
  session::Pacer pacer, repair_pacer;
  session::RepairWindow repair_window;
  bool waited = false;              // something could be sent, when that was looked at last
  std::uint64_t nothing_at_ns = 0;  // and since when not
  std::uint64_t waiting_since_ns = 0;
  ptl_window* window = nullptr;
  std::uint32_t* page_table = nullptr;
  std::uint64_t last_received_ns = 0, grace_until_ns = 0;
  std::uint64_t bytes_received = 0;
  std::uint32_t ce_marks = 0;  // that came here
  PeerReceived peer_received;
  std::uint64_t ack_due_ns = kNever;
  std::uint32_t unacknowledged = 0;  // eliciting datagrams since the last ACK
  std::uint64_t ack_from = 0;        // gaps up to here are told: the next ACK goes on behind it; 0: from the beginning
  std::uint32_t ack_chain = 0;       // ACKs in a row so far
  std::uint32_t tampered = 0;
  std::uint64_t tampered_since_ns = 0;
  std::uint64_t settled_told_ns = 0;
  std::uint32_t data_open = 0;  // packets with messages or fragments that are open
  std::uint64_t heartbeat_due_ns = kNever, heartbeat_last_ns = 0;
  std::uint32_t heartbeat_nth = 0;
  std::uint64_t resort_base_ns = 0;
  std::uint32_t resort_shift = 0;
  std::uint64_t peer_timestamp_ns = 0, peer_timestamp_at_ns = 0;
  InterestState peer_interest;
  bool peer_interest_known = false;
  InterestState own_interest;  // told to this peer, when `own_interest_set`; else the endpoint's
  bool own_interest_set = false;

  // Address change.
  PathId probe_path;
  std::uint64_t probe_nonce = 0, probe_due_ns = kNever;
  std::uint32_t probe_tries = 0;
  std::uint64_t probe_room = 0;     // bytes that came from there, less those sent there: an unproven path gets no more
  std::uint64_t probe_next_ns = 0;  // not before, however much comes
  bool answer_probe = false;
  PathId answer_path;
  std::uint64_t answer_nonce = 0;

  // The path's size.
  session::PathMtu mtu;
  std::uint32_t base_fragment_bytes = 0;  // options.fragment_bytes follows the path, this one does not
  session::PathMtu::Probe size_answers[4];
  std::uint32_t size_answer_count = 0;

  // Messages.
  OutLane lanes_out[kLanes];
  InLane lanes_in[kLanes];
  session::RepairQueue repair;       // entries of lost packets
  Queue held;                        // control messages that came too early, by number
  std::uint32_t control_queued = 0;  // control entries alive
  std::uint32_t peer_receive = 0, peer_message_max = 0;
  PeerLimits peer_limits;
  std::uint64_t credit_limit = 0, credit_used = 0;                    // mine to send
  std::uint64_t credit_came = 0, credit_taken = 0, credit_given = 0;  // the peer's
  std::uint32_t turn = 0;                                             // round robin of ordered and realtime
  std::uint64_t bulk_owed = 0;                                        // bytes
  bool last_was_fragment = false;
  bool progress_queued = false, room_queued = false;

  // Segments.
  OutClass classes_out[PTL_CLASSES];
  InClass classes_in[PTL_CLASSES];
  std::uint64_t segments_live = 0;  // bits: row slots in use, class * kRowMost + place
  std::uint64_t segments_fresh = 0, segments_resend = 0;
  std::uint32_t cut_order = 0;
  Queue partial;         // InMessages
  bool growing = false;  // in the endpoint's list of that name, which outlives the session
  bool ending = false;
  // A long message that finds no memory to begin: when it first asked, and last.
  std::uint32_t starved_number = 0, starved_lane = 0;
  std::uint64_t starved_since_ns = 0, starved_asked_ns = 0;
  std::uint64_t segments_retry_ns = 0;
  std::uint64_t round_ns = 0, round_bytes = 0, round_bytes_before = 0;  // segment bytes that came in a round trip
  bool grants_dirty = false;
  bool doorbells = false;  // some slots become whole without a datagram through here
};

}  // namespace portolan::broker
