// Links of ns-3's own devices: point-to-point, CSMA buses and Wi-Fi. They bring their own queues, medium access and,
// for Wi-Fi, radio; the LinkModel has no part in them. Wi-Fi and CSMA draw from ns-3's random streams, seeded by the
// plan, and Wi-Fi's error models use libm: a run repeats to the byte on one machine, not surely on another.
#pragma once

#include <ns3/net-device.h>
#include <ns3/node.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "scenarios/base/error.hpp"
#include "scenarios/plan/plan.hpp"

namespace portolan::sim {

class OwnDevices {
 public:
  using Lost = std::function<void(ns3::Ptr<const ns3::Packet>)>;
  struct Pair {
    ns3::Ptr<ns3::NetDevice> a, b;
    bool a_is_new = true;  // on a shared medium only the first link brings its node's device
  };
  // `lost` hears of each packet that a device or the queue disc above it drops.
  OwnDevices(const plan::Plan& plan, Lost lost);
  ~OwnDevices();

  Pair make(plan::Index link, ns3::Ptr<ns3::Node> a, ns3::Ptr<ns3::Node> b);
  // Once the devices have interfaces: Wi-Fi gets the queue disc that Linux gives it.
  void finish();
  Expected<void> capture(plan::Index link, const std::string& path);
  void counters(const std::function<void(const std::string&, std::uint64_t)>& add) const;

 private:
  struct Medium;
  Pair point_to_point(const plan::Link& link, ns3::Ptr<ns3::Node> a, ns3::Ptr<ns3::Node> b);
  Pair csma(Medium& medium, const plan::Medium& is, ns3::Ptr<ns3::Node> a, ns3::Ptr<ns3::Node> b);
  Pair wifi(Medium& medium, const plan::Medium& is, ns3::Ptr<ns3::Node> a, ns3::Ptr<ns3::Node> b);
  void hear(ns3::Ptr<ns3::NetDevice> device, const char* trace, const std::string& name);
  void place(ns3::Ptr<ns3::Node> node, const plan::Motion& motion);
  std::uint64_t& count(const std::string& name);

  const plan::Plan& plan_;
  Lost lost_;
  std::vector<std::unique_ptr<Medium>> media_;  // by medium
  std::vector<Pair> pairs_;                     // by link; empty ones are not ours
  std::vector<std::unique_ptr<std::pair<std::string, std::uint64_t>>> counters_;
  std::int64_t stream_ = 0;
};

}  // namespace portolan::sim
