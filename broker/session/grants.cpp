// Credit for long messages: a slot opened for a ticket is the credit, and all sessions' slots come from one pool a
// class. Three rings, one grant each in turn: messages that have begun; WANTs; and, while slots abound, two grants for
// who sent lately. What is merely kept goes back when somebody waits. Why nobody starves stands in PROTOCOL.md,
// "Grants".
#include <algorithm>

#include "broker/session/state.hpp"

namespace portolan::broker {
namespace {

constexpr std::uint64_t kKeepGrants = kSecond;                 // two grants, after a segment was sent
constexpr std::uint64_t kUnusedGrants = 10 * kSecond;          // wanted, granted, and never used
constexpr std::uint64_t kUnusedWhileOthersWait = kSecond / 2;  // the same; and at least 8 RTT
constexpr std::uint64_t kRetryWants = 2 * kMillisecond;
constexpr std::uint32_t kFirstWindow = 8;  // grants a class, before the path is known

std::uint64_t unused_bound(const Session& s) {
  return std::max(kUnusedWhileOthersWait, 8 * s.rtt.smoothed());
}

}  // namespace

std::uint32_t Endpoint::State::free_slots(std::uint32_t slot_class) const {
  const Store::Usage usage = store->usage();
  return slot_class == PTL_LARGE ? limits.large_slots - usage.large_slots : limits.small_slots - usage.small_slots;
}

// Its place is free for a later ticket; `give_slot`: nobody took the slot over.
void Endpoint::State::ticket_done(Session& s, std::uint32_t c, std::uint32_t ticket, bool give_slot) {
  InClass& ic = s.classes_in[c];
  const std::uint32_t at = ticket & (limits.grants_per_class - 1);
  ptl_grant_clear(&ic.row[at]);
  if (give_slot) store->give_slot(kind_of(c), ic.segments[at].slot);
  ic.segments[at] = {};
  ic.done |= 1u << (ticket - ic.base);
  while ((ic.done & 1) != 0) {
    ++ic.base;
    ic.done >>= 1;
    ic.ready >>= 1;
  }
  if (ahead(ic.next_unused, ic.base) < 0) ic.next_unused = ic.base;
  ic.grant_dirty = true;
  mark_dirty(s);
  queue_want(s, c);
}

bool Endpoint::State::receive_want(Session& s, std::uint32_t c, std::uint32_t last_wanted) {
  InClass& ic = s.classes_in[c];
  if (ahead(last_wanted, ic.wanted) > 0) ic.wanted = last_wanted;
  ic.last_used_ns = now.mono_ns;
  queue_want(s, c);
  return true;
}

bool Endpoint::State::receive_abandon(Session& s, std::uint32_t c, std::uint32_t ticket) {
  InClass& ic = s.classes_in[c];
  if (ahead(ticket, ic.base) < 0) return true;  // done already
  if (ahead(ticket, ic.granted_end) >= 0) return false;
  const std::uint32_t offset = ticket - ic.base;
  if ((ic.done >> offset & 1) != 0) return true;
  if ((ic.ready >> offset & 1) != 0) {
    ic.ready &= ~(1u << offset);
    --waiting_segments;
  }
  ticket_done(s, c, ticket, true);
  return true;
}

// What came in one round trip, and as much again: a window that lets the path be filled, and grow.
void Endpoint::State::segment_bytes_came(Session& s, std::uint32_t bytes) {
  const std::uint64_t elapsed = now.mono_ns - s.round_ns;
  if (elapsed >= s.rtt.smoothed()) {
    s.round_bytes_before = elapsed < 2 * s.rtt.smoothed() ? s.round_bytes : 0;
    s.round_bytes = 0;
    s.round_ns = now.mono_ns;
  }
  s.round_bytes += bytes;
}

std::uint32_t Endpoint::State::grant_window(const Session& s, std::uint32_t c) const {
  const std::uint64_t flight = std::max(s.round_bytes, s.round_bytes_before);
  const std::uint64_t slots = 2 + 2 * flight / (c == PTL_LARGE ? PTL_LARGE_DATA : PTL_SMALL_DATA);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(std::max<std::uint64_t>(slots, kFirstWindow),  //
                                                            limits.grants_per_class));
}

