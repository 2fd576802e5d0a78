// Interest: the filters of each downstream and what they match; the union of my clients' filters, which every peer
// gets as snapshot and deltas; SUBSCRIBED; and the mending of what HEARTBEAT shows to differ (PROTOCOL.md, "Interest").
// Matches are kept per (downstream, topic), so that a message costs only its subscribers: a filter is compared with
// every topic when it comes, a topic with every filter when it is made, and never on the path of a message.
#include <algorithm>
#include <cstring>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {

std::string_view Core::text_of(std::uint32_t filter) const {
  return {filter_texts_ + std::size_t{filter} * limits_.topic_name_bytes, filters_[filter].length};
}

std::string_view Core::union_text(std::uint32_t unioned) const {
  return {union_texts_ + std::size_t{unioned} * limits_.topic_name_bytes, union_[unioned].length};
}

void Core::on_interest(std::uint32_t slot, const wire::InterestBody& body) {
  const std::uint32_t d = slots_[slot].downstream;
  Downstream& down = downstreams_[d];
  down.interest_incarnation = body.incarnation;
  const bool delta = body.op == wire::InterestOp::add || body.op == wire::InterestOp::remove;
  if (delta && !down.receiving) {
    // A delta that is not the next one shows that one was lost; the snapshot mends it at once.
    if (!down.syncing && body.version > down.interest_version + 1) down.behind_since_ns = 1;
    down.interest_version = std::max(down.interest_version, body.version);  // before any STREAM speaks of it
  }
  switch (body.op) {
    case wire::InterestOp::snapshot_begin:
      down.receiving = true;
      down.moved = body.replay == 2;
      down.interest_version = body.version;
      announced_.clear_row(d);  // what it may have missed or forgotten is named again
      for (std::uint32_t f = down.first_filter; f != kNil; f = filters_[f].next) {
        filters_[f].stale = !filters_[f].ghost;
        filters_[f].answer_version = 0;
      }
      break;
    case wire::InterestOp::add:
      if (!deny_filter(slot, body)) add_filter(d, body);
      break;
    case wire::InterestOp::remove: {
      std::uint32_t before = kNil;
      for (std::uint32_t f = down.first_filter; f != kNil; before = f, f = filters_[f].next) {
        if (text_of(f) != body.filter || filters_[f].ghost) continue;
        remove_filter(d, f, before);
        break;
      }
      break;
    }
    case wire::InterestOp::snapshot_end:
      snapshot_complete(d, body.version);
      return;
  }
}

void Core::add_filter(std::uint32_t d, const wire::InterestBody& body) {
  Downstream& down = downstreams_[d];
  std::uint32_t f = down.first_filter;
  // A ghost of the same text stays beside it: it keeps the place of clients that are not back yet.
  while (f != kNil && (filters_[f].ghost || text_of(f) != body.filter)) f = filters_[f].next;
  std::uint8_t replay = body.replay;
  if (f == kNil) {
    if (free_filter_ == kNil || down.filter_count >= limits_.filters_per_downstream ||
        body.filter.size() > limits_.topic_name_bytes || wire::depth_of(body.filter) > limits_.filter_depth) {
      ++counters.refused[static_cast<std::uint32_t>(RefuseReason::memory_full)];
      return;
    }
    f = free_filter_;
    free_filter_ = filters_[f].next;
    filters_[f] = Filter{};
    filters_[f].length = static_cast<std::uint32_t>(body.filter.size());
    std::memcpy(filter_texts_ + std::size_t{f} * limits_.topic_name_bytes, body.filter.data(), body.filter.size());
    (down.last_filter == kNil ? down.first_filter : filters_[down.last_filter].next) = f;
    down.last_filter = f;
    ++down.filter_count;
    down.interest_digest ^= wire::filter_digest(body.filter, body.replay);
  } else {
    Filter& known = filters_[f];
    down.interest_digest ^=
        wire::filter_digest(body.filter, known.replay) ^ wire::filter_digest(body.filter, body.replay);
    if (down.receiving && body.replay <= known.replay) replay = 0;  // named again, not asked for again
    known.stale = false;
  }
  filters_[f].replay = body.replay;
  const bool below = !down.broker || is_leaf(down.role);
  if (below && filters_[f].unioned == kNil) filters_[f].unioned = union_add(body.filter, body.replay);
  if (!down.receiving) {
    filters_[f].answer_version = body.version + 1;
    filters_[f].need_version = filters_[f].unioned == kNil ? 0 : union_[filters_[f].unioned].version;
    answers_due_ = true;
  }
  // Served by another hub until now: what it never met there began since, so it is owed from its beginning.
  if (down.receiving && down.moved) replay = 2;
  rematch(d, body.filter, replay);
}

