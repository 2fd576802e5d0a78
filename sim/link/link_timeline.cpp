// From the plan to one direction's timeline: the link's own impairments, and the faults laid over them, as segments.
// Every field is checked here, so that LinkModel::send has nothing to refuse.
#include <algorithm>
#include <limits>
#include <string>

#include "scenarios/base/hash.hpp"
#include "sim/link/link_model.hpp"

namespace portolan::link {
namespace {

constexpr std::uint64_t stream_of_bursts = 0x6275'7273'7473ull;
constexpr std::int64_t longest_ns = 86'400'000'000'000 * 365;  // a year bounds every time, so sums cannot overflow
constexpr std::uint64_t fastest_bps = 1'000'000'000'000'000;

std::string wrong(const plan::Impairments& is) {
  const auto bad_ppb = [](plan::Ppb p) { return p > 1'000'000'000; };
  const auto bad_time = [](plan::Ns t) { return t < 0 || t > longest_ns; };
  if (bad_time(is.delay_ns)) return "delay_ns must be 0 to one year";
  if (bad_time(is.jitter.scale_ns) || bad_time(is.jitter.max_ns)) return "jitter must be 0 to one year";
  if (bad_ppb(is.loss.probability) || bad_ppb(is.loss.good_probability)) return "loss must be at most 1e9 ppb";
  if (bad_time(is.loss.good_dwell_ns) || bad_time(is.loss.bad_dwell_ns)) return "loss dwell must be 0 to one year";
  if (is.rate_bps > fastest_bps) return "rate_bps must be at most 1e15";
  if (bad_time(is.queue.target_ns) || bad_time(is.queue.interval_ns)) return "queue times must be 0 to one year";
  if (bad_ppb(is.reorder) || bad_ppb(is.duplicate)) return "reorder and duplicate must be at most 1e9 ppb";
  if (bad_time(is.reorder_ns)) return "reorder_ns must be 0 to one year";
  if (bad_time(is.delay_trace_period_ns) || bad_time(is.rate_trace_period_ns))
    return "trace period must be 0 to one year";
  if (!std::is_sorted(is.rate_trace_ms.begin(), is.rate_trace_ms.end())) return "rate_trace_ms must be sorted";
  plan::Ns last = 0;
  for (const plan::DelayPoint& p : is.delay_trace) {
    if (p.at_ns < last || bad_time(p.at_ns)) return "delay_trace must be sorted by at_ns, from 0";
    if (bad_time(p.delay_ns)) return "delay_trace's delay_ns must be 0 to one year";
    last = p.at_ns;
  }
  return {};
}

// Lays the named fields of a degrade fault over what holds; false for a name this model does not know.
bool lay_over(plan::Impairments& is, const plan::Impairments& with, const std::string& field) {
  if (field == "delay") {
    is.delay_ns = with.delay_ns;
    is.delay_trace = with.delay_trace;  // empty as a rule: else the link's own trace would go on winning
    is.delay_trace_period_ns = with.delay_trace_period_ns;
  } else if (field == "jitter") {
    is.jitter = with.jitter;
  } else if (field == "loss") {
    is.loss = with.loss;
  } else if (field == "rate") {
    is.rate_bps = with.rate_bps;
    is.rate_trace_ms = with.rate_trace_ms;
    is.rate_trace_period_ns = with.rate_trace_period_ns;
  } else if (field == "queue") {
    is.queue = with.queue;
  } else if (field == "reorder") {
    is.reorder = with.reorder;
    is.reorder_ns = with.reorder_ns;
  } else if (field == "duplicate") {
    is.duplicate = with.duplicate;
  } else if (field == "mtu") {
    is.mtu_bytes = with.mtu_bytes;
  } else {
    return false;
  }
  return true;
}

bool touches(const plan::Fault& fault, plan::Index link, bool reverse) {
  using plan::FaultKind;
  if (fault.kind != FaultKind::cut && fault.kind != FaultKind::partition && fault.kind != FaultKind::degrade)
    return false;
  if (fault.way == (reverse ? plan::Way::a_to_b : plan::Way::b_to_a)) return false;
  return std::find(fault.links.begin(), fault.links.end(), link) != fault.links.end();
}

bool lasts(const plan::Fault& fault, std::uint64_t at_ns) {
  const auto t = static_cast<std::int64_t>(at_ns);
  return fault.at_ns <= t && (fault.until_ns == 0 || t < fault.until_ns);
}

// When anything changes for this direction, from 0; refuses faults that cannot be honoured.
Expected<std::vector<std::uint64_t>> changes_of(const plan::Plan& plan, plan::Index link, bool reverse) {
  std::vector<std::uint64_t> changes{0};
  for (std::size_t i = 0; i < plan.faults.size(); ++i) {
    const plan::Fault& fault = plan.faults[i];
    if (!touches(fault, link, reverse)) continue;
    const std::string here = "/faults/" + std::to_string(i);
    if (fault.at_ns < 0 || (fault.until_ns != 0 && fault.until_ns < fault.at_ns)) {
      return fail(Exit::usage, here, "until_ns must be 0 or after at_ns, and at_ns not negative");
    }
    changes.push_back(static_cast<std::uint64_t>(fault.at_ns));
    if (fault.until_ns != 0) changes.push_back(static_cast<std::uint64_t>(fault.until_ns));
    if (fault.kind != plan::FaultKind::degrade) continue;
    if (const std::string why = wrong(fault.impairments); !why.empty()) return fail(Exit::usage, here, why);
    plan::Impairments scratch;
    for (const std::string& field : fault.replaces) {
      if (lay_over(scratch, fault.impairments, field)) continue;
      return fail(Exit::usage, here + "/replaces",
                  "'" + field + "' is none of delay, jitter, loss, rate, queue, reorder, duplicate, mtu");
    }
  }
  std::sort(changes.begin(), changes.end());
  changes.erase(std::unique(changes.begin(), changes.end()), changes.end());
  return changes;
}

}  // namespace

Expected<LinkModel> LinkModel::make(const plan::Plan& plan, plan::Index link, bool reverse) {
  if (link >= plan.links.size()) return fail(Exit::usage, "/links", "link index out of range");
  const std::string place = "/links/" + std::to_string(link) + (reverse ? "/b_to_a" : "/a_to_b");
  const plan::Link& its = plan.links[link];
  const plan::Impairments& own = reverse ? its.b_to_a : its.a_to_b;
  if (const std::string why = wrong(own); !why.empty()) return fail(Exit::usage, place, why);
  const auto changes = changes_of(plan, link, reverse);
  if (!changes) return tl::unexpected(changes.error());

  LinkModel model;
  model.seed_ = draw64(its.seed, reverse ? 2 : 1);
  const std::uint64_t bursts = draw64(model.seed_, stream_of_bursts);
  for (const std::uint64_t from_ns : *changes) {
    Segment segment{.from_ns = from_ns, .up = true, .impairments = model.sets_.size(), .cut_ns = 0};
    // A fault's burst process is its own; the link's goes on beneath it and is where it would have been afterwards.
    Set set{.is = own, .stream = bursts, .dwell = {}};
    for (std::size_t i = 0; i < plan.faults.size(); ++i) {
      const plan::Fault& fault = plan.faults[i];
      if (!touches(fault, link, reverse) || !lasts(fault, from_ns)) continue;
      if (fault.kind != plan::FaultKind::degrade) {
        segment.up = false;
        continue;
      }
      for (const std::string& field : fault.replaces) {
        lay_over(set.is, fault.impairments, field);
        if (field == "loss") set.stream = draw64(bursts, i + 1);
      }
    }
    if ((set.is.rate_bps > 0 || !set.is.rate_trace_ms.empty()) && set.is.queue.bytes == 0) {
      return fail(
          Exit::usage, place,
          "from " + std::to_string(from_ns) + " ns on there is a rate but no queue: queue.bytes must hold a packet");
    }
    model.sets_.push_back(std::move(set));
    model.segments_.push_back(segment);
  }
  std::uint64_t cut_ns = std::numeric_limits<std::uint64_t>::max();
  for (auto segment = model.segments_.rbegin(); segment != model.segments_.rend(); ++segment) {
    if (!segment->up) cut_ns = segment->from_ns;
    segment->cut_ns = cut_ns;
  }
  return model;
}

}  // namespace portolan::link
