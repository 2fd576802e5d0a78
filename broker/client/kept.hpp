// The publisher's half of a ClientEngine: numbers messages densely per topic, keeps each until *received*, sends in
// order of publication as the session has room, and offers everything kept again on each new session. Called by
// ClientEngine only.
#pragma once

#include "broker/client/context.hpp"

namespace portolan::broker::client {

class Kept {
 public:
  Kept(Context& context, Arena& arena);

  ClientEngine::Published publish(Now now, std::string_view topic, Lane lane,
                                  std::span<const std::span<const std::uint8_t>> pieces);
  void session_up();
  void session_down();
  void room() { no_room_ = 0; }
  void send_all(Now now);  // as far as there is room
  // Turns ACK's `admitted` and `delivered` into events, as far as the queue above has room; again later otherwise.
  void progress();
  void busy(const wire::BusyBody& body);
  std::uint32_t kept() const { return used_; }

 private:
  struct Node {
    std::uint64_t sequence = 0;
    MessageId message = kNil;
    std::uint32_t topic = kNil;
    std::uint32_t number = 0;                            // session message number; valid while `sent`
    std::uint32_t lane_prev = kNil, lane_next = kNil;    // in the order of sending
    std::uint32_t topic_prev = kNil, topic_next = kNil;  // in the order of sequences
    bool sent = false;                                   // in this session
    bool accepted_told = false;  // the event is given once, whatever number of sessions offer it
  };
  struct LaneQueue {
    std::uint32_t head = kNil, tail = kNil;
    std::uint32_t to_send = kNil;    // first that is not sent
    std::uint32_t to_accept = kNil;  // first sent that has no `accepted`
  };
  struct Stream {  // my stream of a topic
    std::uint64_t next = 1;
    std::uint32_t first = kNil, last = kNil;  // kept
    std::uint32_t kept = 0;
    std::uint32_t announced = 0;  // session generation
  };
  void forget(LaneQueue& lane, std::uint32_t index);
  bool announce(Now now, std::uint32_t topic);
  void tell_hole(Now now, std::uint32_t topic, std::uint64_t first, std::uint64_t last);
  void send_lane(Now now, std::uint32_t lane);
  bool tell(EventKind kind, const Node& node, std::uint32_t code, std::uint64_t retry_after_ns);

  Context& c_;
  Node* nodes_;
  std::uint32_t bound_;
  std::uint32_t free_ = kNil;
  std::uint32_t used_ = 0;
  Stream* streams_;
  LaneQueue lanes_[kLanes];
  std::uint32_t announce_at_ = 0;  // next topic to announce in this session
  std::uint32_t no_room_ = 0;      // bit per lane
  std::uint32_t catching_up_ = 0;  // bit per lane: what waited for the session is not all sent yet
};

}  // namespace portolan::broker::client