bool Endpoint::State::wants_grant(const Session& s, std::uint32_t c) const {
  const InClass& ic = s.classes_in[c];
  return ahead(ic.granted_end, ic.wanted) <= 0 && ic.granted_end - ic.base < grant_window(s, c);
}

// Before it asks: two, and while it sends without a pause what it sends in a round trip, so that asking costs none.
bool Endpoint::State::may_keep_grant(const Session& s, std::uint32_t c) const {
  const InClass& ic = s.classes_in[c];
  const std::uint64_t idle = now.mono_ns - ic.last_used_ns;
  if (!ic.sent || idle >= kKeepGrants || ic.granted_end - ic.base >= limits.grants_per_class) return false;
  std::uint64_t keep = 2;
  if (idle <= s.rtt.smoothed()) {
    keep += std::max(s.round_bytes, s.round_bytes_before) / (c == PTL_LARGE ? PTL_LARGE_DATA : PTL_SMALL_DATA);
  }
  return ic.granted_end - ic.next_unused < keep;
}

// Slots that only messages which have begun may take: else segments that wait for the memory of those, each in its
// slot, could keep out the very segments that would free it.
std::uint32_t Endpoint::State::passage(std::uint32_t c) const {
  return std::max((c == PTL_LARGE ? limits.large_slots : limits.small_slots) / 8, 1u);
}

void Endpoint::State::queue_want(Session& s, std::uint32_t c) {
  InClass& ic = s.classes_in[c];
  if (wants_grant(s, c)) {
    if (!ic.queued) ic.queued = want_slots[c].push(s.slot);
    if (!s.partial.empty() && !ic.queued_begun) ic.queued_begun = begun_wants[c].push(s.slot);
  } else if (may_keep_grant(s, c) && !ic.queued_keep) {
    ic.queued_keep = keep_wants[c].push(s.slot);
  }
}

bool Endpoint::State::open_grant(Session& s, std::uint32_t c) {
  const std::uint32_t slot = store->take_slot(kind_of(c));
  if (slot == kNil) return false;
  InClass& ic = s.classes_in[c];
  const std::uint32_t ticket = ic.granted_end++;
  const std::uint32_t at = ticket & (limits.grants_per_class - 1);
  ic.segments[at] = {};
  ic.segments[at].slot = slot;
  ptl_grant_set(&ic.row[at], ticket, slot, ptl_open(store->slot(kind_of(c), slot)));
  ic.grant_dirty = true;
  if (ic.granted_end - ic.next_unused == 1) ic.check_ns = now.mono_ns + std::min(kKeepGrants, unused_bound(s));
  ++counters.grants_given[c];
  gates_open(s);
  mark_dirty(s);
  return true;
}

// Those whose message has begun: from what they set aside, or any slot that nobody set aside. At most as many as there
// are begun messages, so looking at each is cheap.
void Endpoint::State::serve_begun(std::uint32_t c) {
  for (std::uint32_t failed = 0; begun_wants[c].size() > failed && free_slots(c) != 0;) {
    std::uint32_t at = 0;
    begun_wants[c].pop(at);
    Session& s = sessions[at];
    s.classes_in[c].queued_begun = false;
    if (s.state != SessionState::up || s.partial.empty() || !wants_grant(s, c)) continue;
    std::uint32_t own = 0;
    for (std::uint32_t i = s.partial.head; i != kNil; i = partials[i].next) own += partials[i].reserved_slots[c];
    const bool opened = free_slots(c) > store->reserved_slots(kind_of(c)) - own && open_grant(s, c);
    failed = opened ? 0 : failed + 1;
    queue_want(s, c);
  }
}

