// For the engine's tests only: an Endpoint without packets. It is linked in place of broker/session/, moves whole
// messages between engines in one process, never loses one by itself, and lets a test hold each direction's control,
// data and progress apart; so "between accepted and received" is a place one can stand on. Time is the test's.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/client_engine.hpp"
#include "broker/engine.hpp"

namespace portolan::broker::fake {

struct Packet {
  Lane lane{};
  std::uint32_t number = 0;
  Outgoing meta;
  std::uint32_t control = 0;
  std::vector<std::uint8_t> bytes;
};

struct Node;

struct Half {  // one direction of a session, and what its sender knows
  Node* owner = nullptr;
  SessionId id = kNil;
  bool hold_control = false, hold_data = false, hold_progress = false;
  std::deque<Packet> control, data;
  std::uint32_t sent[4] = {}, admitted[4] = {}, delivered[4] = {};  // as told to the owner
  std::uint32_t arrived[4] = {}, passed[4] = {}, decided[4] = {};   // as the receiver has it
  std::uint32_t control_arrived = 0;
  bool wants_room = false;
  bool interest_known = false;
  InterestState interest;  // of the other side, as by HEARTBEAT
};

struct Session {
  Half halves[2];
  std::uint64_t uid = 0;
  bool up = true;
  Half& of(const Node* n) { return halves[halves[0].owner == n ? 0 : 1]; }
  Half& other(const Node* n) { return halves[halves[0].owner == n ? 1 : 0]; }
};

struct Node {
  Identity identity;
  Limits limits;
  Store* store = nullptr;
  std::set<std::uint64_t> configured;
  std::map<SessionId, std::shared_ptr<Session>> sessions;
  std::deque<SessionEvent> events;
  std::deque<std::pair<SessionId, Packet>> inbox;
  std::set<SessionId> progress, room;
  InterestState interest;
  EndpointCounters counters;
  bool explicitly = false;      // admits
  std::vector<SessionId> rung;  // by the doorbell
};

class Hub {
 public:
  static Hub& get();
  void reset() { *this = Hub{}; }
  void add(Node* node);
  void remove(std::uint64_t id);  // its process died: the others' sessions to it go down by cut()
  void connect(std::uint64_t a, std::uint64_t b);
  void cut(std::uint64_t a, std::uint64_t b);
  bool connected(std::uint64_t a, std::uint64_t b) { return find(a, b) != nullptr; }
  Half& half(std::uint64_t from, std::uint64_t to) { return find(from, to)->of(nodes[from]); }
  bool flow();        // moves what is not held; true when anything moved
  void heartbeats();  // interest states reach the other sides
  Session* find(std::uint64_t a, std::uint64_t b);

  std::map<std::uint64_t, Node*> nodes;
  std::vector<std::shared_ptr<void>> endpoints;  // alive until reset: sessions point at both ends
  SessionId next_session = 1;
  std::uint64_t shuffle = 0;  // not 0: data arrives in another order within each batch, drawn from this
};

// ------------------------------------------------------------------ a small world

struct Got {
  std::string topic;
  std::uint64_t publisher = 0;
  std::uint32_t incarnation = 0;
  std::uint64_t sequence = 0;
  std::uint64_t last = 0;  // of a gap; 0: a delivery
  std::uint32_t reason = 0;
  friend bool operator==(const Got&, const Got&) = default;
};

struct Client {
  std::uint64_t id = 0;
  std::uint64_t broker = 0;
  std::uint32_t incarnation = 1;
  std::unique_ptr<std::uint8_t[]> memory;  // not cleared: the arena makes what it hands out
  std::unique_ptr<ClientEngine> engine;
  std::vector<Got> got;  // deliveries and gaps in their order
  std::vector<Event> events;
  std::uint64_t accepted = 0, received = 0, refused = 0;
  std::vector<std::uint32_t> unreachable;  // of each SUBSCRIBED
  std::vector<Got> cursors;                // start cursors, in `sequence`; `last` is World::step when it came
  std::vector<std::uint64_t> sequences() const;
  std::uint64_t gap_messages() const;
};

struct Broker {
  std::uint64_t id = 0;
  std::uint32_t incarnation = 1;
  std::unique_ptr<std::uint8_t[]> memory;  // not cleared: the arena makes what it hands out
  std::unique_ptr<Engine> engine;
  std::vector<Event> events;
};

class World {
 public:
  explicit World(std::vector<std::uint64_t> broker_ids);
  ~World();
  void start_broker(std::uint64_t id);  // again with the next incarnation and empty memory
  void kill_broker(std::uint64_t id);
  Client& client(std::uint64_t id, std::uint64_t broker_id);  // again: the next incarnation
  void kill_client(std::uint64_t id);
  void connect_all();  // every pair that is alive and not severed
  void sever(std::uint64_t a, std::uint64_t b);
  void heal(std::uint64_t a, std::uint64_t b);
  void settle();                   // until nothing moves, at this moment
  void advance(std::uint64_t ns);  // in steps of 50 ms
  std::uint64_t publish(std::uint64_t client_id, const std::string& topic, std::size_t bytes = 32);
  void subscribe(std::uint64_t client_id, const std::string& filter, ReplayMode replay = ReplayMode::none);
  Engine& broker(std::uint64_t id) { return *brokers.at(id).engine; }
  Client& operator[](std::uint64_t id) { return clients.at(id); }

  // Called for each range that a publisher learns to be received.
  std::function<void(const Client&, std::string topic, std::uint64_t first, std::uint64_t last)> on_received;
  std::function<void()> before_flow;  // each time, when all have said what they have to say
  Limits limits, client_limits;
  std::vector<TopicRule> rules;
  std::uint64_t detach_ns = 10'000'000'000;
  std::uint64_t detach_bytes = 64u << 20;
  Now now{1'000'000'000, 0};
  std::uint64_t step = 0;  // the test's own count, noted with cursors
  std::map<std::uint64_t, Broker> brokers;
  std::map<std::uint64_t, Client> clients;
  std::vector<std::uint64_t> ids;
  std::set<std::pair<std::uint64_t, std::uint64_t>> severed;

 private:
  void poll(Client& client);
  void poll(Broker& broker);
};

}  // namespace portolan::broker::fake
