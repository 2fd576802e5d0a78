#include "sim/full/full_fabric.hpp"

#include <ns3/arp-l3-protocol.h>
#include <ns3/boolean.h>
#include <ns3/fq-codel-queue-disc.h>
#include <ns3/global-value.h>
#include <ns3/icmpv4-l4-protocol.h>
#include <ns3/ipv4-l3-protocol.h>
#include <ns3/rng-seed-manager.h>
#include <ns3/string.h>
#include <ns3/tcp-l4-protocol.h>
#include <ns3/traffic-control-layer.h>
#include <ns3/udp-l4-protocol.h>

#include <algorithm>

#include "broker/types.hpp"
#include "sim/lean/scheduler.hpp"

namespace portolan::sim {

namespace {

// What ns-3's InternetStackHelper installs, without IPv6, and TCP only where it is asked for.
void install_stack(ns3::Ptr<ns3::Node> node, ns3::Ptr<Router> router, bool tcp) {
  node->AggregateObject(ns3::CreateObject<ns3::TrafficControlLayer>());
  node->AggregateObject(ns3::CreateObject<ns3::ArpL3Protocol>());
  auto ip = ns3::CreateObject<ns3::Ipv4L3Protocol>();
  node->AggregateObject(ip);
  node->AggregateObject(ns3::CreateObject<ns3::Icmpv4L4Protocol>());
  node->AggregateObject(ns3::CreateObject<ns3::UdpL4Protocol>());
  if (tcp) node->AggregateObject(ns3::CreateObject<ns3::TcpL4Protocol>());
  node->GetObject<ns3::ArpL3Protocol>()->SetTrafficControl(node->GetObject<ns3::TrafficControlLayer>());
  ip->SetRoutingProtocol(router);
}

constexpr std::uint32_t kFrameBytes = 1514;

bool is_edge(const plan::Plan& plan, plan::Index node) {
  return plan.nodes[node].kind == plan::NodeKind::edge;
}

bool changes_queue(const plan::Fault& fault, plan::Index link) {
  const auto has = [](const auto& all, const auto& one) { return std::find(all.begin(), all.end(), one) != all.end(); };
  return fault.kind == plan::FaultKind::degrade && has(fault.links, link) && has(fault.replaces, "queue");
}

// What a LinkModel marks; ns-3's queue discs do so themselves.
bool marks(const plan::Queue& queue) {
  return queue.ecn && queue.kind == plan::QueueKind::codel;
}

// The queue discs of traffic control stay as they were made.
bool changes_queue_disc(const plan::Fault& fault, plan::Index link, const plan::Link& is) {
  if (!changes_queue(fault, link)) return false;
  const auto fair = [](const plan::Impairments& i) { return i.queue.kind == plan::QueueKind::fq_codel; };
  return fair(fault.impairments) || fair(is.a_to_b) || fair(is.b_to_a);
}

std::uint32_t ns3_seed(std::uint64_t seed) {
  constexpr std::uint32_t modulus = 4'294'944'443;  // m2 of MRG32k3a (L'Ecuyer 1999): seeds are 1 to m2 - 1
  return 1 + static_cast<std::uint32_t>(seed % (modulus - 1));
}

}  // namespace

FullFabric::FullFabric(const plan::Plan& plan, Outputs outputs, CaptureOptions capture)
    : Fabric(plan, std::move(outputs)), capture_(std::move(capture)) {
  watch_.lost = [this](const Datagram* datagram, link::Drop why) {
    if (datagram != nullptr) lost(*datagram, why);
  };
}

FullFabric::~FullFabric() = default;

Expected<std::unique_ptr<Fabric>> FullFabric::make(const plan::Plan& plan, Outputs outputs, CaptureOptions capture) {
  std::unique_ptr<FullFabric> fabric(new FullFabric(plan, std::move(outputs), std::move(capture)));
  if (auto built = fabric->build(); !built) return tl::unexpected<Error>(built.error());
  return std::unique_ptr<Fabric>(std::move(fabric));
}

Expected<std::unique_ptr<FullFabric>> FullFabric::make_for_tcp(const plan::Plan& plan) {
  Outputs nothing{[](std::unique_ptr<Datagram>) {}, [](std::uint64_t) {}};
  std::unique_ptr<FullFabric> fabric(new FullFabric(plan, std::move(nothing), {}));
  fabric->tcp_ = true;
  fabric->watch_.untagged = link::Traffic::data;
  if (auto built = fabric->build(); !built) return tl::unexpected<Error>(built.error());
  return fabric;
}

