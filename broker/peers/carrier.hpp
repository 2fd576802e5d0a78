// What the bench of brokers side by side sends through: one publisher and one subscriber of one topic, over whatever
// carries messages. Each is the leanest client that its protocol allows, in one thread and without a library of its
// own, so that what is measured is the broker in the middle. A message begins with a Stamp; the rest of it is filler.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace portolan::peers {

struct Stamp {
  std::uint64_t sequence = 0;
  std::uint64_t intended_ns = 0;  // CLOCK_MONOTONIC
};
constexpr std::size_t kLeastBytes = sizeof(Stamp);
constexpr std::size_t kMostBytes = 1u << 20;

// A message has arrived whole.
using Sink = std::function<void(const Stamp&, std::size_t bytes)>;

struct Ends {
  std::string publish, subscribe;                  // HOST:PORT of the broker that each is a client of; IPv4
  std::uint64_t publish_id = 1, subscribe_id = 2;  // of these brokers, where they have one
  std::string listen;                              // of the relay's subscriber
};

class Carrier {
 public:
  virtual ~Carrier() = default;
  // Both ends stand and the subscription is known to the broker(s): a message published now will arrive. Call process()
  // until then.
  virtual bool ready() const = 0;
  // False: refused; nothing of it was taken.
  virtual bool publish(std::span<const std::uint8_t> message) = 0;
  // What was published leaves now, as far as it can.
  virtual void flush() = 0;
  // To wait on for input, and for output where `wants_output`.
  virtual std::vector<int> descriptors() const = 0;
  virtual bool wants_output() const { return false; }
  virtual void process(const Sink& sink) = 0;
};

// Errors end the program with a line (exit 69): a bench without its peer is none.
std::unique_ptr<Carrier> make_relay(const Ends& ends);     // datagrams through one or more bare relays (relay.cpp)
std::unique_ptr<Carrier> make_nats(const Ends& ends);      // NATS client protocol, core: at most once
std::unique_ptr<Carrier> make_mqtt(const Ends& ends);      // MQTT 3.1.1 (OASIS standard), QoS 0
std::unique_ptr<Carrier> make_portolan(const Ends& ends);  // broker/library

// The broker's place, taken by as little as can stand there: recvfrom and sendto, blocking, until killed.
[[noreturn]] void relay(const std::string& listen, const std::string& to);

[[noreturn]] void give_up(const std::string& why);    // exit 69: cannot be measured here
[[noreturn]] void broke_off(const std::string& why);  // exit 1: the broker ended a connection under this load

}  // namespace portolan::peers
