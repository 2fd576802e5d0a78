#include "broker/engine/log.hpp"

#include <algorithm>
#include <cstring>

#include "broker/wire/control.hpp"

namespace portolan::broker::core {

Log::Log(const Limits& limits, Arena& arena, Store& store)
    : store_(store),
      name_bytes_(limits.topic_name_bytes),
      topic_bound_(limits.topics),
      topic_mask_(std::bit_ceil(limits.topics * 2 + 2) - 1),
      stream_bound_(limits.streams),
      // A message and a gap each take an entry; gaps have some of their own, since they are told when messages run out.
      entry_count_(limits.messages + limits.messages / 8 + 64),
      gap_reserve_(limits.messages / 8 + 64) {
  topics_ = arena.take<Topic>(limits.topics);
  names_ = arena.take<char>(static_cast<std::size_t>(limits.topics) * name_bytes_);
  topic_cells_ = arena.take<std::uint32_t>(static_cast<std::size_t>(topic_mask_) + 1);
  streams_ = arena.take<Stream>(limits.streams);
  entries_ = arena.take<Entry>(entry_count_);
  table_.construct(arena, entry_count_);
  if (arena.short_of_memory()) return;
  for (std::uint32_t i = entry_count_; i-- > 0;) {
    entries_[i].next = free_entry_;
    free_entry_ = i;
  }
}

std::string_view Log::name_of(std::uint32_t topic) const {
  return {names_ + static_cast<std::size_t>(topic) * name_bytes_, topics_[topic].name_length};
}

std::uint32_t Log::find_topic(std::string_view name) const {
  const std::uint64_t hash = wire::topic_hash(name);
  for (auto i = static_cast<std::uint32_t>(hash) & topic_mask_; topic_cells_[i] != 0; i = (i + 1) & topic_mask_) {
    const std::uint32_t t = topic_cells_[i] - 1;
    if (topics_[t].hash == hash && name_of(t) == name) return t;
  }
  return kNil;
}

std::uint32_t Log::add_topic(std::string_view name) {
  if (name.size() > name_bytes_) return kNil;
  std::uint32_t t = free_topic_;
  if (t != kNil) {
    free_topic_ = topics_[t].first_stream;
  } else if (topic_count_ < topic_bound_) {
    t = topic_count_++;
  } else {
    return kNil;
  }
  topics_[t] = Topic{};
  topics_[t].used = true;
  ++topics_used_;
  topics_[t].hash = wire::topic_hash(name);
  topics_[t].name_length = static_cast<std::uint32_t>(name.size());
  std::memcpy(names_ + static_cast<std::size_t>(t) * name_bytes_, name.data(), name.size());
  auto i = static_cast<std::uint32_t>(topics_[t].hash) & topic_mask_;
  while (topic_cells_[i] != 0) i = (i + 1) & topic_mask_;
  topic_cells_[i] = t + 1;
  return t;
}

void Log::remove_topic(std::uint32_t t) {
  auto i = static_cast<std::uint32_t>(topics_[t].hash) & topic_mask_;
  while (topic_cells_[i] != t + 1) i = (i + 1) & topic_mask_;
  for (auto j = (i + 1) & topic_mask_; topic_cells_[j] != 0; j = (j + 1) & topic_mask_) {
    const auto home = static_cast<std::uint32_t>(topics_[topic_cells_[j] - 1].hash) & topic_mask_;
    if (((j - home) & topic_mask_) < ((j - i) & topic_mask_)) continue;  // j would move before its home
    topic_cells_[i] = topic_cells_[j];
    i = j;
  }
  topic_cells_[i] = 0;
  topics_[t] = Topic{};
  topics_[t].first_stream = free_topic_;
  free_topic_ = t;
  --topics_used_;
}

std::uint32_t Log::find_stream(std::uint32_t topic, std::uint64_t publisher, std::uint32_t incarnation) const {
  for (std::uint32_t s = topics_[topic].first_stream; s != kNil; s = streams_[s].next_in_topic) {
    if (streams_[s].publisher == publisher && streams_[s].incarnation == incarnation) return s;
  }
  return kNil;
}

std::uint32_t Log::previous_stream(std::uint32_t topic, std::uint64_t publisher, std::uint32_t incarnation) const {
  std::uint32_t best = kNil;
  for (std::uint32_t s = topics_[topic].first_stream; s != kNil; s = streams_[s].next_in_topic) {
    if (streams_[s].publisher != publisher || streams_[s].incarnation >= incarnation) continue;
    if (streams_[s].home == Home::unknown) continue;
    if (best == kNil || streams_[s].incarnation > streams_[best].incarnation) best = s;
  }
  return best;
}

std::uint32_t Log::add_stream(std::uint32_t topic, std::uint64_t publisher, std::uint32_t incarnation) {
  std::uint32_t s = free_stream_;
  if (s != kNil) {
    free_stream_ = streams_[s].next_in_topic;
  } else if (stream_count_ < stream_bound_) {
    s = stream_count_++;
  } else {
    return kNil;
  }
  const std::uint32_t serial = streams_[s].serial + 1;
  streams_[s] = Stream{};
  streams_[s].serial = serial;
  streams_[s].used = true;
  ++streams_used_;
  streams_[s].publisher = publisher;
  streams_[s].incarnation = incarnation;
  streams_[s].topic = topic;
  Topic& t = topics_[topic];
  (t.last_stream == kNil ? t.first_stream : streams_[t.last_stream].next_in_topic) = s;
  t.last_stream = s;
  return s;
}

void Log::remove_stream(std::uint32_t s) {
  Topic& t = topics_[streams_[s].topic];
  std::uint32_t before = kNil;
  for (std::uint32_t x = t.first_stream; x != s; x = streams_[x].next_in_topic) before = x;
  (before == kNil ? t.first_stream : streams_[before].next_in_topic) = streams_[s].next_in_topic;
  if (t.last_stream == s) t.last_stream = before;
  const std::uint32_t serial = streams_[s].serial + 1;  // what still names it is known to be old
  streams_[s] = Stream{};
  streams_[s].serial = serial;
  streams_[s].next_in_topic = free_stream_;
  free_stream_ = s;
  --streams_used_;
}

void Log::begin_stream(std::uint32_t stream, std::uint64_t start) {
  Stream& s = streams_[stream];
  s.start = start;
  s.contiguous = std::max(s.contiguous, start - 1);
  s.highest = std::max(s.highest, start - 1);
  drop_early(stream, s.contiguous);
  step_over_gaps(s);
}

std::uint32_t Log::take_entry(std::uint32_t stream, std::uint64_t now_ns, std::uint32_t from) {
  if (free_entry_ == kNil) return kNil;
  const std::uint32_t e = free_entry_;
  Entry& entry = entries_[e];
  free_entry_ = entry.next;
  entries_high_ = std::max(entries_high_, ++entries_used_);
  const std::uint32_t serial = entry.serial + 1 == 0 ? 1 : entry.serial + 1;
  entry = Entry{};
  entry.serial = serial;
  entry.stream = stream;
  entry.time_ns = now_ns;
  entry.from = from;
  ++streams_[stream].entries;
  return e;
}

void Log::link(std::uint32_t e) {
  Entry& entry = entries_[e];
  Topic& t = topics_[topic_of(entry)];
  entry.position = t.next_position++;
  entry.next = kNil;
  (t.tail == kNil ? t.head : entries_[t.tail].next) = e;
  t.tail = e;
  if (t.oldest_pending == kNil) t.oldest_pending = e;
  if (entry.is_gap()) return;
  t.bytes += entry.length;
  Stream& s = streams_[entry.stream];
  chain(e, held_before(entry.stream, entry.sequence), s.first_held, &s.last_held);
  ++s.held;
}

void Log::chain(std::uint32_t e, std::uint32_t before, std::uint32_t& first, std::uint32_t* last) {
  Entry& entry = entries_[e];
  entry.before = before;
  entry.after = before == kNil ? first : entries_[before].after;
  (before == kNil ? first : entries_[before].after) = e;
  if (entry.after != kNil) {
    entries_[entry.after].before = e;
  } else if (last != nullptr) {
    *last = e;
  }
}

void Log::unchain(std::uint32_t e, std::uint32_t& first, std::uint32_t* last) {
  Entry& entry = entries_[e];
  (entry.before == kNil ? first : entries_[entry.before].after) = entry.after;
  if (entry.after != kNil) {
    entries_[entry.after].before = entry.before;
  } else if (last != nullptr) {
    *last = entry.before;
  }
  entry.before = entry.after = kNil;
}

// The last message in the log before this sequence, or kNil. Nearly always it is the last of all, or a neighbour.
std::uint32_t Log::held_before(std::uint32_t stream, std::uint64_t sequence) const {
  const Stream& s = streams_[stream];
  const std::uint64_t least = low(stream);
  if (s.held == 0 || sequence <= least) return kNil;
  std::uint32_t e = s.last_held;
  const std::uint64_t high = entries_[e].sequence;
  if (high < sequence) return e;
  if (const std::uint32_t x = table_.find(stream, sequence - 1); x != kNil) return x;
  if (high - sequence <= sequence - least) {
    while (entries_[e].sequence >= sequence) e = entries_[e].before;
    return e;
  }
  e = s.first_held;
  while (entries_[entries_[e].after].sequence < sequence) e = entries_[e].after;
  return e;
}

std::uint32_t Log::held_from(std::uint32_t stream, std::uint64_t sequence) const {
  if (const std::uint32_t e = table_.find(stream, sequence); e != kNil && !entries_[e].early()) return e;
  if (const std::uint32_t before = held_before(stream, sequence); before != kNil) return entries_[before].after;
  return streams_[stream].held == 0 ? kNil : streams_[stream].first_held;
}

std::uint32_t Log::link_next(std::uint32_t stream) {
  Stream& s = streams_[stream];
  step_over_gaps(s);
  const std::uint32_t e = s.early == 0 ? kNil : table_.find(stream, s.contiguous + 1);
  if (e == kNil) return kNil;
  ++s.contiguous;
  step_over_gaps(s);
  --s.early;
  unchain(e, s.first_early, nullptr);
  entries_[e].pending = 0;
  link(e);
  return e;
}

void Log::drop_early(std::uint32_t stream, std::uint64_t last) {
  Stream& s = streams_[stream];
  for (std::uint32_t e = s.first_early; e != kNil;) {
    const std::uint32_t next = entries_[e].after;
    if (entries_[e].sequence <= last) {
      unchain(e, s.first_early, nullptr);
      table_.erase(stream, entries_[e].sequence);
      --s.early;
      retained_bytes_ -= entries_[e].length;
      store_.release(entries_[e].message);
      give_back(e);
    }
    e = next;
  }
}

void Log::give_back(std::uint32_t e) {
  Entry& entry = entries_[e];
  --streams_[entry.stream].entries;
  entry.message = kNil;
  entry.pending = 0;
  ++entry.serial;  // references to the removed one read as complete
  entry.next = free_entry_;
  free_entry_ = e;
  --entries_used_;
}

std::uint32_t Log::append(std::uint32_t stream, std::uint64_t sequence, MessageId message, std::uint64_t now_ns,
                          std::uint32_t from) {
  if (!room_for_message()) return kNil;
  const std::uint32_t e = take_entry(stream, now_ns, from);
  if (e == kNil) return kNil;
  Entry& entry = entries_[e];
  Stream& s = streams_[stream];
  entry.sequence = entry.last = sequence;
  entry.message = message;
  entry.length = store_.at(message).length;
  retained_bytes_ += entry.length;
  table_.insert(stream, sequence, e);
  s.highest = std::max(s.highest, sequence);
  if (sequence > s.contiguous + 1) {
    entry.pending = 1;
    ++s.early;
    chain(e, kNil, s.first_early, nullptr);
    return e;
  }
  s.contiguous = std::max(s.contiguous, sequence);
  link(e);
  return e;
}

void Log::remove_head(std::uint32_t topic) {
  Topic& t = topics_[topic];
  const std::uint32_t e = t.head;
  Entry& entry = entries_[e];
  t.head = entry.next;
  if (t.head == kNil) t.tail = kNil;
  if (t.oldest_pending == e) t.oldest_pending = t.head;
  if (!entry.is_gap()) {
    Stream& s = streams_[entry.stream];
    table_.erase(entry.stream, entry.sequence);
    t.bytes -= entry.length;
    retained_bytes_ -= entry.length;
    unchain(e, s.first_held, &s.last_held);
    --s.held;
    store_.release(entry.message);
  } else {
    if (!quickly_found(e)) --streams_[entry.stream].long_gaps;
    if (table_.find(entry.stream | kGapKey, entry.sequence) == e) {
      table_.erase(entry.stream | kGapKey, entry.sequence);
    }
  }
  give_back(e);
}

}  // namespace portolan::broker::core
