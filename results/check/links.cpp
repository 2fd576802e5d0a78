#include "results/check/links.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "scenarios/base/hash.hpp"

namespace portolan::check {

using record::Kind;
using record::Row;

namespace {

std::uint64_t permille(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : part * 1000 / whole;
}

using Totals = std::map<std::string, std::uint64_t>;

// What the totals at the end say, the seconds must add up to: a second left out would be a load that nobody saw.
void compare(const RunFiles& run, const Totals& totals, const Totals& seconds, Judgement& judgement) {
  for (const auto& [name, value] : totals) {
    const auto at = seconds.find(name);
    const std::uint64_t sum = at == seconds.end() ? 0 : at->second;
    if (sum == value) continue;
    judgement.undecided(Rule::records, "link_load or link_drops rows missing", run.runner->name,
                        fmt::format("{}: {} in all, {} in its seconds", name, value, sum));
  }
}

}  // namespace

std::uint64_t LinkWay::mean_permille() const {
  std::uint64_t moved = 0, could = 0;
  for (const LinkSecond& s : seconds) {
    if (s.capacity > 0) moved += s.carried, could += s.capacity;
  }
  return permille(moved, could);
}

std::uint64_t LinkWay::peak_permille() const {
  std::uint64_t peak = 0;
  for (const LinkSecond& s : seconds) peak = std::max(peak, permille(s.carried, s.capacity));
  return peak;
}

std::uint64_t LinkWay::peak_bps() const {
  std::uint64_t peak = 0;
  for (const LinkSecond& s : seconds) {
    if (s.to <= s.from) continue;
    const auto bits = static_cast<unsigned_int128>(s.carried) * 8'000'000'000u;
    peak = std::max(peak, static_cast<std::uint64_t>(bits / static_cast<std::uint64_t>(s.to - s.from)));
  }
  return peak;
}

std::vector<LinkWay> read_links(const RunFiles& run, Judgement& judgement) {
  std::vector<LinkWay> ways;
  if (run.runner == nullptr) return ways;
  std::map<std::string, std::size_t> by_name;  // index in the full table below
  std::vector<LinkWay> all;
  for (Index l = 0; l < run.plan.links.size(); ++l) {
    for (const bool reverse : {false, true}) {
      by_name[run.plan.links[l].name + (reverse ? "/b_to_a" : "/a_to_b")] = all.size();
      LinkWay way;
      way.link = l;
      way.reverse = reverse;
      all.push_back(std::move(way));
    }
  }
  Totals totals, seconds;
  bool loads = false, virtual_time = false;
  const record::RecordReader& reader = run.runner->reader;
  reader.for_each([&](const Row& row) {
    const std::string text(reader.text(row.text));
    const auto kind = static_cast<Kind>(row.kind);
    virtual_time = virtual_time || (kind == Kind::fidelity && text == "virtual_time" && row.value == 1);
    if (kind == Kind::link_counters) {
      const bool counted = text.ends_with("/packets") || text.ends_with("/bytes") ||
                           text.find("/dropped/") != std::string::npos ||
                           text.find("/dropped_bytes/") != std::string::npos;
      if (counted && by_name.contains(text.substr(0, text.find("_to_") + 5))) totals[text] = row.value;
      return;
    }
    if (kind != Kind::link_load && kind != Kind::link_drops) return;
    loads = true;
    const auto cut = text.find("_to_");
    const std::string name = cut == std::string::npos ? text : text.substr(0, cut + 5);
    const auto at = by_name.find(name);
    if (at == by_name.end()) {
      judgement.undecided(Rule::records, "load of a link that the plan does not have", run.runner->name, text);
      return;
    }
    LinkWay& way = all[at->second];
    if (kind == Kind::link_load) {
      LinkSecond s;
      s.from = run.runner->on_run(row.intended_ns);
      s.to = run.runner->time(row);
      s.packets = row.sequence, s.bytes = row.last;
      s.carried = row.value, s.capacity = row.hash;
      s.queue_bytes_max = static_cast<std::uint64_t>(row.extra), s.queueing_max = row.sent_ns;
      way.packets += s.packets, way.bytes += s.bytes, way.carried += s.carried;
      way.queue_bytes_max = std::max(way.queue_bytes_max, s.queue_bytes_max);
      way.queueing_max = std::max(way.queueing_max, s.queueing_max);
      way.seconds.push_back(s);
      seconds[name + "/packets"] += s.packets;
      seconds[name + "/bytes"] += s.bytes;
    } else {
      const std::string reason = text.substr(std::min(text.size(), name.size() + 1));
      way.dropped[reason] += row.value;
      way.dropped_bytes[reason] += row.last;
      if (!way.seconds.empty()) way.seconds.back().dropped += row.value;
      seconds[name + "/dropped/" + reason] += row.value;
      seconds[name + "/dropped_bytes/" + reason] += row.last;
    }
  });
  // A runner in real time may not know its links so closely.
  if (loads || virtual_time) compare(run, totals, seconds, judgement);
  for (LinkWay& way : all) {
    if (!way.seconds.empty()) ways.push_back(std::move(way));
  }
  return ways;
}

}  // namespace portolan::check
