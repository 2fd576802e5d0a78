// The broker's memory of what was published: topics, streams and, per topic, a log of entries in arrival order. The log
// is at once the retention, the only place downstreams are served from, and (by (stream, sequence)) the record that
// de-duplicates. An entry stays at least while `pending`: some downstream still owes `delivered` for it; so whoever
// points at an entry that it owes never dangles. Of each stream the log holds sequences in their order: one that comes
// early waits beside it until those before it are there; so whatever window lies behind, a subscriber that gets a
// prefix of the log can deliver it. Knows no downstream and no session. Called by Core only.
#pragma once

#include <cstdint>
#include <string_view>

#include "broker/engine/sequence_table.hpp"
#include "broker/session/endpoint.hpp"

namespace portolan::broker::core {

enum class Home : std::uint8_t {
  unknown,  // only asked for (RESUME): nobody has announced it yet
  local,    // its publisher's session ends here
  remote    // it comes from the peer `home_peer`
};

struct Topic {
  std::uint64_t hash = 0;
  std::uint64_t retain_ns = 0;
  std::uint64_t retain_bytes = 0;  // 0: not bounded by bytes
  std::uint64_t next_position = 1;
  std::uint64_t bytes = 0;  // of the entries in the log
  std::uint32_t name_length = 0;
  std::uint32_t head = kNil;  // oldest entry
  std::uint32_t tail = kNil;
  std::uint32_t oldest_pending = kNil;  // no older entry is pending; kNil: not looked up since the log was empty
  std::uint32_t first_stream = kNil;
  std::uint32_t last_stream = kNil;
  std::uint64_t wanted_since = 0;  // version of my interest that made it match; 0: nobody here wants it
  std::uint32_t in_aliases = 0;    // sessions that have announced it to me: it stays while they stand
  Lane lane = Lane::realtime;
  bool used = false;
  std::uint16_t counted = 0;  // whose TopicCounters
};

struct Stream {
  std::uint64_t publisher = 0;
  std::uint64_t start = 1;       // the first sequence that this broker was offered
  std::uint64_t contiguous = 0;  // all of [start, contiguous] came or was told to be a gap
  std::uint64_t highest = 0;
  std::uint32_t first_held = kNil, last_held = kNil;  // messages of it in the log, chained by sequence
  std::uint32_t first_early = kNil;                   // those that wait beside the log, the latest first
  std::uint64_t previous_last = 0;
  std::uint64_t gap_first = 0;  // the latest GAP of it that entered the log
  std::uint64_t gap_last = 0;
  std::uint64_t unplaced_first = 0;  // a GAP that found no entry yet; 0: none
  std::uint64_t unplaced_last = 0;
  std::uint64_t gaps_asked_for = 0;  // where `contiguous` stood when I asked for gaps that I had forgotten
  std::uint32_t gap_reason = 0;
  std::uint32_t unplaced_reason = 0;
  std::uint32_t incarnation = 0;
  std::uint32_t previous_incarnation = 0;
  std::uint32_t topic = kNil;
  std::uint32_t next_in_topic = kNil;
  std::uint32_t entries = 0;       // entries of it: messages, gaps, what waits beside the log
  std::uint32_t serial = 0;        // counts the uses of this place, so that an old alias is known as such
  std::uint64_t gone_ns = 0;       // when the session that announced it ended
  std::uint32_t held = 0;          // messages of it in the log
  std::uint32_t early = 0;         // messages of it that wait beside the log
  std::uint32_t long_gaps = 0;     // gaps of it in the log that are not found by a few steps
  std::uint32_t home_peer = kNil;  // downstream index of the peer, when remote
  std::uint32_t upstream = kNil;   // session slot of whoever announced it last
  // Gaps beyond `contiguous` (messages refused while an earlier one is still being repaired): stepped over later.
  struct Range {
    std::uint64_t first = 0, last = 0;
  };
  Range later_gaps[16];
  std::uint32_t later_gap_count = 0;
  Home home = Home::unknown;
  bool covered = false;  // remote: its home serves me (my interest matches and it announced its cursor)
  bool used = false;
  bool gaps_forgotten = false;  // more later gaps than places: the farthest have to be told again
};

struct Entry {
  std::uint64_t sequence = 0;  // a gap's first
  std::uint64_t last = 0;      // a gap's last; a message's own sequence
  std::uint64_t position = 0;  // per topic, from 1; 0: waits beside the log, and `pending` is 1 for that
  std::uint64_t time_ns = 0;
  std::uint32_t message = kNil;  // kNil: a gap
  std::uint32_t length = 0;
  std::uint32_t stream = kNil;
  std::uint32_t next = kNil;  // in the topic's log, or in the free list
  // A message's neighbours by sequence among those of its stream in the log (among those beside it: in no order). So
  // work on a stream is measured by what is held of it, never by how far apart its sequences are.
  std::uint32_t before = kNil, after = kNil;
  std::uint32_t pending = 0;  // downstreams that owe `delivered`
  std::uint32_t serial = 0;   // counts the uses of this place, so that an old reference is known as such
  std::uint32_t reason = 0;   // of a gap
  std::uint32_t from = kNil;  // downstream index of the peer that sent it; kNil: published here
  bool is_gap() const { return message == kNil; }
  bool early() const { return position == 0; }
  bool from_peer() const { return from != kNil; }
};

class Log {
 public:
  Log(const Limits& limits, Arena& arena, Store& store);

