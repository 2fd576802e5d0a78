// Cost of LinkModel::send: ninja link_bench && bin/link_bench
#include <benchmark/benchmark.h>

#include "sim/link/link_model.hpp"

namespace portolan::link {
namespace {

plan::Plan one_link(const plan::Impairments& is) {
  plan::Plan plan;
  plan::Link link;
  link.seed = 7;
  link.a_to_b = is;
  link.b_to_a = is;
  plan.links.push_back(link);
  return plan;
}

void run(benchmark::State& state, const plan::Impairments& is) {
  auto model = LinkModel::make(one_link(is), 0, false);
  if (!model) {
    state.SkipWithError(model.error().text().c_str());
    return;
  }
  std::uint64_t now = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(model->send(now, 1400, Traffic::data));
    now += 10'000;
  }
}

void delay_only(benchmark::State& state) {
  plan::Impairments is;
  is.delay_ns = 5'000'000;
  run(state, is);
}
BENCHMARK(delay_only);

void everything(benchmark::State& state) {
  plan::Impairments is;
  is.delay_ns = 5'000'000;
  is.jitter = {plan::JitterKind::normal, 200'000, 2'000'000};
  is.loss = {plan::LossKind::gilbert_elliott, 500'000'000, 100'000, 380'000'000, 20'000'000};
  is.rate_bps = 1'000'000'000;
  is.queue = {plan::QueueKind::codel, 1'000'000, 5'000'000, 100'000'000};
  is.reorder = 1'000'000;
  is.reorder_ns = 1'000'000;
  is.duplicate = 1'000'000;
  run(state, is);
}
BENCHMARK(everything);

void rate_trace(benchmark::State& state) {
  plan::Impairments is;
  is.queue.bytes = 1'000'000;
  for (std::uint32_t ms = 1; ms <= 1000; ++ms) is.rate_trace_ms.insert(is.rate_trace_ms.end(), 120, ms);
  run(state, is);
}
BENCHMARK(rate_trace);

}  // namespace
}  // namespace portolan::link

BENCHMARK_MAIN();
