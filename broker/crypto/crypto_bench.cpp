// What each datagram pays for being authentic and whole. Run: crypto_bench --benchmark_min_time=0.5
#include <benchmark/benchmark.h>
#include <sodium.h>

#include <vector>

#include "broker/crypto/cookie.hpp"
#include "broker/crypto/crc32c.hpp"
#include "broker/crypto/noise.hpp"
#include "broker/crypto/random.hpp"
#include "broker/crypto/seal.hpp"
#include "broker/crypto/siphash.hpp"

namespace portolan::broker {
namespace {

void tag(benchmark::State& state) {
  SipKey key{1, 2, 3};
  std::uint8_t frame[PTL_FRAME_BYTES] = {};
  for (auto _ : state) {
    ++frame[8];
    benchmark::DoNotOptimize(frame_tag(key, frame));
  }
}
BENCHMARK(tag);

template <std::uint32_t (*F)(std::span<const std::uint8_t>, std::uint32_t)>
void crc(benchmark::State& state) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(state.range(0)), 0x5A);
  for (auto _ : state) benchmark::DoNotOptimize(F(bytes, 0));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc<crc32c>)->Arg(256)->Arg(1280)->Arg(65536);
BENCHMARK(crc<crc32c_table>)->Arg(1280);

void seal(benchmark::State& state) {
  const Key32 key{1, 2, 3};
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(state.range(0)), 0x5A);
  const std::uint8_t header[PTL_SEALED_HEADER_BYTES] = {};
  std::uint8_t authenticator[kSealBytes];
  std::uint64_t packet = 0;
  for (auto _ : state) {
    seal_in_place(key, packet_nonce(++packet), header, bytes, authenticator);
    benchmark::DoNotOptimize(authenticator);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(seal)->Arg(16)->Arg(256)->Arg(1280)->Arg(65536);

void open(benchmark::State& state) {
  const Key32 key{1, 2, 3};
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(state.range(0)), 0x5A), out(bytes.size());
  std::uint8_t authenticator[kSealBytes];
  seal_in_place(key, packet_nonce(1), {}, bytes, authenticator);
  for (auto _ : state) {
    if (!open_sealed(key, packet_nonce(1), {}, bytes, authenticator, out.data())) state.SkipWithError("not opened");
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(open)->Arg(256)->Arg(1280)->Arg(65536);

void seal_again(benchmark::State& state) {  // one fragment of a segment, by seeking
  const Key32 key{1, 2, 3};
  std::vector<std::uint8_t> bytes(1'280, 0x5A);
  for (auto _ : state) {
    seal_part(key, segment_nonce(1, 7), 12'800, bytes);
    benchmark::DoNotOptimize(bytes.data());
  }
  state.SetBytesProcessed(state.iterations() * 1'280);
}
BENCHMARK(seal_again);

void handshake(benchmark::State& state) {  // both sides
  Random random(Entropy{}, 1);
  Identity a, b;
  for (Identity* i : {&a, &b}) {
    i->static_private = random.key();
    i->static_public = public_key_of(i->static_private);
  }
  const Prologue prologue;
  for (auto _ : state) {
    NoiseIk first, second;
    std::uint8_t wire[700], payload[512];
    std::size_t n = 0;
    SessionKeys keys;
    first.start_initiator(a, b.static_public, prologue.bytes(), random.key());
    second.start_responder(b, prologue.bytes(), random.key());
    bool good = second.read({wire, first.write({}, wire)}, payload, n);
    good = good && first.read({wire, second.write({}, wire)}, payload, n) && first.session_keys(1, 2, keys);
    if (!good) state.SkipWithError("handshake");
  }
}
BENCHMARK(handshake)->Unit(benchmark::kMicrosecond);

void cookie(benchmark::State& state) {
  Random random(Entropy{}, 1);
  const CookieJar jar(random);
  std::uint64_t now = 0;
  for (auto _ : state) benchmark::DoNotOptimize(jar.make(++now, PathId{}, 0));
}
BENCHMARK(cookie);

void random_word(benchmark::State& state) {
  Random random(Entropy{}, 1);
  for (auto _ : state) benchmark::DoNotOptimize(random.next());
}
BENCHMARK(random_word);

}  // namespace
}  // namespace portolan::broker

int main(int argc, char** argv) {
  if (sodium_init() < 0) return 69;
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
