// The event loop keeps ns-3's order and ns-3's words: beside ns-3's own simulator it runs the same schedule alike.
#include "sim/lean/event_loop.hpp"

#include <gtest/gtest.h>
#include <ns3/simulator.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "scenarios/base/hash.hpp"
#include "sim/lean/scheduler.hpp"

namespace portolan::sim {
namespace {

TEST(EventQueue, TakesByTimeThenByWhoCameFirst) {
  struct Known {
    std::uint64_t ts;
    std::uint32_t uid;
  };
  EventQueue queue;
  std::vector<Known> model;
  std::uint64_t now = 0;
  std::uint32_t uid = 0;
  for (std::uint64_t i = 0; i < 200'000; ++i) {
    const std::uint64_t draw = draw64(7, 1, i, 0);
    if (model.empty() || (draw % 16 < 8 && model.size() < 300)) {
      // Most soon, some at once, some far away.
      const std::uint64_t ahead = (draw >> 8) % 4 == 0 ? 0 : (draw >> 16) >> (20 + (draw >> 10) % 28);
      queue.put({now + ahead, uid, 0, 0});
      model.push_back({now + ahead, uid++});
    } else if (draw % 16 < 10) {
      const auto at = static_cast<std::size_t>((draw >> 8) % model.size());
      Pending out;
      ASSERT_TRUE(queue.remove(model[at].ts, model[at].uid, out));
      ASSERT_EQ(out.uid, model[at].uid);
      model.erase(model.begin() + static_cast<std::ptrdiff_t>(at));
      ASSERT_FALSE(queue.remove(out.ts, out.uid, out));
    } else {
      const auto first = std::min_element(model.begin(), model.end(), [](const Known& a, const Known& b) {
        return a.ts != b.ts ? a.ts < b.ts : a.uid < b.uid;
      });
      const Pending out = queue.take();
      ASSERT_EQ(out.ts, first->ts);
      ASSERT_EQ(out.uid, first->uid);
      now = out.ts;
      model.erase(first);
    }
    ASSERT_EQ(queue.empty(), model.empty());
  }
}

// What a run leaves: who ran when, and what was still to come when it was stopped.
std::vector<std::string> a_schedule() {
  using ns3::Simulator;
  std::vector<std::string> out;
  const auto say = [&out](const std::string& what) {
    out.push_back(what + " " + std::to_string(Simulator::Now().GetNanoSeconds()));
  };
  std::vector<ns3::EventId> ids;
  for (int i = 0; i < 40; ++i) {
    ids.push_back(Simulator::Schedule(ns3::NanoSeconds(static_cast<std::uint64_t>(i % 7) * 100),
                                      [&say, i] { say("event " + std::to_string(i)); }));
  }
  Simulator::Schedule(ns3::NanoSeconds(150), [&] {
    for (std::size_t i = 0; i < ids.size(); i += 3) Simulator::Cancel(ids[i]);
    for (std::size_t i = 1; i < ids.size(); i += 3) Simulator::Remove(ids[i]);
    for (const ns3::EventId& id : ids) {
      say(std::string(id.IsExpired() ? "gone, left " : "waits, left ") +
          std::to_string(Simulator::GetDelayLeft(id).GetNanoSeconds()));
    }
    Simulator::ScheduleNow([&say] { say("now"); });
    Simulator::ScheduleWithContext(17, ns3::NanoSeconds(5), [&say] {
      say("in context " + std::to_string(Simulator::GetContext()));
      Simulator::Schedule(ns3::NanoSeconds(1), [&say] { say("inherits " + std::to_string(Simulator::GetContext())); });
    });
    at(160, [&say, own = std::make_unique<int>(3)] { say("task " + std::to_string(*own)); });
    at(10, [&say] { say("late task"); });
  });
  Simulator::ScheduleDestroy([&say] { say("destroyed"); });
  const ns3::EventId never = Simulator::ScheduleDestroy([&say] { say("never"); });
  say(never.IsExpired() ? "expired" : "stands");
  Simulator::Remove(never);
  say(never.IsExpired() ? "expired" : "stands");
  Simulator::Stop(ns3::NanoSeconds(500));
  Simulator::Run();
  say(Simulator::IsFinished() ? "finished" : "more to come");
  say("count " + std::to_string(Simulator::GetEventCount()));
  Simulator::Run();
  say("count " + std::to_string(Simulator::GetEventCount()));
  at(900, [&say, held = std::make_unique<int>(1)] { say("dropped with the rest " + std::to_string(*held)); });
  Simulator::Destroy();
  return out;
}

TEST(EventLoop, RunsAScheduleAsNs3DoesIt) {
  const std::vector<std::string> theirs = a_schedule();
  EventLoop::install();
  ASSERT_NE(EventLoop::installed(), nullptr);
  EXPECT_EQ(a_schedule(), theirs);
  EXPECT_EQ(EventLoop::installed(), nullptr);
  EXPECT_GT(theirs.size(), 60u);
}

}  // namespace
}  // namespace portolan::sim
