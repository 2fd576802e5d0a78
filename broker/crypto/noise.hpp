// The handshake: Noise_IK_25519_ChaChaPoly_SHA256 (noiseprotocol.org, revision 34) over libsodium's primitives. The
// initiator knows the responder's static key; after two messages both know each other and share fresh keys.
//   initiator: start_initiator, write (message 1), read (message 2), session_keys
//   responder: start_responder, read (message 1), [look at peer(), decide], write (message 2), session_keys
// No allocation, no clock, no randomness of its own. A failed read leaves the handshake dead: start again.
// One thread. Every length is checked; payloads and messages may not overlap.
#pragma once

#include <cstdint>
#include <span>

#include "broker/crypto/siphash.hpp"
#include "broker/types.hpp"

namespace portolan::broker {

inline constexpr std::size_t kNoiseOverhead1 = 32 + 48 + 16;  // message 1: e, sealed static key, seal of the payload
inline constexpr std::size_t kNoiseOverhead2 = 32 + 16;       // message 2: e, seal of the payload
inline constexpr std::size_t kNoisePayloadMax = 512;

Key32 public_key_of(const Key32& static_private);

// Both sides mix these bytes into the transcript, so nobody between them can change what the initiator offered. The
// initiator sends them in clear before message 1; the responder refuses what it does not speak, and answers with its
// own limits inside message 2's sealed payload. Little-endian, 32 bytes.
struct Prologue {
  std::uint32_t magic = 0x316c7470;  // "ptl1"
  std::uint16_t version = PTL_VERSION;
  std::uint16_t fragment_max = PTL_FRAGMENT_KERNEL_MAX;  // largest fragment that the sender of the prologue takes
  std::uint32_t capabilities = 0;                        // enum Capability; unknown bits are ignored
  std::uint32_t window_packets = 0;
  std::uint32_t window_messages = 0;
  std::uint32_t message_bytes_max = 0;
  std::uint64_t idle_interval_ns = 0;
  std::span<const std::uint8_t> bytes() const { return {reinterpret_cast<const std::uint8_t*>(this), sizeof *this}; }
};
static_assert(sizeof(Prologue) == 32);
enum Capability : std::uint32_t { kCapabilityPlain = 1, kCapabilitySealed = 2, kCapabilityFec = 4 };

// Per direction: frame tags, sealed packets, sealed segments. Bound to both session indices, so that nothing can be
// reflected, or replayed into another session of the same keys.
struct DirectionKeys {
  SipKey tag{};
  Key32 packet{};
  Key32 segment{};
};
struct SessionKeys {
  DirectionKeys send;
  DirectionKeys receive;
  Key32 send_secret{};  // Split()'s keys: what the keys of later phases are made of
  Key32 receive_secret{};
  std::uint64_t uid = 0;  // the same at both ends and never again; never 0
};

// The next key phase of a direction: its secret becomes Noise's REKEY of it (section 4.2: the first 32 bytes of
// ENCRYPT(k, 2^64 - 1, "", 32 zeros)), so a later secret tells nothing of an earlier one; the keys are made of that as
// the first ones were of Split()'s key.
void next_phase(Key32& secret, std::uint32_t initiator_session, std::uint32_t responder_session, DirectionKeys& out);

class NoiseIk {
 public:
  // `ephemeral` must be fresh (Random::key()). `prologue` is mixed at once and need not outlive the call.
  void start_initiator(const Identity& self, const Key32& responder_public, std::span<const std::uint8_t> prologue,
                       const Key32& ephemeral);
  void start_responder(const Identity& self, std::span<const std::uint8_t> prologue, const Key32& ephemeral);

  // Writes the next message, `payload` sealed inside. Its length; 0 when it is not this side's turn, or `out` is short.
  std::size_t write(std::span<const std::uint8_t> payload, std::span<std::uint8_t> out);
  // Reads the next message and opens its payload into `payload`; its length in `payload_bytes`. False: forged, for
  // somebody else, malformed, or out of turn.
  bool read(std::span<const std::uint8_t> message, std::span<std::uint8_t> payload, std::size_t& payload_bytes);

  const Key32& peer() const { return remote_static_; }  // responder: known after read
  const Key32& handshake_hash() const { return hash_; }
  bool complete() const { return turn_ == Turn::complete; }

  // Once complete: the keys for the session whose index at me is `mine` and at the peer `theirs`.
  bool session_keys(std::uint32_t mine, std::uint32_t theirs, SessionKeys& out) const;
  // Noise's Split(): initiator to responder, and back. For the published vectors.
  bool split(Key32& first, Key32& second) const;
  void wipe();  // forgets all secrets

 private:
  enum class Turn : std::uint8_t { dead, write_1, read_2, read_1, write_2, complete };

  void start(const Identity& self, std::span<const std::uint8_t> prologue, const Key32& ephemeral);
  void mix_hash(std::span<const std::uint8_t> bytes);
  void mix_key(std::span<const std::uint8_t> secret);
  bool mix_dh(const Key32& private_key, const Key32& public_key);
  void seal(std::span<const std::uint8_t> plain, std::uint8_t* out);
  bool open(std::span<const std::uint8_t> sealed, std::uint8_t* out);

  Turn turn_ = Turn::dead;
  bool initiator_ = false;
  std::uint64_t nonce_ = 0;
  Key32 chaining_{}, hash_{}, key_{};
  Key32 static_private_{}, static_public_{}, ephemeral_private_{}, ephemeral_public_{};
  Key32 remote_static_{}, remote_ephemeral_{};
};

}  // namespace portolan::broker
