#include "broker/testing/oracle.hpp"

#include <algorithm>

#include "broker/wire/control.hpp"

namespace portolan::broker::testing {
namespace {

constexpr std::uint64_t kEnded = ~0ull;
// A broker notices a loss later than it happens, and its clock of absence begins then.
constexpr std::uint64_t kDetachMargin = kSecond;
constexpr std::uint64_t kComeBack = 2 * kSecond;

std::string at(std::uint64_t now) {
  return "t=" + std::to_string(now / kSecond) + "." + std::to_string(1'000'000 + now % kSecond / 1'000).substr(1) +
         "s ";
}

}  // namespace

void Oracle::wrong(std::uint64_t now, const std::string& what) {
  violations_.push_back(at(now) + what);
}

void Oracle::client_started(std::uint64_t, Node client, Node broker, std::uint64_t publisher,
                            std::uint32_t incarnation) {
  Life l;
  l.client = client;
  l.broker = broker;
  l.publisher = publisher;
  l.incarnation = incarnation;
  lives_.push_back(l);
}

void Oracle::client_killed(std::uint64_t, Node client) {
  if (Life* l = life(client)) {
    for (auto& [key, stream] : streams_) {
      if (std::get<1>(key) == l->publisher && std::get<2>(key) == l->incarnation) stream.alive = false;
    }
    l->alive = false;
  }
}

void Oracle::broker_killed(std::uint64_t now, Node broker) {
  broker_kills_[broker].push_back(now);
}

void Oracle::connected(std::uint64_t now, Node client, Node home, bool up) {
  Life* l = life(client);
  if (l == nullptr) return;
  auto& outages = l->outages[home];
  const bool open = !outages.empty() && outages.back().to == kEnded;
  if (up && open) outages.back().to = now;
  if (!up && !open) outages.push_back({now, kEnded});
}

void Oracle::detached(std::uint64_t now, Node broker, Node peer) {
  detaches_[{broker, peer}].push_back(now);
}

Oracle::Life* Oracle::life(Node client) {
  for (auto it = lives_.rbegin(); it != lives_.rend(); ++it) {
    if (it->client == client && it->alive) return &*it;
  }
  return nullptr;
}

void Oracle::published(std::uint64_t now, Node client, const std::string& topic, std::uint64_t sequence) {
  Life* l = life(client);
  Stream& s = streams_[{topic, l->publisher, l->incarnation}];
  s.client = client;
  s.home = l->broker;
  if (sequence != s.sent.size() + 1) wrong(now, "publish of " + topic + " got number " + std::to_string(sequence));
  s.sent.push_back({now, 0, 0, false});
  ++totals_.published;
}

void Oracle::accepted(std::uint64_t now, Node client, const std::string& topic, std::uint64_t first,
                      std::uint64_t last) {
  Life* l = life(client);
  Stream& s = streams_[{topic, l->publisher, l->incarnation}];
  for (std::uint64_t i = first; i <= last; ++i) {
    if (i == 0 || i > s.sent.size()) return wrong(now, "accepted what was never published on " + topic);
    if (s.sent[i - 1].accepted_ns == 0) ++totals_.accepted;
    s.sent[i - 1].accepted_ns = now;
  }
}

// The application was told that it is gone: nothing is owed, and a gap stands in its place.
void Oracle::refused(std::uint64_t now, Node client, const std::string& topic, std::uint64_t sequence) {
  Life* l = life(client);
  Stream& s = streams_[{topic, l->publisher, l->incarnation}];
  if (sequence == 0 || sequence > s.sent.size()) return wrong(now, "refused what was never published on " + topic);
  if (s.sent[sequence - 1].accepted_ns != 0) {
    wrong(now, "refused after it was accepted: " + topic + " #" + std::to_string(sequence));
  }
  s.sent[sequence - 1].refused = true;
  ++totals_.refused;
}

void Oracle::received(std::uint64_t now, Node client, const std::string& topic, std::uint64_t first,
                      std::uint64_t last) {
  Life* l = life(client);
  const StreamKey key{topic, l->publisher, l->incarnation};
  Stream& s = streams_[key];
  for (std::uint64_t i = first; i <= last; ++i) {
    if (i == 0 || i > s.sent.size()) return wrong(now, "received what was never published on " + topic);
    Sent& sent = s.sent[i - 1];
    if (sent.accepted_ns == 0) wrong(now, topic + " received before accepted");
    if (sent.received_ns != 0) wrong(now, topic + " received twice");
    sent.received_ns = now;
    ++totals_.received;
    check_received(now, key, s, i);
  }
}

void Oracle::subscribe(std::uint64_t, Node client, const std::string& filter) {
  life(client)->subscriptions.push_back({filter, 0, 0});
}

void Oracle::unsubscribe(std::uint64_t, Node client, const std::string& filter) {
  Life* l = life(client);
  std::erase_if(l->subscriptions, [&](const Subscription& s) { return s.filter == filter; });
  // What comes after is another subscription, with start cursors of its own.
  std::erase_if(l->places, [&](const auto& place) { return !wants(*l, place.first.first); });
  l->resubscribed = true;
}

void Oracle::subscribed(std::uint64_t now, Node client, const std::string& filter, std::uint32_t unreachable) {
  for (Subscription& s : life(client)->subscriptions) {
    if (s.filter != filter) continue;
    if (s.standing_since == 0) s.standing_since = now;
    s.unreachable = std::max(s.unreachable, unreachable);
  }
}

bool Oracle::wants(const Life& l, const std::string& topic) const {
  return std::any_of(l.subscriptions.begin(), l.subscriptions.end(),
                     [&](const Subscription& s) { return wire::filter_matches(s.filter, topic); });
}

const Oracle::Subscription* Oracle::standing(const Life& l, const std::string& topic) const {
  const Subscription* first = nullptr;
  for (const Subscription& s : l.subscriptions) {
    if (s.standing_since == 0 || !wire::filter_matches(s.filter, topic)) continue;
    if (first == nullptr || s.standing_since < first->standing_since) first = &s;
  }
  return first;
}

void Oracle::cursor(std::uint64_t now, Node client, const std::string& topic, std::uint64_t publisher,
                    std::uint32_t incarnation, std::uint64_t first) {
  Life* l = life(client);
  if (!wants(*l, topic) && !l->resubscribed) wrong(now, "cursor of " + topic + ", which nobody asked for");
  const auto [it, is_new] = l->places.try_emplace({topic, publisher});
  Place& p = it->second;
  if (is_new) {
    p.start_incarnation = incarnation;
    p.start = first;
  } else if (incarnation > p.incarnation) {
    p.closed[p.incarnation] = p.next;
  } else if (incarnation < p.incarnation || !l->resubscribed) {
    wrong(now, "a second cursor of " + topic);
  } else {
    p.start_incarnation = incarnation;
    p.start = first;
  }
  p.incarnation = incarnation;
  p.next = first;
  p.begun[incarnation] = first;
}

void Oracle::delivered(std::uint64_t now, Node client, const std::string& topic, std::uint64_t publisher,
                       std::uint32_t incarnation, std::uint64_t sequence, bool payload_right) {
  ++totals_.delivered;
  Life* l = life(client);
  const std::string what = "client " + std::to_string(client) + " got " + topic + " of " + std::to_string(publisher) +
                           "." + std::to_string(incarnation) + " #" + std::to_string(sequence);
  const auto sent = streams_.find({topic, publisher, incarnation});
  if (sent == streams_.end() || sequence == 0 || sequence > sent->second.sent.size()) {
    return wrong(now, what + ", which was never published");
  }
  if (!payload_right) wrong(now, what + " with wrong bytes");
  const auto it = l->places.find({topic, publisher});
  if (it == l->places.end()) return wrong(now, what + " without a cursor");
  Place& p = it->second;
  if (incarnation != p.incarnation || sequence != p.next) {
    return wrong(now, what + ", where " + std::to_string(p.incarnation) + " #" + std::to_string(p.next) + " was next");
  }
  ++p.next;
}

void Oracle::gap(std::uint64_t now, Node client, const std::string& topic, std::uint64_t publisher,
                 std::uint32_t incarnation, std::uint64_t first, std::uint64_t last, std::uint32_t reason) {
  ++totals_.gaps;
  if (last != kEnded) totals_.gap_messages += last - first + 1;
  Life* l = life(client);
  const std::string what = at(now) + "client " + std::to_string(client) + " was told gap " + std::to_string(first) +
                           ".." + (last == kEnded ? "end" : std::to_string(last)) + " (reason " +
                           std::to_string(reason) + ") of " + topic + " of " + std::to_string(publisher) + "." +
                           std::to_string(incarnation);
  const auto it = l->places.find({topic, publisher});
  if (it == l->places.end()) return violations_.push_back(what + " without a cursor");
  Place& p = it->second;
  if (incarnation == p.incarnation) {
    if (first != p.next || last < first)
      violations_.push_back(what + ", where #" + std::to_string(p.next) + " was next");
    p.next = last == kEnded ? kEnded : last + 1;
  } else if (incarnation > p.incarnation) {
    p.closed[incarnation] = last == kEnded ? kEnded : last + 1;
  } else {
    violations_.push_back(what + " of an incarnation that is over");
  }
  gaps_over_.emplace_back(StreamKey{topic, publisher, incarnation}, first, last, what);
}

bool Oracle::has(const Life& l, const StreamKey& key, std::uint64_t sequence) const {
  const auto& [topic, publisher, incarnation] = key;
  const auto it = l.places.find({topic, publisher});
  if (it == l.places.end()) return false;
  const Place& p = it->second;
  if (incarnation == p.incarnation) return sequence < p.next;
  const auto closed = p.closed.find(incarnation);
  return closed != p.closed.end() && sequence < closed->second;
}

bool Oracle::owes(const Life& l, const StreamKey& key, const Stream& stream, std::uint64_t sequence) const {
  const auto& [topic, publisher, incarnation] = key;
  const Subscription* s = standing(l, topic);
  if (s == nullptr) return false;
  const Sent& sent = stream.sent[sequence - 1];
  if (s->unreachable == 0 && sent.published_ns > s->standing_since) return true;
  const auto it = l.places.find({topic, publisher});
  if (it == l.places.end()) return false;
  const Place& p = it->second;
  if (incarnation < p.start_incarnation) return false;
  const auto begun = p.begun.find(incarnation);
  return begun == p.begun.end() || sequence >= begun->second;
}

bool Oracle::long_absent(const Life& l, Node home, std::uint64_t from, std::uint64_t to) const {
  const auto it = l.outages.find(home);
  if (it == l.outages.end()) return false;
  for (const Outage& o : it->second) {
    const std::uint64_t end = std::min(o.to, to);
    // Once detached it is attached again only some time after the way is back.
    if (end > o.from && end - o.from + kDetachMargin >= detach_ns_ && (o.to == kEnded || o.to + 2 * kSecond >= from)) {
      return true;
    }
  }
  return false;
}

bool Oracle::was_detached(const Life& l, Node home, std::uint64_t since) const {
  const auto outages = l.outages.find(home);
  const auto after = [&](Node broker, Node peer) {
    const auto it = detaches_.find({broker, peer});
    if (it == detaches_.end()) return false;
    return std::any_of(it->second.begin(), it->second.end(), [&](std::uint64_t detach) {
      // One that is away comes back when its way does, and its RESUME soon after it hears of it; unless the way is
      // gone again before that.
      std::uint64_t back = detach;
      for (std::size_t i = 0; outages != l.outages.end() && i < outages->second.size() && back != kEnded; ++i) {
        const Outage& o = outages->second[i];
        if (o.from <= back + (back == detach ? 0 : kComeBack) && back < o.to) back = o.to;
      }
      return back == kEnded || back + kComeBack >= since;
    });
  };
  return after(home, l.broker) || after(home, l.client) || after(l.broker, l.client);
}

bool Oracle::excused(const Stream& stream, const Sent& sent) const {
  if (stream.alive) return false;
  const auto it = broker_kills_.find(stream.home);
  if (it == broker_kills_.end()) return false;
  return std::any_of(it->second.begin(), it->second.end(), [&](std::uint64_t kill) {
    return kill >= sent.published_ns && (sent.received_ns == 0 || sent.received_ns >= kill);
  });
}

void Oracle::check_received(std::uint64_t now, const StreamKey& key, const Stream& stream, std::uint64_t sequence) {
  const Sent& sent = stream.sent[sequence - 1];
  for (const Life& l : lives_) {
    if (!l.alive || !owes(l, key, stream, sequence) || has(l, key, sequence)) continue;
    const Subscription* s = standing(l, std::get<0>(key));
    if (sent.published_ns < s->standing_since) continue;  // promised to those attached when it was admitted
    if (long_absent(l, stream.home, sent.published_ns, now)) continue;
    if (was_detached(l, stream.home, sent.published_ns)) continue;
    // A start cursor that is still on its way may show that nothing was owed: judged at the end.
    broken_.push_back({static_cast<std::size_t>(&l - lives_.data()), key, sequence,
                       at(now) + "received was told, but " + missing(l, key, sequence)});
  }
}

std::string Oracle::missing(const Life& l, const StreamKey& key, std::uint64_t sequence) const {
  const auto& [topic, publisher, incarnation] = key;
  std::string text = "client " + std::to_string(l.client) + " lacks " + topic + " of " + std::to_string(publisher) +
                     "." + std::to_string(incarnation) + " #" + std::to_string(sequence);
  if (const auto it = l.places.find({topic, publisher}); it != l.places.end()) {
    text += " (its next is " + std::to_string(it->second.incarnation) + " #" + std::to_string(it->second.next) + ")";
  } else {
    text += " (no cursor)";
  }
  return text;
}

bool Oracle::settled() const {
  for (const auto& [key, stream] : streams_) {
    for (std::uint64_t i = 1; i <= stream.sent.size(); ++i) {
      const Sent& sent = stream.sent[i - 1];
      if (stream.alive && sent.received_ns == 0 && !sent.refused) return false;
      if (sent.accepted_ns == 0 || sent.refused) continue;
      for (const Life& l : lives_) {
        if (l.alive && owes(l, key, stream, i) && !has(l, key, i) && !excused(stream, sent)) return false;
      }
    }
  }
  for (const Life& l : lives_) {
    if (!l.alive) continue;
    for (const Subscription& s : l.subscriptions) {
      if (s.standing_since == 0) return false;
    }
  }
  return true;
}

void Oracle::judge(std::uint64_t now) {
  for (const Broken& b : broken_) {
    if (owes(lives_[b.life], b.key, streams_[b.key], b.sequence)) violations_.push_back(b.what);
  }
  for (const auto& [key, stream] : streams_) {
    std::uint64_t unanswered = 0, unaccepted = 0;
    for (std::uint64_t i = 1; i <= stream.sent.size(); ++i) {
      const Sent& sent = stream.sent[i - 1];
      if (sent.refused) continue;
      unanswered += stream.alive && sent.received_ns == 0 ? 1u : 0u;
      unaccepted += stream.alive && sent.accepted_ns == 0 ? 1u : 0u;
      if (sent.accepted_ns == 0) continue;
      const bool forgiven = excused(stream, sent);
      totals_.excused += forgiven ? 1u : 0u;
      for (const Life& l : lives_) {
        if (!l.alive || forgiven || !owes(l, key, stream, i) || has(l, key, i)) continue;
        wrong(now, "lost: " + missing(l, key, i));
        break;
      }
    }
    if (unanswered > 0) {
      wrong(now, std::get<0>(key) + " of " + std::to_string(std::get<1>(key)) + ": " + std::to_string(unanswered) +
                     " never received, of them " + std::to_string(unaccepted) + " never accepted");
    }
  }
  for (const Life& l : lives_) {
    for (const Subscription& s : l.subscriptions) {
      if (l.alive && s.standing_since == 0) {
        wrong(now, "client " + std::to_string(l.client) + " never got SUBSCRIBED for " + s.filter);
      }
    }
  }
  if (gaps_allowed_) return;
  for (const auto& [key, first, last, what] : gaps_over_) {
    const Stream& stream = streams_[key];
    for (std::uint64_t i = first; i <= std::min<std::uint64_t>(last, stream.sent.size()); ++i) {
      const Sent& sent = stream.sent[i - 1];
      if (sent.accepted_ns == 0 || sent.refused || excused(stream, sent)) continue;
      violations_.push_back(what + ", but #" + std::to_string(i) + " was accepted and nobody died with it");
      break;
    }
  }
}

}  // namespace portolan::broker::testing
