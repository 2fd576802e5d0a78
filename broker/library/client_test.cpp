// The library against a real engine over UDP, both in this process and driven by turns: from a loop of the test's own,
// and (the C interface) from the library's.
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "broker/crypto/plain_key.hpp"
#include "broker/engine.hpp"
#include "broker/library/portolan.h"
#include "broker/library/portolan.hpp"
#include "broker/udp/loop.hpp"

namespace portolan {
namespace {

class Broker : public udp::GuestOf<broker::Engine> {
 public:
  Broker() : loop_(open()) {
    limits_ = broker::Limits::thousand_hub();
    broker::EngineConfig config;
    config.identity = broker::plain_identity(1, 1);
    config.entropy.seed[0] = 7;
    config.client_sessions.modes = broker::kModePlain;
    rule_.filter = "#";
    rule_.retain_ns = 5'000'000'000;
    rule_.retain_bytes = 1u << 20;
    config.topics = {&rule_, 1};
    arena_.resize(broker::Engine::bytes_needed(limits_));
    engine_here_ = std::make_unique<broker::Engine>(limits_, config, arena_);
    set_engine(*engine_here_);
    loop_.attach(*this);
    loop_.after_call();
  }
  void upward() override {
    broker::Event event;
    while (engine_->poll_event(event)) {
    }
  }
  std::string address() const { return loop_.sockets()[0].local().text(); }
  udp::Loop& loop() { return loop_; }

