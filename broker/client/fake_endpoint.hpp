// An Endpoint that is a script: tests of ClientEngine put sessions, messages and progress in, and read what it sent.
// Linked in place of broker/session/.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "broker/session/endpoint.hpp"

namespace portolan::broker::testing {

struct FakeEndpoint {
  struct In {
    Incoming head;
    std::vector<std::uint8_t> bytes;  // control body or payload
  };
  struct Data {
    Lane lane{};
    Outgoing out;
    std::uint32_t number = 0;
    std::string bytes;
  };
  struct Control {
    std::uint32_t type = 0;
    std::vector<std::uint8_t> body;
  };

  std::deque<SessionEvent> events;
  std::deque<In> in;
  std::vector<Data> sent;
  std::vector<Control> control;
  Progress progress[4];
  std::uint32_t delivered[4] = {};
  InterestState interest;
  bool room = true;
  bool room_again = false;
  std::uint32_t control_room = 1'000;
  std::uint32_t closed = 0;
  std::vector<SessionId> rung;  // by the doorbell
  SessionId session = 0;
  Store* store = nullptr;
};

extern FakeEndpoint* fake;

}  // namespace portolan::broker::testing
