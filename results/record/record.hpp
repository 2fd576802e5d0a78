// Records: what a run leaves behind and all that the checker reads besides the plan. One file per writer and process
// incarnation: a 256-byte header, then rows of 96 bytes, little-endian; strings are defined inline before first use
// (a `text` row, then its bytes padded to whole rows); an `end` row closes the file with its row count and hash.
// The rows that decide each rule: results/RECORDS.md. This folder is a leaf (scenarios/base excepted).
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

namespace portolan::record {

inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::array<char, 8> kMagic = {'P', 'R', 'T', 'L', 'R', 'E', 'C', '\n'};

enum class Writer : std::uint32_t {
  application = 1,  // a load client: what an application saw
  audit = 2,        // the host of a broker or client engine, at the engine's boundary
  runner = 3,       // plan rows: faults, starts, stops, the manifest; one per run
};

struct Header {  // 256 bytes
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t row_bytes = 96;
  std::uint32_t writer = 0;             // Writer
  std::uint32_t process = 0xFFFFFFFFu;  // index in plan.processes; all ones for the runner
  std::uint64_t process_id = 0;         // identity on the wire
  std::uint32_t incarnation = 0;        // of the process, from 1
  std::uint32_t host = 0xFFFFFFFFu;     // index in plan.nodes
  std::uint32_t clock_domain = 0;       // files of one domain share a clock
  std::uint32_t reserved0 = 0;
  std::int64_t clock_offset_ns = 0;  // add to times of this file to get the run's timeline
  std::uint64_t clock_uncertainty_ns = 0;
  std::uint64_t seed = 0;
  std::array<std::uint8_t, 32> plan_sha256{};
  std::array<char, 64> process_name{};  // zero padded
  std::array<std::uint8_t, 88> reserved{};
};
static_assert(sizeof(Header) == 256 && std::is_trivially_copyable_v<Header>);

enum class Kind : std::uint16_t {
  text = 1,  // text = index, value = byte count; ceil(count / 96) raw rows follow (they count in `number`)
  end = 2,   // value = rows before this one, hash = XXH3-64 of every byte before this row; code = EndCode

  // Application rows. `topic` (text index), publisher, incarnation, sequence name a message.
  subscribe = 16,    // text = filter, code = Replay; the application asked
  subscribed = 17,   // text = filter, value = number of `cursor` rows that follow, sequence = unreachable harbours
  cursor = 18,       // a start cursor: from `sequence` on everything is owed; code = CursorCause
  unsubscribe = 19,  // text = filter
  publish = 20,      // offered: intended_ns, sent_ns, hash, value = payload bytes, flags
  accepted = 21,
  refused = 22,  // code = RefuseReason; value = retry after, ns
  received = 23,
  deliver = 24,   // time_ns = delivered; intended_ns and sent_ns 0 (the checker joins with publish); hash, value
  gap = 25,       // sequence..last never come; code = GapReason; incarnation named; last = all ones: open-ended
  detached = 26,  // this client was detached; code = reason
  session_up =
      27,  // client and its broker; publisher = broker's id, incarnation = broker's incarnation, hash = session uid
  session_down = 28,  // code = reason

  // Audit rows.
  packets = 48,     // session `hash` (uid) accepted packet numbers sequence..last once each; value = marks newly set by
                    // the kernel path among them, extra = count of all marks (equal to the former)
  verdict = 49,     // a packet not accepted: hash = session uid or 0, sequence = packet number, code = broker::Drop
  counter = 50,     // text = name, code = reason, value = running total; each second and at the end
  high_water = 51,  // text = pool or queue, value = most ever used, sequence = its bound
  split = 52,       // where one delivery's time went: see Split; time_ns = delivered, extra_i64 = broker part
  peer_up = 53,     // broker: publisher = peer id, incarnation = its incarnation, hash = session uid
  peer_down = 54,
  leader = 55,
  term = 56,
  commit = 57,
  log_digest = 58,  // ordered topics, later
  trace = 59,       // hash = trace hash of this engine (all inputs and outputs), value = calls covered
  clock = 60,  // from time_ns on, on this file's clock domain: extra = offset, value = uncertainty (as in the header)

  // Plan rows.
  started = 80,   // process `value` (plan index) incarnation
  stopped = 81,   // process `value`, incarnation; code = StopCause
  fault_on = 82,  // fault `value` (plan index) took effect
  fault_off = 83,
  path_change = 84,    // routes in use changed (convergence); value = number of the epoch
  file = 85,           // manifest: text = file name, value = its rows, hash = XXH3-64 of the whole file
  link_counters = 86,  // text = "link/direction/what", value = total
  fidelity = 87,       // text = what, value, the run's own measured fidelity
  link_load = 88,      // a link's second, from intended_ns to time_ns: results/RECORDS.md
  link_drops = 89,     // text = "link/direction/reason", value = packets, last = bytes, in that second
};

enum class EndCode : std::uint32_t { finished = 0, killed = 1 };
enum class CursorCause : std::uint32_t { subscribed = 1, alias = 2 };
enum class StopCause : std::uint32_t { end_of_run = 0, killed = 1, exited = 2, crashed = 3 };

// Of the broker's own codes (broker::GapReason, broker::Drop) those that the checker judges by; who writes rows holds
// them equal (sim/lean/host.cpp).
enum class GapCode : std::uint32_t { retention = 1, detached = 2, publisher_lost = 3, broker_lost = 4, refused = 5 };
inline constexpr std::uint32_t kVerdictOverCredit = 22;

inline constexpr std::uint16_t kFlagOfferedAgain = 1;  // publish or deliver: offered again after a reconnect
inline constexpr std::uint16_t kFlagRepaired = 2;      // split: a retransmission was part of the way

struct Row {  // 96 bytes; fields that a kind does not use are 0
  std::uint16_t kind = 0;
  std::uint16_t flags = 0;
  std::uint32_t number = 0;  // 0, 1, 2, ... within the file
  std::int64_t time_ns = 0;  // on the file's clock
  std::uint32_t topic = 0;   // text index; 0 = none
  std::uint32_t text = 0;    // text index; 0 = none
  std::uint64_t publisher = 0;
  std::uint32_t incarnation = 0;
  std::uint32_t code = 0;
  std::uint64_t sequence = 0;
  std::uint64_t last = 0;
  std::int64_t intended_ns = 0;
  std::int64_t sent_ns = 0;
  std::uint64_t hash = 0;
  std::uint64_t value = 0;
  std::int64_t extra = 0;
};
static_assert(sizeof(Row) == 96 && std::is_trivially_copyable_v<Row>);

// A `split` row, by field: parts of delivered - intended; they sum to it exactly.
//   intended_ns = propagation, sent_ns = serialisation, hash = queueing (links and pacing), value = repair, last =
//   consensus (waiting for a quorum; 0 in realtime topics), extra = broker (CPU and waiting for it, at clients and
//   brokers); code = floor_ns of the pair of harbours.

}  // namespace portolan::record
