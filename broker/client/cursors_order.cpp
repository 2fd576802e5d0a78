// Order: what came too early is held per cursor by (incarnation, sequence), gaps and incarnation changes among it, and
// leaves for the application in that order as far as the output queue has room.
#include <algorithm>

#include "broker/client/cursors.hpp"

namespace portolan::broker::client {
namespace {

// Order in which held things leave; at the same sequence a message goes before a gap that would swallow it.
template <typename Node>
bool before(const Node& a, const Node& b, bool a_is_gap, bool b_is_gap) {
  if (a.incarnation != b.incarnation) return a.incarnation < b.incarnation;
  if (a.first != b.first) return a.first < b.first;
  return !a_is_gap && b_is_gap;
}

}  // namespace

bool Cursors::insert(Cursor& cursor, const Node& node) {
  // Gaps and changes may also take a place meant for unresolved data: they are few, and they free what waits.
  if (node.kind == NodeKind::message && held_ >= c_.limits.reorder_messages) return false;
  const std::uint32_t n = take_node();
  if (n == kNil) return false;
  nodes_[n] = node;
  const bool is_gap = node.kind == NodeKind::gap;
  // Most things come late by little or fill the hole at the head, so look from both ends at once.
  std::uint32_t after = cursor.tail;
  std::uint32_t from_head = cursor.head;
  for (;;) {
    if (after == kNil || !before(node, nodes_[after], is_gap, nodes_[after].kind == NodeKind::gap)) break;
    if (before(node, nodes_[from_head], is_gap, nodes_[from_head].kind == NodeKind::gap)) {
      after = nodes_[from_head].prev;
      break;
    }
    after = nodes_[after].prev;
    from_head = nodes_[from_head].next;
  }
  const std::uint32_t follow = after == kNil ? cursor.head : nodes_[after].next;
  nodes_[n].prev = after;
  nodes_[n].next = follow;
  (after == kNil ? cursor.head : nodes_[after].next) = n;
  (follow == kNil ? cursor.tail : nodes_[follow].prev) = n;
  ++held_;
  c_.counters.reorder_high = std::max<std::uint64_t>(c_.counters.reorder_high, held_);
  return true;
}

// A held message, or (sequence 0) a held incarnation change.
Cursors::Node* Cursors::find(Cursor& cursor, std::uint32_t incarnation, std::uint64_t sequence) {
  std::uint32_t a = cursor.tail;
  std::uint32_t b = cursor.head;
  const auto is = [&](const Node& n) {
    return n.kind != NodeKind::gap && n.incarnation == incarnation && n.first == sequence;
  };
  while (a != kNil) {
    Node& back = nodes_[a];
    Node& front = nodes_[b];
    if (is(back)) return &back;
    if (is(front)) return &front;
    if (back.incarnation < incarnation || (back.incarnation == incarnation && back.first < sequence)) return nullptr;
    if (front.incarnation > incarnation || (front.incarnation == incarnation && front.first > sequence)) return nullptr;
    a = back.prev;
    b = front.next;
  }
  return nullptr;
}

bool Cursors::advance(std::uint32_t index) {
  Cursor& cursor = cursors_[index];
  while (cursor.head != kNil) {
    if (!c_.out.delivery_room() || !c_.out.event_room(3)) {
      block(index);
      return false;
    }
    if (!step(cursor)) break;
  }
  return true;
}

// Does one thing at the head of what is held; false when that has to wait for something to come.
bool Cursors::step(Cursor& cursor) {
  const std::uint32_t n = cursor.head;
  const Node node = nodes_[n];
  if (node.incarnation < cursor.incarnation) {
    if (node.kind == NodeKind::message) ++c_.counters.before_cursor;
    unhold(cursor, n);
    return true;
  }
  if (node.incarnation > cursor.incarnation) return node.kind == NodeKind::change && change(cursor, n);
  switch (node.kind) {
    case NodeKind::change:
      unhold(cursor, n);
      return true;
    case NodeKind::message:
      if (node.first > cursor.next) return false;
      if (node.first < cursor.next) {
        ++c_.counters.duplicates_dropped;
        unhold(cursor, n);
        return true;
      }
      hand_over(cursor, n);
      return true;
    case NodeKind::gap:
      return pass_gap(cursor, n);
  }
  return false;
}

// Delivers a held message that is the next.
void Cursors::hand_over(Cursor& cursor, std::uint32_t n) {
  const Node node = nodes_[n];
  nodes_[n].message = kNil;  // its reference goes to the queue
  deliver(cursor, node.first, node.message, node.lane, node.number, node.generation);
  ++cursor.next;
  unhold(cursor, n);
}

// A gap at the head. What is held from within it was not lost: it is delivered, and only the rest is told.
bool Cursors::pass_gap(Cursor& cursor, std::uint32_t n) {
  const Node node = nodes_[n];
  if (node.last < cursor.next || cursor.next == kEnded) {
    unhold(cursor, n);
    return true;
  }
  if (node.first > cursor.next) return false;
  std::uint64_t last = node.last;
  const std::uint32_t second = node.next;
  const bool held_within = second != kNil && nodes_[second].kind == NodeKind::message &&
                           nodes_[second].incarnation == cursor.incarnation && nodes_[second].first <= node.last;
  if (held_within) {
    if (nodes_[second].first < cursor.next) {
      ++c_.counters.duplicates_dropped;
      unhold(cursor, second);
      return true;
    }
    last = nodes_[second].first - 1;
  }
  if (last >= cursor.next) {
    emit_gap(cursor, cursor.incarnation, cursor.next, last, node.code);
    cursor.next = last == kEnded ? kEnded : last + 1;
  }
  if (held_within) {
    hand_over(cursor, second);
  } else {
    unhold(cursor, n);
  }
  return true;
}

// A later incarnation stands at the head: go on to it once the old one is delivered or told up to its last.
bool Cursors::change(Cursor& cursor, std::uint32_t n) {
  const Node node = nodes_[n];
  const bool is_previous = node.code == cursor.incarnation;
  const bool known = is_previous && node.last != wire::kUnknownLast;
  if (known && cursor.next <= node.last) return false;
  if (!known && cursor.next != kEnded) {
    emit_gap(cursor, cursor.incarnation, cursor.next, kEnded, static_cast<std::uint32_t>(GapReason::publisher_lost));
  }
  if (node.code > cursor.incarnation && node.last > 0) {  // a whole incarnation between was never seen here
    emit_gap(cursor, node.code, 1, node.last, static_cast<std::uint32_t>(GapReason::publisher_lost));
  }
  begin_at(cursor, node.incarnation, node.start, 2);
  unhold(cursor, n);
  return true;
}

bool Cursors::drain() {
  while (blocked_head_ != kNil && c_.out.delivery_room() && c_.out.event_room(3)) {
    const std::uint32_t index = blocked_head_;
    blocked_head_ = cursors_[index].blocked_next;
    if (blocked_head_ == kNil) blocked_tail_ = kNil;
    cursors_[index].blocked = false;
    cursors_[index].blocked_next = kNil;
    advance(index);
  }
  return blocked_head_ == kNil;
}

void Cursors::block(std::uint32_t index) {
  if (cursors_[index].blocked) return;
  cursors_[index].blocked = true;
  cursors_[index].blocked_next = kNil;
  (blocked_tail_ == kNil ? blocked_head_ : cursors_[blocked_tail_].blocked_next) = index;
  blocked_tail_ = index;
}

void Cursors::deliver(const Cursor& cursor, std::uint64_t sequence, MessageId message, std::uint32_t lane,
                      std::uint32_t number, std::uint32_t generation) {
  OutputQueue::Item item;
  item.is_delivery = true;
  item.name = cursor.topic;
  item.publisher = cursor.publisher;
  item.incarnation = cursor.incarnation;
  item.first = item.last = sequence;
  item.message = message;
  c_.out.push(item);
  ++c_.counters.delivered;
  done(lane, number, generation);
}

void Cursors::emit_gap(const Cursor& cursor, std::uint32_t incarnation, std::uint64_t first, std::uint64_t last,
                       std::uint32_t reason) {
  OutputQueue::Item item;
  item.kind = EventKind::gap;
  item.name = cursor.topic;
  item.publisher = cursor.publisher;
  item.incarnation = incarnation;
  item.first = first;
  item.last = last;
  item.code = reason;
  c_.out.push(item);
  ++c_.counters.gaps;
  if (last != kEnded) c_.counters.gap_messages += last - first + 1;
}

// Frees a held node; its message, when still its own, counts as done.
void Cursors::unhold(Cursor& cursor, std::uint32_t n) {
  const Node& node = nodes_[n];
  (node.prev == kNil ? cursor.head : nodes_[node.prev].next) = node.next;
  (node.next == kNil ? cursor.tail : nodes_[node.next].prev) = node.prev;
  if (node.message != kNil) drop(node.message, node.lane, node.number, node.generation);
  give_node(n);
  --held_;
}

std::uint32_t Cursors::take_node() {
  const std::uint32_t n = node_free_;
  if (n != kNil) node_free_ = nodes_[n].next;
  return n;
}

void Cursors::give_node(std::uint32_t n) {
  nodes_[n] = Node{};
  nodes_[n].next = node_free_;
  node_free_ = n;
}

}  // namespace portolan::broker::client
