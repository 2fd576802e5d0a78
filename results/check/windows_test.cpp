// What a window of a run shows: windows that begin within a second, links without traffic, and those who got nothing.
#include "results/check/windows.hpp"

#include <gtest/gtest.h>

#include "results/testdata/honest_run.hpp"

namespace portolan::check {
namespace {

using honest::kMs;
using honest::kSecond;
using plan::ExpectKind;

class WindowsTest : public testing::Test {
 protected:
  WindowsTest() {
    run_.plan = honest::small_plan();
    run_.plan.duration_ns = 10 * kSecond;
  }

  // A second of link 0 with so much of 1,000 bytes in use.
  void second(int n, std::uint64_t carried) {
    if (links_.empty()) links_.push_back({});
    LinkSecond s;
    s.from = n * kSecond, s.to = (n + 1) * kSecond;
    s.carried = carried, s.capacity = 1'000, s.queue_bytes_max = carried;
    links_[0].seconds.push_back(s);
  }

  // What came to a process of a topic of a publisher in the fifth second.
  void came(Index subscriber, Index topic, Index publisher, std::uint32_t bytes) {
    Subscriber s;
    s.process = subscriber;
    Received r;
    r.process = publisher, r.topic = topic;
    s.received.push_back(r);
    s.samples.push_back({{5 * kSecond, kMs, bytes}});
    subscribers_.push_back(s);
  }

  std::optional<std::int64_t> measure(ExpectKind kind, Ns after, Ns until, std::uint64_t reference = 0,
                                      plan::Between between = plan::Between::topics) const {
    plan::Expectation e;
    e.kind = kind, e.filter = "#", e.link = 0, e.reference = reference, e.between = between;
    e.after_ns = after, e.until_ns = until;
    return Windows(run_, subscribers_, links_, audit_).measure(e);
  }

  RunFiles run_;
  std::vector<Subscriber> subscribers_;
  std::vector<LinkWay> links_;
  Audit audit_;
};

TEST_F(WindowsTest, AFullWireIsFullInAWindowThatBeginsWithinASecond) {
  for (int n = 0; n < 10; ++n) second(n, 1'000);
  EXPECT_EQ(measure(ExpectKind::utilisation_least, kSecond, 3 * kSecond), 1'000'000);
  EXPECT_EQ(measure(ExpectKind::utilisation_least, 1500 * kMs, 3500 * kMs), 1'000'000);
  EXPECT_EQ(measure(ExpectKind::utilisation_least, 1500 * kMs, 1900 * kMs), std::nullopt);  // no whole second
}

TEST_F(WindowsTest, SecondsWithoutTrafficCountAsIdle) {
  second(4, 1'000);
  EXPECT_EQ(measure(ExpectKind::utilisation_most, 4 * kSecond, 8 * kSecond), 250'000);
  EXPECT_EQ(measure(ExpectKind::utilisation_most, 6 * kSecond, 8 * kSecond), 0);
  EXPECT_EQ(measure(ExpectKind::queue, 6 * kSecond, 8 * kSecond, 500), 0);
  EXPECT_EQ(measure(ExpectKind::queue, 4 * kSecond, 8 * kSecond, 500), 2'000);
}

TEST_F(WindowsTest, ARunnerWithoutLinkRowsDecidesNothing) {
  EXPECT_EQ(measure(ExpectKind::utilisation_most, 4 * kSecond, 8 * kSecond), std::nullopt);
  EXPECT_EQ(measure(ExpectKind::queue, 4 * kSecond, 8 * kSecond, 500), std::nullopt);
}

TEST_F(WindowsTest, WhoGotNothingIsNotFairlyServed) {
  const plan::Plan& p = run_.plan;
  // Of all that the plan joins, one stream alone comes, to one subscriber.
  const plan::Stream& only = p.streams[0];
  Index one = plan::kNone;
  for (Index c = 0; c < p.processes.size() && one == plan::kNone; ++c) {
    for (const auto& s : p.processes[c].subscriptions) {
      if (p.processes[c].tenant == p.topics[only.topic].tenant &&
          plan::filter_matches(s.filter, p.topics[only.topic].name))
        one = c;
    }
  }
  ASSERT_NE(one, plan::kNone);
  came(one, only.topic, only.process, 8'000);
  EXPECT_EQ(measure(ExpectKind::goodput, 4 * kSecond, 6 * kSecond, 8'000), 0);
  const auto topics = measure(ExpectKind::fairness, 4 * kSecond, 6 * kSecond);
  ASSERT_TRUE(topics.has_value());
  EXPECT_LT(*topics, 600'000);
  const auto publishers = measure(ExpectKind::fairness, 4 * kSecond, 6 * kSecond, 0, plan::Between::publishers);
  ASSERT_TRUE(publishers.has_value());
  EXPECT_LT(*publishers, 600'000);
}

}  // namespace
}  // namespace portolan::check
