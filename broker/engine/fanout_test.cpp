// Fan-out over the one-hop mesh, the three answers, subscribing and late joiners, without faults.
#include <gtest/gtest.h>

#include <numeric>

#include "broker/engine/fake_net.hpp"

namespace portolan::broker::fake {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

std::vector<std::uint64_t> upto(std::uint64_t first, std::uint64_t last) {
  std::vector<std::uint64_t> out(last - first + 1);
  std::iota(out.begin(), out.end(), first);
  return out;
}

struct Two {
  Two() : w({1, 2}) {
    w.start_broker(1);
    w.start_broker(2);
    w.client(101, 1);
    w.client(202, 2);
    w.client(203, 2);
    w.connect_all();
    w.settle();
  }
  World w;
};

TEST(Fanout, ReachesLocalAndFarSubscribersOnceAndInOrder) {
  Two t;
  t.w.client(102, 1);
  t.w.subscribe(102, "ais/+/position");
  t.w.subscribe(202, "ais/#");
  t.w.subscribe(203, "berth/#");
  t.w.advance(kSecond / 10);
  EXPECT_EQ(t.w[202].unreachable, std::vector<std::uint32_t>{0});
  for (int i = 0; i < 20; ++i) t.w.publish(101, "ais/v7/position");
  t.w.settle();
  EXPECT_EQ(t.w[102].sequences(), upto(1, 20));
  EXPECT_EQ(t.w[202].sequences(), upto(1, 20));
  EXPECT_TRUE(t.w[203].got.empty());
  EXPECT_EQ(t.w[101].accepted, 20u);
  EXPECT_EQ(t.w[101].received, 20u);
  EXPECT_EQ(t.w.broker(1).counters().published_in, 20u);
  EXPECT_EQ(t.w.broker(2).counters().forwarded_in, 20u);
}

TEST(Fanout, IsCountedByTheRuleThatGovernsTheTopic) {
  World w({1, 2});
  w.rules = {{"ais/#", Lane::realtime, kSecond, 0}, {"berth/#", Lane::realtime, kSecond, 0}};
  w.start_broker(1);
  w.start_broker(2);
  w.client(101, 1);
  w.client(202, 2);
  w.connect_all();
  w.subscribe(202, "ais/#");
  w.settle();
  for (int i = 0; i < 3; ++i) w.publish(101, "ais/v7");
  w.publish(101, "berth/1");
  w.publish(101, "gate/1");
  w.settle();
  const auto home = w.broker(1).topic_counters(), far = w.broker(2).topic_counters();
  ASSERT_EQ(home.size(), 3u);  // two rules, and topics of none
  EXPECT_EQ(std::make_pair(home[0].messages_in, home[0].messages_out), std::make_pair(3ul, 3ul));
  EXPECT_EQ(std::make_pair(home[1].messages_in, home[1].messages_out), std::make_pair(1ul, 0ul));
  EXPECT_EQ(home[2].messages_in, 1u);
  EXPECT_EQ(std::make_pair(far[0].messages_in, far[0].messages_out), std::make_pair(3ul, 3ul));
  EXPECT_EQ(far[1].messages_in, 0u);
  EXPECT_EQ(home[0].bytes_in, far[0].bytes_in);
  EXPECT_GT(home[0].bytes_in, 0u);
  EXPECT_EQ(home[0].delivered, 3u);  // nobody owed the others
  EXPECT_EQ(home[1].delivered, 0u);
  std::uint64_t within = 0;
  for (const std::uint64_t n : home[0].delivered_within) within += n;
  EXPECT_EQ(within, 3u);
}

TEST(Fanout, ManyRulesHaveTheirMemory) {
  std::vector<std::string> filters;
  for (int i = 0; i < 1'024; ++i) filters.push_back(std::string(100, 'x') + std::to_string(i) + "/#");
  std::vector<TopicRule> rules;
  for (const std::string& filter : filters) rules.push_back({filter, Lane::realtime, kSecond, 0});
  EngineConfig config;
  config.identity.id = 1;
  config.topics = rules;
  std::vector<std::uint8_t> arena(Engine::bytes_needed(Limits::sim(), rules));
  const Engine engine(Limits::sim(), config, arena);
  EXPECT_EQ(engine.topic_counters().size(), kCountedRules + 1u);
}

TEST(Fanout, TheKernelsDoorbellReachesTheSession) {
  Two t;
  t.w.broker(1).segment_ready(t.w.now, 5, 3);
  EXPECT_EQ(Hub::get().nodes.at(1)->rung, std::vector<SessionId>{5});
}

TEST(Fanout, NeverForwardsWhatCameFromAnotherBroker) {
  World w({1, 2, 3});
  for (std::uint64_t id : {1u, 2u, 3u}) w.start_broker(id);
  w.sever(1, 3);
  w.client(101, 1);
  w.client(303, 3);
  w.client(202, 2);
  w.connect_all();
  w.settle();
  w.subscribe(303, "a/#");
  w.subscribe(202, "a/#");
  w.advance(2 * kSecond);
  for (int i = 0; i < 5; ++i) w.publish(101, "a/b");
  w.settle();
  EXPECT_EQ(w[202].sequences(), upto(1, 5));
  EXPECT_TRUE(w[303].got.empty());
  EXPECT_EQ(w[303].unreachable, std::vector<std::uint32_t>{1});
}

TEST(Fanout, ReceivedWaitsForTheFarSubscriber) {
  Two t;
  t.w.subscribe(202, "a/b");
  t.w.advance(kSecond / 10);
  Hub::get().half(2, 202).hold_data = true;
  for (int i = 0; i < 3; ++i) t.w.publish(101, "a/b");
  t.w.settle();
  EXPECT_EQ(t.w[101].accepted, 3u);
  EXPECT_EQ(t.w[101].received, 0u);
  Hub::get().half(2, 202).hold_data = false;
  t.w.settle();
  EXPECT_EQ(t.w[101].received, 3u);
}

TEST(Fanout, SubscribedComesOnlyAfterEveryReachablePeerHasAnswered) {
  Two t;
  t.w.advance(2 * kSecond);
  Hub::get().half(1, 2).hold_control = true;
  t.w.subscribe(202, "a/b");
  t.w.settle();
  EXPECT_TRUE(t.w[202].unreachable.empty());
  Hub::get().half(1, 2).hold_control = false;
  t.w.settle();
  EXPECT_EQ(t.w[202].unreachable, std::vector<std::uint32_t>{0});
}

TEST(Fanout, SubscribedNamesAPeerThatDiesWhileItIsWaitedFor) {
  Two t;
  t.w.advance(2 * kSecond);
  Hub::get().half(1, 2).hold_control = true;
  t.w.subscribe(202, "a/b");
  t.w.settle();
  EXPECT_TRUE(t.w[202].unreachable.empty());
  t.w.sever(1, 2);
  t.w.settle();
  EXPECT_EQ(t.w[202].unreachable, std::vector<std::uint32_t>{1});
}

TEST(Fanout, DataThatOvertakesItsStreamWaits) {
  Two t;
  t.w.subscribe(202, "a/b");
  t.w.advance(kSecond / 10);
  Hub::get().half(1, 2).hold_control = true;
  for (int i = 0; i < 4; ++i) t.w.publish(101, "a/b");
  t.w.settle();
  EXPECT_TRUE(t.w[202].got.empty());
  Hub::get().half(1, 2).hold_control = false;
  t.w.settle();
  EXPECT_EQ(t.w[202].sequences(), upto(1, 4));
  EXPECT_EQ(t.w[101].received, 4u);
}

TEST(LateJoiner, GetsWhatItsReplayAsksFor) {
  Two t;
  t.w.rules = {{"a/#", Lane::realtime, 60 * kSecond, 1u << 20}};
  World w({1, 2});
  w.rules = t.w.rules;
  w.start_broker(1);
  w.start_broker(2);
  w.client(101, 1);
  w.connect_all();
  w.settle();
  w.advance(2 * kSecond);
  for (int i = 0; i < 10; ++i) w.publish(101, "a/b");
  w.settle();
  for (std::uint64_t id : {111u, 112u, 113u, 211u}) w.client(id, id / 100);
  w.advance(kSecond / 10);
  w.subscribe(111, "a/#", ReplayMode::none);
  w.subscribe(112, "a/#", ReplayMode::last);
  w.subscribe(113, "a/#", ReplayMode::retained);
  w.subscribe(211, "a/b", ReplayMode::retained);
  w.advance(kSecond / 10);
  w.publish(101, "a/b");
  w.settle();
  EXPECT_EQ(w[111].sequences(), upto(11, 11));
  EXPECT_EQ(w[112].sequences(), upto(10, 11));
  EXPECT_EQ(w[113].sequences(), upto(1, 11));
  EXPECT_EQ(w[211].sequences(), upto(1, 11));
}

TEST(Fanout, UnsubscribingEndsItAndSubscribingAgainStartsAnew) {
  Two t;
  t.w.subscribe(202, "a/b");
  t.w.advance(kSecond / 10);
  for (int i = 0; i < 3; ++i) t.w.publish(101, "a/b");
  t.w.settle();
  t.w.clients.at(202).engine->unsubscribe(t.w.now, "a/b");
  t.w.settle();
  for (int i = 0; i < 3; ++i) t.w.publish(101, "a/b");
  t.w.settle();
  EXPECT_EQ(t.w.broker(2).counters().forwarded_in, 3u);
  t.w.subscribe(203, "a/b");
  t.w.advance(kSecond / 10);
  for (int i = 0; i < 2; ++i) t.w.publish(101, "a/b");
  t.w.settle();
  EXPECT_EQ(t.w[202].sequences(), upto(1, 3));
  EXPECT_EQ(t.w[203].sequences(), upto(7, 8));
  EXPECT_EQ(t.w[101].received, 8u);
}

}  // namespace
}  // namespace portolan::broker::fake
