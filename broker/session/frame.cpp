#include "broker/session/frame.hpp"

#include "broker/crypto/crc32c.hpp"
#include "broker/crypto/seal.hpp"

namespace portolan::broker::session {

Drop parse_frame(std::span<const std::uint8_t> datagram, ptl_frame& out) {
  if (datagram.size() < PTL_FRAME_BYTES) return Drop::truncated;
  out = get<ptl_frame>(datagram.data());
  if (version_of(out) != PTL_VERSION) return Drop::bad_version;
  const std::uint32_t type = type_of(out);
  if (datagram.size() > PTL_FRAME_BYTES + PTL_FRAGMENT_KERNEL_MAX) return Drop::bad_length;
  if (!is_spoken(type)) return Drop::none;  // whose it is, is for the tag to say
  const bool fragment = type == PTL_DATA && (out.flags & PTL_F_MULTIPLEXED) == 0;
  if (!fragment && (out.bytes != datagram.size() - PTL_FRAME_BYTES || out.bytes < PTL_TRAILER_BYTES)) {
    return Drop::bad_length;
  }
  return Drop::none;
}

Drop check_payload(std::span<const std::uint8_t> payload, std::uint32_t frame_crc) {
  const std::size_t body = payload.size() - PTL_TRAILER_BYTES;
  const Trailer right = plain_trailer(payload.first(body));
  if (crc32c(payload.subspan(body), right.crc) != frame_crc) return Drop::bad_crc;
  return get<Trailer>(payload.data() + body) == right ? Drop::none : Drop::bad_trailer;
}

Trailer plain_trailer(std::span<const std::uint8_t> body) {
  Trailer trailer;
  trailer.crc = crc32c(body);
  return trailer;
}

std::uint32_t seal_payload(std::uint8_t* payload, std::uint32_t bytes) {
  const Trailer trailer = plain_trailer({payload, bytes});
  put(payload + bytes, trailer);
  return crc32c({payload + bytes, sizeof trailer}, trailer.crc);
}

std::uint32_t seal_packet(const Key32& key, std::uint8_t* datagram, std::uint32_t bytes) {
  const auto packet = get<std::uint64_t>(datagram + offsetof(ptl_frame, packet));
  std::uint8_t* payload = datagram + PTL_FRAME_BYTES;
  seal_in_place(key, packet_nonce(packet), {datagram, PTL_SEALED_HEADER_BYTES}, {payload, bytes}, payload + bytes);
  return crc32c({payload, bytes + PTL_TRAILER_BYTES});
}

Drop open_packet(const Key32& key, std::span<const std::uint8_t> datagram, std::uint8_t* out) {
  const auto frame = get<ptl_frame>(datagram.data());
  const std::span<const std::uint8_t> payload = datagram.subspan(PTL_FRAME_BYTES);
  if (crc32c(payload) != frame.crc) return Drop::bad_crc;
  const auto sealed = payload.first(payload.size() - PTL_TRAILER_BYTES);
  const bool right = open_sealed(key, packet_nonce(frame.packet), datagram.first(PTL_SEALED_HEADER_BYTES), sealed,
                                 payload.data() + sealed.size(), out);
  return right ? Drop::none : Drop::bad_trailer;
}

}  // namespace portolan::broker::session
