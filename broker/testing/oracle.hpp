// Judges what applications saw, by the rules of the design alone and knowing nothing of the engines:
//   order      per (subscriber, topic, publisher) each delivery is the next sequence, or a gap stands in its place
//   owed       each accepted message at or after the start cursor is delivered once or lies in a gap that was told;
//              excused: what died with both its publisher and its home broker before it was received
//   received   when the publisher is told, every subscriber attached since the message was published has it or its gap
//   gaps       none covers a message whose publisher lives, unless the test allows it (short retention)
//   payload    is what this publisher wrote under this number
//   credit     nobody is sent more than it promised to take (found by World, which sees what engines say of datagrams)
// Fed by World with application events in order of time; asked at the end, after the world has settled.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "broker/testing/network.hpp"

namespace portolan::broker::testing {

class Oracle {
 public:
  explicit Oracle(std::uint64_t detach_ns) : detach_ns_(detach_ns) {}
  void allow_gaps() { gaps_allowed_ = true; }

  // Lives. A client's life begins with its start and ends with its kill; a restarted one is another.
  void client_started(std::uint64_t now, Node client, Node broker, std::uint64_t publisher, std::uint32_t incarnation);
  void client_killed(std::uint64_t now, Node client);
  void broker_killed(std::uint64_t now, Node broker);
  // Is there, as far as the network and the processes go, a way between the two? Told at each change.
  void connected(std::uint64_t now, Node client, Node home, bool up);

  // A broker let this downstream (a client, or another broker with all its clients) go.
  void detached(std::uint64_t now, Node broker, Node peer);

  // What applications do and see.
  void published(std::uint64_t now, Node client, const std::string& topic, std::uint64_t sequence);
  void accepted(std::uint64_t now, Node client, const std::string& topic, std::uint64_t first, std::uint64_t last);
  void refused(std::uint64_t now, Node client, const std::string& topic, std::uint64_t sequence);
  void received(std::uint64_t now, Node client, const std::string& topic, std::uint64_t first, std::uint64_t last);
  void subscribe(std::uint64_t now, Node client, const std::string& filter);
  void unsubscribe(std::uint64_t now, Node client, const std::string& filter);
  void subscribed(std::uint64_t now, Node client, const std::string& filter, std::uint32_t unreachable);
  void cursor(std::uint64_t now, Node client, const std::string& topic, std::uint64_t publisher,
              std::uint32_t incarnation, std::uint64_t first);
  void delivered(std::uint64_t now, Node client, const std::string& topic, std::uint64_t publisher,
                 std::uint32_t incarnation, std::uint64_t sequence, bool payload_right);
  void gap(std::uint64_t now, Node client, const std::string& topic, std::uint64_t publisher, std::uint32_t incarnation,
           std::uint64_t first, std::uint64_t last, std::uint32_t reason);
  void wrong(std::uint64_t now, const std::string& what);  // found by the host, e.g. an engine that spins

  // After settling: what is owed and was never seen, what was never answered. Appends to violations().
  void judge(std::uint64_t now);
  const std::vector<std::string>& violations() const { return violations_; }
  bool settled() const;  // nothing accepted is unanswered and nothing owed is missing

  struct Totals {
    std::uint64_t published = 0, accepted = 0, received = 0, delivered = 0, gaps = 0, gap_messages = 0, refused = 0,
                  excused = 0;
  };
  const Totals& totals() const { return totals_; }

 private:
  using StreamKey = std::tuple<std::string, std::uint64_t, std::uint32_t>;  // topic, publisher, incarnation
  struct Sent {
    std::uint64_t published_ns = 0;
    std::uint64_t accepted_ns = 0;  // 0: not
    std::uint64_t received_ns = 0;  // 0: not
    bool refused = false;
  };
  struct Stream {
    Node client = 0;
    Node home = 0;
    bool alive = true;
    std::vector<Sent> sent;  // [sequence - 1]
  };
  struct Place {
    std::uint32_t start_incarnation = 0, incarnation = 0;
    std::uint64_t start = 0, next = 0;
    std::map<std::uint32_t, std::uint64_t> closed;  // incarnations gone past: where they ended
    std::map<std::uint32_t, std::uint64_t> begun;   // each incarnation's start cursor
  };
  struct Subscription {
    std::string filter;
    std::uint64_t standing_since = 0;  // SUBSCRIBED; 0: not yet
    std::uint32_t unreachable = 0;
  };
  struct Outage {
    std::uint64_t from = 0, to = ~0ull;
  };
  struct Life {
    Node client = 0;
    Node broker = 0;
    std::uint64_t publisher = 0;
    std::uint32_t incarnation = 0;
    bool alive = true;
    bool resubscribed = false;  // a cursor may begin anew
    std::vector<Subscription> subscriptions;
    std::map<std::pair<std::string, std::uint64_t>, Place> places;
    std::map<Node, std::vector<Outage>> outages;  // by home broker
  };

  struct Broken {  // *received* was told before this life had the message
    std::size_t life = 0;
    StreamKey key;
    std::uint64_t sequence = 0;
    std::string what;
  };

  Life* life(Node client);
  bool wants(const Life& life, const std::string& topic) const;
  const Subscription* standing(const Life& life, const std::string& topic) const;
  bool has(const Life& life, const StreamKey& key, std::uint64_t sequence) const;
  bool owes(const Life& life, const StreamKey& key, const Stream& stream, std::uint64_t sequence) const;
  bool long_absent(const Life& life, Node home, std::uint64_t from, std::uint64_t to) const;
  bool was_detached(const Life& life, Node home, std::uint64_t since) const;
  bool excused(const Stream& stream, const Sent& sent) const;
  void check_received(std::uint64_t now, const StreamKey& key, const Stream& stream, std::uint64_t sequence);
  std::string missing(const Life& life, const StreamKey& key, std::uint64_t sequence) const;

  std::uint64_t detach_ns_;
  bool gaps_allowed_ = false;
  std::vector<Life> lives_;
  std::map<StreamKey, Stream> streams_;
  std::map<Node, std::vector<std::uint64_t>> broker_kills_;
  std::map<std::pair<Node, Node>, std::vector<std::uint64_t>> detaches_;
  std::vector<std::string> violations_;
  std::vector<Broken> broken_;
  std::vector<std::tuple<StreamKey, std::uint64_t, std::uint64_t, std::string>> gaps_over_;  // judged at the end
  Totals totals_;
};

}  // namespace portolan::broker::testing
