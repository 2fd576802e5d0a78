// The packet half of an engine: sessions (handshake, numbering, tags, acknowledgement, repair, lanes, grants, credit,
// pacing, heartbeats). It moves whole messages, each exactly once per session and lane, in order only on the control
// lane; topics, order and retention belong to the Engine and ClientEngine above. Sans-I/O: see broker/types.hpp.
// The wire is written up in broker/wire/PROTOCOL.md. Called by Engine and ClientEngine only; one thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "broker/limits.hpp"
#include "broker/store.hpp"
#include "broker/types.hpp"

namespace portolan::broker {

struct DirectionKeys;

inline constexpr std::uint32_t kControlMost = 1'040;  // bytes of a control message: they fit every path
using SessionId = std::uint32_t;                      // local handle, unique over the life of the endpoint; kNil: none
enum class Lane : std::uint8_t { control = 0, ordered = 1, realtime = 2, bulk = 3 };

// How content is protected: sealed, or open to anybody on the way (tests; authenticated headers and handshake as ever).
enum Mode : std::uint32_t { kModePlain = 1, kModeSealed = 2 };

struct SessionOptions {
  bool initiate = false;  // this side sends the handshake, and again for ever with back-off
  std::uint64_t idle_interval_ns = 100'000'000;
  std::uint64_t rate_bps = 0;   // never faster than this; 0: as fast as the path is found to be
  std::uint64_t first_bps = 0;  // a rate to begin with; 0: ten datagrams in a round trip
  std::uint32_t fragment_bytes = PTL_FRAGMENT_DEFAULT;
  bool ecn = true;                    // datagrams say that queues may mark rather than drop them
  std::uint32_t modes = kModeSealed;  // allowed here, enum Mode; sealed where both ends allow both
  // What is sent gets new keys when any of these is passed (the hour: RFC 4253, 9); 0: not for that.
  std::uint64_t rekey_packets = 1ull << 32, rekey_bytes = 1ull << 36, rekey_ns = 3'600'000'000'000;
};

// What the other side said of itself in the handshake.
struct PeerLimits {
  std::uint32_t capabilities = 0;  // chosen for this session, enum Capability
  std::uint32_t fragment_max = 0;  // the largest fragment that it takes
  std::uint32_t topics_max = 0;    // aliases that it can hold
  std::uint32_t streams_max = 0;
};

// What left again of one topic (by my alias), over all sessions.
struct TopicRepair {
  std::uint64_t sent = 0;  // short messages, and fragments of long ones
  std::uint64_t bytes = 0;
};

// How a session stands, for hosts that record it.
struct SessionStats {
  std::uint32_t fragment_bytes = 0;  // the size that fragments are cut with now
  std::uint64_t size_probes = 0;     // sent, and answered
  std::uint64_t size_answers = 0;
  std::uint64_t size_falls = 0, size_rises = 0;
  std::uint64_t rate_bps = 0;                       // what it is sent at, at most, now
  std::uint64_t peer_bytes = 0;                     // datagram bytes that the peer says have come
  std::uint32_t peer_ce_marks = 0;                  // of them with a CE mark
  std::uint32_t send_phase = 0, receive_phase = 0;  // key phases, counted from 0
};

struct SessionEvent {
  // refused: no session came about with this peer, whose key is right: `reason` says why. Told at each attempt.
  enum class Kind : std::uint8_t { up, down, refused } kind{};
  SessionId session = kNil;
  std::uint64_t peer = 0;  // authenticated identity
  std::uint32_t peer_incarnation = 0;
  std::uint64_t uid = 0;
  bool configured = false;  // a configured peer (broker), else a client that came
  DownReason reason = DownReason::none;
  std::uint64_t after = 0;  // the endpoint's own: messages that came before it
  Key32 key{};              // the peer's static key
};

// A message to send on a data lane. The endpoint takes a reference of its own until it is acknowledged.
struct Outgoing {
  MessageId message = kNil;
  std::uint32_t topic = 0;      // alias
  std::uint32_t publisher = 0;  // alias
  std::uint64_t sequence = 0;
  std::uint32_t epoch = 0;
};

struct Incoming {
  // Of long messages, after give_early(). begun: the first segments are in `message` (a reference of the caller's own),
  // and more is coming; it goes up again as `whole`, or becomes `broken` (its session has ended, or GONE). starved: no
  // memory for it to begin; `message` is none, and it is said again each kStarvedAgainNs, after kStarvedLongNs as
  // starved_long.
  enum class Stage : std::uint8_t { whole, begun, starved, starved_long };
  SessionId session = kNil;
  Lane lane{};
  std::uint32_t number = 0;  // session message number
  bool repaired = false;     // part of it came in a retransmission
  // data lanes: the caller owns one reference of `message`
  MessageId message = kNil;
  std::uint32_t topic = 0;
  std::uint32_t publisher = 0;
  std::uint64_t sequence = 0;
  std::uint32_t epoch = 0;
  Stage stage = Stage::whole;
  std::uint32_t length = 0;  // when whole
  // control lane: valid until the next poll_message
  std::uint32_t control = 0;  // enum ptl_control
  std::span<const std::uint8_t> body;
};

inline constexpr std::uint32_t kEarlySegments = 4;  // of fewer nothing is told before they are whole
inline constexpr std::uint64_t kStarvedAgainNs = 20'000'000, kStarvedLongNs = 100'000'000;

enum class SendResult : std::uint8_t { ok, no_room, not_up, too_long };

struct Progress {
  std::uint32_t sent = 0;       // last number given by send()
  std::uint32_t admitted = 0;   // the peer holds all up to here
  std::uint32_t delivered = 0;  // and all its downstreams have all up to here
};

struct InterestState {
  std::uint32_t incarnation = 0;
  std::uint64_t version = 0;
  std::uint64_t digest = 0;
};

struct EndpointCounters {
  std::uint64_t datagrams_in = 0, datagrams_out = 0, bytes_in = 0, bytes_out = 0;
  std::uint64_t messages_in = 0, messages_out = 0;
  std::uint64_t repair_datagrams = 0, repair_bytes = 0, spurious_repairs = 0, packets_lost = 0;
  std::uint64_t segments_recut = 0;
  std::uint64_t rekeys = 0;  // of what is sent here
  std::uint64_t size_probes_out = 0, path_narrower = 0, path_wider = 0;
  std::uint64_t grants_given[PTL_CLASSES] = {}, grants_taken_back[PTL_CLASSES] = {};
  std::uint64_t gone_packets = 0;   // missing here, and told by the peer that it holds their content no longer
  std::uint64_t gone_messages = 0;  // withdrawn by the peer before they were whole here
  std::uint64_t gone_told = 0;      // asked of me, and held no longer
  std::uint64_t acks_out = 0, heartbeats_out = 0, handshakes_in = 0, handshakes_out = 0, resets_in = 0, resets_out = 0;
  std::uint64_t drops[static_cast<std::size_t>(Drop::kCount)] = {};
};

class Endpoint {
 public:
  // Below limits.sessions, and of one session at a time: for tables by session.
  static std::uint32_t place_of(SessionId session, const Limits& limits) { return session % limits.sessions; }

