// What a session costs in CPU: both ends of a pair and the test wire between them (its copies and maps included, so
// these are upper bounds), plain (/1) and sealed (/2). Run: session_bench
#include <benchmark/benchmark.h>

#include "broker/session/test_wire.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

void messages(benchmark::State& state, std::size_t bytes, int batch, std::uint64_t pause_ns) {
  auto wire = make_pair(kMs, 0, Limits::sim_client(), kPairIdleNs, static_cast<std::uint32_t>(state.range(0)));
  wire->run_for(200 * kMs);
  Node& b = *wire->nodes[1];
  b.keep_bytes = false;
  const std::string text = text_of(1, bytes);
  std::int64_t sent = 0;
  const std::uint64_t datagrams = wire->sent[0] + wire->sent[1];
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) sent += wire->send(0, Lane::realtime, text, 1) == SendResult::ok;
    wire->run_for(pause_ns);
    b.got.clear();
  }
  state.SetItemsProcessed(sent);
  state.SetBytesProcessed(sent * static_cast<std::int64_t>(bytes));
  state.counters["datagrams/message"] = static_cast<double>(wire->sent[0] + wire->sent[1] - datagrams) /
                                        static_cast<double>(std::max<std::int64_t>(sent, 1));
}

void BM_ShortInBatchesOf50(benchmark::State& state) {
  messages(state, 200, 50, kMs / 5);
}
void BM_ShortOneByOne(benchmark::State& state) {
  messages(state, 200, 1, 10 * kMs);
}
void BM_Tile64KiB(benchmark::State& state) {
  messages(state, 65'536, 1, 5 * kMs);
}
BENCHMARK(BM_ShortInBatchesOf50)->Arg(kModePlain)->Arg(kModeSealed);
BENCHMARK(BM_ShortOneByOne)->Arg(kModePlain)->Arg(kModeSealed);
BENCHMARK(BM_Tile64KiB)->Arg(kModePlain)->Arg(kModeSealed);

void BM_Handshake(benchmark::State& state) {
  for (auto _ : state) {
    auto wire = make_pair(kMs, 0, Limits::thousand());
    wire->run_for(100 * kMs, [&] { return wire->nodes[1]->up != kNil; });
  }
}
BENCHMARK(BM_Handshake);

}  // namespace
}  // namespace portolan::broker::session

BENCHMARK_MAIN();
