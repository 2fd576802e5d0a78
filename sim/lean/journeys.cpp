#include "sim/lean/journeys.hpp"

namespace portolan::sim {

std::size_t Journeys::home(std::uint64_t key, std::uint32_t process) const {
  const std::uint64_t mixed = (key ^ (process * 0x9E3779B97F4A7C15ull)) * 0xD6E8FEB86659FD93ull;
  return static_cast<std::size_t>(mixed >> 32) & (table_.size() - 1);
}

std::size_t Journeys::place(std::uint64_t key, std::uint32_t process) const {
  std::size_t at = home(key, process);
  while (table_[at] != kNone) {
    const Leg& leg = legs_[table_[at]];
    if (leg.key == key && leg.process == process) break;
    at = (at + 1) & (table_.size() - 1);
  }
  return at;
}

Journeys::Leg* Journeys::find(std::uint64_t key, std::uint32_t process) {
  if (table_.empty()) return nullptr;
  const std::uint32_t leg = table_[place(key, process)];
  return leg == kNone ? nullptr : &legs_[leg];
}

void Journeys::grow() {
  if (2 * (count_ + 1) <= table_.size()) return;
  table_.assign(table_.empty() ? 1'024 : 2 * table_.size(), kNone);
  for (std::uint32_t i = 0; i < legs_.size(); ++i) {
    if (legs_[i].used) table_[place(legs_[i].key, legs_[i].process)] = i;
  }
}

void Journeys::erase(std::uint32_t leg) {
  std::size_t hole = place(legs_[leg].key, legs_[leg].process);
  const std::size_t mask = table_.size() - 1;
  table_[hole] = kNone;
  for (std::size_t at = (hole + 1) & mask; table_[at] != kNone; at = (at + 1) & mask) {
    const Leg& other = legs_[table_[at]];
    const std::size_t wants = home(other.key, other.process);
    if (((at - wants) & mask) < ((at - hole) & mask)) continue;  // it lies between its home and the hole's far side
    table_[hole] = table_[at];
    table_[at] = kNone;
    hole = at;
  }
  legs_[leg].used = false;
  ++legs_[leg].generation;
  free_.push_back(leg);
  --count_;
}

void Journeys::forget_old(std::uint64_t now_ns) {
  for (; oldest_ < age_.size(); ++oldest_) {
    const Leg& leg = legs_[age_[oldest_].leg];
    if (leg.generation != age_[oldest_].generation) continue;  // delivered
    if (leg.made_ns + kForgetNs >= now_ns && count_ < kLegsMax) break;
    erase(age_[oldest_].leg);
    ++forgotten_;
  }
  if (oldest_ > 1'024 && 2 * oldest_ > age_.size()) {
    age_.erase(age_.begin(), age_.begin() + static_cast<std::ptrdiff_t>(oldest_));
    oldest_ = 0;
  }
}

Journeys::Leg& Journeys::make(std::uint64_t key, std::uint32_t process, std::uint64_t now_ns) {
  if (Leg* known = find(key, process)) return *known;
  forget_old(now_ns);
  grow();
  std::uint32_t index = static_cast<std::uint32_t>(legs_.size());
  if (free_.empty()) {
    legs_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
    const std::uint32_t generation = legs_[index].generation;
    legs_[index] = Leg{};
    legs_[index].generation = generation;
  }
  Leg& leg = legs_[index];
  leg.key = key;
  leg.process = process;
  leg.made_ns = now_ns;
  leg.used = true;
  table_[place(key, process)] = index;
  age_.push_back({index, leg.generation});
  ++count_;
  return leg;
}

// The one towards departure.to; made if it is the first.
Journeys::Try& Journeys::try_of(Leg& leg, const Departure& departure, std::uint64_t now_ns, bool& fresh) {
  fresh = false;
  if (leg.tried && leg.first.to == departure.to) return leg.first;
  for (Try& t : leg.more) {
    if (t.to == departure.to) return t;
  }
  fresh = true;
  const Try made{departure.to, departure.session, now_ns, 0};
  if (leg.tried) return leg.more.emplace_back(made);
  leg.tried = true;
  return leg.first = made;
}

void Journeys::published(std::uint64_t key, std::uint32_t process, std::uint64_t intended_ns, std::uint64_t now_ns) {
  Leg& leg = make(key, process, now_ns);
  leg.parts = {};
  leg.repaired = leg.tried = false;
  leg.more.clear();
  leg.parts.broker_ns = static_cast<std::int64_t>(now_ns - intended_ns);  // a paused or busy publisher
  leg.handled_ns = now_ns;
}

Travelled Journeys::depart(std::uint64_t key, std::uint32_t process, const Departure& departure, std::uint64_t now_ns) {
  Travelled out;
  out.key = key;
  Leg* leg = find(key, process);
  if (leg == nullptr) return out;
  out.repaired = leg->repaired || departure.again;
  bool fresh = false;
  Try& t = try_of(*leg, departure, now_ns, fresh);
  if (fresh) {
    // its first time
  } else if (t.session != departure.session) {
    t.repair_ns += static_cast<std::int64_t>(now_ns - t.fresh_ns);
    t.session = departure.session;
    t.fresh_ns = now_ns;
  } else if (!departure.again && !departure.whole) {
    t.fresh_ns = now_ns;
  }
  out.known = true;
  out.repaired = out.repaired || t.repair_ns > 0;
  out.parts = leg->parts;
  out.parts.queueing_ns += static_cast<std::int64_t>(t.fresh_ns - leg->handled_ns) - t.repair_ns;
  out.parts.repair_ns += t.repair_ns + static_cast<std::int64_t>(now_ns - t.fresh_ns);
  return out;
}

void Journeys::arrive(const Travelled& so_far, const Parts& network, std::uint32_t process, std::uint64_t now_ns,
                      std::uint64_t handled_ns) {
  if (!so_far.known) return;
  Leg& leg = make(so_far.key, process, now_ns);
  if (leg.tried) return;  // it has gone on already: a spurious repair
  leg.parts = so_far.parts;
  leg.parts.propagation_ns += network.propagation_ns;
  leg.parts.serialisation_ns += network.serialisation_ns;
  leg.parts.queueing_ns += network.queueing_ns;
  leg.parts.broker_ns += static_cast<std::int64_t>(handled_ns - now_ns);
  leg.handled_ns = handled_ns;
  leg.repaired = so_far.repaired;
}

bool Journeys::deliver(std::uint64_t key, std::uint32_t process, std::uint64_t now_ns, Parts& out, bool& repaired) {
  const Leg* leg = find(key, process);
  if (leg == nullptr) return false;
  out = leg->parts;
  out.repair_ns += static_cast<std::int64_t>(now_ns - leg->handled_ns);
  repaired = leg->repaired || now_ns != leg->handled_ns;
  erase(static_cast<std::uint32_t>(leg - legs_.data()));
  return true;
}

}  // namespace portolan::sim
