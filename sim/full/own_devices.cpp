#include "sim/full/own_devices.hpp"

#include <ns3/boolean.h>
#include <ns3/constant-position-mobility-model.h>
#include <ns3/csma-channel.h>
#include <ns3/csma-helper.h>
#include <ns3/csma-net-device.h>
#include <ns3/data-rate.h>
#include <ns3/double.h>
#include <ns3/fq-codel-queue-disc.h>
#include <ns3/mobility-model.h>
#include <ns3/point-to-point-helper.h>
#include <ns3/point-to-point-net-device.h>
#include <ns3/propagation-delay-model.h>
#include <ns3/propagation-loss-model.h>
#include <ns3/ssid.h>
#include <ns3/string.h>
#include <ns3/traffic-control-layer.h>
#include <ns3/waypoint-mobility-model.h>
#include <ns3/wifi-helper.h>
#include <ns3/wifi-mac.h>
#include <ns3/wifi-mpdu.h>
#include <ns3/wifi-net-device.h>
#include <ns3/yans-wifi-helper.h>

#include <cmath>

namespace portolan::sim {

namespace {

using ns3::Ptr;

constexpr double kReferenceLoss24Db = 40.046;  // free space at 1 m, 2.4 GHz
constexpr double kReferenceLoss5Db = 46.6777;  // the same at 5.15 GHz
constexpr std::uint32_t kFrameBytes = 1500;    // a queue counted in bytes holds so many packets of this size

ns3::Time time_of(plan::Ns ns) {
  return ns3::NanoSeconds(static_cast<std::uint64_t>(ns));
}

ns3::Vector metres(std::int64_t x_mm, std::int64_t y_mm) {
  return {static_cast<double>(x_mm) / 1000, static_cast<double>(y_mm) / 1000, 0};
}

struct Radio {
  ns3::WifiStandard standard;
  bool low_band;
  const char* modes;  // of a fixed modulation and coding scheme
};

Radio radio_of(const std::string& name) {
  if (name == "802.11n-2.4GHz") return {ns3::WIFI_STANDARD_80211n, true, "HtMcs"};
  if (name == "802.11n-5GHz") return {ns3::WIFI_STANDARD_80211n, false, "HtMcs"};
  if (name == "802.11ac") return {ns3::WIFI_STANDARD_80211ac, false, "VhtMcs"};
  if (name == "802.11ax-2.4GHz") return {ns3::WIFI_STANDARD_80211ax, true, "HeMcs"};
  return {ns3::WIFI_STANDARD_80211ax, false, "HeMcs"};
}

}  // namespace

struct OwnDevices::Medium {
  Ptr<ns3::CsmaChannel> bus;
  ns3::YansWifiPhyHelper phy;
  ns3::WifiHelper wifi;
  Ptr<ns3::YansWifiChannel> air;
  Ptr<ns3::NetDevice> first;  // the access point's device, or the first on the bus
};

OwnDevices::OwnDevices(const plan::Plan& plan, Lost lost)
    : plan_(plan), lost_(std::move(lost)), pairs_(plan.links.size()) {
  for (std::size_t m = 0; m < plan.media.size(); ++m) media_.push_back(std::make_unique<Medium>());
}

OwnDevices::~OwnDevices() = default;

std::uint64_t& OwnDevices::count(const std::string& name) {
  for (const auto& counter : counters_) {
    if (counter->first == name) return counter->second;
  }
  counters_.push_back(std::make_unique<std::pair<std::string, std::uint64_t>>(name, 0));
  return counters_.back()->second;
}

void OwnDevices::hear(Ptr<ns3::NetDevice> device, const char* trace, const std::string& name) {
  device->TraceConnectWithoutContext(
      trace, ns3::Callback<void, Ptr<const ns3::Packet>>([this, sum = &count(name)](Ptr<const ns3::Packet> packet) {
        ++*sum;
        lost_(packet);
      }));
}

OwnDevices::Pair OwnDevices::make(plan::Index link, Ptr<ns3::Node> a, Ptr<ns3::Node> b) {
  const plan::Link& is = plan_.links[link];
  Pair& pair = pairs_[link];
  if (is.kind == plan::LinkKind::point_to_point) {
    pair = point_to_point(is, a, b);
  } else if (is.kind == plan::LinkKind::csma) {
    pair = csma(*media_[is.medium], plan_.media[is.medium], a, b);
  } else {
    place(a, {});
    place(b, plan_.nodes[is.b].motion);
    pair = wifi(*media_[is.medium], plan_.media[is.medium], a, b);
  }
  return pair;
}

OwnDevices::Pair OwnDevices::point_to_point(const plan::Link& link, Ptr<ns3::Node> a, Ptr<ns3::Node> b) {
  ns3::PointToPointHelper helper;
  helper.SetDeviceAttribute("DataRate", ns3::DataRateValue(ns3::DataRate(link.a_to_b.rate_bps)));
  helper.SetChannelAttribute("Delay", ns3::TimeValue(time_of(link.a_to_b.delay_ns)));
  const auto packets = std::max<std::uint64_t>(1, link.a_to_b.queue.bytes / kFrameBytes);
  helper.SetQueue("ns3::DropTailQueue", "MaxSize", ns3::StringValue(std::to_string(packets) + "p"));
  const auto devices = helper.Install(a, b);
  for (const std::uint32_t i : {0u, 1u}) {
    const std::string name = link.name + (i == 0 ? "/a_to_b" : "/b_to_a");
    hear(devices.Get(i), "MacTxDrop", name + "/dropped/queue_full");
    hear(devices.Get(i), "PhyTxDrop", name + "/dropped/sending");
    hear(devices.Get(i), "PhyRxDrop", name + "/dropped/receiving");
  }
  return {devices.Get(0), devices.Get(1), true};
}

OwnDevices::Pair OwnDevices::csma(Medium& medium, const plan::Medium& is, Ptr<ns3::Node> a, Ptr<ns3::Node> b) {
  ns3::CsmaHelper helper;
  const bool fresh = medium.bus == nullptr;
  const auto add = [&](Ptr<ns3::Node> node) {
    const auto devices = helper.Install(node, medium.bus);
    stream_ += helper.AssignStreams(devices, stream_);
    hear(devices.Get(0), "MacTxDrop", is.name + "/dropped/queue_full");
    hear(devices.Get(0), "PhyTxDrop", is.name + "/dropped/medium_busy");
    return devices.Get(0);
  };
  if (fresh) {
    medium.bus = ns3::CreateObject<ns3::CsmaChannel>();
    medium.bus->SetAttribute("DataRate", ns3::DataRateValue(ns3::DataRate(is.rate_bps)));
    medium.bus->SetAttribute("Delay", ns3::TimeValue(time_of(is.delay_ns)));
    medium.first = add(a);
  }
  return {medium.first, add(b), fresh};
}

OwnDevices::Pair OwnDevices::wifi(Medium& medium, const plan::Medium& is, Ptr<ns3::Node> a, Ptr<ns3::Node> b) {
  const Radio radio = radio_of(is.wifi.standard);
  const bool fresh = medium.air == nullptr;
  if (fresh) {
    medium.air = ns3::CreateObject<ns3::YansWifiChannel>();
    auto loss = ns3::CreateObject<ns3::LogDistancePropagationLossModel>();
    loss->SetAttribute("Exponent", ns3::DoubleValue(static_cast<double>(is.wifi.exponent_milli) / 1000));
    loss->SetAttribute("ReferenceLoss", ns3::DoubleValue(radio.low_band ? kReferenceLoss24Db : kReferenceLoss5Db));
    medium.air->SetPropagationLossModel(loss);
    medium.air->SetPropagationDelayModel(ns3::CreateObject<ns3::ConstantSpeedPropagationDelayModel>());
    medium.phy.SetChannel(medium.air);
    medium.phy.SetPcapDataLinkType(ns3::WifiPhyHelper::DLT_IEEE802_11_RADIO);
    medium.phy.Set("ChannelSettings", ns3::StringValue("{0, " + std::to_string(is.wifi.width_mhz) + ", " +
                                                       (radio.low_band ? "BAND_2_4GHZ" : "BAND_5GHZ") + ", 0}"));
    medium.phy.Set("TxPowerStart", ns3::DoubleValue(is.wifi.tx_power_dbm));
    medium.phy.Set("TxPowerEnd", ns3::DoubleValue(is.wifi.tx_power_dbm));
    medium.wifi.SetStandard(radio.standard);
    if (is.wifi.mcs < 0) {
      medium.wifi.SetRemoteStationManager("ns3::MinstrelHtWifiManager");
    } else {
      medium.wifi.SetRemoteStationManager("ns3::ConstantRateWifiManager", "DataMode",
                                          ns3::StringValue(radio.modes + std::to_string(is.wifi.mcs)), "ControlMode",
                                          ns3::StringValue(radio.low_band ? "ErpOfdmRate6Mbps" : "OfdmRate6Mbps"));
    }
  }
  const ns3::Ssid ssid(is.name.substr(0, 32));
  const auto add = [&](Ptr<ns3::Node> node, const ns3::WifiMacHelper& mac) {
    const auto devices = medium.wifi.Install(medium.phy, mac, node);
    stream_ += medium.wifi.AssignStreams(devices, stream_);
    ns3::DynamicCast<ns3::WifiNetDevice>(devices.Get(0))
        ->GetMac()
        ->TraceConnectWithoutContext(
            "DroppedMpdu",
            ns3::Callback<void, ns3::WifiMacDropReason, Ptr<const ns3::WifiMpdu>>(
                [this, sum = &count(is.name + "/dropped/mac")](ns3::WifiMacDropReason, Ptr<const ns3::WifiMpdu> mpdu) {
                  ++*sum;
                  lost_(mpdu->GetPacket());
                }));
    return devices.Get(0);
  };
  ns3::WifiMacHelper mac;
  if (fresh) {
    mac.SetType("ns3::ApWifiMac", "Ssid", ns3::SsidValue(ssid));
    medium.first = add(a, mac);
  }
  mac.SetType("ns3::StaWifiMac", "Ssid", ns3::SsidValue(ssid));
  return {medium.first, add(b, mac), fresh};
}

void OwnDevices::place(Ptr<ns3::Node> node, const plan::Motion& motion) {
  if (node->GetObject<ns3::MobilityModel>() != nullptr) return;
  const ns3::Vector from = metres(motion.x_mm, motion.y_mm), to = metres(motion.to_x_mm, motion.to_y_mm);
  const double way_m = std::sqrt((to.x - from.x) * (to.x - from.x) + (to.y - from.y) * (to.y - from.y));
  if (motion.speed_mm_s == 0 || way_m <= 0) {
    auto stands = ns3::CreateObject<ns3::ConstantPositionMobilityModel>();
    stands->SetPosition(from);
    node->AggregateObject(stands);
    return;
  }
  auto moves = ns3::CreateObject<ns3::WaypointMobilityModel>();
  const double leg_s = std::max(0.001, way_m * 1000 / motion.speed_mm_s);
  const double end_s = static_cast<double>(plan_.duration_ns + plan_.drain_ns) / 1e9;
  bool there = false;
  for (double t = 0; t < end_s + leg_s; t += leg_s, there = !there) {
    moves->AddWaypoint(ns3::Waypoint(ns3::Seconds(t), there ? to : from));
  }
  node->AggregateObject(moves);
}

void OwnDevices::finish() {
  const auto above = [this](Ptr<ns3::NetDevice> device, const std::string& name) {
    auto disc = ns3::CreateObject<ns3::FqCoDelQueueDisc>();
    disc->SetAttribute("UseEcn", ns3::BooleanValue(false));
    disc->SetQuantum(kFrameBytes);
    disc->TraceConnectWithoutContext(
        "Drop", ns3::Callback<void, Ptr<const ns3::QueueDiscItem>>(
                    [this, sum = &count(name + "/dropped/fq_codel")](Ptr<const ns3::QueueDiscItem> item) {
                      ++*sum;
                      lost_(item->GetPacket());
                    }));
    device->GetNode()->GetObject<ns3::TrafficControlLayer>()->SetRootQueueDiscOnDevice(device, disc);
  };
  for (plan::Index l = 0; l < pairs_.size(); ++l) {
    if (pairs_[l].a == nullptr || plan_.links[l].kind != plan::LinkKind::wifi) continue;
    const std::string& name = plan_.media[plan_.links[l].medium].name;
    if (pairs_[l].a_is_new) above(pairs_[l].a, name);
    above(pairs_[l].b, name);
  }
}

Expected<void> OwnDevices::capture(plan::Index link, const std::string& path) {
  const plan::Link& is = plan_.links[link];
  const Pair& pair = pairs_[link];
  if (is.kind == plan::LinkKind::point_to_point) {
    ns3::PointToPointHelper().EnablePcap(path, pair.a, true, true);
  } else if (is.kind == plan::LinkKind::csma) {
    ns3::CsmaHelper().EnablePcap(path, pair.b, true, true);
  } else {
    media_[is.medium]->phy.EnablePcap(path, pair.b, true, true);
  }
  return {};
}

void OwnDevices::counters(const std::function<void(const std::string&, std::uint64_t)>& add) const {
  for (const auto& counter : counters_) add(counter->first, counter->second);
}

}  // namespace portolan::sim