Expected<void> FullFabric::build() {
  // Before any node: ns-3's objects take their streams as they are made.
  ns3::RngSeedManager::SetSeed(ns3_seed(plan_.seed));
  if (auto made = make_directions(kFullHonours); !made) return made;
  if (!capture_.datagrams.empty()) {
    auto log = DatagramLog::create(capture_.datagrams);
    if (!log) return tl::unexpected<Error>(log.error());
    log_ = std::move(*log);
  }
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
    place.router = ns3::CreateObject<Router>(place.address, std::move(table));
    install_stack(place.node, place.router, tcp_);
    place.node->GetObject<ns3::ArpL3Protocol>()->TraceConnectWithoutContext(
        "Drop", ns3::Callback<void, ns3::Ptr<const ns3::Packet>>([this](ns3::Ptr<const ns3::Packet> packet) {
          if (freight_.unload(*packet).datagram != nullptr) ++counters_.no_path;  // nobody answers for the neighbour
        }));
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
  own_ = std::make_unique<OwnDevices>(plan_, [this](ns3::Ptr<const ns3::Packet> packet) {
    const Freight::Piece piece = freight_.unload(*packet);
    if (piece.datagram != nullptr) lost(*piece.datagram, link::Drop::queue_full);
  });
  devices_.resize(plan_.links.size() * 2);
  queue_disc_drops_.resize(plan_.links.size() * 2);
  queue_disc_marks_.resize(plan_.links.size() * 2);
  for (plan::Index l = 0; l < plan_.links.size(); ++l) {
    const plan::Link& link = plan_.links[l];
    auto made =
        link.kind == plan::LinkKind::model ? make_model_link(l, (*captured)[l]) : make_own_link(l, (*captured)[l]);
    if (!made) return made;
    if (is_edge(plan_, link.a) && is_edge(plan_, link.b)) continue;
    // From here to the tenant's hosts: edge, service, station.
    const bool a_above = is_edge(plan_, link.a) || plan_.nodes[link.b].kind == plan::NodeKind::station;
    const plan::Index above = a_above ? link.a : link.b, below = a_above ? link.b : link.a;
    places_[below].uplink = l;
    if (!is_edge(plan_, above)) places_[above].stations[places_[below].address.Get()] = l;
  }
  own_->finish();
  return {};
}

Expected<void> FullFabric::make_model_link(plan::Index l, bool captured) {
  const plan::Link& link = plan_.links[l];
  ns3::Ptr<LinkDevice> ends[2];
  const bool underlay = is_edge(plan_, link.a) && is_edge(plan_, link.b);
  bool marks_sometimes = false;
  for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
    const plan::Fault& fault = plan_.faults[f];
    marks_sometimes |= changes_queue(fault, l) && marks(fault.impairments.queue);
    if (!changes_queue_disc(fault, l, link)) continue;
    return fail(Exit::usage, "/faults/" + std::to_string(f) + "/impairments/queue",
                link.name +
                    ": a fault cannot put fq-codel in or out, and one that gives a `rate` alone brings a tail-drop "
                    "queue along; give the link its rate and queue for the whole run");
  }
  for (const std::size_t i : {0u, 1u}) {
    const plan::Index node = i == 0 ? link.a : link.b;
    ends[i] = ns3::CreateObject<LinkDevice>(directions_[2 * l + i], freight_, watch_);
    devices_[2 * l + i] = ends[i];
    places_[node].node->AddDevice(ends[i]);
    if (underlay || !is_edge(plan_, node)) {
      interface(node, ends[i]);
      ends[i]->receive_by(places_[node].node->GetObject<ns3::Ipv4L3Protocol>());
    }
    const plan::Queue& queue = (i == 0 ? link.a_to_b : link.b_to_a).queue;
    if (marks_sometimes || marks(queue)) ends[i]->let_mark();
    if (queue.kind != plan::QueueKind::fq_codel) continue;
    if (!underlay && is_edge(plan_, node)) {
      return fail(Exit::usage, "/links/" + std::to_string(l), "fq-codel is not for an edge's link to its service host");
    }
    ends[i]->hold_above();
    queue_disc(static_cast<plan::Index>(2 * l + i));
  }
  ns3::CreateObject<LinkChannel>()->attach(*ends[0], *ends[1]);
  if (captured) return captures_.tap(capture_, link.name, *ends[0], *ends[1]);
  return {};
}

