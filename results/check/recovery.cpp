#include "results/check/recovery.hpp"

#include <algorithm>

namespace portolan::check {

namespace {

// The faults that a message intended and delivered (or given up) then is put down to.
std::vector<std::size_t> blamed(const std::vector<FaultReport>& faults, Ns settle, Ns intended, Ns delivered) {
  std::vector<std::size_t> out;
  for (std::size_t f = 0; f < faults.size(); ++f) {
    if (!faults[f].on) continue;
    const Ns off = faults[f].off.value_or(kNever);
    if (*faults[f].on <= delivered && off >= intended) out.push_back(f);
  }
  if (!out.empty()) return out;
  std::size_t best = faults.size();
  for (std::size_t f = 0; f < faults.size(); ++f) {
    if (!faults[f].on) continue;
    const Ns off = faults[f].off.value_or(*faults[f].on);
    if (off > intended || intended - off > settle) continue;
    if (best == faults.size() || off > faults[best].off.value_or(*faults[best].on)) best = f;
  }
  if (best < faults.size()) out.push_back(best);
  return out;
}

void extend(FaultReport& fault, Ns at) {
  const Ns since = fault.off.value_or(*fault.on);
  if (fault.recovery) fault.recovery = std::max(*fault.recovery, std::max<Ns>(0, at - since));
}

}  // namespace

std::vector<FaultReport> make_recovery(const RunFiles& run, const Timeline& timeline,
                                       const std::vector<Subscriber>& subscribers, const DeliveryJudge& delivery) {
  std::vector<FaultReport> faults(run.plan.faults.size());
  for (std::size_t f = 0; f < faults.size(); ++f) {
    faults[f].index = f;
    faults[f].on = timeline.effects()[f].on;
    faults[f].off = timeline.effects()[f].off;
    if (faults[f].on) faults[f].recovery = 0;
  }
  if (faults.empty()) return faults;
  const Ns settle = run.plan.settle_ns;
  std::vector<Ns> latencies;
  std::vector<bool> touched(faults.size());
  for (std::size_t i = 0; i < subscribers.size(); ++i) {
    const Subscriber& s = subscribers[i];
    for (const auto& samples : s.samples) {
      if (samples.empty()) continue;
      latencies.clear();
      for (const Sample& sample : samples) latencies.push_back(sample.latency);
      const auto middle = latencies.begin() + static_cast<std::ptrdiff_t>((latencies.size() - 1) / 2);
      std::nth_element(latencies.begin(), middle, latencies.end());
      const Ns bound = *middle * kHeldUpFactor + kHeldUpSlack;
      std::fill(touched.begin(), touched.end(), false);
      for (const Sample& sample : samples) {
        if (sample.latency <= bound) continue;
        for (const std::size_t f : blamed(faults, settle, sample.delivered - sample.latency, sample.delivered)) {
          faults[f].worst_latency = std::max(faults[f].worst_latency, sample.latency);
          extend(faults[f], sample.delivered);
          touched[f] = true;
        }
      }
      for (std::size_t f = 0; f < faults.size(); ++f) faults[f].streams += touched[f] ? 1 : 0;
    }
    for (const DeliveryJudge::Missing& m : delivery.missing()[i]) {
      for (const std::size_t f : blamed(faults, settle, m.intended, m.told == kNever ? timeline.end() : m.told)) {
        if (m.told != kNever) {
          extend(faults[f], m.told);
        } else {
          ++faults[f].missing;
        }
      }
    }
    for (std::size_t f = 0; f < faults.size(); ++f) {
      const auto& processes = run.plan.faults[f].processes;
      const bool restarted = faults[f].off && s.life != nullptr && s.life->from >= *faults[f].off &&
                             std::count(processes.begin(), processes.end(), s.process) > 0;
      if (!restarted) continue;
      for (const Asked& a : s.asked) {
        if (a.subscribed != kNever && a.at - s.life->from < settle) extend(faults[f], a.subscribed);
      }
    }
  }
  for (FaultReport& fault : faults) {
    if (fault.missing > 0) fault.recovery.reset();
  }
  return faults;
}

}  // namespace portolan::check
