// The network in lean fidelity: datagrams go hop by hop over LinkModels on ns-3's scheduler, along Routes. No IP stack;
// what IP, UDP, Ethernet and VXLAN add on the wire is charged as bytes. One event a hop; a veth without impairments
// costs none.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "scenarios/plan/plan.hpp"
#include "sim/lean/journeys.hpp"
#include "sim/lean/routes.hpp"
#include "sim/link/link_model.hpp"

namespace portolan::sim {

inline constexpr std::uint32_t kIpUdpEthernetBytes = 20 + 8 + 14;
inline constexpr std::uint32_t kVxlanBytes = 50;  // outer Ethernet, IPv4, UDP, VXLAN (RFC 7348), between edges
inline constexpr std::uint32_t kHopsMax = 64;

struct Datagram {
  std::vector<std::uint8_t> bytes;
  plan::Index from = 0;  // processes
  plan::Index to = 0;
  link::Traffic traffic = link::Traffic::data;
  bool retransmission = false;
  std::uint8_t lane = 0;
  std::uint32_t hops = 0;
  Parts network;  // so far
  std::vector<Travelled> messages;
};

struct FabricCounters {
  std::uint64_t sent = 0, sent_bytes = 0, arrived = 0, no_path = 0, hop_limit = 0;
  std::uint64_t lost = 0, lost_bytes = 0;                    // by links, whatever the reason
  std::uint64_t lost_impaired = 0, lost_impaired_bytes = 0;  // of those by loss and bursts (not cuts, not queues)
};

class Fabric {
 public:
  using Arrive = std::function<void(std::unique_ptr<Datagram>)>;
  static Expected<std::unique_ptr<Fabric>> make(const plan::Plan& plan, Arrive arrive);

  // Leaves its process's host at the run's present time. The caller's order is the wire's order.
  void send(std::unique_ptr<Datagram> datagram);
  // After a link's change and the plan's convergence.
  void converge();
  std::uint64_t epoch() const { return routes_->epoch(); }
  const FabricCounters& counters() const { return counters_; }
  const link::LinkModel& direction(plan::Index link, bool reverse) const {
    return directions_[2 * link + (reverse ? 1 : 0)];
  }

 private:
  Fabric(const plan::Plan& plan, Arrive arrive) : plan_(plan), arrive_(std::move(arrive)) {}
  void forward(std::unique_ptr<Datagram> datagram, plan::Index node);
  void at_node(std::unique_ptr<Datagram> datagram, plan::Index node);
  void lost(const Datagram& datagram, link::Drop why);

  const plan::Plan& plan_;
  Arrive arrive_;
  std::vector<link::LinkModel> directions_;
  std::unique_ptr<Routes> routes_;
  FabricCounters counters_;
};

}  // namespace portolan::sim
