// Seeded storms over fake_net: links severed and healed, brokers and subscribers killed and restarted, control, data
// and progress held apart, data reordered, late subscribers. Then calm, and every promise is checked by an oracle that
// reads only what applications saw. PORTOLAN_STORM_SEEDS=n runs more seeds, PORTOLAN_STORM_SEED=s only that one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <tuple>

#include "broker/engine/fake_net.hpp"

namespace portolan::broker::fake {
namespace {

constexpr std::uint64_t kMs = 1'000'000, kSecond = 1'000 * kMs;

struct Faults {
  bool brokers = false;      // killed and restarted empty
  bool subscribers = false;  // killed and restarted
  bool outlast = false;      // outages beyond the detach bound: gaps may be told
};

class Storm {
 public:
  Storm(std::uint64_t seed, Faults faults) : state_(seed * 2 + 1), faults_(faults), w({1, 2, 3, 4}) {
    Hub::get().shuffle = seed + 1;
    w.detach_ns = faults.outlast ? 2 * kSecond : 60 * kSecond;
    w.rules = {{"a/#", Lane::realtime, (draw(3)) * kSecond, 0}, {"b/#", Lane::bulk, 0, 0}};
    for (const std::uint64_t id : w.ids) w.start_broker(id);
    for (const std::uint64_t id : {101u, 202u, 303u}) w.client(id, id / 100);
    for (const std::uint64_t id : {151u, 152u, 251u, 351u, 451u}) w.client(id, id / 100);
    if (!faults.outlast) {
      w.on_received = [this](const Client& p, const std::string& topic, std::uint64_t first, std::uint64_t last) {
        check_received(p, topic, first, last);
      };
    }
    w.connect_all();
    w.settle();
    for (const std::uint64_t id : {151u, 251u, 351u}) subscribe(id);
    w.advance(kSecond);
  }

  void run() {
    for (int step = 0; step < 120; ++step) {
      ++w.step;
      turn();
    }
    calm();
  }

  void check() {
    for (const auto& [id, c] : w.clients) {
      if (c.engine) check_subscriber(c);
    }
    for (const std::uint64_t p : {101u, 202u, 303u}) {
      EXPECT_EQ(w[p].received, published_[p]) << "publisher " << p;
      EXPECT_EQ(w[p].refused, 0u);
    }
  }

 private:
  std::uint64_t draw(std::uint64_t bound) {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return (state_ >> 33) % bound;
  }
  const char* filter(std::uint64_t i) {
    static const char* const kFilters[] = {"a/#", "a/+/x", "b/1", "+/2", "#"};
    return kFilters[i % 5];
  }
  // Without replay where homes are killed: what only retention holds may die with its broker, and is then a GAP.
  void subscribe(std::uint64_t id) {
    const auto replay = static_cast<ReplayMode>(draw(3));
    w.subscribe(id, filter(draw(5)), faults_.brokers ? ReplayMode::none : replay);
  }

