#include "sim/lean/fabric.hpp"

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

Expected<void> Fabric::make_directions() {
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
  if (auto made = fabric->make_directions(); !made) return tl::unexpected<Error>(made.error());
  fabric->routes_ = std::make_unique<Routes>(plan, fabric->directions_);
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

void LeanFabric::send(std::unique_ptr<Datagram> datagram) {
  ++counters_.sent;
  counters_.sent_bytes += datagram->bytes.size();
  const plan::Index from = plan_.processes[datagram->from].node;
  const plan::Index to = plan_.processes[datagram->to].node;
  if (from == to) {  // loopback: a constant
    const auto delay = static_cast<std::uint64_t>(plan_.nodes[from].loopback_delay_ns);
    datagram->network.propagation_ns += static_cast<std::int64_t>(delay);
    at(now_ns() + delay, [this, d = std::move(datagram)]() mutable { arrived(std::move(d)); });
    return;
  }
  forward(std::move(datagram), from);
}

void LeanFabric::at_node(std::unique_ptr<Datagram> datagram, plan::Index node) {
  if (node == plan_.processes[datagram->to].node) {
    arrived(std::move(datagram));
  } else {
    forward(std::move(datagram), node);
  }
}

void LeanFabric::forward(std::unique_ptr<Datagram> datagram, plan::Index node) {
  const plan::Index to = plan_.processes[datagram->to].node;
  std::uint64_t plain_ns = 0;
  while (true) {
    if (++datagram->hops > kHopsMax) {
      ++counters_.hop_limit;
      return;
    }
    const Hop hop = routes_->next(node, to);
    if (hop.link == plan::kNone) {
      ++counters_.no_path;
      return;
    }
    const plan::Link& link = plan_.links[hop.link];
    const plan::Impairments& is = hop.reverse ? link.b_to_a : link.a_to_b;
    link::LinkModel& model = directions_[2 * hop.link + (hop.reverse ? 1 : 0)];
    const plan::Index next = hop.reverse ? link.a : link.b;
    const bool underlay =
        plan_.nodes[link.a].kind == plan::NodeKind::edge && plan_.nodes[link.b].kind == plan::NodeKind::edge;
    const bool plain = link.model == "veth" && is_plain(is) && model.segments().size() == 1;
    if (!plain && plain_ns > 0) {  // reach this link first, then send
      at(now_ns() + plain_ns, [this, node, d = std::move(datagram)]() mutable {
        --d->hops;
        forward(std::move(d), node);
      });
      return;
    }
    const auto wire_bytes =
        static_cast<std::uint32_t>(datagram->bytes.size()) + kIpUdpEthernetBytes + (underlay ? kVxlanBytes : 0);
    if (plain) {
      plain_ns += static_cast<std::uint64_t>(is.delay_ns);
      datagram->network.propagation_ns += is.delay_ns;
      node = next;
      if (node == to) {
        at(now_ns() + plain_ns, [this, node, d = std::move(datagram)]() mutable { at_node(std::move(d), node); });
        return;
      }
      continue;
    }
    const std::uint64_t now = now_ns();
    const link::Fate fate = model.send(now, wire_bytes, datagram->traffic);
    if (fate.copies == 0) {
      lost(*datagram, fate.drop);
      return;
    }
    if (fate.copies == 2) {
      auto copy = std::make_unique<Datagram>(*datagram);
      add_hop(copy->network, fate, fate.deliver_at_ns[1] - now);
      at(fate.deliver_at_ns[1], [this, next, d = std::move(copy)]() mutable { at_node(std::move(d), next); });
    }
    add_hop(datagram->network, fate, fate.deliver_at_ns[0] - now);
    at(fate.deliver_at_ns[0], [this, next, d = std::move(datagram)]() mutable { at_node(std::move(d), next); });
    return;
  }
}

}  // namespace portolan::sim
