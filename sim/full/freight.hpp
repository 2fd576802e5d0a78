// What rides along with a datagram through ns-3, out of band: the sender's Datagram waits in a table here, by the
// number that ns-3 gives each packet that is made, and that its copies keep (Packet::GetUid). What ns-3 drops without
// telling us is forgotten, oldest first, once `kUnderWayMost` are under way. Used by FullFabric and its devices only.
#pragma once

#include <ns3/packet.h>

#include <cstdint>
#include <deque>
#include <memory>

#include "sim/lean/fabric.hpp"

namespace portolan::sim {

class Freight {
 public:
  static constexpr std::size_t kUnderWayMost = 1u << 20;

  struct Piece {
    std::unique_ptr<Datagram> datagram;
    std::uint64_t sent_ns = 0;
  };
  // The packet is new: none that was made later has been loaded.
  void load(const ns3::Packet& packet, std::unique_ptr<Datagram> datagram, std::uint64_t now_ns);
  // Null for packets that are nobody's datagram (ARP, ICMP), and for what was forgotten.
  Datagram* find(const ns3::Packet& packet);
  Piece unload(const ns3::Packet& packet);
  // A second packet like one under way, with a datagram of its own.
  ns3::Ptr<ns3::Packet> twice(const ns3::Packet& packet);
  std::uint64_t forgotten() const { return forgotten_; }
  // Loaded and neither unloaded nor forgotten.
  std::size_t under_way() const;

 private:
  Piece* at(const ns3::Packet& packet);

  std::deque<Piece> pieces_;  // [number - first_]; empty ones for what was delivered, and for packets of others
  std::uint64_t first_ = 0;
  std::uint64_t forgotten_ = 0;
};

}  // namespace portolan::sim
