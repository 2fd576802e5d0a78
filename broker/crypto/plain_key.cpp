#include "broker/crypto/plain_key.hpp"

#include <sodium.h>

#include <cstring>

#include "broker/crypto/noise.hpp"

namespace portolan::broker {

Identity plain_identity(std::uint64_t id, std::uint32_t incarnation) {
  constexpr char kWhat[] = "portolan plain key, protects nothing";
  std::uint8_t bytes[8 + sizeof kWhat];
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::uint8_t>(id >> (8 * i));
  std::memcpy(bytes + 8, kWhat, sizeof kWhat);
  Identity identity;
  identity.id = id;
  identity.incarnation = incarnation;
  crypto_generichash(identity.static_private.data(), identity.static_private.size(), bytes, sizeof bytes, nullptr, 0);
  identity.static_public = public_key_of(identity.static_private);
  return identity;
}

}  // namespace portolan::broker
