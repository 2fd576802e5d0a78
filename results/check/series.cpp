// series.json: bounded series for plots. At most kBins bins of time and kCdf points of a distribution for each family,
// whatever the length of the run.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "results/check/output.hpp"

namespace portolan::check {

using nlohmann::json;

namespace {

constexpr std::size_t kBins = 600;
constexpr std::size_t kCdf = 200;
constexpr std::size_t kLinks = 40;
constexpr Ns kSecond = 1'000'000'000;

// Whole seconds a bin, so that bins of short runs are seconds.
Ns bin_width(Ns end) {
  return ((end / kSecond) / static_cast<Ns>(kBins) + 1) * kSecond;
}

struct Bins {
  std::vector<std::uint64_t> deliveries, published, missing;
  std::vector<std::vector<Ns>> above;
};

// Points of the distribution: every 1/kCdf, and the tail that matters apart.
json distribution(const std::vector<Ns>& sorted) {
  json out = json::array();
  if (sorted.empty()) return out;
  for (std::size_t i = 0; i <= kCdf; ++i) {
    const auto at = static_cast<std::uint32_t>(i * 10000 / kCdf);
    out.push_back({at, percentile(sorted, at)});
  }
  for (const std::uint32_t at : {9910u, 9925u, 9940u, 9960u, 9970u, 9980u, 9985u, 9990u, 9995u, 9999u}) {
    out.push_back({at, percentile(sorted, at)});
  }
  std::sort(out.begin(), out.end());
  return out;
}

json of(const Bins& b) {
  json p50 = json::array(), p99 = json::array(), worst = json::array();
  for (std::vector<Ns> values : b.above) {
    std::sort(values.begin(), values.end());
    p50.push_back(values.empty() ? json(nullptr) : json(percentile(values, 5000)));
    p99.push_back(values.empty() ? json(nullptr) : json(percentile(values, 9900)));
    worst.push_back(values.empty() ? json(nullptr) : json(values.back()));
  }
  return {{"deliveries", b.deliveries}, {"published", b.published},  {"missing", b.missing},
          {"above_floor_p50_ns", p50},  {"above_floor_p99_ns", p99}, {"above_floor_max_ns", worst}};
}

// A counter's growth in each bin, summed over processes and reasons.
std::vector<std::uint64_t> growth(const RunFiles& run, std::string_view name, Ns width, std::size_t bins) {
  std::vector<std::uint64_t> out(bins, 0);
  for (const RecordFile& file : run.files) {
    if (file.reader.writer() != record::Writer::audit) continue;
    std::map<std::uint32_t, std::uint64_t> last;
    file.reader.for_each([&](const record::Row& row) {
      if (row.kind != static_cast<std::uint16_t>(record::Kind::counter) || file.reader.text(row.text) != name) return;
      std::uint64_t& before = last[row.code];
      // A sample of a second tells of that second, not of the one that it opens.
      const Ns at = std::max<Ns>(0, file.time(row) - 1);
      const std::size_t bin = std::min(bins - 1, static_cast<std::size_t>(at / width));
      if (row.value > before) out[bin] += row.value - before;
      before = row.value;
    });
  }
  return out;
}

json marks(const Checked& c) {
  json out = json::array();
  for (const FaultReport& f : c.statistics.faults) {
    if (!f.on) continue;
    out.push_back({{"name", c.run.plan.faults[f.index].name},
                   {"on_ns", *f.on},
                   {"off_ns", f.off ? json(*f.off) : json(nullptr)},
                   {"recovery_ns", f.recovery ? json(*f.recovery) : json(nullptr)}});
  }
  return out;
}

// The links that were used most (by peak use of what they can carry, then by bytes), in each bin: bytes carried and
// what could have been, the longest queue and drops.
json links(const Checked& c, Ns width, std::size_t bins) {
  std::vector<const LinkWay*> busiest;
  for (const LinkWay& w : c.links) busiest.push_back(&w);
  std::stable_sort(busiest.begin(), busiest.end(), [](const LinkWay* a, const LinkWay* b) {
    return std::pair(a->peak_permille(), a->carried) > std::pair(b->peak_permille(), b->carried);
  });
  if (busiest.size() > kLinks) busiest.resize(kLinks);
  json out = json::array();
  for (const LinkWay* w : busiest) {
    std::vector<std::uint64_t> carried(bins), capacity(bins), queue(bins), dropped(bins);
    std::vector<Ns> queueing(bins);
    for (const LinkSecond& s : w->seconds) {
      const std::size_t bin = std::min(bins - 1, static_cast<std::size_t>(std::max<Ns>(0, s.to - 1) / width));
      carried[bin] += s.carried, capacity[bin] += s.capacity, dropped[bin] += s.dropped;
      queue[bin] = std::max(queue[bin], s.queue_bytes_max);
      queueing[bin] = std::max(queueing[bin], s.queueing_max);
    }
    out.push_back({{"link", c.run.plan.links[w->link].name},
                   {"way", w->reverse ? "b_to_a" : "a_to_b"},
                   {"carried_bytes", carried},
                   {"capacity_bytes", capacity},
                   {"queue_bytes_max", queue},
                   {"queueing_max_ns", queueing},
                   {"dropped", dropped}});
  }
  return out;
}

}  // namespace

std::string series_json(const Checked& c) {
  const Ns width = bin_width(c.timeline->end());
  const auto bins = static_cast<std::size_t>(c.timeline->end() / width + 1);
  const auto bin_of = [&](Ns at) { return std::min(bins - 1, static_cast<std::size_t>(std::max<Ns>(0, at) / width)); };
  const auto& families = c.statistics.families;
  std::vector<Bins> series(families.size());
  for (Bins& b : series) {
    b.deliveries.resize(bins), b.published.resize(bins), b.missing.resize(bins);
    b.above.resize(bins);
  }
  for (std::size_t i = 0; i < c.subscribers.size(); ++i) {
    const Subscriber& s = c.subscribers[i];
    for (std::size_t k = 0; k < s.received.size(); ++k) {
      Bins& b = series[c.statistics.family_of_topic[s.received[k].topic]];
      const Ns floor = floor_between(c.run.plan, s.received[k].process, s.process);
      for (const Sample& sample : s.samples[k]) {
        ++b.deliveries[bin_of(sample.delivered)];
        b.above[bin_of(sample.delivered)].push_back(sample.latency - floor);
      }
    }
    for (const DeliveryJudge::Missing& m : c.delivery->missing()[i])
      ++series[c.statistics.family_of_topic[m.topic]].missing[bin_of(m.intended)];
  }
  for (const Sent& sent : c.ledger->sent()) {
    Bins& b = series[c.statistics.family_of_topic[sent.topic]];
    for (const Message& m : sent.messages) b.published[bin_of(m.intended)] += m.offered ? 1 : 0;
  }
  json out = {{"version", 1},
              {"bin_ns", width},
              {"bins", bins},
              {"end_ns", c.timeline->end()},
              {"faults", marks(c)},
              {"repair_datagrams", growth(c.run, "repair_datagrams", width, bins)},
              {"packets_lost", growth(c.run, "packets_lost", width, bins)},
              {"links", links(c, width, bins)},
              {"families", json::array()}};
  for (std::size_t f = 0; f < families.size(); ++f) {
    json family = of(series[f]);
    family["family"] = families[f].name;
    family["tenant"] = c.run.plan.tenants[families[f].tenant].name;
    family["floor_min_ns"] = families[f].floor_min;
    family["floor_max_ns"] = families[f].floor_max;
    family["latency_cdf"] = distribution(families[f].sorted_latency);
    family["above_floor_cdf"] = distribution(families[f].sorted_above);
    out["families"].push_back(std::move(family));
  }
  return out.dump(1) + "\n";
}

}  // namespace portolan::check
