// The synthetic payload: see load.hpp. Words are little-endian on every machine.
#include <bit>
#include <cstring>

#include "scenarios/base/hash.hpp"
#include "scenarios/load/load.hpp"

namespace portolan::load {
namespace {

// Word i >= 1 of the payload with this key; the size is in, so a payload cut short is not intact.
std::uint64_t word(std::uint64_t key, std::uint64_t size, std::uint64_t i) {
  return mix64(key ^ (i * 0xD6E8FEB86659FD93ull) ^ (size << 40));
}

void put(std::uint64_t value, std::size_t bytes, std::uint8_t* to) {
  if (std::endian::native == std::endian::little && bytes == 8) {
    std::memcpy(to, &value, 8);  // one store; compilers keep the loop below
    return;
  }
  for (std::size_t i = 0; i < bytes; ++i) to[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

}  // namespace

void synthetic(const Identity& identity, std::uint32_t size_bytes, std::vector<std::uint8_t>& out) {
  const std::uint64_t key = draw64(identity.seed, name64(identity.topic), identity.tenant, identity.publisher,
                                   identity.incarnation, identity.sequence);
  out.resize(size_bytes);
  for (std::size_t at = 0; at < size_bytes; at += 8) {
    const std::size_t bytes = size_bytes - at < 8 ? size_bytes - at : 8;
    put(at == 0 ? key : word(key, size_bytes, at / 8), bytes, out.data() + at);
  }
}

bool synthetic_intact(std::span<const std::uint8_t> payload) {
  if (payload.size() < smallest_synthetic) return false;
  std::uint64_t key = 0;
  for (std::size_t i = 0; i < 8; ++i) key |= static_cast<std::uint64_t>(payload[i]) << (8 * i);
  for (std::size_t at = 8; at < payload.size(); ++at) {
    const std::uint64_t w = word(key, payload.size(), at / 8);
    if (payload[at] != static_cast<std::uint8_t>(w >> (8 * (at % 8)))) return false;
  }
  return true;
}

}  // namespace portolan::load
