// An end point of ns-3's UDP without its socket: datagrams go down through the node's IP with a header and a route of
// ours, and come up from its UDP's demultiplexer. The wire has the same bytes. A socket would look for the route twice,
// copy the packet for a recursion that never comes, ask each interface of the node whether the address is a broadcast,
// carry TOS and sender in tags and queue what is read at once: a third of what a datagram costs. The processes' ends
// (full_fabric.hpp) and VXLAN's (vxlan.hpp) are such.
#pragma once

#include <ns3/ipv4-header.h>
#include <ns3/ipv4.h>
#include <ns3/node.h>
#include <ns3/packet.h>

#include <cstdint>
#include <functional>

#include "sim/full/router.hpp"

namespace portolan::sim {

class UdpEnd {
 public:
  // Without its UDP header; the IP header it came with.
  using Receive = std::function<void(ns3::Ptr<ns3::Packet>, const ns3::Ipv4Header&)>;
  // `node` has ns-3's IP and UDP, and `router` is its routing protocol. The port must be free.
  UdpEnd(ns3::Ptr<ns3::Node> node, ns3::Ptr<Router> router, ns3::Ipv4Address self, std::uint16_t port, Receive receive);
  UdpEnd(const UdpEnd&) = delete;
  UdpEnd& operator=(const UdpEnd&) = delete;

  // False when there is no route. `from_port` 0: the own one.
  bool send(ns3::Ptr<ns3::Packet> packet, ns3::Ipv4Address to, std::uint16_t to_port, std::uint8_t ecn,
            std::uint16_t from_port = 0);

 private:
  ns3::Ptr<ns3::Ipv4> ip_;
  ns3::Ptr<Router> router_;
  ns3::Ipv4Address self_;
  std::uint16_t port_;
  std::uint16_t identification_ = 0;
  Receive receive_;
};

}  // namespace portolan::sim