  // Names. kNil: the table is full, or not there.
  std::uint32_t find_topic(std::string_view name) const;
  std::uint32_t add_topic(std::string_view name);
  std::string_view name_of(std::uint32_t topic) const;
  std::uint32_t topics() const { return topic_count_; }  // places; a place may be free
  void remove_topic(std::uint32_t topic);                // it has no stream and no entry
  Topic& topic(std::uint32_t index) { return topics_[index]; }
  const Topic& topic(std::uint32_t index) const { return topics_[index]; }

  std::uint32_t find_stream(std::uint32_t topic, std::uint64_t publisher, std::uint32_t incarnation) const;
  std::uint32_t add_stream(std::uint32_t topic, std::uint64_t publisher, std::uint32_t incarnation);
  // The latest incarnation below `incarnation` of this publisher, or kNil.
  std::uint32_t previous_stream(std::uint32_t topic, std::uint64_t publisher, std::uint32_t incarnation) const;
  std::uint32_t streams() const { return stream_count_; }  // places; a place may be free
  void remove_stream(std::uint32_t stream);                // it has no entry
  std::uint32_t topics_used() const { return topics_used_; }
  std::uint32_t streams_used() const { return streams_used_; }
  Stream& stream(std::uint32_t index) { return streams_[index]; }
  const Stream& stream(std::uint32_t index) const { return streams_[index]; }
  // From `start` on this stream will come: what is below does not count as missing.
  void begin_stream(std::uint32_t stream, std::uint64_t start);

