// Retention, and what gives way when memory is short. What was accepted is not forgotten for the sake of what was not:
// first goes what is only retained; then what is owed to those who are away. What is owed to somebody who is there
// stays, and meanwhile publishers are refused (upstream.cpp): until the bound for falling behind where he stands still,
// and as long as the topic retains where he moves on.
#include <algorithm>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {
namespace {

constexpr std::uint32_t kLongMessageBytes = 4'096;  // surely lies in slots
constexpr std::uint32_t kRelieveSteps = 64;
constexpr std::uint32_t kRelieveForLong = 4'096;
constexpr std::uint64_t kReturnsNs = 1'000'000'000;  // with RESUME, after DETACHED

}  // namespace

void Core::expire(std::uint32_t topic) {
  if (keep_expired_) return;
  const Topic& t = log_.topic(topic);
  while (t.head != kNil) {
    const Entry& entry = log_.entry(t.head);
    if (entry.pending != 0 || kept_back(entry.from_peer())) return;
    const bool young = now_.mono_ns - entry.time_ns < t.retain_ns;
    const bool fits = t.retain_bytes == 0 || t.bytes <= t.retain_bytes;
    if (!entry.is_gap() && young && fits) return;
    if (!entry.is_gap()) ++counters.retention_expired;
    log_.remove_head(topic);
  }
}

bool Core::short_of_memory(std::uint32_t eighths, bool but_slots) const {
  const Store::Usage u = store_.usage();
  const auto over = [&](std::uint64_t used, std::uint64_t bound) { return used * 8 >= bound * eighths; };
  if (over(u.messages, limits_.messages) || over(u.blocks, limits_.small_blocks)) return true;
  // Of slots the endpoint keeps an eighth, at least one, for messages that have begun: the rest is all there is.
  const auto slots_over = [](std::uint32_t used, std::uint32_t bound) {
    return used + std::max(bound / 8, 1u) >= bound;
  };
  return !but_slots &&
         (slots_over(u.large_slots, limits_.large_slots) || slots_over(u.small_slots, limits_.small_slots));
}

bool Core::waited_for(const Downstream& down, const Entry& entry) const {
  const std::uint64_t age_ns = now_.mono_ns - entry.time_ns;
  if (down.slot == kNil) return false;
  if (age_ns < detach_ns_) return true;
  return now_.mono_ns - down.progress_ns < detach_ns_ && age_ns < log_.topic(log_.topic_of(entry)).retain_ns;
}

// Somebody who was let go, and is there, is about to come back for it with RESUME.
bool Core::comes_back_for(const Entry& entry) const {
  for (std::uint32_t d = 0; d < downstream_high_; ++d) {
    const Downstream& down = downstreams_[d];
    if (!down.detached || !down.used || now_.mono_ns - down.let_go_ns >= kReturnsNs || !waited_for(down, entry))
      continue;
    const std::uint64_t c = cursors_[static_cast<std::size_t>(d) * limits_.streams + entry.stream];
    if (c != 0 && c <= entry.last && eligible(d, entry)) return true;
  }
  return false;
}

bool Core::somebody_is_away() const {
  return std::any_of(downstreams_, downstreams_ + downstream_high_,
                     [](const Downstream& down) { return down.used && !down.detached && down.slot == kNil; });
}

// `length`: of a long message that is to begin; 0: none.
void Core::relieve_memory(std::uint32_t length) {
  const std::uint32_t steps = length == 0 ? kRelieveSteps : kRelieveForLong;
  std::uint64_t tried_ns = 0;  // heads up to this age cannot go
  for (std::uint32_t step = 0; step < steps; ++step) {
    const bool entries = !log_.room_for_message();  // GAPs take them too, and outlast what stands before them
    const bool wanted = length != 0 && !endpoint_.room_for_long(length);
    if (!entries && !wanted && !short_of_memory(7)) return;
    const Store::Usage u = store_.usage();
    const bool slots_only = !entries && !wanted &&
                            std::uint64_t{u.messages} * 8 < std::uint64_t{limits_.messages} * 7 &&
                            std::uint64_t{u.blocks} * 8 < std::uint64_t{limits_.small_blocks} * 7;
    std::uint32_t oldest = kNil, owed_by_none = kNil;
    for (std::uint32_t t = 0; t < log_.topics(); ++t) {
      const std::uint32_t head = log_.topic(t).head;
      if (head == kNil || (slots_only && log_.entry(head).length < kLongMessageBytes)) continue;
      const Entry& entry = log_.entry(head);
      const auto older = [&](std::uint32_t than) {
        return than == kNil || entry.time_ns < log_.entry(log_.topic(than).head).time_ns;
      };
      if (entry.time_ns > tried_ns && older(oldest)) oldest = t;
      if (entry.pending == 0 && older(owed_by_none) && !comes_back_for(entry)) owed_by_none = t;
    }
    if (owed_by_none != kNil) oldest = owed_by_none;  // somebody slow in one topic does not keep all others
    if (oldest == kNil) return;
    const std::uint32_t head = log_.topic(oldest).head;
    if (kept_back(log_.entry(head).from_peer())) {
      withheld_for_peers_ = withheld_for_clients_ = false;
      end_withholding();
      continue;
    }
    if (oldest != owed_by_none) {
      // Whoever is there and below the bound is not let go, and all other heads are younger than this one.
      const bool young = now_.mono_ns - log_.entry(head).time_ns < detach_ns_;
      if (young && !withheld_for_peers_ && !withheld_for_clients_ && !somebody_is_away()) return;
      tried_ns = log_.entry(head).time_ns;
      const bool helps = !log_.entry(head).is_gap() || !short_of_memory(7);
      if (helps && log_.entry(head).pending != 0) let_go_for_memory(head, length);
      continue;
    }
    if (!log_.entry(head).is_gap()) ++counters.retention_expired;
    log_.remove_head(oldest);
  }
}

// Who is away does not come back for what others need now, unless he owes so little that it would help nobody.
void Core::let_go_for_memory(std::uint32_t e, std::uint32_t length) {
  const std::uint32_t serial = log_.entry(e).serial;
  owing_.for_each(log_.topic_of(log_.entry(e)), [&](std::uint32_t d) {
    const Entry& entry = log_.entry(e);
    const Downstream& down = downstreams_[d];
    if (entry.serial != serial || !owes(d, entry) || waited_for(down, entry)) return;
    if (down.slot != kNil || down.backlog_bytes >= length / 16) {
      detach(d, static_cast<std::uint32_t>(GapReason::detached));
    }
  });
}

}  // namespace portolan::broker::core
