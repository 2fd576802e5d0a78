// Bodies of the control lane's messages (table "Control messages" of PROTOCOL.md): plain values, and one encode/decode
// pair each. Fields in the table's order, little-endian, naturally aligned, strings and lists last. Decoding validates
// everything that can be judged without state; what it accepts, encode makes again byte for byte. No allocation: views
// point into the decoded body. Used by Endpoint (segments), Engine, ClientEngine, tests and the fuzzer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "bpf/layout/wire.h"

namespace portolan::broker::wire {

inline constexpr std::size_t kControlBytesMax = 1'040;  // Endpoint::send_control refuses more
// No sequence is above this one, so that "the next", "the one after the last" and a walk between two of them never
// wrap.
inline constexpr std::uint64_t kSequenceMax = std::uint64_t{1} << 62;
constexpr bool valid_sequence(std::uint64_t sequence) {
  return sequence != 0 && sequence <= kSequenceMax;
}
inline constexpr std::uint64_t kUnknownLast = ~0ull;  // STREAM.previous_last unknown; GAP.last open-ended

struct TopicBody {
  std::uint32_t alias = 0;  // from 1
  std::uint8_t lane = PTL_LANE_REALTIME;
  std::string_view name;
};

struct StreamBody {
  std::uint32_t alias = 0;  // from 1
  std::uint32_t topic = 0;  // alias of the sender's TOPIC
  std::uint64_t publisher = 0;
  std::uint64_t start = 1;          // owed from here on
  std::uint64_t previous_last = 0;  // of previous_incarnation; 0: none came, kUnknownLast: unknown
  std::uint32_t incarnation = 0;
  std::uint32_t previous_incarnation = 0;  // 0: none known before; else below `incarnation`
  // The version of the receiver's interest that the sender held: a STREAM older than the receiver's latest subscription
  // speaks of a former one, and its start cursor is not to be trusted. 0 from a publisher.
  std::uint64_t interest = 0;
};

enum class InterestOp : std::uint8_t { snapshot_begin = 0, add = 1, remove = 2, snapshot_end = 3 };
struct InterestBody {
  std::uint64_t version = 0;
  std::uint32_t incarnation = 0;
  InterestOp op = InterestOp::add;
  // ReplayMode: 0 none, 1 last, 2 retained. 0 unless `add`; snapshot_begin: 2 from a leaf that has just turned to this
  // hub
  std::uint8_t replay = 0;
  std::string_view filter;  // empty for snapshot_begin and snapshot_end, else not
};

inline constexpr std::uint32_t kHarboursMax = (kControlBytesMax - 16) / 8;
struct SubscribedBody {
  std::uint64_t version = 0;                  // the INTEREST version that is answered
  std::uint32_t unreachable = 0;              // harbours listed here, at most kHarboursMax
  std::uint32_t total = 0;                    // harbours unreachable in all, at least `unreachable`
  const std::uint64_t* harbours = nullptr;    // to encode: `unreachable` ids
  std::span<const std::uint8_t> encoded_ids;  // decoded: read them by harbour(i)
  std::uint64_t harbour(std::uint32_t index) const;
};

struct ResumeBody {
  std::uint64_t publisher = 0;
  std::uint64_t next = 0;
  std::uint32_t topic = 0;  // alias of RESUME's sender
  std::uint32_t incarnation = 0;
};

struct DetachedBody {
  std::uint32_t reason = 0;
};

struct GapBody {
  std::uint64_t first = 0;
  std::uint64_t last = 0;    // at least `first`; kUnknownLast: open-ended
  std::uint32_t stream = 0;  // alias of GAP's sender
  std::uint32_t reason = 0;  // GapReason
};

struct BusyBody {
  std::uint64_t retry_after_ns = 0;
  std::uint32_t lane = 0;
  std::uint32_t number = 0;
  std::uint32_t reason = 0;  // RefuseReason
};

struct GoneBody {
  std::uint32_t lane = 0;
  std::uint32_t first = 0;
  std::uint32_t last = 0;
};

struct DeniedBody {  // answers one INTEREST add
  std::uint64_t version = 0;
  std::uint32_t reason = 0;  // RefuseReason
  std::string_view filter;
};

inline constexpr std::uint32_t kAskInterest = 1;
inline constexpr std::uint32_t kAskCursors = 2;
struct AskBody {
  std::uint32_t what = 0;
};

// Each returns the bytes written, or 0 when `out` is too small or the value is not one that decode accepts.
std::size_t encode(const TopicBody& body, std::span<std::uint8_t> out);
std::size_t encode(const StreamBody& body, std::span<std::uint8_t> out);
std::size_t encode(const InterestBody& body, std::span<std::uint8_t> out);
std::size_t encode(const SubscribedBody& body, std::span<std::uint8_t> out);
std::size_t encode(const ResumeBody& body, std::span<std::uint8_t> out);
std::size_t encode(const DetachedBody& body, std::span<std::uint8_t> out);
std::size_t encode(const GapBody& body, std::span<std::uint8_t> out);
std::size_t encode(const BusyBody& body, std::span<std::uint8_t> out);
std::size_t encode(const GoneBody& body, std::span<std::uint8_t> out);
std::size_t encode(const AskBody& body, std::span<std::uint8_t> out);
std::size_t encode(const DeniedBody& body, std::span<std::uint8_t> out);

// False: not a body of this type (length, a reserved or enumerated field, a name): to be counted as bad_control.
[[nodiscard]] bool decode(std::span<const std::uint8_t> in, TopicBody& out);
[[nodiscard]] bool decode(std::span<const std::uint8_t> in, StreamBody& out);
[[nodiscard]] bool decode(std::span<const std::uint8_t> in, InterestBody& out);
[[nodiscard]] bool decode(std::span<const std::uint8_t> in, SubscribedBody& out);
[[nodiscard]] bool decode(std::span<const std::uint8_t> in, ResumeBody& out);
[[nodiscard]] bool decode(std::span<const std::uint8_t> in, DetachedBody& out);
[[nodiscard]] bool decode(std::span<const std::uint8_t> in, GapBody& out);
[[nodiscard]] bool decode(std::span<const std::uint8_t> in, BusyBody& out);
[[nodiscard]] bool decode(std::span<const std::uint8_t> in, GoneBody& out);
[[nodiscard]] bool decode(std::span<const std::uint8_t> in, AskBody& out);
[[nodiscard]] bool decode(std::span<const std::uint8_t> in, DeniedBody& out);

// Names. A topic is '/'-separated levels, none empty, without '+', '#' or control characters. In a filter a whole level
// may be '+' (any one level) and the last may be '#' (that level's parent and everything below it, as in MQTT).
bool valid_topic(std::string_view topic);
bool valid_filter(std::string_view filter);
bool filter_matches(std::string_view filter, std::string_view topic);  // both valid
bool filter_covers(std::string_view wide, std::string_view narrow);    // `wide` matches whatever `narrow` does
std::uint32_t depth_of(std::string_view name);                         // levels

// An interest's digest is the XOR of this over its filters.
std::uint64_t filter_digest(std::string_view filter, std::uint8_t replay);
// Topics by name, for tables and for message_key's topic_hash.
std::uint64_t topic_hash(std::string_view topic);

}  // namespace portolan::broker::wire
