#include "broker/crypto/seal.hpp"

#include <sodium/core.h>
#include <sodium/crypto_aead_chacha20poly1305.h>
#include <sodium/crypto_stream_chacha20.h>

#include <cstring>

namespace portolan::broker {

static_assert(kSealBytes == crypto_aead_chacha20poly1305_ietf_ABYTES);
static_assert(sizeof(SealNonce) == crypto_aead_chacha20poly1305_ietf_NPUBBYTES);
static_assert(sizeof(SealNonce) == crypto_stream_chacha20_ietf_NONCEBYTES);

SealNonce packet_nonce(std::uint64_t packet) {
  SealNonce nonce{};
  std::memcpy(nonce.data() + 4, &packet, sizeof packet);
  return nonce;
}

SealNonce segment_nonce(std::uint32_t slot_class, std::uint32_t ticket) {
  SealNonce nonce{};
  std::memcpy(nonce.data(), &slot_class, sizeof slot_class);
  std::memcpy(nonce.data() + 4, &ticket, sizeof ticket);
  return nonce;
}

void prepare_sealing() {
  const int done = sodium_init();  // a failure leaves the portable implementations, which are right as well
  static_cast<void>(done);
}

void seal_in_place(const Key32& key, const SealNonce& nonce, std::span<const std::uint8_t> header,
                   std::span<std::uint8_t> text, std::uint8_t* authenticator) {
  crypto_aead_chacha20poly1305_ietf_encrypt_detached(text.data(), authenticator, nullptr, text.data(), text.size(),
                                                     header.data(), header.size(), nullptr, nonce.data(), key.data());
}

bool open_sealed(const Key32& key, const SealNonce& nonce, std::span<const std::uint8_t> header,
                 std::span<const std::uint8_t> sealed, const std::uint8_t* authenticator, std::uint8_t* out) {
  return crypto_aead_chacha20poly1305_ietf_decrypt_detached(out, nullptr, sealed.data(), sealed.size(), authenticator,
                                                            header.data(), header.size(), nonce.data(),
                                                            key.data()) == 0;
}

void seal_part(const Key32& key, const SealNonce& nonce, std::uint32_t from, std::span<std::uint8_t> text) {
  // Block 0 makes the key of the authenticator (RFC 8439, 2.8); the text begins with block 1.
  crypto_stream_chacha20_ietf_xor_ic(text.data(), text.data(), text.size(), nonce.data(), 1 + from / kSealBlock,
                                     key.data());
}

}  // namespace portolan::broker
