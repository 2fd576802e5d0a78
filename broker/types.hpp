// The vocabulary of the sans-I/O engines: what goes in, what comes out. Engines own no clock, thread, socket or file;
// everything arrives as an argument and leaves as a value. Used by every host (daemon, simulator, tests, fuzzer).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "bpf/layout/wire.h"

namespace portolan::broker {

// Both clocks of the host at the moment of the call. Injected clock skew acts on wall_ns (and on the rate of mono_ns).
struct Now {
  std::uint64_t mono_ns = 0;
  std::int64_t wall_ns = 0;
};
inline constexpr std::uint64_t kNever = ~0ull;

// A way to a peer, opaque to the engine: the host encodes (local socket, remote address, port) in it. Compared for
// equality and hashed into cookies; so a host keeps no state for strangers.
struct PathId {
  std::array<std::uint64_t, 3> words{};
  friend bool operator==(const PathId&, const PathId&) = default;
};

// The IP header's ECN field (RFC 3168): a queue that would have dropped a capable datagram marks it instead.
inline constexpr std::uint8_t kEcnNone = 0, kEcnCapable = 2, kEcnMarked = 3;

struct DatagramView {
  const std::uint8_t* data = nullptr;
  std::uint32_t bytes = 0;
  std::uint8_t ecn = kEcnNone;  // the IP header's ECN field, as it came
  std::span<const std::uint8_t> view() const { return {data, bytes}; }
};

// Why a datagram, or a part of it, went no further. Each has a counter of its own. The numbers of this and of the next
// enums stand in records and on the wire (PROTOCOL.md): they never change, new ones go at the end.
enum class Drop : std::uint8_t {
  none = 0,
  truncated = 1,
  bad_version = 2,
  bad_type = 3,
  bad_length = 4,
  unknown_session = 5,
  bad_tag = 6,
  bad_crc = 7,
  old = 8,
  replay = 9,
  no_grant = 10,
  lie = 11,  // fragments of one segment that disagree
  slots_full = 12,
  handshake_invalid = 13,
  cookie_invalid = 14,
  not_allowed = 15,
  session_table_full = 16,
  rate_limited = 17,
  reset_invalid = 18,
  duplicate_message = 19,  // a whole message that was here before (spurious repair)
  unknown_alias = 20,
  bad_control = 21,
  over_credit = 22,
  buffers_full = 23,
  backlog_full = 24,
  not_connected = 25,
  no_matching_bit = 26,
  bad_trailer = 27,
  unknown = 28,       // a frame type that is not spoken, from somebody with the right key: ignored
  bad_phase = 29,     // of a key phase that has no keys: over, or not yet begun
  mode_refused = 30,  // a handshake without a mode (sealed, plain) that both sides allow
  kCount = 31
};
const char* name_of(Drop drop);

// The engine's answer for each datagram, in order; the host writes audit rows from it.
struct Verdict {
  Drop drop = Drop::none;
  std::uint64_t session_uid = 0;  // equal at both ends and never again; 0 when no session is known
  std::uint64_t packet = 0;
  bool consumed = false;  // this datagram newly marked the number in the window, whatever `drop` says of the rest
};

// One datagram to send. Parts are sent in order as one datagram; valid until release_transmit(handle).
struct Transmit {
  PathId path;
  std::array<std::span<const std::uint8_t>, 4> parts{};
  std::uint32_t part_count = 0;
  std::uint32_t bytes = 0;  // sum of the parts
  std::uint32_t handle = 0;
  std::uint8_t lane = 0;
  bool retransmission = false;
  std::uint8_t ecn = kEcnNone;  // what the host writes into the IP header's ECN field
  // Message keys carried (see message_key), for hosts that follow messages; not part of the datagram.
  std::array<std::uint64_t, 48> keys{};
  std::uint32_t key_count = 0;
};

// Names a message for the host's own book-keeping: a mix of (topic name, publisher, incarnation, sequence).
std::uint64_t message_key(std::uint64_t topic_hash, std::uint64_t publisher, std::uint32_t incarnation,
                          std::uint64_t sequence);

// A message for the application. Spans are its bytes in order, valid until release_delivery(handle).
struct Delivery {
  std::span<const char> topic;  // full name
  std::uint64_t publisher = 0;
  std::uint32_t incarnation = 0;
  std::uint64_t sequence = 0;
  std::span<const std::span<const std::uint8_t>> bytes{};
  std::uint32_t length = 0;
  std::uint32_t handle = 0;
  std::uint64_t key = 0;
};

// What an answer to a publisher promises; ordered topics say which quorum holds the message (records: `code` of
// accepted and received rows, 0 where the row's kind says it all).
enum class Answer : std::uint8_t {
  none = 0,
  accepted = 1,       // realtime: the home broker holds the whole message
  received = 2,       // realtime: every subscriber attached has it, was told a GAP, or had been detached
  memory_quorum = 3,  // ordered: a majority holds it in memory
  disk_quorum = 4     // ordered: on disk
};

enum class RefuseReason : std::uint32_t {
  none = 0,
  not_connected = 1,
  memory_full = 2,
  too_long = 3,
  bad_topic = 4,
  backlog = 5,
  permission = 6,
  retry_later = 7
};
enum class GapReason : std::uint32_t {
  none = 0,
  retention = 1,       // outage longer than the topic's retention
  detached = 2,        // fell behind the bound
  publisher_lost = 3,  // open-ended: nobody knows where the old incarnation ended
  broker_lost = 4,     // a restarted home broker begins later than the cursor
  refused = 5
};
enum class DownReason : std::uint32_t {
  none = 0,
  timeout = 1,
  reset = 2,
  closed = 3,
  replaced = 4,
  handshake_failed = 5,
  local = 6,
  exhausted = 7,    // packet numbers or tickets near their end: a new session has new ones
  tampered = 8,     // too much that was tagged rightly and sealed wrongly
  mode_refused = 9  // no mode (sealed, plain) that both sides allow
};

enum class EventKind : std::uint8_t {
  session_up = 0,
  session_down = 1,  // peer, peer_incarnation, session_uid, code = DownReason
  subscribed = 2,    // filter (index in `text`), count = unreachable peers
  cursor = 3,        // topic, publisher, incarnation, first; code = 1 subscribed, 2 by ALIAS
  accepted = 4,
  refused = 5,
  received = 6,         // topic, publisher (self), incarnation, first..last sequences; code = RefuseReason
  gap = 7,              // topic, publisher, incarnation, first..last (~0: open-ended), code = GapReason
  detached = 8,         // broker: peer was detached by me; client: I was detached; code = reason
  peer_interest = 9,    // broker: a peer's interest is complete
  denied = 10,          // what a key may not: topic (broker, count = 1 publish) or filter (count = 2 subscribe), code =
                        // RefuseReason; broker: peer
  session_refused = 11  // there was none: peer, peer_incarnation, code = DownReason; told at each attempt
};
struct Event {
  EventKind kind{};
  std::span<const char> topic;  // or the filter; valid until the next call of poll_event
  std::uint64_t publisher = 0;
  std::uint32_t incarnation = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint32_t code = 0;
  std::uint32_t count = 0;
  std::uint64_t peer = 0;
  std::uint32_t peer_incarnation = 0;
  std::uint64_t session_uid = 0;
  std::uint64_t retry_after_ns = 0;
};

// Disk seam: ordered topics, snapshots and the toy log of the tests. The host keeps three files for each engine. What
// depends on a write leaves only after its disk_done; a read's bytes come with its disk_done.
enum class DiskOp : std::uint8_t { write = 0, sync = 1, truncate = 2, read = 3 };
enum class DiskFile : std::uint8_t { log = 0, vote = 1, snapshot = 2 };
struct DiskRequest {
  std::uint64_t token = 0;
  std::uint64_t offset = 0;             // truncate: the file's new length
  std::span<const std::uint8_t> bytes;  // write
  bool sync = false;                    // write: durable before disk_done
  DiskOp op = DiskOp::write;
  DiskFile file = DiskFile::log;
  std::uint32_t length = 0;  // read
};
enum class DiskResult : std::uint8_t { ok = 0, failed = 1, full = 2 };

using Key32 = std::array<std::uint8_t, 32>;

// Who I am. A broker's id is its harbour's; a client's is its publisher id. Never 0.
struct Identity {
  std::uint64_t id = 0;
  std::uint32_t incarnation = 1;  // a later start has a higher one
  Key32 static_private{};
  Key32 static_public{};
};
// What a configured peer is to this broker. Up to 64 harbours all are mesh: what comes from one goes to no other.
// Beyond that leaves hold sessions to a hub and a standby, and hubs mesh.
enum class PeerRole : std::uint8_t {
  mesh,         // of my rank
  hub,          // I am its leaf
  standby,      // I am its leaf once my hub is gone
  leaf,         // I am its hub
  standby_leaf  // I am its standby
};
inline bool is_leaf(PeerRole role) {
  return role == PeerRole::leaf || role == PeerRole::standby_leaf;
}
struct PeerConfig {  // broker: another broker of its tenant. client: its broker
  std::uint64_t id = 0;
  Key32 static_public{};
  PathId path;
  PeerRole role = PeerRole::mesh;
};

// Seeds every random choice of an engine; the daemon fills it from the kernel, the simulator from the plan's seed.
struct Entropy {
  Key32 seed{};
};

}  // namespace portolan::broker
