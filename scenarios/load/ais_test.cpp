// AIVDM sentences: our own round trip, published examples, and the real file.
#include "scenarios/load/ais.hpp"

#include <gtest/gtest.h>

#include <string>

#include "scenarios/base/hash.hpp"
#include "scenarios/load/fleet.hpp"
#include "scenarios/load/nmea.hpp"

namespace portolan::load::ais {
namespace {

TEST(Ais, DecodesAPublishedPositionReport) {
  // The worked example of E. S. Raymond's "AIVDM/AIVDO protocol decoding": the vessel is aground at Seattle's latitude.
  const auto b = bits("!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C");
  ASSERT_TRUE(b);
  const auto r = position(*b);
  ASSERT_TRUE(r);
  EXPECT_EQ(r->type, 1);
  EXPECT_EQ(r->mmsi, 477553000u);
  EXPECT_EQ(r->status, 5);
  EXPECT_EQ(r->rate_of_turn, 0);
  EXPECT_EQ(r->sog, 0);
  EXPECT_NEAR(r->lon / 600'000.0, -122.345833, 1e-6);
  EXPECT_NEAR(r->lat / 600'000.0, 47.582833, 1e-6);
  EXPECT_EQ(r->cog, 510);
  EXPECT_EQ(r->heading, 181);
  EXPECT_EQ(r->second, 15);
}

TEST(Ais, OwnPositionsComeBackWhole) {
  for (std::uint64_t i = 0; i < 2'000; ++i) {
    Position r;
    const auto below = [&](std::uint64_t purpose, std::uint64_t bound) { return below64(draw64(purpose, i), bound); };
    r.type = static_cast<std::uint8_t>(1 + below(1, 3));
    r.mmsi = static_cast<std::uint32_t>(below(2, 1'000'000'000));
    r.status = static_cast<std::uint8_t>(below(3, 16));
    r.rate_of_turn = static_cast<std::int8_t>(static_cast<int>(below(4, 256)) - 128);
    r.sog = static_cast<std::uint16_t>(below(5, 1024));
    r.accurate = below(6, 2) == 1;
    r.lon = static_cast<std::int32_t>(below(7, 216'000'001)) - 108'000'000;
    r.lat = static_cast<std::int32_t>(below(8, 108'000'001)) - 54'000'000;
    r.cog = static_cast<std::uint16_t>(below(9, 3601));
    r.heading = static_cast<std::uint16_t>(below(10, 512));
    r.second = static_cast<std::uint8_t>(below(11, 64));
    r.radio = static_cast<std::uint32_t>(below(12, 1u << 19));
    std::string text;
    append(r, 'A', text);
    EXPECT_EQ(text.size(), position_bytes);
    const auto b = bits(text);
    ASSERT_TRUE(b) << text;
    EXPECT_EQ(b->size, 168u);
    EXPECT_EQ(position(*b), r) << text;
  }
}

TEST(Ais, StaticDataGoesOutInTwoSentencesOfLegalLength) {
  Static r;
  r.mmsi = 211'234'567;
  r.imo = 9'074'729;
  r.callsign = "DABC7";
  r.name = "PORTOLAN 42";
  r.ship_type = 70;
  r.to_bow = 200;
  r.to_stern = 20;
  r.to_port = 12;
  r.to_starboard = 14;
  r.draught = 87;
  r.destination = "LE HAVRE";
  std::string text;
  append(r, 'B', 3, text);
  EXPECT_EQ(text.size(), statics_bytes);
  const std::size_t first = text.find("\r\n") + 2;
  EXPECT_LE(first, 82u);
  EXPECT_EQ(text.substr(0, 15), "!AIVDM,2,1,3,B,");
  EXPECT_EQ(text.substr(first, 15), "!AIVDM,2,2,3,B,");
  const auto b = bits(text);
  ASSERT_TRUE(b);
  EXPECT_EQ(b->size, 424u);
  EXPECT_EQ(statics(*b), r);
  EXPECT_FALSE(bits(text.substr(0, first)));  // a part alone is no message
  EXPECT_FALSE(bits(text.substr(first)));
  EXPECT_FALSE(bits(text.substr(first) + text.substr(0, first)));
}

TEST(Ais, ReadsRealStaticData) {
  // From the AIS file, lines 16 and 17.
  const auto b = bits(
      "!AIVDM,2,1,1,,53cMa3@000010WSW?V105=<45B2222222222220t388151:9e2UiDm851DTh,0*65\r\n"
      "!AIVDM,2,2,1,,j1C32CQp888,2*17\r\n");
  ASSERT_TRUE(b);
  EXPECT_EQ(b->size, 424u);
  const auto r = statics(*b);
  ASSERT_TRUE(r);
  EXPECT_EQ(r->mmsi, 246'901'005u);
}

TEST(Ais, OneWrongBitIsNoMessage) {
  Position r;
  r.mmsi = 211'000'001;
  std::string text;
  append(r, 'A', text);
  for (std::size_t i = 0; i < text.size() - 2; ++i) {
    std::string wrong = text;
    wrong[i] = static_cast<char>(wrong[i] ^ 1);
    EXPECT_FALSE(bits(wrong)) << i;
  }
  EXPECT_FALSE(bits(""));
  EXPECT_FALSE(bits("\r\n\r\n"));
}

}  // namespace
}  // namespace portolan::load::ais