  // Entries. append takes over the caller's reference of `message`; kNil (and nothing taken) when entries run out.
  // After it, and after append_gap and begin_stream, link_next gives those that have come into line, one by one, until
  // kNil.
  std::uint32_t append(std::uint32_t stream, std::uint64_t sequence, MessageId message, std::uint64_t now_ns,
                       std::uint32_t from);
  std::uint32_t append_gap(std::uint32_t stream, std::uint64_t first, std::uint64_t last, std::uint32_t reason,
                           std::uint64_t now_ns, std::uint32_t from);
  bool gap_known(std::uint32_t stream, std::uint64_t first, std::uint64_t last) const;  // nothing of it is waited for
  std::uint32_t lengthen_gap(std::uint32_t stream, std::uint64_t first, std::uint64_t last, std::uint32_t reason);
  // Gaps beyond `contiguous` are remembered in a few places. Without one (or an entry) this gap, or one farther off,
  // would be forgotten, and what lies behind it would wait until somebody tells it again (gaps_forgotten).
  bool can_take_gap(std::uint32_t stream, std::uint64_t first, std::uint64_t last) const;
  std::uint32_t link_next(std::uint32_t stream);
  void drop_early(std::uint32_t stream, std::uint64_t last);  // those up to `last`: nobody will get them
  std::uint32_t find(std::uint32_t stream, std::uint64_t sequence) const { return table_.find(stream, sequence); }
  std::uint32_t topic_of(const Entry& entry) const { return streams_[entry.stream].topic; }
  // The least sequence held of this stream; 0: none is.
  std::uint64_t low(std::uint32_t stream) const {
    return streams_[stream].held == 0 ? 0 : entries_[streams_[stream].first_held].sequence;
  }
  // The first message in the log from this sequence on, or kNil.
  std::uint32_t held_from(std::uint32_t stream, std::uint64_t sequence) const;
  // The gap that this sequence lies in, while it stands in the log. `reason`: only one of it, though others, told to
  // somebody who was away, may lie over it.
  std::uint32_t find_gap(std::uint32_t stream, std::uint64_t sequence, std::uint32_t reason = 0) const;
  Entry& entry(std::uint32_t index) { return entries_[index]; }
  const Entry& entry(std::uint32_t index) const { return entries_[index]; }
  void remove_head(std::uint32_t topic);  // its pending is 0

  bool room_for_gap() const { return free_entry_ != kNil; }
  bool room_for_message() const { return entries_used_ < entry_count_ - gap_reserve_; }
  std::uint32_t entries_used() const { return entries_used_; }
  std::uint32_t entries_high() const { return entries_high_; }
  std::uint32_t entries_bound() const { return entry_count_; }
  std::uint64_t retained_bytes() const { return retained_bytes_; }

 private:
  static constexpr std::uint32_t kGapKey = 1u << 31;  // sets gaps (by their first) apart from messages in `table_`
  static constexpr std::uint64_t kGapSteps = 512;     // how far from its first a gap is found; refusals join up to that
  std::uint32_t take_entry(std::uint32_t stream, std::uint64_t now_ns, std::uint32_t from);
  void link(std::uint32_t entry);
  void give_back(std::uint32_t entry);
  std::uint32_t held_before(std::uint32_t stream, std::uint64_t sequence) const;
  void chain(std::uint32_t entry, std::uint32_t before, std::uint32_t& first, std::uint32_t* last);
  void unchain(std::uint32_t entry, std::uint32_t& first, std::uint32_t* last);
  bool quickly_found(std::uint32_t gap) const;
  void cover(std::uint32_t stream, std::uint64_t first, std::uint64_t last);
  static void step_over_gaps(Stream& stream);
  static std::uint32_t later_gap_place(const Stream& stream, std::uint64_t first, std::uint64_t last);
  static void note_later_gap(Stream& stream, std::uint64_t first, std::uint64_t last);

  Store& store_;
  Topic* topics_;
  char* names_;
  std::uint32_t* topic_cells_;  // by name hash, open addressing, topic + 1
  Stream* streams_;
  Entry* entries_;
  SequenceTable table_;
  std::uint32_t name_bytes_, topic_bound_, topic_mask_, stream_bound_, entry_count_, gap_reserve_;
  std::uint32_t topic_count_ = 0, stream_count_ = 0, topics_used_ = 0, streams_used_ = 0;
  std::uint32_t free_topic_ = kNil, free_stream_ = kNil;  // chained by first_stream, next_in_topic
  std::uint32_t free_entry_ = kNil, entries_used_ = 0, entries_high_ = 0;
  std::uint64_t retained_bytes_ = 0;
};

}  // namespace portolan::broker::core
