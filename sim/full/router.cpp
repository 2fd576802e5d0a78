#include "sim/full/router.hpp"

#include <ns3/ipv4.h>
#include <ns3/net-device.h>

namespace portolan::sim {

ns3::TypeId Router::GetTypeId() {
  static const ns3::TypeId id = ns3::TypeId("portolan::Router").SetParent<ns3::Ipv4RoutingProtocol>();
  return id;
}

void Router::DoDispose() {
  known_.clear();
  ipv4_ = nullptr;
  table_ = {};
  ns3::Ipv4RoutingProtocol::DoDispose();
}

ns3::Ptr<ns3::Ipv4Route> Router::to(ns3::Ipv4Address address) {
  if (const std::uint64_t epoch = table_.epoch(); epoch != epoch_) {
    known_.clear();
    epoch_ = epoch;
  }
  auto [place, fresh] = known_.try_emplace(address.Get());
  if (!fresh) return place->second;
  const Way way =
      address == self_ ? Way{ipv4_->GetNetDevice(0), self_} : table_.way(address);  // 0: ns-3's own loopback
  if (way.device == nullptr) return nullptr;
  auto route = ns3::Create<ns3::Ipv4Route>();
  route->SetDestination(address);
  route->SetSource(self_);
  route->SetGateway(way.neighbour);
  route->SetOutputDevice(way.device);
  place->second = route;
  return route;
}

ns3::Ptr<ns3::Ipv4Route> Router::RouteOutput(ns3::Ptr<ns3::Packet>, const ns3::Ipv4Header& header,
                                             ns3::Ptr<ns3::NetDevice>, ns3::Socket::SocketErrno& error) {
  auto route = to(header.GetDestination());
  error = route == nullptr ? ns3::Socket::ERROR_NOROUTETOHOST : ns3::Socket::ERROR_NOTERROR;
  return route;
}

bool Router::RouteInput(ns3::Ptr<const ns3::Packet> packet, const ns3::Ipv4Header& header,
                        ns3::Ptr<const ns3::NetDevice> from, UnicastForwardCallback forward, MulticastForwardCallback,
                        LocalDeliverCallback deliver, ErrorCallback refuse) {
  if (header.GetDestination() == self_) {
    deliver(packet, header, static_cast<std::uint32_t>(ipv4_->GetInterfaceForDevice(from)));
    return true;
  }
  if (auto route = to(header.GetDestination())) {
    forward(route, packet, header);
  } else {
    refuse(packet, header, ns3::Socket::ERROR_NOROUTETOHOST);
  }
  return true;
}

}  // namespace portolan::sim
