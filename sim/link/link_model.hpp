// LinkModel: one direction of one link, the only source of delay, jitter, rate, queue, loss, reordering, duplication
// and outage in the simulator and the emulator alike. Pure and seeded: integer nanoseconds in and out, no clock, no
// thread, no ns-3. Called by one thread, with non-decreasing times. Kinds: CoDel as RFC 8289, with marks as RFC 3168,
// rate traces in Mahimahi's format.
//
// What decides a packet's fate, so that the same data packets meet the same fate in every runner:
//   draws            hash(link seed, direction, purpose, traffic kind, index), each kind counting its own packets
//   loss bursts      an alternating renewal process in time (exponential dwells) from the seed alone; no packet moves
//   it outages          the plan's faults, known in advance: a packet that is queued or under way when the link goes
//   down
//                    is lost (`cut`)
//   rate and queue   the packets before it, of every kind: they share the wire
// The way of a packet: up? -> not too big? -> queue (tail drop, CoDel) -> serialised -> lost? -> delay + jitter -> held
// back? -> twice? So a lost packet has used its share of the rate. Jitter never makes packets of one kind overtake (it
// stands for queues elsewhere); only `reorder` does.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "scenarios/base/error.hpp"
#include "scenarios/plan/plan.hpp"

namespace portolan::link {

enum class Traffic : std::uint8_t { data, control, probe };  // control: ARP, BFD, BGP; probe: the emulator's own
inline constexpr std::size_t traffic_kinds = 3;

enum class Drop : std::uint8_t {
  none,
  down,        // the link was down when the packet came
  cut,         // it went down while the packet was queued or under way
  queue_full,  // tail drop, also CoDel's byte bound
  codel,       // dropped by CoDel's control law
  loss,        // uniform loss, or Gilbert-Elliott in the good state
  burst,       // Gilbert-Elliott in the bad state
  too_big,     // its IP packet is longer than the link's MTU, and may not be fragmented
};
inline constexpr std::size_t drop_reasons = 8;
std::string_view name(Drop drop);

// deliver_at_ns[0] = now + queueing + serialisation + propagation + jitter.
struct Fate {
  std::array<std::uint64_t, 2> deliver_at_ns{};
  std::uint8_t copies = 0;  // 0 (see drop), 1 or 2
  bool marked = false;      // CE, by a queue that would have dropped it (RFC 3168)
  Drop drop = Drop::none;
  std::uint64_t queueing_ns = 0;
  std::uint64_t serialisation_ns = 0;
  std::uint64_t propagation_ns = 0;  // the fixed delay, or the trace's
  std::uint64_t jitter_ns = 0;       // jitter, waiting for an earlier packet of its kind, being held back
};

struct Counters {
  std::array<std::uint64_t, traffic_kinds> offered{};
  std::array<std::uint64_t, traffic_kinds> offered_bytes{};
  std::array<std::array<std::uint64_t, drop_reasons>, traffic_kinds> dropped{};  // [kind][Drop]
  std::array<std::array<std::uint64_t, drop_reasons>, traffic_kinds> dropped_bytes{};
  std::array<std::uint64_t, traffic_kinds> marked{};  // with CE, in place of a drop
  std::uint64_t duplicated = 0;
  std::uint64_t held_back = 0;
  std::uint64_t time_went_back = 0;   // a caller's mistake: the packet was taken as of the latest time seen
  std::uint64_t queue_bytes_max = 0;  // high-water marks of the bounded queue
  std::uint64_t queue_packets_max = 0;
  std::uint64_t queueing_ns_max = 0;
};

// A draw of jitter, from 64 random bits.
std::uint64_t jitter_ns(const plan::Jitter& model, std::uint64_t bits);

// What a link did since it was last asked; sums to the counters above.
struct Load {
  std::uint64_t from_ns = 0, to_ns = 0;
  std::uint64_t packets = 0, bytes = 0;  // offered, all kinds
  std::uint64_t carried_bytes = 0;       // left on the wire, those that are lost on the way included
  std::uint64_t capacity_bytes = 0;      // that the wire could have carried; 0: unlimited, or down
  std::uint64_t queue_bytes_max = 0;
  std::uint64_t queueing_ns_max = 0;
  std::array<std::uint64_t, drop_reasons> dropped{};  // packets
  std::array<std::uint64_t, drop_reasons> dropped_bytes{};
};

// A stretch of time with one set of impairments. The first starts at 0, the last has no end.
struct Segment {
  std::uint64_t from_ns = 0;
  bool up = true;
  std::size_t impairments = 0;  // index into the model's list
  std::uint64_t cut_ns = 0;     // when the link next goes down, seen from here; the largest number: never
};

class LinkModel {
 public:
  // The direction a->b (reverse: b->a) of plan.links[link] under the plan's faults (cut, partition, degrade).
  // Refuses what it cannot honour and names the field.
  static Expected<LinkModel> make(const plan::Plan& plan, plan::Index link, bool reverse);

