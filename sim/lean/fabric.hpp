// What carries datagrams between processes, in either fidelity (`Fabric`), and the lean one: hop by hop over LinkModels
// on the run's event loop, along Routes. No IP stack there; what IP, UDP, Ethernet and VXLAN add on the wire is charged
// as bytes. One event a hop; a veth without impairments costs none. sim/full/ has the other.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "scenarios/plan/needs.hpp"
#include "scenarios/plan/plan.hpp"
#include "sim/lean/journeys.hpp"
#include "sim/lean/pool.hpp"
#include "sim/lean/routes.hpp"
#include "sim/link/link_model.hpp"

namespace portolan::sim {

// What of a plan this fidelity does beyond the least; all else it refuses by name.
inline constexpr plan::Feature kLeanHonours[] = {plan::Feature::hubs, plan::Feature::stations, plan::Feature::small_mtu,
                                                 plan::Feature::ecn, plan::Feature::sealing};

inline constexpr std::uint32_t kIpUdpEthernetBytes = 20 + 8 + 14;
inline constexpr std::uint32_t kVxlanBytes = 50;  // outer Ethernet, IPv4, UDP, VXLAN (RFC 7348), between edges
inline constexpr std::uint32_t kHopsMax = 64;

struct Datagram : Pooled {
  std::vector<std::uint8_t> bytes;
  plan::Index from = 0;  // processes
  plan::Index to = 0;
  link::Traffic traffic = link::Traffic::data;
  bool retransmission = false;
  std::uint8_t lane = 0;
  std::uint8_t ecn = 0;  // the IP header's ECN field (RFC 3168)
  std::uint32_t hops = 0;
  Parts network;  // so far
  std::vector<Travelled> messages;
};

struct FabricCounters {
  std::uint64_t sent = 0, sent_bytes = 0, arrived = 0, no_path = 0, hop_limit = 0;
  std::uint64_t lost = 0, lost_bytes = 0;                    // by links, whatever the reason
  std::uint64_t lost_impaired = 0, lost_impaired_bytes = 0;  // of those by loss and bursts (not cuts, not queues)
};

// Whoever sends. Hosts outlive a run's events, so what they sent may look at this when its time comes.
struct Sender {
  std::uint64_t stopped_ns = ~0ull;  // killed: what would leave from then on does not
};

// One virtual call a datagram; everything a hop costs is behind it.
class Fabric {
 public:
  struct Outputs {
    std::function<void(std::unique_ptr<Datagram>)> arrive;
    std::function<void(std::uint64_t epoch)> path_change;  // a link's change has reached every routing table
  };
  virtual ~Fabric() = default;
  Fabric(const Fabric&) = delete;
  Fabric& operator=(const Fabric&) = delete;

  // Leaves its process's host at the run's present time. The caller's order is the wire's order.
  virtual void send(std::unique_ptr<Datagram> datagram) = 0;
  // The same at a later time, unless the sender was killed before.
  virtual void send_at(std::uint64_t when_ns, std::unique_ptr<Datagram> datagram, const Sender& sender);
  // Links went down or came up now, by the plan's faults, which the LinkModels know: new paths follow in their time.
  virtual void links_changed() = 0;
  virtual const char* fidelity() const = 0;
  // Counters beyond FabricCounters, for the runner's rows.
  virtual void extra_counters(const std::function<void(const std::string&, std::uint64_t)>&) const {}
  // At the end of the run: closes what it wrote.
  virtual Expected<void> finish() { return {}; }
  const FabricCounters& counters() const { return counters_; }
  link::Load take_load(plan::Index link, bool reverse, std::uint64_t now_ns) {
    return directions_[2 * link + (reverse ? 1 : 0)].take_load(now_ns);
  }
  const link::LinkModel& direction(plan::Index link, bool reverse) const {
    return directions_[2 * link + (reverse ? 1 : 0)];
  }

 protected:
  Fabric(const plan::Plan& plan, Outputs outputs) : plan_(plan), outputs_(std::move(outputs)) {}
  Expected<void> make_directions(std::span<const plan::Feature> honoured);
  void arrived(std::unique_ptr<Datagram> datagram) {
    ++counters_.arrived;
    outputs_.arrive(std::move(datagram));
  }
  void lost(const Datagram& datagram, link::Drop why);

  const plan::Plan& plan_;
  Outputs outputs_;
  std::vector<link::LinkModel> directions_;  // [2 * link], a to b, and [2 * link + 1]
  FabricCounters counters_;
};

// What a link's hop has cost, added to the parts of a journey.
void add_hop(Parts& parts, const link::Fate& fate, std::uint64_t delay_ns);

class LeanFabric final : public Fabric {
 public:
  static Expected<std::unique_ptr<Fabric>> make(const plan::Plan& plan, Outputs outputs);
  void send(std::unique_ptr<Datagram> datagram) override;
  void send_at(std::uint64_t when_ns, std::unique_ptr<Datagram> datagram, const Sender& sender) override;
  void links_changed() override;
  const char* fidelity() const override { return "lean"; }

 private:
  using Fabric::Fabric;
  struct Step {
    plan::Index link = plan::kNone;
    bool reverse = false;
    plan::Index node = plan::kNone;
    bool plain = false;
  };
  Step step(plan::Index node, plan::Index to) const;
  plan::Index glide(Datagram& datagram, plan::Index node, std::uint64_t& at_ns) const;
  void deliver(std::uint64_t when_ns, std::unique_ptr<Datagram> datagram, plan::Index node);
  void count_sent(const Datagram& datagram);
  void forward(std::unique_ptr<Datagram> datagram, plan::Index node);
  void at_node(std::unique_ptr<Datagram> datagram, plan::Index node);

  std::unique_ptr<Routes> routes_;
  std::vector<bool> plain_;  // like directions_: a veth that nothing ever changes
};

}  // namespace portolan::sim
