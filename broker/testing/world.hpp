// A small world of real engines over the network in memory: brokers and clients in virtual time, driven exactly as a
// host drives them (datagrams in, outputs drained after each input, timers by next_deadline), with process faults and
// an oracle that watches the applications. The same seed gives the same world. For tests of engines; one thread.
//
//   World w(seed);
//   auto a = w.broker("a"), b = w.broker("b");
//   auto pub = w.client(a, "pub"), sub = w.client(b, "sub");
//   w.subscribe(sub, "ais/#");
//   w.run_for(2 * kSecond);
//   w.publish(pub, "ais/1");
//   w.cut(a, b); w.run_for(kSecond); w.heal(a, b);
//   w.settle();                       // until all is answered, or the time given
//   EXPECT_EQ(w.verdict(), "");       // every violation of the oracle, one a line
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "broker/client_engine.hpp"
#include "broker/engine.hpp"
#include "broker/testing/network.hpp"
#include "broker/testing/oracle.hpp"

namespace portolan::broker::testing {

struct WorldOptions {
  Limits broker_limits;
  Limits leaf_limits;  // of brokers that are leaves
  Limits client_limits;
  std::uint64_t detach_ns = 10 * kSecond;
  std::uint64_t detach_bytes = 64u << 20;
  std::uint64_t retain_ns = 60 * kSecond;
  std::uint64_t retain_bytes = 8u << 20;
  std::string_view brief;  // the filter of topics that are retained for 200 ms only; empty: none
  std::uint64_t rate_bps = 0;
  std::uint64_t first_bps = 0;                     // of each session; 0: found from ten datagrams on
  std::uint64_t between_brokers_ns = 10 * kMilli;  // one way
  std::uint64_t to_client_ns = 100 * kMicro;
  std::uint32_t modes = kModeSealed;
  WorldOptions();  // limits small enough that hundreds of worlds run in seconds
};

class World {
 public:
  explicit World(std::uint64_t seed, const WorldOptions& options = {});
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Who is there. All brokers are declared before time runs; clients may come at any time.
  Node broker(std::string name);
  Node client(Node home, std::string name);
  void leaf(Node broker, Node hub, Node standby);  // brokers that are no leaves mesh
  // From the first one on clients may do only what they are permitted; before time runs.
  void permit(Node client, std::string_view filter, std::uint8_t rights);

  // What applications do. Payloads follow from (topic, publisher, incarnation, sequence), so each can be checked.
  ClientEngine::Published publish(Node client, std::string_view topic, std::uint32_t bytes = 100,
                                  Lane lane = Lane::realtime);
  void subscribe(Node client, std::string_view filter, ReplayMode replay = ReplayMode::none);
  void unsubscribe(Node client, std::string_view filter);

  // Time.
  std::uint64_t now() const { return now_; }
  void run_for(std::uint64_t ns);
  bool run_until(const std::function<bool()>& condition, std::uint64_t at_most_ns);
  void at(std::uint64_t time_ns, std::function<void()> action);
  // Runs until everything published is received and all that is owed is there; false when the time ran out.
  bool settle(std::uint64_t at_most_ns = 30 * kSecond);

  // Faults.
  Network& network() { return network_; }
  void both(Node a, Node b, const std::function<void(Path&)>& change);
  void cut(Node a, Node b);
  void cut_one_way(Node from, Node to);
  void heal(Node a, Node b);
  void kill(Node node);
  void restart(Node node);  // with empty memory and the next incarnation; kills first when it lives
  // A client taken for dead is started again elsewhere, as the next incarnation; the old process is what it was
  // (paused, perhaps) and goes on as a stranger to the oracle. The new one's node.
  Node replace(Node client);
  void pause(Node node);  // the process stands still; its socket holds what comes, bounded
  void resume(Node node);
  void skew(Node node, std::int64_t ns);  // its wall clock

  // Strangers: a node without an engine of ours. What is sent to it is handed over when it arrives; what it sends is
  // put in by hand, under any name. The oracle takes no notice of what is published as `id`.
  Node stranger(std::uint64_t id, std::function<void(const Datagram&)> heard);
  void inject(Node from, Node to, std::vector<std::uint8_t> bytes);
  void watch(std::function<void(const Datagram&)> seen) { seen_ = std::move(seen); }  // all that is sent and not lost
  const Identity& identity(Node node) const;
  PathId path_of(Node node) const;

  // Looking in.
  bool alive(Node node) const;
  bool paused(Node node) const;
  Engine& engine(Node broker);
  ClientEngine& client_engine(Node client);
  Oracle& oracle() { return oracle_; }
  std::uint64_t deliveries(Node client) const;
  bool subscribed(Node client, std::string_view filter) const;
  std::uint64_t denied(Node node, std::string_view name) const;  // events of that, with the reason `permission`
  std::uint64_t latest_delivery_ns(Node client) const;
  std::string verdict();  // judges; empty when all held
  std::uint64_t trace_hash() const { return trace_; }
  void set_log(bool on) { log_ = on; }  // also by PORTOLAN_TEST_LOG=1

 private:
  struct Process;
  struct Timed {
    std::uint64_t at = 0;
    std::uint64_t order = 0;  // ties in order of creation
    enum class Kind : std::uint8_t { datagram, timer, action } kind{};
    Node node = 0;
    std::size_t index = 0;  // of datagram or action
    friend bool operator>(const Timed& a, const Timed& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; }
  };
  void start_all();
  void start(Process& p);
  void step(const Timed& timed);
  void receive(Process& p, const Datagram& datagram);
  void service(Process& p);
  void drain_outputs(Process& p);
  bool of_a_stranger(std::uint64_t publisher) const;
  void on_event(Process& p, const Event& event);
  void on_delivery(Process& p, const Delivery& delivery);
  void schedule(std::uint64_t at, Timed::Kind kind, Node node, std::size_t index);
  void tell_connections();
  bool linked(Node a, Node b);
  Now clock(const Process& p) const;
  void note(std::uint64_t value) { trace_ = (trace_ ^ value) * 0x100000001B3ull + (trace_ >> 29); }
  void say(const Process& p, const std::string& text) const;

  std::uint64_t seed_;
  WorldOptions options_;
  struct Permitted {
    Key32 key{};
    std::string filter;
    std::uint8_t rights = 0;
  };
  std::vector<Permitted> permitted_;
  Network network_;
  Oracle oracle_;
  std::uint64_t now_ = kSecond;
  std::uint64_t order_ = 0;
  std::uint64_t trace_ = 0xCBF29CE484222325ull;
  bool started_ = false;
  bool log_ = false;
  std::vector<std::unique_ptr<Process>> processes_;
  std::priority_queue<Timed, std::vector<Timed>, std::greater<>> events_;
  std::vector<Datagram> datagrams_;
  std::vector<std::size_t> free_datagrams_;
  std::vector<std::function<void()>> actions_;
  std::function<void(const Datagram&)> seen_;
};

}  // namespace portolan::broker::testing
