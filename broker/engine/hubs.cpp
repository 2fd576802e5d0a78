// Hubs: beyond 64 harbours a leaf holds sessions to a hub and a standby, and hubs mesh. What passes where:
//
//   from \ to        client   mesh   leaf               hub, standby (I am a leaf)
//   published here   yes      yes    yes                the one that serves me
//   mesh peer        yes      no     yes                -
//   leaf             yes      yes    all but itself     -
//   hub              yes      -      -                  no
//
// So the longest way is leaf, hub, hub, leaf, and nothing goes back to the side it came from. A leaf tells its hub what
// its clients want; a hub tells other hubs what its clients and leaves want, and asks its leaves for everything ("#").
// The hub that does not serve a leaf is *dormant* there: it is told an empty interest, and gets nothing. When the one
// that serves dies, the leaf turns to the other: with its whole interest and RESUMEs for what it wants, and with its
// own log from where the dead one had `delivered`. The dead one keeps its place in the minimum, as anybody absent,
// until it is back or detached: so nothing is *received* that only it could have passed on.
#include <algorithm>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {
namespace {

constexpr std::uint64_t kCaughtUpNs = 2'000'000'000;

bool is_upwards(const Downstream& d) {
  return d.broker && (d.role == PeerRole::hub || d.role == PeerRole::standby);
}

}  // namespace

bool Core::passes(std::uint32_t d, std::uint32_t from) const {
  const Downstream& down = downstreams_[d];
  if (!down.broker || from == kNil) return true;
  if (from == d) return false;
  switch (down.role) {
    case PeerRole::leaf:
    case PeerRole::standby_leaf:
      return true;
    case PeerRole::mesh:
      return is_leaf(downstreams_[from].role);
    case PeerRole::hub:
    case PeerRole::standby:
      return false;
  }
  return false;
}

// Whether this downstream may be served of the stream, or wait for it, by me.
bool Core::may_need(std::uint32_t d, std::uint32_t s) const {
  const Downstream& down = downstreams_[d];
  if (!down.broker) return true;
  if (down.dormant) return false;
  const Stream& stream = log_.stream(s);
  if (stream.home == Home::unknown) return is_leaf(down.role);
  return stream.home == Home::local || passes(d, stream.home_peer);
}

// ------------------------------------------------------------------ interest

InterestState Core::interest_towards(std::uint32_t d) const {
  const Downstream& peer = downstreams_[d];
  if (is_leaf(peer.role)) return {own_incarnation_, 1, wire::filter_digest("#", 0)};
  if (peer.dormant) return {own_incarnation_, 0, 0};
  return mine_;
}

void Core::tell_interest(std::uint32_t d) {
  const Downstream& peer = downstreams_[d];
  if (peer.slot != kNil) endpoint_.set_interest(slots_[peer.slot].session, interest_towards(d));
}

// The version of what I told this peer from which on the topic is wanted; 0: it is not.
std::uint64_t Core::wanted_since(std::uint32_t topic, std::uint32_t home) const {
  if (home != kNil && is_leaf(downstreams_[home].role)) return 1;
  return log_.topic(topic).wanted_since;
}

// ------------------------------------------------------------------ a leaf's hub

void Core::choose_hub() {
  if (hub_ == kNil || downstreams_[hub_].slot != kNil) return;
  // Both come up at about the same time: the first one gets a moment.
  if (!downstreams_[hub_].seen && now_.mono_ns < started_ns_ + kBootGraceNs) return;
  for (std::uint32_t p = 0; p < peer_count_; ++p) {
    if (p == hub_ || !is_upwards(downstreams_[p]) || downstreams_[p].slot == kNil) continue;
    take_over(hub_, p);
    return;
  }
}

