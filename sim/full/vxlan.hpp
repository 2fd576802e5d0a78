// The VXLAN end point of an edge (RFC 7348): the frames of its harbour's service hosts go in UDP to the edge of the
// host they are for, with the tenant's VNI; so tenants may use the same addresses. Where a host lives is known from the
// plan, as EVPN (RFC 8365) would have told: no flooding, no ARP. The outer source port is a hash of the inner addresses
// and ports, so that queues which keep flows apart see them; not of the VNI, as in Linux: tenants of equal addresses
// share such a queue.
#pragma once

#include <ns3/header.h>
#include <ns3/ipv4-header.h>
#include <ns3/mac48-address.h>

#include <array>
#include <cstdint>
#include <map>
#include <unordered_map>

#include "sim/full/link_device.hpp"
#include "sim/full/udp_end.hpp"

namespace portolan::sim {

inline constexpr std::uint16_t kVxlanPort = 4789;

// What stands before the inner IP packet: VXLAN's header and the inner frame's Ethernet header.
class VxlanHeader final : public ns3::Header {
 public:
  static constexpr std::uint32_t kBytes = 8 + kEthernetBytes;
  using Mac = std::array<std::uint8_t, 6>;
  VxlanHeader() = default;
  VxlanHeader(std::uint32_t vni, const Mac& from, const Mac& to) : vni_(vni), from_(from), to_(to) {}
  static ns3::TypeId GetTypeId();
  ns3::TypeId GetInstanceTypeId() const override { return GetTypeId(); }
  std::uint32_t GetSerializedSize() const override { return kBytes; }
  void Serialize(ns3::Buffer::Iterator start) const override;
  std::uint32_t Deserialize(ns3::Buffer::Iterator start) override;
  void Print(std::ostream& out) const override { out << "vni=" << vni_; }
  std::uint32_t vni() const { return vni_; }

 private:
  std::uint32_t vni_ = 0;
  Mac from_{}, to_{};
};

// The ECN field goes out with the outer header and a mark comes in with it (RFC 6040, normal mode).
class VxlanEnd {
 public:
  struct Dropped {
    std::uint64_t unknown_host = 0, unknown_network = 0;
  };
  // `self`: the edge's router id.
  VxlanEnd(ns3::Ptr<ns3::Node> edge, ns3::Ptr<Router> router, ns3::Ipv4Address self);
  // The edge's side of the link to a tenant's service host; frames that come in there are the tenant's.
  void add_port(std::uint32_t vni, ns3::Ptr<LinkDevice> port);
  void add_host(std::uint32_t vni, ns3::Ipv4Address host, ns3::Ipv4Address edge);
  const Dropped& dropped() const { return dropped_; }

 private:
  struct Network {
    ns3::Ptr<LinkDevice> port;
    VxlanHeader header;
    std::unordered_map<std::uint32_t, ns3::Ipv4Address> edge_of;  // looked up only
  };
  bool from_service(std::uint32_t vni, ns3::Ptr<const ns3::Packet> packet);
  void from_underlay(ns3::Ptr<ns3::Packet> frame, const ns3::Ipv4Header& outer);

  UdpEnd end_;
  std::map<std::uint32_t, Network> networks_;  // by VNI
  Dropped dropped_;
};

}  // namespace portolan::sim
