// What an event alone costs, with as many pending as a run of 15 harbours has: on the loop that a run has
// (event_loop.hpp), whose share of a delivery `portolan bench sim` says, and on ns-3's own, its baseline.
#include <benchmark/benchmark.h>

#include "sim/lean/scheduler.hpp"

namespace portolan::sim {
namespace {

constexpr int kPending = 4'096;
constexpr int kEvents = 1 << 20;

struct Ticker {
  std::uint64_t state;
  int* left;
  void operator()() {
    if (--*left <= 0) return;
    state = state * 6'364'136'223'846'793'005ull + 1'442'695'040'888'963'407ull;
    at(now_ns() + 1 + (state >> 44), Ticker{state, left});
  }
};

void events(benchmark::State& state) {
  for (auto _ : state) {
    int left = kEvents;
    for (std::uint64_t i = 0; i < kPending; ++i) at(now_ns() + 1, Ticker{i, &left});
    ns3::Simulator::Run();
  }
  ns3::Simulator::Destroy();  // the loop too, so that whoever is next chooses anew
  // Items are events: time for each stands as cpu_time / kEvents.
  state.counters["ns_per_event"] = benchmark::Counter(static_cast<double>(state.iterations()) * kEvents * 1e-9,
                                                      benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void Ns3Event(benchmark::State& state) {
  events(state);
}
BENCHMARK(Ns3Event)->Unit(benchmark::kMillisecond);

void LoopEvent(benchmark::State& state) {
  EventLoop::install();
  events(state);
}
BENCHMARK(LoopEvent)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace portolan::sim

BENCHMARK_MAIN();
