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

struct DatagramView {
  const std::uint8_t* data = nullptr;
  std::uint32_t bytes = 0;
  std::uint8_t ecn = 0;  // the IP header's ECN field
  std::span<const std::uint8_t> view() const { return {data, bytes}; }
};

// Why a datagram, or a part of it, went no further. Each has a counter of its own.
enum class Drop : std::uint8_t {
  none = 0,
  truncated,
  bad_version,
  bad_type,
  bad_length,
  unknown_session,
  bad_tag,
  bad_crc,
  old,
  replay,
  no_grant,
  lie,  // fragments of one segment that disagree
  slots_full,
  handshake_invalid,
  cookie_invalid,
  not_allowed,
  session_table_full,
  rate_limited,
  reset_invalid,
  duplicate_message,  // a whole message that was here before (spurious repair)
  unknown_alias,
  bad_control,
  over_credit,
  buffers_full,
  backlog_full,
  not_connected,
  no_matching_bit,
  bad_trailer,
  kCount
};
const char* name_of(Drop drop);

// The engine's answer for each datagram, in order; the host writes audit rows from it.
struct Verdict {
  Drop drop = Drop::none;
  std::uint64_t session_uid = 0;  // equal at both ends and never again; 0 when no session is known
  std::uint64_t packet = 0;
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

enum class RefuseReason : std::uint32_t {
  none = 0,
  not_connected,
  memory_full,
  too_long,
  bad_topic,
  backlog,
  permission,
  retry_later
};
enum class GapReason : std::uint32_t {
  none = 0,
  retention,       // outage longer than the topic's retention
  detached,        // fell behind the bound
  publisher_lost,  // open-ended: nobody knows where the old incarnation ended
  broker_lost,     // a restarted home broker begins later than the cursor
  refused
};
enum class DownReason : std::uint32_t { none = 0, timeout, reset, closed, replaced, handshake_failed, local };

enum class EventKind : std::uint8_t {
  session_up,
  session_down,  // peer, peer_incarnation, session_uid, code = DownReason
  subscribed,    // filter (index in `text`), count = unreachable peers
  cursor,        // topic, publisher, incarnation, first; code = 1 subscribed, 2 by ALIAS
  accepted,
  refused,
  received,      // topic, publisher (self), incarnation, first..last sequences; code = RefuseReason
  gap,           // topic, publisher, incarnation, first..last (~0: open-ended), code = GapReason
  detached,      // broker: peer was detached by me; client: I was detached; code = reason
  peer_interest  // broker: a peer's interest is complete
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

// Disk seam: ordered topics and the toy log of the tests. What depends on a write leaves only after its disk_done.
struct DiskWrite {
  std::uint64_t token = 0;
  std::uint64_t offset = 0;
  std::span<const std::uint8_t> bytes;
  bool sync = false;
};
enum class DiskResult : std::uint8_t { ok, failed, full };

using Key32 = std::array<std::uint8_t, 32>;

// Who I am. A broker's id is its harbour's; a client's is its publisher id. Never 0.
struct Identity {
  std::uint64_t id = 0;
  std::uint32_t incarnation = 1;  // a later start has a higher one
  Key32 static_private{};
  Key32 static_public{};
};
struct PeerConfig {  // broker: another broker of its tenant. client: its broker
  std::uint64_t id = 0;
  Key32 static_public{};
  PathId path;
};

// Seeds every random choice of an engine; the daemon fills it from the kernel, the simulator from the plan's seed.
struct Entropy {
  Key32 seed{};
};

}  // namespace portolan::broker
