// What only time brings about: retention and detach bounds, withholding after a start, interest compared.
#include <algorithm>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {

void Core::check_withheld() {
  if (!withheld_for_peers_ && !withheld_for_clients_) return;
  const std::uint64_t age_ns = now_.mono_ns - started_ns_;
  bool unseen = false;
  for (std::uint32_t d = 0; d < peer_count_; ++d) {
    const bool counts = !downstreams_[d].dormant && downstreams_[d].role != PeerRole::standby_leaf;
    unseen = unseen || (counts && !downstreams_[d].seen);
  }
  const bool peers = unseen && age_ns < detach_ns_;
  // Half the bound, so that homes that wait for this broker's `delivered` do not take it for one that fell behind.
  const bool clients = own_incarnation_ > 1 && age_ns < detach_ns_ / 2;
  if (peers == withheld_for_peers_ && clients == withheld_for_clients_) return;
  withheld_for_peers_ = withheld_for_peers_ && peers;
  withheld_for_clients_ = withheld_for_clients_ && clients;
  end_withholding();
}

void Core::end_withholding() {
  for (std::uint32_t i = 0; i < limits_.sessions; ++i) {
    if (slots_[i].used) mark_dirty(i);
  }
  for (std::uint32_t t = 0; t < log_.topics(); ++t) expire(t);
}

void Core::housekeep() {
  next_housekeep_ns_ = now_.mono_ns + kHousekeepNs;
  check_withheld();
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    expire(t);
    Topic& topic = log_.topic(t);
    while (topic.oldest_pending != kNil && log_.entry(topic.oldest_pending).pending == 0) {
      topic.oldest_pending = log_.entry(topic.oldest_pending).next;
    }
    const std::uint32_t oldest = topic.oldest_pending;
    if (oldest != kNil && now_.mono_ns - log_.entry(oldest).time_ns >= detach_ns_) {
      detach_laggards(oldest, static_cast<std::uint32_t>(GapReason::detached), false);
    }
  }
  // While memory is short publishers get no credit, so none of their messages would come and make room.
  if (short_of_memory(7)) relieve_memory();
  housekeep_waiting();
  for (std::uint32_t d = 0; d < downstream_high_; ++d) {
    if (downstreams_[d].used) housekeep_downstream(d);
  }
  housekeep_catch_ups();
  ease_throughs();
  choose_hub();
  give_back_some();
  for (std::uint32_t s = 0; s < log_.streams(); ++s) {
    const Stream& stream = log_.stream(s);
    if (!stream.used || stream.early == 0 || stream.upstream != kNil) continue;
    // Its publisher is gone, and with it what came before these: they were never accepted.
    if (now_.mono_ns - log_.entry(stream.first_early).time_ns >= detach_ns_) log_.drop_early(s, stream.highest);
  }
  // A window that is full brings nothing more that would make anybody look who fills it; and of a message that came by
  // two sessions, one may not hear when everybody has it.
  for (std::uint32_t slot = 0; slot < limits_.sessions; ++slot) {
    if (!slots_[slot].used) continue;
    for (const UpLane& lane : slots_[slot].lanes) {
      if (lane.highest != lane.delivered) mark_dirty(slot);
    }
  }
  if (now_.mono_ns < started_ns_ + kBootGraceNs + 2 * kHousekeepNs) answers_due_ = true;
  jobs_due_ = true;
  counters.retained_bytes = log_.retained_bytes();
  counters.retained_messages = log_.entries_used();
}

void Core::housekeep_downstream(std::uint32_t d) {
  Downstream& down = downstreams_[d];
  if (down.slot == kNil) {
    const bool owes = down.first_filter != kNil && !down.detached;
    if (owes && now_.mono_ns - down.since_ns >= detach_ns_) {
      detach(d, static_cast<std::uint32_t>(GapReason::detached));
    }
    return;
  }
  if (down.ghost_until_ns != 0 && now_.mono_ns >= down.ghost_until_ns) {
    down.ghost_until_ns = 0;
    remove_filters(d, false, true);
  }
  if (down.snapshot_due_ns != 0 && now_.mono_ns >= down.snapshot_due_ns) {
    down.snapshot_due_ns = 0;
    begin_snapshot(d);
  }
  if (down.reattach_due_ns != 0 && now_.mono_ns >= down.reattach_due_ns) reattach(d);
  check_interest(d);
}

// Leaves need no asking: their hub has everything of theirs. Other brokers ask only for what is here.
bool Core::answered_by_peers(std::uint32_t d, std::uint64_t need) const {
  if (downstreams_[d].broker && !is_leaf(downstreams_[d].role)) return true;
  const bool booting = now_.mono_ns < started_ns_ + kBootGraceNs;
  for (std::uint32_t p = 0; p < peer_count_; ++p) {
    const Downstream& peer = downstreams_[p];
    if (is_leaf(peer.role) || peer.dormant) continue;
    if (peer.slot == kNil) {
      if (booting && !peer.seen) return false;
    } else if (peer.peer_answered < need + 1) {
      return false;
    }
  }
  return true;
}

}  // namespace portolan::broker::core