  Endpoint(const Limits& limits, const Identity& identity, const Entropy& entropy, Arena& arena, Store& store);

  // Keeps a session to this peer for as long as the endpoint lives (options.initiate), or only knows it (the peer
  // initiates). Before the first receive.
  void configure_peer(const PeerConfig& peer, const SessionOptions& options);
  // How sessions of clients that come by themselves are run; without this call strangers are refused. An empty
  // allow-list admits every key. With a list, or when told to, an identity stays bound to the key that first used it.
  void accept_clients(const SessionOptions& options, std::span<const Key32> allowed, bool bind_keys = false);

  // The host's side. A call does bounded work; poll until nothing comes.
  void receive(Now now, PathId path, std::span<const DatagramView> datagrams, std::span<Verdict> verdicts);
  // The kernel path's doorbell: looks at the gates of this session's open slots, now and from then on each
  // min(RTT/4, 1 ms) while one is open. A host with a kernel path rings once when a session is up; after that the
  // doorbell is a hint that may come early, late, twice or never. Without a kernel path nobody rings and nothing scans.
  void segment_ready(Now now, SessionId session);
  bool poll_transmit(Now now, Transmit& out);
  void release_transmit(std::uint32_t handle);
  void tick(Now now);
  std::uint64_t next_deadline() const;  // when tick or poll_transmit (pacing) next has work; kNever: on input only

