// Frames as bytes: the header of bpf/layout/wire.h, and the bodies of the frames that carry no messages (ACK,
// HEARTBEAT, PROBE, CLOSE, RESET). Written up in broker/wire/PROTOCOL.md, "Frames". A body is a fixed struct,
// little-endian, followed (ACK) by ranges, then by the 16-byte trailer. Used by Endpoint and tests only; no state, no
// allocation.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "bpf/layout/wire.h"
#include "broker/types.hpp"

namespace portolan::broker::session {

static_assert(std::endian::native == std::endian::little, "bodies are copied as they lie in memory");

// Record header flags (high 8 bits of flags_length): the message's lane, so that one datagram may carry several lanes.
inline constexpr std::uint32_t kRecordLaneMask = 0x03;
inline constexpr std::uint32_t kRecordEmpty = 0x04;    // length 0, which "length - 1" cannot say
inline constexpr std::uint32_t kRecordCounted = 0x08;  // of a segment: its message was short, and counts for credit

struct AckBody {
  std::uint64_t contiguous = 0;  // all packets up to here came, or are settled by their sender
  std::uint64_t largest = 0;     // largest packet number that came
  std::uint64_t mature = 0;      // what is missing up to here has been missing for long enough: send it again
  std::uint64_t settled = 0;     // of the ACK's sender: none of its own packets up to here is open any more
  std::uint64_t credit = 0;      // absolute position: bytes of short messages that may be sent in all
  std::uint64_t bytes = 0;       // datagram bytes received in this session
  std::uint32_t delay_ns = 0;    // since `largest` came
  std::uint32_t ce_marks = 0;
  std::uint32_t admitted[PTL_LANES] = {};
  std::uint32_t delivered[PTL_LANES] = {};
  std::uint32_t range_count = 0;  // AckRange behind this struct, upwards from `contiguous` + `skip`
  std::uint32_t skip = 0;         // numbers told by an ACK before this one, for there were too many ranges
};
struct AckRange {
  std::uint32_t gap = 0;     // missing
  std::uint32_t length = 0;  // then received
};
inline constexpr std::uint32_t kAckRangesMax = 64;

struct HeartbeatBody {
  std::uint64_t timestamp_ns = 0;  // the sender's clock
  std::uint64_t echo_ns = 0;       // the last timestamp that the sender saw, 0: none
  std::uint32_t echo_delay_ns = 0;
  std::uint32_t interest_incarnation = 0;
  std::uint64_t interest_version = 0;
  std::uint64_t interest_digest = 0;
  std::uint64_t settled = 0;
  std::uint32_t ticket_sent[PTL_CLASSES] = {};
  std::uint32_t ticket_wanted[PTL_CLASSES] = {};
};

struct ProbeBody {
  std::uint32_t kind = 0;   // enum Probe
  std::uint32_t bytes = 0;  // size probes: what follows the frame header, padding and trailer included
  std::uint64_t nonce = 0;
};
enum Probe : std::uint32_t { kProbePath = 0, kProbePathAnswer = 1, kProbeSize = 2, kProbeSizeAnswer = 3 };

struct CloseBody {
  std::uint32_t reason = 0;  // DownReason
  std::uint32_t reserved = 0;
};

struct ResetBody {
  std::uint32_t session = 0;  // the index that nobody here knows
  std::uint32_t reserved = 0;
  std::uint8_t token[16] = {};
};

static_assert(sizeof(AckBody) == 96 && sizeof(AckRange) == 8 && sizeof(HeartbeatBody) == 64);
static_assert(sizeof(ProbeBody) == 16 && sizeof(CloseBody) == 8 && sizeof(ResetBody) == 24);
static_assert(PTL_FRAME_BYTES + sizeof(AckBody) + kAckRangesMax * sizeof(AckRange) + PTL_TRAILER_BYTES <=
                  PTL_FRAME_BYTES + PTL_FRAGMENT_FLOOR,
              "an ACK fits the smallest datagram");

struct Trailer {          // plain mode; sealed mode: the authenticator
  std::uint32_t crc = 0;  // CRC-32C of everything before the trailer
  std::uint32_t zero[3] = {};
  friend bool operator==(const Trailer&, const Trailer&) = default;
};
static_assert(sizeof(Trailer) == PTL_TRAILER_BYTES);

inline std::uint32_t type_of(const ptl_frame& f) {
  return f.version_type & 15u;
}
inline std::uint32_t version_of(const ptl_frame& f) {
  return f.version_type >> 4;
}
inline std::uint32_t lane_of(const ptl_frame& f) {
  return (f.flags & PTL_F_LANE_MASK) >> PTL_F_LANE_SHIFT;
}
inline std::uint32_t record_flags(const ptl_record& r) {
  return r.flags_length >> 24;
}
inline std::uint32_t record_length(const ptl_record& r) {
  return (record_flags(r) & kRecordEmpty) != 0 ? 0 : (r.flags_length & 0xFFFFFFu) + 1;
}
inline std::uint32_t record_flags_length(std::uint32_t lane, std::uint32_t length) {
  return length == 0 ? (lane | kRecordEmpty) << 24 : (lane << 24) | (length - 1);
}
inline constexpr std::uint32_t padded(std::uint32_t bytes) {
  return (bytes + 7) & ~7u;
}

template <typename T>
void put(std::uint8_t* at, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(at, &value, sizeof value);
}
template <typename T>
T get(const std::uint8_t* at) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline bool is_spoken(std::uint32_t type) {
  return type >= PTL_DATA && type <= PTL_CLOSE && type != PTL_PARITY;
}

// Judges what can be judged without a session: length, version, CRC of what follows the header. none: `out`
// holds.
Drop parse_frame(std::span<const std::uint8_t> datagram, ptl_frame& out);
// Plain mode, and what belongs to no session: CRC of all of a payload, and its trailer (everything but fragments).
Drop check_payload(std::span<const std::uint8_t> payload, std::uint32_t frame_crc);
Trailer plain_trailer(std::span<const std::uint8_t> body);
// Writes the trailer behind `bytes` bytes of payload and returns the CRC for the header.
std::uint32_t seal_payload(std::uint8_t* payload, std::uint32_t bytes);

// Sealed mode: `datagram` has its header (tag and CRC are not looked at), `bytes` of payload become sealed, the trailer
// the authenticator. Returns the CRC for the header.
std::uint32_t seal_packet(const Key32& key, std::uint8_t* datagram, std::uint32_t bytes);
// bad_crc: damaged; bad_trailer: not what was sealed. `out` takes the payload without its trailer.
Drop open_packet(const Key32& key, std::span<const std::uint8_t> datagram, std::uint8_t* out);

}  // namespace portolan::broker::session
