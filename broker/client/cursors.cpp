#include "broker/client/cursors.hpp"

#include <algorithm>

namespace portolan::broker::client {
namespace {

// Numbers that may be in flight above `low`. A sender stops at its own window_packets and window_messages beyond what I
// have delivered, so this is ample for every profile; beyond it the session is closed and resumed.
constexpr std::uint32_t kDoneBits = 65'536;
constexpr std::uint32_t kDoneWords = kDoneBits / 64;
constexpr std::uint32_t kPlaceMask = 0xFFFFFF;  // of an alias; above it, which use of the place this is
// A session whose window fills behind a message that is missing from its stream may never bring that message. After
// this time a new session, where everything is served from the cursors on, is the way out; more seldom each time in
// vain.
constexpr std::uint64_t kPatienceNs = 2'000'000'000;
constexpr std::uint64_t kPatienceMaxNs = 32'000'000'000;

}  // namespace

Cursors::Cursors(Context& context, Arena& arena)
    : c_(context),
      cursors_(arena.take<Cursor>(context.limits.streams)),
      cursor_bound_(context.limits.streams),
      remote_(arena.take<RemoteStream>(std::size_t{context.limits.streams} + 1)),
      remote_bound_(context.limits.streams + 1),
      nodes_(arena.take<Node>(std::size_t{context.limits.reorder_messages} + context.limits.unresolved_messages)),
      patience_ns_(kPatienceNs) {
  by_identity_.take(arena, cursor_bound_);
  topics_.take(arena, context.limits.topics * 2);
  for (std::uint32_t lane = 1; lane < kLanes; ++lane) done_[lane].bits = arena.take<std::uint64_t>(kDoneWords);
  if (nodes_ == nullptr) return;
  const std::uint32_t nodes = context.limits.reorder_messages + context.limits.unresolved_messages;
  for (std::uint32_t i = 0; i < nodes; ++i) nodes_[i].next = i + 1 < nodes ? i + 1 : kNil;
  node_free_ = nodes > 0 ? 0 : kNil;
}

// Aliases and numbers are the session's and begin anew; cursors and what they hold live on.
void Cursors::session_up() {
  topics_.clear();
  std::fill_n(remote_, remote_used_, RemoteStream{});
  remote_used_ = 0;
  while (unresolved_head_ != kNil) {
    const std::uint32_t n = unresolved_head_;
    unresolved_head_ = nodes_[n].next;
    c_.store.release(nodes_[n].message);
    give_node(n);
  }
  unresolved_tail_ = kNil;
  unresolved_ = 0;
  for (std::uint32_t lane = 1; lane < kLanes; ++lane) {
    std::fill_n(done_[lane].bits, kDoneWords, 0);
    Done& d = done_[lane];
    d.low = d.told = d.highest = 0;
  }
  overflowed_ = false;
}

bool Cursors::topic(const wire::TopicBody& body) {
  const std::uint32_t topic = c_.topics.find_or_add(body.name, body.lane);
  if (topic == kNil) ++c_.counters.table_full;
  // A topic that finds no room is known as such: what comes of it is dropped and counted, and stalls nobody.
  if (!topics_.put({body.alias, 0}, topic == kNil ? kNil - 1 : topic)) overflowed_ = true;
  return true;
}

bool Cursors::stream(const wire::StreamBody& body, Wanted wanted, std::uint64_t since) {
  const std::uint32_t topic = topics_.find({body.topic, 0});
  const std::uint32_t place = body.alias & kPlaceMask;
  if (topic == kNil || place == 0 || place >= remote_bound_) return false;
  remote_used_ = std::max(remote_used_, place + 1);
  if (wanted != Wanted::no && body.interest < since) {
    remote_[place].known = false;  // its data waits
    remote_[place].alias = body.alias;
    return true;
  }
  RemoteStream remote;
  remote.known = true;
  remote.incarnation = body.incarnation;
  remote.publisher = body.publisher;
  remote.alias = body.alias;
  remote.topic = topic == kNil - 1 ? kNil : topic;
  if (remote.topic != kNil && wanted != Wanted::no) {
    remote.cursor = by_identity_.find({topic, body.publisher});
    const bool is_new = remote.cursor == kNil;
    if (is_new) remote.cursor = make_cursor(topic, body.publisher);
    if (remote.cursor != kNil) {
      Cursor& cursor = cursors_[remote.cursor];
      const std::uint32_t code = wanted == Wanted::pending ? 1 : 2;
      if (is_new) {
        begin_at(cursor, body.incarnation, body.start, code);
      } else if (body.incarnation > cursor.incarnation) {
        Node change;
        change.kind = NodeKind::change;
        change.incarnation = body.incarnation;
        change.last = body.previous_last;
        change.start = body.start;
        change.code = body.previous_incarnation;
        change.generation = c_.generation;
        if (Node* known = find(cursor, body.incarnation, 0); known != nullptr) {
          known->last = change.last;  // the newest word counts: a broker may have lost what it knew
          known->start = change.start;
          known->code = change.code;
        } else if (!insert(cursor, change)) {
          overflowed_ = true;
        }
      }
    }
  }
  remote_[place] = remote;
  resolve(body.alias);
  if (remote.cursor != kNil) advance(remote.cursor);
  return true;
}

bool Cursors::gap(const wire::GapBody& body) {
  std::uint32_t at = 0;
  const Named name = named(body.stream, at);
  if (name == Named::awaited) return false;
  if (name == Named::past) return true;
  const RemoteStream& remote = remote_[at];
  if (remote.cursor == kNil) return true;
  Cursor& cursor = cursors_[remote.cursor];
  if (remote.incarnation < cursor.incarnation) return true;
  if (remote.incarnation == cursor.incarnation && body.last < cursor.next) return true;
  Node node;
  node.kind = NodeKind::gap;
  node.incarnation = remote.incarnation;
  node.first = body.first;
  node.last = body.last;
  node.code = body.reason;
  node.generation = c_.generation;
  if (!insert(cursor, node)) {
    overflowed_ = true;
    return true;
  }
  advance(remote.cursor);
  return true;
}

Cursors::Named Cursors::named(std::uint32_t alias, std::uint32_t& place) const {
  place = alias & kPlaceMask;
  if (place == 0 || place >= remote_bound_) return Named::awaited;
  const RemoteStream& remote = remote_[place];
  if (remote.alias == alias) return remote.known ? Named::known : Named::awaited;
  if (remote.alias == 0) return Named::awaited;
  return static_cast<std::int8_t>((alias >> 24) - (remote.alias >> 24)) > 0 ? Named::awaited : Named::past;
}

// Numbers that will never come count as done.
void Cursors::gone(const wire::GoneBody& body) {
  const std::uint32_t count = body.last - body.first + 1;
  if (count > kDoneBits) {
    overflowed_ = true;
    return;
  }
  for (std::uint32_t i = 0; i < count; ++i) done(body.lane, body.first + i, c_.generation);
}

void Cursors::message(const Incoming& in) {
  Done& d = done_[static_cast<std::uint32_t>(in.lane)];
  if (at_or_before(d.highest, in.number)) d.highest = in.number;
  std::uint32_t at = 0;
  const Named name = wire::valid_sequence(in.sequence) ? named(in.publisher, at) : Named::past;
  if (name == Named::awaited) return wait_unresolved(in);
  if (name == Named::past) return drop(in.message, static_cast<std::uint32_t>(in.lane), in.number, c_.generation);
  const RemoteStream& remote = remote_[at];
  if (remote.cursor == kNil) {
    ++(remote.topic == kNil ? c_.counters.table_full : c_.counters.unwanted);
    return drop(in.message, static_cast<std::uint32_t>(in.lane), in.number, c_.generation);
  }
  place(remote.cursor, remote, in);
}

void Cursors::place(std::uint32_t index, const RemoteStream& remote, const Incoming& in) {
  Cursor& cursor = cursors_[index];
  const auto lane = static_cast<std::uint32_t>(in.lane);
  if (remote.incarnation < cursor.incarnation ||
      (remote.incarnation == cursor.incarnation && in.sequence < cursor.next)) {
    const bool before = remote.incarnation < cursor.incarnation || in.sequence < cursor.start;
    ++(before ? c_.counters.before_cursor : c_.counters.duplicates_dropped);
    return drop(in.message, lane, in.number, c_.generation);
  }
  const bool next = remote.incarnation == cursor.incarnation && in.sequence == cursor.next;
  if (next && !cursor.blocked && c_.out.delivery_room()) {  // also when all places to hold things are taken
    deliver(cursor, in.sequence, in.message, lane, in.number, c_.generation);
    ++cursor.next;
    advance(index);
    return;
  }
  if (Node* known = find(cursor, remote.incarnation, in.sequence); known != nullptr) {
    ++c_.counters.duplicates_dropped;
    if (known->generation == c_.generation) return drop(in.message, lane, in.number, c_.generation);
    // Held since an earlier session: this session's number is now the one that waits for its delivery.
    known->lane = static_cast<std::uint8_t>(lane);
    known->number = in.number;
    known->generation = c_.generation;
    c_.store.release(in.message);
    return;
  }
  Node node;
  node.lane = static_cast<std::uint8_t>(lane);
  node.incarnation = remote.incarnation;
  node.first = in.sequence;
  node.message = in.message;
  node.number = in.number;
  node.generation = c_.generation;
  if (!insert(cursor, node)) {
    c_.store.release(in.message);
    overflowed_ = true;
    return;
  }
  advance(index);
}

void Cursors::flush_delivered(Now now, bool stalled) {
  if (c_.session == kNil) return;
  for (std::uint32_t lane = 1; lane < kLanes; ++lane) {
    Done& d = done_[lane];
    const bool waits = !stalled && d.highest - d.low >= c_.limits.window_messages / 4;
    if (d.low == d.told && !waits) d.moved_ns = now.mono_ns;
    if (d.low == d.told && waits && now.mono_ns - d.moved_ns >= patience_ns_ && !overflowed_) {
      overflowed_ = true;
      patience_ns_ = std::min(patience_ns_ * 2, kPatienceMaxNs);
    }
    if (d.low == d.told) continue;
    d.told = d.low;
    d.moved_ns = now.mono_ns;
    if (d.low == d.highest) patience_ns_ = kPatienceNs;
    c_.endpoint.set_delivered(c_.session, static_cast<Lane>(lane), d.low);
  }
}

bool Cursors::position(std::uint32_t index, Position& out) const {
  const Cursor& cursor = cursors_[index];
  if (cursor.topic == kNil || cursor.next == kEnded) return false;
  out = {cursor.topic, cursor.publisher, cursor.incarnation, cursor.next};
  return true;
}

std::uint32_t Cursors::make_cursor(std::uint32_t topic, std::uint64_t publisher) {
  std::uint32_t index = cursor_free_;
  if (index != kNil) {
    cursor_free_ = cursors_[index].blocked_next;
  } else if (cursors_made_ < cursor_bound_) {
    index = cursors_made_++;
  } else {
    ++c_.counters.table_full;
    return kNil;
  }
  cursors_[index] = Cursor{};
  cursors_[index].topic = topic;
  cursors_[index].publisher = publisher;
  by_identity_.put({topic, publisher}, index);
  return index;
}

void Cursors::forget(std::uint32_t index) {
  Cursor& cursor = cursors_[index];
  while (cursor.head != kNil) unhold(cursor, cursor.head);
  if (cursor.blocked) {  // rare: unlink from the list of the blocked
    std::uint32_t before_it = kNil;
    for (std::uint32_t i = blocked_head_; i != index; i = cursors_[i].blocked_next) before_it = i;
    (before_it == kNil ? blocked_head_ : cursors_[before_it].blocked_next) = cursor.blocked_next;
    if (blocked_tail_ == index) blocked_tail_ = before_it;
  }
  for (std::uint32_t i = 0; i < remote_used_; ++i) {
    if (remote_[i].cursor == index) remote_[i].cursor = kNil;
  }
  by_identity_.erase({cursor.topic, cursor.publisher});
  cursor = Cursor{};
  cursor.blocked_next = cursor_free_;
  cursor_free_ = index;
}

void Cursors::begin_at(Cursor& cursor, std::uint32_t incarnation, std::uint64_t start, std::uint32_t code) {
  cursor.incarnation = incarnation;
  cursor.start = cursor.next = start;
  OutputQueue::Item item;
  item.kind = EventKind::cursor;
  item.name = cursor.topic;
  item.publisher = cursor.publisher;
  item.incarnation = incarnation;
  item.first = item.last = start;
  item.code = code;
  c_.out.push(item);
}

void Cursors::drop(MessageId message, std::uint32_t lane, std::uint32_t number, std::uint32_t generation) {
  c_.store.release(message);
  done(lane, number, generation);
}

void Cursors::done(std::uint32_t lane, std::uint32_t number, std::uint32_t generation) {
  if (generation != c_.generation || lane == 0) return;
  Done& d = done_[lane];
  if (at_or_before(number, d.low)) return;
  if (number - d.low >= kDoneBits) {
    overflowed_ = true;
    return;
  }
  const auto bit = [&d](std::uint32_t i) -> std::uint64_t& { return d.bits[(i % kDoneBits) / 64]; };
  bit(number) |= 1ull << (number % 64);
  for (std::uint32_t i = d.low + 1; (bit(i) >> (i % 64) & 1u) != 0; ++i) {
    bit(i) &= ~(1ull << (i % 64));
    d.low = i;
  }
}

// Data and control lanes race: data whose STREAM has not come waits for it.
void Cursors::wait_unresolved(const Incoming& in) {
  const std::uint32_t n = unresolved_ < c_.limits.unresolved_messages ? take_node() : kNil;
  if (n == kNil) {
    c_.store.release(in.message);
    overflowed_ = true;
    return;
  }
  Node& node = nodes_[n];
  node.lane = static_cast<std::uint8_t>(in.lane);
  node.first = in.sequence;
  node.message = in.message;
  node.number = in.number;
  node.generation = c_.generation;
  node.stream_alias = in.publisher;
  node.next = kNil;
  (unresolved_tail_ == kNil ? unresolved_head_ : nodes_[unresolved_tail_].next) = n;
  unresolved_tail_ = n;
  ++unresolved_;
}

// What waits for this STREAM, or for a former use of its place, which is over.
void Cursors::resolve(std::uint32_t alias) {
  std::uint32_t before_it = kNil;
  for (std::uint32_t n = unresolved_head_; n != kNil;) {
    const std::uint32_t next = nodes_[n].next;
    std::uint32_t place = 0;
    if (named(nodes_[n].stream_alias, place) == Named::awaited || place != (alias & kPlaceMask)) {
      before_it = n;
      n = next;
      continue;
    }
    (before_it == kNil ? unresolved_head_ : nodes_[before_it].next) = next;
    if (unresolved_tail_ == n) unresolved_tail_ = before_it;
    --unresolved_;
    Incoming in;
    in.lane = static_cast<Lane>(nodes_[n].lane);
    in.number = nodes_[n].number;
    in.message = nodes_[n].message;
    in.publisher = nodes_[n].stream_alias;
    in.sequence = nodes_[n].first;
    give_node(n);
    message(in);
    n = next;
  }
}

}  // namespace portolan::broker::client
