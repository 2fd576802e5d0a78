#include "results/check/windows.hpp"

#include <algorithm>
#include <map>

#include "scenarios/base/hash.hpp"

namespace portolan::check {

namespace {

using plan::ExpectKind;

constexpr std::uint64_t kMillion = 1'000'000;
constexpr Ns kSecond = 1'000'000'000;

std::int64_t share(unsigned_int128 part, unsigned_int128 whole) {  // ppm
  return static_cast<std::int64_t>(part * kMillion / whole);
}

bool of_way(const plan::Expectation& e, const LinkWay& w) {
  if (w.link != e.link) return false;
  return e.way == plan::Way::both || (e.way == plan::Way::b_to_a) == w.reverse;
}

}  // namespace

Windows::Span Windows::window(const plan::Expectation& e) const {
  return {e.after_ns, e.until_ns > 0 ? e.until_ns : run_.plan.duration_ns};
}

std::vector<bool> covered(const plan::Plan& plan, const plan::Expectation& e) {
  std::vector<bool> out(plan.topics.size());
  for (Index t = 0; t < out.size(); ++t) {
    const plan::Topic& topic = plan.topics[t];
    out[t] = (e.tenant == plan::kNone || e.tenant == topic.tenant) &&
             plan::filter_matches(e.filter.empty() ? "#" : e.filter, topic.name);
  }
  return out;
}

// Streams and subscribers that the plan joins in the span, whether or not anything came: who starves counts, as 0.
std::vector<Windows::Due> Windows::due(const std::vector<bool>& topics, Span span) const {
  const plan::Plan& plan = run_.plan;
  std::map<Index, std::vector<Index>> publishers;  // by topic
  for (const plan::Stream& s : plan.streams) {
    const plan::Load& load = plan.loads[s.load];
    if (topics[s.topic] && load.start_ns < span.to && load.end_ns > span.from) publishers[s.topic].push_back(s.process);
  }
  std::vector<Due> out;
  for (Index p = 0; p < plan.processes.size(); ++p) {
    for (const plan::Subscription& asked : plan.processes[p].subscriptions) {
      if (asked.at_ns >= span.to || (asked.until_ns > 0 && asked.until_ns <= span.from)) continue;
      for (const auto& [topic, from] : publishers) {
        if (plan.topics[topic].tenant != plan.processes[p].tenant) continue;
        if (!plan::filter_matches(asked.filter, plan.topics[topic].name)) continue;
        for (const Index publisher : from) out.push_back({p, topic, publisher});
      }
    }
  }
  return out;
}

// Of messages that were meant to be sent in the span.
std::optional<Ns> Windows::latency(const plan::Expectation& e, Span span, bool above) const {
  std::vector<Ns> values;
  const std::vector<bool> topics = covered(run_.plan, e);
  for (const Subscriber& s : subscribers_) {
    for (std::size_t i = 0; i < s.received.size(); ++i) {
      if (!topics[s.received[i].topic]) continue;
      const Ns floor = above ? floor_between(run_.plan, s.received[i].process, s.process) : 0;
      for (const Sample& sample : s.samples[i]) {
        if (span.holds(sample.delivered - sample.latency)) values.push_back(sample.latency - floor);
      }
    }
  }
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  return percentile(values, e.percentile_permyriad);
}

// Over the whole seconds within the window, of what the wire could have carried; the busier way. A second without a row
// had no traffic, so a link without any was idle; but a runner that writes no such rows measures nothing.
std::optional<std::int64_t> Windows::utilisation(const plan::Expectation& e) const {
  Span span = window(e);
  span.from = (span.from + kSecond - 1) / kSecond * kSecond;
  span.to = span.to / kSecond * kSecond;
  if (links_.empty() || span.to <= span.from) return std::nullopt;
  std::int64_t busiest = 0;
  for (const LinkWay& w : links_) {
    if (!of_way(e, w)) continue;
    std::uint64_t carried = 0, capacity = 0;
    Ns seen = 0;
    for (const LinkSecond& s : w.seconds) {
      if (s.from < span.from || s.to > span.to || s.to <= s.from) continue;
      carried += s.carried;
      capacity += s.capacity;
      seen += s.to - s.from;
    }
    if (capacity == 0) continue;
    const auto all = static_cast<unsigned_int128>(capacity) * static_cast<std::uint64_t>(span.to - span.from) /
                     static_cast<std::uint64_t>(seen);
    busiest = std::max(busiest, share(carried, std::max<unsigned_int128>(all, 1)));
  }
  return busiest;
}

std::optional<std::int64_t> Windows::queue(const plan::Expectation& e) const {
  const Span span = window(e);
  if (links_.empty() || e.reference == 0) return std::nullopt;
  std::int64_t longest = 0;
  for (const LinkWay& w : links_) {
    if (!of_way(e, w)) continue;
    for (const LinkSecond& s : w.seconds) {
      if (s.to <= span.from || s.from >= span.to) continue;
      longest = std::max(longest, static_cast<std::int64_t>(s.queue_bytes_max * 1'000 / e.reference));
    }
  }
  return longest;
}

// Payload that came in the window, of the reference rate, to the subscriber that got least.
std::optional<std::int64_t> Windows::goodput(const plan::Expectation& e) const {
  const Span span = window(e);
  const std::vector<bool> topics = covered(run_.plan, e);
  std::map<Index, std::uint64_t> bytes;  // by process
  for (const Due& d : due(topics, span)) bytes[d.subscriber] = 0;
  for (const Subscriber& s : subscribers_) {
    for (std::size_t i = 0; i < s.received.size(); ++i) {
      if (!topics[s.received[i].topic]) continue;
      std::uint64_t& sum = bytes[s.process];
      for (const Sample& sample : s.samples[i]) sum += span.holds(sample.delivered) ? sample.bytes : 0;
    }
  }
  if (bytes.empty() || e.reference == 0 || span.to <= span.from) return std::nullopt;
  std::uint64_t least = ~0ull;
  for (const auto& [process, sum] : bytes) least = std::min(least, sum);
  const auto could =
      static_cast<unsigned_int128>(e.reference) * static_cast<std::uint64_t>(span.to - span.from) / 8'000'000'000u;
  return share(least, std::max<unsigned_int128>(could, 1));
}

// Jain's index (sum squared over n times the sum of squares) of what came of each topic or publisher in the window.
std::optional<std::int64_t> Windows::fairness(const plan::Expectation& e) const {
  const Span span = window(e);
  const std::vector<bool> topics = covered(run_.plan, e);
  const bool by_topic = e.between == plan::Between::topics;
  std::map<Index, std::uint64_t> bytes;
  for (const Due& d : due(topics, span)) bytes[by_topic ? d.topic : d.publisher] = 0;
  for (const Subscriber& s : subscribers_) {
    for (std::size_t i = 0; i < s.received.size(); ++i) {
      const Received& r = s.received[i];
      if (!topics[r.topic]) continue;
      std::uint64_t& sum = bytes[by_topic ? r.topic : r.process];
      for (const Sample& sample : s.samples[i]) sum += span.holds(sample.delivered) ? sample.bytes : 0;
    }
  }
  unsigned_int128 sum = 0, squares = 0;
  for (const auto& [who, n] : bytes) {
    sum += n / 8;  // so that squares fit whatever the run
    squares += static_cast<unsigned_int128>(n / 8) * (n / 8);
  }
  if (bytes.size() < 2 || squares == 0) return std::nullopt;
  return share(sum * sum / bytes.size(), squares);
}

// Datagrams that brought nothing new, at the mean size of what is sent again, of all bytes sent.
std::optional<std::int64_t> Windows::spurious() const {
  const auto total = [&](const char* name) {
    const auto found = audit_.totals.find(name);
    return found == audit_.totals.end() ? 0 : found->second;
  };
  if (total("bytes_out") == 0) return std::nullopt;
  const std::uint64_t repairs = std::max<std::uint64_t>(total("repair_datagrams"), 1);
  return share(static_cast<unsigned_int128>(total("spurious_repairs")) * total("repair_bytes") / repairs,
               total("bytes_out"));
}

std::optional<std::int64_t> Windows::measure(const plan::Expectation& e) const {
  switch (e.kind) {
    case ExpectKind::latency_above_floor:
      return latency(e, window(e), true);
    case ExpectKind::latency:
      return latency(e, window(e), false);
    case ExpectKind::latency_rise: {
      const auto now = latency(e, window(e), false);
      const auto before = latency(e, {e.base_after_ns, e.base_until_ns}, false);
      if (!now || !before) return std::nullopt;
      return std::max<Ns>(*now - *before, 0);
    }
    case ExpectKind::utilisation_least:
    case ExpectKind::utilisation_most:
      return utilisation(e);
    case ExpectKind::queue:
      return queue(e);
    case ExpectKind::goodput:
      return goodput(e);
    case ExpectKind::fairness:
      return fairness(e);
    case ExpectKind::spurious_repair:
      return spurious();
    default:
      return std::nullopt;
  }
}

}  // namespace portolan::check