  // `capable`: its IP header is ECT or CE, so that a queue whose plan says `ecn` marks it where it would drop it.
  Fate send(std::uint64_t now_ns, std::uint32_t wire_bytes, Traffic kind, bool capable = false);

  bool up(std::uint64_t at_ns) const { return segment_at(at_ns).up; }
  // The fixed one-way delay at a time, without jitter: what a routing protocol would weigh.
  std::uint64_t delay_ns(std::uint64_t at_ns) const;
  // Whether a Gilbert-Elliott burst dwells at this time. Pure; walks the process from its start.
  bool burst(std::uint64_t at_ns) const;
  const std::vector<Segment>& segments() const { return segments_; }
  const Counters& counters() const { return counters_; }
  // The load since the last call. Times must not go back.
  Load take_load(std::uint64_t now_ns);
  // What the wire can carry in this time by its rate or trace; 0 while it is unlimited or down.
  std::uint64_t capacity_bytes(std::uint64_t from_ns, std::uint64_t to_ns) const;
  // Bytes waiting for the wire now (the packet being serialised is no longer in the queue).
  std::uint64_t queued_bytes(std::uint64_t now_ns);

 private:
  // A burst process in time: where in it we are; a cursor that only saves walking again.
  struct Dwell {
    std::uint64_t until_ns = 0;
    std::uint64_t index = 0;
    bool bad = false;
    bool started = false;
  };
  struct Set {
    plan::Impairments is;
    std::uint64_t stream = 0;  // of its burst process
    Dwell dwell;
  };
  struct Waiting {
    std::uint64_t start_ns;
    std::uint32_t bytes;
  };
  struct Wire {  // when a packet's serialisation starts and ends
    std::uint64_t start_ns;
    std::uint64_t end_ns;
    std::uint64_t opportunity;  // of a rate trace: the last one used, and what is left of it
    std::uint64_t opportunity_left;
    std::size_t segment;
  };
  struct Codel {  // RFC 8289, 5.2: the names of its pseudocode
    std::uint64_t first_above_time = 0;
    std::uint64_t drop_next = 0;
    std::uint32_t count = 0;
    std::uint32_t lastcount = 0;
    bool dropping = false;
  };

  LinkModel() = default;
  const Segment& segment_at(std::uint64_t at_ns) const;
  std::uint64_t draw(std::uint64_t purpose, Traffic kind, std::uint64_t index) const;
  Wire serialise(std::uint64_t now_ns, std::uint32_t bytes) const;
  bool codel_drops(const plan::Queue& queue, std::uint64_t dequeue_ns, std::uint64_t sojourn_ns, std::uint64_t backlog);
  Fate travel(std::uint64_t end_ns, std::uint64_t cut_ns, std::uint32_t wire_bytes, Traffic kind, std::uint64_t index,
              Fate fate);
  Drop lost(Set& set, std::uint64_t at_ns, Traffic kind, std::uint64_t index) const;
  static bool dwell_at(const Set& set, Dwell& dwell, std::uint64_t at_ns);
  Fate drop(Drop why, Traffic kind, std::uint32_t bytes, Fate fate = {});
  void leave_queue(std::uint64_t now_ns);

  std::uint64_t seed_ = 0;
  std::vector<Set> sets_;
  std::vector<Segment> segments_;
  std::deque<Waiting> queue_;  // bounded by Queue::bytes
  std::uint64_t queue_bytes_ = 0;
  std::uint64_t now_ns_ = 0;
  std::uint64_t free_ns_ = 0;  // when the wire is free
  Wire last_{};                // the last packet on a rate trace
  bool last_on_trace_ = false;
  Codel codel_;
  std::array<std::uint64_t, traffic_kinds> index_{};
  std::array<std::uint64_t, traffic_kinds> last_delivery_ns_{};
  Counters counters_;
  std::uint64_t never_sent_bytes_ = 0;  // let in, and still in the queue when a cut emptied it
  Load last_load_;                      // totals up to the last take_load, but for the marks: since then
};

}  // namespace portolan::link
