#include "broker/client/interest.hpp"

#include <algorithm>

namespace portolan::broker::client {
namespace {

constexpr std::uint32_t kStep = 32;  // control messages a step, so that no call floods the session's control queue

}  // namespace

Interest::Interest(Context& context, Arena& arena)
    : c_(context),
      filters_(arena.take<Filter>(context.limits.filters_per_downstream)),
      names_(arena.take<char>(std::size_t{context.limits.filters_per_downstream} * context.limits.topic_name_bytes)),
      name_bytes_(context.limits.topic_name_bytes) {}

std::uint32_t Interest::find(std::string_view filter) const {
  for (std::uint32_t i = 0; i < made_; ++i) {
    if (filters_[i].used && text(i) == filter) return i;
  }
  return kNil;
}

RefuseReason Interest::subscribe(Now now, std::string_view filter, std::uint8_t replay, Cursors& cursors) {
  if (filter.size() > name_bytes_ || !wire::valid_filter(filter) || wire::depth_of(filter) > c_.limits.filter_depth ||
      replay > 2) {
    return RefuseReason::bad_topic;
  }
  if (find(filter) != kNil) return RefuseReason::none;  // stands already
  std::uint32_t i = 0;
  while (i < made_ && (filters_[i].used || filters_[i].denied)) ++i;
  if (i == c_.limits.filters_per_downstream) return RefuseReason::memory_full;
  made_ = std::max(made_, i + 1);
  cursors.await_streams([&](std::uint32_t topic) { return wire::filter_matches(filter, c_.topics.name(topic)); });
  ++version_;
  filters_[i] = Filter{.used = true,
                       .confirmed = false,
                       .to_tell = false,
                       .denied = false,
                       .amid = syncing(),
                       .replay = replay,
                       .bytes = static_cast<std::uint16_t>(filter.size()),
                       .unreachable = 0,
                       .version = version_,
                       .subscribed_version = 0};
  std::copy(filter.begin(), filter.end(), names_ + std::size_t{i} * name_bytes_);
  digest_ ^= wire::filter_digest(filter, replay);
  changed();
  tell_change(now, wire::InterestOp::add, filter, replay);
  return RefuseReason::none;
}

void Interest::unsubscribe(Now now, std::string_view filter, Cursors& cursors) {
  const std::uint32_t i = find(filter);
  if (i == kNil) return;
  digest_ ^= wire::filter_digest(filter, filters_[i].replay);
  ++version_;
  tell_change(now, wire::InterestOp::remove, filter, 0);
  filters_[i] = Filter{};
  changed();
  cursors.forget_unwanted([&](std::uint32_t topic) { return wanted(c_.topics.name(topic)) != Cursors::Wanted::no; });
}

void Interest::denied(const wire::DeniedBody& body, Cursors& cursors) {
  const std::uint32_t i = find(body.filter);
  if (i == kNil || filters_[i].version > body.version) return;  // given up meanwhile, or asked for anew since
  digest_ ^= wire::filter_digest(body.filter, filters_[i].replay);
  const std::uint16_t bytes = filters_[i].bytes;
  filters_[i] = Filter{};
  filters_[i].bytes = bytes;
  filters_[i].denied = true;
  changed();
  cursors.forget_unwanted([&](std::uint32_t topic) { return wanted(c_.topics.name(topic)) != Cursors::Wanted::no; });
  OutputQueue::Item item;
  item.kind = EventKind::denied;
  item.name = i;
  item.code = body.reason;
  item.count = 2;
  c_.out.push(item);
}

// A change amid a snapshot has no place in it: another snapshot follows.
void Interest::tell_change(Now now, wire::InterestOp op, std::string_view filter, std::uint8_t replay) {
  if (syncing()) {
    again_ = true;
  } else {
    send(now, op, filter, replay);
  }
}

void Interest::changed() {
  c_.endpoint.set_interest({c_.identity.incarnation, version_, digest_});
}

void Interest::send(Now now, wire::InterestOp op, std::string_view filter, std::uint8_t replay) {
  c_.send(
      now, PTL_C_INTEREST,
      wire::InterestBody{
          .version = version_, .incarnation = c_.identity.incarnation, .op = op, .replay = replay, .filter = filter});
}

std::uint64_t Interest::since(std::string_view topic) const {
  std::uint64_t oldest = ~0ull;
  for (std::uint32_t i = 0; i < made_; ++i) {
    if (filters_[i].used && wire::filter_matches(text(i), topic)) oldest = std::min(oldest, filters_[i].version);
  }
  return oldest;
}

Cursors::Wanted Interest::wanted(std::string_view topic) const {
  Cursors::Wanted answer = Cursors::Wanted::no;
  for (std::uint32_t i = 0; i < made_; ++i) {
    if (!filters_[i].used || !wire::filter_matches(text(i), topic)) continue;
    if (filters_[i].confirmed) return Cursors::Wanted::confirmed;
    answer = Cursors::Wanted::pending;
  }
  return answer;
}

void Interest::session_down() {
  phase_ = Phase::idle;
  again_ = false;
  snapshot_version_ = 0;
}

void Interest::sync(Phase phase) {
  if (phase_ != Phase::idle) {
    again_ = true;
    return;
  }
  phase_ = phase;
  whole_ = phase == Phase::begin;
  at_ = 0;
}

void Interest::ask(std::uint32_t what) {
  sync(what == wire::kAskInterest ? Phase::begin : Phase::cursors);
}

bool Interest::sync_step(Now now, const Cursors& cursors) {
  for (std::uint32_t sent = 0; sent < kStep && phase_ != Phase::idle; ++sent) {
    if (c_.endpoint.control_room(c_.session) < kControlReserve) return false;  // goes on when an ACK has made room
    switch (phase_) {
      case Phase::idle:
        break;
      case Phase::begin:
        send(now, wire::InterestOp::snapshot_begin, {}, 0);
        phase_ = Phase::adds;
        break;
      case Phase::adds:
        if (at_ == made_) {
          phase_ = Phase::cursors;
          at_ = 0;
          break;
        }
        if (filters_[at_].used) send(now, wire::InterestOp::add, text(at_), filters_[at_].replay);
        ++at_;
        break;
      case Phase::cursors: {
        if (at_ >= cursors.count()) {
          phase_ = whole_ ? Phase::end : Phase::idle;
          break;
        }
        Cursors::Position p{};
        if (!cursors.position(at_++, p)) break;
        c_.announce_topic(now, p.topic);
        c_.send(now, PTL_C_RESUME,
                wire::ResumeBody{
                    .publisher = p.publisher, .next = p.next, .topic = p.topic + 1, .incarnation = p.incarnation});
        break;
      }
      case Phase::end:
        snapshot_version_ = again_ ? 0 : version_;
        send(now, wire::InterestOp::snapshot_end, {}, 0);
        phase_ = Phase::idle;
        break;
    }
  }
  if (phase_ == Phase::idle && again_) {
    again_ = false;
    ++version_;  // so that its answer is not taken for that of the one before
    for (std::uint32_t i = 0; i < made_; ++i) {
      if (filters_[i].amid) filters_[i].version = version_;
      filters_[i].amid = false;
    }
    changed();
    sync(Phase::begin);
  }
  return phase_ != Phase::idle;
}

// The answer to one add names that add's version; the answer to a snapshot confirms all that stood in it.
void Interest::subscribed(const wire::SubscribedBody& body) {
  const bool snapshot = snapshot_version_ != 0 && body.version == snapshot_version_;
  if (snapshot) snapshot_version_ = 0;
  for (std::uint32_t i = 0; i < made_; ++i) {
    Filter& f = filters_[i];
    const bool meant = f.used && (f.version == body.version || (snapshot && f.version <= body.version));
    if (!meant || (f.confirmed && f.unreachable == body.total)) continue;
    const bool news = !f.confirmed || f.version == body.version;
    f.confirmed = true;
    f.unreachable = body.total;
    if (!news) continue;
    f.subscribed_version = body.version;
    f.to_tell = to_tell_ = true;
  }
  tell();
}

void Interest::tell() {
  if (!to_tell_) return;
  for (std::uint32_t i = 0; i < made_; ++i) {
    if (!filters_[i].to_tell) continue;
    if (!c_.out.event_room(1)) return;
    filters_[i].to_tell = false;
    OutputQueue::Item item;
    item.kind = EventKind::subscribed;
    item.name = i;
    item.count = filters_[i].unreachable;
    item.first = item.last = filters_[i].subscribed_version;
    c_.out.push(item);
  }
  to_tell_ = false;
}

}  // namespace portolan::broker::client
