// The plan: everything a runner needs, resolved and explicit; the only thing that runners read. Plain data, indices
// instead of pointers, integers only (whole metres, nanoseconds, bits per second, parts per billion), so that the same
// scenario and seed give the same bytes on any machine. Version and schema: scenarios/plan/plan.schema.json.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "scenarios/base/error.hpp"

namespace portolan::plan {

inline constexpr int kVersion = 2;
inline constexpr std::uint32_t kNone = 0xFFFFFFFFu;  // "no such index"

using Ns = std::int64_t;      // nanoseconds on the run's own timeline, 0 = start of the run
using Ppb = std::uint32_t;    // probability in parts per billion, 0..1'000'000'000
using Index = std::uint32_t;  // position in the plan's array of that kind

struct Harbour {
  std::string name;
  std::int64_t lat_udeg = 0;  // micro-degrees, north positive
  std::int64_t lon_udeg = 0;  // micro-degrees, east positive
  bool is_hub = false;
  Index hub = kNone;      // of a leaf: the harbour whose brokers join it to the others
  Index standby = kNone;  // of a leaf: the hub that does so when `hub` is gone
};

struct Tenant {
  std::string name;
  std::uint32_t vni = 0;
  std::string subnet;  // tenants may overlap
};

// A host: the harbour's edge (routing, uplinks), or the service host of one tenant behind it.
// station: a client's own machine on its harbour's access network, joined to the service host.
enum class NodeKind : std::uint8_t { edge, service, station };
// Where a station is, seen from its harbour's access point; it goes to and fro between the two points.
struct Motion {
  std::int64_t x_mm = 0, y_mm = 0;
  std::int64_t to_x_mm = 0, to_y_mm = 0;
  std::uint32_t speed_mm_s = 0;  // 0: it stands
};
struct Node {
  std::string name;  // "hamburg/edge", "hamburg/blue"
  NodeKind kind = NodeKind::edge;
  Index harbour = 0;
  Index tenant = kNone;      // not of an edge
  std::string address;       // IPv4; unique per tenant (services) or in the underlay (edges)
  Ns loopback_delay_ns = 0;  // between two processes of this host
  std::string machine{};     // that it runs on, by the scenario's name; empty: the one that runs all
  Motion motion{};           // station
};

enum class JitterKind : std::uint8_t { none, uniform, exponential, normal };
struct Jitter {
  JitterKind kind = JitterKind::none;
  Ns scale_ns = 0;  // uniform: width; exponential: mean; normal: standard deviation (half-normal, delay never negative)
  Ns max_ns = 0;    // cut-off
};

enum class LossKind : std::uint8_t { none, uniform, gilbert_elliott };
struct Loss {
  LossKind kind = LossKind::none;
  Ppb probability = 0;       // uniform: each packet; Gilbert-Elliott: in the bad state
  Ppb good_probability = 0;  // Gilbert-Elliott: in the good state
  Ns good_dwell_ns = 0;      // mean dwell times (exponential), in time and not in packets
  Ns bad_dwell_ns = 0;
};

enum class QueueKind : std::uint8_t { tail_drop, codel, fq_codel };
struct Queue {
  QueueKind kind = QueueKind::tail_drop;
  std::uint64_t bytes = 0;
  Ns target_ns = 5'000'000;      // codel (RFC 8289)
  Ns interval_ns = 100'000'000;  // codel
  bool ecn = false;              // codel: marks CE where it would drop, what can be marked (RFC 3168)
};

struct DelayPoint {
  Ns at_ns = 0;
  Ns delay_ns = 0;  // replaces Impairments::delay_ns from at_ns on
};

// One direction of a link.
struct Impairments {
  Ns delay_ns = 0;  // one way, fixed part (propagation and equipment)
  Jitter jitter;
  Loss loss;
  std::uint64_t rate_bps = 0;  // 0: unlimited
  Queue queue;
  Ppb reorder = 0;  // share of packets held back by reorder_ns
  Ns reorder_ns = 0;
  Ppb duplicate = 0;
  std::vector<DelayPoint> delay_trace;       // sorted by at_ns
  Ns delay_trace_period_ns = 0;              // 0: the last point stays
  std::vector<std::uint32_t> rate_trace_ms;  // Mahimahi: one 1500-byte opportunity at each millisecond listed; repeats
  Ns rate_trace_period_ns = 0;
  std::uint32_t mtu_bytes = 1500;  // largest IP packet, tunnel headers counted; longer ones vanish
};

// model: our LinkModel, in every runner. The others are ns-3's own devices, in `full` only: of `Impairments` they take
// what they have (point-to-point: delay, rate, queue bytes; csma: delay, rate), and wifi what its medium says.
enum class LinkKind : std::uint8_t { model, point_to_point, csma, wifi };

struct Wifi {
  std::string standard;            // "802.11n-2.4GHz", "802.11n-5GHz", "802.11ac", "802.11ax-2.4GHz", "802.11ax-5GHz"
  std::uint32_t width_mhz = 20;    // of the channel
  std::int32_t mcs = -1;           // modulation and coding scheme; -1: chosen by Minstrel
  std::int32_t tx_power_dbm = 16;  // of access point and stations
  std::uint32_t exponent_milli = 3000;  // of path loss with distance (log-distance model)
};

// What several links share: a bus (csma), or a channel round an access point (wifi).
struct Medium {
  std::string name;  // "hamburg/wifi"
  LinkKind kind = LinkKind::wifi;
  Index node = 0;              // the access point's, or the first on the bus
  std::uint64_t rate_bps = 0;  // csma
  Ns delay_ns = 0;             // csma
  Wifi wifi;
};

struct Link {
  std::string name;   // "hamburg--rotterdam"
  Index a = 0;        // node
  Index b = 0;        // node
  std::string model;  // preset or "custom"; "veth" between an edge and its services; "access" to a station
  std::uint64_t distance_m = 0;
  Ns floor_ns = 0;  // distance over 2/3 c, one way
  Impairments a_to_b;
  Impairments b_to_a;
  std::uint64_t seed = 0;
  LinkKind kind = LinkKind::model;
  Index medium = kNone;  // csma and wifi
};

enum class ProcessKind : std::uint8_t { broker, client };
enum class Replay : std::uint8_t { none, last, retained };
struct Subscription {
  std::string filter;  // "ais/+/position", "berth/#"
  Replay replay = Replay::none;
  Ns at_ns = 0;
  Ns until_ns = 0;  // 0: to the end
};
// What a peer is to a broker. mesh: an equal (both hubs, or no hubs at all); hub, standby: mine, I am their leaf; leaf,
// standby_leaf: I am its hub, or its standby.
enum class PeerRole : std::uint8_t { mesh, hub, standby, leaf, standby_leaf };
struct Process {
  std::string name;  // "hamburg/blue/broker", "hamburg/blue/pilot"
  ProcessKind kind = ProcessKind::broker;
  Index node = 0;  // the host it runs on
  Index tenant = 0;
  std::uint64_t id = 0;  // identity on the wire: publisher id of a client, harbour id of a broker; never 0
  std::uint16_t port = 0;
  Index broker = kNone;             // client: its home broker (process)
  std::vector<Index> peers;         // broker: the brokers of its tenant that it holds sessions with (processes)
  std::uint64_t send_rate_bps = 0;  // each of its sessions never sends faster; 0: no bound
  std::string limits;               // profile of broker::Limits: "sim", "daemon", "thousand"
  Ns start_ns = 0;
  Ns heartbeat_idle_ns = 0;  // 100 ms between brokers, 500 ms to clients
  Ns detach_ns = 0;          // broker: absence or backlog age after which a downstream is detached
  std::uint64_t detach_bytes = 0;
  std::vector<Subscription> subscriptions;  // client
  std::int64_t clock_offset_ns = 0;         // of its wall clock at start (faults change it)
  std::vector<PeerRole> peer_roles;         // of each of `peers`
};

enum class TopicClass : std::uint8_t { realtime, ordered };
struct Topic {
  std::string name;  // without wildcards
  Index tenant = 0;
  TopicClass klass = TopicClass::realtime;
  std::uint8_t lane = 2;        // frame lane: 1 ordered, 2 realtime, 3 bulk
  std::string family;           // the scenario's topic entry it came from ("ais/+/position"); reports group by it
  std::string group;            // ordered
  std::vector<Index> replicas;  // ordered: harbours
  Ns deadline_ns = 0;           // 0: none
  Ns retain_ns = 0;
  std::uint64_t retain_bytes = 0;
  std::uint32_t fec_data = 0, fec_parity = 0;  // 0: off
};

enum class LoadKind : std::uint8_t { periodic, poisson, fleet, replay };
// A point of a lane that vessels sail.
struct Waypoint {
  std::int64_t lat_udeg = 0;
  std::int64_t lon_udeg = 0;
};
struct Load {
  std::string name;
  LoadKind kind = LoadKind::periodic;
  Ns interval_ns = 0;            // periodic: exact; poisson: mean
  std::uint32_t size_bytes = 0;  // of each synthetic payload, at least 16
  Ns start_ns = 0;
  Ns end_ns = 0;            // no message is intended at or after it
  std::uint64_t count = 0;  // at most this many per stream; 0: no bound
  std::uint64_t seed = 0;
  std::vector<std::vector<Waypoint>> lanes;  // fleet
  std::string file;                          // replay: path relative to the scenario's folder
  std::string sha256;                        // replay: of that file; a runner refuses another
  std::uint32_t speed_permille = 1000;       // replay: 1000 = its own timing
};

// One publisher's stream on one topic: what "in order" is about. Every stream belongs to one load.
struct Stream {
  Index load = 0;
  Index process = 0;  // the publishing client
  Index topic = 0;
  std::uint32_t index = 0;  // within the load: vessel number, source number, replay channel
};

enum class FaultKind : std::uint8_t {
  cut,
  degrade,
  partition,
  kill,
  restart,
  pause,
  clock_skew,
  corrupt_disk,
  lose_control
};
enum class Way : std::uint8_t { both, a_to_b, b_to_a };
struct Fault {
  std::string name;  // for the report
  FaultKind kind = FaultKind::cut;
  Ns at_ns = 0;
  Ns until_ns = 0;           // heals then; 0: never (kill), or not applicable (clock step, restart: comes back then)
  std::vector<Index> links;  // cut, degrade, partition (the links that cross it)
  Way way = Way::both;
  std::vector<Index> processes;  // kill, restart, pause, clock_skew
  bool overlay = false;          // degrade: the fields below replace those of the links while it lasts
  Impairments impairments;
  std::vector<std::string> replaces;  // which fields of `impairments` count: "delay", "loss", "rate", "mtu", ...
  std::int64_t skew_ns = 0;           // clock_skew: step
  std::int64_t skew_ppb = 0;          // clock_skew: rate
  std::uint32_t count = 0;  // lose_control: the next so many control messages of the process are lost (test only)
};

// Shares are in parts per million. "In the window": of [after, until), by the time at which a message was intended, and
// for links by the time of the row.
enum class ExpectKind : std::uint8_t {
  lost,
  gaps,
  duplicates,
  disorder,
  refused,     // at most `limit` (count)
  deliveries,  // at least `limit` (count)
  latency_above_floor,
  latency,            // percentile in the window <= limit_ns
  recovery,           // after each fault heals, all flows again within limit_ns
  repair_ratio,       // repair bytes at most limit permille of the bytes lost
  spurious_repair,    // share of the bytes sent by sessions that were sent again though nothing was lost, at most
  utilisation_least,  // mean share of `link`'s rate in use in direction `way` in the window, at least
  utilisation_most,   // the same, at most
  queue,     // longest queue of `link`, `way`, in the window, in permille of `reference` (bytes of one BDP), at most
  fairness,  // Jain's index over the bytes delivered of each topic or publisher (`between`), at least (ppm)
  goodput,   // payload bytes delivered a second to the subscriber that gets least, as a share of `reference`
             // (bit/s), at least
  latency_rise,  // percentile in the window less the one in [base_after, base_until), at most limit_ns
  busy           // publishes refused with a time after which to try again, at least `limit` (count)
};
enum class Between : std::uint8_t { topics, publishers };
struct Expectation {
  std::string name;  // "realtime ais/+/position p99 above floor"
  ExpectKind kind = ExpectKind::lost;
  std::string filter;                      // topics, "#" for all
  Index tenant = kNone;                    // all
  std::uint32_t percentile_permyriad = 0;  // 9900 = p99
  std::int64_t limit = 0;                  // count, permille, ppm or nanoseconds
  std::string where;                       // file:line of the scenario, for the message
  Ns after_ns = 0;                         // the window
  Ns until_ns = 0;                         // 0: to the end
  Ns base_after_ns = 0;                    // latency_rise: compared with
  Ns base_until_ns = 0;
  Index link = kNone;  // utilisation, queue; goodput: whose rate it is a share of
  Way way = Way::both;
  std::uint64_t reference = 0;  // queue: bytes of one BDP; goodput: bit/s; else 0
  Between between = Between::topics;
};

struct Calibration {
  std::string name;
  std::string source;  // how it was measured; "placeholder" until it is
  Ns per_datagram_in_ns = 0, per_datagram_out_ns = 0;
  Ns per_message_in_ns = 0, per_message_out_ns = 0;
  Ns per_timer_ns = 0;
  Ns per_kib_ns = 0;                                     // copying and checking
  Ns per_sealed_datagram_ns = 0, per_sealed_kib_ns = 0;  // sealing or opening, on top
  std::string sha256;
};

// A file that the scenario names (trace, NMEA replay), as it was when the plan was made.
struct Input {
  std::string file;  // relative to the scenario's folder
  std::string sha256;
};

// A time that differs from case to case: `least` and a draw of `more` on top.
struct Spread {
  Ns least_ns = 0;
  Jitter more;
};
// From a link's change to new paths: it is noticed, told to the other harbours, and put into their tables.
struct Convergence {
  Spread detection;
  Spread propagation;
  Spread install;
};

// What carries tenants between edges.
enum class OverlayKind : std::uint8_t { none, vxlan };
struct Overlay {
  OverlayKind kind = OverlayKind::vxlan;
  std::uint32_t header_bytes = 50;       // outer Ethernet, IPv4, UDP, VXLAN (RFC 7348)
  std::uint32_t inner_mtu_bytes = 1450;  // what the services' interfaces are set to
};

// How sessions protect what they carry. Same lengths, same timing, but for the CPU that sealing takes.
enum class Security : std::uint8_t { plain, sealed };

struct Plan {
  int version = kVersion;
  std::string name;
  std::string title;
  std::string scenario_sha256;
  std::uint64_t seed = 0;
  Ns duration_ns = 0;     // load and faults lie within
  Ns settle_ns = 0;       // R6
  Ns drain_ns = 0;        // the run goes on so long after `duration` for deliveries still under way
  Ns convergence_ns = 0;  // from a link's change to new paths, at most
  Convergence convergence;
  Overlay overlay;
  std::uint32_t fragment_bytes = 1280;
  Security security = Security::plain;
  std::vector<Harbour> harbours;
  std::vector<Tenant> tenants;
  std::vector<Node> nodes;
  std::vector<Medium> media;
  std::vector<Link> links;
  std::vector<Process> processes;
  std::vector<Topic> topics;
  std::vector<Load> loads;
  std::vector<Stream> streams;
  std::vector<Fault> faults;  // by at_ns
  std::vector<Expectation> expectations;
  Calibration calibration;
  std::vector<Input> inputs;  // by file
};

// What its work costs in a plan: with sealing, where there is any.
inline Calibration charged(const Plan& plan) {
  Calibration c = plan.calibration;
  if (plan.security == Security::sealed) {
    c.per_datagram_in_ns += c.per_sealed_datagram_ns;
    c.per_datagram_out_ns += c.per_sealed_datagram_ns;
    c.per_kib_ns += c.per_sealed_kib_ns;
  }
  return c;
}

// Canonical JSON (sorted keys, integers, two-space indent, final newline): equal plans are equal bytes.
std::string to_json(const Plan& plan);
// Reads what to_json wrote; checks version, schema and every index. Errors name the JSON pointer.
Expected<Plan> from_json(const std::string& text, const std::string& path);
Expected<Plan> read_plan(const std::string& path);

// The text of plan.schema.json.
extern const std::string_view schema_text;

// The brokers that a message passes from one to another: itself, each leaf's hub, the other. (A session to a standby
// stands idle while the hub lives; that the standby takes over when it dies is owed `settle` after.)
std::vector<Index> broker_way(const Plan& plan, Index from, Index to);

// Topic filters: '/'-separated levels, '+' one level, '#' the rest (last level only), as in MQTT 5 section 4.7.
bool filter_matches(std::string_view filter, std::string_view topic);
// At most 255 bytes of printable UTF-8, no empty level; '+' and '#' alone in their level, '#' last.
bool filter_valid(std::string_view filter);
// As a filter, but without wildcards.
bool topic_valid(std::string_view topic);

}  // namespace portolan::plan
