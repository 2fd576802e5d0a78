// The small parts by themselves: receive window, sent packets, pacer, timers, pools.
#include <gtest/gtest.h>

#include <set>

#include "broker/session/pacer.hpp"
#include "broker/session/pool.hpp"
#include "broker/session/receive_window.hpp"
#include "broker/session/rtt.hpp"
#include "broker/session/sent_packets.hpp"
#include "broker/session/test_wire.hpp"
#include "broker/session/timer_heap.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

struct Memory {
  std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(4u << 20);
  Arena arena{bytes.data(), bytes.size()};
};

// The numbers that an ACK says have come, by its own ranges.
std::set<std::uint64_t> told(const ReceiveWindow& window, AckBody& body) {
  AckRange ranges[kAckRangesMax];
  window.describe(body, ranges, kAckRangesMax);
  std::set<std::uint64_t> numbers;
  std::uint64_t at = body.contiguous;
  for (std::uint32_t i = 0; i < body.range_count; ++i) {
    at += ranges[i].gap;
    for (std::uint32_t k = 0; k < ranges[i].length; ++k) numbers.insert(++at);
  }
  return numbers;
}

TEST(ReceiveWindow, TellsExactlyWhatCame) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    ptl_window memory;
    ReceiveWindow window;
    window.reset(&memory);
    Draw draw{seed};
    std::set<std::uint64_t> came;
    for (std::uint64_t base = 1; base < 1'500; base += 10) {
      std::vector<std::uint64_t> batch;
      for (std::uint64_t n = base; n < base + 10; ++n) {
        if (draw.below(40) != 0) batch.push_back(n);
      }
      for (std::size_t i = batch.size(); i > 1; --i) std::swap(batch[i - 1], batch[draw.below(i)]);
      for (const std::uint64_t n : batch) {
        EXPECT_EQ(window.test(n), PTL_W_FRESH);
        EXPECT_TRUE(window.mark(n, base * kMs, kMs));
        EXPECT_FALSE(window.mark(n, base * kMs, kMs));
        came.insert(n);
      }
      AckBody body;
      const std::set<std::uint64_t> above = told(window, body);
      EXPECT_EQ(body.largest, *came.rbegin());
      std::uint64_t contiguous = 0;
      while (came.count(contiguous + 1) != 0) ++contiguous;
      EXPECT_EQ(body.contiguous, contiguous);
      if (body.range_count < kAckRangesMax) {
        EXPECT_EQ(above, std::set<std::uint64_t>(came.upper_bound(contiguous), came.end()));
      }
    }
  }
}

TEST(ReceiveWindow, AGapMaturesIsReportedOnceAndAgainWithBackOff) {
  ptl_window memory;
  ReceiveWindow window;
  window.reset(&memory);
  window.mark(1, 0, kMs);
  EXPECT_EQ(window.deadline(), kNever);
  window.mark(5, 10 * kMs, kMs);
  EXPECT_EQ(window.deadline(), 11 * kMs);
  window.mark(3, 10 * kMs + 1, kMs);
  EXPECT_FALSE(window.service(10 * kMs + 2, 8 * kMs));
  EXPECT_TRUE(window.service(11 * kMs, 8 * kMs));
  AckBody body;
  EXPECT_EQ(told(window, body), (std::set<std::uint64_t>{3, 5}));
  EXPECT_EQ(body.mature, 4u);
  EXPECT_FALSE(window.service(12 * kMs, 8 * kMs));
  EXPECT_EQ(window.deadline(), 19 * kMs);
  EXPECT_TRUE(window.service(19 * kMs, 8 * kMs));
  EXPECT_EQ(window.deadline(), 35 * kMs);  // backing off
  window.settle(4);                        // the sender has sent their content under other numbers
  EXPECT_EQ(window.contiguous(), 5u);
  EXPECT_FALSE(window.service(35 * kMs, 8 * kMs));
  EXPECT_EQ(window.deadline(), kNever);
}

