#include "sim/full/freight.hpp"

#include <utility>

namespace portolan::sim {

ns3::TypeId FreightTag::GetTypeId() {
  static const ns3::TypeId id = ns3::TypeId("portolan::FreightTag").SetParent<ns3::Tag>().AddConstructor<FreightTag>();
  return id;
}

std::uint64_t Freight::keep(Piece piece) {
  while (!pieces_.empty() && (pieces_.front().datagram == nullptr || pieces_.size() >= kUnderWayMost)) {
    if (pieces_.front().datagram != nullptr) ++forgotten_;
    pieces_.pop_front();
    ++first_;
  }
  pieces_.push_back(std::move(piece));
  return first_ + pieces_.size() - 1;
}

Freight::Piece* Freight::at(const ns3::Packet& packet) {
  FreightTag tag;
  if (!packet.PeekPacketTag(tag) || tag.number() < first_ || tag.number() - first_ >= pieces_.size()) return nullptr;
  return &pieces_[tag.number() - first_];
}

void Freight::load(ns3::Packet& packet, std::unique_ptr<Datagram> datagram, std::uint64_t now_ns) {
  packet.AddPacketTag(FreightTag(keep({std::move(datagram), now_ns})));
}

Datagram* Freight::find(const ns3::Packet& packet) {
  Piece* piece = at(packet);
  return piece == nullptr ? nullptr : piece->datagram.get();
}

Freight::Piece Freight::unload(const ns3::Packet& packet) {
  Piece* piece = at(packet);
  if (piece == nullptr) return {};
  return std::exchange(*piece, Piece{});
}

std::size_t Freight::under_way() const {
  std::size_t sum = 0;
  for (const Piece& piece : pieces_) sum += piece.datagram != nullptr ? 1 : 0;
  return sum;
}

void Freight::twice(const ns3::Packet& packet, ns3::Packet& copy) {
  Piece* piece = at(packet);
  if (piece == nullptr || piece->datagram == nullptr) return;
  Piece second{std::make_unique<Datagram>(*piece->datagram), piece->sent_ns};
  FreightTag tag;
  copy.RemovePacketTag(tag);
  copy.AddPacketTag(FreightTag(keep(std::move(second))));
}

}  // namespace portolan::sim
