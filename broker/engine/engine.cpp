// Engine: the public face over Core, and where everything is cut from the arena.
#include "broker/engine.hpp"

#include <new>

#include "broker/engine/core.hpp"
#include "broker/engine/disk_gate.hpp"

namespace portolan::broker {
namespace {

constexpr std::uint32_t kDiskWritesMax = 256;

}  // namespace

struct Engine::State {
  State(const Limits& limits, const EngineConfig& config, Arena& arena)
      : core(limits, config, arena), disk(arena, kDiskWritesMax) {}
  core::Core core;
  DiskGate disk;
};

std::size_t Engine::bytes_needed(const Limits& limits, std::span<const TopicRule> topics) {
  Arena dry(nullptr, 0);
  EngineConfig config;
  config.topics = topics;
  const State state(limits, config, dry);
  constexpr std::size_t kRules = 1u << 16;  // for a few topic rules where they are not named here
  return dry.used() + sizeof(State) + alignof(State) + kRules;
}

Engine::Engine(const Limits& limits, const EngineConfig& config, std::span<std::uint8_t> memory) {
  const auto at = reinterpret_cast<std::uintptr_t>(memory.data());
  const std::size_t skip = (alignof(State) - at % alignof(State)) % alignof(State);
  if (memory.size() < skip + sizeof(State)) return;
  Arena arena(memory.data() + skip + sizeof(State), memory.size() - skip - sizeof(State));
  s_ = new (memory.data() + skip) State(limits, config, arena);
  if (arena.short_of_memory()) {
    s_->~State();
    s_ = nullptr;
  }
}

Engine::~Engine() {
  if (s_ != nullptr) s_->~State();
}

void Engine::receive(Now now, PathId path, std::span<const DatagramView> datagrams, std::span<Verdict> verdicts) {
  s_->core.receive(now, path, datagrams, verdicts);
}
void Engine::segment_ready(Now now, SessionId session, std::uint32_t) {
  s_->core.segment_ready(now, session);
}
// `read` is for recovery of ordered topics' logs; realtime asks for none.
void Engine::disk_done(Now, std::uint64_t token, DiskResult result, std::span<const std::uint8_t> /*read*/) {
  s_->disk.done(token, result);
}
void Engine::tick(Now now) {
  s_->core.tick(now);
}
void Engine::drain(Now now) {
  s_->core.drain(now);
}
bool Engine::poll_transmit(Now now, Transmit& out) {
  return s_->core.poll_transmit(now, out);
}
void Engine::release_transmit(std::uint32_t handle) {
  s_->core.endpoint().release_transmit(handle);
}
bool Engine::poll_disk(DiskRequest& out) {
  return s_->disk.poll(out);
}
bool Engine::poll_event(Event& out) {
  return s_->core.poll_event(out);
}
std::uint64_t Engine::next_deadline() const {
  return s_->core.next_deadline();
}
bool Engine::more_work() const {
  return s_->core.more_work;
}
std::span<const TopicCounters> Engine::topic_counters() const {
  return s_->core.topic_counters();
}
const EngineCounters& Engine::counters() const {
  return s_->core.counters;
}
const EndpointCounters& Engine::endpoint_counters() const {
  return s_->core.endpoint().counters();
}
std::uint32_t Engine::high_water(std::span<Endpoint::HighWater> out) const {
  return s_->core.high_water(out);
}
void Engine::lose_control_for_test(std::uint32_t control, std::uint32_t count) {
  s_->core.lose_control = control;
  s_->core.lose_count = count;
}

}  // namespace portolan::broker
