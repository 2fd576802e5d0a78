// What each link and direction carried, second by second: the runner's `link_load` and `link_drops` rows, summed up and
// held against its totals. For expectations, the summary and pictures.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "results/check/run_files.hpp"

namespace portolan::check {

struct LinkSecond {
  Ns from = 0, to = 0;
  std::uint64_t packets = 0, bytes = 0;     // offered
  std::uint64_t carried = 0, capacity = 0;  // bytes; capacity 0: unlimited, or down
  std::uint64_t queue_bytes_max = 0;
  Ns queueing_max = 0;
  std::uint64_t dropped = 0;
};

struct LinkWay {
  Index link = 0;
  bool reverse = false;
  std::vector<LinkSecond> seconds;  // those with traffic, by time
  std::uint64_t packets = 0, bytes = 0, carried = 0;
  std::uint64_t queue_bytes_max = 0;
  Ns queueing_max = 0;
  std::map<std::string, std::uint64_t> dropped, dropped_bytes;  // by reason
  // Of what the wire could carry; 0 where it is unlimited. Mean: over the seconds with traffic.
  std::uint64_t mean_permille() const;
  std::uint64_t peak_permille() const;
  std::uint64_t peak_bps() const;
};

// By link, a to b first; only those that rows speak of. Findings: rows that do not add up to the link_counters.
std::vector<LinkWay> read_links(const RunFiles& run, Judgement& judgement);

}  // namespace portolan::check