void Core::take_over(std::uint32_t from, std::uint32_t to) {
  ++counters.hub_changes;
  let_go_quietly(to);
  downstreams_[from].dormant = true;
  downstreams_[to].dormant = downstreams_[to].detached = downstreams_[to].was_detached = false;
  downstreams_[to].peer_answered = 0;
  downstreams_[to].turned_to = true;
  downstreams_[to].snapshot_due_ns = 0;
  downstreams_[to].since_ns = now_.mono_ns;
  hub_ = to;
  for (std::uint32_t s = 0; s < log_.streams(); ++s) {
    Stream& stream = log_.stream(s);
    if (stream.used && stream.home == Home::remote && stream.home_peer == from) stream.home_peer = to;
  }
  if (downstreams_[to].first_filter != kNil) {
    for (std::uint32_t t = 0; t < log_.topics(); ++t) {
      if (log_.topic(t).used) rematch_topic(to, t, 0);
    }
  }
  for (const std::uint32_t p : {from, to}) tell_interest(p);
  begin_snapshot(to);
  answers_due_ = jobs_due_ = true;
}

// The former one still holds a place for me, which keeps what I have missed from being *received*. It hears that I want
// nothing of it only when I have caught up with the other.
void Core::greet_dormant(std::uint32_t d) {
  if (counters.hub_changes == 0) return begin_snapshot(d);
  downstreams_[d].snapshot_due_ns = now_.mono_ns + kCaughtUpNs;
}

// Where the other one stood: all below it is delivered everywhere. 0: it was not served of this stream.
std::uint64_t Core::other_hubs_cursor(std::uint32_t d, std::uint32_t s) {
  if (!is_upwards(downstreams_[d])) return 0;
  for (std::uint32_t p = 0; p < peer_count_; ++p) {
    if (p != d && is_upwards(downstreams_[p]) && cursor(p, s) != 0) return cursor(p, s);
  }
  return 0;
}

// A dormant one owes nothing once it is known to live: whoever serves me now has it all.
void Core::let_go_quietly(std::uint32_t d) {
  for (std::uint32_t t = 0; t < log_.topics(); ++t) {
    if (lag(d, t).attached) release_topic(d, t);
  }
  std::fill_n(&cursor(d, 0), limits_.streams, 0ull);
}

// ------------------------------------------------------------------ a hub's leaves

// From its cursors on, anew.
void Core::place_again(std::uint32_t d, std::uint32_t topic) {
  Lag& l = lag(d, topic);
  l.attached = true;
  l.acked = l.sent = kNil;
  l.inflight = 0;
  ++l.epoch;
  owing_.set(topic, d);
  for (std::uint32_t s = log_.topic(topic).first_stream; s != kNil; s = log_.stream(s).next_in_topic) {
    if (cursor(d, s) != 0 && may_need(d, s)) resume_held(d, s, cursor(d, s));
  }
  make_ready(d, topic);
}

// A stream that came by another hub now comes from a leaf of mine (its hub died), or the other way round. What I hold
// of it came from the former side and so passed to others than it would now: perhaps the dead one was the only one to
// pass it there. It counts as come this way; each broker begins again at its cursor, and drops what it has.
void Core::came_another_way(std::uint32_t s, std::uint32_t home) {
  Stream& stream = log_.stream(s);
  if (!i_am_hub_ || stream.held + stream.early == 0) return;
  const std::uint32_t topic = stream.topic;
  keep_expired_ = true;  // nothing leaves the log meanwhile
  for (std::uint32_t d = 0; d < peer_count_; ++d) {
    lag(d, topic).again = lag(d, topic).attached;
    if (lag(d, topic).again) release_topic(d, topic);
  }
  for (std::uint32_t first : {stream.first_held, stream.first_early}) {
    for (std::uint32_t e = first; e != kNil; e = log_.entry(e).after) {
      if (log_.entry(e).from != kNil) log_.entry(e).from = home;
    }
  }
  stream.home_peer = home;
  for (std::uint32_t d = 0; d < peer_count_; ++d) {
    if (lag(d, topic).again) place_again(d, topic);
  }
  keep_expired_ = false;
  expire(topic);
}

}  // namespace portolan::broker::core
