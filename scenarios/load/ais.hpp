// AIS messages of ITU-R M.1371-5 as NMEA 0183 / IEC 61162-1 AIVDM sentences: 6-bit armour, at most 82 characters with
// CR LF, checksum. Written: types 1 and 3 (class A position) and 5 (static and voyage data, two sentences). Read: types
// 1, 2, 3 and 5, from one message's sentences. Pure; safe on any input.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace portolan::load::ais {

// Field units are those of the standard (table 48): degrees x 600,000, knots x 10, degrees x 10.
struct Position {
  std::uint8_t type = 1;
  std::uint32_t mmsi = 0;
  std::uint8_t status = 0;       // 0 under way using engine
  std::int8_t rate_of_turn = 0;  // 4.733 sqrt(degrees per minute), signed; -128 not available
  std::uint16_t sog = 1023;      // 1/10 knot
  bool accurate = false;
  std::int32_t lon = 181 * 600'000;  // 1/10,000 minute
  std::int32_t lat = 91 * 600'000;
  std::uint16_t cog = 3600;     // 1/10 degree
  std::uint16_t heading = 511;  // degree
  std::uint8_t second = 60;     // UTC second of the position
  std::uint32_t radio = 0;      // 19 bits of communication state
  bool operator==(const Position&) const = default;
};

struct Static {
  std::uint32_t mmsi = 0;
  std::uint32_t imo = 0;
  std::string callsign;  // at most 7 of the 6-bit characters
  std::string name;      // at most 20
  std::uint8_t ship_type = 0;
  std::uint16_t to_bow = 0, to_stern = 0;
  std::uint8_t to_port = 0, to_starboard = 0;
  std::uint8_t draught = 0;  // 1/10 m
  std::string destination;   // at most 20
  bool operator==(const Static&) const = default;
};

// Appends whole sentences with CR LF.
void append(const Position& report, char channel, std::string& out);
void append(const Static& report, char channel, unsigned message_id, std::string& out);

// The bits of a message from its sentences in order (with or without tag blocks, line ends); nothing if any is not a
// VDM or VDO sentence with a right checksum, or if parts are missing or out of order.
struct Bits {
  std::vector<std::uint8_t> sixes;                            // one 6-bit value each
  std::size_t size = 0;                                       // in bits, fill bits taken off
  std::uint64_t get(std::size_t from, unsigned width) const;  // bits past the end are 0
  std::int64_t get_signed(std::size_t from, unsigned width) const;
  std::string text(std::size_t from, unsigned characters) const;  // trailing '@' and spaces taken off
  std::uint8_t type() const { return static_cast<std::uint8_t>(get(0, 6)); }
  std::uint32_t mmsi() const { return static_cast<std::uint32_t>(get(8, 30)); }
};
std::optional<Bits> bits(std::string_view message);
std::optional<Position> position(const Bits& bits);
std::optional<Static> statics(const Bits& bits);

}  // namespace portolan::load::ais
