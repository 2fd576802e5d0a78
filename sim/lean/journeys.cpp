#include "sim/lean/journeys.hpp"

namespace portolan::sim {

Journeys::Leg& Journeys::make(const Name& name, std::uint64_t now_ns) {
  while (!age_.empty() && (age_.front().first + kForgetNs < now_ns || legs_.size() >= kLegsMax)) {
    forgotten_ += legs_.erase(age_.front().second);
    age_.pop_front();
  }
  const auto [at, fresh] = legs_.try_emplace(name);
  if (fresh) age_.emplace_back(now_ns, name);
  return at->second;
}

void Journeys::published(std::uint64_t key, std::uint32_t process, std::uint64_t intended_ns, std::uint64_t now_ns) {
  Leg& leg = make({key, process}, now_ns);
  leg = Leg{};
  leg.parts.broker_ns = static_cast<std::int64_t>(now_ns - intended_ns);  // a paused or busy publisher
  leg.handled_ns = now_ns;
}

Travelled Journeys::depart(std::uint64_t key, std::uint32_t process, const Departure& departure, std::uint64_t now_ns) {
  Travelled out;
  out.key = key;
  const auto found = legs_.find({key, process});
  if (found == legs_.end()) return out;
  Leg& leg = found->second;
  Try* t = nullptr;
  for (Try& candidate : leg.tries) {
    if (candidate.to == departure.to) t = &candidate;
  }
  out.repaired = leg.repaired || departure.again;
  if (t == nullptr) {
    leg.tries.push_back({departure.to, departure.session, now_ns, 0});
    t = &leg.tries.back();
  } else if (t->session != departure.session) {
    t->repair_ns += static_cast<std::int64_t>(now_ns - t->fresh_ns);
    t->session = departure.session;
    t->fresh_ns = now_ns;
  } else if (!departure.again && !departure.whole) {
    t->fresh_ns = now_ns;
  }
  out.known = true;
  out.repaired = out.repaired || t->repair_ns > 0;
  out.parts = leg.parts;
  out.parts.queueing_ns += static_cast<std::int64_t>(t->fresh_ns - leg.handled_ns) - t->repair_ns;
  out.parts.repair_ns += t->repair_ns + static_cast<std::int64_t>(now_ns - t->fresh_ns);
  return out;
}

void Journeys::arrive(const Travelled& so_far, const Parts& network, std::uint32_t process, std::uint64_t now_ns,
                      std::uint64_t handled_ns) {
  if (!so_far.known) return;
  Leg& leg = make({so_far.key, process}, now_ns);
  if (!leg.tries.empty()) return;  // it has gone on already: a spurious repair
  leg.parts = so_far.parts;
  leg.parts.propagation_ns += network.propagation_ns;
  leg.parts.serialisation_ns += network.serialisation_ns;
  leg.parts.queueing_ns += network.queueing_ns;
  leg.parts.broker_ns += static_cast<std::int64_t>(handled_ns - now_ns);
  leg.handled_ns = handled_ns;
  leg.repaired = so_far.repaired;
}

bool Journeys::deliver(std::uint64_t key, std::uint32_t process, std::uint64_t now_ns, Parts& out, bool& repaired) {
  const auto found = legs_.find({key, process});
  if (found == legs_.end()) return false;
  out = found->second.parts;
  out.repair_ns += static_cast<std::int64_t>(now_ns - found->second.handled_ns);
  repaired = found->second.repaired || now_ns != found->second.handled_ns;
  legs_.erase(found);
  return true;
}

}  // namespace portolan::sim
