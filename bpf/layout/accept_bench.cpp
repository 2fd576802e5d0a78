// What the layout costs on one core: accept() for a whole segment, the window, and the grant's look-up. Run:
//   accept_bench --benchmark_min_time=0.5
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "bpf/layout/accept.h"

namespace {

constexpr std::uint32_t kSize = PTL_FRAGMENT_DEFAULT;

ptl_frame frame_of(std::uint32_t bytes, std::uint32_t index, std::uint32_t large) {
  ptl_frame f{};
  f.flags = static_cast<std::uint8_t>(large ? PTL_F_CLASS_LARGE : 0);
  f.fragment_unit = kSize / PTL_FRAGMENT_UNIT;
  f.fragment_index = static_cast<std::uint8_t>(index);
  f.ticket = 7;
  f.bytes = bytes;
  return f;
}

// All fragments of one segment into one warm slot; time is for each fragment.
void accept_fragment(benchmark::State& state) {
  const auto bytes = static_cast<std::uint32_t>(state.range(0));
  const std::uint32_t large = bytes > PTL_SMALL_DATA;
  const std::uint32_t count = ptl_fragments(bytes, kSize);
  std::vector<std::uint64_t> memory(PTL_LARGE_SLOT_BYTES / 8);
  auto* slot = reinterpret_cast<ptl_slot*>(memory.data());
  std::vector<std::uint8_t> body(kSize);
  ptl_grant row[8] = {};
  for (auto _ : state) {
    ptl_grant_set(&row[7], 7, 0, ptl_open(slot));
    for (std::uint32_t i = 0; i < count; ++i) {
      const ptl_frame f = frame_of(bytes, i, large);
      ptl_fragment fragment{};
      std::uint32_t index = 0, opening = 0;
      const std::uint32_t length = bytes - i * kSize < kSize ? bytes - i * kSize : kSize;
      if (ptl_fragment_of(&f, PTL_FRAME_BYTES + length, &fragment) == 0) state.SkipWithError("length");
      if (ptl_grant_of(&row[7], 7, &index, &opening) == 0) state.SkipWithError("grant");
      benchmark::DoNotOptimize(large ? ptl_accept(slot, opening, PTL_LARGE_DATA, &fragment, 0, body.data(), 0)
                                     : ptl_accept(slot, opening, PTL_SMALL_DATA, &fragment, 0, body.data(), 0));
    }
    if (ptl_retire(slot) == 0) state.SkipWithError("retire");
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(accept_fragment)->Arg(8192)->Arg(65536);

// The same copies without accept(): the bare price of moving the bytes.
void copy_fragment(benchmark::State& state) {
  const auto bytes = static_cast<std::uint32_t>(state.range(0));
  const std::uint32_t count = ptl_fragments(bytes, kSize);
  std::vector<std::uint8_t> to(PTL_LARGE_SLOT_BYTES), body(kSize);
  for (auto _ : state) {
    for (std::uint32_t i = 0; i < count; ++i) {
      std::memcpy(to.data() + i * kSize, body.data(), bytes - i * kSize < kSize ? bytes - i * kSize : kSize);
      benchmark::ClobberMemory();
    }
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(copy_fragment)->Arg(8192)->Arg(65536);

void accept_duplicate(benchmark::State& state) {
  std::vector<std::uint64_t> memory(PTL_LARGE_SLOT_BYTES / 8);
  auto* slot = reinterpret_cast<ptl_slot*>(memory.data());
  std::vector<std::uint8_t> body(kSize);
  const std::uint32_t opening = ptl_open(slot);
  const ptl_frame f = frame_of(65536, 3, 1);
  ptl_fragment fragment{};
  (void)ptl_fragment_of(&f, PTL_FRAME_BYTES + kSize, &fragment);
  for (auto _ : state) {
    benchmark::DoNotOptimize(ptl_accept(slot, opening, PTL_LARGE_DATA, &fragment, 0, body.data(), 0));
  }
}
BENCHMARK(accept_duplicate);

void window_mark(benchmark::State& state) {
  ptl_window window{};
  std::uint64_t packet = 1;
  for (auto _ : state) benchmark::DoNotOptimize(ptl_window_mark(&window, packet++));
}
BENCHMARK(window_mark);

}  // namespace

BENCHMARK_MAIN();
