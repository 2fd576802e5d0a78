#include "sim/lean/event_loop.hpp"

#include <ns3/simulator.h>

#include <algorithm>

namespace portolan::sim {

Pending EventQueue::take() {
  if (const auto bucket = static_cast<std::size_t>(std::countr_zero(used_)); bucket != 0) bring_down(bucket);
  const Pending event = buckets_[0][front_++];
  drop_front();
  return event;
}

// All buckets below are empty: what moves there keeps its order.
void EventQueue::bring_down(std::size_t bucket) {
  std::vector<Pending>& from = buckets_[bucket];
  if (from.size() == 1) {
    last_ = from[0].ts;
    buckets_[0].push_back(from[0]);
    used_ |= bit(0);
  } else {
    last_ =
        std::min_element(from.begin(), from.end(), [](const Pending& a, const Pending& b) { return a.ts < b.ts; })->ts;
    for (const Pending& event : from) put(event);
  }
  from.clear();
  used_ &= ~bit(bucket);
}

void EventQueue::drop_front() {
  if (front_ < buckets_[0].size()) return;
  buckets_[0].clear();
  front_ = 0;
  used_ &= ~bit(0);
}

bool EventQueue::remove(std::uint64_t ts, std::uint32_t uid, Pending& out) {
  const std::size_t bucket = bucket_of(ts);
  std::vector<Pending>& in = buckets_[bucket];
  for (std::size_t i = bucket == 0 ? front_ : 0; i < in.size(); ++i) {
    if (in[i].uid != uid || in[i].ts != ts) continue;
    out = in[i];
    in.erase(in.begin() + static_cast<std::ptrdiff_t>(i));
    if (bucket == 0) {
      drop_front();
    } else if (in.empty()) {
      used_ &= ~bit(bucket);
    }
    return true;
  }
  return false;
}

ns3::TypeId EventLoop::GetTypeId() {
  static const ns3::TypeId id =
      ns3::TypeId("portolan::EventLoop").SetParent<ns3::SimulatorImpl>().AddConstructor<EventLoop>();
  return id;
}

void EventLoop::install() {
  const auto loop = ns3::CreateObject<EventLoop>();
  ns3::Simulator::SetImplementation(loop);
  installed_ = ns3::PeekPointer(loop);
}

EventLoop::~EventLoop() {
  if (installed_ == this) installed_ = nullptr;
}

void EventLoop::DoDispose() {
  while (!queue_.empty()) {
    const Pending event = queue_.take();
    if ((event.what & kTask) != 0) {
      reinterpret_cast<Task*>(event.what & ~kTask)->end();
    } else {
      reinterpret_cast<ns3::EventImpl*>(event.what)->Unref();
    }
  }
  if (installed_ == this) installed_ = nullptr;
  ns3::SimulatorImpl::DoDispose();
}

void EventLoop::Destroy() {
  while (!at_the_end_.empty()) {
    const ns3::Ptr<ns3::EventImpl> event = at_the_end_.front().PeekEventImpl();
    at_the_end_.pop_front();
    if (!event->IsCancelled()) event->Invoke();
  }
}

void EventLoop::Run() {
  stopped_ = false;
  while (!queue_.empty() && !stopped_) {
    const Pending event = queue_.take();
    now_ = event.ts;
    current_uid_ = event.uid;
    context_ = event.context;
    ++count_;
    if ((event.what & kTask) != 0) {
      reinterpret_cast<Task*>(event.what & ~kTask)->run_and_end();
    } else {
      auto* impl = reinterpret_cast<ns3::EventImpl*>(event.what);
      impl->Invoke();
      impl->Unref();
    }
  }
}

void EventLoop::Stop(const ns3::Time& delay) {
  ns3::Simulator::Schedule(delay, &ns3::Simulator::Stop);
}

std::uint32_t EventLoop::put(std::uint32_t context, const ns3::Time& delay, ns3::EventImpl* event) {
  const std::uint32_t uid = uid_++;
  queue_.put(
      {now_ + static_cast<std::uint64_t>(delay.GetTimeStep()), uid, context, reinterpret_cast<std::uintptr_t>(event)});
  return uid;
}

ns3::EventId EventLoop::Schedule(const ns3::Time& delay, ns3::EventImpl* event) {
  const std::uint32_t uid = put(context_, delay, event);
  return {ns3::Ptr<ns3::EventImpl>(event), now_ + static_cast<std::uint64_t>(delay.GetTimeStep()), context_, uid};
}

void EventLoop::ScheduleWithContext(std::uint32_t context, const ns3::Time& delay, ns3::EventImpl* event) {
  put(context, delay, event);
}

ns3::EventId EventLoop::ScheduleDestroy(ns3::EventImpl* event) {
  at_the_end_.emplace_back(ns3::Ptr<ns3::EventImpl>(event, false), now_, 0xFFFF'FFFFu, ns3::EventId::DESTROY);
  return at_the_end_.back();
}

void EventLoop::Remove(const ns3::EventId& id) {
  if (id.GetUid() == ns3::EventId::DESTROY) {
    at_the_end_.remove(id);
    return;
  }
  Pending event;
  if (IsExpired(id) || !queue_.remove(id.GetTs(), id.GetUid(), event)) return;
  auto* impl = reinterpret_cast<ns3::EventImpl*>(event.what);
  impl->Cancel();
  impl->Unref();
}

void EventLoop::Cancel(const ns3::EventId& id) {
  if (!IsExpired(id)) id.PeekEventImpl()->Cancel();
}

bool EventLoop::IsExpired(const ns3::EventId& id) const {
  if (id.PeekEventImpl() == nullptr || id.PeekEventImpl()->IsCancelled()) return true;
  if (id.GetUid() == ns3::EventId::DESTROY) {
    return std::find(at_the_end_.begin(), at_the_end_.end(), id) == at_the_end_.end();
  }
  return id.GetTs() < now_ || (id.GetTs() == now_ && id.GetUid() <= current_uid_);
}

ns3::Time EventLoop::GetDelayLeft(const ns3::EventId& id) const {
  return IsExpired(id) ? ns3::TimeStep(0) : ns3::TimeStep(id.GetTs() - now_);
}

}  // namespace portolan::sim
