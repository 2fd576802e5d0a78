#include "broker/testing/chaos.hpp"

#include <string>
#include <vector>

#include "broker/testing/world.hpp"

namespace portolan::broker::testing {
namespace {

class Life {
 public:
  Life(std::uint64_t seed, const ChaosOptions& options)
      : options_(options), draw_(seed ^ 0xC4A05), w_(seed, world_options(options)) {
    for (std::uint32_t i = 0; i < options.brokers; ++i)
      brokers_.push_back(w_.broker(std::string(1, static_cast<char>('a' + i))));
    for (const Node b : brokers_) {
      for (std::uint32_t i = 0; i < options.clients_per_broker; ++i) {
        clients_.push_back({w_.client(b, "c" + std::to_string(clients_.size())), b, {}});
      }
    }
    // Who is let go for want of room, too, may find that what it missed has died with a broker.
    if (options.short_memory || options.tight) w_.oracle().allow_gaps();
    for (Client& c : clients_) subscribe(c);
    w_.run_for(2 * kSecond);
  }

  ChaosResult run() {
    const std::uint64_t start = w_.now();
    const std::uint64_t end = start + options_.seconds * kSecond;
    for (std::uint32_t i = 0; i < options_.faults; ++i) schedule_fault(start, end);
    for (std::uint32_t i = 0; i < options_.skews; ++i) {
      const Node who = draw_.below(2) == 0 ? any_broker() : any_client().node;
      const auto ns = static_cast<std::int64_t>(draw_.below(20 * kSecond)) - static_cast<std::int64_t>(10 * kSecond);
      w_.at(start + draw_.below(end - start), [=, this] { w_.skew(who, ns); });
    }
    for (std::uint32_t i = 0; i < options_.kills; ++i) {
      const std::uint64_t slice = (end - start) / options_.kills;
      w_.at(start + slice * i + draw_.below(slice), [this] { kill_one(); });
    }
    for (std::uint32_t i = 0; i < options_.replaced; ++i) {
      w_.at(start + draw_.below(end - start), [this] { replace_one(); });
    }
    while (w_.now() < end) {
      act();
      w_.run_for(draw_.between(1, 20) * kMilli);
    }
    calm();
    w_.settle(40 * kSecond);
    ChaosResult result;
    result.verdict = w_.verdict();
    result.published = w_.oracle().totals().published;
    result.delivered = w_.oracle().totals().delivered;
    result.refused = w_.oracle().totals().refused;
    result.gaps = w_.oracle().totals().gaps;
    result.trace = w_.trace_hash();
    result.virtual_ns = w_.now();
    return result;
  }

 private:
  struct Client {
    Node node;
    Node broker;
    std::vector<std::string> filters;
  };

  static WorldOptions world_options(const ChaosOptions& options) {
    WorldOptions w;
    w.between_brokers_ns = 5 * kMilli;
    // No outage lasts as long as this, so no gap has an excuse but death.
    w.detach_ns = (options.seconds + 20) * kSecond;
    w.retain_ns = 600 * kSecond;
    w.retain_bytes = 0;
    w.rate_bps = options.rate_bps;
    if (options.short_memory) {
      w.detach_ns = 1'500 * kMilli;
      w.retain_ns = kSecond;
    }
    if (options.longest != 0) {  // retained to the end, so that no gap has an excuse
      for (Limits* l : {&w.broker_limits, &w.client_limits}) {
        l->large_slots = 512;
        l->small_blocks = 32'768;
      }
    }
    if (options.tight) tighten(w.broker_limits, w.client_limits);
    return w;
  }

  static void tighten(Limits& broker, Limits& client) {
    broker.window_packets = 256;
    broker.window_messages = broker.receive_messages = 64;
    broker.control_queue = 64;
    broker.credit_bytes = 2 << 10;
    broker.unresolved_messages = 96;
    broker.grants_per_class = 2;
    broker.small_slots = 8;
    broker.large_slots = 12;
    client = broker;
    client.sessions = 2;
    client.peers = 1;
    client.downstreams = 2;
    client.deliveries = 8;
    client.events = 64;
    client.reorder_messages = 96;
    client.kept_messages = 64;
  }

  Client& any_client() { return clients_[draw_.below(clients_.size())]; }
  Node any_broker() { return brokers_[draw_.below(brokers_.size())]; }
  static const char* topic_name(std::uint64_t topic) {
    static const char* const names[] = {"ais/1/position", "ais/2/position", "berth/1", "radar/tile"};
    return names[topic];
  }
  static Lane lane_of(std::uint64_t topic) {
    return topic == 3 ? Lane::bulk : topic == 2 ? Lane::ordered : Lane::realtime;
  }

  void subscribe(Client& c) {
    static const char* const filters[] = {"ais/+/position", "berth/#", "#", "radar/tile", "ais/1/position"};
    const std::string filter = filters[draw_.below(5)];
    for (const std::string& f : c.filters) {
      if (f == filter) return;
    }
    c.filters.push_back(filter);
    w_.subscribe(c.node, filter);
  }

