// The network in full fidelity: the plan's nodes as ns-3 nodes with IPv4, UDP and traffic control, its links as
// LinkDevices (link_device.hpp), an overlay of VXLAN between the edges (vxlan.hpp) and routing that converges
// (underlay.hpp). Processes send and receive through UDP of their host's node (udp_end.hpp). `portolan-sim --fidelity
// full`.
#pragma once

#include <ns3/node.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "sim/full/capture.hpp"
#include "sim/full/datagram_log.hpp"
#include "sim/full/freight.hpp"
#include "sim/full/link_device.hpp"
#include "sim/full/own_devices.hpp"
#include "sim/full/router.hpp"
#include "sim/full/udp_end.hpp"
#include "sim/full/underlay.hpp"
#include "sim/full/vxlan.hpp"
#include "sim/lean/fabric.hpp"

namespace portolan::sim {

// As kLeanHonours.
inline constexpr plan::Feature kFullHonours[] = {
    plan::Feature::hubs,      plan::Feature::stations, plan::Feature::motion,   plan::Feature::point_to_point,
    plan::Feature::csma,      plan::Feature::wifi,     plan::Feature::fq_codel, plan::Feature::convergence_parts,
    plan::Feature::small_mtu, plan::Feature::ecn,      plan::Feature::sealing};

class FullFabric final : public Fabric {
 public:
  static Expected<std::unique_ptr<Fabric>> make(const plan::Plan& plan, Outputs outputs, CaptureOptions capture);
  // The network alone, with TCP on its nodes in place of our datagrams (tcp_baseline).
  static Expected<std::unique_ptr<FullFabric>> make_for_tcp(const plan::Plan& plan);
  ~FullFabric() override;
  ns3::Ptr<ns3::Node> node(plan::Index n) const { return places_[n].node; }
  ns3::Ipv4Address address(plan::Index n) const { return places_[n].address; }

  void send(std::unique_ptr<Datagram> datagram) override;
  void links_changed() override { underlay_->links_changed(); }
  const char* fidelity() const override { return "full"; }
  void extra_counters(const std::function<void(const std::string&, std::uint64_t)>& add) const override;
  Expected<void> finish() override;

 private:
  struct Place {  // a plan's node
    ns3::Ptr<ns3::Node> node;
    ns3::Ptr<Router> router;
    ns3::Ipv4Address address;
    plan::Index uplink = plan::kNone;                         // service: its link to the edge; station: to the service
    std::unordered_map<std::uint32_t, plan::Index> stations;  // service: link by the station's address; looked up only
    std::unique_ptr<VxlanEnd> vxlan;                          // edge
  };
  FullFabric(const plan::Plan& plan, Outputs outputs, CaptureOptions capture);
  Expected<void> build();
  void make_places();
  Expected<void> make_links();
  Expected<void> make_model_link(plan::Index link, bool captured);
  Expected<void> make_own_link(plan::Index link, bool captured);
  void queue_disc(plan::Index direction);
  Router::Way over(plan::Index link, bool reverse);
  void make_overlay();
  void make_ends();
  void interface(plan::Index node, ns3::Ptr<ns3::NetDevice> device);
  Router::Way way(plan::Index node, ns3::Ipv4Address to);
  void go(plan::Index from, plan::Index to, std::uint8_t ecn, ns3::Ptr<ns3::Packet> packet);
  void receive(plan::Index process, const ns3::Packet& packet, std::uint8_t ecn);

  Freight freight_;
  CaptureOptions capture_;
  Captures captures_;
  std::unique_ptr<DatagramLog> log_;
  LinkDevice::Watch watch_;
  bool tcp_ = false;
  std::unique_ptr<Underlay> underlay_;
  std::vector<Place> places_;  // by node
  std::unique_ptr<OwnDevices> own_;
  std::vector<std::uint64_t> queue_disc_drops_;           // like devices_
  std::vector<std::uint64_t> queue_disc_marks_;           // like devices_
  std::vector<ns3::Ptr<ns3::NetDevice>> devices_;         // [2 * link] at a, [2 * link + 1] at b
  std::vector<std::unique_ptr<UdpEnd>> ends_;             // by process
  std::unordered_map<std::uint32_t, plan::Index> edges_;  // by router id; looked up only
  std::uint64_t no_route_ = 0, untagged_ = 0;
};

}  // namespace portolan::sim
