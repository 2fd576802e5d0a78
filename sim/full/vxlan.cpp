#include "sim/full/vxlan.hpp"

#include <ns3/ipv4-l3-protocol.h>

#include "scenarios/base/hash.hpp"

namespace portolan::sim {

namespace {

constexpr std::uint32_t kMacBytes = 6;
constexpr std::uint8_t kVniValid = 0x08;            // RFC 7348, section 5: the I flag
constexpr std::uint16_t kFirstDynamicPort = 49152;  // section 5: source ports 49152-65535, by a hash of the inner frame

// The first bytes of an inner packet: IPv4 without options, and the ports of UDP or TCP.
using Head = std::array<std::uint8_t, 24>;

std::uint32_t word(const Head& head, std::size_t i) {
  return std::uint32_t{head[i]} << 24 | std::uint32_t{head[i + 1]} << 16 | std::uint32_t{head[i + 2]} << 8 |
         head[i + 3];
}

std::uint16_t source_port(const Head& head) {
  const std::uint64_t hash = draw64(std::uint64_t{word(head, 12)} << 32 | word(head, 16), word(head, 20), head[9], 0);
  return static_cast<std::uint16_t>(kFirstDynamicPort | (hash & 0x3FFF));
}

VxlanHeader::Mac mac_of(const ns3::Address& address) {
  VxlanHeader::Mac out{};
  ns3::Mac48Address::ConvertFrom(address).CopyTo(out.data());
  return out;
}

}  // namespace

ns3::TypeId VxlanHeader::GetTypeId() {
  static const ns3::TypeId id =
      ns3::TypeId("portolan::VxlanHeader").SetParent<ns3::Header>().AddConstructor<VxlanHeader>();
  return id;
}

void VxlanHeader::Serialize(ns3::Buffer::Iterator start) const {
  start.WriteU8(kVniValid);
  start.WriteU8(0, 3);
  start.WriteHtonU32(vni_ << 8);
  start.Write(to_.data(), kMacBytes);
  start.Write(from_.data(), kMacBytes);
  start.WriteHtonU16(ns3::Ipv4L3Protocol::PROT_NUMBER);
}

std::uint32_t VxlanHeader::Deserialize(ns3::Buffer::Iterator start) {
  start.Next(4);
  vni_ = start.ReadNtohU32() >> 8;
  start.Read(to_.data(), kMacBytes);
  start.Read(from_.data(), kMacBytes);
  return kBytes;
}

VxlanEnd::VxlanEnd(ns3::Ptr<ns3::Node> edge, ns3::Ptr<Router> router, ns3::Ipv4Address self)
    : end_(std::move(edge), std::move(router), self, kVxlanPort,
           [this](ns3::Ptr<ns3::Packet> frame, const ns3::Ipv4Header& outer) {
             from_underlay(std::move(frame), outer);
           }) {}

void VxlanEnd::add_port(std::uint32_t vni, ns3::Ptr<LinkDevice> port) {
  Network& network = networks_[vni];
  network.port = port;
  network.header = VxlanHeader(vni, mac_of(port->GetAddress()), mac_of(port->GetBroadcast()));
  // In place of the node's own callback: such a port is a bridge's, not an interface of the edge's IP.
  port->SetReceiveCallback(ns3::NetDevice::ReceiveCallback(
      [this, vni](ns3::Ptr<ns3::NetDevice>, ns3::Ptr<const ns3::Packet> packet, std::uint16_t, const ns3::Address&) {
        return from_service(vni, packet);
      }));
}

void VxlanEnd::add_host(std::uint32_t vni, ns3::Ipv4Address host, ns3::Ipv4Address edge) {
  networks_[vni].edge_of[host.Get()] = edge;
}

bool VxlanEnd::from_service(std::uint32_t vni, ns3::Ptr<const ns3::Packet> packet) {
  Head inner{};
  packet->CopyData(inner.data(), inner.size());
  const Network& network = networks_[vni];
  const auto edge = network.edge_of.find(word(inner, 16));
  if (edge == network.edge_of.end()) {
    ++dropped_.unknown_host;
    return false;
  }
  const ns3::Ptr<ns3::Packet> frame = packet->Copy();
  frame->AddHeader(network.header);
  // RFC 7348 would have the UDP checksum zero, but ns-3's receiver does not know that zero means "none" (RFC 768).
  return end_.send(frame, edge->second, kVxlanPort, inner[1] & 3, source_port(inner));
}

void VxlanEnd::from_underlay(ns3::Ptr<ns3::Packet> frame, const ns3::Ipv4Header& outer) {
  VxlanHeader vxlan;
  frame->RemoveHeader(vxlan);
  const auto network = networks_.find(vxlan.vni());
  if (network == networks_.end() || network->second.port == nullptr) {
    ++dropped_.unknown_network;
    return;
  }
  const bool outer_marked = outer.GetEcn() == ns3::Ipv4Header::ECN_CE;
  if (outer_marked && ecn_capable(*frame, ns3::Ipv4L3Protocol::PROT_NUMBER)) mark_congestion(*frame);
  network->second.port->Send(frame, network->second.port->GetBroadcast(), ns3::Ipv4L3Protocol::PROT_NUMBER);
}

}  // namespace portolan::sim