void Core::remove_filter(std::uint32_t d, std::uint32_t f, std::uint32_t before) {
  Downstream& down = downstreams_[d];
  Filter& filter = filters_[f];
  (before == kNil ? down.first_filter : filters_[before].next) = filter.next;
  if (down.last_filter == f) down.last_filter = before;
  if (!filter.ghost) --down.filter_count;
  if (!filter.ghost) down.interest_digest ^= wire::filter_digest(text_of(f), filter.replay);
  if (filter.unioned != kNil) union_remove(filter.unioned);
  rematch(d, text_of(f), 0);
  filter.next = free_filter_;
  free_filter_ = f;
}

void Core::remove_filters(std::uint32_t d, bool stale_only, bool ghost_only) {
  std::uint32_t before = kNil;
  for (std::uint32_t f = downstreams_[d].first_filter; f != kNil;) {
    const std::uint32_t next = filters_[f].next;
    if ((stale_only && !filters_[f].stale) || (ghost_only && !filters_[f].ghost)) {
      before = f;
    } else {
      remove_filter(d, f, before);
    }
    f = next;
  }
}

void Core::snapshot_complete(std::uint32_t d, std::uint64_t version) {
  Downstream& down = downstreams_[d];
  remove_filters(d, true, false);
  down.interest_version = version;
  down.receiving = down.syncing = false;
  down.snapshot_answer = version + 1;
  // What its own filters made of my union: a later removal is a version that nobody answers.
  down.snapshot_need = 0;
  for (std::uint32_t f = down.first_filter; f != kNil; f = filters_[f].next) {
    if (filters_[f].unioned == kNil) continue;
    down.snapshot_need = std::max(down.snapshot_need, union_[filters_[f].unioned].version);
  }
  answers_due_ = true;
  if (down.ask_backoff_ns != 0) ++counters.interest_mended;
  down.behind_since_ns = down.ask_after_ns = down.ask_backoff_ns = 0;
  if (down.dormant) let_go_quietly(d);
  if (down.detached) reattach(d);
  const bool first = !down.seen;
  down.seen = true;
  down.announce_at = 0;
  jobs_due_ = true;
  for (std::uint32_t t = 0; t < log_.topics(); ++t) make_ready(d, t);
  queue_downstream(d);
  if (!down.broker) return;
  Event event;
  event.kind = EventKind::peer_interest;
  event.peer = down.id;
  event.peer_incarnation = down.incarnation;
  event.session_uid = slots_[down.slot].uid;
  push_event(event);
  if (first) check_withheld();
}

void Core::rematch(std::uint32_t d, std::string_view filter, std::uint8_t replay) {
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    if (log_.topic(t).used && wire::filter_matches(filter, log_.name_of(t))) rematch_topic(d, t, replay);
  }
}

