#include "broker/session/rate_model.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kMinRttWindowNs = 10'000 * kMs;
constexpr std::uint64_t kProbeRttNs = 100 * kMs;
constexpr std::uint64_t kEarlyProbeNs = 2'000 * kMs;  // at least this long after the last one
constexpr std::uint32_t kFirstPackets = 10;           // RFC 6928
constexpr std::uint32_t kLeastPackets = 4;
constexpr std::uint32_t kTrainPackets = 10;
constexpr std::uint64_t kLeastBps = 100'000;
constexpr std::uint64_t kDefaultRttNs = 100 * kMs;

// Gains in percent. Pacing stays a little below what was measured, since a maximum of samples lies above their mean.
constexpr std::uint64_t kPacingMargin = 99;
constexpr std::uint64_t kProducts = 190;  // in flight: two, less what acknowledgements and headers add on the wire
constexpr std::uint64_t kStartupGain = 277, kDrainGain = 35, kDownGain = 75;
constexpr std::uint32_t kUpGain = 125, kUpGainMost = 200, kUpPackets = 6;

std::uint64_t bits_per_second(std::uint64_t bytes, std::uint64_t interval_ns) {
  return bytes * 8'000'000'000 / std::max<std::uint64_t>(interval_ns, 1'000);
}

std::uint32_t distance(std::uint64_t later, std::uint64_t earlier) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(later - std::min(later, earlier), 0xFFFFFFFFu));
}

}  // namespace

void RateModel::reset(std::uint64_t now_ns, std::uint64_t rtt_ns, std::uint32_t packet_bytes, Bounds bounds,
                      std::uint64_t seed) {
  *this = RateModel{};
  seed_ = seed;
  most_bps_ = bounds.most_bps;
  told_bps_ = bounds.first_bps;
  packet_bytes_ = packet_bytes;
  min_rtt_known_ = rtt_ns != 0;
  min_rtt_ns_ = rtt_ns != 0 ? rtt_ns : kDefaultRttNs;
  min_rtt_at_ns_ = probed_at_ns_ = delivered_ns_ = first_sent_ns_ = now_ns;
  first_bps_ =
      std::max({bits_per_second(std::uint64_t{kFirstPackets} * packet_bytes_, min_rtt_ns_), kLeastBps, told_bps_});
  set_outputs();
}

void RateModel::set_packet_bytes(std::uint32_t bytes) {
  packet_bytes_ = bytes;
  set_outputs();
}

// Counter-based: the n-th draw of a session is the same whatever happened before it (SplitMix64's finaliser).
std::uint64_t RateModel::draw(std::uint64_t below) {
  std::uint64_t z = seed_ + ++draws_ * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return (z ^ (z >> 31)) % below;
}

// ------------------------------------------------------------------ delivery rate

SentMark RateModel::sent(std::uint64_t now_ns, std::uint32_t bytes) {
  if (inflight_ == 0) delivered_ns_ = first_sent_ns_ = now_ns;
  inflight_ += bytes;
  SentMark mark;
  mark.delivered = static_cast<std::uint32_t>(delivered_);
  mark.since_delivered_ns = distance(now_ns, delivered_ns_);
  mark.since_first_ns = distance(now_ns, first_sent_ns_);
  mark.app_limited = app_limited_until_ != 0;
  mark.epoch = epoch_;
  return mark;
}

void RateModel::acknowledged(std::uint64_t now_ns, const SentMark& mark, std::uint64_t sent_ns, std::uint32_t bytes) {
  if (mark.epoch == epoch_) inflight_ -= std::min<std::uint64_t>(inflight_, bytes);
  delivered_ += bytes;
  delivered_ns_ = now_ns;
  round_.delivered += bytes;
  const auto newer = static_cast<std::int32_t>(mark.delivered - ack_prior_);
  if (ack_any_ && newer < 0) return;
  ack_any_ = true;
  ack_prior_ = mark.delivered;
  ack_app_limited_ = mark.app_limited;
  // The slower of sending and acknowledging: neither a burst that left nor ACKs that were held up may look like rate.
  ack_elapsed_ns_ = std::max<std::uint64_t>(mark.since_first_ns, now_ns - sent_ns + mark.since_delivered_ns);
  first_sent_ns_ = sent_ns;
}

