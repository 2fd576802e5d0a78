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

Travelled Journeys::depart(std::uint64_t key, std::uint32_t process, std::uint32_t to, std::uint64_t now_ns,
                           bool again) {
  Travelled out;
  out.key = key;
  const auto found = legs_.find({key, process});
  if (found == legs_.end()) return out;
  Leg& leg = found->second;
  Try* before = nullptr;
  for (Try& t : leg.tries) {
    if (t.to == to) before = &t;
  }
  out.known = true;
  out.parts = leg.parts;
  out.repaired = leg.repaired || again;
  if (before == nullptr) {
    leg.tries.push_back({to, now_ns});
    before = &leg.tries.back();
  } else if (!again) {
    before->fresh_ns = now_ns;
  }
  out.parts.queueing_ns += static_cast<std::int64_t>(before->fresh_ns - leg.handled_ns);
  out.parts.repair_ns += static_cast<std::int64_t>(now_ns - before->fresh_ns);
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
