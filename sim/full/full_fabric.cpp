#include "sim/full/full_fabric.hpp"

#include <ns3/arp-l3-protocol.h>
#include <ns3/boolean.h>
#include <ns3/global-value.h>
#include <ns3/icmpv4-l4-protocol.h>
#include <ns3/inet-socket-address.h>
#include <ns3/ipv4-l3-protocol.h>
#include <ns3/traffic-control-layer.h>
#include <ns3/udp-l4-protocol.h>
#include <ns3/udp-socket-factory.h>

#include "sim/lean/scheduler.hpp"

namespace portolan::sim {

namespace {

// What ns-3's InternetStackHelper installs, without IPv6 and TCP.
void install_stack(ns3::Ptr<ns3::Node> node, ns3::Ptr<Router> router) {
  node->AggregateObject(ns3::CreateObject<ns3::TrafficControlLayer>());
  node->AggregateObject(ns3::CreateObject<ns3::ArpL3Protocol>());
  auto ip = ns3::CreateObject<ns3::Ipv4L3Protocol>();
  node->AggregateObject(ip);
  node->AggregateObject(ns3::CreateObject<ns3::Icmpv4L4Protocol>());
  node->AggregateObject(ns3::CreateObject<ns3::UdpL4Protocol>());
  node->GetObject<ns3::ArpL3Protocol>()->SetTrafficControl(node->GetObject<ns3::TrafficControlLayer>());
  ip->SetRoutingProtocol(router);
}

bool is_edge(const plan::Plan& plan, plan::Index node) {
  return plan.nodes[node].kind == plan::NodeKind::edge;
}

}  // namespace

FullFabric::FullFabric(const plan::Plan& plan, Outputs outputs, CaptureOptions capture)
    : Fabric(plan, std::move(outputs)), capture_(std::move(capture)) {
  watch_.lost = [this](const Datagram* datagram, link::Drop why) {
    if (datagram != nullptr) lost(*datagram, why);
  };
  watch_.too_big = [this] { ++too_big_; };
}

FullFabric::~FullFabric() = default;

Expected<std::unique_ptr<Fabric>> FullFabric::make(const plan::Plan& plan, Outputs outputs, CaptureOptions capture) {
  std::unique_ptr<FullFabric> fabric(new FullFabric(plan, std::move(outputs), std::move(capture)));
  if (auto built = fabric->build(); !built) return tl::unexpected<Error>(built.error());
  return std::unique_ptr<Fabric>(std::move(fabric));
}

Expected<void> FullFabric::build() {
  // Nothing beyond the least yet; what is added here is refused no longer.
  if (auto made = make_directions(std::span<const plan::Feature>()); !made) return made;
  underlay_ = std::make_unique<Underlay>(plan_, directions_, outputs_.path_change);
  make_places();
  if (auto made = make_links(); !made) return made;
  make_overlay();
  make_ends();
  return {};
}

void FullFabric::make_places() {
  places_.resize(plan_.nodes.size());
  for (plan::Index n = 0; n < plan_.nodes.size(); ++n) {
    Place& place = places_[n];
    place.node = ns3::CreateObject<ns3::Node>();
    place.address = ns3::Ipv4Address(plan_.nodes[n].address.c_str());
    if (is_edge(plan_, n)) edges_[place.address.Get()] = n;
    Router::Table table;
    table.way = [this, n](ns3::Ipv4Address to) { return way(n, to); };
    table.epoch = [this, n] { return underlay_->epoch(n); };
    install_stack(place.node, ns3::CreateObject<Router>(place.address, std::move(table)));
    place.node->GetObject<ns3::Ipv4L3Protocol>()->TraceConnectWithoutContext(
        "Drop", ns3::Callback<void, const ns3::Ipv4Header&, ns3::Ptr<const ns3::Packet>,
                              ns3::Ipv4L3Protocol::DropReason, ns3::Ptr<ns3::Ipv4>, std::uint32_t>(
                    [this](const ns3::Ipv4Header&, ns3::Ptr<const ns3::Packet> packet,
                           ns3::Ipv4L3Protocol::DropReason why, ns3::Ptr<ns3::Ipv4>, std::uint32_t) {
                      if (freight_.unload(*packet).datagram == nullptr) return;  // ours only, and once
                      ++(why == ns3::Ipv4L3Protocol::DROP_TTL_EXPIRED ? counters_.hop_limit : counters_.no_path);
                    }));
  }
}

void FullFabric::interface(plan::Index node, ns3::Ptr<ns3::NetDevice> device) {
  auto ip = places_[node].node->GetObject<ns3::Ipv4L3Protocol>();
  const std::uint32_t index = ip->AddInterface(device);
  ip->AddAddress(index, ns3::Ipv4InterfaceAddress(places_[node].address, ns3::Ipv4Mask::GetOnes()));
  ip->SetUp(index);
}

Expected<void> FullFabric::make_links() {
  const auto captured = Captures::chosen(plan_, capture_);
  if (!captured) return tl::unexpected<Error>(captured.error());
  // Checksums take no simulated time; they are made when somebody may look at them.
  if (!capture_.links.empty()) ns3::GlobalValue::Bind("ChecksumEnabled", ns3::BooleanValue(true));
  devices_.reserve(plan_.links.size() * 2);
  for (plan::Index l = 0; l < plan_.links.size(); ++l) {
    const plan::Link& link = plan_.links[l];
    const bool underlay = is_edge(plan_, link.a) && is_edge(plan_, link.b);
    if (!is_edge(plan_, link.a) && !is_edge(plan_, link.b)) {
      return fail(Exit::usage, "links/" + std::to_string(l), "fidelity full knows no link between two service hosts");
    }
    const std::uint16_t mtu = underlay ? kUnderlayMtu : kInnerMtu;
    for (const plan::Index end : {link.a, link.b}) {
      link::LinkModel& way_out = directions_[2 * l + (end == link.b ? 1 : 0)];
      auto device = ns3::CreateObject<LinkDevice>(way_out, freight_, watch_, mtu);
      places_[end].node->AddDevice(device);
      devices_.push_back(device);
    }
    ns3::CreateObject<LinkChannel>()->attach(*devices_[2 * l], *devices_[2 * l + 1]);
    if ((*captured)[l]) {
      if (auto made = captures_.tap(capture_, link.name, *devices_[2 * l], *devices_[2 * l + 1]); !made) return made;
    }
    for (const plan::Index end : {link.a, link.b}) {
      if (underlay || !is_edge(plan_, end)) interface(end, devices_[2 * l + (end == link.b ? 1 : 0)]);
      if (!underlay && !is_edge(plan_, end)) places_[end].uplink = l;
    }
  }
  return {};
}

void FullFabric::make_overlay() {
  for (Place& place : places_) {
    const auto n = static_cast<plan::Index>(&place - places_.data());
    if (is_edge(plan_, n)) place.vxlan = std::make_unique<VxlanEnd>(place.node, place.address);
  }
  for (plan::Index n = 0; n < plan_.nodes.size(); ++n) {
    const plan::Index l = places_[n].uplink;
    if (l == plan::kNone) continue;
    const plan::Link& link = plan_.links[l];
    const plan::Index edge = link.a == n ? link.b : link.a;
    const std::uint32_t vni = plan_.tenants[plan_.nodes[n].tenant].vni;
    places_[edge].vxlan->add_port(vni, devices_[2 * l + (link.a == n ? 1 : 0)]);
    for (const Place& place : places_) {
      if (place.vxlan != nullptr) place.vxlan->add_host(vni, places_[n].address, places_[edge].address);
    }
  }
}

void FullFabric::make_ends() {
  ends_.resize(plan_.processes.size());
  for (plan::Index p = 0; p < plan_.processes.size(); ++p) {
    const plan::Process& process = plan_.processes[p];
    const Place& place = places_[process.node];
    End& end = ends_[p];
    end.address = ns3::InetSocketAddress(place.address, process.port);
    end.socket = ns3::Socket::CreateSocket(place.node, ns3::UdpSocketFactory::GetTypeId());
    end.socket->Bind(end.address);
    end.socket->SetRecvCallback(
        ns3::Callback<void, ns3::Ptr<ns3::Socket>>([this, p](ns3::Ptr<ns3::Socket> socket) { receive(p, socket); }));
  }
}

Router::Way FullFabric::way(plan::Index node, ns3::Ipv4Address to) {
  Hop hop;
  if (is_edge(plan_, node)) {
    const auto edge = edges_.find(to.Get());
    if (edge == edges_.end()) return {};
    hop = underlay_->next(node, edge->second);
  } else if (const plan::Index l = places_[node].uplink; l != plan::kNone) {
    hop = {l, plan_.links[l].b == node};
  }
  if (hop.link == plan::kNone) return {};
  const plan::Link& link = plan_.links[hop.link];
  return {devices_[2 * hop.link + (hop.reverse ? 1 : 0)], places_[hop.reverse ? link.a : link.b].address};
}

void FullFabric::send(std::unique_ptr<Datagram> datagram) {
  ++counters_.sent;
  counters_.sent_bytes += datagram->bytes.size();
  const plan::Index from = datagram->from, to = datagram->to;
  const plan::Index node = plan_.processes[from].node;
  auto packet = ns3::Create<ns3::Packet>(datagram->bytes.data(), static_cast<std::uint32_t>(datagram->bytes.size()));
  const auto out = [this, from, to, packet] {
    if (ends_[from].socket->SendTo(packet, 0, ends_[to].address) < 0) ++no_socket_;
  };
  const bool stays = node == plan_.processes[to].node;
  const std::uint64_t delay = stays ? static_cast<std::uint64_t>(plan_.nodes[node].loopback_delay_ns) : 0;
  datagram->network.propagation_ns += static_cast<std::int64_t>(delay);
  freight_.load(*packet, std::move(datagram), now_ns());
  if (delay > 0) {
    at(now_ns() + delay, out);
  } else {
    out();
  }
}

void FullFabric::receive(plan::Index process, ns3::Ptr<ns3::Socket> socket) {
  while (ns3::Ptr<ns3::Packet> packet = socket->Recv()) {
    Freight::Piece piece = freight_.unload(*packet);
    if (piece.datagram == nullptr || piece.datagram->to != process) {
      ++untagged_;
      continue;
    }
    Datagram& datagram = *piece.datagram;
    datagram.bytes.resize(packet->GetSize());
    packet->CopyData(datagram.bytes.data(), packet->GetSize());
    // What no LinkModel took was spent in queue discs and in devices of ns-3's own.
    Parts& parts = datagram.network;
    parts.queueing_ns = static_cast<std::int64_t>(now_ns() - piece.sent_ns) - parts.propagation_ns -
                        parts.serialisation_ns - parts.repair_ns - parts.broker_ns;
    arrived(std::move(piece.datagram));
  }
}

Expected<void> FullFabric::finish() {
  if (!captures_.close()) return fail(Exit::cannot, capture_.folder, "captures could not be written to their end");
  return {};
}

void FullFabric::extra_counters(const std::function<void(const std::string&, std::uint64_t)>& add) const {
  add("fabric/too_big", too_big_);
  add("fabric/no_socket", no_socket_);
  add("fabric/untagged", untagged_);
  add("fabric/forgotten", freight_.forgotten());
  add("fabric/under_way", freight_.under_way());
  std::uint64_t unknown_host = 0, unknown_network = 0;
  for (const Place& place : places_) {
    if (place.vxlan == nullptr) continue;
    unknown_host += place.vxlan->dropped().unknown_host;
    unknown_network += place.vxlan->dropped().unknown_network;
  }
  add("vxlan/unknown_host", unknown_host);
  add("vxlan/unknown_network", unknown_network);
}

}  // namespace portolan::sim