void RateModel::lost(const SentMark& mark, std::uint32_t bytes) {
  if (mark.epoch == epoch_) inflight_ -= std::min<std::uint64_t>(inflight_, bytes);
  round_.lost += bytes;
}

void RateModel::silence() {
  inflight_ = 0;
  ++epoch_;
}

void RateModel::end_of_ack(std::uint64_t now_ns, std::uint32_t ce_marks) {
  round_.ce_marks += ce_marks;
  if (ack_rtt_ns_ != ~0ull) {
    track_min_rtt(now_ns);
    if (!full_) follow_train(now_ns);
  }
  bool round_over = false;
  if (ack_any_) {
    if (app_limited_until_ != 0 && delivered_ > app_limited_until_) app_limited_until_ = 0;
    round_over = static_cast<std::int32_t>(ack_prior_ - static_cast<std::uint32_t>(round_.end_delivered)) >= 0;
    sample();
    if (round_over) end_of_round(now_ns);
  }
  ack_any_ = false;
  ack_rtt_ns_ = ~0ull;
  advance(now_ns, round_over);
  set_outputs();
}

void RateModel::sample() {
  if (ack_elapsed_ns_ < min_rtt_ns_ / 2) return;  // less than any way back and forth: the packets were on their way
  const std::uint32_t bytes = static_cast<std::uint32_t>(delivered_) - ack_prior_;
  const std::uint64_t bps = bits_per_second(bytes, ack_elapsed_ns_);
  round_.rate_bps = std::max(round_.rate_bps, bps);
  round_.app_limited = round_.app_limited || ack_app_limited_;
  if (ack_app_limited_ && bps < max_bps_) return;
  rates_[at_] = std::max(rates_[at_], bps);
  max_bps_ = std::max(max_bps_, bps);
}

// ------------------------------------------------------------------ rounds

void RateModel::end_of_round(std::uint64_t now_ns) {
  const std::uint64_t queue_ns = now_rtt_queue();
  const bool queue = round_.rtt_ns != ~0ull && queue_ns > std::max(min_rtt_ns_ / 4, 2 * kMs);
  // Who sends this much through a queue that stands is limited by it, whatever else it may have to send; of less,
  // jitter could say the same.
  const bool much = round_.delivered >= std::uint64_t{kTrainPackets} * packet_bytes_;
  calm_rounds_ = round_.ce_marks != 0 ? 0 : std::min(calm_rounds_ + 1, kRounds);
  busy_rounds_ = queue && much ? busy_rounds_ + 1 : 0;
  if (busy_rounds_ >= 4) round_.app_limited = false;
  const bool standing = queue && !round_.app_limited;
  // A burst of loss says as little of the rate as too little to send does: the estimate waits for better rounds.
  limited_round_ = round_.app_limited || round_.lost > round_.delivered;
  if (!limited_round_) judge_startup(standing);
  judge_queue(now_ns, standing);
  // The window moves on with the rounds that could show anything: an estimate does not fade while little is offered.
  ++rounds_here_;
  if (!limited_round_) {
    at_ = (at_ + 1) % kRounds;
    rates_[at_] = 0;
    max_bps_ = 0;
    for (const std::uint64_t bps : rates_) max_bps_ = std::max(max_bps_, bps);
  }
  round_ = Round{};
  round_.end_delivered = delivered_;
}

void RateModel::judge_startup(bool standing) {
  if (full_) return;
  if (!standing && max_bps_ >= full_bps_ + full_bps_ / 4) {
    full_bps_ = max_bps_;
    full_rounds_ = 0;
    return;
  }
  if (standing || ++full_rounds_ >= 3) pipe_full();
}

void RateModel::pipe_full() {
  full_ = true;
  if (phase_ == Phase::startup) begin(Phase::drain);
}