  void act() {
    Client& c = any_client();
    if (!w_.alive(c.node) || w_.paused(c.node)) return;
    if (draw_.below(200) == 0) return subscribe(c);
    if (draw_.below(300) == 0 && c.filters.size() > 1) {
      w_.unsubscribe(c.node, c.filters.front());
      c.filters.erase(c.filters.begin());
      return;
    }
    const std::uint64_t kind = draw_.below(60);
    std::uint32_t bytes = static_cast<std::uint32_t>(draw_.between(1, 300));
    if (options_.long_messages && kind == 0) bytes = static_cast<std::uint32_t>(draw_.between(1'201, 70'000));
    if (options_.longest != 0 && kind == 1)
      bytes = static_cast<std::uint32_t>(draw_.between(200'000, options_.longest));
    const std::uint64_t topic = draw_.below(4);
    w_.publish(c.node, topic_name(topic), bytes, lane_of(topic));
  }

  void schedule_fault(std::uint64_t start, std::uint64_t end) {
    const std::uint64_t at = start + draw_.below(end - start);
    const std::uint64_t length = draw_.between(20 * kMilli, 3 * kSecond);
    Node a = any_broker(), b = any_broker();
    if (draw_.below(3) == 0 || a == b) {
      const Client& c = any_client();
      a = c.node;
      b = c.broker;
    }
    switch (draw_.below(7)) {
      case 0:
        w_.at(at, [=, this] { w_.cut(a, b); });
        break;
      case 1:
        w_.at(at, [=, this] { w_.cut_one_way(a, b); });
        break;
      case 2: {
        const auto loss = static_cast<std::uint32_t>(draw_.between(5'000, 200'000));
        w_.at(at, [=, this] { w_.both(a, b, [=](Path& p) { p.loss = loss; }); });
        break;
      }
      case 3:
        w_.at(at, [=, this] {
          w_.both(a, b, [](Path& p) {
            p.burst_start = 10'000;
            p.burst_ns = 30 * kMilli;
          });
        });
        break;
      case 4:
        w_.at(at, [=, this] {
          w_.both(a, b, [](Path& p) {
            p.reorder = 300'000;
            p.reorder_ns = 20 * kMilli;
            p.duplicate = 100'000;
            p.jitter_ns = kMilli;
          });
        });
        break;
      case 5:
        w_.at(at, [=, this] { w_.both(a, b, [](Path& p) { p.corrupt = 50'000; }); });
        break;
      default: {
        const Node who = draw_.below(2) == 0 ? a : b;
        w_.at(at, [=, this] { w_.pause(who); });
        w_.at(at + length, [=, this] { w_.resume(who); });
        return;
      }
    }
    w_.at(at + length, [=, this] { heal(a, b); });
  }

  void heal(Node a, Node b) {
    w_.both(a, b, [](Path& p) {
      const std::uint64_t delay = p.delay_ns;
      p = Path{};
      p.delay_ns = delay;
    });
  }

  // Any one process, and back after a while; a client subscribes anew, for its subscriptions died with it.
  void kill_one() {
    const bool broker = draw_.below(2) == 0;
    Client& c = any_client();
    const Node who = broker ? any_broker() : c.node;
    w_.kill(who);
    w_.at(w_.now() + draw_.between(10 * kMilli, 2 * kSecond), [=, this, &c] {
      w_.restart(who);
      if (broker) return;
      for (const std::string& filter : c.filters) w_.subscribe(c.node, filter);
    });
  }

  // Both lives of one client at once: the former must not take the place of the present one.
  void replace_one() {
    Client& c = any_client();
    const Node former = c.node;
    if (!w_.alive(former) || w_.paused(former)) return;
    w_.pause(former);
    w_.at(w_.now() + draw_.between(10 * kMilli, 2 * kSecond), [=, this, &c] {
      if (c.node != former || !w_.alive(former)) return w_.resume(former);
      c.node = w_.replace(former);
      for (const std::string& filter : c.filters) w_.subscribe(c.node, filter);
      w_.at(w_.now() + draw_.between(10 * kMilli, 2 * kSecond), [=, this] { w_.resume(former); });
    });
  }

  void calm() {
    w_.run_for(4 * kSecond);  // what was scheduled has ended by itself
    for (const Node a : brokers_) {
      for (const Node b : brokers_) {
        if (a != b) heal(a, b);
      }
    }
    for (const Client& c : clients_) heal(c.node, c.broker);
    for (Client& c : clients_) {
      if (w_.paused(c.node)) w_.resume(c.node);
    }
  }

  ChaosOptions options_;
  Draw draw_;
  World w_;
  std::vector<Node> brokers_;
  std::vector<Client> clients_;
};

}  // namespace

ChaosOptions seven_harbours() {
  ChaosOptions options;
  options.brokers = 7;
  options.kills = 3;
  options.faults = 14;
  options.skews = 4;
  return options;
}

ChaosResult chaos(std::uint64_t seed, const ChaosOptions& options) {
  return Life(seed, options).run();
}

}  // namespace portolan::broker::testing
