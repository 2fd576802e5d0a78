// See link_model.hpp. Bit-nanoseconds (bits x 1e9) are the unit of work on the wire: a rate in bit/s does `rate` of
// them each nanosecond, so all of it stays in whole numbers.
#include "sim/link/link_model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "scenarios/base/exact.hpp"
#include "scenarios/base/hash.hpp"

namespace portolan::link {
namespace {

constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t whole_ppb = 1'000'000'000;
constexpr std::uint64_t work_per_byte = 8'000'000'000;            // bit-nanoseconds
constexpr std::uint64_t opportunity_work = 1500 * work_per_byte;  // Mahimahi: 1500 bytes each
constexpr std::uint64_t ns_per_ms = 1'000'000;
constexpr std::uint64_t codel_max_packet = 1500;
constexpr std::uint32_t ethernet_bytes = 14;  // of wire_bytes; an MTU counts what is inside

// What a draw is for: each purpose is a stream of its own.
enum Purpose : std::uint64_t { for_loss = 1, for_jitter, for_reorder, for_duplicate, for_second_jitter, for_dwell };

bool happens(std::uint64_t bits, std::uint64_t ppb) {
  return below64(bits, whole_ppb) < ppb;
}

std::size_t at(Traffic kind) {
  return static_cast<std::size_t>(kind);
}

std::uint64_t trace_period_ns(const plan::Impairments& is) {
  const std::uint64_t last = is.rate_trace_ms.back() * ns_per_ms;
  return std::max({static_cast<std::uint64_t>(is.rate_trace_period_ns), last, ns_per_ms});
}

std::uint64_t opportunity_ns(const plan::Impairments& is, std::uint64_t number) {
  const std::size_t n = is.rate_trace_ms.size();
  return number / n * trace_period_ns(is) + is.rate_trace_ms[number % n] * ns_per_ms;
}

// The first opportunity at or after a time.
std::uint64_t opportunity_from(const plan::Impairments& is, std::uint64_t at_ns) {
  const std::uint64_t period = trace_period_ns(is);
  const std::uint64_t cycle = at_ns / period;
  const std::uint64_t ms = (at_ns % period + ns_per_ms - 1) / ns_per_ms;
  const auto found = std::lower_bound(is.rate_trace_ms.begin(), is.rate_trace_ms.end(), ms);
  const std::uint64_t number =
      cycle * is.rate_trace_ms.size() + static_cast<std::uint64_t>(found - is.rate_trace_ms.begin());
  // An opportunity at the period's very end is the same instant as 0 of the next cycle: step back over those.
  std::uint64_t first = number;
  while (first > 0 && opportunity_ns(is, first - 1) >= at_ns) --first;
  return first;
}

std::uint64_t fixed_delay_ns(const plan::Impairments& is, std::uint64_t at_ns) {
  if (is.delay_trace.empty()) return static_cast<std::uint64_t>(is.delay_ns);
  auto t = static_cast<std::int64_t>(at_ns);
  if (is.delay_trace_period_ns > 0) t %= is.delay_trace_period_ns;
  const auto after = std::upper_bound(is.delay_trace.begin(), is.delay_trace.end(), t,
                                      [](std::int64_t x, const plan::DelayPoint& p) { return x < p.at_ns; });
  if (after == is.delay_trace.begin()) return static_cast<std::uint64_t>(is.delay_ns);
  return static_cast<std::uint64_t>(std::prev(after)->delay_ns);
}

// RFC 8289, 5.3. sqrt and division are IEEE-exact, so the same everywhere.
std::uint64_t control_law(std::uint64_t t, std::uint64_t interval_ns, std::uint32_t count) {
  return t + static_cast<std::uint64_t>(static_cast<double>(interval_ns) / std::sqrt(static_cast<double>(count)));
}

}  // namespace

std::string_view name(Drop drop) {
  constexpr std::array<std::string_view, drop_reasons> names = {"none",  "down", "cut",   "queue_full",
                                                                "codel", "loss", "burst", "too_big"};
  return names[static_cast<std::size_t>(drop)];
}

const Segment& LinkModel::segment_at(std::uint64_t at_ns) const {
  const auto after = std::upper_bound(segments_.begin(), segments_.end(), at_ns,
                                      [](std::uint64_t t, const Segment& s) { return t < s.from_ns; });
  return *std::prev(after);
}

std::uint64_t LinkModel::delay_ns(std::uint64_t at_ns) const {
  return fixed_delay_ns(sets_[segment_at(at_ns).impairments].is, at_ns);
}

std::uint64_t LinkModel::draw(std::uint64_t purpose, Traffic kind, std::uint64_t index) const {
  return draw64(seed_, purpose, static_cast<std::uint64_t>(kind), index);
}

std::uint64_t jitter_ns(const plan::Jitter& model, std::uint64_t bits) {
  const auto scale = static_cast<std::uint64_t>(model.scale_ns);
  std::uint64_t value = 0;
  switch (model.kind) {
    case plan::JitterKind::none:
      return 0;
    case plan::JitterKind::uniform:
      value = below64(bits, scale);
      break;
    case plan::JitterKind::exponential:
      value = exact::exponential(bits, scale);
      break;
    case plan::JitterKind::normal: {
      const std::int64_t z = exact::normal_q16(bits);
      value = static_cast<std::uint64_t>((static_cast<unsigned_int128>(z < 0 ? -z : z) * scale) >> 16);
      break;
    }
  }
  return model.max_ns > 0 ? std::min(value, static_cast<std::uint64_t>(model.max_ns)) : value;
}

// The burst process runs from time 0 with a state drawn from its stationary distribution; each dwell is one draw.
bool LinkModel::dwell_at(const Set& set, Dwell& dwell, std::uint64_t at_ns) {
  const auto good = static_cast<std::uint64_t>(set.is.loss.good_dwell_ns);
  const auto bad = static_cast<std::uint64_t>(set.is.loss.bad_dwell_ns);
  if (bad == 0) return false;
  if (good == 0) return true;
  const auto length = [&](bool is_bad, std::uint64_t index) {
    return std::max<std::uint64_t>(1, exact::exponential(draw64(set.stream, for_dwell, index), is_bad ? bad : good));
  };
  if (!dwell.started) {
    dwell = Dwell{.started = true};
    dwell.bad = below64(draw64(set.stream, for_dwell, 0), good + bad) < bad;
    dwell.index = 1;
    dwell.until_ns = length(dwell.bad, 1);
  }
  while (at_ns >= dwell.until_ns) {
    dwell.bad = !dwell.bad;
    dwell.until_ns += length(dwell.bad, ++dwell.index);
  }
  return dwell.bad;
}

bool LinkModel::burst(std::uint64_t at_ns) const {
  const Set& set = sets_[segment_at(at_ns).impairments];
  Dwell from_start;
  return set.is.loss.kind == plan::LossKind::gilbert_elliott && dwell_at(set, from_start, at_ns);
}

Drop LinkModel::lost(Set& set, std::uint64_t at_ns, Traffic kind, std::uint64_t index) const {
  const plan::Loss& loss = set.is.loss;
  if (loss.kind == plan::LossKind::none) return Drop::none;
  const bool bad = loss.kind == plan::LossKind::gilbert_elliott && dwell_at(set, set.dwell, at_ns);
  const bool uniform = loss.kind == plan::LossKind::uniform;
  const plan::Ppb ppb = bad || uniform ? loss.probability : loss.good_probability;
  if (!happens(draw(for_loss, kind, index), ppb)) return Drop::none;
  return bad ? Drop::burst : Drop::loss;
}

// When this packet starts and ends on the wire if it is let in: after the one before, at each stretch's own rate.
LinkModel::Wire LinkModel::serialise(std::uint64_t now_ns, std::uint32_t bytes) const {
  std::uint64_t t = std::max(now_ns, free_ns_);
  std::uint64_t work = bytes * work_per_byte;
  Wire wire{.start_ns = t, .end_ns = t, .opportunity = 0, .opportunity_left = 0, .segment = 0};
  bool begun = false;
  for (auto i = static_cast<std::size_t>(&segment_at(t) - segments_.data());; ++i) {
    const plan::Impairments& is = sets_[segments_[i].impairments].is;
    const std::uint64_t end = i + 1 < segments_.size() ? segments_[i + 1].from_ns : never;
    wire.segment = i;
    if (!is.rate_trace_ms.empty()) {
      // What an opportunity leaves is for packets that had come by then; nothing is kept for later ones.
      std::uint64_t number = opportunity_from(is, t);
      std::uint64_t left = opportunity_work;
      if (last_on_trace_ && last_.segment == i && number <= last_.opportunity) {
        number = last_.opportunity;
        left = last_.opportunity_left;
      }
      for (std::uint64_t when = opportunity_ns(is, number); when < end; when = opportunity_ns(is, ++number)) {
        const std::uint64_t used = std::min(work, left);
        if (used > 0 && !begun) wire.start_ns = when;
        begun = begun || used > 0;
        work -= used;
        t = when;
        if (work == 0) {
          wire.opportunity = number;
          wire.opportunity_left = left - used;
          wire.end_ns = t;
          return wire;
        }
        left = opportunity_work;
      }
      t = end;
      continue;
    }
    if (!begun) wire.start_ns = t;
    begun = true;
    wire.end_ns = t;
    if (is.rate_bps == 0) return wire;
    const unsigned_int128 until_end = static_cast<unsigned_int128>(end - t) * is.rate_bps;
    if (end == never || until_end >= work) {
      wire.end_ns = t + (work + is.rate_bps - 1) / is.rate_bps;
      return wire;
    }
    work -= static_cast<std::uint64_t>(until_end);
    t = end;
  }
}

// RFC 8289, 5.5 and 5.6, turned from "at each dequeue" to "for each packet, at its dequeue", which is known when it
// comes because the queue is first in, first out. Departures: (1) "at most one packet's worth is queued" is judged on
// the backlog that this packet found, not on what stands behind it at dequeue; (2) the packet after a drop always goes
// through the test that may end the dropping state, where the RFC skips it once on entering.
bool LinkModel::codel_drops(const plan::Queue& queue, std::uint64_t dequeue_ns, std::uint64_t sojourn_ns,
                            std::uint64_t backlog) {
  const auto target = static_cast<std::uint64_t>(queue.target_ns);
  const auto interval = static_cast<std::uint64_t>(queue.interval_ns);
  bool ok_to_drop = false;
  if (sojourn_ns < target || backlog <= codel_max_packet) {
    codel_.first_above_time = 0;
  } else if (codel_.first_above_time == 0) {
    codel_.first_above_time = dequeue_ns + interval;
  } else {
    ok_to_drop = dequeue_ns >= codel_.first_above_time;
  }
  if (codel_.dropping) {
    if (!ok_to_drop) {
      codel_.dropping = false;
      return false;
    }
    if (dequeue_ns < codel_.drop_next) return false;
    ++codel_.count;
    codel_.drop_next = control_law(codel_.drop_next, interval, codel_.count);
    return true;
  }
  if (!ok_to_drop) return false;
  codel_.dropping = true;
  const std::uint32_t delta = codel_.count - codel_.lastcount;
  const bool recent = dequeue_ns < codel_.drop_next + 16 * interval;
  codel_.count = delta > 1 && recent ? delta : 1;
  codel_.drop_next = control_law(dequeue_ns, interval, codel_.count);
  codel_.lastcount = codel_.count;
  return true;
}

void LinkModel::leave_queue(std::uint64_t now_ns) {
  while (!queue_.empty() && queue_.front().start_ns <= now_ns) {
    queue_bytes_ -= queue_.front().bytes;
    queue_.pop_front();
  }
}

std::uint64_t LinkModel::queued_bytes(std::uint64_t now_ns) {
  leave_queue(now_ns);
  return queue_bytes_;
}

std::uint64_t LinkModel::capacity_bytes(std::uint64_t from_ns, std::uint64_t to_ns) const {
  unsigned_int128 work = 0;
  for (std::size_t i = 0; i < segments_.size() && segments_[i].from_ns < to_ns; ++i) {
    const std::uint64_t start = std::max(from_ns, segments_[i].from_ns);
    const std::uint64_t end = i + 1 < segments_.size() ? std::min(to_ns, segments_[i + 1].from_ns) : to_ns;
    if (end <= start || !segments_[i].up) continue;
    const plan::Impairments& is = sets_[segments_[i].impairments].is;
    if (!is.rate_trace_ms.empty()) {
      work += static_cast<unsigned_int128>(opportunity_from(is, end) - opportunity_from(is, start)) * opportunity_work;
    } else {
      work += static_cast<unsigned_int128>(end - start) * is.rate_bps;
    }
  }
  return static_cast<std::uint64_t>(work / work_per_byte);
}

Load LinkModel::take_load(std::uint64_t now_ns) {
  Load total;
  total.from_ns = last_load_.to_ns;
  total.to_ns = now_ns;
  std::uint64_t kept_off = never_sent_bytes_;  // never came to the wire
  for (std::size_t k = 0; k < traffic_kinds; ++k) {
    total.packets += counters_.offered[k];
    total.bytes += counters_.offered_bytes[k];
    for (std::size_t d = 1; d < drop_reasons; ++d) {
      total.dropped[d] += counters_.dropped[k][d];
      total.dropped_bytes[d] += counters_.dropped_bytes[k][d];
    }
  }
  for (const Drop d : {Drop::down, Drop::too_big, Drop::queue_full, Drop::codel})
    kept_off += total.dropped_bytes[static_cast<std::size_t>(d)];
  // What was let in less what still waits: the wire never rests while something does.
  const std::uint64_t waits = free_ns_ > now_ns ? capacity_bytes(now_ns, free_ns_) : 0;
  const std::uint64_t let_in = total.bytes - kept_off;
  total.carried_bytes = std::max(last_load_.carried_bytes, let_in - std::min(let_in, waits));
  Load since = total;
  since.packets -= last_load_.packets;
  since.bytes -= last_load_.bytes;
  since.carried_bytes -= last_load_.carried_bytes;
  for (std::size_t d = 1; d < drop_reasons; ++d) {
    since.dropped[d] -= last_load_.dropped[d];
    since.dropped_bytes[d] -= last_load_.dropped_bytes[d];
  }
  since.capacity_bytes = capacity_bytes(since.from_ns, now_ns);
  since.queue_bytes_max = last_load_.queue_bytes_max;
  since.queueing_ns_max = last_load_.queueing_ns_max;
  last_load_ = total;
  leave_queue(now_ns);
  last_load_.queue_bytes_max = queue_bytes_;
  return since;
}

Fate LinkModel::drop(Drop why, Traffic kind, std::uint32_t bytes, Fate fate) {
  ++counters_.dropped[at(kind)][static_cast<std::size_t>(why)];
  counters_.dropped_bytes[at(kind)][static_cast<std::size_t>(why)] += bytes;
  fate.copies = 0;
  fate.deliver_at_ns = {};
  fate.drop = why;
  return fate;
}

Fate LinkModel::send(std::uint64_t now_ns, std::uint32_t wire_bytes, Traffic kind, bool capable) {
  if (now_ns < now_ns_) {
    ++counters_.time_went_back;
    now_ns = now_ns_;
  }
  now_ns_ = now_ns;
  const std::uint64_t index = index_[at(kind)]++;
  ++counters_.offered[at(kind)];
  counters_.offered_bytes[at(kind)] += wire_bytes;

  const Segment& segment = segment_at(now_ns);
  if (!segment.up) return drop(Drop::down, kind, wire_bytes);
  const std::uint64_t cut_ns = segment.cut_ns;
  const plan::Queue& queue = sets_[segment.impairments].is.queue;
  if (wire_bytes > sets_[segment.impairments].is.mtu_bytes + ethernet_bytes)
    return drop(Drop::too_big, kind, wire_bytes);

  leave_queue(now_ns);
  const Wire wire = serialise(now_ns, wire_bytes);
  Fate fate;
  fate.queueing_ns = wire.start_ns - now_ns;
  fate.serialisation_ns = wire.end_ns - wire.start_ns;
  if (wire.start_ns > now_ns) {
    const std::uint64_t backlog = queue_bytes_ + wire_bytes;
    if (backlog > queue.bytes) return drop(Drop::queue_full, kind, wire_bytes, fate);
    // It holds its place until it is dequeued, also when CoDel then drops it or a cut empties the queue.
    queue_.push_back({std::min(wire.start_ns, cut_ns), wire_bytes});
    queue_bytes_ = backlog;
    counters_.queue_bytes_max = std::max(counters_.queue_bytes_max, backlog);
    counters_.queue_packets_max = std::max<std::uint64_t>(counters_.queue_packets_max, queue_.size());
    counters_.queueing_ns_max = std::max(counters_.queueing_ns_max, std::min(wire.start_ns, cut_ns) - now_ns);
    last_load_.queue_bytes_max = std::max(last_load_.queue_bytes_max, backlog);
    last_load_.queueing_ns_max = std::max(last_load_.queueing_ns_max, std::min(wire.start_ns, cut_ns) - now_ns);
  }
  if (queue.kind == plan::QueueKind::codel && wire.start_ns < cut_ns &&
      codel_drops(queue, wire.start_ns, fate.queueing_ns, queue_bytes_)) {
    if (!queue.ecn || !capable) return drop(Drop::codel, kind, wire_bytes, fate);
    fate.marked = true;
    ++counters_.marked[at(kind)];
  }
  free_ns_ = std::min(wire.end_ns, cut_ns);
  last_on_trace_ = !sets_[segments_[wire.segment].impairments].is.rate_trace_ms.empty();
  last_ = wire;
  if (wire.end_ns >= cut_ns) {
    if (wire.start_ns >= cut_ns) never_sent_bytes_ += wire_bytes;
    return drop(Drop::cut, kind, wire_bytes, fate);
  }
  return travel(wire.end_ns, cut_ns, wire_bytes, kind, index, fate);
}

// From the end of serialisation to the other side.
Fate LinkModel::travel(std::uint64_t end_ns, std::uint64_t cut_ns, std::uint32_t wire_bytes, Traffic kind,
                       std::uint64_t index, Fate fate) {
  Set& set = sets_[segment_at(end_ns).impairments];
  if (const Drop why = lost(set, end_ns, kind, index); why != Drop::none) return drop(why, kind, wire_bytes, fate);
  fate.propagation_ns = fixed_delay_ns(set.is, end_ns);
  const std::uint64_t sent = end_ns + fate.propagation_ns;
  std::uint64_t deliver = sent + jitter_ns(set.is.jitter, draw(for_jitter, kind, index));
  const bool held_back = set.is.reorder > 0 && happens(draw(for_reorder, kind, index), set.is.reorder);
  if (held_back) {
    deliver += static_cast<std::uint64_t>(set.is.reorder_ns);  // those behind may overtake it
  } else {
    deliver = std::max(deliver, last_delivery_ns_[at(kind)]);
  }
  if (deliver >= cut_ns) return drop(Drop::cut, kind, wire_bytes, fate);
  if (held_back) {
    ++counters_.held_back;
  } else {
    last_delivery_ns_[at(kind)] = deliver;
  }
  fate.jitter_ns = deliver - sent;
  fate.deliver_at_ns[0] = deliver;
  fate.copies = 1;
  if (set.is.duplicate > 0 && happens(draw(for_duplicate, kind, index), set.is.duplicate)) {
    fate.deliver_at_ns[1] = deliver + jitter_ns(set.is.jitter, draw(for_second_jitter, kind, index));
    fate.copies = fate.deliver_at_ns[1] < cut_ns ? 2 : 1;
    counters_.duplicated += fate.copies - 1u;
  }
  return fate;
}

}  // namespace portolan::link
