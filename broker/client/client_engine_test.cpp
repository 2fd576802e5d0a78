// ClientEngine alone, over a scripted endpoint: numbering, keeping, offering again; cursors, order, gaps, incarnations.
// What an application sees is written as one line of text, so that a test reads as a list of what must happen.
#include "broker/client_engine.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "broker/client/fake_endpoint.hpp"
#include "broker/wire/control.hpp"

namespace portolan::broker {
namespace {

using testing::fake;

constexpr std::uint64_t kMe = 7;
constexpr std::uint64_t kPublisher = 42;

class Client : public ::testing::Test {
 protected:
  Client() {
    limits_ = Limits::thousand();
    limits_.reorder_messages = 32;
    limits_.unresolved_messages = 8;
    limits_.kept_messages = 16;
    limits_.deliveries = 16;
    make();
  }
  void make() {
    engine_.reset();
    memory_ = std::make_unique<std::max_align_t[]>(ClientEngine::bytes_needed(limits_) / sizeof(std::max_align_t) + 1);
    ClientConfig config;
    config.identity.id = kMe;
    config.identity.incarnation = 3;
    engine_ = std::make_unique<ClientEngine>(
        limits_, config,
        std::span(reinterpret_cast<std::uint8_t*>(memory_.get()), ClientEngine::bytes_needed(limits_)));
  }
  void up() {
    ++fake->session;
    for (auto& p : fake->progress) p = Progress{};
    for (auto& d : fake->delivered) d = 0;
    numbers_[1] = numbers_[2] = numbers_[3] = 0;
    fake->events.push_back({SessionEvent::Kind::up, fake->session, 1'000, 1, 99, true, DownReason::none});
    tick();
  }
  void down() {
    fake->events.push_back({SessionEvent::Kind::down, fake->session, 1'000, 1, 99, true, DownReason::timeout});
    tick();
  }
  void tick() {
    engine_->tick(now_);
    while (engine_->more_work()) engine_->tick(now_);
  }
  template <typename Body>
  void control(std::uint32_t type, const Body& body) {
    std::vector<std::uint8_t> bytes(wire::kControlBytesMax);
    bytes.resize(wire::encode(body, bytes));
    EXPECT_FALSE(bytes.empty());
    testing::FakeEndpoint::In in;
    in.head.session = fake->session;
    in.head.lane = Lane::control;
    in.head.control = type;
    in.bytes = bytes;
    fake->in.push_back(in);
    tick();
  }
  void topic(std::uint32_t alias, std::string_view name) {
    control(PTL_C_TOPIC, wire::TopicBody{.alias = alias, .lane = PTL_LANE_REALTIME, .name = name});
  }
  void stream(std::uint32_t alias, std::uint64_t start, std::uint32_t incarnation = 1, std::uint32_t previous = 0,
              std::uint64_t previous_last = 0, std::uint32_t topic_alias = 1) {
    control(PTL_C_STREAM, wire::StreamBody{.alias = alias,
                                           .topic = topic_alias,
                                           .publisher = kPublisher,
                                           .start = start,
                                           .previous_last = previous_last,
                                           .incarnation = incarnation,
                                           .previous_incarnation = previous,
                                           .interest = interest_});
  }
  void gap(std::uint32_t stream_alias, std::uint64_t first, std::uint64_t last, GapReason reason) {
    control(PTL_C_GAP,
            wire::GapBody{
                .first = first, .last = last, .stream = stream_alias, .reason = static_cast<std::uint32_t>(reason)});
  }
  void subscribed(std::uint64_t version, std::uint32_t unreachable = 0) {
    wire::SubscribedBody body;
    body.version = version;
    body.total = unreachable;
    control(PTL_C_SUBSCRIBED, body);
  }
  // The broker sends these sequences of a stream, in this order.
  void data(std::uint32_t stream_alias, std::initializer_list<std::uint64_t> sequences, Lane lane = Lane::realtime) {
    for (const std::uint64_t sequence : sequences) {
      testing::FakeEndpoint::In in;
      in.head.session = fake->session;
      in.head.lane = lane;
      in.head.number = ++numbers_[static_cast<int>(lane)];
      in.head.topic = 1;
      in.head.publisher = stream_alias;
      in.head.sequence = sequence;
      const std::string text = "m" + std::to_string(sequence);
      in.bytes.assign(text.begin(), text.end());
      fake->in.push_back(in);
    }
    tick();
  }
  std::string seen(std::size_t at_most = 1'000) {
    std::string text;
    for (std::size_t i = 0; i < at_most; ++i) {
      Delivery d;
      Event e;
      std::string item;
      if (engine_->poll_delivery(d)) {
        std::string bytes;
        for (const auto& span : d.bytes) bytes.append(span.begin(), span.end());
        EXPECT_EQ(bytes, "m" + std::to_string(d.sequence));
        EXPECT_EQ(d.publisher, kPublisher);
        item = std::to_string(d.sequence);
        if (d.incarnation != 1) item += "." + std::to_string(d.incarnation);
        engine_->release_delivery(d.handle);
      } else if (engine_->poll_event(e)) {
        item = describe(e);
      } else {
        break;
      }
      if (!item.empty()) text += (text.empty() ? "" : " ") + item;
    }
    tick();
    return text;
  }
  static std::string describe(const Event& e) {
    const std::string name(e.topic.begin(), e.topic.end());
    const std::string range =
        std::to_string(e.first) + (e.last == e.first ? "" : ".." + (e.last == ~0ull ? "end" : std::to_string(e.last)));
    const std::string code = std::to_string(e.code);
    switch (e.kind) {
      case EventKind::session_up:
        return "";
      case EventKind::session_down:
        return "down";
      case EventKind::subscribed:
        return "subscribed(" + name + "," + std::to_string(e.count) + ")";
      case EventKind::cursor:
        return "cursor(" + std::to_string(e.incarnation) + "@" + range + ")";
      case EventKind::accepted:
        return "accepted(" + range + ")";
      case EventKind::received:
        return "received(" + range + ")";
      case EventKind::refused:
        return "refused(" + range + "," + code + ")";
      case EventKind::gap:
        return "gap(" + std::to_string(e.incarnation) + ":" + range + "," + code + ")";
      case EventKind::detached:
        return "detached";
      case EventKind::denied:
        return "denied";
      case EventKind::session_refused:
        return "session_refused";
      case EventKind::peer_interest:
        return "?";
    }
    return "?";
  }
  // What was sent on the control lane since the last look.
  std::string told() {
    std::string text;
    for (const auto& c : fake->control) {
      wire::TopicBody t;
      wire::StreamBody s;
      wire::InterestBody i;
      wire::ResumeBody r;
      wire::GapBody g;
      std::string item = "?";
      if (c.type == PTL_C_TOPIC && wire::decode(c.body, t)) {
        item = "TOPIC " + std::string(t.name);
      } else if (c.type == PTL_C_STREAM && wire::decode(c.body, s)) {
        EXPECT_EQ(s.publisher, kMe);
        EXPECT_EQ(s.incarnation, 3u);
        item = "STREAM " + std::to_string(s.start);
      } else if (c.type == PTL_C_INTEREST && wire::decode(c.body, i)) {
        const char* ops[] = {"begin", "+", "-", "end"};
        item = ops[static_cast<int>(i.op)] + std::string(i.filter) + "@" + std::to_string(i.version);
      } else if (c.type == PTL_C_RESUME && wire::decode(c.body, r)) {
        item = "RESUME " + std::to_string(r.incarnation) + "@" + std::to_string(r.next);
      } else if (c.type == PTL_C_GAP && wire::decode(c.body, g)) {
        item = "GAP " + std::to_string(g.first) + ".." + std::to_string(g.last);
      }
      text += (text.empty() ? "" : ", ") + item;
    }
    fake->control.clear();
    return text;
  }
  std::string sent() {
    std::string text;
    for (const auto& d : fake->sent) text += (text.empty() ? "" : " ") + std::to_string(d.out.sequence);
    fake->sent.clear();
    return text;
  }
  std::uint64_t publish(std::string_view topic_name = "t", std::string_view text = "hello") {
    const auto p = engine_->publish(now_, topic_name, Lane::realtime,
                                    std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
    return p.refused == RefuseReason::none ? p.sequence : 0;
  }
  void answer(std::uint32_t admitted, std::uint32_t delivered) {
    fake->progress[2].admitted = admitted;
    fake->progress[2].delivered = delivered;
    tick();
  }
  void standing(std::uint64_t start = 1) {  // a session, a subscription, one stream under alias 1
    up();
    EXPECT_EQ(engine_->subscribe(now_, "t", ReplayMode::none), RefuseReason::none);
    topic(1, "t");
    stream(1, start);
    subscribed(1);
    seen();
    told();
  }
  std::uint32_t delivered(Lane lane = Lane::realtime) { return fake->delivered[static_cast<int>(lane)]; }

  Limits limits_;
  std::unique_ptr<std::max_align_t[]> memory_;
  std::unique_ptr<ClientEngine> engine_;
  Now now_{1'000'000'000, 0};
  std::uint32_t numbers_[4] = {};
  std::uint64_t interest_ = 1'000;  // the version that the broker says it holds
};

// --- publishing ---------------------------------------------------------------------------------------------------

TEST_F(Client, NumbersPerTopicFromOneAndAnnouncesOnceASession) {
  up();
  told();
  EXPECT_EQ(publish("a"), 1u);
  EXPECT_EQ(publish("a"), 2u);
  EXPECT_EQ(publish("b"), 1u);
  EXPECT_EQ(told(), "TOPIC a, STREAM 1, TOPIC b, STREAM 1");
  EXPECT_EQ(sent(), "1 2 1");
}

TEST_F(Client, AnswersComeAsRangesAcceptedBeforeReceived) {
  up();
  for (int i = 0; i < 4; ++i) publish();
  answer(3, 0);
  EXPECT_EQ(seen(), "accepted(1..3)");
  answer(4, 4);
  EXPECT_EQ(seen(), "accepted(4) received(1..4)");
  EXPECT_EQ(engine_->counters().received, 4u);
}

TEST_F(Client, KeepsWhilePublishedWithoutSessionAndOffersItThen) {
  EXPECT_EQ(publish(), 1u);
  EXPECT_EQ(publish(), 2u);
  EXPECT_EQ(sent(), "");
  up();
  EXPECT_EQ(sent(), "1 2");
}

TEST_F(Client, OffersAgainFromTheFirstKeptAfterAReconnect) {
  up();
  for (int i = 0; i < 5; ++i) publish();
  answer(4, 2);
  EXPECT_EQ(seen(), "accepted(1..4) received(1..2)");
  EXPECT_EQ(sent(), "1 2 3 4 5");
  down();
  told();
  up();
  EXPECT_EQ(sent(), "3 4 5");
  EXPECT_EQ(told(), "begin@0, end@0, TOPIC t, STREAM 3");
  EXPECT_EQ(publish(), 6u);
  EXPECT_EQ(sent(), "6");
  answer(4, 4);  // accepted is told once, even if two brokers said so
  EXPECT_EQ(seen(), "down accepted(5..6) received(3..6)");
  EXPECT_EQ(engine_->counters().offered_again, 3u);
}

TEST_F(Client, AnnouncesAlsoWhatIsAllReceived) {
  up();
  publish();
  answer(1, 1);
  seen();
  down();
  told();
  up();
  EXPECT_EQ(told(), "begin@0, end@0, TOPIC t, STREAM 2");
  publish();
  EXPECT_EQ(told(), "");
}

TEST_F(Client, RefusesWhenMemoryIsFullAndKeepsNothingOfIt) {
  up();
  for (int i = 0; i < 16; ++i) EXPECT_NE(publish(), 0u);
  EXPECT_EQ(publish(), 0u);
  sent();
  answer(16, 1);
  EXPECT_EQ(publish(), 17u);
  EXPECT_EQ(sent(), "17");
}

TEST_F(Client, RefusesWhatCannotBeSent) {
  const std::uint8_t byte = 1;
  const auto reason = [&](std::string_view name, std::span<const std::uint8_t> payload, Lane lane = Lane::realtime) {
    return engine_->publish(now_, name, lane, payload).refused;
  };
  EXPECT_EQ(reason("a/+", {&byte, 1}), RefuseReason::bad_topic);
  EXPECT_EQ(reason("", {&byte, 1}), RefuseReason::bad_topic);
  EXPECT_EQ(reason(std::string(limits_.topic_name_bytes + 1, 'x'), {&byte, 1}), RefuseReason::bad_topic);
  EXPECT_EQ(reason("a", {&byte, 1}, Lane::control), RefuseReason::bad_topic);
  EXPECT_EQ(reason("a", {}), RefuseReason::too_long);
  const std::vector<std::uint8_t> big(limits_.message_bytes_max + 1);
  EXPECT_EQ(reason("a", big), RefuseReason::too_long);
  EXPECT_EQ(publish("a"), 1u);  // nothing was numbered
}

TEST_F(Client, WaitsForRoomAndGoesOn) {
  publish();  // before there is a session: kept, however many
  publish();
  fake->room = false;
  up();
  publish();
  EXPECT_EQ(sent(), "");
  fake->room = fake->room_again = true;
  tick();
  EXPECT_EQ(sent(), "1 2 3");
}

TEST_F(Client, WhoPublishesFasterThanTheSessionSendsIsRefusedWithATime) {
  up();
  fake->room = false;
  publish();
  const std::uint8_t byte = 1;
  const auto refused = engine_->publish(now_, "t", Lane::realtime, {&byte, 1});
  EXPECT_EQ(refused.refused, RefuseReason::backlog);
  EXPECT_EQ(refused.retry_after_ns, 10'000'000u);  // half of what the fake's backlog takes
  EXPECT_EQ(engine_->publish(now_, "b", Lane::bulk, {&byte, 1}).refused, RefuseReason::none);  // a lane of its own
  fake->room = fake->room_again = true;
  tick();
  EXPECT_EQ(engine_->publish(now_, "t", Lane::realtime, {&byte, 1}).sequence, 2u);  // nothing of it was left behind
}

TEST_F(Client, BusyIsARefusalThatLeavesNothingBehind) {
  up();
  for (int i = 0; i < 4; ++i) publish();
  sent();
  const auto busy = [&](std::uint32_t number) {
    control(PTL_C_BUSY, wire::BusyBody{.retry_after_ns = 5'000'000,
                                       .lane = 2,
                                       .number = number,
                                       .reason = static_cast<std::uint32_t>(RefuseReason::backlog)});
  };
  busy(2);
  EXPECT_EQ(seen(), "refused(2,5)");
  busy(2);  // of nothing that is kept any more
  answer(4, 0);
  EXPECT_EQ(seen(), "accepted(1) accepted(3..4)");
  down();
  told();
  up();  // a broker that lost its memory must not wait for 2
  EXPECT_EQ(told(), "begin@0, end@0, TOPIC t, STREAM 1, GAP 2..2");
  EXPECT_EQ(sent(), "1 3 4");
  answer(3, 3);
  EXPECT_EQ(seen(), "down received(1) received(3..4)");
}

// --- subscribing --------------------------------------------------------------------------------------------------

TEST_F(Client, SubscribedComesAfterItsCursorsAndNamesTheUnreachable) {
  up();
  told();
  engine_->subscribe(now_, "t", ReplayMode::none);
  EXPECT_EQ(told(), "+t@1");
  topic(1, "t");
  stream(1, 5);
  EXPECT_EQ(seen(), "cursor(1@5)");
  subscribed(1, 2);
  EXPECT_EQ(seen(), "subscribed(t,2)");
  EXPECT_EQ(fake->interest.version, 1u);
  EXPECT_EQ(fake->interest.digest, wire::filter_digest("t", 0));
}

TEST_F(Client, SnapshotWithCursorsAtReconnect) {
  standing(3);
  data(1, {3, 4});
  EXPECT_EQ(seen(), "3 4");
  down();
  told();
  up();
  EXPECT_EQ(told(), "begin@1, +t@1, TOPIC t, RESUME 1@5, end@1");
  subscribed(1);
  EXPECT_EQ(seen(), "down");  // the subscription stood already
  topic(9, "t");
  control(
      PTL_C_STREAM,
      wire::StreamBody{.alias = 4, .topic = 9, .publisher = kPublisher, .start = 4, .incarnation = 1, .interest = 1});
  data(4, {4, 5, 6});
  EXPECT_EQ(seen(), "5 6");
  EXPECT_EQ(engine_->counters().duplicates_dropped, 1u);
  EXPECT_EQ(delivered(), 3u);
}

TEST_F(Client, ASnapshotWaitsForRoomOnTheControlLane) {
  standing();
  down();
  told();
  fake->control_room = 0;
  up();
  publish("p");
  EXPECT_EQ(told(), "");
  EXPECT_FALSE(engine_->more_work());
  fake->control_room = 100;
  tick();
  EXPECT_EQ(told(), "begin@1, +t@1, TOPIC t, RESUME 1@1, end@1, TOPIC p, STREAM 1");
  EXPECT_EQ(sent(), "1");
}

TEST_F(Client, AskedForInterestOrCursorsItAnswers) {
  standing();
  control(PTL_C_ASK, wire::AskBody{.what = wire::kAskCursors});
  EXPECT_EQ(told(), "TOPIC t, RESUME 1@1");
  control(PTL_C_ASK, wire::AskBody{.what = wire::kAskInterest});
  EXPECT_EQ(told(), "begin@1, +t@1, RESUME 1@1, end@1");
}

TEST_F(Client, DetachedIsToldAndComesBack) {
  standing();
  control(PTL_C_DETACHED, wire::DetachedBody{.reason = 1});
  EXPECT_EQ(seen(), "detached");
  EXPECT_EQ(told(), "begin@1, +t@1, TOPIC t, RESUME 1@1, end@1");
}

TEST_F(Client, AfterUnsubscribeNothingMoreIsDeliveredAndNothingStalls) {
  standing();
  data(1, {2, 3});
  engine_->unsubscribe(now_, "t");
  EXPECT_EQ(told(), "-t@2");
  data(1, {1, 4});
  EXPECT_EQ(seen(), "");
  EXPECT_EQ(delivered(), 4u);
  EXPECT_EQ(engine_->counters().unwanted, 2u);
  EXPECT_EQ(fake->interest.digest, 0u);
}

TEST_F(Client, SubscribingAnewBeginsAtTheNewCursorWhateverStillComesOfTheOld) {
  standing();
  data(1, {1});
  EXPECT_EQ(seen(), "1");
  engine_->unsubscribe(now_, "t");
  engine_->subscribe(now_, "t", ReplayMode::none);
  data(1, {9});  // already of the new subscription: its STREAM is still on the control lane
  EXPECT_EQ(seen(), "");
  stream(1, 9);
  subscribed(3);
  data(1, {10});
  EXPECT_EQ(seen(), "cursor(1@9) 9 subscribed(t,0) 10");
}

TEST_F(Client, ACursorOfTheSubscriptionBeforeIsNotTaken) {
  standing();
  engine_->unsubscribe(now_, "t");
  engine_->subscribe(now_, "t", ReplayMode::none);
  interest_ = 1;
  stream(1, 1);  // sent by the broker before it knew of the unsubscribe
  data(1, {1});
  EXPECT_EQ(seen(), "");
  interest_ = 3;
  stream(1, 9);
  subscribed(3);
  data(1, {9});
  EXPECT_EQ(seen(), "cursor(1@9) subscribed(t,0) 9");
  EXPECT_EQ(delivered(), 2u);
}

TEST_F(Client, SubscribingAmidASnapshotFollowsInAnother) {
  standing();
  down();
  told();
  fake->control_room = 0;
  up();
  fake->control_room = 100;
  engine_->subscribe(now_, "u", ReplayMode::none);
  tick();
  EXPECT_EQ(told(), "begin@2, +t@2, +u@2, TOPIC t, RESUME 1@1, end@2, begin@3, +t@3, +u@3, RESUME 1@1, end@3");
  subscribed(2);  // of a snapshot that may not have had it
  EXPECT_EQ(seen(), "down");
  subscribed(3);
  EXPECT_EQ(seen(), "subscribed(u,0)");
}

TEST_F(Client, WhatWasAcceptedIsNeverRefused) {
  up();
  publish();
  answer(1, 0);
  EXPECT_EQ(seen(), "accepted(1)");
  down();
  EXPECT_EQ(seen(), "down");
  up();  // a broker that has lost its memory and has no room now: a GAP stands in its place
  control(PTL_C_BUSY, wire::BusyBody{.retry_after_ns = 1, .lane = 2, .number = 1, .reason = 2});
  EXPECT_EQ(seen(), "");
  answer(1, 1);
  EXPECT_EQ(seen(), "received(1)");
}

// --- order --------------------------------------------------------------------------------------------------------

TEST_F(Client, OrdersDropsDuplicatesAndWhatLiesBeforeTheCursor) {
  standing(5);
  data(1, {6, 8, 6, 4});
  EXPECT_EQ(seen(), "");
  EXPECT_EQ(delivered(), 0u);
  data(1, {5});
  EXPECT_EQ(seen(), "5 6");
  data(1, {7, 7});
  EXPECT_EQ(seen(), "7 8");
  EXPECT_EQ(engine_->counters().duplicates_dropped, 2u);
  EXPECT_EQ(engine_->counters().before_cursor, 1u);
  EXPECT_EQ(delivered(), 7u);
}

TEST_F(Client, DeliveredRisesOnlyOverWhatTheApplicationCanHave) {
  standing();
  data(1, {2});
  EXPECT_EQ(delivered(), 0u);
  data(1, {3});
  EXPECT_EQ(delivered(), 0u);
  data(1, {1});
  EXPECT_EQ(delivered(), 3u);
}

TEST_F(Client, DataAheadOfItsAliasWaits) {
  up();
  engine_->subscribe(now_, "t", ReplayMode::none);
  data(1, {3, 2});
  EXPECT_EQ(seen(), "");
  topic(1, "t");
  stream(1, 2);
  EXPECT_EQ(seen(), "cursor(1@2) 2 3");
  EXPECT_EQ(delivered(), 2u);
}

TEST_F(Client, HeldOverAReconnectAndDroppedWhenItComesAgain) {
  standing();
  data(1, {1, 3, 4});
  EXPECT_EQ(seen(), "1");
  down();
  up();
  topic(1, "t");
  stream(1, 2);
  data(1, {3, 4});
  EXPECT_EQ(delivered(), 0u);  // not yet: 2 is missing, and a crash now would lose them
  data(1, {2});
  EXPECT_EQ(seen(), "down 2 3 4");
  EXPECT_EQ(delivered(), 3u);
}

TEST_F(Client, ASlowApplicationPushesBackAndLosesNothing) {
  standing();
  for (std::uint64_t i = 1; i <= 60; ++i) data(1, {i});
  EXPECT_FALSE(fake->in.empty());  // the endpoint keeps what the application does not take
  EXPECT_LE(delivered(), 16u + 1u);
  std::string all, expected;
  for (int i = 0; i < 30; ++i) {
    const std::string part = seen(4);
    if (!part.empty()) all += (all.empty() ? "" : " ") + part;
  }
  for (int i = 1; i <= 60; ++i) expected += (expected.empty() ? "" : " ") + std::to_string(i);
  EXPECT_EQ(all, expected);
  EXPECT_EQ(delivered(), 60u);
}

TEST_F(Client, TooMuchOutOfOrderBeginsTheSessionAnewAndResumes) {
  standing();
  for (std::uint64_t i = 2; i < 60; ++i) data(1, {i});
  EXPECT_EQ(fake->closed, 1u);
  EXPECT_EQ(engine_->counters().overflows, 1u);
  fake->in.clear();
  told();
  up();
  EXPECT_EQ(told(), "begin@1, +t@1, TOPIC t, RESUME 1@1, end@1");
  topic(1, "t");
  stream(1, 1);
  data(1, {1});
  EXPECT_EQ(seen().substr(0, 11), "down 1 2 3 ");
}

TEST_F(Client, AWindowThatFillsBehindAMissingMessageEndsTheSessionInTime) {
  limits_.window_messages = 64;
  limits_.deliveries = 64;
  make();
  standing();
  for (std::uint64_t i = 2; i <= 20; ++i) data(1, {i});
  now_.mono_ns += 1'900'000'000;
  tick();
  EXPECT_EQ(fake->closed, 0u);
  now_.mono_ns += 200'000'000;
  tick();
  EXPECT_EQ(fake->closed, 1u);
  told();
  up();
  EXPECT_EQ(told(), "begin@1, +t@1, TOPIC t, RESUME 1@1, end@1");
  topic(1, "t");
  stream(1, 1);
  data(1, {1});
  EXPECT_EQ(seen(), "down 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20");
}

// The hole has closed, the queue is full, and the application takes its time: nothing is missing.
TEST_F(Client, ASlowApplicationDoesNotLoseItsSession) {
  limits_.window_messages = 64;
  make();
  standing();
  std::string expected = "1";
  for (std::uint64_t i = 2; i <= 33; ++i) {
    data(1, {i});
    expected += " " + std::to_string(i);
  }
  data(1, {1});
  for (int i = 0; i < 10; ++i) {
    now_.mono_ns += 1'000'000'000;
    tick();
  }
  EXPECT_EQ(fake->closed, 0u);
  std::string all;
  for (int i = 0; i < 10; ++i) {
    const std::string part = seen(4);
    if (!part.empty()) all += (all.empty() ? "" : " ") + part;
  }
  EXPECT_EQ(all, expected);
}

// What is missing stands in the endpoint, where nothing is taken from while the queue is full.
TEST_F(Client, AFullQueueBeforeAHoleDoesNotEndTheSession) {
  limits_.window_messages = 64;
  make();
  standing();
  EXPECT_EQ(engine_->subscribe(now_, "u", ReplayMode::none), RefuseReason::none);
  topic(2, "u");
  stream(2, 1, 1, 0, 0, 2);
  subscribed(2);
  seen();
  for (std::uint64_t i = 2; i <= 20; ++i) data(1, {i});
  for (std::uint64_t i = 1; i <= 16; ++i) data(2, {i});
  data(1, {1});
  EXPECT_FALSE(fake->in.empty());
  for (int i = 0; i < 10; ++i) {
    now_.mono_ns += 1'000'000'000;
    tick();
  }
  EXPECT_EQ(fake->closed, 0u);
  EXPECT_EQ(seen(16), "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16");
  const std::string first = seen(19);  // room for sixteen
  EXPECT_EQ(first + " " + seen(), "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20");
}

TEST_F(Client, TheDoorbellReachesTheSession) {
  standing();
  engine_->segment_ready(now_, fake->session, 3);
  EXPECT_EQ(fake->rung, std::vector<SessionId>{fake->session});
}

// --- gaps ---------------------------------------------------------------------------------------------------------

TEST_F(Client, AGapWaitsForItsPlace) {
  standing();
  gap(1, 2, 4, GapReason::retention);
  EXPECT_EQ(seen(), "");
  data(1, {5, 1});
  EXPECT_EQ(seen(), "1 gap(1:2..4,1) 5");
  EXPECT_EQ(engine_->counters().gap_messages, 3u);
}

TEST_F(Client, AGapTellsOnlyWhatIsNotHere) {
  standing();
  data(1, {3, 5});
  gap(1, 1, 6, GapReason::broker_lost);
  EXPECT_EQ(seen(), "gap(1:1..2,4) 3 gap(1:4,4) 5 gap(1:6,4)");
  EXPECT_EQ(delivered(), 2u);
  gap(1, 1, 6, GapReason::broker_lost);  // told again: nothing new
  gap(1, 5, 8, GapReason::broker_lost);
  EXPECT_EQ(seen(), "gap(1:7..8,4)");
}

// --- incarnations -------------------------------------------------------------------------------------------------

TEST_F(Client, ANewIncarnationBeginsAfterTheLastOfTheOld) {
  standing();
  data(1, {1});
  stream(2, 1, 2, 1, 3);
  data(2, {1, 2});
  EXPECT_EQ(seen(), "1");
  data(1, {3, 2});
  EXPECT_EQ(seen(), "2 3 cursor(2@1) 1.2 2.2");
  data(1, {3});
  EXPECT_EQ(seen(), "");
  EXPECT_EQ(engine_->counters().before_cursor, 1u);
  EXPECT_EQ(delivered(), 6u);
}

TEST_F(Client, AnOldIncarnationWithoutAnEndIsAnOpenGap) {
  standing();
  data(1, {1, 4});
  stream(2, 7, 2, 1, wire::kUnknownLast);
  data(2, {7});
  // What was held of the old one is delivered before it is given up.
  EXPECT_EQ(seen(), "1");
  gap(1, 2, ~0ull, GapReason::publisher_lost);
  EXPECT_EQ(seen(), "gap(1:2..3,3) 4 gap(1:5..end,3) cursor(2@7) 7.2");
}

TEST_F(Client, AHomeThatNeverKnewTheOldIncarnationEndsItOpenly) {
  standing();
  data(1, {1});
  stream(2, 1, 2, 0, 0);
  data(2, {1});
  EXPECT_EQ(seen(), "1 gap(1:2..end,3) cursor(2@1) 1.2");
}

TEST_F(Client, AnIncarnationThatWasNeverSeenIsTold) {
  standing();
  stream(3, 1, 4, 3, 6);
  EXPECT_EQ(seen(), "gap(1:1..end,3) gap(3:1..6,3) cursor(4@1)");
}

TEST_F(Client, WaitsForTheOldIncarnationOverAReconnect) {
  standing();
  data(1, {1});
  stream(2, 1, 2, 1, 2);
  data(2, {1});
  EXPECT_EQ(seen(), "1");
  down();
  told();
  up();
  EXPECT_EQ(told(), "begin@1, +t@1, TOPIC t, RESUME 1@2, end@1");
  topic(1, "t");
  stream(1, 2);
  stream(2, 1, 2, 1, 2);
  data(1, {2});
  data(2, {1, 2});
  EXPECT_EQ(seen(), "down 2 cursor(2@1) 1.2 2.2");
  EXPECT_EQ(delivered(), 3u);
}

// --- bounds and bad input -----------------------------------------------------------------------------------------

TEST_F(Client, BadControlIsCountedAndIgnored) {
  standing();
  testing::FakeEndpoint::In in;
  in.head.session = fake->session;
  in.head.lane = Lane::control;
  for (std::uint32_t type = 0; type < 40; ++type) {
    in.head.control = type;
    in.bytes = {1, 2, 3};
    fake->in.push_back(in);
  }
  gap(77, 1, 2, GapReason::retention);  // of an alias that was never given
  tick();
  EXPECT_EQ(engine_->counters().bad_control, 41u);
  data(1, {1});
  EXPECT_EQ(seen(), "1");
}

TEST_F(Client, TooLittleMemoryIsAnAnswer) {
  std::vector<std::uint8_t> little(4'096);
  ClientEngine engine(limits_, ClientConfig{}, little);
  const std::uint8_t byte = 0;
  EXPECT_EQ(engine.publish(now_, "a", Lane::realtime, {&byte, 1}).refused, RefuseReason::memory_full);
  EXPECT_EQ(engine.subscribe(now_, "a", ReplayMode::none), RefuseReason::memory_full);
  engine.tick(now_);
  EXPECT_EQ(engine.next_deadline(), kNever);
}

TEST_F(Client, EveryMessageGivesItsMemoryBack) {
  limits_.kept_messages = 64;
  make();
  standing();
  const auto before = fake->store->usage();
  for (std::uint64_t round = 0; round < 50; ++round) {
    data(1, {3ull + 4 * round - 2, 3ull + 4 * round, 3ull + 4 * round, 3ull + 4 * round - 1, 3ull + 4 * round + 1});
    publish("p", std::string(3'000, 'x'));
    fake->progress[2].admitted = fake->progress[2].delivered = fake->progress[2].sent;
    seen();
  }
  EXPECT_EQ(fake->store->usage().messages, before.messages);
  EXPECT_EQ(fake->store->usage().blocks, before.blocks);
  EXPECT_EQ(fake->store->usage().pieces, before.pieces);
}

}  // namespace
}  // namespace portolan::broker
