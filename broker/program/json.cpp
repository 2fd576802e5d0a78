#include "broker/program/json.hpp"

#include <cstdio>

namespace portolan::program {

namespace {

// Length of the UTF-8 sequence at i (RFC 3629, table 3-7 of Unicode), 0 if it is none.
std::size_t utf8_length(std::string_view s, std::size_t i) {
  const auto byte = [&](std::size_t k) { return k < s.size() ? static_cast<unsigned char>(s[k]) : 0u; };
  const auto tail = [&](std::size_t k) { return (byte(k) & 0xC0u) == 0x80u; };
  const unsigned b = byte(i);
  if (b < 0x80) return 1;
  if (b >= 0xC2 && b <= 0xDF) return tail(i + 1) ? 2 : 0;
  if (b >= 0xE0 && b <= 0xEF) {
    if ((b == 0xE0 && byte(i + 1) < 0xA0) || (b == 0xED && byte(i + 1) > 0x9F)) return 0;
    return tail(i + 1) && tail(i + 2) ? 3 : 0;
  }
  if (b >= 0xF0 && b <= 0xF4) {
    if ((b == 0xF0 && byte(i + 1) < 0x90) || (b == 0xF4 && byte(i + 1) > 0x8F)) return 0;
    return tail(i + 1) && tail(i + 2) && tail(i + 3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string quoted_json(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\u%04x", byte);
      out += hex;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string payload_json(std::string_view payload) {
  bool text = true;
  for (std::size_t i = 0; text && i < payload.size();) {
    const std::size_t n = utf8_length(payload, i);
    text = n > 0;
    i += n;
  }
  if (text) return "\"text\":" + quoted_json(payload);
  std::string out = "\"hex\":\"";
  for (const char c : payload) {
    constexpr char kDigits[] = "0123456789abcdef";
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out + "\"";
}

std::string stream_json(std::string_view kind, std::string_view topic, std::uint64_t publisher,
                        std::uint32_t incarnation) {
  // Numbers of 64 bits are beyond what many readers of JSON keep exactly (RFC 8259, section 6), so ids go as text.
  return "{\"kind\":" + quoted_json(kind) + ",\"topic\":" + quoted_json(topic) + ",\"publisher\":\"" +
         std::to_string(publisher) + "\",\"incarnation\":" + std::to_string(incarnation);
}

}  // namespace portolan::program
