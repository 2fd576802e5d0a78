// Credit for long messages: a slot opened for a ticket is the credit. WANTs are served one slot each in turn, two
// grants are kept for who sent lately, idle ones go back (PROTOCOL.md "Segments and grants").
#include <algorithm>

#include "broker/session/state.hpp"

namespace portolan::broker {
namespace {

constexpr std::uint64_t kKeepGrants = kSecond;         // two grants, after a segment was sent
constexpr std::uint64_t kUnusedGrants = 10 * kSecond;  // wanted, granted, and never used

}  // namespace

std::uint32_t Endpoint::State::free_slots(std::uint32_t slot_class) const {
  const Store::Usage usage = store->usage();
  return slot_class == PTL_LARGE ? limits.large_slots - usage.large_slots : limits.small_slots - usage.small_slots;
}

std::uint32_t Endpoint::State::free_blocks() const {
  return limits.small_blocks - store->usage().blocks;
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

bool Endpoint::State::wants_grant(const Session& s, std::uint32_t c) const {
  const InClass& ic = s.classes_in[c];
  if (ic.granted_end - ic.base >= limits.grants_per_class) return false;
  if (ahead(ic.granted_end, ic.wanted) <= 0) return true;
  return ic.sent && now.mono_ns - ic.last_used_ns < kKeepGrants && ahead(ic.granted_end, ic.next_unused + 2) < 0;
}

void Endpoint::State::queue_want(Session& s, std::uint32_t c) {
  InClass& ic = s.classes_in[c];
  if (ic.queued || !wants_grant(s, c)) return;
  ic.queued = want_slots[c].push(s.slot);
}

bool Endpoint::State::open_grant(Session& s, std::uint32_t c) {
  std::uint32_t own = 0;
  for (std::uint32_t i = s.partial.head; i != kNil; i = partials[i].next) own += partials[i].reserved_slots[c];
  if (free_slots(c) <= reserved_slots[c] - own) return false;
  const std::uint32_t slot = store->take_slot(kind_of(c));
  if (slot == kNil) return false;
  InClass& ic = s.classes_in[c];
  const std::uint32_t ticket = ic.granted_end++;
  const std::uint32_t at = ticket & (limits.grants_per_class - 1);
  ic.segments[at] = {};
  ic.segments[at].slot = slot;
  ptl_grant_set(&ic.row[at], ticket, slot, ptl_open(store->slot(kind_of(c), slot)));
  ic.grant_dirty = true;
  return true;
}

// One grant each in turn, as long as there are slots; those that still want more stay in line.
void Endpoint::State::serve_wants() {
  for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
    for (std::uint32_t failed = 0; want_slots[c].size() > failed;) {
      std::uint32_t at = 0;
      want_slots[c].pop(at);
      Session& s = sessions[at];
      InClass& ic = s.classes_in[c];
      ic.queued = false;
      if (s.state != SessionState::up || !wants_grant(s, c)) continue;
      if (open_grant(s, c)) {
        failed = 0;
      } else {
        ++failed;
      }
      queue_want(s, c);
      mark_dirty(s);
    }
  }
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
void Endpoint::State::take_back_idle(Session& s) {
  for (std::uint32_t c = 0; c < PTL_CLASSES; ++c) {
    InClass& ic = s.classes_in[c];
    if (ic.granted_end == ic.next_unused || now.mono_ns - ic.last_used_ns < kKeepGrants) continue;
    const bool all = now.mono_ns - ic.last_used_ns >= kUnusedGrants;
    while (ic.granted_end != ic.next_unused && (all || ahead(ic.granted_end - 1, ic.wanted) > 0)) {
      const std::uint32_t ticket = ic.granted_end - 1;
      const std::uint32_t at = ticket & (limits.grants_per_class - 1);
      if (ic.segments[at].slot == kNil || ic.segments[at].used) break;
      ptl_grant_clear(&ic.row[at]);
      store->give_slot(kind_of(c), ic.segments[at].slot);
      ic.segments[at] = {};
      ic.granted_end = ticket;
      ic.grant_dirty = true;
    }
    if (all && ahead(ic.wanted, ic.granted_end) >= 0) ic.wanted = ic.granted_end - 1;
    if (ic.grant_dirty) mark_dirty(s);
  }
}

std::uint64_t Endpoint::State::segments_due(const Session& s) const {
  std::uint64_t due = kNever;
  for (const InClass& ic : s.classes_in) {
    if (ic.ready != 0) due = std::min(due, s.segments_retry_ns);
    if (ic.queued) due = std::min(due, s.segments_retry_ns);
    if (ic.granted_end != ic.next_unused) {
      const bool beyond = ahead(ic.granted_end - 1, ic.wanted) > 0;
      due = std::min(due, ic.last_used_ns + (beyond ? kKeepGrants : kUnusedGrants));
    }
  }
  return due;
}

}  // namespace portolan::broker
