// SUBSCRIBED, to peers and to clients; and the mending of what HEARTBEAT shows to differ.
#include <algorithm>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {
namespace {

constexpr std::uint64_t kAskWaitNs = 200'000'000;
constexpr std::uint64_t kAskBackoffMaxNs = 10'000'000'000;

}  // namespace

// ------------------------------------------------------------------ SUBSCRIBED

void Core::on_subscribed(std::uint32_t slot, const wire::SubscribedBody& body) {
  Downstream& peer = downstreams_[slots_[slot].downstream];
  peer.peer_answered = std::max(peer.peer_answered, body.version + 1);
  peer.unreachable = body.total;
  answers_due_ = true;
}

bool Core::answer(std::uint32_t d, std::uint64_t version) {
  std::uint64_t away[wire::kHarboursMax];
  wire::SubscribedBody body;
  body.version = version;
  const bool below = !downstreams_[d].broker || is_leaf(downstreams_[d].role);
  if (hub_ != kNil && below && downstreams_[hub_].slot != kNil) body.total += downstreams_[hub_].unreachable;
  for (std::uint32_t p = 0; below && p < peer_count_; ++p) {
    const Downstream& peer = downstreams_[p];
    if (peer.slot != kNil || peer.dormant || peer.role == PeerRole::standby_leaf) continue;
    if (body.unreachable < wire::kHarboursMax) away[body.unreachable++] = downstreams_[p].id;
    ++body.total;
  }
  body.harbours = away;
  return tell(d, PTL_C_SUBSCRIBED, body);
}

// Answers what can be answered by now: the streams are announced, and (for clients) every reachable peer has confirmed.
void Core::run_answers(std::uint32_t d) {
  Downstream& down = downstreams_[d];
  if (down.announce_at != kNil) {
    jobs_due_ = true;
    return;
  }
  if (down.snapshot_answer != 0) {
    if (!answered_by_peers(d, down.snapshot_need)) return;
    end_waits(d);
    if (down.announce_at != kNil) return;
    if (room(d) == 0 || !answer(d, down.snapshot_answer - 1)) {
      answers_due_ = true;
      return;
    }
    down.snapshot_answer = 0;
  }
  for (std::uint32_t f = down.first_filter; f != kNil; f = filters_[f].next) {
    Filter& filter = filters_[f];
    if (filter.answer_version == 0) continue;
    if (!answered_by_peers(d, filter.need_version)) continue;
    end_waits(d);
    if (down.announce_at != kNil) return;
    if (room(d) == 0 || !answer(d, filter.answer_version - 1)) {
      answers_due_ = true;
      return;
    }
    filter.answer_version = 0;
  }
}

// ------------------------------------------------------------------ mending

void Core::check_interest(std::uint32_t d) {
  Downstream& down = downstreams_[d];
  const SessionId session = slots_[down.slot].session;
  InterestState theirs;
  if (!endpoint_.peer_interest(session, theirs)) return;
  const bool unfinished = down.receiving || down.syncing;
  bool ask = down.behind_since_ns == 1;
  if (!ask && !unfinished && theirs.version <= down.interest_version) {
    if (theirs.version < down.interest_version || theirs.digest == down.interest_digest) {
      down.behind_since_ns = 0;
      return;
    }
    ask = true;
  }
  const std::uint64_t wait = std::max(2 * endpoint_.smoothed_rtt_ns(session), kAskWaitNs);
  if (down.behind_since_ns == 0) down.behind_since_ns = now_.mono_ns;
  if (!ask && now_.mono_ns - down.behind_since_ns < wait) return;
  if (now_.mono_ns < down.ask_after_ns || room(d) == 0) return;
  tell(d, PTL_C_ASK, wire::AskBody{wire::kAskInterest});
  // Where the bounds of my tables are the cause, asking again changes nothing: ever more seldom.
  down.ask_backoff_ns = std::min(std::max(wait, down.ask_backoff_ns * 2), kAskBackoffMaxNs);
  down.ask_after_ns = now_.mono_ns + down.ask_backoff_ns;
}

}  // namespace portolan::broker::core
