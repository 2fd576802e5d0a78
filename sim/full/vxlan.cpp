#include "sim/full/vxlan.hpp"

#include <ns3/ethernet-header.h>
#include <ns3/inet-socket-address.h>
#include <ns3/udp-header.h>
#include <ns3/udp-l4-protocol.h>
#include <ns3/udp-socket-factory.h>

#include "scenarios/base/hash.hpp"

namespace portolan::sim {

namespace {

constexpr std::uint8_t kVniValid = 0x08;            // RFC 7348, section 5: the I flag
constexpr std::uint16_t kFirstDynamicPort = 49152;  // section 5: source ports 49152-65535, by a hash of the inner frame

std::uint16_t source_port(const ns3::Packet& inner) {
  std::uint8_t head[24];  // IPv4 without options, and the ports of UDP
  if (inner.CopyData(head, sizeof head) < sizeof head) return kFirstDynamicPort;
  const auto word = [&head](std::size_t i) {
    return std::uint64_t{head[i]} << 24 | std::uint64_t{head[i + 1]} << 16 | std::uint64_t{head[i + 2]} << 8 |
           head[i + 3];
  };
  const std::uint64_t hash = draw64(word(12) << 32 | word(16), word(20), head[9], 0);
  return static_cast<std::uint16_t>(kFirstDynamicPort | (hash & 0x3FFF));
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
}

std::uint32_t VxlanHeader::Deserialize(ns3::Buffer::Iterator start) {
  start.Next(4);
  vni_ = start.ReadNtohU32() >> 8;
  return kBytes;
}

VxlanEnd::VxlanEnd(ns3::Ptr<ns3::Node> edge, ns3::Ipv4Address self)
    : ip_(edge->GetObject<ns3::Ipv4L3Protocol>()),
      socket_(ns3::Socket::CreateSocket(edge, ns3::UdpSocketFactory::GetTypeId())),
      self_(self) {
  socket_->Bind(ns3::InetSocketAddress(self, kVxlanPort));
  socket_->SetIpRecvTos(true);
  socket_->SetRecvCallback(
      ns3::Callback<void, ns3::Ptr<ns3::Socket>>([this](ns3::Ptr<ns3::Socket> socket) { from_underlay(socket); }));
}

void VxlanEnd::add_port(std::uint32_t vni, ns3::Ptr<LinkDevice> port) {
  networks_[vni].port = port;
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
  ns3::Ipv4Header inner;
  packet->PeekHeader(inner);
  const Network& network = networks_[vni];
  const auto edge = network.edge_of.find(inner.GetDestination().Get());
  if (edge == network.edge_of.end()) {
    ++dropped_.unknown_host;
    return false;
  }
  ns3::Ptr<ns3::Packet> frame = packet->Copy();
  const std::uint16_t flow = source_port(*frame);
  ns3::EthernetHeader ethernet(false);
  ethernet.SetLengthType(ns3::Ipv4L3Protocol::PROT_NUMBER);
  ethernet.SetSource(ns3::Mac48Address::ConvertFrom(network.port->GetAddress()));
  ethernet.SetDestination(ns3::Mac48Address::ConvertFrom(network.port->GetBroadcast()));
  frame->AddHeader(ethernet);
  frame->AddHeader(VxlanHeader(vni));
  ns3::UdpHeader udp;
  udp.SetSourcePort(flow);
  udp.SetDestinationPort(kVxlanPort);
  // RFC 7348 would have it zero, but ns-3's receiver does not know that zero means "none" (RFC 768).
  if (ns3::Node::ChecksumEnabled()) {
    udp.EnableChecksums();
    udp.InitializeChecksum(self_, edge->second, ns3::UdpL4Protocol::PROT_NUMBER);
  }
  frame->AddHeader(udp);
  if (inner.GetEcn() != ns3::Ipv4Header::ECN_NotECT) {
    ns3::SocketIpTosTag tos;
    tos.SetTos(static_cast<std::uint8_t>(inner.GetEcn()));
    frame->ReplacePacketTag(tos);
  }
  ip_->Send(frame, self_, edge->second, ns3::UdpL4Protocol::PROT_NUMBER, nullptr);
  return true;
}

void VxlanEnd::from_underlay(ns3::Ptr<ns3::Socket> socket) {
  while (ns3::Ptr<ns3::Packet> frame = socket->Recv()) {
    VxlanHeader vxlan;
    frame->RemoveHeader(vxlan);
    const auto network = networks_.find(vxlan.vni());
    if (network == networks_.end() || network->second.port == nullptr) {
      ++dropped_.unknown_network;
      continue;
    }
    ns3::EthernetHeader ethernet(false);
    frame->RemoveHeader(ethernet);
    ns3::SocketIpTosTag tos;
    const bool outer_marked = frame->RemovePacketTag(tos) && (tos.GetTos() & 3) == ns3::Ipv4Header::ECN_CE;
    if (outer_marked && ecn_capable(*frame, ns3::Ipv4L3Protocol::PROT_NUMBER)) mark_congestion(*frame);
    network->second.port->Send(frame, network->second.port->GetBroadcast(), ns3::Ipv4L3Protocol::PROT_NUMBER);
  }
}

}  // namespace portolan::sim
