// Who may publish and subscribe what (PROTOCOL.md "Permissions"). Asked when a topic, a stream, a filter or a RESUME is
// named, never on the path of a message: of a stream that was denied its alias knows so.
#include <algorithm>
#include <cstring>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {

void Core::take_permissions(std::span<const Permission> permissions, Arena& arena) {
  permissions_ = arena.take<Allowance>(limits_.permissions);
  permission_texts_ = arena.take<char>(std::size_t{limits_.permissions} * limits_.topic_name_bytes);
  denied_texts_ = arena.take<char>(std::size_t{kDeniedTexts} * limits_.topic_name_bytes);
  permitted_all_ = permissions.empty();
  if (arena.short_of_memory()) return;
  for (const Permission& p : permissions) {
    if (permission_count_ == limits_.permissions || p.topics.size() > limits_.topic_name_bytes ||
        !wire::valid_filter(p.topics)) {
      ++counters.permissions_short;
      continue;
    }
    std::memcpy(permission_texts_ + std::size_t{permission_count_} * limits_.topic_name_bytes, p.topics.data(),
                p.topics.size());
    permissions_[permission_count_++] = {p.key, p.rights, static_cast<std::uint32_t>(p.topics.size())};
  }
}

// One rule has to cover all that a filter asks for: of several together nobody could say what is missing.
bool Core::may_all(std::uint32_t d, Right right, std::string_view filter) const {
  if (permitted_all_ || downstreams_[d].broker) return true;
  for (std::uint32_t i = 0; i < permission_count_; ++i) {
    const Allowance& a = permissions_[i];
    if ((a.rights & right) == 0 || (a.key != Key32{} && a.key != downstreams_[d].key)) continue;
    if (wire::filter_covers({permission_texts_ + std::size_t{i} * limits_.topic_name_bytes, a.length}, filter)) {
      return true;
    }
  }
  return false;
}

bool Core::may(std::uint32_t d, Right right, std::string_view topic) const {
  return may_all(d, right, topic);  // a topic is a filter that matches itself alone
}

bool Core::deny_topic(std::uint32_t d, Right right, std::string_view name) {
  if (may(d, right, name)) return false;
  denied(d, right, name);
  return true;
}

// Not held, so not served and not told to anybody; whoever asked hears so, and goes on with what it may.
bool Core::deny_filter(std::uint32_t slot, const wire::InterestBody& body) {
  const std::uint32_t d = slots_[slot].downstream;
  if (may_all(d, kMaySubscribe, body.filter)) return false;
  denied(d, kMaySubscribe, body.filter);
  wire::DeniedBody answer;
  answer.version = body.version;
  answer.reason = static_cast<std::uint32_t>(RefuseReason::permission);
  answer.filter = body.filter;
  if (room(d) == 0 || !tell(d, PTL_C_DENIED, answer)) endpoint_.close(now_, slots_[slot].session, DownReason::local);
  return true;
}

void Core::denied(std::uint32_t d, Right right, std::string_view name) {
  ++(right == kMayPublish ? counters.denied_publish : counters.denied_subscribe);
  if (denied_pending_ + 1 >= kDeniedTexts || event_count_ == limits_.events) {  // one is in the poller's hands
    ++counters.events_dropped;
    return;
  }
  char* text = denied_texts_ + std::size_t{denied_next_++ % kDeniedTexts} * limits_.topic_name_bytes;
  const std::size_t length = std::min<std::size_t>(name.size(), limits_.topic_name_bytes);
  std::memcpy(text, name.data(), length);
  ++denied_pending_;
  Event event;
  event.kind = EventKind::denied;
  event.topic = {text, length};
  event.peer = downstreams_[d].id;
  event.peer_incarnation = downstreams_[d].incarnation;
  event.code = static_cast<std::uint32_t>(RefuseReason::permission);
  event.count = right;
  push_event(event);
}

}  // namespace portolan::broker::core
