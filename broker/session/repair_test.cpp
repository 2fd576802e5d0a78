// Loss: what one lost packet costs, that repair traffic stays below twice what was lost, that order of arrival is no
// loss, and that a lost ACK or a lost repair is only a delay.
#include <gtest/gtest.h>

#include "broker/session/test_wire.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

struct Case {
  std::uint64_t delay_ns;
  std::uint64_t interval_ns;  // between messages; 0: a single message, then silence
};

class IsolatedLoss : public ::testing::TestWithParam<Case> {};

// Loses the n-th data datagram for many n; the added delay is delivery minus when the lost packet would have come.
TEST_P(IsolatedLoss, AddsAtMostOneAndAHalfRoundTripsAndTwoMilliseconds) {
  const Case c = GetParam();
  auto wire = make_pair(c.delay_ns);
  wire->run_for(2'000 * kMs);
  Node& b = *wire->nodes[1];
  const std::uint64_t bound = 3 * c.delay_ns + 2 * kMs;  // RTT = 2 delays
  bool armed = false;
  wire->fate = [&](Wire::Packet& p) {
    if (armed && p.from == 0 && p.transmit.key_count != 0 && !p.transmit.retransmission) {
      armed = false;
      p.copies = 0;
    }
  };
  Draw draw{3};
  std::uint64_t worst = 0;
  for (std::uint64_t i = 0; i < 40; ++i) {
    // Some traffic, the loss, and traffic or silence behind it.
    const std::uint64_t around = c.interval_ns == 0 ? 0 : 5;
    for (std::uint64_t k = 0; k < around; ++k) {
      wire->send(0, Lane::realtime, "before", 1'000'000);
      wire->run_for(c.interval_ns);
    }
    armed = true;
    const std::uint64_t start = wire->now_ns;
    ASSERT_EQ(wire->send(0, Lane::realtime, "lost", i), SendResult::ok);
    wire->settle();
    ASSERT_FALSE(armed);
    for (std::uint64_t k = 0; k < around; ++k) {
      wire->run_for(c.interval_ns);
      wire->send(0, Lane::realtime, "after", 1'000'000);
    }
    const auto arrived = [&] {
      return std::any_of(b.got.begin(), b.got.end(), [&](const Got& g) { return g.sequence == i; });
    };
    ASSERT_TRUE(wire->run_for(5'000 * kMs, arrived));
    const auto it = std::find_if(b.got.begin(), b.got.end(), [&](const Got& g) { return g.sequence == i; });
    worst = std::max(worst, it->at_ns - start - c.delay_ns);
    wire->run_for(200 * kMs + draw.below(50 * kMs));
    b.got.clear();
  }
  EXPECT_LE(worst, bound) << "worst " << worst / 1000 << " us, bound " << bound / 1000;
}

INSTANTIATE_TEST_SUITE_P(Paths, IsolatedLoss,
                         ::testing::Values(Case{50'000, 0}, Case{50'000, kMs}, Case{kMs, 0}, Case{kMs, kMs / 2},
                                           Case{15 * kMs, 0}, Case{15 * kMs, kMs}, Case{15 * kMs, 50 * kMs},
                                           Case{60 * kMs, 0}, Case{60 * kMs, 3 * kMs}, Case{300 * kMs, 0}));

// Bursts that dwell in time: 20 ms bad, 380 ms good on average, so 5 %.
struct Bursts {
  Draw draw{17};
  std::uint64_t until = 0;
  bool bad = false;
  bool lost(std::uint64_t now) {
    while (now >= until) {
      bad = !bad;
      const std::uint64_t mean = bad ? 20 * kMs : 380 * kMs;
      until = std::max(until, now - std::min<std::uint64_t>(now, 10 * kMs)) + mean / 2 + draw.below(mean);
    }
    return bad;
  }
};

void bursty(std::uint64_t delay_ns, std::uint64_t gap_ns, std::size_t bytes, std::uint64_t count) {
  auto wire = make_pair(delay_ns, 100'000'000);
  wire->run_for(1'000 * kMs);
  Bursts forth, back;
  back.draw.state = 99;
  std::uint64_t lost = 0, data = 0;
  wire->fate = [&](Wire::Packet& p) {
    if (p.from == 0 && p.transmit.key_count != 0) data += p.bytes.size();
    if (!(p.from == 0 ? forth : back).lost(wire->now_ns)) return;
    p.copies = 0;
    if (p.from == 0 && p.transmit.key_count != 0) lost += p.bytes.size();
  };
  Node& b = *wire->nodes[1];
  std::uint64_t sent = 0;
  std::vector<std::uint64_t> sent_at;
  for (std::uint64_t i = 0; i < count; ++i) {
    sent_at.push_back(wire->now_ns);
    if (wire->send(0, Lane::realtime, text_of(i, bytes), i) == SendResult::ok) ++sent;
    wire->run_for(gap_ns);
  }
  EXPECT_TRUE(wire->run_for(5'000 * kMs, [&] { return b.got.size() == sent; }));
  EXPECT_EQ(b.got.size(), sent);
  EXPECT_EQ(sent, count);
  std::vector<std::uint64_t> added;
  for (const Got& got : b.got) added.push_back(got.at_ns - sent_at[got.sequence]);
  std::sort(added.begin(), added.end());
  const std::uint64_t p99 = added[added.size() * 99 / 100] - added.front();
  ::testing::Test::RecordProperty("p99_added_us", static_cast<int>(p99 / 1'000));
  EXPECT_LE(p99, 3 * 2 * delay_ns) << "p99 adds " << p99 / 1'000 << " us";
  const std::uint64_t repair = wire->nodes[0]->endpoint->counters().repair_bytes;
  EXPECT_GT(lost, data / 50);
  EXPECT_LT(repair, 2 * lost) << "lost " << lost << " repair " << repair << " of " << data;
  EXPECT_EQ(b.events.size(), 1u);
}

TEST(Repair, StaysBelowTwiceTheLossAtFivePercentBurstyShort) {
  bursty(15 * kMs, kMs, 200, 8'000);
}
TEST(Repair, StaysBelowTwiceTheLossAtFivePercentBurstySparse) {
  bursty(15 * kMs, 20 * kMs, 200, 2'000);
}
TEST(Repair, StaysBelowTwiceTheLossAtFivePercentBurstyLong) {
  bursty(15 * kMs, 20 * kMs, 64'000, 500);
}
TEST(Repair, StaysBelowTwiceTheLossAtFivePercentBurstyFarAway) {
  bursty(120 * kMs, 2 * kMs, 300, 4'000);
}

TEST(Repair, ReorderingWithinAQuarterOfTheRoundTripRepairsNothing) {
  auto wire = make_pair(20 * kMs);
  wire->run_for(500 * kMs);
  Draw draw{23};
  wire->fate = [&](Wire::Packet& p) { p.delay_ns += draw.below(8 * kMs); };
  for (std::uint64_t i = 0; i < 2'000; ++i) {
    ASSERT_EQ(wire->send(0, Lane::realtime, text_of(i, 100), i), SendResult::ok);
    wire->run_for(kMs / 2);
  }
  wire->run_for(500 * kMs);
  EXPECT_EQ(wire->nodes[1]->got.size(), 2'000u);
  EXPECT_LE(wire->nodes[0]->endpoint->counters().repair_datagrams, 2u);
}

TEST(Repair, ADoubledRoundTripRepairsAtMostOnePercentForNothing) {
  auto wire = make_pair(15 * kMs);
  wire->run_for(500 * kMs);
  for (std::uint64_t i = 0; i < 3'000; ++i) {
    if (i == 1'000) wire->delay_ns = 30 * kMs;
    ASSERT_EQ(wire->send(0, Lane::realtime, text_of(i, 100), i), SendResult::ok);
    wire->run_for(kMs);
  }
  wire->run_for(500 * kMs);
  EXPECT_EQ(wire->nodes[1]->got.size(), 3'000u);
  EXPECT_LE(wire->nodes[0]->endpoint->counters().repair_datagrams, 30u);
}

TEST(Repair, LostAcknowledgementsAreNoLoss) {
  auto wire = make_pair(15 * kMs);
  wire->run_for(500 * kMs);
  Draw draw{29};
  wire->fate = [&](Wire::Packet& p) {
    if (p.from == 1 && draw.below(100) < 40) p.copies = 0;
  };
  for (std::uint64_t i = 0; i < 2'000; ++i) {
    ASSERT_EQ(wire->send(0, Lane::realtime, text_of(i, 100), i), SendResult::ok);
    wire->run_for(2 * kMs);
  }
  wire->run_for(500 * kMs);
  Node& a = *wire->nodes[0];
  EXPECT_EQ(wire->nodes[1]->got.size(), 2'000u);
  EXPECT_EQ(a.endpoint->progress(a.up, Lane::realtime).admitted, 2'000u);
  EXPECT_LE(a.endpoint->counters().repair_datagrams, 20u);
}

// Far away and fast: before the gap is old enough to be reported, ACKs' own numbers beside a full window of data carry
// the peer's window past it.
TEST(Repair, APacketThatTheWindowHasForgottenIsLostNotAcknowledged) {
  Limits limits = Limits::sim_client();
  limits.window_packets = PTL_WINDOW_PACKETS;
  auto wire = make_pair(200 * kMs, 0, limits, 1'000 * kMs);
  wire->run_for(1'000 * kMs);
  std::uint64_t lost = 0, last = 0;
  wire->fate = [&](Wire::Packet& p) {
    if (p.from != 0) return;
    const auto frame = get<ptl_frame>(p.bytes.data());
    last = frame.packet;
    if (type_of(frame) != PTL_DATA || lost != 0) return;
    lost = frame.packet;
    p.copies = 0;
  };
  for (std::uint64_t i = 0; i < 4'000; ++i) {  // the other direction, so that there is something to acknowledge
    (void)wire->send(1, Lane::realtime, "answer me", i);
    wire->run_for(60'000);
  }
  std::uint64_t sent = 0;
  for (std::uint64_t i = 0; i < 20'000 && (lost == 0 || last - lost < PTL_WINDOW_PACKETS + 64); ++i) {
    if (i % 6 == 0) (void)wire->send(1, Lane::realtime, "answer me", i);
    if (wire->send(0, Lane::realtime, "on and on", sent) == SendResult::ok) ++sent;
    wire->run_for(10'000);
  }
  ASSERT_GE(last - lost, PTL_WINDOW_PACKETS + 64u);
  ASSERT_EQ(wire->nodes[0]->endpoint->counters().packets_lost, 0u);
  wire->run_for(5'000 * kMs);
  EXPECT_EQ(wire->nodes[1]->got.size(), sent);
  EXPECT_GE(wire->nodes[0]->endpoint->counters().packets_lost, 1u);
}

TEST(Repair, ALostRepairIsRepairedAgain) {
  auto wire = make_pair(10 * kMs);
  wire->run_for(500 * kMs);
  int kills = 4;  // the first transmission and its first three repairs
  wire->fate = [&](Wire::Packet& p) {
    if (p.from == 0 && p.transmit.key_count != 0 && kills > 0) {
      p.copies = 0;
      --kills;
    }
  };
  const std::uint64_t start = wire->now_ns;
  ASSERT_EQ(wire->send(0, Lane::ordered, "stubborn", 1), SendResult::ok);
  Node& b = *wire->nodes[1];
  ASSERT_TRUE(wire->run_for(2'000 * kMs, [&] { return b.got.size() == 1; }));
  EXPECT_EQ(kills, 0);
  EXPECT_TRUE(b.got[0].repaired);
  EXPECT_LE(wire->now_ns - start, 10 * kMs + 4 * (30 * kMs + 2 * kMs));
}

TEST(Repair, HeavyRandomLossLosesNothing) {
  auto wire = make_pair(10 * kMs, 50'000'000);
  wire->run_for(500 * kMs);
  Draw draw{31};
  wire->fate = [&](Wire::Packet& p) {
    if (draw.below(100) < 20) p.copies = 0;
  };
  Node& b = *wire->nodes[1];
  std::uint64_t sent = 0;
  for (std::uint64_t i = 0; i < 2'000; ++i) {
    if (wire->send(0, static_cast<Lane>(1 + i % 3), text_of(i, i % 50 == 0 ? 30'000 : 150), i) == SendResult::ok)
      ++sent;
    wire->run_for(2 * kMs);
  }
  EXPECT_TRUE(wire->run_for(5'000 * kMs, [&] { return b.got.size() == sent; }));
  EXPECT_EQ(b.got.size(), sent);
  EXPECT_EQ(b.events.size(), 1u);
}

}  // namespace
}  // namespace portolan::broker::session
