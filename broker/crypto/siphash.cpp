// libsodium's SipHash-2-4. (An unrolled one of our own for the 32 bytes of a frame was a fifth slower: 27 to 22 ns of
// CPU.)
#include "broker/crypto/siphash.hpp"

#include <sodium/crypto_shorthash.h>

#include <bit>
#include <cstring>

namespace portolan::broker {
namespace {

static_assert(std::endian::native == std::endian::little, "the wire is little-endian and read in place");

constexpr std::size_t kTagged = 32;
static_assert(offsetof(ptl_frame, tag) == kTagged);

}  // namespace

std::uint64_t siphash(const SipKey& key, std::span<const std::uint8_t> bytes) {
  std::uint64_t out = 0;
  crypto_shorthash(reinterpret_cast<unsigned char*>(&out), bytes.data(), bytes.size(), key.data());
  return out;
}

std::uint64_t frame_tag(const SipKey& key, const std::uint8_t* frame) {
  return siphash(key, {frame, kTagged});
}

bool frame_tag_is_right(const SipKey& key, const std::uint8_t* frame) {
  std::uint64_t tag;
  std::memcpy(&tag, frame + kTagged, sizeof tag);
  return tag == frame_tag(key, frame);
}

void set_frame_tag(const SipKey& key, std::uint8_t* frame) {
  const std::uint64_t tag = frame_tag(key, frame);
  std::memcpy(frame + kTagged, &tag, sizeof tag);
}

}  // namespace portolan::broker
