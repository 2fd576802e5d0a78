#include "sim/full/udp_end.hpp"

#include <ns3/ipv4-end-point.h>
#include <ns3/udp-header.h>
#include <ns3/udp-l4-protocol.h>

#include <utility>

namespace portolan::sim {

namespace {

constexpr std::uint8_t kTtl = 64;  // ns-3's own default, and Linux's

}  // namespace

UdpEnd::UdpEnd(ns3::Ptr<ns3::Node> node, ns3::Ptr<Router> router, ns3::Ipv4Address self, std::uint16_t port,
               Receive receive)
    : ip_(node->GetObject<ns3::Ipv4>()),
      router_(std::move(router)),
      self_(self),
      port_(port),
      receive_(std::move(receive)) {
  ns3::Ipv4EndPoint* end = node->GetObject<ns3::UdpL4Protocol>()->Allocate(nullptr, self, port);
  NS_ABORT_MSG_IF(end == nullptr, "UDP port " << port << " of " << self << " is taken");
  end->SetRxCallback(
      ns3::Callback<void, ns3::Ptr<ns3::Packet>, ns3::Ipv4Header, std::uint16_t, ns3::Ptr<ns3::Ipv4Interface>>(
          [this](ns3::Ptr<ns3::Packet> packet, const ns3::Ipv4Header& header, std::uint16_t,
                 const ns3::Ptr<ns3::Ipv4Interface>&) { receive_(std::move(packet), header); }));
}

bool UdpEnd::send(ns3::Ptr<ns3::Packet> packet, ns3::Ipv4Address to, std::uint16_t to_port, std::uint8_t ecn,
                  std::uint16_t from_port) {
  const ns3::Ptr<ns3::Ipv4Route> route = router_->to(to);
  if (route == nullptr) return false;
  ns3::UdpHeader udp;
  udp.SetSourcePort(from_port == 0 ? port_ : from_port);
  udp.SetDestinationPort(to_port);
  if (ns3::Node::ChecksumEnabled()) {
    udp.EnableChecksums();
    udp.InitializeChecksum(self_, to, ns3::UdpL4Protocol::PROT_NUMBER);
  }
  packet->AddHeader(udp);
  ns3::Ipv4Header header;
  header.SetSource(self_);
  header.SetDestination(to);
  header.SetProtocol(ns3::UdpL4Protocol::PROT_NUMBER);
  header.SetPayloadSize(static_cast<std::uint16_t>(packet->GetSize()));
  header.SetTtl(kTtl);
  header.SetEcn(static_cast<ns3::Ipv4Header::EcnType>(ecn));
  header.SetMayFragment();
  header.SetIdentification(identification_++);
  ip_->SendWithHeader(std::move(packet), header, route);
  return true;
}

}  // namespace portolan::sim
