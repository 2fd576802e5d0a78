// Sealing: ChaCha20-Poly1305 as in RFC 8439 (libsodium's IETF construction), in place, with the authenticator apart;
// and any part of the sealed bytes made again by seeking the cipher, so that what is sent need be stored only as
// plaintext. No allocation, no randomness: the caller answers for nonces (PROTOCOL.md "Sealing"). Any thread.
#pragma once

#include <cstdint>
#include <span>

#include "broker/types.hpp"

namespace portolan::broker {

inline constexpr std::uint32_t kSealBytes = PTL_TRAILER_BYTES;  // of an authenticator
inline constexpr std::uint32_t kSealBlock = 64;                 // of the cipher

using SealNonce = std::array<std::uint8_t, 12>;
SealNonce packet_nonce(std::uint64_t packet);
SealNonce segment_nonce(std::uint32_t slot_class, std::uint32_t ticket);

// Chooses libsodium's fast implementations for this CPU; without it they are the slow portable ones, with the same
// results. Call once at start; again does nothing.
void prepare_sealing();

// `text` becomes its sealed form; kSealBytes of authenticator are written.
void seal_in_place(const Key32& key, const SealNonce& nonce, std::span<const std::uint8_t> header,
                   std::span<std::uint8_t> text, std::uint8_t* authenticator);
// False: not what was sealed; then `out` (as long as `sealed`, the same place or another) holds nothing of use.
bool open_sealed(const Key32& key, const SealNonce& nonce, std::span<const std::uint8_t> header,
                 std::span<const std::uint8_t> sealed, const std::uint8_t* authenticator, std::uint8_t* out);
// Seals (or opens) without judging: `text` begins `from` bytes into what seal_in_place sealed, a multiple of
// kSealBlock.
void seal_part(const Key32& key, const SealNonce& nonce, std::uint32_t from, std::span<std::uint8_t> text);

}  // namespace portolan::broker
