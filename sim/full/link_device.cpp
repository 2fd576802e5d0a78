#include "sim/full/link_device.hpp"

#include <ns3/ipv4-header.h>
#include <ns3/simulator.h>

#include "sim/lean/scheduler.hpp"

namespace portolan::sim {

ns3::TypeId LinkChannel::GetTypeId() {
  static const ns3::TypeId id = ns3::TypeId("portolan::LinkChannel").SetParent<ns3::Channel>();
  return id;
}

void LinkChannel::attach(LinkDevice& a, LinkDevice& b) {
  ends_[0] = &a;
  ends_[1] = &b;
  a.attach(ns3::Ptr<LinkChannel>(this), b);
  b.attach(ns3::Ptr<LinkChannel>(this), a);
}

ns3::Ptr<ns3::NetDevice> LinkChannel::GetDevice(std::size_t i) const {
  return ns3::Ptr<ns3::NetDevice>(ends_[i]);
}

ns3::TypeId LinkDevice::GetTypeId() {
  static const ns3::TypeId id = ns3::TypeId("portolan::LinkDevice").SetParent<ns3::NetDevice>();
  return id;
}

LinkDevice::LinkDevice(link::LinkModel& model, Freight& freight, const Watch& watch)
    : model_(model),
      freight_(freight),
      watch_(watch),
      address_(ns3::Mac48Address::Allocate()),
      broadcast_(ns3::Mac48Address::GetBroadcast()) {}

void LinkDevice::attach(ns3::Ptr<LinkChannel> channel, LinkDevice& peer) {
  channel_ = channel;
  peer_ = &peer;
}

void LinkDevice::hold_above() {
  held_above_ = true;
  AggregateObject(ns3::CreateObject<ns3::NetDeviceQueueInterface>());
}

void LinkDevice::NotifyNewAggregate() {
  if (queues_ == nullptr) queues_ = GetObject<ns3::NetDeviceQueueInterface>();
  ns3::NetDevice::NotifyNewAggregate();
}

void LinkDevice::DoDispose() {
  channel_ = nullptr;
  node_ = nullptr;
  queues_ = nullptr;
  ip_ = nullptr;
  receive_ = ReceiveCallback();
  ns3::NetDevice::DoDispose();
}

bool LinkDevice::SendFrom(ns3::Ptr<ns3::Packet>, const ns3::Address&, const ns3::Address&, std::uint16_t) {
  return false;
}

bool ecn_capable(const ns3::Packet& packet, std::uint16_t protocol) {
  if (protocol != ns3::Ipv4L3Protocol::PROT_NUMBER) return false;
  ns3::Ipv4Header header;
  packet.PeekHeader(header);
  return header.GetEcn() != ns3::Ipv4Header::ECN_NotECT;
}

void mark_congestion(ns3::Packet& packet) {
  ns3::Ipv4Header header;
  packet.RemoveHeader(header);
  header.SetEcn(ns3::Ipv4Header::ECN_CE);
  if (ns3::Node::ChecksumEnabled()) header.EnableChecksum();
  packet.AddHeader(header);
}

bool LinkDevice::Send(ns3::Ptr<ns3::Packet> packet, const ns3::Address&, std::uint16_t protocol) {
  const std::uint32_t bytes = packet->GetSize();
  Datagram* datagram = freight_.find(*packet);
  const std::uint64_t now = now_ns();
  const link::Fate fate =
      model_.send(now, bytes + kEthernetBytes, datagram == nullptr ? watch_.untagged : datagram->traffic,
                  marks_ && ecn_capable(*packet, protocol));
  if (fate.marked) mark_congestion(*packet);
  if (tap_) tap_(*packet, protocol);  // as the wire carries it
  if (held_above_ && fate.serialisation_ns > 0) {
    queues_->GetTxQueue(0)->Stop();
    at(now + fate.queueing_ns + fate.serialisation_ns, [this] {
      if (queues_ != nullptr) queues_->GetTxQueue(0)->Wake();
    });
  }
  if (fate.copies == 0) {
    watch_.lost(datagram, fate.drop);
    freight_.unload(*packet);
    return true;  // it was sent; that it never comes is the link's doing
  }
  if (fate.copies == 2) {
    ns3::Ptr<ns3::Packet> copy = freight_.twice(*packet);
    if (Datagram* second = freight_.find(*copy)) add_hop(second->network, fate, fate.deliver_at_ns[1] - now);
    arrive_at(fate.deliver_at_ns[1], std::move(copy), protocol);
  }
  if (datagram != nullptr) add_hop(datagram->network, fate, fate.deliver_at_ns[0] - now);
  arrive_at(fate.deliver_at_ns[0], std::move(packet), protocol);
  return true;
}

void LinkDevice::arrive_at(std::uint64_t when_ns, ns3::Ptr<ns3::Packet> packet, std::uint16_t protocol) {
  auto event = [peer = peer_, packet = std::move(packet), protocol] { peer->arrive(packet, protocol); };
  ns3::Simulator::ScheduleWithContext(peer_->node_->GetId(), ns3::NanoSeconds(when_ns - now_ns()),
                                      new OwnedEvent<decltype(event)>(std::move(event)));
}

void LinkDevice::arrive(ns3::Ptr<ns3::Packet> packet, std::uint16_t protocol) {
  const ns3::Ptr<ns3::NetDevice> self(this);
  if (ip_ != nullptr) {
    ip_->Receive(self, packet, protocol, peer_->address_, address_, PACKET_HOST);
  } else {
    receive_(self, packet, protocol, peer_->address_);
  }
}

}  // namespace portolan::sim
