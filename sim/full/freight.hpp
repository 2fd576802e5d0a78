// What rides along with a datagram through ns-3, out of band: the sender's Datagram waits in a table here, and the ns-3
// packet carries its number in a packet tag. What ns-3 drops without telling us is forgotten, oldest first, once
// `kUnderWayMost` are under way. Used by FullFabric and its devices only.
#pragma once

#include <ns3/packet.h>
#include <ns3/tag.h>

#include <cstdint>
#include <deque>
#include <memory>

#include "sim/lean/fabric.hpp"

namespace portolan::sim {

class FreightTag final : public ns3::Tag {
 public:
  FreightTag() = default;
  explicit FreightTag(std::uint64_t number) : number_(number) {}
  static ns3::TypeId GetTypeId();
  ns3::TypeId GetInstanceTypeId() const override { return GetTypeId(); }
  std::uint32_t GetSerializedSize() const override { return sizeof number_; }
  void Serialize(ns3::TagBuffer buffer) const override { buffer.WriteU64(number_); }
  void Deserialize(ns3::TagBuffer buffer) override { number_ = buffer.ReadU64(); }
  void Print(std::ostream& out) const override { out << "freight=" << number_; }
  std::uint64_t number() const { return number_; }

 private:
  std::uint64_t number_ = 0;
};

class Freight {
 public:
  static constexpr std::size_t kUnderWayMost = 1u << 20;

  struct Piece {
    std::unique_ptr<Datagram> datagram;
    std::uint64_t sent_ns = 0;
  };
  // Tags the packet with its datagram.
  void load(ns3::Packet& packet, std::unique_ptr<Datagram> datagram, std::uint64_t now_ns);
  // Null for packets that are nobody's datagram (ARP, ICMP), and for what was forgotten.
  Datagram* find(const ns3::Packet& packet);
  Piece unload(const ns3::Packet& packet);
  // A second copy of a packet under way, with a datagram of its own.
  void twice(const ns3::Packet& packet, ns3::Packet& copy);
  std::uint64_t forgotten() const { return forgotten_; }
  // Loaded and neither unloaded nor forgotten.
  std::size_t under_way() const;

 private:
  std::uint64_t keep(Piece piece);
  Piece* at(const ns3::Packet& packet);

  std::deque<Piece> pieces_;  // [number - first_]
  std::uint64_t first_ = 1;
  std::uint64_t forgotten_ = 0;
};

}  // namespace portolan::sim
