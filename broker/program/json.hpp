// JSON lines of portolan-client sub (RFC 8259). A payload that is UTF-8 is told as text, any other as hexadecimal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace portolan::program {

std::string quoted_json(std::string_view text);
// "text":"..." or "hex":"..."
std::string payload_json(std::string_view payload);
// {"kind":...,"topic":...,"publisher":...,"incarnation":... without the closing brace
std::string stream_json(std::string_view kind, std::string_view topic, std::uint64_t publisher,
                        std::uint32_t incarnation);

}  // namespace portolan::program
