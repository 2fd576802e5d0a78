// Names follow the Noise specification, revision 34: chaining_ is ck, hash_ is h, key_ and nonce_ are the CipherState.
#include "broker/crypto/noise.hpp"

#include <sodium/crypto_aead_chacha20poly1305.h>
#include <sodium/crypto_auth_hmacsha256.h>
#include <sodium/crypto_generichash.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/crypto_scalarmult_curve25519.h>
#include <sodium/utils.h>

#include <cstring>

namespace portolan::broker {
namespace {

constexpr char kProtocol[] = "Noise_IK_25519_ChaChaPoly_SHA256";
static_assert(sizeof kProtocol - 1 == sizeof(Key32), "a name of 32 bytes is the first hash as it stands");
constexpr std::size_t kSeal = crypto_aead_chacha20poly1305_ietf_ABYTES;
static_assert(kSeal == 16);

void hmac(const Key32& key, std::span<const std::uint8_t> a, std::span<const std::uint8_t> b, Key32& out) {
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, key.data(), key.size());
  crypto_auth_hmacsha256_update(&state, a.data(), a.size());
  crypto_auth_hmacsha256_update(&state, b.data(), b.size());
  crypto_auth_hmacsha256_final(&state, out.data());
}

// HKDF with two outputs (section 4.3).
void hkdf(const Key32& chaining, std::span<const std::uint8_t> secret, Key32& first, Key32& second) {
  static constexpr std::uint8_t kOne[] = {1};
  static constexpr std::uint8_t kTwo[] = {2};
  Key32 temporary;
  hmac(chaining, secret, {}, temporary);
  hmac(temporary, kOne, {}, first);
  hmac(temporary, first, kTwo, second);
  sodium_memzero(temporary.data(), temporary.size());
}

struct Nonce {  // 32 zero bits, then the counter (section 12)
  explicit Nonce(std::uint64_t counter) { std::memcpy(bytes + 4, &counter, sizeof counter); }
  std::uint8_t bytes[crypto_aead_chacha20poly1305_ietf_NPUBBYTES] = {};
};

// One key of a direction: BLAKE2b keyed with Split()'s key over a label and both session indices.
void derive(const Key32& key, const char (&label)[8], std::uint32_t initiator_session, std::uint32_t responder_session,
            std::span<std::uint8_t> out) {
  std::uint8_t input[16];
  std::memcpy(input, label, 8);
  std::memcpy(input + 8, &initiator_session, 4);
  std::memcpy(input + 12, &responder_session, 4);
  crypto_generichash(out.data(), out.size(), input, sizeof input, key.data(), key.size());
}

void derive_direction(const Key32& key, std::uint32_t initiator_session, std::uint32_t responder_session,
                      DirectionKeys& out) {
  derive(key, "tag    ", initiator_session, responder_session, out.tag);
  derive(key, "packet ", initiator_session, responder_session, out.packet);
  derive(key, "segment", initiator_session, responder_session, out.segment);
}

}  // namespace

void next_phase(Key32& secret, std::uint32_t initiator_session, std::uint32_t responder_session, DirectionKeys& out) {
  const Nonce last(~0ull);
  std::uint8_t sealed[sizeof(Key32) + kSeal] = {};
  crypto_aead_chacha20poly1305_ietf_encrypt(sealed, nullptr, sealed, sizeof(Key32), nullptr, 0, nullptr, last.bytes,
                                            secret.data());
  std::memcpy(secret.data(), sealed, secret.size());
  sodium_memzero(sealed, sizeof sealed);
  derive_direction(secret, initiator_session, responder_session, out);
}

Key32 public_key_of(const Key32& static_private) {
  Key32 out{};
  crypto_scalarmult_curve25519_base(out.data(), static_private.data());
  return out;
}

void NoiseIk::mix_hash(std::span<const std::uint8_t> bytes) {
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  crypto_hash_sha256_update(&state, hash_.data(), hash_.size());
  crypto_hash_sha256_update(&state, bytes.data(), bytes.size());
  crypto_hash_sha256_final(&state, hash_.data());
}

void NoiseIk::mix_key(std::span<const std::uint8_t> secret) {
  hkdf(chaining_, secret, chaining_, key_);
  nonce_ = 0;
}

bool NoiseIk::mix_dh(const Key32& private_key, const Key32& public_key) {
  Key32 shared;
  // libsodium refuses points of small order: a peer cannot force a known secret.
  if (crypto_scalarmult_curve25519(shared.data(), private_key.data(), public_key.data()) != 0) return false;
  mix_key(shared);
  sodium_memzero(shared.data(), shared.size());
  return true;
}

void NoiseIk::seal(std::span<const std::uint8_t> plain, std::uint8_t* out) {
  const Nonce nonce(nonce_++);
  crypto_aead_chacha20poly1305_ietf_encrypt(out, nullptr, plain.data(), plain.size(), hash_.data(), hash_.size(),
                                            nullptr, nonce.bytes, key_.data());
  mix_hash({out, plain.size() + kSeal});
}

bool NoiseIk::open(std::span<const std::uint8_t> sealed, std::uint8_t* out) {
  const Nonce nonce(nonce_++);
  if (crypto_aead_chacha20poly1305_ietf_decrypt(out, nullptr, nullptr, sealed.data(), sealed.size(), hash_.data(),
                                                hash_.size(), nonce.bytes, key_.data()) != 0) {
    return false;
  }
  mix_hash(sealed);
  return true;
}