  // Upward.
  bool poll_session_event(SessionEvent& out);
  bool poll_message(Incoming& out);    // nothing while a session event comes before it: poll both until neither has any
  bool poll_progress(SessionId& out);  // a session of which admitted or delivered moved on any lane, each once
  bool poll_room(SessionId& out);      // a session that said no_room and has room again, each once

  // Downward.
  SendResult send(Now now, SessionId session, Lane lane, const Outgoing& message, std::uint32_t& number);
  // Takes back what is not yet here as a whole and has been sent as far as it is: the peer forgets it, and its number
  // is passed as if it had come. The message may be sent again, under another number.
  void withdraw(Now now, SessionId session, Lane lane, std::uint32_t number);
  // Control messages are never refused while the session is up and its bounded queue has room (else the session ends:
  // a peer that acknowledges nothing). At most kControlMost bytes.
  bool send_control(Now now, SessionId session, std::uint32_t control, std::span<const std::uint8_t> body);
  // Control messages that send_control would still take now; 0 when not up. Announcements of many streams wait for room
  // (acknowledgements bring it back) instead of ending the session.
  std::uint32_t control_room(SessionId session) const;
  Progress progress(SessionId session, Lane lane) const;
  // After admit_explicitly() the peer hears of a data lane's messages as admitted only up to set_admitted: whoever may
  // refuse one (BUSY) must not let "admitted" arrive before the refusal. Without it, all that came is admitted.
  void admit_explicitly();
  // Long messages are told of at their first segment (Incoming::Stage), and may be sent on while they come.
  void give_early();
  bool room_for_long(std::uint32_t length) const;  // memory for one more of this length
  void set_admitted(SessionId session, Lane lane, std::uint32_t number);
  // All messages up to `number` that came on this lane have been delivered by everything below me.
  void set_delivered(SessionId session, Lane lane, std::uint32_t number);
  void set_interest(const InterestState& mine);                     // carried by every HEARTBEAT
  void set_interest(SessionId session, const InterestState& mine);  // of this session, as long as it lasts
  bool peer_interest(SessionId session, InterestState& out) const;
  void close(Now now, SessionId session, DownReason reason);  // tells the peer
  void drain(Now now);                                        // CLOSE to everybody: a graceful stop

  // What the receiver of this session would have to wait: for BUSY and detach decisions.
  std::uint64_t backlog_bytes(SessionId session) const;
  std::uint64_t backlog_ns(SessionId session) const;  // until all of it has left, at the rate of now
  std::uint64_t smoothed_rtt_ns(SessionId session) const;
  bool peer_limits(SessionId session, PeerLimits& out) const;
  bool stats(SessionId session, SessionStats& out) const;
  TopicRepair topic_repair(std::uint32_t alias) const;
  const EndpointCounters& counters() const;
  struct HighWater {
    const char* name;
    std::uint64_t used_most, bound;
  };
  std::uint32_t high_water(std::span<HighWater> out) const;
  // Test hook: numbers as a session has them after a long life; both ends, before anything is sent on it.
  void set_numbers_for_test(SessionId session, std::uint64_t packet, std::uint32_t ticket);
  // Test hook: the keys of what this session sends, for tests in which a peer lies with good tags and seals.
  bool keys_for_test(SessionId session, DirectionKeys& keys) const;

 private:
  struct State;
  State* s_ = nullptr;
};

}  // namespace portolan::broker