 private:
  static udp::Loop open() {
    const udp::Address local = *udp::Address::parse("127.0.0.1:0");
    return std::move(*udp::Loop::open({&local, 1}, {}));
  }
  udp::Loop loop_;
  broker::Limits limits_;
  broker::TopicRule rule_;
  std::vector<std::uint8_t> arena_;
  std::unique_ptr<broker::Engine> engine_here_;
};

struct Heard : Handler {
  void on_message(const Message& m) override {
    texts.push_back(m.text());
    sequences.push_back(m.sequence);
    if (client != nullptr) answered = client->publish("answer", "from a handler");
  }
  void on_up(const Session&) override { ++ups; }
  void on_down(const Session&) override { ++downs; }
  void on_subscribed(std::string_view f, std::uint32_t) override { filter = f; }
  void on_accepted(const Answer& a) override { accepted += a.last - a.first + 1; }
  void on_received(const Answer& a) override { received += a.last - a.first + 1; }
  std::vector<std::string> texts;
  std::vector<std::uint64_t> sequences;
  std::string filter;
  int ups = 0, downs = 0;
  std::uint64_t accepted = 0, received = 0;
  Client* client = nullptr;  // to publish from within
  Published answered{Refused::not_connected};
};

class LibraryTest : public testing::Test {
 protected:
  std::unique_ptr<Client> connect(Heard& heard, std::uint64_t id = 0) {
    Options options;
    options.broker = broker_.address();
    options.plain = true;
    options.id = id;
    options.incarnation = 1;
    ConnectError error;
    auto client = Client::connect(options, heard, error);
    EXPECT_TRUE(client) << error.text;
    return client;
  }
  // The loop of a program: descriptors only, no time-outs of the library's.
  template <typename Done>
  bool run(std::initializer_list<Client*> clients, Done&& done) {
    for (int i = 0; i < 20'000 && !done(); ++i) {
      std::vector<pollfd> fds = {{broker_.loop().descriptor(), POLLIN, 0}};
      for (Client* c : clients) fds.push_back({c->descriptor(), POLLIN, 0});
      poll(fds.data(), fds.size(), 1'000);
      if (fds[0].revents != 0) broker_.loop().turn();
      std::size_t f = 1;
      for (Client* c : clients) {
        if (fds[f++].revents != 0) c->process();
      }
    }
    return done();
  }
  Broker broker_;
};

TEST_F(LibraryTest, runs_in_somebody_elses_loop_by_its_descriptor_alone) {
  Heard me, you;
  auto sub = connect(me), pub = connect(you);
  ASSERT_EQ(sub->subscribe("a/+"), Refused::none);
  ASSERT_TRUE(run({sub.get(), pub.get()}, [&] { return me.filter == "a/+" && you.ups == 1; }));
  EXPECT_TRUE(sub->up());
  for (int i = 1; i <= 100; ++i) {
    const Published published = pub->publish("a/b", "message " + std::to_string(i));
    ASSERT_TRUE(published);
    EXPECT_EQ(published.sequence, static_cast<std::uint64_t>(i));
  }
  EXPECT_EQ(pub->unreceived(), 100u);
  ASSERT_TRUE(run({sub.get(), pub.get()}, [&] { return me.texts.size() == 100 && pub->unreceived() == 0; }));
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(me.texts[i], "message " + std::to_string(i + 1));
    EXPECT_EQ(me.sequences[i], i + 1);
  }
  EXPECT_EQ(you.accepted, 100u);
  EXPECT_EQ(you.received, 100u);
}

TEST_F(LibraryTest, long_messages_come_in_pieces_and_whole) {
  Heard me, you;
  auto sub = connect(me), pub = connect(you);
  sub->subscribe("chart");
  ASSERT_TRUE(run({sub.get(), pub.get()}, [&] { return !me.filter.empty(); }));
  std::string chart(100'000, ' ');
  for (std::size_t i = 0; i < chart.size(); ++i) chart[i] = static_cast<char>('a' + i * i % 23);
  ASSERT_TRUE(pub->publish("chart", chart, Lane::bulk));
  ASSERT_TRUE(run({sub.get(), pub.get()}, [&] { return me.texts.size() == 1; }));
  EXPECT_EQ(me.texts[0], chart);
}

TEST_F(LibraryTest, a_handler_may_publish) {
  Heard me, you;
  auto sub = connect(me), other = connect(you);
  me.client = sub.get();
  sub->subscribe("question");
  other->subscribe("answer");
  ASSERT_TRUE(run({sub.get(), other.get()}, [&] { return !me.filter.empty() && !you.filter.empty(); }));
  ASSERT_TRUE(other->publish("question", "?"));
  ASSERT_TRUE(run({sub.get(), other.get()}, [&] { return you.texts.size() == 1; }));
  EXPECT_TRUE(me.answered);
  EXPECT_EQ(you.texts[0], "from a handler");
}

TEST_F(LibraryTest, refusals_are_told_on_the_spot_and_nothing_is_kept) {
  Heard me;
  auto client = connect(me);
  EXPECT_EQ(client->publish("a//b", "x").refused, Refused::bad_topic);
  EXPECT_EQ(client->publish("a", std::string(20u << 20, 'x')).refused, Refused::too_long);
  EXPECT_EQ(client->subscribe("a/#/b"), Refused::bad_topic);
  EXPECT_EQ(client->unreceived(), 0u);
  client->close();
  EXPECT_EQ(client->publish("a", "x").refused, Refused::not_connected);
  EXPECT_EQ(client->subscribe("a"), Refused::not_connected);
}

TEST_F(LibraryTest, who_comes_back_under_the_same_id_replaces_and_closing_tells_no_handler) {
  Heard me;
  auto client = connect(me, 99);
  ASSERT_TRUE(run({client.get()}, [&] { return me.ups == 1; }));
  client->close();
  EXPECT_EQ(me.downs, 0);
  EXPECT_FALSE(client->up());
}

TEST(Library, options_that_cannot_be_right_are_refused_with_what_would_be) {
  Heard me;
  struct Case {
    void (*change)(Options&);
    int exit_code;
    const char* says;
  };
  for (const Case& c : {
           Case{[](Options& o) { o.plain = false; }, 64, "set `plain`"},
           Case{[](Options& o) { o.broker = "nowhere"; }, 64, "ADDRESS:PORT"},
           Case{[](Options& o) { o.broker_id = 0; }, 64, "broker_id"},
           Case{[](Options& o) { o.limits = "huge"; }, 64, "sim_client"},
           Case{[](Options& o) { o.fragment_bytes = 1'000; }, 64, "multiples of 64"},
           Case{[](Options& o) { o.bind = "192.0.2.1:1"; }, 69, "cannot be bound"},
           Case{[](Options& o) { o.bind = "[::1]:0"; }, 64, "IPv4"},
       }) {
    Options options;
    options.plain = true;
    c.change(options);
    ConnectError error;
    EXPECT_EQ(Client::connect(options, me, error), nullptr);
    EXPECT_EQ(error.exit_code, c.exit_code) << error.text;
    EXPECT_NE(error.text.find(c.says), std::string::npos) << error.text;
  }
}

struct CHeard {
  std::vector<std::string> texts;
  std::vector<int> events;
  portolan_client* client = nullptr;
};

TEST_F(LibraryTest, the_c_interface_says_the_same_from_a_loop_of_its_own) {
  std::atomic<bool> over{false};
  std::thread broker([&] {
    while (!over) broker_.loop().wait(1'000'000);
  });
  CHeard heard;
  const auto message = [](void* user, const char* topic, uint64_t, uint32_t, uint64_t sequence, const uint8_t* payload,
                          size_t bytes) {
    auto& h = *static_cast<CHeard*>(user);
    h.texts.push_back(std::string(topic) + "#" + std::to_string(sequence) + " " +
                      std::string(reinterpret_cast<const char*>(payload), bytes));
    if (h.texts.size() == 2) portolan_stop(h.client);
  };
  const auto event = [](void* user, int kind, const char*, uint64_t, uint32_t, uint64_t, uint64_t, uint32_t) {
    auto& h = *static_cast<CHeard*>(user);
    h.events.push_back(kind);
    if (kind == PORTOLAN_SUBSCRIBED) portolan_stop(h.client);
  };
  const std::string address = broker_.address();
  heard.client = portolan_connect(address.c_str(), 1, "plain", message, event, &heard);
  ASSERT_NE(heard.client, nullptr) << portolan_why();
  EXPECT_EQ(portolan_subscribe(heard.client, "a", 0), 0);
  portolan_run(heard.client, 10'000'000'000);
  EXPECT_EQ(portolan_up(heard.client), 1);
  const std::string long_one(50'000, 'x');
  EXPECT_EQ(portolan_publish(heard.client, "a", "one", 3, 2), 0);
  EXPECT_EQ(portolan_publish(heard.client, "a", long_one.data(), long_one.size(), 2), 0);
  portolan_run(heard.client, 10'000'000'000);
  ASSERT_EQ(heard.texts.size(), 2u);
  EXPECT_EQ(heard.texts[0], "a#1 one");
  EXPECT_EQ(heard.texts[1], "a#2 " + long_one);
  EXPECT_NE(portolan_publish(heard.client, "a//", "x", 1, 2), 0);
  EXPECT_NE(portolan_publish(heard.client, "a", "x", 1, 9), 0);
  EXPECT_NE(portolan_subscribe(heard.client, nullptr, 0), 0);
  portolan_close(heard.client);
  EXPECT_EQ(portolan_connect(address.c_str(), 1, "none", message, event, &heard), nullptr);
  EXPECT_NE(std::strstr(portolan_why(), "valid: plain"), nullptr);
  over = true;
  broker.join();
}

}  // namespace
}  // namespace portolan
