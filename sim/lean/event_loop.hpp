// The run's event loop: an implementation of ns-3's simulator (SimulatorImpl, what --SimulatorImplementationType
// chooses among), so that everything of ns-3 schedules here as it would in its own, and `at` (scheduler.hpp) without
// ns-3's bookkeeping for each event. Order is ns-3's: by time, then by who came first. One thread; installed once a
// run.
//
// The queue is a radix heap: events are kept by the highest bit in which their time differs from that of the last one
// taken, so that putting one in is an append and each moves down a few times at most (Ahuja, Mehlhorn, Orlin, Tarjan:
// Faster algorithms for the shortest path problem, 1990). It needs what a simulator always gives: nothing is scheduled
// before the last one taken.
#pragma once

#include <ns3/event-impl.h>
#include <ns3/simulator-impl.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <list>
#include <vector>

namespace portolan::sim {

// What `at` schedules: runs once and is gone; or is dropped.
class Task {
 public:
  virtual void run_and_end() = 0;
  virtual void end() = 0;

 protected:
  ~Task() = default;
};

struct Pending {
  std::uint64_t ts = 0;
  std::uint32_t uid = 0;  // ns-3's, for EventId only: the queue itself keeps the order of coming
  std::uint32_t context = 0;
  std::uintptr_t what = 0;  // EventImpl*, or Task* with the lowest bit set
};

class EventQueue {
 public:
  bool empty() const { return used_ == 0; }
  void put(const Pending& event) {
    const std::size_t bucket = bucket_of(event.ts);
    buckets_[bucket].push_back(event);
    used_ |= bit(bucket);
  }
  Pending take();
  // False when it is not there.
  bool remove(std::uint64_t ts, std::uint32_t uid, Pending& out);

 private:
  // Bucket 0: the time of the last event; b: the highest bit that differs is b - 1. ns-3's times have 63 bits.
  static constexpr std::size_t kBuckets = 64;
  static constexpr std::uint64_t bit(std::size_t bucket) { return std::uint64_t{1} << bucket; }
  std::size_t bucket_of(std::uint64_t ts) const { return static_cast<std::size_t>(std::bit_width(ts ^ last_)); }
  void bring_down(std::size_t bucket);
  void drop_front();

  std::array<std::vector<Pending>, kBuckets> buckets_;
  std::uint64_t used_ = 0;  // bit b: bucket b holds some
  std::uint64_t last_ = 0;
  std::size_t front_ = 0;  // of bucket 0: taken so far
};

class EventLoop final : public ns3::SimulatorImpl {
 public:
  static ns3::TypeId GetTypeId();
  // From here on ns3::Simulator and `at` mean this loop, until ns3::Simulator::Destroy. Before anything is scheduled.
  static void install();
  static EventLoop* installed() { return installed_; }
  ~EventLoop() override;

  std::uint64_t now_ns() const { return now_; }
  void add(std::uint64_t when_ns, Task* task) {
    queue_.put({when_ns, uid_++, context_, reinterpret_cast<std::uintptr_t>(task) | kTask});
  }

  void Destroy() override;
  bool IsFinished() const override { return queue_.empty() || stopped_; }
  void Stop() override { stopped_ = true; }
  void Stop(const ns3::Time& delay) override;
  ns3::EventId Schedule(const ns3::Time& delay, ns3::EventImpl* event) override;
  void ScheduleWithContext(std::uint32_t context, const ns3::Time& delay, ns3::EventImpl* event) override;
  ns3::EventId ScheduleNow(ns3::EventImpl* event) override { return Schedule(ns3::Time(0), event); }
  ns3::EventId ScheduleDestroy(ns3::EventImpl* event) override;
  void Remove(const ns3::EventId& id) override;
  void Cancel(const ns3::EventId& id) override;
  bool IsExpired(const ns3::EventId& id) const override;
  void Run() override;
  ns3::Time Now() const override { return ns3::TimeStep(now_); }
  ns3::Time GetDelayLeft(const ns3::EventId& id) const override;
  ns3::Time GetMaximumSimulationTime() const override { return ns3::TimeStep(0x7FFF'FFFF'FFFF'FFFFull); }
  void SetScheduler(ns3::ObjectFactory) override {}  // it is its own
  std::uint32_t GetSystemId() const override { return 0; }
  std::uint32_t GetContext() const override { return context_; }
  std::uint64_t GetEventCount() const override { return count_; }

 protected:
  void DoDispose() override;

 private:
  static constexpr std::uintptr_t kTask = 1;
  std::uint32_t put(std::uint32_t context, const ns3::Time& delay, ns3::EventImpl* event);
  static inline EventLoop* installed_ = nullptr;

  EventQueue queue_;
  std::uint64_t now_ = 0, count_ = 0;
  std::uint32_t uid_ = ns3::EventId::VALID, current_uid_ = 0;
  std::uint32_t context_ = 0xFFFF'FFFFu;  // ns-3's "no context"
  bool stopped_ = false;
  std::list<ns3::EventId> at_the_end_;
};

}  // namespace portolan::sim
