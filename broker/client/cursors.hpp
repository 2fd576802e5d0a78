// The subscriber's half of a ClientEngine: one cursor per (topic, publisher), where order and de-duplication are
// decided. What comes too early is held in (incarnation, sequence) order; gaps and incarnation changes wait in the same
// place as the messages would, so everything leaves in one order. A message counts as delivered towards the broker (the
// session's cumulative `delivered`) only when it stands in the output queue or was dropped with reason. Called by
// ClientEngine.
#pragma once

#include "broker/client/context.hpp"

namespace portolan::broker::client {

inline constexpr std::uint64_t kEnded = ~0ull;  // next sequence of a stream that an open-ended gap has ended

class Cursors {
 public:
  Cursors(Context& context, Arena& arena);

  // How a topic stands with the filters of now; decided by the owner of the filters.
  enum class Wanted : std::uint8_t { no, pending, confirmed };

  void session_up();
  bool topic(const wire::TopicBody& body);
  // `since`: the version of the interest at which its topic's subscription began. A STREAM that answers an older one
  // speaks of a subscription that was given up; the one that counts is on its way.
  bool stream(const wire::StreamBody& body, Wanted wanted, std::uint64_t since);
  bool gap(const wire::GapBody& body);
  void gone(const wire::GoneBody& body);
  void message(const Incoming& in);  // takes over the reference

  // Topic of a remote alias; kNil when unknown.
  std::uint32_t topic_of(std::uint32_t remote_alias) const { return topics_.find({remote_alias, 0}); }
  // Ends the cursors of topics that `wanted(topic)` no longer wants.
  template <typename F>
  void forget_unwanted(F&& wanted) {
    for (std::uint32_t i = 0; i < cursors_made_; ++i) {
      if (cursors_[i].topic != kNil && !wanted(cursors_[i].topic)) forget(i);
    }
  }

  // A new filter wants these topics: what this session announced of them belonged to an earlier subscription, so data
  // waits for the STREAM with the new start cursor.
  template <typename F>
  void await_streams(F&& wanted) {
    for (std::uint32_t i = 0; i < remote_used_; ++i) {
      RemoteStream& r = remote_[i];
      if (r.known && r.cursor == kNil && r.topic != kNil && wanted(r.topic)) r.known = false;
    }
  }

  // Moves what waited for room into the output queue. False while something still waits.
  bool drain();
  // The session cannot go on without losing something (a bound was passed): close it, and RESUME mends it.
  bool overflowed() const { return overflowed_; }
  // Tells the endpoint, and notices a session that cannot go on. `stalled`: the application takes nothing, so nothing
  // is taken from the endpoint either, and what seems to be missing may be there.
  void flush_delivered(Now now, bool stalled);

  // For RESUME: the position of cursor `index` below `count()`; false when there is nothing to resume.
  std::uint32_t count() const { return cursors_made_; }
  struct Position {
    std::uint32_t topic;
    std::uint64_t publisher;
    std::uint32_t incarnation;
    std::uint64_t next;
  };
  bool position(std::uint32_t index, Position& out) const;
  std::uint32_t held() const { return held_; }

