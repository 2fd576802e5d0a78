// Streams and topics are given back when nothing is left of them: their publisher is gone, the log holds nothing, and
// nobody has still to be told anything. Of each publisher the latest incarnation stays until its place is needed, for
// it tells where a later one goes on. Else a broker would die slowly of clients that restart.
#include <algorithm>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {
namespace {

constexpr std::uint32_t kLookedAt = 64;  // streams each time
constexpr std::uint64_t kSettledNs = 1'000'000'000;

}  // namespace

bool Core::superseded(std::uint32_t s) const {
  const Stream& stream = log_.stream(s);
  for (std::uint32_t x = log_.topic(stream.topic).first_stream; x != kNil; x = log_.stream(x).next_in_topic) {
    const Stream& other = log_.stream(x);
    if (other.publisher == stream.publisher && other.incarnation > stream.incarnation && other.home != Home::unknown) {
      return true;
    }
  }
  return false;
}

// Nothing of it is here. A home that lives may send more of it: then it is asked to name the stream again.
bool Core::spare(std::uint32_t s) const {
  const Stream& stream = log_.stream(s);
  if (!stream.used || stream.entries != 0 || stream.unplaced_first != 0) return false;
  if (stream.upstream == kNil) return now_.mono_ns - stream.gone_ns >= kSettledNs;
  return stream.home == Home::remote;
}

// Somebody who is away, or was let go, has still to be told what it missed of it.
bool Core::needed(std::uint32_t s) const {
  const Stream& stream = log_.stream(s);
  for (std::uint32_t d = 0; d < downstream_high_; ++d) {
    const Downstream& down = downstreams_[d];
    const std::uint64_t c = cursors_[static_cast<std::size_t>(d) * limits_.streams + s];
    if (!down.used || !may_need(d, s)) continue;
    if (c != 0 && stream.home == Home::unknown) return true;
    const bool away = down.detached || (down.slot == kNil && down.first_filter != kNil);
    if (away && c == 0 && stream.gone_ns >= down.since_ns) return true;
    if ((away || down.syncing) && c != 0 && c <= stream.contiguous) return true;
  }
  return false;
}

void Core::give_back(std::uint32_t s) {
  for (std::uint32_t d = 0; d < downstream_high_; ++d) {
    end_catch_up(d, s);
    forget_alias(d, s);
    cursor(d, s) = 0;
  }
  log_.remove_stream(s);
  ++counters.streams_given_back;
}

// No session names it, and nothing is left of it but streams that are spare; unless `also_needed`, none that is needed.
bool Core::spare_topic(std::uint32_t t, bool also_needed) const {
  const Topic& topic = log_.topic(t);
  if (!topic.used || topic.head != kNil || topic.in_aliases != 0) return false;
  for (std::uint32_t s = topic.first_stream; s != kNil; s = log_.stream(s).next_in_topic) {
    if (!spare(s) || (!also_needed && needed(s))) return false;
  }
  for (std::uint32_t d = 0; d < downstream_high_; ++d) {
    if (lag(d, t).queued) return false;
  }
  return true;
}

void Core::give_back_topic(std::uint32_t t) {
  while (log_.topic(t).first_stream != kNil) give_back(log_.topic(t).first_stream);
  for (std::uint32_t d = 0; d < downstream_high_; ++d) {
    forget_topic_alias(d, t);
    const std::uint32_t epoch = lag(d, t).epoch + 1;
    lag(d, t) = Lag{};
    lag(d, t).epoch = epoch;
  }
  owing_.clear_row(t);
  log_.remove_topic(t);
  ++counters.topics_given_back;
}

// A little at a time, round and round.
void Core::give_back_some() {
  for (std::uint32_t i = 0; i < std::min(kLookedAt, log_.streams()); ++i) {
    const std::uint32_t s = give_back_at_++ % log_.streams();
    if (spare(s) && superseded(s) && !needed(s)) give_back(s);
  }
}

// When the table is full: a stream that is spare goes, first one that nobody needs, the one that is gone the longest.
std::uint32_t Core::add_stream(std::uint32_t topic, std::uint64_t publisher, std::uint32_t incarnation) {
  std::uint32_t added = log_.add_stream(topic, publisher, incarnation);
  if (added == kNil) {
    std::uint32_t best = kNil;
    bool best_needed = true;
    for (std::uint32_t s = 0; s < log_.streams(); ++s) {
      if (!spare(s)) continue;
      const bool earlier = best == kNil || log_.stream(s).gone_ns < log_.stream(best).gone_ns;
      if (!earlier && !best_needed) continue;
      const bool need = needed(s);
      if (need && (!earlier || !best_needed)) continue;
      best = s;
      best_needed = need;
    }
    if (best == kNil) return kNil;
    give_back(best);
    added = log_.add_stream(topic, publisher, incarnation);
  }
  log_.stream(added).gone_ns = now_.mono_ns;
  return added;
}

// A topic that is spare goes, and only with its streams: of no other is anything forgotten, whatever a client
// announces.
std::uint32_t Core::add_topic(std::string_view name) {
  const std::uint32_t added = log_.add_topic(name);
  if (added != kNil || name.size() > limits_.topic_name_bytes) return added;
  for (const bool also_needed : {false, true}) {
    for (std::uint32_t t = 0; t < log_.topics(); ++t) {
      if (!spare_topic(t, also_needed)) continue;
      give_back_topic(t);
      return log_.add_topic(name);
    }
  }
  return kNil;
}

// Asked for a stream that was given back: what is known of it stands in its successor. All of it is gone.
std::uint32_t Core::revive(std::uint32_t topic, std::uint64_t publisher, std::uint32_t incarnation) {
  for (std::uint32_t x = log_.topic(topic).first_stream; x != kNil; x = log_.stream(x).next_in_topic) {
    const Stream& next = log_.stream(x);
    if (next.publisher != publisher || next.previous_incarnation != incarnation || next.home != Home::local) continue;
    const std::uint64_t last = next.previous_last;  // its place may be needed for the new one
    if (last == wire::kUnknownLast) return kNil;
    const std::uint32_t s = add_stream(topic, publisher, incarnation);
    if (s == kNil) return kNil;
    log_.begin_stream(s, last + 1);
    log_.stream(s).start = 1;
    log_.stream(s).home = Home::local;
    return s;
  }
  return kNil;
}

}  // namespace portolan::broker::core
