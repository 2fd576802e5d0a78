#include "broker/session/path_mtu.hpp"

#include <algorithm>

namespace portolan::broker::session {

void PathMtu::reset(std::uint64_t now_ns, std::uint32_t base, std::uint32_t most) {
  const Counts counts = counts_;
  *this = PathMtu{};
  counts_ = counts;
  base_ = size_ = std::min(base, most);
  most_ = most;
  search(now_ns, most_ + PTL_FRAGMENT_UNIT);
}

void PathMtu::search(std::uint64_t now_ns, std::uint32_t below) {
  phase_ = Phase::searching;
  high_ = below;
  candidate_ = 0;
  next_candidate(now_ns);
}

// The largest first, for most paths take it or nothing more than the base; then by halves.
void PathMtu::next_candidate(std::uint64_t now_ns) {
  if (high_ - size_ <= PTL_FRAGMENT_UNIT) return complete(now_ns);
  candidate_ =
      candidate_ == 0 ? high_ - PTL_FRAGMENT_UNIT : size_ + (high_ - size_) / 2 / PTL_FRAGMENT_UNIT * PTL_FRAGMENT_UNIT;
  tries_ = 0;
  nonce_ = 0;
  due_ns_ = now_ns;
}

void PathMtu::complete(std::uint64_t now_ns) {
  phase_ = Phase::complete;
  if (confirm_at_ns_ == kNever) confirm_at_ns_ = now_ns + kConfirmNs;
  raise_at_ns_ = size_ < most_ ? now_ns + raise_ns_ : kNever;
  raise_ns_ = std::min(2 * raise_ns_, kRaiseMostNs);
  wait_for_next();
}

void PathMtu::wait_for_next() {
  due_ns_ = std::min(raise_at_ns_, size_ > base_ ? confirm_at_ns_ : kNever);
}

void PathMtu::lost(std::uint64_t now_ns, std::uint64_t packet, std::uint32_t bytes) {
  if (bytes <= lower() || packet <= newest_came_ || size_ == PTL_FRAGMENT_FLOOR) return;
  if (++lost_in_row_ >= kSuspectLosses && phase_ != Phase::suspect) suspect(now_ns);
}

void PathMtu::suspect(std::uint64_t now_ns) {
  phase_ = Phase::suspect;
  rounds_ = 0;
  const std::uint32_t sizes[3] = {size_, base_ < size_ ? base_ : 0, PTL_FRAGMENT_FLOOR};
  for (std::size_t i = 0; i < 3; ++i) suspects_[i] = {sizes[i], 0, false, false};
  begin_round();
  due_ns_ = now_ns;
}

void PathMtu::begin_round() {
  for (Suspect& s : suspects_) s.to_send = s.bytes != 0;
}

// Nobody answered for the present size. True: something was decided.
bool PathMtu::round_over(std::uint64_t now_ns) {
  if (++rounds_ < kRounds) return false;
  for (const Suspect& s : suspects_) {
    if (!s.came) continue;
    const std::uint32_t failed = size_;
    size_ = s.bytes;
    ++counts_.falls;
    confirm_at_ns_ = kNever;
    lost_in_row_ = 0;
    raise_ns_ = kRaiseFirstNs;
    // Something between may pass: the failed size itself is tried again only when it is time to rise.
    candidate_ = 1;
    phase_ = Phase::searching;
    high_ = failed;
    next_candidate(now_ns);
    return true;
  }
  return false;  // dead rather than narrow
}

bool PathMtu::next_probe(std::uint64_t now_ns, std::uint64_t answer_ns, std::uint64_t nonce, Probe& out) {
  while (due_ns_ <= now_ns) {
    if (phase_ == Phase::suspect) {
      for (Suspect& s : suspects_) {
        if (!s.to_send) continue;
        s.to_send = false;
        s.nonce = s.nonce != 0 ? s.nonce : nonce;
        out = {s.bytes, s.nonce};
        const bool more = std::any_of(suspects_, suspects_ + 3, [](const Suspect& t) { return t.to_send; });
        if (!more) due_ns_ = now_ns + (answer_ns << std::min(rounds_ / kRounds, 5u));
        ++counts_.probes;
        return true;
      }
      if (!round_over(now_ns)) begin_round();
    } else if (phase_ == Phase::searching) {
      if (tries_ == kTries) {
        high_ = candidate_;
        next_candidate(now_ns);
        continue;
      }
      ++tries_;
      nonce_ = nonce_ != 0 ? nonce_ : nonce;
      out = {candidate_, nonce_};
      due_ns_ = now_ns + answer_ns;
      ++counts_.probes;
      return true;
    } else if (raise_at_ns_ <= now_ns) {
      search(now_ns, most_ + PTL_FRAGMENT_UNIT);
    } else if (confirmed_) {
      confirmed_ = false;
      confirm_at_ns_ = now_ns + kConfirmNs;
      wait_for_next();
    } else {
      suspect(now_ns);
    }
  }
  return false;
}

void PathMtu::answered(std::uint64_t now_ns, const Probe& probe) {
  if (probe.nonce == 0) return;
  if (phase_ == Phase::searching && probe.nonce == nonce_ && probe.bytes == candidate_) {
    ++counts_.answers;
    ++counts_.rises;
    size_ = candidate_;
    confirm_at_ns_ = kNever;
    lost_in_row_ = 0;
    next_candidate(now_ns);
    return;
  }
  if (phase_ != Phase::suspect) return;
  for (Suspect& s : suspects_) {
    if (s.bytes != probe.bytes || s.nonce != probe.nonce || s.came) continue;
    ++counts_.answers;
    s.came = true;
    if (s.bytes != size_) return;
    lost_in_row_ = 0;
    if (raise_at_ns_ == kNever && size_ < most_) raise_at_ns_ = now_ns + raise_ns_;
    phase_ = Phase::complete;
    confirm_at_ns_ = now_ns + kConfirmNs;
    wait_for_next();
    return;
  }
}

}  // namespace portolan::broker::session
