#include "broker/client/kept.hpp"

#include <algorithm>

namespace portolan::broker::client {
namespace {

constexpr std::uint64_t kRetryLeastNs = 1'000'000;

}  // namespace

Kept::Kept(Context& context, Arena& arena)
    : c_(context),
      nodes_(arena.take<Node>(context.limits.kept_messages)),
      bound_(context.limits.kept_messages),
      streams_(arena.take<Stream>(context.limits.topics)) {
  if (nodes_ == nullptr) return;
  for (std::uint32_t i = 0; i < bound_; ++i) nodes_[i].lane_next = i + 1 < bound_ ? i + 1 : kNil;
  free_ = bound_ > 0 ? 0 : kNil;
}

ClientEngine::Published Kept::publish(Now now, std::string_view topic, Lane lane,
                                      std::span<const std::span<const std::uint8_t>> pieces) {
  const auto refuse = [&](RefuseReason reason) {
    ++c_.counters.refused;
    return ClientEngine::Published{reason, 0, 0};
  };
  if (lane == Lane::control || topic.size() > c_.limits.topic_name_bytes || !wire::valid_topic(topic) ||
      wire::depth_of(topic) > c_.limits.filter_depth) {
    return refuse(RefuseReason::bad_topic);
  }
  // The wire cannot say "0 bytes": it carries length - 1.
  std::uint64_t length = 0;
  for (const auto& piece : pieces) length += piece.size();
  if (length == 0 || length > c_.limits.message_bytes_max) return refuse(RefuseReason::too_long);
  if (free_ == kNil) return refuse(RefuseReason::memory_full);
  const std::uint32_t t = c_.topics.find_or_add(topic, static_cast<std::uint8_t>(lane));
  if (t == kNil) return refuse(RefuseReason::memory_full);
  Stream& stream = streams_[t];
  // A topic's messages stay in one lane, so that they are offered and answered in order.
  if (stream.next == 1) c_.topics.at(t).lane = static_cast<std::uint8_t>(lane);
  const std::uint32_t lane_index = c_.topics.at(t).lane;

  // What this session could not take at once waits longer than a sender may let it: whoever publishes more waits
  // himself. What was kept while there was no session is not his doing.
  if (c_.session != kNil && lanes_[lane_index].to_send != kNil && (no_room_ >> lane_index & 1u) != 0 &&
      (catching_up_ >> lane_index & 1u) == 0) {
    auto refused = refuse(RefuseReason::backlog);
    refused.retry_after_ns = std::max<std::uint64_t>(c_.endpoint.backlog_ns(c_.session) / 2, kRetryLeastNs);
    return refused;
  }
  const MessageId id = c_.store.create();
  if (id == kNil) return refuse(RefuseReason::memory_full);
  for (const auto& piece : pieces) {
    if (c_.store.append_copy(id, piece)) continue;
    c_.store.release(id);
    return refuse(RefuseReason::memory_full);
  }
  const std::uint64_t sequence = stream.next++;
  Message& message = c_.store.at(id);
  message.sequence = sequence;
  message.time_ns = now.mono_ns;
  message.key = message_key(c_.topics.at(t).hash, c_.identity.id, c_.identity.incarnation, sequence);

  const std::uint32_t n = free_;
  free_ = nodes_[n].lane_next;
  nodes_[n] = Node{};
  nodes_[n].sequence = sequence;
  nodes_[n].message = id;
  nodes_[n].topic = t;
  nodes_[n].topic_prev = stream.last;
  (stream.last == kNil ? stream.first : nodes_[stream.last].topic_next) = n;
  stream.last = n;
  ++stream.kept;
  LaneQueue& queue = lanes_[lane_index];
  nodes_[n].lane_prev = queue.tail;
  (queue.tail == kNil ? queue.head : nodes_[queue.tail].lane_next) = n;
  queue.tail = n;
  if (queue.to_send == kNil) queue.to_send = n;
  ++used_;
  c_.counters.kept_high = std::max<std::uint64_t>(c_.counters.kept_high, used_);
  ++c_.counters.published;
  send_lane(now, lane_index);
  return {RefuseReason::none, sequence, 0};
}

void Kept::session_up() {
  no_room_ = catching_up_ = 0;
  announce_at_ = 0;
  for (LaneQueue& lane : lanes_) {
    for (std::uint32_t n = lane.head; n != kNil; n = nodes_[n].lane_next) {
      c_.counters.offered_again += nodes_[n].sent ? 1u : 0u;
      nodes_[n].sent = false;
    }
    lane.to_send = lane.head;
    lane.to_accept = kNil;
    if (lane.head != kNil) catching_up_ |= 1u << (&lane - lanes_);
  }
}

void Kept::session_down() {
  for (LaneQueue& lane : lanes_) lane.to_accept = kNil;
}

// Each topic ever published on is announced in each session, also where nothing is kept: a broker that lost its memory
// then knows from where on it has nothing, and can tell those who wait a GAP.
void Kept::send_all(Now now) {
  while (c_.session != kNil && announce_at_ < c_.topics.used()) {
    if (streams_[announce_at_].next > 1 && !announce(now, announce_at_)) break;
    ++announce_at_;
  }
  for (std::uint32_t lane = 1; lane < kLanes; ++lane) send_lane(now, lane);
}

void Kept::send_lane(Now now, std::uint32_t lane_index) {
  LaneQueue& lane = lanes_[lane_index];
  if (c_.session == kNil || (no_room_ >> lane_index & 1u) != 0) return;
  while (lane.to_send != kNil) {
    Node& node = nodes_[lane.to_send];
    if (!announce(now, node.topic)) return;  // until acknowledgements make room on the control lane
    const bool hole = node.topic_prev != kNil && nodes_[node.topic_prev].sequence + 1 != node.sequence;
    if (hole && c_.endpoint.control_room(c_.session) < kControlReserve) return;
    const Outgoing out{.message = node.message,
                       .topic = node.topic + 1,
                       .publisher = node.topic + 1,
                       .sequence = node.sequence,
                       .epoch = 0};
    switch (c_.endpoint.send(now, c_.session, static_cast<Lane>(lane_index), out, node.number)) {
      case SendResult::ok:
        break;
      case SendResult::no_room:
        no_room_ |= 1u << lane_index;
        return;
      case SendResult::not_up:
        return;
      case SendResult::too_long: {  // longer than the peer admits: no other session would be better
        if (!c_.out.event_room(1)) return;
        tell(EventKind::refused, node, static_cast<std::uint32_t>(RefuseReason::too_long), 0);
        tell_hole(now, node.topic, node.sequence, node.sequence);
        forget(lane, lane.to_send);
        continue;
      }
    }
    // What was refused is missing among what is kept; a broker that lost its memory would wait for it.
    if (hole) tell_hole(now, node.topic, nodes_[node.topic_prev].sequence + 1, node.sequence - 1);
    node.sent = true;
    if (lane.to_accept == kNil) lane.to_accept = lane.to_send;
    lane.to_send = node.lane_next;
  }
  catching_up_ &= ~(1u << lane_index);
}

void Kept::progress() {
  if (c_.session == kNil) return;
  for (std::uint32_t l = 1; l < kLanes; ++l) {
    LaneQueue& lane = lanes_[l];
    if (lane.head == kNil || !nodes_[lane.head].sent) continue;
    const Progress p = c_.endpoint.progress(c_.session, static_cast<Lane>(l));
    const std::uint32_t admitted = at_or_before(p.admitted, p.delivered) ? p.delivered : p.admitted;
    while (lane.to_accept != kNil) {
      Node& node = nodes_[lane.to_accept];
      if (!node.sent || !at_or_before(node.number, admitted)) break;
      if (!node.accepted_told && !tell(EventKind::accepted, node, 0, 0)) break;
      node.accepted_told = true;
      const std::uint32_t next = node.lane_next;
      lane.to_accept = next != kNil && nodes_[next].sent ? next : kNil;
    }
    while (lane.head != kNil && lane.head != lane.to_accept) {
      const Node& node = nodes_[lane.head];
      if (!node.sent || !at_or_before(node.number, p.delivered)) break;
      if (!tell(EventKind::received, node, 0, 0)) break;
      forget(lane, lane.head);
    }
  }
}

// TOPIC and STREAM, once a session.
bool Kept::announce(Now now, std::uint32_t topic) {
  Stream& stream = streams_[topic];
  if (stream.announced == c_.generation) return true;
  if (c_.endpoint.control_room(c_.session) < kControlReserve) return false;
  stream.announced = c_.generation;
  c_.announce_topic(now, topic);
  c_.send(now, PTL_C_STREAM,
          wire::StreamBody{.alias = topic + 1,
                           .topic = topic + 1,
                           .publisher = c_.identity.id,
                           .start = stream.first != kNil ? nodes_[stream.first].sequence : stream.next,
                           .previous_last = 0,
                           .incarnation = c_.identity.incarnation,
                           .previous_incarnation = 0});
  return true;
}

void Kept::tell_hole(Now now, std::uint32_t topic, std::uint64_t first, std::uint64_t last) {
  c_.send(
      now, PTL_C_GAP,
      wire::GapBody{
          .first = first, .last = last, .stream = topic + 1, .reason = static_cast<std::uint32_t>(GapReason::refused)});
}

// Refused whole: nothing of it stays here, the broker tells a GAP in its place, and the application decides whether to
// publish it anew.
void Kept::busy(const wire::BusyBody& body) {
  LaneQueue& lane = lanes_[body.lane];
  std::uint32_t n = lane.head;
  while (n != kNil && nodes_[n].sent && nodes_[n].number != body.number) n = nodes_[n].lane_next;
  if (n == kNil || !nodes_[n].sent || nodes_[n].accepted_told) return;  // of no message that could still be refused
  tell(EventKind::refused, nodes_[n], body.reason, body.retry_after_ns);
  forget(lane, n);
}

bool Kept::tell(EventKind kind, const Node& node, std::uint32_t code, std::uint64_t retry_after_ns) {
  OutputQueue::Item* newest = c_.out.newest();
  const bool longer = newest != nullptr && !newest->is_delivery && newest->kind == kind && kind != EventKind::refused &&
                      newest->name == node.topic && newest->last + 1 == node.sequence;
  if (longer) {
    newest->last = node.sequence;
  } else {
    if (!c_.out.event_room(1)) return false;
    OutputQueue::Item item;
    item.kind = kind;
    item.name = node.topic;
    item.publisher = c_.identity.id;
    item.incarnation = c_.identity.incarnation;
    item.first = item.last = node.sequence;
    item.code = code;
    item.extra = retry_after_ns;
    c_.out.push(item);
  }
  switch (kind) {
    case EventKind::accepted:
      ++c_.counters.accepted;
      break;
    case EventKind::received:
      ++c_.counters.received;
      break;
    default:
      ++c_.counters.refused;
      break;
  }
  return true;
}

void Kept::forget(LaneQueue& lane, std::uint32_t n) {
  Node& node = nodes_[n];
  if (lane.to_send == n) lane.to_send = node.lane_next;
  if (lane.to_accept == n) {
    lane.to_accept = node.lane_next != kNil && nodes_[node.lane_next].sent ? node.lane_next : kNil;
  }
  (node.lane_prev == kNil ? lane.head : nodes_[node.lane_prev].lane_next) = node.lane_next;
  (node.lane_next == kNil ? lane.tail : nodes_[node.lane_next].lane_prev) = node.lane_prev;
  Stream& stream = streams_[node.topic];
  (node.topic_prev == kNil ? stream.first : nodes_[node.topic_prev].topic_next) = node.topic_next;
  (node.topic_next == kNil ? stream.last : nodes_[node.topic_next].topic_prev) = node.topic_prev;
  --stream.kept;
  c_.store.release(node.message);
  node = Node{};
  node.lane_next = free_;
  free_ = n;
  --used_;
}

}  // namespace portolan::broker::client