void FullFabric::queue_disc(plan::Index direction) {
  const plan::Link& link = plan_.links[direction / 2];
  const plan::Queue& queue = (direction % 2 == 0 ? link.a_to_b : link.b_to_a).queue;
  auto disc = ns3::CreateObject<ns3::FqCoDelQueueDisc>();
  disc->SetAttribute("Target", ns3::StringValue(std::to_string(queue.target_ns) + "ns"));
  disc->SetAttribute("Interval", ns3::StringValue(std::to_string(queue.interval_ns) + "ns"));
  // It counts packets only; a queue in bytes holds so many of the largest.
  disc->SetAttribute("MaxSize",
                     ns3::StringValue(std::to_string(std::max<std::uint64_t>(1, queue.bytes / kFrameBytes)) + "p"));
  disc->SetAttribute("UseEcn", ns3::BooleanValue(queue.ecn));
  disc->SetQuantum(kFrameBytes);
  disc->TraceConnectWithoutContext("Drop", ns3::Callback<void, ns3::Ptr<const ns3::QueueDiscItem>>(
                                               [this, direction](ns3::Ptr<const ns3::QueueDiscItem> item) {
                                                 ++queue_disc_drops_[direction];
                                                 const Freight::Piece piece = freight_.unload(*item->GetPacket());
                                                 if (piece.datagram != nullptr)
                                                   lost(*piece.datagram, link::Drop::codel);
                                               }));
  disc->TraceConnectWithoutContext("Mark", ns3::Callback<void, ns3::Ptr<const ns3::QueueDiscItem>, const char*>(
                                               [this, direction](ns3::Ptr<const ns3::QueueDiscItem>, const char*) {
                                                 ++queue_disc_marks_[direction];
                                               }));
  const plan::Index node = direction % 2 == 0 ? link.a : link.b;
  places_[node].node->GetObject<ns3::TrafficControlLayer>()->SetRootQueueDiscOnDevice(devices_[direction], disc);
}

Expected<void> FullFabric::make_own_link(plan::Index l, bool captured) {
  const plan::Link& link = plan_.links[l];
  if (is_edge(plan_, link.a) != is_edge(plan_, link.b)) {
    return fail(Exit::usage, "/links/" + std::to_string(l) + "/kind",
                "only a model can join an edge to its service host");
  }
  for (const char* way : {"a_to_b", "b_to_a"}) {
    const plan::Queue& queue = (way[0] == 'a' ? link.a_to_b : link.b_to_a).queue;
    if (queue.kind == plan::QueueKind::tail_drop && !queue.ecn) continue;
    return fail(Exit::usage, "/links/" + std::to_string(l) + "/" + way + "/queue",
                link.name +
                    " is of a kind of ns-3's own, whose queue drops at its tail and marks nothing; valid: tail-drop, "
                    "or `kind: model` for another queue");
  }
  for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
    const auto& hit = plan_.faults[f].links;
    if (std::find(hit.begin(), hit.end(), l) == hit.end()) continue;
    return fail(Exit::usage, "/faults/" + std::to_string(f) + "/links",
                link.name + " is of a kind of ns-3's own, which no fault can touch");
  }
  const OwnDevices::Pair pair = own_->make(l, places_[link.a].node, places_[link.b].node);
  devices_[2 * l] = pair.a;
  devices_[2 * l + 1] = pair.b;
  if (pair.a_is_new) interface(link.a, pair.a);
  interface(link.b, pair.b);
  return captured ? own_->capture(l, capture_.folder + "/" + capture_file_name(link.name)) : Expected<void>();
}

void FullFabric::make_overlay() {
  for (plan::Index n = 0; n < plan_.nodes.size(); ++n) {
    Place& place = places_[n];
    if (is_edge(plan_, n)) place.vxlan = std::make_unique<VxlanEnd>(place.node, place.router, place.address);
  }
  for (plan::Index n = 0; n < plan_.nodes.size(); ++n) {
    const plan::Index l = places_[n].uplink;
    if (l == plan::kNone || plan_.nodes[n].kind != plan::NodeKind::service) continue;
    const plan::Link& link = plan_.links[l];
    const plan::Index edge = link.a == n ? link.b : link.a;
    const std::uint32_t vni = plan_.tenants[plan_.nodes[n].tenant].vni;
    auto port = ns3::DynamicCast<LinkDevice>(devices_[2 * l + (link.a == n ? 1 : 0)]);
    places_[edge].vxlan->add_port(vni, port);
    for (const Place& place : places_) {
      if (place.vxlan != nullptr) place.vxlan->add_host(vni, places_[n].address, places_[edge].address);
    }
  }
}

