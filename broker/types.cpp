// Names of drop reasons and the mixing of message keys (broker/types.hpp).
#include "broker/types.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace portolan::broker {

const char* name_of(Drop drop) {
  switch (drop) {
    case Drop::none:
      return "none";
    case Drop::truncated:
      return "truncated";
    case Drop::bad_version:
      return "bad_version";
    case Drop::bad_type:
      return "bad_type";
    case Drop::bad_length:
      return "bad_length";
    case Drop::unknown_session:
      return "unknown_session";
    case Drop::bad_tag:
      return "bad_tag";
    case Drop::bad_crc:
      return "bad_crc";
    case Drop::old:
      return "old";
    case Drop::replay:
      return "replay";
    case Drop::no_grant:
      return "no_grant";
    case Drop::lie:
      return "lie";
    case Drop::slots_full:
      return "slots_full";
    case Drop::handshake_invalid:
      return "handshake_invalid";
    case Drop::cookie_invalid:
      return "cookie_invalid";
    case Drop::not_allowed:
      return "not_allowed";
    case Drop::session_table_full:
      return "session_table_full";
    case Drop::rate_limited:
      return "rate_limited";
    case Drop::reset_invalid:
      return "reset_invalid";
    case Drop::duplicate_message:
      return "duplicate_message";
    case Drop::unknown_alias:
      return "unknown_alias";
    case Drop::bad_control:
      return "bad_control";
    case Drop::over_credit:
      return "over_credit";
    case Drop::buffers_full:
      return "buffers_full";
    case Drop::backlog_full:
      return "backlog_full";
    case Drop::not_connected:
      return "not_connected";
    case Drop::no_matching_bit:
      return "no_matching_bit";
    case Drop::bad_trailer:
      return "bad_trailer";
    case Drop::unknown:
      return "unknown";
    case Drop::bad_phase:
      return "bad_phase";
    case Drop::mode_refused:
      return "mode_refused";
    case Drop::kCount:
      break;
  }
  return "?";
}

std::uint64_t message_key(std::uint64_t topic_hash, std::uint64_t publisher, std::uint32_t incarnation,
                          std::uint64_t sequence) {
  const std::uint64_t words[4] = {topic_hash, publisher, incarnation, sequence};
  return XXH3_64bits(words, sizeof words);
}

}  // namespace portolan::broker
