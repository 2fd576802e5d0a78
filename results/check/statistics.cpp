#include "results/check/statistics.hpp"

#include <algorithm>
#include <numeric>

#include "results/check/recovery.hpp"
#include "scenarios/base/hash.hpp"
#include "scenarios/plan/floor.hpp"

namespace portolan::check {

using record::Kind;
using record::Row;

Ns percentile(std::span<const Ns> sorted, std::uint32_t permyriad) {
  if (sorted.empty()) return 0;
  const std::uint64_t rank = (static_cast<std::uint64_t>(permyriad) * sorted.size() + 9999) / 10000;
  return sorted[static_cast<std::size_t>(std::clamp<std::uint64_t>(rank, 1, sorted.size()) - 1)];
}

Spread Spread::of(std::vector<Ns>& values) {
  Spread s;
  if (values.empty()) return s;
  std::sort(values.begin(), values.end());
  s.count = values.size();
  s.min = values.front();
  s.max = values.back();
  s.p50 = percentile(values, 5000);
  s.p90 = percentile(values, 9000);
  s.p99 = percentile(values, 9900);
  s.p999 = percentile(values, 9990);
  unsigned_int128 sum = 0;
  Ns negative = 0;
  for (const Ns v : values) {
    if (v >= 0)
      sum += static_cast<std::uint64_t>(v);
    else
      negative += v;
  }
  s.mean = static_cast<Ns>(sum / values.size()) + negative / static_cast<Ns>(values.size());
  return s;
}

Ns floor_between(const plan::Plan& plan, Index publisher, Index subscriber) {
  const auto harbour = [&](Index p) -> const plan::Harbour& {
    return plan.harbours[plan.nodes[plan.processes[p].node].harbour];
  };
  return plan::floor_ns(harbour(publisher), harbour(subscriber));
}

namespace {

void make_families(const RunFiles& run, const DeliveryJudge& delivery, Statistics& out) {
  std::map<std::pair<Index, std::string>, std::size_t> index;
  out.family_of_topic.resize(run.plan.topics.size());
  for (Index t = 0; t < run.plan.topics.size(); ++t) {
    const plan::Topic& topic = run.plan.topics[t];
    const std::string& name = topic.family.empty() ? topic.name : topic.family;
    const auto [at, fresh] = index.try_emplace({topic.tenant, name}, out.families.size());
    if (fresh) {
      Family family;
      family.tenant = topic.tenant;
      family.name = name;
      family.klass = topic.klass == plan::TopicClass::ordered ? "ordered" : "realtime";
      out.families.push_back(std::move(family));
    }
    out.family_of_topic[t] = at->second;
    Family& family = out.families[at->second];
    ++family.topics;
    family.counts.add(delivery.by_topic()[t]);
  }
}

void add_samples(const RunFiles& run, const std::vector<Subscriber>& subscribers, Statistics& out) {
  for (const Subscriber& s : subscribers) {
    for (std::size_t i = 0; i < s.received.size(); ++i) {
      if (s.samples[i].empty()) continue;
      Family& family = out.families[out.family_of_topic[s.received[i].topic]];
      const Ns floor = floor_between(run.plan, s.received[i].process, s.process);
      family.floor_min = family.sorted_latency.empty() ? floor : std::min(family.floor_min, floor);
      family.floor_max = std::max(family.floor_max, floor);
      for (const Sample& sample : s.samples[i]) {
        family.sorted_latency.push_back(sample.latency);
        family.sorted_above.push_back(sample.latency - floor);
      }
    }
  }
  for (Family& family : out.families) {
    family.latency = Spread::of(family.sorted_latency);
    family.above = Spread::of(family.sorted_above);
  }
}

struct PartSums {
  std::uint64_t count = 0;
  Ns sum[kParts] = {};
  void add(const Ns (&parts)[kParts]) {
    ++count;
    for (int i = 0; i < kParts; ++i) sum[i] += parts[i];
  }
};

void add_splits(const RunFiles& run, const Ledger& ledger, Statistics& out) {
  std::vector<PartSums> all(out.families.size()), tail(out.families.size());
  std::vector<std::vector<Ns>> repaired(out.families.size());
  for (const RecordFile& file : run.files) {
    if (file.reader.writer() != record::Writer::audit) continue;
    std::vector<Index> topics(file.reader.text_count() + 1, plan::kNone);
    const Index tenant = run.plan.processes[file.process()].tenant;
    for (std::uint32_t t = 1; t < topics.size(); ++t) topics[t] = ledger.topic_of(tenant, file.reader.text(t));
    file.reader.for_each([&](const Row& row) {
      if (row.kind != static_cast<std::uint16_t>(Kind::split) || topics[row.topic] == plan::kNone) return;
      const std::size_t f = out.family_of_topic[topics[row.topic]];
      const Ns parts[kParts] = {row.intended_ns,           row.sent_ns,
                                static_cast<Ns>(row.hash), static_cast<Ns>(row.value),
                                static_cast<Ns>(row.last), row.extra};
      all[f].add(parts);
      const Ns latency = std::accumulate(parts, parts + kParts, Ns{0});
      if (latency - static_cast<Ns>(row.code) >= out.families[f].above.p99) tail[f].add(parts);
      if ((row.flags & record::kFlagRepaired) != 0) repaired[f].push_back(parts[3]);
    });
  }
  for (std::size_t f = 0; f < out.families.size(); ++f) {
    Family& family = out.families[f];
    family.splits = all[f].count;
    family.splits_at_p99 = tail[f].count;
    for (int i = 0; i < kParts; ++i) {
      if (all[f].count > 0) family.part_mean[i] = all[f].sum[i] / static_cast<Ns>(all[f].count);
      if (tail[f].count > 0) family.part_at_p99[i] = tail[f].sum[i] / static_cast<Ns>(tail[f].count);
    }
    family.repaired = Spread::of(repaired[f]);
  }
}

std::uint64_t total(const std::map<std::string, std::uint64_t>& values, const char* name) {
  const auto at = values.find(name);
  return at == values.end() ? 0 : at->second;
}

RepairReport make_repair(const Audit& audit) {
  RepairReport r;
  r.repair_bytes = total(audit.totals, "repair_bytes");
  r.repair_datagrams = total(audit.totals, "repair_datagrams");
  // What the links say, each by its own counters: LINK/WAY/dropped_bytes/REASON.
  for (const auto& [name, value] : audit.links) {
    const auto bytes = name.find("/dropped_bytes/");
    const auto packets = name.find("/dropped/");
    const std::string reason = name.substr(name.rfind('/') + 1);
    const bool impaired = reason == "loss" || reason == "burst";
    if (bytes != std::string::npos) r.lost_bytes += value, r.impaired_bytes += impaired ? value : 0;
    if (packets != std::string::npos) r.lost_packets += value, r.impaired_packets += impaired ? value : 0;
  }
  return r;
}

}  // namespace

Statistics make_statistics(const RunFiles& run, const Timeline& timeline, const Ledger& ledger,
                           const std::vector<Subscriber>& subscribers, const DeliveryJudge& delivery,
                           const Audit& audit) {
  Statistics out;
  make_families(run, delivery, out);
  add_samples(run, subscribers, out);
  add_splits(run, ledger, out);
  out.faults = make_recovery(run, timeline, subscribers, delivery);
  out.repair = make_repair(audit);
  std::vector<Ns> lateness = ledger.lateness();
  out.lateness = Spread::of(lateness);
  return out;
}

}  // namespace portolan::check
