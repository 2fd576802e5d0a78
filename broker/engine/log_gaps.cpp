// The log's gaps: what was told never to come, in the log and beyond what is contiguous.
#include <algorithm>
#include <iterator>

#include "broker/engine/log.hpp"
#include "broker/wire/control.hpp"

namespace portolan::broker::core {

void Log::step_over_gaps(Stream& s) {
  for (std::uint32_t i = 0; i < s.later_gap_count;) {
    const Stream::Range range = s.later_gaps[i];
    if (range.first > s.contiguous + 1) {
      ++i;
      continue;
    }
    s.contiguous = std::max(s.contiguous, range.last);
    s.later_gaps[i] = s.later_gaps[--s.later_gap_count];
    i = 0;
  }
}

// The place for this gap among those beyond `contiguous`; kNil: they are more scattered than there are places.
std::uint32_t Log::later_gap_place(const Stream& s, std::uint64_t first, std::uint64_t last) {
  for (std::uint32_t i = 0; i < s.later_gap_count; ++i) {
    const Stream::Range& range = s.later_gaps[i];
    if (first <= range.last + 1 && last + 1 >= range.first) return i;
  }
  return s.later_gap_count < std::size(s.later_gaps) ? s.later_gap_count : kNil;
}

// Makes the gap at the end of the topic's log longer, where it is of this stream and the next sequences follow on it.
// The caller knows that nobody has passed it yet. kNil: there is none.
std::uint32_t Log::lengthen_gap(std::uint32_t stream, std::uint64_t first, std::uint64_t last, std::uint32_t reason) {
  Stream& s = streams_[stream];
  const std::uint32_t e = topics_[s.topic].tail;
  if (e == kNil || last == wire::kUnknownLast) return kNil;
  Entry& entry = entries_[e];
  if (!entry.is_gap() || entry.stream != stream || entry.reason != reason || entry.last + 1 != first) return kNil;
  if (last - entry.sequence >= kGapSteps) return kNil;
  entry.last = s.gap_last = last;
  s.gap_first = entry.sequence;
  cover(stream, first, last);
  return e;
}

std::uint32_t Log::find_gap(std::uint32_t stream, std::uint64_t sequence, std::uint32_t reason) const {
  const auto meant = [&](const Entry& gap) { return reason == 0 || gap.reason == reason; };
  for (std::uint64_t first = sequence; first != 0 && sequence - first < kGapSteps; --first) {
    const std::uint32_t e = table_.find(stream | kGapKey, first);
    if (e != kNil && meant(entries_[e])) {
      if (entries_[e].last >= sequence) return e;
      break;
    }
    if (table_.find(stream, first) != kNil) break;
  }
  if (streams_[stream].long_gaps == 0) return kNil;
  for (std::uint32_t e = topics_[streams_[stream].topic].head; e != kNil; e = entries_[e].next) {
    const Entry& entry = entries_[e];
    if (!entry.is_gap() || entry.stream != stream || !meant(entry)) continue;
    if (entry.sequence <= sequence && sequence <= entry.last) return e;
  }
  return kNil;
}

// By its key, a few steps before whatever lies in it.
bool Log::quickly_found(std::uint32_t e) const {
  const Entry& gap = entries_[e];
  return gap.last - gap.sequence < kGapSteps && table_.find(gap.stream | kGapKey, gap.sequence) == e;
}

bool Log::gap_known(std::uint32_t stream, std::uint64_t first, std::uint64_t last) const {
  const Stream& s = streams_[stream];
  if (last <= s.contiguous) return true;
  return std::any_of(s.later_gaps, s.later_gaps + s.later_gap_count,
                     [=](const Stream::Range& range) { return range.first <= first && last <= range.last; });
}

bool Log::can_take_gap(std::uint32_t stream, std::uint64_t first, std::uint64_t last) const {
  const Stream& s = streams_[stream];
  if (free_entry_ == kNil) return false;
  return last == wire::kUnknownLast || first <= s.contiguous + 1 || later_gap_place(s, first, last) != kNil;
}

void Log::note_later_gap(Stream& s, std::uint64_t first, std::uint64_t last) {
  std::uint32_t i = later_gap_place(s, first, last);
  if (i == kNil) {  // the nearest count: only when those are stepped over does anybody get to the others
    s.gaps_forgotten = true;
    i = 0;
    for (std::uint32_t j = 1; j < s.later_gap_count; ++j) {
      if (s.later_gaps[j].first > s.later_gaps[i].first) i = j;
    }
    if (s.later_gaps[i].first > first) s.later_gaps[i] = {first, last};
    return;
  }
  Stream::Range& range = s.later_gaps[i];
  if (i == s.later_gap_count) {
    ++s.later_gap_count;
    range = {first, last};
  } else {
    range = {std::min(range.first, first), std::max(range.last, last)};
  }
}

// What lies in a gap does not count as missing.
void Log::cover(std::uint32_t stream, std::uint64_t first, std::uint64_t last) {
  Stream& s = streams_[stream];
  if (last == wire::kUnknownLast) return;
  s.highest = std::max(s.highest, last);
  if (last <= s.contiguous) return;
  if (first <= s.contiguous + 1) {
    s.contiguous = last;
  } else {
    note_later_gap(s, first, last);
  }
  step_over_gaps(s);
  drop_early(stream, s.contiguous);
}

std::uint32_t Log::append_gap(std::uint32_t stream, std::uint64_t first, std::uint64_t last, std::uint32_t reason,
                              std::uint64_t now_ns, std::uint32_t from) {
  const std::uint32_t e = take_entry(stream, now_ns, from);
  if (e == kNil) return kNil;
  Entry& entry = entries_[e];
  Stream& s = streams_[stream];
  entry.sequence = first;
  entry.last = last;
  entry.reason = reason;
  s.gap_first = first;
  s.gap_last = last;
  s.gap_reason = reason;
  cover(stream, first, last);
  if (table_.find(stream | kGapKey, first) == kNil) table_.insert(stream | kGapKey, first, e);
  if (!quickly_found(e)) ++s.long_gaps;
  link(e);
  return e;
}

}  // namespace portolan::broker::core