// Bursts that end before a round does (tiles) never fill a round, but they fill the queue. While ACK after ACK found
// one there, the path was busy without a pause, so what came in that time is its rate.
void RateModel::follow_train(std::uint64_t now_ns) {
  // Jitter may look alike for some ACKs, but not for so many bytes in so short a time.
  const std::uint64_t queue_ns = ack_rtt_ns_ - std::min(ack_rtt_ns_, min_rtt_ns_);
  if (queue_ns <= std::max(min_rtt_ns_ / 8, 2 * kMs) || (train_acks_ != 0 && now_ns - train_at_ns_ > 2 * min_rtt_ns_)) {
    train_acks_ = 0;
    return;
  }
  if (train_acks_++ == 0) {
    train_at_ns_ = now_ns;
    train_delivered_ = delivered_;
  }
  const std::uint64_t bytes = delivered_ - train_delivered_;
  if (train_acks_ < 8 || bytes < std::uint64_t{kTrainPackets} * packet_bytes_) return;
  const std::uint64_t bps = bits_per_second(bytes, now_ns - train_at_ns_);
  if (queue_ns < std::max(min_rtt_ns_ / 4, 4 * kMs) || inflight_ + bytes < product(bps)) return;
  rates_[at_] = std::max(rates_[at_], bps);
  max_bps_ = std::max(max_bps_, bps);
  pipe_full();
}

// Loss by itself says nothing here (radio): together with a queue, or with CE marks, the path is overfull. A queue that
// stands while less than expected is delivered means that the path became slower, and what it delivers is its rate.
void RateModel::judge_queue(std::uint64_t now_ns, bool standing) {
  if (!full_ || round_.app_limited || phase_ == Phase::probe_rtt) {
    standing_rounds_ = 0;
    return;
  }
  standing_rounds_ = standing ? standing_rounds_ + 1 : 0;
  const bool some_queue = round_.rtt_ns != ~0ull && now_rtt_queue() > std::max(min_rtt_ns_ / 8, kMs);
  const bool lossy = round_.lost * 50 >= round_.lost + round_.delivered && round_.lost != 0;
  const bool slow = round_.rate_bps < max_bps_ - max_bps_ / 8;
  if (standing && slow && (lossy || standing_rounds_ >= 2)) {
    limit_path(round_.rate_bps);
  } else if (round_.ce_marks != 0 || (lossy && some_queue)) {
    limit_path(std::max(round_.rate_bps, max_bps_ - max_bps_ / 8));
  }
  // A queue that does not go may be none: the way has become longer. Only an emptier path can tell.
  if (standing_rounds_ >= 4 && now_ns - probed_at_ns_ >= kEarlyProbeNs) begin_probe_rtt(now_ns, true);
}

void RateModel::limit_path(std::uint64_t bps) {
  bps = std::max(bps, kLeastBps);
  for (std::uint64_t& rate : rates_) rate = std::min(rate, bps);
  max_bps_ = std::min(max_bps_, bps);
  draining_ = true;
  before_up_bps_ = 0;
  begin(Phase::down);
}

// ------------------------------------------------------------------ the cycle

void RateModel::begin(Phase phase) {
  phase_ = phase;
  rounds_here_ = 0;
  if (phase == Phase::cruise) {
    cruise_rounds_ = 3 + static_cast<std::uint32_t>(draw(5));  // sessions that share a path probe at different times
    draining_ = false;
  }
}

void RateModel::advance(std::uint64_t now_ns, bool round_over) {
  const std::uint64_t bdp = std::max(product(path_bps()), std::uint64_t{kLeastPackets} * packet_bytes_);
  switch (phase_) {
    case Phase::startup:
      break;
    case Phase::drain:
      if (inflight_ <= bdp) begin(Phase::cruise);
      break;
    case Phase::cruise:
      // Only who has more to send than fits asks whether more fits: a path that suffices is left in peace.
      if (round_over && limited_round_) rounds_here_ = 0;
      // A queue that marks has said where the path ends: ask less often, and for less.
      if (round_over && rounds_here_ >= cruise_rounds_ + (kRounds - calm_rounds_)) {
        before_up_bps_ = path_bps();
        up_gain_ = first_gain();
        begin(Phase::up);
      }
      break;
    case Phase::up:
      if (round_over) begin(Phase::down);
      break;
    case Phase::down:
      // The round after the probe shows what came of it. More was delivered, and no queue: ask for more at once.
      if (round_over && before_up_bps_ != 0) {
        const bool grown = !limited_round_ && path_bps() >= before_up_bps_ + before_up_bps_ / 10;
        before_up_bps_ = grown ? path_bps() : 0;
        if (grown && standing_rounds_ == 0 && calm_rounds_ == kRounds) {
          up_gain_ = std::min(up_gain_ + 25, kUpGainMost);
          begin(Phase::up);
          break;
        }
      }
      if (inflight_ <= bdp && before_up_bps_ == 0) begin(Phase::cruise);
      break;
    case Phase::probe_rtt:
      probe_rtt(now_ns);
      break;
  }
}

