// Control bodies: the layout of PROTOCOL.md byte for byte, round trips, and everything that must be refused.
#include "broker/wire/control.hpp"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <random>
#include <vector>

namespace portolan::broker::wire {
namespace {

template <typename Body>
std::vector<std::uint8_t> bytes(const Body& body) {
  std::vector<std::uint8_t> out(kControlBytesMax);
  out.resize(encode(body, out));
  return out;
}

// Encodes, decodes, and asks that each truncation and each extension is refused and that the bytes come out again.
template <typename Body>
Body round_trip(const Body& body) {
  static std::deque<std::vector<std::uint8_t>> kept;  // what comes back points into the bytes
  const auto& wire = kept.emplace_back(bytes(body));
  EXPECT_FALSE(wire.empty());
  Body back{};
  EXPECT_TRUE(decode(wire, back));
  for (std::size_t n = 0; n < wire.size(); ++n) {
    Body ignored{};
    EXPECT_FALSE(decode(std::span(wire).first(n), ignored)) << "truncated to " << n;
    std::vector<std::uint8_t> small(n);
    EXPECT_EQ(encode(body, small), 0u) << "into " << n;
  }
  auto longer = wire;
  longer.push_back(0);
  Body ignored{};
  EXPECT_FALSE(decode(longer, ignored));
  return back;
}

TEST(Control, TopicLayout) {
  const TopicBody body{.alias = 0x01020304, .lane = PTL_LANE_BULK, .name = "ais/a"};
  const std::vector<std::uint8_t> expected{4, 3, 2, 1, 3, 0, 5, 0, 'a', 'i', 's', '/', 'a'};
  EXPECT_EQ(bytes(body), expected);
}

TEST(Control, StreamLayout) {
  const StreamBody body{.alias = 1,
                        .topic = 2,
                        .publisher = 3,
                        .start = 4,
                        .previous_last = 5,
                        .incarnation = 7,
                        .previous_incarnation = 6,
                        .interest = 8};
  const auto wire = bytes(body);
  ASSERT_EQ(wire.size(), 48u);
  EXPECT_EQ(wire[0], 1);
  EXPECT_EQ(wire[4], 2);
  EXPECT_EQ(wire[8], 3);
  EXPECT_EQ(wire[16], 4);
  EXPECT_EQ(wire[24], 5);
  EXPECT_EQ(wire[32], 7);
  EXPECT_EQ(wire[36], 6);
  EXPECT_EQ(wire[40], 8);
}

TEST(Control, RoundTrips) {
  EXPECT_EQ(round_trip(TopicBody{.alias = 9, .lane = PTL_LANE_REALTIME, .name = "berth/7/level"}).name,
            "berth/7/level");
  const auto stream = round_trip(StreamBody{.alias = 1,
                                            .topic = 2,
                                            .publisher = ~0ull,
                                            .start = 1ull << 40,
                                            .previous_last = kUnknownLast,
                                            .incarnation = 9,
                                            .previous_incarnation = 8});
  EXPECT_EQ(stream.publisher, ~0ull);
  EXPECT_EQ(stream.start, 1ull << 40);
  EXPECT_EQ(stream.previous_last, kUnknownLast);
  const auto add = round_trip(
      InterestBody{.version = 77, .incarnation = 3, .op = InterestOp::add, .replay = 2, .filter = "ais/+/position"});
  EXPECT_EQ(add.version, 77u);
  EXPECT_EQ(add.replay, 2);
  EXPECT_EQ(add.filter, "ais/+/position");
  round_trip(InterestBody{.version = 0, .incarnation = 3, .op = InterestOp::snapshot_begin, .replay = 0, .filter = {}});
  round_trip(InterestBody{.version = 1, .incarnation = 3, .op = InterestOp::remove, .replay = 0, .filter = "#"});
  const std::array<std::uint64_t, 3> ids{5, 1ull << 50, 7};
  SubscribedBody subscribed{};
  subscribed.version = 4;
  subscribed.unreachable = 3;
  subscribed.total = 12;
  subscribed.harbours = ids.data();
  const auto wire = bytes(subscribed);
  SubscribedBody back{};
  ASSERT_TRUE(decode(wire, back));
  EXPECT_EQ(back.total, 12u);
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_EQ(back.harbour(i), ids[i]);
  EXPECT_EQ(back.harbour(3), 0u);
  round_trip(subscribed);
  EXPECT_EQ(round_trip(ResumeBody{.publisher = 8, .next = 2, .topic = 3, .incarnation = 4}).next, 2u);
  EXPECT_EQ(round_trip(DetachedBody{.reason = 5}).reason, 5u);
  EXPECT_EQ(round_trip(GapBody{.first = 3, .last = kUnknownLast, .stream = 6, .reason = 2}).last, kUnknownLast);
  EXPECT_EQ(round_trip(BusyBody{.retry_after_ns = 1, .lane = 2, .number = 3, .reason = 4}).number, 3u);
  EXPECT_EQ(round_trip(GoneBody{.lane = 2, .first = 3, .last = 4}).last, 4u);
  EXPECT_EQ(round_trip(AskBody{.what = kAskCursors}).what, kAskCursors);
}

TEST(Control, RefusesWhatMeansNothing) {
  EXPECT_TRUE(bytes(TopicBody{.alias = 0, .lane = 2, .name = "a"}).empty());
  EXPECT_TRUE(bytes(TopicBody{.alias = 1, .lane = 0, .name = "a"}).empty());
  EXPECT_TRUE(bytes(TopicBody{.alias = 1, .lane = 4, .name = "a"}).empty());
  EXPECT_TRUE(bytes(TopicBody{.alias = 1, .lane = 2, .name = "a/+"}).empty());
  EXPECT_TRUE(bytes(TopicBody{.alias = 1, .lane = 2, .name = ""}).empty());
  EXPECT_TRUE(bytes(StreamBody{.alias = 1, .topic = 1, .publisher = 0, .incarnation = 1}).empty());
  EXPECT_TRUE(bytes(StreamBody{.alias = 1, .topic = 1, .publisher = 1, .start = 0, .incarnation = 1}).empty());
  EXPECT_TRUE(
      bytes(StreamBody{.alias = 1, .topic = 1, .publisher = 1, .incarnation = 2, .previous_incarnation = 2}).empty());
  EXPECT_TRUE(bytes(StreamBody{.alias = 1, .topic = 1, .publisher = 1, .previous_last = 3, .incarnation = 2}).empty());
  // Beyond the last of all sequences nothing is named, or what walks to it would never end.
  constexpr std::uint64_t beyond = kSequenceMax + 1;
  EXPECT_FALSE(bytes(StreamBody{.alias = 1, .topic = 1, .publisher = 1, .start = beyond, .incarnation = 1}).empty());
  EXPECT_TRUE(bytes(StreamBody{.alias = 1, .topic = 1, .publisher = 1, .start = beyond + 1, .incarnation = 1}).empty());
  EXPECT_TRUE(bytes(StreamBody{.alias = 1, .topic = 1, .publisher = 1, .start = ~0ull, .incarnation = 1}).empty());
  StreamBody later{.alias = 1, .topic = 1, .publisher = 1, .previous_last = kSequenceMax, .incarnation = 2};
  later.previous_incarnation = 1;
  EXPECT_FALSE(bytes(later).empty());
  later.previous_last = beyond;
  EXPECT_TRUE(bytes(later).empty());
  EXPECT_FALSE(bytes(ResumeBody{.publisher = 1, .next = beyond, .topic = 1, .incarnation = 1}).empty());
  EXPECT_TRUE(bytes(ResumeBody{.publisher = 1, .next = beyond + 1, .topic = 1, .incarnation = 1}).empty());
  EXPECT_FALSE(bytes(GapBody{.first = 1, .last = kSequenceMax, .stream = 1}).empty());
  EXPECT_TRUE(bytes(GapBody{.first = 1, .last = beyond, .stream = 1}).empty());
  EXPECT_TRUE(bytes(GapBody{.first = beyond, .last = kUnknownLast, .stream = 1}).empty());
  EXPECT_TRUE(
      bytes(InterestBody{.version = 1, .incarnation = 1, .op = InterestOp::add, .replay = 3, .filter = "a"}).empty());
  EXPECT_TRUE(
      bytes(InterestBody{.version = 1, .incarnation = 1, .op = InterestOp::add, .replay = 0, .filter = ""}).empty());
  EXPECT_TRUE(
      bytes(InterestBody{.version = 1, .incarnation = 1, .op = InterestOp::snapshot_end, .replay = 0, .filter = "a"})
          .empty());
  EXPECT_TRUE(bytes(GapBody{.first = 4, .last = 3, .stream = 1, .reason = 1}).empty());
  EXPECT_TRUE(bytes(AskBody{.what = 3}).empty());
  EXPECT_TRUE(bytes(BusyBody{.retry_after_ns = 0, .lane = 0, .number = 1, .reason = 0}).empty());
  auto topic = bytes(TopicBody{.alias = 1, .lane = 2, .name = "abc"});
  topic[5] = 1;  // reserved
  TopicBody out{};
  EXPECT_FALSE(decode(topic, out));
  topic[5] = 0;
  topic[6] = 2;  // length disagrees
  EXPECT_FALSE(decode(topic, out));
  SubscribedBody many{};
  const std::vector<std::uint64_t> ids(kHarboursMax + 1, 1);
  many.unreachable = many.total = kHarboursMax + 1;
  many.harbours = ids.data();
  EXPECT_TRUE(bytes(many).empty());
}

// Whatever decodes, encodes to the same bytes: nothing is carried that the structs do not hold.
template <typename Body>
int accepted_as_is(std::span<const std::uint8_t> in) {
  Body body{};
  if (!decode(in, body)) return 0;
  if constexpr (requires { body.encoded_ids; }) return 1;
  EXPECT_EQ(bytes(body), std::vector<std::uint8_t>(in.begin(), in.end()));
  return 1;
}

TEST(Control, RandomBytesDecodeToThemselvesOrNotAtAll) {
  std::mt19937_64 draw(7);
  int accepted = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::array<std::uint8_t, 48> raw{};
    for (auto& b : raw) b = static_cast<std::uint8_t>(draw() % 3 == 0 ? draw() : draw() % 4);
    const auto in = std::span(raw).first(draw() % (raw.size() + 1));
    accepted += accepted_as_is<TopicBody>(in) + accepted_as_is<StreamBody>(in) + accepted_as_is<InterestBody>(in) +
                accepted_as_is<SubscribedBody>(in) + accepted_as_is<ResumeBody>(in) + accepted_as_is<GapBody>(in) +
                accepted_as_is<BusyBody>(in) + accepted_as_is<GoneBody>(in) + accepted_as_is<AskBody>(in) +
                accepted_as_is<DetachedBody>(in);
  }
  EXPECT_GT(accepted, 1'000);
}

TEST(Names, TopicsAndFilters) {
  EXPECT_TRUE(valid_topic("ais/211234560/position"));
  for (const char* bad : {"", "/a", "a/", "a//b", "a/+", "#", "a\nb", "a\x7f"}) EXPECT_FALSE(valid_topic(bad)) << bad;
  for (const char* good : {"#", "+", "a/+/b", "a/#", "+/#", "a"}) EXPECT_TRUE(valid_filter(good)) << good;
  for (const char* bad : {"", "a/#/b", "a#", "a/b+", "+a", "/", "#/a"}) EXPECT_FALSE(valid_filter(bad)) << bad;
  EXPECT_TRUE(valid_topic(std::string_view("\xc3\xa9t\xc3\xa9")));
  EXPECT_EQ(depth_of("a"), 1u);
  EXPECT_EQ(depth_of("a/b/c"), 3u);
}

TEST(Names, Matching) {
  EXPECT_TRUE(filter_matches("ais/+/position", "ais/12/position"));
  EXPECT_FALSE(filter_matches("ais/+/position", "ais/12/static"));
  EXPECT_FALSE(filter_matches("ais/+/position", "ais/12/position/x"));
  EXPECT_FALSE(filter_matches("ais/+", "ais"));
  EXPECT_TRUE(filter_matches("berth/#", "berth/1/level"));
  EXPECT_TRUE(filter_matches("berth/#", "berth"));
  EXPECT_FALSE(filter_matches("berth/#", "berths"));
  EXPECT_TRUE(filter_matches("#", "x/y"));
  EXPECT_TRUE(filter_matches("+/+", "x/y"));
  EXPECT_FALSE(filter_matches("+", "x/y"));
  EXPECT_FALSE(filter_matches("a/b/c", "a/b"));
}

TEST(Names, DigestTellsFilterAndReplayApart) {
  EXPECT_NE(filter_digest("a", 0), filter_digest("a", 1));
  EXPECT_NE(filter_digest("a", 0), filter_digest("b", 0));
}

TEST(Control, AFilterCoversWhateverMatchesNoMore) {
  struct Case {
    const char* wide;
    const char* narrow;
    bool covers;
  };
  const Case cases[] = {
      {"#", "#", true},        {"#", "a/+/c", true},     {"a/#", "a", true},       {"a/#", "a/b/c", true},
      {"a/#", "a/#", true},    {"a/#", "a/+/#", true},   {"a/#", "#", false},      {"a/#", "+/b", false},
      {"a/#", "ab/c", false},  {"a/+", "a/b", true},     {"a/+", "a/+", true},     {"a/+", "a/#", false},
      {"a/+", "a", false},     {"a/+", "a/b/c", false},  {"+/b", "a/b", true},     {"+/b", "+/b", true},
      {"+/b", "+/+", false},   {"a", "a", true},         {"a", "+", false},        {"a", "a/b", false},
      {"a", "a/#", false},     {"+/#", "a", true},       {"+/#", "#", false},      {"+", "+/#", false},
      {"a/b/#", "a/#", false}, {"a/+/c", "a/b/c", true}, {"a/+/c", "a/b/+", false}};
  for (const Case& c : cases) EXPECT_EQ(filter_covers(c.wide, c.narrow), c.covers) << c.wide << " over " << c.narrow;
  // Against what it means: over all topics of up to three levels of a small alphabet.
  std::vector<std::string> topics, filters;
  const std::string words[] = {"a", "b", "c"}, parts[] = {"a", "b", "+"};
  for (const auto& x : words) {
    topics.push_back(x);
    for (const auto& y : words) {
      topics.push_back(x + "/" + y);
      for (const auto& z : words) topics.push_back(x + "/" + y + "/" + z);
    }
  }
  filters.push_back("#");
  for (const auto& x : parts) {
    filters.insert(filters.end(), {x, x + "/#"});
    for (const auto& y : parts) filters.insert(filters.end(), {x + "/" + y, x + "/" + y + "/#"});
  }
  for (const auto& wide : filters) {
    for (const auto& narrow : filters) {
      bool all = true;
      for (const auto& t : topics) all = all && (!filter_matches(narrow, t) || filter_matches(wide, t));
      // Four levels exist beyond these topics: only what ends in '#' reaches them.
      if (narrow.ends_with("#") && !wide.ends_with("#")) all = false;
      if (narrow == "#" && wide == "+/#") all = false;  // the same topics; but only '#' itself is held to cover '#'
      EXPECT_EQ(filter_covers(wide, narrow), all) << wide << " over " << narrow;
    }
  }
}

TEST(Control, DeniedRoundTrips) {
  DeniedBody in{7, 6, "a/+/#"};
  std::uint8_t bytes[64];
  const std::size_t n = encode(in, bytes);
  ASSERT_EQ(n, 16u + 5);
  DeniedBody out;
  ASSERT_TRUE(decode({bytes, n}, out));
  EXPECT_EQ(out.version, 7u);
  EXPECT_EQ(out.reason, 6u);
  EXPECT_EQ(out.filter, "a/+/#");
  EXPECT_FALSE(decode({bytes, n - 1}, out));
  EXPECT_FALSE(decode({bytes, 15}, out));
  bytes[12] = 1;  // reserved
  EXPECT_FALSE(decode({bytes, n}, out));
  in.reason = 0;
  EXPECT_EQ(encode(in, bytes), 0u);
}

}  // namespace
}  // namespace portolan::broker::wire