  void turn() {
    const std::uint64_t pubs[] = {101, 202, 303};
    const std::uint64_t subs[] = {151, 152, 251, 351, 451};
    static const char* const kTopics[] = {"a/1/x", "a/2/x", "b/1", "b/2"};
    const std::uint64_t p = pubs[draw(3)];
    for (std::uint64_t n = draw(4); n > 0; --n) {
      const std::string topic = kTopics[draw(4)];
      if (w.publish(p, topic) != 0) {
        ++published_[p];
        published_at_[{topic, p, ++per_topic_[{topic, p}]}] = w.step;
      }
    }
    const std::uint64_t a = 1 + draw(4), b = 1 + draw(4);
    switch (draw(faults_.brokers || faults_.subscribers ? 14 : 11)) {
      case 0:
        if (a != b) w.sever(a, b);
        break;
      case 1:
      case 2:
        w.heal(a, b);
        break;
      case 3: {
        const auto s = subs[draw(5)];
        w.sever(s, s / 100);
        break;
      }
      case 4:
      case 5: {
        const auto s = subs[draw(5)];
        w.heal(s, s / 100);
        break;
      }
      case 6: {
        const auto q = pubs[draw(3)];
        draw(2) == 0 ? w.sever(q, q / 100) : w.heal(q, q / 100);
        break;
      }
      case 7:
        hold(a, b);
        break;
      case 8:
        release();
        break;
      case 9:
        subscribe(subs[draw(5)]);
        break;
      case 10:
        w.advance(draw(faults_.outlast ? 3'000 : 400) * kMs);
        break;
      case 11:
        if (faults_.brokers && w.brokers[a].engine) w.kill_broker(a);
        break;
      case 12:
        revive();
        break;
      case 13: {
        const auto s = subs[draw(5)];
        if (!faults_.subscribers) break;
        w.kill_client(s);
        w.settle();
        Client& c = w.client(s, s / 100);
        c.got.clear();
        c.cursors.clear();
        w.connect_all();
        w.settle();
        subscribe(s);
        break;
      }
      default:
        break;
    }
    w.connect_all();
    if (draw(3) != 0) w.settle();
  }

  void revive() {
    for (const std::uint64_t id : w.ids) {
      if (!w.brokers[id].engine) w.start_broker(id);
    }
  }

  void hold(std::uint64_t a, std::uint64_t b) {
    if (!Hub::get().connected(a, b)) return;
    Half& h = Hub::get().half(a, b);
    switch (draw(3)) {
      case 0:
        h.hold_control = true;
        break;
      case 1:
        h.hold_data = true;
        break;
      default:
        h.hold_progress = true;
        break;
    }
  }

  void release() {
    for (auto& [id, node] : Hub::get().nodes) {
      for (auto& [sid, session] : node->sessions) {
        for (Half& h : session->halves) h.hold_control = h.hold_data = h.hold_progress = false;
      }
    }
  }

  void calm() {
    revive();
    w.severed.clear();
    release();
    w.advance(faults_.outlast ? 10 * kSecond : 5 * kSecond);
    for (int i = 0; i < 3; ++i) {
      for (const std::uint64_t p : {101u, 202u, 303u}) {
        for (const char* topic : {"a/1/x", "a/2/x", "b/1", "b/2"}) {
          if (w.publish(p, topic) == 0) continue;
          ++published_[p];
          ++per_topic_[{topic, p}];
        }
      }
      w.advance(kSecond);
    }
    w.advance(faults_.brokers ? 70 * kSecond : 5 * kSecond);
  }

  // In order, once, and from the start cursor on everything is either delivered or told.
  void check_subscriber(const Client& c) {
    std::map<std::pair<std::string, std::uint64_t>, std::uint64_t> next;
    for (const Got& cursor : c.cursors) {
      auto& n = next[{cursor.topic, cursor.publisher}];
      if (n == 0) n = cursor.sequence;
    }
    std::uint64_t gaps = 0;
    for (const Got& g : c.got) {
      auto& n = next[{g.topic, g.publisher}];
      EXPECT_NE(n, 0u) << "no cursor for " << g.topic << " at " << c.id;
      EXPECT_EQ(g.sequence, n) << "client " << c.id << " " << g.topic << " of " << g.publisher;
      n = (g.last != 0 ? g.last : g.sequence) + 1;
      gaps += g.last != 0 ? 1 : 0;
      if (g.last != 0 && !faults_.outlast) {
        ADD_FAILURE() << "gap " << g.topic << " of " << g.publisher << " " << g.sequence << ".." << g.last << " reason "
                      << g.reason << " at " << c.id << " inc " << c.incarnation;
      }
    }
    EXPECT_EQ(faults_.outlast ? 0 : gaps, 0u) << "client " << c.id;
    for (const auto& [key, n] : next) {
      EXPECT_EQ(n, per_topic_[key] + 1) << "client " << c.id << " " << key.first << " of " << key.second;
    }
  }

  void check_received(const Client& p, const std::string& topic, std::uint64_t first, std::uint64_t last) {
    for (const auto& [id, c] : w.clients) {
      if (!c.engine) continue;
      // Only who had its cursor before the message was published: a later one is served in its own time.
      std::uint64_t start = 0, reached = 0;
      for (const Got& cursor : c.cursors) {
        if (cursor.topic == topic && cursor.publisher == p.id && start == 0 &&
            cursor.last < published_at_[{topic, p.id, first}]) {
          start = cursor.sequence;
        }
      }
      if (start == 0 || last < start) continue;
      for (const Got& g : c.got) {
        if (g.topic == topic && g.publisher == p.id) reached = g.last != 0 ? g.last : g.sequence;
      }
      EXPECT_GE(reached, last) << "received " << topic << " " << first << ".." << last << " of " << p.id
                               << ", but client " << id << " has " << reached << " from " << start;
    }
  }

  std::uint64_t state_;
  Faults faults_;
  std::map<std::uint64_t, std::uint64_t> published_;
  std::map<std::pair<std::string, std::uint64_t>, std::uint64_t> per_topic_;
  std::map<std::tuple<std::string, std::uint64_t, std::uint64_t>, std::uint64_t> published_at_;

 public:
  World w;
};

void seeds(Faults faults, std::uint64_t count) {
  const char* one = std::getenv("PORTOLAN_STORM_SEED");
  const char* many = std::getenv("PORTOLAN_STORM_SEEDS");
  if (many != nullptr) count = std::strtoull(many, nullptr, 10);
  const std::uint64_t begin = one != nullptr ? std::strtoull(one, nullptr, 10) : 1;
  for (std::uint64_t seed = begin; seed < begin + (one != nullptr ? 1 : count); ++seed) {
    SCOPED_TRACE("replay: PORTOLAN_STORM_SEED=" + std::to_string(seed));
    Storm storm(seed, faults);
    storm.run();
    storm.check();
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(Storm, LinksOnly) {
  seeds({}, 30);
}
TEST(Storm, LinksAndSubscribers) {
  seeds({false, true, false}, 30);
}
TEST(Storm, LinksAndBrokers) {
  seeds({true, false, false}, 30);
}
TEST(Storm, LinksBrokersAndSubscribers) {
  seeds({true, true, false}, 30);
}
TEST(Storm, BeyondTheDetachBound) {
  seeds({false, false, true}, 30);
}
TEST(Storm, BeyondTheDetachBoundWithKills) {
  seeds({true, true, true}, 30);
}

}  // namespace
}  // namespace portolan::broker::fake
