// The link models that every scenario knows. One-way delay = constant + distance x time per kilometre. Light in fibre
// needs 4.9 us/km; the great circle is shorter than any cable, hence the factors.
#include "scenarios/compile/context.hpp"

namespace portolan::compile {

void add_presets(Context& c) {
  using plan::JitterKind;
  using plan::LossKind;
  using plan::QueueKind;
  constexpr Ns us = 1'000;
  constexpr Ns ms = 1'000'000;
  constexpr std::uint64_t mbit = 1'000'000;
  const auto add = [&](const char* name, Ns delay_ns, std::int64_t ps_per_km, plan::Jitter jitter, plan::Loss loss,
                       std::uint64_t rate_bps, QueueKind queue, Ns queue_time_ns) {
    LinkModel m;
    m.name = name;
    m.delay_ns = delay_ns;
    m.delay_ps_per_km = ps_per_km;
    m.impairments.jitter = jitter;
    m.impairments.loss = loss;
    m.impairments.rate_bps = rate_bps;
    m.impairments.queue.kind = queue;
    m.queue_time_ns = queue_time_ns;
    c.models.emplace(name, m);
  };

  // A wavelength rented from end to end: cable 1.35 times the great circle, two routers, next to no jitter or loss.
  add("leased-fibre", 200 * us, 6'600'000, {JitterKind::exponential, 10 * us, 200 * us},
      {LossKind::uniform, 100, 0, 0, 0}, 10'000 * mbit, QueueKind::tail_drop, 10 * ms);
  // Transit between good providers: 1.6 times, exchanges, short bursts of loss (0.02 % in all, 5 ms long).
  add("internet", 1 * ms, 7'800'000, {JitterKind::exponential, 200 * us, 5 * ms},
      {LossKind::gilbert_elliott, 500'000'000, 0, 12'495 * ms, 5 * ms}, 1'000 * mbit, QueueKind::tail_drop, 50 * ms);
  // Between cloud regions. Least squares over scenarios/data/europe-p95-rtt.csv (172 round trips: 86 pairs of cities,
  // both directions, 95th percentile over 30 days): RTT = 9.047 ms + 17.192 us/km, RMSE 3.004 ms. One way is half of
  // it. The 95th percentile contains the jitter already, so only a little is added. Fit again by
  //   ctest -R presets_test   (CloudFit)
  add("cloud", 4'523'315, 8'595'947, {JitterKind::exponential, 50 * us, 2 * ms}, {LossKind::uniform, 10'000, 0, 0, 0},
      5'000 * mbit, QueueKind::tail_drop, 20 * ms);
  // A ship or a crane on a public mobile network: scheduling of the cell, deep buffers, bursts at hand-over (0.5 % in
  // all).
  add("radio-4g", 18 * ms, 7'800'000, {JitterKind::exponential, 4 * ms, 60 * ms},
      {LossKind::gilbert_elliott, 1'000'000'000, 0, 3'980 * ms, 20 * ms}, 30 * mbit, QueueKind::codel, 200 * ms);
  // Low orbit: up, down, ground network; a new satellite each 15 s (bursts of 60 ms, 0.4 % in all).
  add("leo-satellite", 20 * ms, 5'500'000, {JitterKind::normal, 4 * ms, 16 * ms},
      {LossKind::gilbert_elliott, 1'000'000'000, 0, 14'940 * ms, 60 * ms}, 100 * mbit, QueueKind::codel, 100 * ms);
}

}  // namespace portolan::compile
