// Values with units, "20 ms", "1.5 Gbit/s", read exactly into integers of the plan's base units. A bare number is an
// error, and so is a value that the base unit cannot hold exactly. Units follow SI and IEC 80000-13.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "scenarios/base/error.hpp"

namespace portolan::read {

enum class Unit : std::uint8_t {
  time,         // ns
  rate,         // bit/s
  size,         // bytes
  share,        // parts per billion, 0..100 %
  drift,        // parts per billion, with sign
  length,       // metres
  time_per_km,  // picoseconds per kilometre
  step,         // ns, with sign
  speed,        // millimetres per second
};

// The error's cause says what would be right, with an example.
Expected<std::int64_t> read_quantity(std::string_view text, Unit unit);

// "52.52 N, 13.40 E" in micro-degrees.
struct Coordinates {
  std::int64_t lat_udeg = 0;
  std::int64_t lon_udeg = 0;
};
Expected<Coordinates> read_coordinates(std::string_view text);

// A whole number without unit, for counts.
Expected<std::uint64_t> read_count(std::string_view text);

// For messages: 1500000 -> "1.5 ms".
std::string show_time(std::int64_t ns);
std::string show_rate(std::uint64_t bps);
std::string show_size(std::uint64_t bytes);

}  // namespace portolan::read