void Endpoint::State::serve_class(std::uint32_t c) {
  serve_begun(c);
  const auto spare = [&](std::uint32_t kept_free) {
    return free_slots(c) > store->reserved_slots(kind_of(c)) + kept_free;
  };
  while (want_slots[c].size() != 0) {
    std::uint32_t at = *want_slots[c].first();
    if (Session& s = sessions[at]; s.state != SessionState::up || !wants_grant(s, c)) {
      want_slots[c].pop(at);
      s.classes_in[c].queued = false;
      continue;
    }
    if (!spare(passage(c))) {
      std::uint32_t keeper = 0;
      if (!keepers[c].pop(keeper)) break;
      sessions[keeper].classes_in[c].keeper = false;
      if (sessions[keeper].state == SessionState::up) take_back(sessions[keeper], c, false);
      continue;
    }
    want_slots[c].pop(at);
    Session& s = sessions[at];
    s.classes_in[c].queued = false;
    open_grant(s, c);
    queue_want(s, c);
  }
  std::uint32_t at = 0;
  while (keep_wants[c].pop(at)) {
    Session& s = sessions[at];
    InClass& ic = s.classes_in[c];
    ic.queued_keep = false;
    const std::uint32_t total = c == PTL_LARGE ? limits.large_slots : limits.small_slots;
    while (s.state == SessionState::up && want_slots[c].size() == 0 && may_keep_grant(s, c) && spare(total / 4)) {
      if (!open_grant(s, c)) break;
      if (!ic.keeper) ic.keeper = keepers[c].push(s.slot);
    }
  }
}

void Endpoint::State::serve_wants() {
  for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) serve_class(c);
  std::uint32_t at = 0;
  while (dirty_grants.pop(at)) {
    Session& s = sessions[at];
    s.grants_dirty = false;
    if (s.state != SessionState::up) continue;
    for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
      if (s.classes_in[c].grant_dirty) tell_grant(s, c);
    }
    reschedule(s);
  }
}

void Endpoint::State::tell_grant(Session& s, std::uint32_t c) {
  InClass& ic = s.classes_in[c];
  if (tell_segment(s, PTL_C_GRANT, c, ic.base, ic.granted_end - ic.base)) ic.grant_dirty = false;
}

// Tickets that nobody used go back, from the last one down; the sender learns it from a shorter GRANT.
bool Endpoint::State::take_back(Session& s, std::uint32_t c, bool wanted_too) {
  InClass& ic = s.classes_in[c];
  const std::uint32_t before = ic.granted_end;
  while (ic.granted_end != ic.next_unused && (wanted_too || ahead(ic.granted_end - 1, ic.wanted) > 0)) {
    const std::uint32_t ticket = ic.granted_end - 1;
    const std::uint32_t at = ticket & (limits.grants_per_class - 1);
    if (ic.segments[at].slot == kNil || ic.segments[at].used) break;
    ptl_grant_clear(&ic.row[at]);
    store->give_slot(kind_of(c), ic.segments[at].slot);
    ic.segments[at] = {};
    ic.granted_end = ticket;
    ++counters.grants_taken_back[c];
  }
  if (wanted_too && ahead(ic.wanted, ic.granted_end) >= 0) ic.wanted = ic.granted_end - 1;
  if (ic.granted_end == before) return false;
  ic.grant_dirty = true;
  mark_dirty(s);
  return true;
}

void Endpoint::State::take_back_idle(Session& s) {
  for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
    InClass& ic = s.classes_in[c];
    if (ic.granted_end == ic.next_unused || now.mono_ns < ic.check_ns) continue;
    const std::uint64_t idle = now.mono_ns - ic.last_used_ns;
    const bool others = want_slots[c].size() != 0;
    if (idle >= kKeepGrants || others) {
      take_back(s, c, idle >= kUnusedGrants || (others && idle >= unused_bound(s)));
    }
    ic.check_ns = now.mono_ns + unused_bound(s);
    if (idle < kKeepGrants) ic.check_ns = std::min(ic.check_ns, ic.last_used_ns + kKeepGrants);
  }
}

bool Endpoint::State::somebody_wants() const {
  for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
    if (want_slots[c].size() + begun_wants[c].size() != 0) return true;
  }
  return false;
}

// Slots come back when the engine lets go of messages, which tells nobody: look now and then while somebody waits.
void Endpoint::State::retry_wants() {
  if (now.mono_ns < wants_retry_ns || !somebody_wants()) return;
  wants_retry_ns = now.mono_ns + kRetryWants;
  serve_wants();
}

std::uint64_t Endpoint::State::segments_due(const Session& s) const {
  std::uint64_t due = kNever;
  for (const InClass& ic : s.classes_in) {
    if (ic.ready != 0) due = std::min(due, s.segments_retry_ns);
    if (ic.granted_end != ic.next_unused) due = std::min(due, ic.check_ns);
  }
  return due;
}

}  // namespace portolan::broker
