#include "sim/lean/journeys.hpp"

namespace portolan::sim {

std::uint64_t Journeys::mixed(std::uint64_t key, std::uint32_t process) {
  return (key ^ (process * 0x9E3779B97F4A7C15ull)) * 0xD6E8FEB86659FD93ull;
}

std::size_t Journeys::place(std::uint64_t key, std::uint32_t process) const {
  const std::uint64_t hash = mixed(key, process);
  const auto mark = static_cast<std::uint32_t>(hash);
  std::size_t i = home(hash);
  while (table_[i].leg != kNone) {
    if (table_[i].mark == mark) {
      const Leg& leg = at(table_[i].leg);
      if (leg.key == key && leg.process == process) break;
    }
    i = (i + 1) & (table_.size() - 1);
  }
  return i;
}

Journeys::Leg* Journeys::find(std::uint64_t key, std::uint32_t process) {
  if (table_.empty()) return nullptr;
  const std::uint32_t leg = table_[place(key, process)].leg;
  return leg == kNone ? nullptr : &at(leg);
}

void Journeys::grow() {
  if (2 * (count_ + 1) <= table_.size()) return;
  table_.assign(table_.empty() ? 1'024 : 2 * table_.size(), {});
  for (std::uint32_t i = 0; i < made_; ++i) {
    const Leg& leg = at(i);
    if (leg.used) table_[place(leg.key, leg.process)] = {i, static_cast<std::uint32_t>(mixed(leg.key, leg.process))};
  }
}

void Journeys::erase(std::uint32_t index) {
  Leg& leg = at(index);
  std::size_t hole = place(leg.key, leg.process);
  const std::size_t mask = table_.size() - 1;
  table_[hole] = {};
  for (std::size_t i = (hole + 1) & mask; table_[i].leg != kNone; i = (i + 1) & mask) {
    const Leg& other = at(table_[i].leg);
    const std::size_t wants = home(mixed(other.key, other.process));
    if (((i - wants) & mask) < ((i - hole) & mask)) continue;  // it lies between its home and the hole's far side
    table_[hole] = table_[i];
    table_[i] = {};
    hole = i;
  }
  leg.used = false;
  ++leg.generation;
  free_.push_back(index);
  --count_;
}

void Journeys::forget_old(std::uint64_t now_ns) {
  for (; oldest_ < age_.size(); ++oldest_) {
    const Leg& leg = at(age_[oldest_].leg);
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
  Cell& cell = table_[place(key, process)];
  std::uint32_t index = made_;
  if (free_.empty()) {
    if (made_ % kChunk == 0) legs_.push_back(std::make_unique<Leg[]>(kChunk));
    at(made_++).index = index;
  } else {
    index = free_.back();
    free_.pop_back();
    const std::uint32_t generation = at(index).generation;
    at(index) = Leg{};
    at(index).index = index;
    at(index).generation = generation;
  }
  Leg& leg = at(index);
  leg.key = key;
  leg.process = process;
  leg.made_ns = now_ns;
  leg.used = true;
  cell = {index, static_cast<std::uint32_t>(mixed(key, process))};
  age_.push_back({index, leg.generation});
  ++count_;
  return leg;
}

// The one towards departure.to; made if it is the first.
Journeys::Try& Journeys::try_of(Leg& leg, const Departure& departure, std::uint64_t now_ns, bool& fresh) {
  fresh = false;
  if (leg.tried && leg.first.to == departure.to) return leg.first;
  if (leg.more != nullptr) {
    for (Try& t : *leg.more) {
      if (t.to == departure.to) return t;
    }
  }
  fresh = true;
  const Try made{departure.to, departure.session, now_ns, 0};
  if (leg.tried) {
    if (leg.more == nullptr) leg.more = std::make_unique<std::vector<Try>>();
    return leg.more->emplace_back(made);
  }
  leg.tried = true;
  return leg.first = made;
}

void Journeys::published(std::uint64_t key, std::uint32_t process, std::uint64_t intended_ns, std::uint64_t now_ns) {
  Leg& leg = make(key, process, now_ns);
  leg.parts = {};
  leg.repaired = leg.tried = false;
  leg.more.reset();
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
  erase(leg->index);
  return true;
}

}  // namespace portolan::sim
