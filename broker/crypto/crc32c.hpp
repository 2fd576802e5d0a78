// CRC-32C (Castagnoli; RFC 3720 B.4): the checksum of each fragment, and of the payload in plain mode's trailer.
// Pure; any thread. SSE4.2 or ARMv8 instructions where the machine has them, else a table: the same result.
#pragma once

#include <cstdint>
#include <span>

namespace portolan::broker {

// `before`: the CRC of the bytes that come before these, to go on from; 0 at the start.
std::uint32_t crc32c(std::span<const std::uint8_t> bytes, std::uint32_t before = 0);

// For tests and benchmarks: the table, whatever the machine has.
std::uint32_t crc32c_table(std::span<const std::uint8_t> bytes, std::uint32_t before = 0);

}  // namespace portolan::broker