 private:
  enum class NodeKind : std::uint8_t { message, gap, change };
  struct Node {
    NodeKind kind = NodeKind::message;
    std::uint8_t lane = 0;
    std::uint32_t incarnation = 0;
    std::uint64_t first = 0;  // message: its sequence; change: 0, it sorts before all of its incarnation
    std::uint64_t last = 0;   // gap: last; change: previous_last
    std::uint64_t start = 0;  // change: start cursor
    std::uint32_t code = 0;   // gap: reason; change: previous_incarnation
    MessageId message = kNil;
    std::uint32_t number = 0;        // session message number
    std::uint32_t generation = 0;    // session in which it came
    std::uint32_t stream_alias = 0;  // unresolved only
    std::uint32_t prev = kNil, next = kNil;
  };
  struct Cursor {
    std::uint32_t topic = kNil;  // kNil: free
    std::uint32_t incarnation = 0;
    std::uint64_t publisher = 0;
    std::uint64_t start = 0;
    std::uint64_t next = 0;  // ~0: ended by an open-ended gap
    std::uint32_t head = kNil, tail = kNil;
    std::uint32_t blocked_next = kNil;
    bool blocked = false;
  };
  struct RemoteStream {
    std::uint32_t cursor = kNil;  // kNil: nobody here wants it
    std::uint32_t incarnation = 0;
    std::uint32_t alias = 0;
    std::uint32_t topic = kNil;  // kNil: no room for its topic; what comes is dropped and counted
    std::uint64_t publisher = 0;
    bool known = false;  // its STREAM has come, and counts
  };
  // An alias names a place, and which use of it: a later use than is known waits for its STREAM, a former one is over.
  enum class Named : std::uint8_t { known, awaited, past };
  Named named(std::uint32_t alias, std::uint32_t& place) const;
  // Which numbers above `low` are done; `low` is what the endpoint may tell as delivered.
  struct Done {
    std::uint64_t* bits = nullptr;
    std::uint32_t low = 0;
    std::uint32_t told = 0;
    std::uint32_t highest = 0;   // that came
    std::uint64_t moved_ns = 0;  // when `low` rose last
  };

  std::uint32_t make_cursor(std::uint32_t topic, std::uint64_t publisher);
  void forget(std::uint32_t cursor);
  void begin_at(Cursor& cursor, std::uint32_t incarnation, std::uint64_t start, std::uint32_t code);
  void place(std::uint32_t cursor, const RemoteStream& stream, const Incoming& in);
  bool insert(Cursor& cursor, const Node& node);  // false: no node left
  Node* find(Cursor& cursor, std::uint32_t incarnation, std::uint64_t sequence);
  bool advance(std::uint32_t cursor);  // false: blocked by the output queue
  bool step(Cursor& cursor);
  bool pass_gap(Cursor& cursor, std::uint32_t n);
  bool change(Cursor& cursor, std::uint32_t n);
  void hand_over(Cursor& cursor, std::uint32_t n);
  void deliver(const Cursor& cursor, std::uint64_t sequence, MessageId message, std::uint32_t lane,
               std::uint32_t number, std::uint32_t generation);
  void emit_gap(const Cursor& cursor, std::uint32_t incarnation, std::uint64_t first, std::uint64_t last,
                std::uint32_t reason);
  void drop(MessageId message, std::uint32_t lane, std::uint32_t number, std::uint32_t generation);
  void done(std::uint32_t lane, std::uint32_t number, std::uint32_t generation);
  void unhold(Cursor& cursor, std::uint32_t n);
  std::uint32_t take_node();
  void give_node(std::uint32_t n);
  void resolve(std::uint32_t stream_alias);
  void wait_unresolved(const Incoming& in);
  void block(std::uint32_t cursor);

  Context& c_;
  Cursor* cursors_;
  std::uint32_t cursor_bound_;
  std::uint32_t cursors_made_ = 0;
  std::uint32_t cursor_free_ = kNil;  // chained by blocked_next
  Table by_identity_;                 // (topic, publisher) -> cursor
  Table topics_;                      // remote TOPIC alias -> topic, this session
  RemoteStream* remote_;              // by the place that a remote STREAM alias names, this session
  std::uint32_t remote_bound_;
  std::uint32_t remote_used_ = 0;  // places below this one may have been named
  Node* nodes_;
  std::uint32_t node_free_ = kNil;
  std::uint32_t held_ = 0;
  std::uint32_t unresolved_head_ = kNil, unresolved_tail_ = kNil, unresolved_ = 0;
  std::uint32_t blocked_head_ = kNil, blocked_tail_ = kNil;
  Done done_[kLanes];
  bool overflowed_ = false;
  std::uint64_t patience_ns_;
};

}  // namespace portolan::broker::client
