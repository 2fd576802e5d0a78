// A plan's link as an ns-3 channel with two devices. The LinkModel alone decides delay, jitter, loss, rate, queue and
// outage of each frame (craft of sim/link); nothing of ns-3's adds to it. A frame over the link's MTU vanishes there
// without a word to its sender: the black hole that path-MTU discovery has to find (RFC 8899).
// `held_above`: the queue is a queue disc of ns-3's traffic control above this device, which then stops it while a
// frame is on the wire, so that the LinkModel's own queue stays empty.
#pragma once

#include <ns3/channel.h>
#include <ns3/ipv4-l3-protocol.h>
#include <ns3/mac48-address.h>
#include <ns3/net-device-queue-interface.h>
#include <ns3/net-device.h>
#include <ns3/node.h>

#include <cstdint>
#include <functional>

#include "sim/full/freight.hpp"
#include "sim/link/link_model.hpp"

namespace portolan::sim {

inline constexpr std::uint32_t kEthernetBytes = 14;

class LinkDevice;

// The ECN field of an IPv4 packet (RFC 3168).
bool ecn_capable(const ns3::Packet& packet, std::uint16_t protocol);
void mark_congestion(ns3::Packet& packet);

class LinkChannel final : public ns3::Channel {
 public:
  static ns3::TypeId GetTypeId();
  void attach(LinkDevice& a, LinkDevice& b);
  std::size_t GetNDevices() const override { return 2; }
  ns3::Ptr<ns3::NetDevice> GetDevice(std::size_t i) const override;

 private:
  LinkDevice* ends_[2] = {nullptr, nullptr};
};

class LinkDevice final : public ns3::NetDevice {
 public:
  struct Watch {
    std::function<void(const Datagram*, link::Drop)> lost;
    link::Traffic untagged = link::Traffic::control;  // what packets that are nobody's datagram count as
  };
  static ns3::TypeId GetTypeId();
  // `model` is this device's way out. All outlive it.
  LinkDevice(link::LinkModel& model, Freight& freight, const Watch& watch);

  void attach(ns3::Ptr<LinkChannel> channel, LinkDevice& peer);
  void hold_above();
  void let_mark() { marks_ = true; }  // the model's queue does; else no header is looked at
  // All that comes is IPv4 and goes right to it: the node and its traffic control would ask each of their handlers, two
  // for each device of the node, and then do no more.
  void receive_by(ns3::Ptr<ns3::Ipv4L3Protocol> ip) { ip_ = ip; }
  // Sees each frame as it enters the wire (packet capture); none by default.
  void set_tap(std::function<void(const ns3::Packet&, std::uint16_t protocol)> tap) { tap_ = std::move(tap); }

  bool Send(ns3::Ptr<ns3::Packet> packet, const ns3::Address& to, std::uint16_t protocol) override;
  bool SendFrom(ns3::Ptr<ns3::Packet>, const ns3::Address&, const ns3::Address&, std::uint16_t) override;
  void SetIfIndex(std::uint32_t index) override { index_ = index; }
  std::uint32_t GetIfIndex() const override { return index_; }
  ns3::Ptr<ns3::Channel> GetChannel() const override { return channel_; }
  void SetAddress(ns3::Address address) override { address_ = address; }
  ns3::Address GetAddress() const override { return address_; }
  bool SetMtu(std::uint16_t) override { return false; }
  std::uint16_t GetMtu() const override { return kMtuForIp; }
  bool IsLinkUp() const override { return true; }  // outages are silent: routing has to find them
  void AddLinkChangeCallback(ns3::Callback<void>) override {}
  bool IsBroadcast() const override { return true; }
  ns3::Address GetBroadcast() const override { return broadcast_; }
  bool IsMulticast() const override { return false; }
  ns3::Address GetMulticast(ns3::Ipv4Address) const override { return broadcast_; }
  ns3::Address GetMulticast(ns3::Ipv6Address) const override { return broadcast_; }
  bool IsBridge() const override { return false; }
  bool IsPointToPoint() const override { return true; }
  ns3::Ptr<ns3::Node> GetNode() const override { return node_; }
  void SetNode(ns3::Ptr<ns3::Node> node) override { node_ = node; }
  bool NeedsArp() const override { return false; }
  void SetReceiveCallback(ReceiveCallback callback) override { receive_ = callback; }
  void SetPromiscReceiveCallback(PromiscReceiveCallback) override {}  // sniffers use the tap
  bool SupportsSendFrom() const override { return false; }

 protected:
  void DoDispose() override;
  void NotifyNewAggregate() override;

 private:
  // IP must not fragment: a datagram is whole or it is dropped.
  static constexpr std::uint16_t kMtuForIp = 65'535;
  void arrive_at(std::uint64_t when_ns, ns3::Ptr<ns3::Packet> packet, std::uint16_t protocol);
  void arrive(ns3::Ptr<ns3::Packet> packet, std::uint16_t protocol);

  link::LinkModel& model_;
  Freight& freight_;
  const Watch& watch_;
  std::uint32_t index_ = 0;
  LinkDevice* peer_ = nullptr;
  bool held_above_ = false;
  bool marks_ = false;
  ns3::Ptr<LinkChannel> channel_;
  ns3::Ptr<ns3::Node> node_;
  ns3::Ptr<ns3::NetDeviceQueueInterface> queues_;
  ns3::Address address_, broadcast_;
  ReceiveCallback receive_;
  ns3::Ptr<ns3::Ipv4L3Protocol> ip_;
  std::function<void(const ns3::Packet&, std::uint16_t)> tap_;
};

}  // namespace portolan::sim
