#include "sim/lean/fabric.hpp"

#include "broker/types.hpp"
#include "sim/lean/scheduler.hpp"

namespace portolan::sim {

namespace {

// Nothing but a constant delay: two such datagrams cannot change each other's fate, so no event is needed for the hop.
bool is_plain(const plan::Impairments& is) {
  return is.rate_bps == 0 && is.rate_trace_ms.empty() && is.delay_trace.empty() &&
         is.loss.kind == plan::LossKind::none && is.jitter.kind == plan::JitterKind::none && is.reorder == 0 &&
         is.duplicate == 0;
}

}  // namespace

void add_hop(Parts& parts, const link::Fate& fate, std::uint64_t delay_ns) {
  const auto rest = static_cast<std::int64_t>(delay_ns) - static_cast<std::int64_t>(fate.serialisation_ns) -
                    static_cast<std::int64_t>(fate.queueing_ns);
  parts.serialisation_ns += static_cast<std::int64_t>(fate.serialisation_ns);
  const auto jitter = static_cast<std::int64_t>(fate.jitter_ns);
  parts.queueing_ns += static_cast<std::int64_t>(fate.queueing_ns) + jitter;  // jitter stands for queues elsewhere
  parts.propagation_ns += rest - jitter;
}

Expected<void> Fabric::make_directions(std::span<const plan::Feature> honoured) {
  const std::string who = "the simulator in fidelity " + std::string(fidelity());
  if (auto all = plan::refuse_needs(plan_, honoured, who); !all) return all;
  directions_.reserve(plan_.links.size() * 2);
  for (plan::Index l = 0; l < plan_.links.size(); ++l) {
    for (const bool reverse : {false, true}) {
      auto model = link::LinkModel::make(plan_, l, reverse);
      if (!model) return tl::unexpected<Error>(model.error());
      directions_.push_back(std::move(*model));
    }
  }
  return {};
}

Expected<std::unique_ptr<Fabric>> LeanFabric::make(const plan::Plan& plan, Outputs outputs) {
  std::unique_ptr<LeanFabric> fabric(new LeanFabric(plan, std::move(outputs)));
  if (auto made = fabric->make_directions(kLeanHonours); !made) return tl::unexpected<Error>(made.error());
  fabric->routes_ = std::make_unique<Routes>(plan, fabric->directions_);
  for (plan::Index d = 0; d < fabric->directions_.size(); ++d) {
    const plan::Link& link = plan.links[d / 2];
    fabric->plain_.push_back(link.model == "veth" && is_plain(d % 2 == 1 ? link.b_to_a : link.a_to_b) &&
                             fabric->directions_[d].segments().size() == 1);
  }
  return std::unique_ptr<Fabric>(std::move(fabric));
}

void LeanFabric::links_changed() {
  at(now_ns() + static_cast<std::uint64_t>(plan_.convergence_ns), [this] {
    routes_->converge(now_ns());
    outputs_.path_change(routes_->epoch());
  });
}

void Fabric::lost(const Datagram& datagram, link::Drop why) {
  ++counters_.lost;
  counters_.lost_bytes += datagram.bytes.size();
  if (why == link::Drop::loss || why == link::Drop::burst) {
    ++counters_.lost_impaired;
    counters_.lost_impaired_bytes += datagram.bytes.size();
  }
}

void Fabric::send_at(std::uint64_t when_ns, std::unique_ptr<Datagram> datagram, const Sender& sender) {
  if (when_ns <= now_ns()) {
    send(std::move(datagram));
    return;
  }
  at(when_ns, [this, when_ns, &sender, d = std::move(datagram)]() mutable {
    if (when_ns < sender.stopped_ns) send(std::move(d));
  });
}

void LeanFabric::count_sent(const Datagram& datagram) {
  ++counters_.sent;
  counters_.sent_bytes += datagram.bytes.size();
}

void LeanFabric::send(std::unique_ptr<Datagram> datagram) {
  static const Sender immortal;
  send_at(now_ns(), std::move(datagram), immortal);
}

// Leaving the host's CPU and what follows without any doubt (loopback, veth) is one event.
void LeanFabric::send_at(std::uint64_t when_ns, std::unique_ptr<Datagram> datagram, const Sender& sender) {
  const plan::Index from = plan_.processes[datagram->from].node;
  const plan::Index to = plan_.processes[datagram->to].node;
  std::uint64_t reached_ns = when_ns;
  plan::Index node = from;
  if (from == to) {  // loopback: a constant
    const auto delay = static_cast<std::uint64_t>(plan_.nodes[from].loopback_delay_ns);
    datagram->network.propagation_ns += static_cast<std::int64_t>(delay);
    reached_ns += delay;
  } else {
    node = glide(*datagram, node, reached_ns);
  }
  if (reached_ns == now_ns()) {
    count_sent(*datagram);
    at_node(std::move(datagram), node);
    return;
  }
  at(reached_ns, [this, node, when_ns, &sender, d = std::move(datagram)]() mutable {
    if (when_ns >= sender.stopped_ns) return;  // killed before its CPU came to it
    count_sent(*d);
    at_node(std::move(d), node);
  });
}

void LeanFabric::at_node(std::unique_ptr<Datagram> datagram, plan::Index node) {
  if (node == plan_.processes[datagram->to].node) {
    arrived(std::move(datagram));
  } else {
    forward(std::move(datagram), node);
  }
}

LeanFabric::Step LeanFabric::step(plan::Index node, plan::Index to) const {
  const Hop hop = routes_->next(node, to);
  if (hop.link == plan::kNone) return {};
  const plan::Link& link = plan_.links[hop.link];
  return {hop.link, hop.reverse, hop.reverse ? link.a : link.b, plain_[2 * hop.link + (hop.reverse ? 1 : 0)]};
}

// Along veths, which never change, for as long as they lead on. `at_ns` grows by their delay.
plan::Index LeanFabric::glide(Datagram& datagram, plan::Index node, std::uint64_t& at_ns) const {
  const plan::Index to = plan_.processes[datagram.to].node;
  while (node != to && datagram.hops < kHopsMax) {
    const Step next = step(node, to);
    if (next.link == plan::kNone || !next.plain) break;
    ++datagram.hops;
    const plan::Link& link = plan_.links[next.link];
    const std::int64_t delay = (next.reverse ? link.b_to_a : link.a_to_b).delay_ns;
    datagram.network.propagation_ns += delay;
    at_ns += static_cast<std::uint64_t>(delay);
    node = next.node;
  }
  return node;
}

// Over one link that decides fates; from there, if the host behind it is what is sought, right to that host.
void LeanFabric::forward(std::unique_ptr<Datagram> datagram, plan::Index node) {
  const plan::Index to = plan_.processes[datagram->to].node;
  const std::uint64_t now = now_ns();
  std::uint64_t reached_ns = now;
  node = glide(*datagram, node, reached_ns);
  if (reached_ns > now) {
    at(reached_ns, [this, node, d = std::move(datagram)]() mutable { at_node(std::move(d), node); });
    return;
  }
  if (node == to) {
    arrived(std::move(datagram));
    return;
  }
  if (++datagram->hops > kHopsMax) {
    ++counters_.hop_limit;
    return;
  }
  const Step next = step(node, to);
  if (next.link == plan::kNone) {
    ++counters_.no_path;
    return;
  }
  const plan::Link& link = plan_.links[next.link];
  link::LinkModel& model = directions_[2 * next.link + (next.reverse ? 1 : 0)];
  const bool underlay =
      plan_.nodes[link.a].kind == plan::NodeKind::edge && plan_.nodes[link.b].kind == plan::NodeKind::edge;
  const auto wire_bytes =
      static_cast<std::uint32_t>(datagram->bytes.size()) + kIpUdpEthernetBytes + (underlay ? kVxlanBytes : 0);
  const link::Fate fate = model.send(now, wire_bytes, datagram->traffic, datagram->ecn != broker::kEcnNone);
  if (fate.marked) datagram->ecn = broker::kEcnMarked;
  if (fate.copies == 0) {
    lost(*datagram, fate.drop);
    return;
  }
  if (fate.copies == 2) {
    auto copy = std::make_unique<Datagram>(*datagram);
    add_hop(copy->network, fate, fate.deliver_at_ns[1] - now);
    deliver(fate.deliver_at_ns[1], std::move(copy), next.node);
  }
  add_hop(datagram->network, fate, fate.deliver_at_ns[0] - now);
  deliver(fate.deliver_at_ns[0], std::move(datagram), next.node);
}

void LeanFabric::deliver(std::uint64_t when_ns, std::unique_ptr<Datagram> datagram, plan::Index node) {
  const plan::Index to = plan_.processes[datagram->to].node;
  if (node != to) {
    const Step last = step(node, to);
    if (last.node == to && last.plain) node = glide(*datagram, node, when_ns);
  }
  at(when_ns, [this, node, d = std::move(datagram)]() mutable { at_node(std::move(d), node); });
}

}  // namespace portolan::sim