void FullFabric::make_ends() {
  for (plan::Index p = 0; p < plan_.processes.size(); ++p) {
    const plan::Process& process = plan_.processes[p];
    const Place& place = places_[process.node];
    ends_.push_back(std::make_unique<UdpEnd>(place.node, place.router, place.address, process.port,
                                             [this, p](const ns3::Ptr<ns3::Packet>& packet, const ns3::Ipv4Header& ip) {
                                               receive(p, *packet, static_cast<std::uint8_t>(ip.GetEcn()));
                                             }));
  }
}

Router::Way FullFabric::over(plan::Index link, bool reverse) {
  if (link == plan::kNone) return {};
  const plan::Index next = reverse ? plan_.links[link].a : plan_.links[link].b;
  return {devices_[2 * link + (reverse ? 1 : 0)], places_[next].address};
}

Router::Way FullFabric::way(plan::Index node, ns3::Ipv4Address to) {
  if (is_edge(plan_, node)) {
    const auto edge = edges_.find(to.Get());
    if (edge == edges_.end()) return {};
    const Hop hop = underlay_->next(node, edge->second);
    return over(hop.link, hop.reverse);
  }
  const auto station = places_[node].stations.find(to.Get());
  const plan::Index link = station == places_[node].stations.end() ? places_[node].uplink : station->second;
  return over(link, link != plan::kNone && plan_.links[link].b == node);
}

void FullFabric::send(std::unique_ptr<Datagram> datagram) {
  ++counters_.sent;
  counters_.sent_bytes += datagram->bytes.size();
  const plan::Index from = datagram->from, to = datagram->to;
  const std::uint8_t ecn = datagram->ecn;
  if (log_ != nullptr) log_->add({now_ns(), from, to, static_cast<std::uint32_t>(datagram->bytes.size()), 0});
  const plan::Index node = plan_.processes[from].node;
  auto packet = ns3::Create<ns3::Packet>(datagram->bytes.data(), static_cast<std::uint32_t>(datagram->bytes.size()));
  const bool stays = node == plan_.processes[to].node;
  const std::uint64_t delay = stays ? static_cast<std::uint64_t>(plan_.nodes[node].loopback_delay_ns) : 0;
  datagram->network.propagation_ns += static_cast<std::int64_t>(delay);
  freight_.load(*packet, std::move(datagram), now_ns());
  if (delay > 0) {
    at(now_ns() + delay, [this, from, to, ecn, packet] { go(from, to, ecn, packet); });
  } else {
    go(from, to, ecn, packet);
  }
}

void FullFabric::go(plan::Index from, plan::Index to, std::uint8_t ecn, ns3::Ptr<ns3::Packet> packet) {
  const plan::Process& there = plan_.processes[to];
  if (!ends_[from]->send(std::move(packet), places_[there.node].address, there.port, ecn)) ++no_route_;
}

void FullFabric::receive(plan::Index process, const ns3::Packet& packet, std::uint8_t ecn) {
  Freight::Piece piece = freight_.unload(packet);
  if (piece.datagram == nullptr || piece.datagram->to != process) {
    ++untagged_;
    return;
  }
  Datagram& datagram = *piece.datagram;
  datagram.ecn = ecn;
  datagram.bytes.resize(packet.GetSize());
  packet.CopyData(datagram.bytes.data(), packet.GetSize());
  // What no LinkModel took was spent in queue discs and in devices of ns-3's own.
  Parts& parts = datagram.network;
  parts.queueing_ns = static_cast<std::int64_t>(now_ns() - piece.sent_ns) - parts.propagation_ns -
                      parts.serialisation_ns - parts.repair_ns - parts.broker_ns;
  arrived(std::move(piece.datagram));
}

Expected<void> FullFabric::finish() {
  if (log_ != nullptr && !log_->close()) return fail(Exit::cannot, capture_.datagrams, "cannot be written to its end");
  if (!captures_.close()) return fail(Exit::cannot, capture_.folder, "captures could not be written to their end");
  return {};
}

void FullFabric::extra_counters(const std::function<void(const std::string&, std::uint64_t)>& add) const {
  add("fabric/no_route", no_route_);
  add("fabric/untagged", untagged_);
  add("fabric/forgotten", freight_.forgotten());
  add("fabric/under_way", freight_.under_way());
  for (plan::Index d = 0; d < queue_disc_drops_.size(); ++d) {
    const std::string way = d % 2 == 0 ? "/a_to_b" : "/b_to_a";
    if (queue_disc_drops_[d] > 0) add(plan_.links[d / 2].name + way + "/dropped/fq_codel", queue_disc_drops_[d]);
    if (queue_disc_marks_[d] > 0) add(plan_.links[d / 2].name + way + "/marked", queue_disc_marks_[d]);
  }
  own_->counters(add);
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
