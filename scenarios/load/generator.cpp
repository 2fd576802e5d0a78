// See load.hpp: the shots of one stream. Every time is a function of the plan and the index, never of when it is asked.
#include <algorithm>

#include "scenarios/base/exact.hpp"
#include "scenarios/base/hash.hpp"
#include "scenarios/load/load.hpp"

namespace portolan::load {
namespace {

// What a draw is for.
enum Purpose : std::uint64_t { for_phase = 0x7068617365, for_gap = 0x676170 };

// Each source starts somewhere within its first interval, so that sources of one load do not beat together.
plan::Ns phase_ns(const plan::Load& load, std::uint32_t source) {
  return static_cast<plan::Ns>(
      below64(draw64(load.seed, for_phase, source), static_cast<std::uint64_t>(load.interval_ns)));
}

plan::Ns gap_ns(const plan::Load& load, std::uint32_t source, std::uint64_t n) {
  constexpr std::uint64_t day = 86'400'000'000'000;  // bounds a gap, so that sums of times cannot overflow
  const std::uint64_t gap =
      exact::exponential(draw64(load.seed, for_gap, source, n), static_cast<std::uint64_t>(load.interval_ns));
  return static_cast<plan::Ns>(std::clamp<std::uint64_t>(gap, 1, 365 * day));
}

}  // namespace

Expected<Generator> Generator::make(const Workload& workload, plan::Index stream, std::uint64_t incarnation) {
  const std::string place = "/streams/" + std::to_string(stream);
  if (stream >= workload.streams_.size()) return fail(Exit::usage, place, "no such stream");
  const plan::Plan& plan = *workload.plan_;
  const plan::Stream& its = plan.streams[stream];
  const plan::Load& load = plan.loads[its.load];
  const auto& starts = workload.starts_[its.process];
  if (incarnation == 0 || incarnation > starts.size()) {
    return fail(Exit::usage, place,
                "the plan has " + std::to_string(starts.size()) + " incarnations of its process, asked for " +
                    std::to_string(incarnation));
  }
  Generator g(workload, stream, incarnation);
  const plan::Ns start = starts[incarnation - 1];
  switch (load.kind) {
    case plan::LoadKind::periodic: {
      g.intended_ns_ = load.start_ns + phase_ns(load, its.index);
      if (start > g.intended_ns_) {
        g.index_ = static_cast<std::uint64_t>((start - g.intended_ns_ + load.interval_ns - 1) / load.interval_ns);
        g.intended_ns_ += static_cast<plan::Ns>(g.index_) * load.interval_ns;
      }
      break;
    }
    case plan::LoadKind::poisson:
      g.intended_ns_ = load.start_ns + gap_ns(load, its.index, 0);
      while (g.intended_ns_ < start) g.intended_ns_ += gap_ns(load, its.index, ++g.index_);
      break;
    case plan::LoadKind::fleet:
    case plan::LoadKind::replay:
      g.index_ = workload.streams_[stream].first_index[incarnation - 1];
      break;
  }
  g.advance();
  return g;
}

// Brings intended_ns_ up to date for fleet and replay, and finds the end of any.
void Generator::advance() {
  const plan::Plan& plan = *workload_->plan_;
  const plan::Load& load = plan.loads[plan.streams[stream_].load];
  const Workload::StreamData& data = workload_->streams_[stream_];
  if (data.vessel != nullptr || data.replay != nullptr) {
    done_ = index_ >= data.items;
    if (!done_) intended_ns_ = workload_->item_ns(stream_, index_);
    return;
  }
  const plan::Ns end_ns = load.end_ns > 0 ? load.end_ns : plan.duration_ns;
  done_ = intended_ns_ >= end_ns || (load.count > 0 && index_ >= load.count);
}

std::optional<plan::Ns> Generator::peek() const {
  if (done_) return {};
  return intended_ns_;
}

std::optional<Shot> Generator::next(plan::Ns now_ns) {
  if (done_ || intended_ns_ > now_ns) return {};
  const Shot shot{intended_ns_, stream_, sequence_, workload_->payload_size(stream_, incarnation_, sequence_)};
  ++sequence_;
  ++index_;
  const plan::Plan& plan = *workload_->plan_;
  const plan::Stream& its = plan.streams[stream_];
  const plan::Load& load = plan.loads[its.load];
  if (load.kind == plan::LoadKind::periodic) intended_ns_ += load.interval_ns;
  if (load.kind == plan::LoadKind::poisson) intended_ns_ += gap_ns(load, its.index, index_);
  advance();
  return shot;
}

}  // namespace portolan::load
