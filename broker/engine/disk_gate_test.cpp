// The disk seam, by a toy log that acknowledges an append only once it and all before it are durable: completions that
// come late, out of order, twice, failed, full.
#include "broker/engine/disk_gate.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <string>
#include <vector>

namespace portolan::broker {
namespace {

// What a replicated log will do, without replication: bytes go out through the gate, answers wait for it.
class ToyLog {
 public:
  explicit ToyLog(std::uint32_t writes_max)
      : memory_(64 << 10), arena_(memory_.data(), memory_.size()), gate_(arena_, writes_max) {}
  bool append(std::uint64_t id, const std::string& text) {
    kept_.push_back({text.begin(), text.end()});  // stable until the gate has passed it (a deque does not move)
    const std::uint64_t position = gate_.submit(end_, kept_.back(), true);
    if (position == 0) {
      kept_.pop_back();
      return false;
    }
    end_ += text.size();
    waiting_.push_back({position, id});
    return true;
  }
  std::vector<std::uint64_t> answers() {  // what may leave by now
    std::vector<std::uint64_t> out;
    while (!waiting_.empty() && gate_.passed(waiting_.front().first)) {
      out.push_back(waiting_.front().second);
      waiting_.pop_front();
      kept_.pop_front();
    }
    return out;
  }
  DiskGate& gate() { return gate_; }

 private:
  std::vector<std::uint8_t> memory_;
  Arena arena_;
  DiskGate gate_;
  std::deque<std::vector<std::uint8_t>> kept_;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> waiting_;
  std::uint64_t end_ = 0;
};

using Ids = std::vector<std::uint64_t>;

std::vector<DiskRequest> take(DiskGate& gate) {
  std::vector<DiskRequest> out;
  DiskRequest w;
  while (gate.poll(w)) out.push_back(w);
  return out;
}

TEST(DiskGate, AnAnswerLeavesOnlyAfterItsWrite) {
  ToyLog log(8);
  ASSERT_TRUE(log.append(1, "one"));
  EXPECT_EQ(log.answers(), Ids{});
  const auto writes = take(log.gate());
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_EQ(std::string(writes[0].bytes.begin(), writes[0].bytes.end()), "one");
  EXPECT_TRUE(writes[0].sync);
  EXPECT_EQ(log.answers(), Ids{});  // late
  EXPECT_TRUE(log.gate().done(writes[0].token, DiskResult::ok));
  EXPECT_EQ(log.answers(), Ids{1});
}

TEST(DiskGate, OutOfOrderCompletionsReleaseInOrder) {
  ToyLog log(8);
  for (std::uint64_t i = 1; i <= 4; ++i) log.append(i, "x");
  const auto w = take(log.gate());
  EXPECT_EQ(w[3].offset, 3u);
  log.gate().done(w[3].token, DiskResult::ok);
  log.gate().done(w[1].token, DiskResult::ok);
  EXPECT_EQ(log.answers(), Ids{});
  log.gate().done(w[0].token, DiskResult::ok);
  EXPECT_EQ(log.answers(), (Ids{1, 2}));
  log.gate().done(w[2].token, DiskResult::ok);
  EXPECT_EQ(log.answers(), (Ids{3, 4}));
}

TEST(DiskGate, AFailureHoldsTheGateUntilTheWriteIsRepeated) {
  ToyLog log(8);
  for (std::uint64_t i = 1; i <= 3; ++i) log.append(i, "x");
  auto w = take(log.gate());
  log.gate().done(w[0].token, DiskResult::ok);
  log.gate().done(w[1].token, DiskResult::full);
  log.gate().done(w[2].token, DiskResult::ok);
  EXPECT_EQ(log.answers(), Ids{1});
  EXPECT_EQ(log.gate().failed(), w[1].token);
  EXPECT_EQ(log.gate().failure(), DiskResult::full);
  EXPECT_TRUE(take(log.gate()).empty());
  log.gate().retry();
  w = take(log.gate());
  ASSERT_EQ(w.size(), 1u);  // only the failed one goes out again
  log.gate().done(w[0].token, DiskResult::ok);
  EXPECT_EQ(log.answers(), (Ids{2, 3}));
  EXPECT_EQ(log.gate().failed(), 0u);
}

TEST(DiskGate, UnknownAndRepeatedCompletionsAreCountedOnly) {
  ToyLog log(8);
  EXPECT_FALSE(log.gate().done(1, DiskResult::ok));
  log.append(1, "x");
  EXPECT_FALSE(log.gate().done(1, DiskResult::ok));  // not even given out yet
  const auto w = take(log.gate());
  EXPECT_TRUE(log.gate().done(w[0].token, DiskResult::ok));
  EXPECT_FALSE(log.gate().done(w[0].token, DiskResult::failed));
  EXPECT_EQ(log.answers(), Ids{1});
  EXPECT_EQ(log.gate().unknown_completions(), 3u);
}

TEST(DiskGate, IsBoundedAndUsableForEver) {
  ToyLog log(4);
  std::uint64_t state = 3, submitted = 0;
  Ids answered;
  std::vector<DiskRequest> under_way;
  while (answered.size() < 10'000) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    if (log.append(submitted + 1, "abc")) ++submitted;
    ASSERT_LE(submitted - answered.size(), 4u);
    for (const DiskRequest& w : take(log.gate())) under_way.push_back(w);
    if (!under_way.empty()) {
      const std::size_t pick = (state >> 33) % under_way.size();
      const DiskResult result = (state >> 20) % 8 == 0 ? DiskResult::failed : DiskResult::ok;
      EXPECT_TRUE(log.gate().done(under_way[pick].token, result));
      under_way.erase(under_way.begin() + static_cast<std::ptrdiff_t>(pick));
      if (log.gate().failed() != 0) log.gate().retry();
    }
    for (const std::uint64_t id : log.answers()) {
      answered.push_back(id);
      ASSERT_EQ(id, answered.size());
    }
  }
}

}  // namespace
}  // namespace portolan::broker