void Core::rematch_topic(std::uint32_t d, std::uint32_t topic, std::uint8_t replay) {
  bool any = false, live = false;
  for (std::uint32_t f = downstreams_[d].first_filter; f != kNil && !live; f = filters_[f].next) {
    if (!wire::filter_matches(text_of(f), log_.name_of(topic))) continue;
    any = true;
    live = !filters_[f].ghost;
  }
  Lag& l = lag(d, topic);
  l.sendable = live && !l.waits;
  if (!any) {
    l.waits = false;
    if (l.attached) release_topic(d, topic);
    for (std::uint32_t s = log_.topic(topic).first_stream; s != kNil; s = log_.stream(s).next_in_topic) {
      cursor(d, s) = 0;
      announced_.clear(d, s);
    }
    return;
  }
  if (downstreams_[d].detached || downstreams_[d].dormant) return;
  if (!l.attached) {
    attach(d, topic, replay);
  } else if (replay != 0) {
    for (std::uint32_t s = log_.topic(topic).first_stream; s != kNil; s = log_.stream(s).next_in_topic) {
      const Stream& stream = log_.stream(s);
      announced_.clear(d, s);  // whoever asks waits for the answer
      if (stream.held == 0 || cursor(d, s) == 0) continue;
      const std::uint64_t from = replay_start(s, replay);
      if (from >= cursor(d, s)) continue;
      cursor(d, s) = from;
      resume_held(d, s, from);
    }
  }
  if (!live) {  // not served for now; when it is again, it hears where it stands
    for (std::uint32_t s = log_.topic(topic).first_stream; s != kNil; s = log_.stream(s).next_in_topic) {
      announced_.clear(d, s);
    }
    return;
  }
  for (std::uint32_t s = log_.topic(topic).first_stream; s != kNil; s = log_.stream(s).next_in_topic) {
    announce_soon(d, s);
  }
  make_ready(d, topic);
}

void Core::match_new_topic(std::uint32_t topic) {
  for (std::uint32_t d = 0; d < downstream_high_; ++d) {
    if (downstreams_[d].used && downstreams_[d].first_filter != kNil) rematch_topic(d, topic, 0);
  }
}

// ------------------------------------------------------------------ my own interest, towards peers

std::uint32_t Core::union_add(std::string_view text, std::uint8_t replay) {
  std::uint32_t free = kNil;
  for (std::uint32_t u = 0; u < union_high_; ++u) {
    if (union_[u].references == 0) {
      if (free == kNil) free = u;
      continue;
    }
    if (union_text(u) != text) continue;
    ++union_[u].references;
    // The homes may still hold what I never asked for; all that they retain is asked for each time, for I may hold
    // less.
    if (replay > union_[u].replay || replay == 2) {
      mine_.digest ^= wire::filter_digest(text, union_[u].replay) ^ wire::filter_digest(text, replay);
      union_[u].replay = replay;
      union_[u].version = mine_.version + 1;
      interest_changed(wire::InterestOp::add, text, replay);
    }
    return u;
  }
  // There are as many places as filters in all, so one is free.
  const std::uint32_t u = free != kNil ? free : union_high_++;
  union_[u] = {mine_.version + 1, mine_.version + 1, static_cast<std::uint32_t>(text.size()), 1, replay};
  std::memcpy(union_texts_ + std::size_t{u} * limits_.topic_name_bytes, text.data(), text.size());
  mine_.digest ^= wire::filter_digest(text, replay);
  interest_changed(wire::InterestOp::add, text, replay);
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    Topic& topic = log_.topic(t);
    if (topic.used && topic.wanted_since == 0 && wire::filter_matches(text, log_.name_of(t)))
      topic.wanted_since = mine_.version;
  }
  return u;
}

void Core::union_remove(std::uint32_t u) {
  if (--union_[u].references != 0) return;
  mine_.digest ^= wire::filter_digest(union_text(u), union_[u].replay);
  interest_changed(wire::InterestOp::remove, union_text(u), 0);
  // What nobody here wants any more stops coming: its streams are as good as unknown until announced again.
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    if (!log_.topic(t).used || !wire::filter_matches(union_text(u), log_.name_of(t)) || union_matches(t)) continue;
    log_.topic(t).wanted_since = 0;
    for (std::uint32_t s = log_.topic(t).first_stream; s != kNil; s = log_.stream(s).next_in_topic) {
      Stream& stream = log_.stream(s);
      if (stream.home != Home::remote || wanted_since(t, stream.home_peer) == 0) stream.covered = false;
    }
  }
  for (std::uint32_t i = 0; i < limits_.sessions; ++i) {
    if (slots_[i].used && slots_[i].waiting_head != kNil) resolve_waiting(i);
  }
}

bool Core::union_matches(std::uint32_t topic) const {
  for (std::uint32_t u = 0; u < union_high_; ++u) {
    if (union_[u].references != 0 && wire::filter_matches(union_text(u), log_.name_of(topic))) return true;
  }
  return false;
}