TEST(ReceiveWindow, MereReorderingIsNeverReported) {
  ptl_window memory;
  ReceiveWindow window;
  window.reset(&memory);
  for (std::uint64_t n = 1; n < 10'000; n += 2) {
    window.mark(n + 1, n * kMs, 4 * kMs);
    EXPECT_FALSE(window.service(n * kMs, kMs));
    window.mark(n, n * kMs + 100, 4 * kMs);
    EXPECT_FALSE(window.service(n * kMs + 100, kMs));
  }
}

TEST(ReceiveWindow, ManyGapsMakeSeveralAcksFromBelow) {
  ptl_window memory;
  ReceiveWindow window;
  window.reset(&memory);
  for (std::uint64_t n = 2; n <= 1'000; n += 2) window.mark(n, 0, kMs);
  AckBody body;
  const auto first = told(window, body);
  EXPECT_EQ(body.range_count, kAckRangesMax);
  EXPECT_EQ(*first.rbegin(), 2u * kAckRangesMax);
  window.settle(2 * kAckRangesMax);
  EXPECT_EQ(*told(window, body).begin(), 2u * kAckRangesMax + 2);
}

TEST(SentPackets, MatchesAPlainModel) {
  Memory memory;
  SentPages pool;
  pool.build(memory.arena, 40);
  std::uint32_t table[16];
  SentPackets sent;
  sent.reset(table, 16);
  std::set<std::uint64_t> open;
  Draw draw{9};
  for (int step = 0; step < 200'000; ++step) {
    const std::uint64_t what = draw.below(10);
    if (what < 4) {
      if (sent.room(pool)) {
        SentPacket packet;
        packet.content = static_cast<std::uint32_t>(sent.next());
        open.insert(sent.next());
        sent.add(pool, packet);
      }
    } else if (what < 6) {
      sent.skip();
    } else if (!open.empty()) {
      auto it = open.begin();
      if (what < 9 && open.size() > 1)
        std::advance(it, static_cast<long>(draw.below(std::min<std::size_t>(open.size(), 20))));
      SentPacket* packet = sent.find(pool, *it);
      ASSERT_NE(packet, nullptr);
      EXPECT_EQ(packet->content, static_cast<std::uint32_t>(*it));
      sent.settle(pool, *it);
      EXPECT_EQ(sent.find(pool, *it), nullptr);
      open.erase(it);
    }
    EXPECT_EQ(sent.open(), open.size());
    EXPECT_EQ(sent.settled(), open.empty() ? sent.next() - 1 : *open.begin() - 1);
  }
  std::vector<std::uint64_t> all;
  sent.for_open(pool, 1, ~0ull >> 1, [&](std::uint64_t n) { all.push_back(n); });
  EXPECT_EQ(all, std::vector<std::uint64_t>(open.begin(), open.end()));
  sent.clear(pool);
  for (std::uint32_t i = 0; i < 40; ++i) EXPECT_NE(pool.take(), kNil) << "a page leaked";
}

// What the pacer lets go stays within the bound that runs are judged by, at any rate; who does not ask it does not.
TEST(RepairWindow, APacedSenderKeepsTheBoundAndAHastyOneBreaksIt) {
  const std::uint64_t rates[] = {8'000, 200'000, 1'000'000, 2'000'000, 250'000'000, 10'000'000'000};
  for (std::uint64_t i = 0; i < 3 * std::size(rates); ++i) {
    const std::uint64_t rate = rates[i / 3];
    const std::uint64_t bytes = i % 3 == 0 ? 100 : i % 3 == 1 ? 1'400 : 4'072;
    Pacer pacer;
    pacer.reset(rate, kRepairBurstNs);
    RepairWindow paced, hasty;
    std::uint64_t now = 5'000'000'000;
    for (int k = 0; k < 5'000; ++k) {
      now = std::max(now, pacer.ready_at());
      pacer.charge(now, bytes);
      paced.sent(now, bytes, rate);
      ASSERT_LE(paced.used(), paced.bound()) << rate << " bit/s, datagram " << k << " of " << bytes << " bytes";
    }
    bool broken = false;
    for (std::uint64_t k = 0; k < 1'000'000 && !broken; ++k) {
      hasty.sent(5'000'000'000 + k * 5, bytes, rate);
      broken = hasty.used() > hasty.bound();
    }
    EXPECT_TRUE(broken) << rate;
  }
}

TEST(Pacer, KeepsTheRateAndBoundsTheBurst) {
  Pacer pacer;
  pacer.reset(8'000'000, kMs);  // a byte each us
  std::uint64_t now = 1'000 * kMs;
  std::uint64_t bytes = 0;
  const std::uint64_t start = now;
  int at_once = 0;
  while (pacer.ready(now)) {
    pacer.charge(now, 1'000);
    bytes += 1'000;
    ++at_once;
  }
  EXPECT_LE(at_once, 5);
  while (now < start + 1'000 * kMs) {
    now = std::max(now, pacer.ready_at());
    pacer.charge(now, 1'000);
    bytes += 1'000;
  }
  EXPECT_NEAR(static_cast<double>(bytes), 1'000'000.0, 6'000.0);
}

TEST(TimerHeap, GivesTheEarliestAndTiesToTheLowerIndex) {
  Memory memory;
  TimerHeap heap;
  heap.build(memory.arena, 50);
  std::vector<std::uint64_t> due(50, kNever);
  Draw draw{4};
  for (int i = 0; i < 20'000; ++i) {
    const auto at = static_cast<std::uint32_t>(draw.below(50));
    due[at] = draw.below(3) == 0 ? kNever : draw.below(30);
    heap.set(at, due[at]);
    const auto least = std::min_element(due.begin(), due.end());
    ASSERT_EQ(heap.earliest(), *least);
    ASSERT_EQ(heap.first(), static_cast<std::uint32_t>(least - due.begin()));
  }
}

TEST(Rtt, HeartbeatsFollowTheTable) {
  Rtt rtt;
  for (int i = 0; i < 50; ++i) rtt.sample(4 * kMs);
  EXPECT_EQ(rtt.heartbeat(0, 4 * kMs), kMs / 2);
  EXPECT_EQ(rtt.heartbeat(1, 4 * kMs), 2 * kMs);
  EXPECT_EQ(rtt.heartbeat(2, 4 * kMs), 4 * kMs);
  Rtt near, far;
  for (int i = 0; i < 50; ++i) {
    near.sample(100'000);
    far.sample(200 * kMs);
  }
  EXPECT_EQ(near.heartbeat(0, 100'000), 250'000u);
  EXPECT_EQ(near.heartbeat(5, 100'000), 250'000u);
  EXPECT_EQ(far.heartbeat(0, 200 * kMs), kMs);
}

// A line at its limit was filled by heartbeats: one behind each message, as large as the message.
TEST(Rtt, HeartbeatsTakeTheirTimeBehindAQueue) {
  Rtt rtt;
  for (int i = 0; i < 50; ++i) rtt.sample(60 * kMs);
  EXPECT_EQ(rtt.heartbeat(0, 60 * kMs), kMs);
  EXPECT_EQ(rtt.heartbeat(0, 59 * kMs), kMs);
  EXPECT_EQ(rtt.heartbeat(0, 40 * kMs), 10 * kMs);  // half of what waits
  EXPECT_EQ(rtt.heartbeat(0, 20 * kMs), 15 * kMs);  // a quarter of the round trip, no more
  EXPECT_EQ(rtt.heartbeat(0, 80 * kMs), kMs);
  EXPECT_EQ(rtt.heartbeat(1, 20 * kMs), 30 * kMs);
}

TEST(Bodies, KeepAndGiveBack) {
  Memory memory;
  Bodies bodies;
  bodies.build(memory.arena, 30);
  const std::string text = text_of(1, 1'200);
  const auto* data = reinterpret_cast<const std::uint8_t*>(text.data());
  const std::uint32_t a = bodies.keep(data, 1'200);
  ASSERT_NE(a, kNil);
  EXPECT_EQ(bodies.keep(data, 1'200), kNil);
  std::uint8_t back[1'200];
  bodies.copy(a, back, 1'200);
  EXPECT_EQ(std::string(back, back + 1'200), text);
  bodies.drop(a);
  EXPECT_EQ(bodies.free(), 30u);
}

}  // namespace
}  // namespace portolan::broker::session
