// The figures: exact percentiles, latency and time above the floor by topic family, where the time went, recovery after
// each fault, repair against loss. Percentiles are nearest-rank over all samples (the smallest value with at least p of
// the samples at or below it): no interpolation, no histogram.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "results/check/audit.hpp"
#include "results/check/delivery.hpp"

namespace portolan::check {

// `sorted` ascending; 10000 = the largest. 0 of nothing.
Ns percentile(std::span<const Ns> sorted, std::uint32_t permyriad);

struct Spread {
  std::uint64_t count = 0;
  Ns min = 0, p50 = 0, p90 = 0, p99 = 0, p999 = 0, max = 0, mean = 0;
  static Spread of(std::vector<Ns>& values);  // sorts them
};

inline constexpr int kParts = 6;
inline constexpr const char* kPartNames[kParts] = {"propagation", "serialisation", "queueing",
                                                   "repair",      "consensus",     "broker"};

struct Family {
  Index tenant = 0;
  std::string name;
  std::string klass;
  std::uint64_t topics = 0;
  Counts counts;
  Ns floor_min = 0, floor_max = 0;  // over the pairs that had deliveries
  Spread latency, above;
  std::vector<Ns> sorted_latency, sorted_above;
  std::uint64_t splits = 0;
  Ns part_mean[kParts] = {};
  std::uint64_t splits_at_p99 = 0;  // deliveries at or above the p99 of time above the floor
  Ns part_at_p99[kParts] = {};
  Spread repaired;  // time that repair added to deliveries that needed it
};

struct FaultReport {
  std::size_t index = 0;
  std::optional<Ns> on, off;
  std::uint64_t streams = 0;   // (subscriber, stream) pairs that it held up
  std::uint64_t missing = 0;   // owed messages that never came
  Ns worst_latency = 0;        // of a held-up message
  std::optional<Ns> recovery;  // after `off` (or `on` where it never heals) until the last held-up stream flowed again
};

struct RepairReport {
  std::uint64_t repair_bytes = 0, repair_datagrams = 0;
  std::uint64_t lost_bytes = 0, lost_packets = 0;          // by links, whatever the reason
  std::uint64_t impaired_bytes = 0, impaired_packets = 0;  // by loss and bursts alone
};

struct Statistics {
  std::vector<Family> families;  // by tenant, then as the plan has them
  std::vector<std::size_t> family_of_topic;
  std::vector<FaultReport> faults;
  RepairReport repair;
  Spread lateness;  // sent - intended, of all offers
};

Statistics make_statistics(const RunFiles& run, const Timeline& timeline, const Ledger& ledger,
                           const std::vector<Subscriber>& subscribers, const DeliveryJudge& delivery,
                           const Audit& audit);

Ns floor_between(const plan::Plan& plan, Index publisher, Index subscriber);

}  // namespace portolan::check