// The version of my interest from which on this topic is wanted; 0: it is not.
std::uint64_t Core::union_since(std::uint32_t topic) const {
  std::uint64_t since = 0;
  for (std::uint32_t u = 0; u < union_high_; ++u) {
    if (union_[u].references == 0 || !wire::filter_matches(union_text(u), log_.name_of(topic))) continue;
    if (since == 0 || union_[u].since < since) since = union_[u].since;
  }
  return since;
}

void Core::interest_changed(wire::InterestOp op, std::string_view text, std::uint8_t replay) {
  ++mine_.version;
  endpoint_.set_interest(mine_);
  for (std::uint32_t p = 0; p < peer_count_; ++p) tell_interest(p);
  const wire::InterestBody body{mine_.version, own_incarnation_, op, replay, text};
  for (std::uint32_t d = 0; d < peer_count_; ++d) {
    const Downstream& peer = downstreams_[d];
    if (peer.slot == kNil || peer.snapshot == SnapshotStep::begin) continue;
    if (is_leaf(peer.role) || peer.dormant) continue;  // what they are told does not change
    if (peer.snapshot != SnapshotStep::none || room(d) == 0 || !tell(d, PTL_C_INTEREST, body)) begin_snapshot(d);
  }
}

void Core::begin_snapshot(std::uint32_t d) {
  if (downstreams_[d].slot == kNil) return;
  downstreams_[d].snapshot = SnapshotStep::begin;
  downstreams_[d].snapshot_at = 0;
  jobs_due_ = true;
}

// Goes on with the snapshot for this peer as far as its control queue has room.
void Core::run_snapshot(std::uint32_t d) {
  Downstream& peer = downstreams_[d];
  while (peer.snapshot != SnapshotStep::none) {
    if (room(d) <= kControlReserve) {
      jobs_due_ = true;
      return;
    }
    wire::InterestBody body{interest_towards(d).version, own_incarnation_, wire::InterestOp::snapshot_begin, 0, {}};
    switch (peer.snapshot) {
      case SnapshotStep::begin:
        body.replay = peer.turned_to ? 2 : 0;
        tell(d, PTL_C_INTEREST, body);
        body.replay = 0;
        peer.snapshot = SnapshotStep::filters;
        peer.snapshot_at = 0;
        break;
      case SnapshotStep::filters: {
        if (is_leaf(peer.role) || peer.dormant) {
          body.op = wire::InterestOp::add;
          body.filter = "#";
          if (!peer.dormant) tell(d, PTL_C_INTEREST, body);
          peer.snapshot = SnapshotStep::resumes;
          peer.snapshot_at = 0;
          break;
        }
        while (peer.snapshot_at < union_high_ && union_[peer.snapshot_at].references == 0) ++peer.snapshot_at;
        if (peer.snapshot_at == union_high_) {
          peer.snapshot = SnapshotStep::resumes;
          peer.snapshot_at = 0;
          break;
        }
        const std::uint32_t u = peer.snapshot_at++;
        body.op = wire::InterestOp::add;
        body.replay = union_[u].replay;
        body.filter = union_text(u);
        tell(d, PTL_C_INTEREST, body);
        break;
      }
      case SnapshotStep::resumes: {
        if (peer.dormant || peer.snapshot_at >= log_.streams()) {
          peer.snapshot = SnapshotStep::end;
          break;
        }
        const std::uint32_t s = peer.snapshot_at++;
        const Stream& stream = log_.stream(s);
        const bool mine =
            stream.home == Home::unknown || (stream.home == Home::remote && stream.home_peer == d && stream.covered);
        if (!stream.used || !mine) break;
        const std::uint64_t next = wanted_next(s);
        if (next != 0) send_resume(d, s, next);
        break;
      }
      case SnapshotStep::end:
        body.op = wire::InterestOp::snapshot_end;
        tell(d, PTL_C_INTEREST, body);
        peer.turned_to = false;
        peer.snapshot = SnapshotStep::none;
        break;
      case SnapshotStep::none:
        break;
    }
  }
}

}  // namespace portolan::broker::core
