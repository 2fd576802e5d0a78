#include "scenarios/read/quantity.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "scenarios/base/hash.hpp"
#include "scenarios/read/diagnostics.hpp"

namespace portolan::read {
namespace {

struct Named {
  std::string_view name;
  std::uint64_t factor;
};

struct Kind {
  std::string_view what;     // "a time"
  std::string_view example;  // "20 ms"
  std::string_view finest;   // for values that the base unit cannot hold
  bool sign = false;
  std::uint64_t most = 0;  // largest magnitude in base units
  std::span<const Named> units;
};

constexpr Named kTimes[] = {{"ns", 1},
                            {"us", 1'000},
                            {"ms", 1'000'000},
                            {"s", 1'000'000'000},
                            {"min", 60'000'000'000},
                            {"h", 3'600'000'000'000}};
constexpr Named kRates[] = {
    {"bit/s", 1}, {"kbit/s", 1'000}, {"Mbit/s", 1'000'000}, {"Gbit/s", 1'000'000'000}, {"Tbit/s", 1'000'000'000'000}};
constexpr Named kSizes[] = {{"B", 1},         {"kB", 1'000},         {"KiB", 1'024},  {"MB", 1'000'000},
                            {"MiB", 1 << 20}, {"GB", 1'000'000'000}, {"GiB", 1 << 30}};
constexpr Named kShares[] = {{"%", 10'000'000}, {"ppm", 1'000}, {"ppb", 1}};
constexpr Named kLengths[] = {{"m", 1}, {"km", 1'000}};
constexpr Named kSpeeds[] = {{"m/s", 1'000}};
constexpr Named kPerKm[] = {{"ns/km", 1'000}, {"us/km", 1'000'000}, {"ms/km", 1'000'000'000}};

constexpr std::uint64_t kYear = 366ull * 24 * 3'600'000'000'000;

Kind kind_of(Unit unit) {
  switch (unit) {
    case Unit::time:
      return {"a time", "20 ms", "a nanosecond", false, kYear, kTimes};
    case Unit::step:
      return {"a time", "-20 ms", "a nanosecond", true, kYear, kTimes};
    case Unit::rate:
      return {"a rate", "10 Gbit/s", "a bit per second", false, 100'000'000'000'000, kRates};
    case Unit::size:
      return {"a size", "64 KiB", "a byte", false, 1ull << 50, kSizes};
    case Unit::share:
      return {"a share", "1 %", "a part per billion", false, 1'000'000'000, kShares};
    case Unit::drift:
      return {"a drift", "50 ppm", "a part per billion", true, 100'000'000, kShares};
    case Unit::length:
      return {"a length", "300 km", "a metre", false, 40'100'000, kLengths};
    case Unit::speed:
      return {"a speed", "8 m/s", "a millimetre per second", false, 100'000, kSpeeds};
    case Unit::time_per_km:
      return {"a time per length", "5 us/km", "a picosecond", false, 1'000'000'000'000, kPerKm};
  }
  return {};
}

tl::unexpected<Error> wrong(std::string cause) {
  return fail(Exit::usage, "", std::move(cause));
}

bool digit(char c) {
  return c >= '0' && c <= '9';
}

// Digits with at most one point: value = number / 10^decimals.
struct Decimal {
  bool found = false;
  bool negative = false;
  std::uint64_t number = 0;
  int decimals = 0;
  bool overflow = false;
};

Decimal take_decimal(std::string_view& text, bool sign) {
  Decimal d;
  if (sign && !text.empty() && (text.front() == '-' || text.front() == '+')) {
    d.negative = text.front() == '-';
    text.remove_prefix(1);
  }
  bool point = false;
  while (!text.empty() && (digit(text.front()) || (!point && text.front() == '.' && d.found))) {
    const char c = text.front();
    text.remove_prefix(1);
    if (c == '.') {
      point = true;
      continue;
    }
    d.found = true;
    d.decimals += point ? 1 : 0;
    const auto add = static_cast<std::uint64_t>(c - '0');
    if (d.number > (std::numeric_limits<std::uint64_t>::max() - add) / 10) {
      d.overflow = true;
    } else {
      d.number = d.number * 10 + add;
    }
  }
  // Trailing zeros behind the point say nothing; without them "1.500000000000 s" stays exact.
  while (d.decimals > 0 && d.number % 10 == 0) {
    d.number /= 10;
    --d.decimals;
  }
  return d;
}

// What people write who come from elsewhere.
constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
    {"sec", "s"},        {"secs", "s"},         {"second", "s"},    {"seconds", "s"},   {"msec", "ms"},
    {"usec", "us"},      {"\u00b5s", "us"},     {"nsec", "ns"},     {"m", "min"},       {"minute", "min"},
    {"minutes", "min"},  {"hour", "h"},         {"hours", "h"},     {"bps", "bit/s"},   {"kbps", "kbit/s"},
    {"Kbps", "kbit/s"},  {"mbps", "Mbit/s"},    {"Mbps", "Mbit/s"}, {"gbps", "Gbit/s"}, {"Gbps", "Gbit/s"},
    {"b", "B"},          {"byte", "B"},         {"bytes", "B"},     {"K", "KiB"},       {"KB", "KiB"},
    {"kb", "KiB"},       {"M", "MiB"},          {"G", "GiB"},       {"percent", "%"},   {"meter", "m"},
    {"kilometre", "km"}, {"us per km", "us/km"}};

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::string quoted(std::string_view text) {
  return "\"" + std::string(text.substr(0, 60)) + (text.size() > 60 ? "..." : "") + "\"";
}

}  // namespace

Expected<std::int64_t> read_quantity(std::string_view whole, Unit unit) {
  const Kind kind = kind_of(unit);
  std::string_view text = trim(whole);
  const Decimal d = take_decimal(text, kind.sign);
  std::vector<std::string> names;
  for (const Named& n : kind.units) names.emplace_back(n.name);
  const std::string example = "`" + std::string(kind.example) + "`";
  if (!d.found) {
    if (text.starts_with('-'))
      return wrong(quoted(whole) + " is negative; say " + std::string(kind.what) + " such as " + example);
    return wrong(quoted(whole) + " is not " + std::string(kind.what) + "; say one such as " + example);
  }
  const std::string_view name = trim(text);
  if (name.empty()) {
    return wrong("the bare number " + std::string(trim(whole)) + " needs a unit, such as " + example +
                 "; valid: " + listed(names));
  }
  const Named* found = nullptr;
  for (const Named& n : kind.units) {
    if (n.name == name) found = &n;
  }
  if (found == nullptr) {
    for (const auto& [alias, right] : kAliases) {
      if (alias == name && std::find(names.begin(), names.end(), right) != names.end()) {
        return wrong("unknown unit " + quoted(name) + " of " + std::string(kind.what) + "; did you mean \"" +
                     std::string(right) + "\"? Valid: " + listed(names));
      }
    }
    return wrong("unknown unit " + quoted(name) + " of " + std::string(kind.what) + suggest(name, names));
  }
  unsigned_int128 value = static_cast<unsigned_int128>(d.number) * found->factor;
  bool exact = d.decimals < 30;
  for (int i = 0; exact && i < d.decimals; ++i) {
    exact = value % 10 == 0;
    value /= 10;
  }
  if (!exact) return wrong(quoted(whole) + " is finer than " + std::string(kind.finest));
  if (d.overflow || value > kind.most) {
    return wrong(quoted(whole) + " is too large" + (unit == Unit::share ? "; a share is at most 100 %" : ""));
  }
  const auto magnitude = static_cast<std::int64_t>(value);
  return d.negative ? -magnitude : magnitude;
}

namespace {

Expected<std::int64_t> read_degrees(std::string_view text, char positive, char negative, std::uint64_t most) {
  std::string_view rest = trim(text);
  const Decimal d = take_decimal(rest, false);
  rest = trim(rest);
  if (!d.found || d.overflow || d.decimals > 6 || rest.size() != 1 || (rest[0] != positive && rest[0] != negative)) {
    return wrong("");
  }
  unsigned_int128 value = d.number;
  for (int i = d.decimals; i < 6; ++i) value *= 10;
  if (value > most) return wrong("");
  const auto udeg = static_cast<std::int64_t>(value);
  return rest[0] == negative ? -udeg : udeg;
}

}  // namespace

Expected<Coordinates> read_coordinates(std::string_view text) {
  const std::size_t comma = text.find(',');
  if (comma != std::string_view::npos) {
    const auto lat = read_degrees(text.substr(0, comma), 'N', 'S', 90'000'000);
    const auto lon = read_degrees(text.substr(comma + 1), 'E', 'W', 180'000'000);
    if (lat && lon) return Coordinates{*lat, *lon};
  }
  return wrong(quoted(text) +
               " is not a place; say latitude and longitude in degrees, such as `52.52 N, 13.40 E` "
               "(at most 90 and 180, at most 6 decimals)");
}

Expected<std::uint64_t> read_count(std::string_view text) {
  std::string_view rest = trim(text);
  const Decimal d = take_decimal(rest, false);
  if (!d.found || d.overflow || d.decimals > 0 || !trim(rest).empty() ||
      d.number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return wrong(quoted(text) + " is not a whole number");
  }
  return d.number;
}

namespace {

// The largest unit of which the value is at least one, with up to three decimals.
std::string show(std::uint64_t value, std::span<const Named> units) {
  const Named* best = &units[0];
  for (const Named& n : units) {
    if (value >= n.factor) best = &n;
  }
  std::string out = std::to_string(value / best->factor);
  const std::uint64_t rest = value % best->factor;
  if (rest != 0) {
    const auto milli = static_cast<std::uint64_t>(static_cast<unsigned_int128>(rest) * 1000 / best->factor);
    std::string decimals = std::to_string(1000 + milli).substr(1);
    while (!decimals.empty() && decimals.back() == '0') decimals.pop_back();
    if (!decimals.empty()) out += "." + decimals;
  }
  return out + " " + std::string(best->name);
}

constexpr Named kShownTimes[] = {{"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}};
constexpr Named kShownSizes[] = {{"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};

}  // namespace

std::string show_time(std::int64_t ns) {
  return (ns < 0 ? "-" : "") + show(static_cast<std::uint64_t>(ns < 0 ? -ns : ns), kShownTimes);
}
std::string show_rate(std::uint64_t bps) {
  return show(bps, kRates);
}
std::string show_size(std::uint64_t bytes) {
  return show(bytes, kShownSizes);
}

}  // namespace portolan::read
