#include "broker/session/frame.hpp"

#include "broker/crypto/crc32c.hpp"

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
  const std::uint32_t crc = crc32c(payload.first(body));
  if (crc32c(payload.subspan(body), crc) != frame_crc) return Drop::bad_crc;
  const Trailer trailer = get<Trailer>(payload.data() + body);
  const bool zero = trailer.zero[0] == 0 && trailer.zero[1] == 0 && trailer.zero[2] == 0;
  return trailer.crc == crc && zero ? Drop::none : Drop::bad_trailer;
}

std::uint32_t seal_payload(std::uint8_t* payload, std::uint32_t bytes) {
  Trailer trailer;
  trailer.crc = crc32c({payload, bytes});
  put(payload + bytes, trailer);
  return crc32c({payload + bytes, sizeof trailer}, trailer.crc);
}

}  // namespace portolan::broker::session