void NoiseIk::start(const Identity& self, std::span<const std::uint8_t> prologue, const Key32& ephemeral) {
  std::memcpy(hash_.data(), kProtocol, hash_.size());
  chaining_ = hash_;
  nonce_ = 0;
  key_ = {};
  static_private_ = self.static_private;
  static_public_ = self.static_public;
  ephemeral_private_ = ephemeral;
  ephemeral_public_ = public_key_of(ephemeral);
  remote_ephemeral_ = {};
  mix_hash(prologue);
}

void NoiseIk::start_initiator(const Identity& self, const Key32& responder_public,
                              std::span<const std::uint8_t> prologue, const Key32& ephemeral) {
  start(self, prologue, ephemeral);
  initiator_ = true;
  remote_static_ = responder_public;
  mix_hash(remote_static_);  // the pre-message: <- s
  turn_ = Turn::write_1;
}

void NoiseIk::start_responder(const Identity& self, std::span<const std::uint8_t> prologue, const Key32& ephemeral) {
  start(self, prologue, ephemeral);
  initiator_ = false;
  remote_static_ = {};
  mix_hash(static_public_);
  turn_ = Turn::read_1;
}

std::size_t NoiseIk::write(std::span<const std::uint8_t> payload, std::span<std::uint8_t> out) {
  const Turn turn = turn_;
  const std::size_t bytes = payload.size() + (turn == Turn::write_1 ? kNoiseOverhead1 : kNoiseOverhead2);
  if ((turn != Turn::write_1 && turn != Turn::write_2) || payload.size() > kNoisePayloadMax || out.size() < bytes) {
    return 0;
  }
  turn_ = Turn::dead;
  std::memcpy(out.data(), ephemeral_public_.data(), 32);
  mix_hash(ephemeral_public_);
  if (turn == Turn::write_1) {  // -> e, es, s, ss
    if (!mix_dh(ephemeral_private_, remote_static_)) return 0;
    seal(static_public_, out.data() + 32);
    if (!mix_dh(static_private_, remote_static_)) return 0;
    seal(payload, out.data() + 80);
    turn_ = Turn::read_2;
  } else {  // <- e, ee, se
    if (!mix_dh(ephemeral_private_, remote_ephemeral_) || !mix_dh(ephemeral_private_, remote_static_)) return 0;
    seal(payload, out.data() + 32);
    turn_ = Turn::complete;
  }
  return bytes;
}

bool NoiseIk::read(std::span<const std::uint8_t> message, std::span<std::uint8_t> payload, std::size_t& payload_bytes) {
  const Turn turn = turn_;
  const std::size_t overhead = turn == Turn::read_1 ? kNoiseOverhead1 : kNoiseOverhead2;
  payload_bytes = 0;
  if (turn != Turn::read_1 && turn != Turn::read_2) return false;
  turn_ = Turn::dead;
  if (message.size() < overhead || message.size() - overhead > kNoisePayloadMax ||
      payload.size() < message.size() - overhead) {
    return false;
  }
  std::memcpy(remote_ephemeral_.data(), message.data(), 32);
  mix_hash(remote_ephemeral_);
  std::span<const std::uint8_t> rest = message.subspan(32);
  if (turn == Turn::read_1) {
    if (!mix_dh(static_private_, remote_ephemeral_) || !open(rest.first(48), remote_static_.data())) return false;
    rest = rest.subspan(48);
    if (!mix_dh(static_private_, remote_static_)) return false;
  } else {
    if (!mix_dh(ephemeral_private_, remote_ephemeral_) || !mix_dh(static_private_, remote_ephemeral_)) return false;
  }
  if (!open(rest, payload.data())) return false;
  payload_bytes = rest.size() - kSeal;
  turn_ = turn == Turn::read_1 ? Turn::write_2 : Turn::complete;
  return true;
}

bool NoiseIk::split(Key32& first, Key32& second) const {
  if (turn_ != Turn::complete) return false;
  hkdf(chaining_, {}, first, second);
  return true;
}

bool NoiseIk::session_keys(std::uint32_t mine, std::uint32_t theirs, SessionKeys& out) const {
  Key32 first, second;
  if (!split(first, second)) return false;
  const std::uint32_t initiator = initiator_ ? mine : theirs;
  const std::uint32_t responder = initiator_ ? theirs : mine;
  derive_direction(first, initiator, responder, initiator_ ? out.send : out.receive);
  derive_direction(second, initiator, responder, initiator_ ? out.receive : out.send);
  std::uint8_t uid[16];
  derive(hash_, "uid    ", initiator, responder, uid);
  std::memcpy(&out.uid, uid, sizeof out.uid);
  if (out.uid == 0) out.uid = 1;
  out.send_secret = initiator_ ? first : second;
  out.receive_secret = initiator_ ? second : first;
  sodium_memzero(first.data(), first.size());
  sodium_memzero(second.data(), second.size());
  return true;
}

void NoiseIk::wipe() {
  for (Key32* key : {&chaining_, &key_, &static_private_, &ephemeral_private_})
    sodium_memzero(key->data(), key->size());
  turn_ = Turn::dead;
}

}  // namespace portolan::broker
