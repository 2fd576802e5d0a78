#include "scenarios/read/quantity.hpp"

#include <gtest/gtest.h>

namespace portolan::read {
namespace {

std::int64_t value(const char* text, Unit unit) {
  const auto v = read_quantity(text, unit);
  EXPECT_TRUE(v) << text << ": " << (v ? "" : v.error().cause);
  return v ? *v : -1;
}
std::string why(const char* text, Unit unit) {
  const auto v = read_quantity(text, unit);
  return v ? "none" : v.error().cause;
}

TEST(Quantity, ReadsUnitsExactly) {
  EXPECT_EQ(value("20 ms", Unit::time), 20'000'000);
  EXPECT_EQ(value("20ms", Unit::time), 20'000'000);
  EXPECT_EQ(value("0.1 s", Unit::time), 100'000'000);
  EXPECT_EQ(value("1.000000001 s", Unit::time), 1'000'000'001);
  EXPECT_EQ(value("2 min", Unit::time), 120'000'000'000);
  EXPECT_EQ(value("10 Gbit/s", Unit::rate), 10'000'000'000);
  EXPECT_EQ(value("64 KiB", Unit::size), 65'536);
  EXPECT_EQ(value("1 MB", Unit::size), 1'000'000);
  EXPECT_EQ(value("1 %", Unit::share), 10'000'000);
  EXPECT_EQ(value("100 %", Unit::share), 1'000'000'000);
  EXPECT_EQ(value("300 km", Unit::length), 300'000);
  EXPECT_EQ(value("5.2 us/km", Unit::time_per_km), 5'200'000);
  EXPECT_EQ(value("-50 ppm", Unit::drift), -50'000);
  EXPECT_EQ(value("-1.5 ms", Unit::step), -1'500'000);
  EXPECT_EQ(value("0 s", Unit::time), 0);
}

TEST(Quantity, SaysWhatWouldBeRight) {
  EXPECT_EQ(why("20", Unit::time), "the bare number 20 needs a unit, such as `20 ms`; valid: ns, us, ms, s, min, h");
  EXPECT_EQ(why("20 mss", Unit::time),
            "unknown unit \"mss\" of a time; did you mean \"ms\"? Valid: ns, us, ms, s, min, h");
  EXPECT_EQ(why("1 Mbps", Unit::rate),
            "unknown unit \"Mbps\" of a rate; did you mean \"Mbit/s\"? Valid: bit/s, kbit/s, Mbit/s, Gbit/s, Tbit/s");
  EXPECT_EQ(why("101 %", Unit::share), "\"101 %\" is too large; a share is at most 100 %");
  EXPECT_EQ(why("0.5 ns", Unit::time), "\"0.5 ns\" is finer than a nanosecond");
  EXPECT_EQ(why("-1 s", Unit::time), "\"-1 s\" is negative; say a time such as `20 ms`");
  for (const char* bad : {"", " ", "s", ".5 s", "1.2.3 s", "1e3 s", "99999999999999999999999 s", "0x10 s", "1,5 s"}) {
    EXPECT_FALSE(read_quantity(bad, Unit::time)) << bad;
  }
  EXPECT_FALSE(read_quantity(std::string(100'000, '9') + " s", Unit::time));
  EXPECT_FALSE(read_quantity("0." + std::string(100'000, '1') + " s", Unit::time));
}

TEST(Quantity, Coordinates) {
  const auto berlin = read_coordinates("52.52 N, 13.40 E");
  ASSERT_TRUE(berlin);
  EXPECT_EQ(berlin->lat_udeg, 52'520'000);
  EXPECT_EQ(berlin->lon_udeg, 13'400'000);
  const auto immingham = read_coordinates("53.630001 N,0.19 W");
  ASSERT_TRUE(immingham);
  EXPECT_EQ(immingham->lat_udeg, 53'630'001);
  EXPECT_EQ(immingham->lon_udeg, -190'000);
  for (const char* bad : {"", "52.52, 13.40", "13 E, 52 N", "91 N, 0 E", "52.52 N 13.40 E", "52.1234567 N, 0 E"}) {
    EXPECT_FALSE(read_coordinates(bad)) << bad;
  }
}

TEST(Quantity, Counts) {
  EXPECT_EQ(read_count("0").value_or(9), 0u);
  EXPECT_EQ(read_count("9223372036854775807").value_or(0), 9'223'372'036'854'775'807u);
  for (const char* bad : {"", "-1", "1.5", "9223372036854775808", "1 s", "x"}) EXPECT_FALSE(read_count(bad)) << bad;
}

TEST(Quantity, Shows) {
  EXPECT_EQ(show_time(1'500'000), "1.5 ms");
  EXPECT_EQ(show_time(0), "0 ns");
  EXPECT_EQ(show_time(-20'000'000), "-20 ms");
  EXPECT_EQ(show_rate(30'000'000), "30 Mbit/s");
  EXPECT_EQ(show_size(65'536), "64 KiB");
}

}  // namespace
}  // namespace portolan::read