// What a share of the rate adds is the same share of each session's, and so is what a full path takes from each: two
// unequal sessions would stay so. A few packets more for each are more to the smaller one, and make them equal in time.
std::uint32_t RateModel::first_gain() const {
  if (calm_rounds_ < kRounds) return kUpGain;
  const std::uint64_t bdp = std::max<std::uint64_t>(product(path_bps()), packet_bytes_);
  const std::uint64_t packets = 100 * std::uint64_t{kUpPackets} * packet_bytes_ / bdp;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(100 + packets, kUpGain, kUpGainMost));
}

void RateModel::track_min_rtt(std::uint64_t now_ns) {
  round_.rtt_ns = std::min(round_.rtt_ns, ack_rtt_ns_);
  if (!min_rtt_known_ || ack_rtt_ns_ <= min_rtt_ns_) {
    min_rtt_ns_ = ack_rtt_ns_;
    min_rtt_at_ns_ = now_ns;
    min_rtt_known_ = true;
  }
  if (phase_ == Phase::probe_rtt) {
    if (probe_until_ns_ != 0) probe_rtt_ns_ = std::min(probe_rtt_ns_, ack_rtt_ns_);
  } else if (now_ns - min_rtt_at_ns_ >= kMinRttWindowNs) {
    begin_probe_rtt(now_ns, false);
  }
}

void RateModel::begin_probe_rtt(std::uint64_t now_ns, bool early) {
  probe_early_ = early;
  probe_before_ns_ = round_.rtt_ns;
  probe_until_ns_ = 0;
  probe_rtt_ns_ = ~0ull;
  probed_at_ns_ = now_ns;
  before_up_bps_ = 0;
  begin(Phase::probe_rtt);
}

void RateModel::probe_rtt(std::uint64_t now_ns) {
  if (probe_until_ns_ == 0) {
    if (inflight_ > std::max(product(path_bps()) / 2, std::uint64_t{kLeastPackets} * packet_bytes_)) return;
    probe_until_ns_ = now_ns + std::max(kProbeRttNs, min_rtt_ns_);
    return;
  }
  if (now_ns < probe_until_ns_ || probe_rtt_ns_ == ~0ull) return;
  // Asked early: longer only if emptying my share of the path changed nothing, else the queue is somebody's.
  const bool longer = probe_rtt_ns_ >= probe_before_ns_ - probe_before_ns_ / 10;
  if (!probe_early_ || longer || probe_rtt_ns_ < min_rtt_ns_) min_rtt_ns_ = probe_rtt_ns_;
  min_rtt_at_ns_ = probed_at_ns_ = now_ns;
  standing_rounds_ = 0;
  begin(full_ ? Phase::cruise : Phase::startup);
}

// ------------------------------------------------------------------ what comes of it

std::uint64_t RateModel::path_bps() const {
  return full_ ? std::max(max_bps_, kLeastBps) : std::max(max_bps_, first_bps_);
}

std::uint64_t RateModel::rate_bps() const {
  return most_bps_ != 0 ? std::min(path_bps(), most_bps_) : path_bps();
}

void RateModel::set_outputs() {
  const std::uint64_t rate = rate_bps();
  std::uint64_t gain = 100, products = kProducts;
  switch (phase_) {
    case Phase::startup:
      gain = kStartupGain;
      break;
    case Phase::drain:
      gain = kDrainGain;
      products = 100;
      break;
    case Phase::up:
      gain = up_gain_;
      break;
    case Phase::down:
      gain = kDownGain;
      products = draining_ ? 100 : kProducts;
      break;
    case Phase::probe_rtt:
      products = 50;
      break;
    case Phase::cruise:
      break;
  }
  pacing_bps_ = rate / 100 * gain / 100 * kPacingMargin;
  if (most_bps_ != 0) pacing_bps_ = std::min(pacing_bps_, most_bps_);
  const std::uint32_t least = full_ || phase_ == Phase::probe_rtt ? kLeastPackets : kFirstPackets;
  // What only the handshake's round trip suggests is good for pacing; the window waits for what was delivered.
  const std::uint64_t shown = std::min(std::max(max_bps_, told_bps_), rate);
  window_ = std::max(product(full_ ? rate : shown) * products / 100, std::uint64_t{least} * packet_bytes_);
}

}  // namespace portolan::broker::session
