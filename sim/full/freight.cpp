#include "sim/full/freight.hpp"

#include <utility>
#include <vector>

namespace portolan::sim {

Freight::Piece* Freight::at(const ns3::Packet& packet) {
  const std::uint64_t place = packet.GetUid() - first_;
  return place < pieces_.size() ? &pieces_[place] : nullptr;
}

void Freight::load(const ns3::Packet& packet, std::unique_ptr<Datagram> datagram, std::uint64_t now_ns) {
  while (!pieces_.empty() && (pieces_.front().datagram == nullptr || pieces_.size() >= kUnderWayMost)) {
    if (pieces_.front().datagram != nullptr) ++forgotten_;
    pieces_.pop_front();
    ++first_;
  }
  const std::uint64_t number = packet.GetUid();
  if (number < first_ + pieces_.size()) {  // ns-3 counts in 32 bits, and began again
    forgotten_ += under_way();
    pieces_.clear();
  }
  if (pieces_.empty()) first_ = number;
  while (first_ + pieces_.size() < number) pieces_.emplace_back();
  pieces_.push_back({std::move(datagram), now_ns});
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

ns3::Ptr<ns3::Packet> Freight::twice(const ns3::Packet& packet) {
  std::vector<std::uint8_t> bytes(packet.GetSize());
  packet.CopyData(bytes.data(), packet.GetSize());
  const auto second = ns3::Create<ns3::Packet>(bytes.data(), packet.GetSize());  // a copy would have the same number
  const Piece* piece = at(packet);
  if (piece == nullptr || piece->datagram == nullptr) return second;
  const std::uint64_t sent_ns = piece->sent_ns;
  load(*second, std::make_unique<Datagram>(*piece->datagram), sent_ns);
  return second;
}

}  // namespace portolan::sim
