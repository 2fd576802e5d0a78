#include "broker/testing/network.hpp"

#include <algorithm>

namespace portolan::broker::testing {
namespace {

constexpr std::uint64_t kQueueNs = 100 * kMilli;

}  // namespace

Network::Fate Network::send(std::uint64_t now_ns, Node from, Node to, std::uint32_t bytes) {
  State& s = state(from, to);
  const Path& p = s.path;
  ++counts_.sent;
  Fate fate;
  if (!p.up) {
    ++counts_.cut;
    return fate;
  }
  if (p.mtu != 0 && bytes > p.mtu) {
    ++counts_.too_large;
    return fate;
  }
  if (p.burst_start != 0 && now_ns >= s.burst_until_ns && draw_.chance(p.burst_start)) {
    s.burst_until_ns = now_ns + p.burst_ns;
  }
  bool lost = now_ns < s.burst_until_ns || (p.loss != 0 && draw_.chance(p.loss));
  if (s.lose_next > 0) {
    --s.lose_next;
    lost = true;
  }
  if (lost) {
    ++counts_.lost;
    return fate;
  }
  std::uint64_t queued_ns = 0;
  if (p.rate_bps != 0) {
    const std::uint64_t from_ns = std::max(now_ns, s.line_free_ns);
    if (from_ns - now_ns > kQueueNs) {
      ++counts_.lost;
      return fate;
    }
    s.line_free_ns = from_ns + std::uint64_t{bytes} * 8 * kSecond / p.rate_bps;
    queued_ns = s.line_free_ns - now_ns;
  }
  std::uint64_t at = now_ns + queued_ns + p.delay_ns + (p.jitter_ns != 0 ? draw_.below(p.jitter_ns) : 0);
  if (p.reorder != 0 && draw_.chance(p.reorder)) {
    ++counts_.reordered;
    at += draw_.below(p.reorder_ns);  // and does not hold back those behind it
  } else {
    at = std::max(at, s.newest_ns);
    s.newest_ns = at;
  }
  fate.at_ns[fate.copies++] = at;
  if (p.duplicate != 0 && draw_.chance(p.duplicate)) {
    ++counts_.duplicated;
    fate.at_ns[fate.copies++] = at + draw_.below(2 * kMilli);
  }
  if (p.corrupt != 0 && draw_.chance(p.corrupt)) {
    ++counts_.corrupted;
    fate.corrupt = true;
    fate.damage = draw_.next();
  }
  return fate;
}

}  // namespace portolan::broker::testing
