// Replay: the real file's counts and timing, tag blocks, every kind of malformed line, and noise.
#include "scenarios/load/nmea.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "scenarios/base/hash.hpp"
#include "scenarios/load/ais.hpp"

namespace portolan::load {
namespace {

std::string ais_file() {
  std::ifstream file(std::string(PORTOLAN_SOURCE_DIR) + "/scenarios/data/ais-stream-2010-06-11.txt", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string sentence(const std::string& body, char start = '!') {
  constexpr std::string_view hex = "0123456789ABCDEF";
  const std::uint8_t sum = nmea_checksum(body);
  return start + body + '*' + hex[sum >> 4] + hex[sum & 15];
}

std::string tag(const std::string& body) {
  const std::string s = sentence(body);
  return '\\' + s.substr(1) + '\\';
}

std::uint64_t malformed(const Replay& replay, Malformed why) {
  return replay.counts().malformed[static_cast<std::size_t>(why)];
}

Replay parsed(const std::string& text) {
  auto replay = Replay::parse(text, "test.nmea");
  if (!replay) ADD_FAILURE() << replay.error().text();
  return std::move(*replay);
}

TEST(AisFile, HasItsMessagesTimesAndNothingMalformed) {
  const std::string text = ais_file();
  const Replay replay = parsed(text);
  const Replay::Counts& c = replay.counts();
  EXPECT_EQ(c.lines, 8551u);
  EXPECT_EQ(c.sentences, 8551u);
  EXPECT_EQ(c.timings, 4051u);
  EXPECT_EQ(c.messages, 4051u);
  EXPECT_EQ(c.multi, 449u);
  for (const std::uint64_t n : c.malformed) EXPECT_EQ(n, 0u);
  // Receive times run from 11:46:10.000 to 11:46:38.873 (grep '^$PGHP' | cut -d, -f8,9 | sort -t, -k1n -k2n).
  EXPECT_EQ(replay.messages().front().at_ns, 0);
  std::int64_t last = 0;
  std::uint64_t bytes = 0;
  int nameless = 0;
  for (const auto& m : replay.messages()) {
    EXPECT_GE(m.at_ns, last);
    last = m.at_ns;
    bytes += m.bytes;
    nameless += m.mmsi == 0 ? 1 : 0;
    const std::string_view t = replay.text(m);
    EXPECT_EQ(t[0], '!');
    EXPECT_EQ(t.substr(t.size() - 2), "\r\n");
  }
  EXPECT_EQ(last, 28'873'000'000);
  EXPECT_EQ(nameless, 2);  // two transponders were never told their MMSI
  // Every VDM and VDO line of the file is in exactly one message.
  std::uint64_t ais_bytes = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    if (text[at] == '!') ais_bytes += end - at + 2;
    at = end + 1;
  }
  EXPECT_EQ(bytes, ais_bytes);
}

TEST(AisFile, MessagesDecode) {
  const Replay replay = parsed(ais_file());
  std::map<int, int> types;
  int positions_in_the_baltic_and_north_sea = 0;
  int positions = 0;
  for (const auto& m : replay.messages()) {
    const auto b = ais::bits(replay.text(m));
    ASSERT_TRUE(b);
    ++types[b->type()];
    const auto r = ais::position(*b);
    if (!r || r->lat == 91 * 600'000) continue;
    ++positions;
    const double lat = r->lat / 600'000.0;
    const double lon = r->lon / 600'000.0;
    if (lat > 50 && lat < 67 && lon > 2 && lon < 26) ++positions_in_the_baltic_and_north_sea;
  }
  EXPECT_GT(types[1] + types[2] + types[3], 2000);
  EXPECT_GT(types[5], 300);
  EXPECT_GT(positions_in_the_baltic_and_north_sea, positions * 9 / 10);
}

TEST(AisFile, ChannelsDealEachVesselToOne) {
  Replay replay = parsed(ais_file());
  replay.deal(7);
  std::map<std::uint32_t, std::uint32_t> where;
  std::size_t total = 0;
  for (std::uint32_t c = 0; c < 7; ++c) {
    EXPECT_GT(replay.channel(c).size(), 300u);
    total += replay.channel(c).size();
    for (const std::uint32_t m : replay.channel(c)) {
      const auto [at, fresh] = where.emplace(replay.messages()[m].mmsi, c);
      EXPECT_EQ(at->second, c);
    }
  }
  EXPECT_EQ(total, replay.messages().size());
}

const std::string one = "AIVDM,1,1,,A,13P;DhPP@M0RrVfOmDm=`9BJ00S;,0";

TEST(Nmea, TagBlocksGiveSecondsOrMilliseconds) {
  const Replay replay = parsed(tag("s:rx1,c:1276256773") + sentence(one) + "\n" + tag("c:1276256772500") +
                               sentence(one) + "\r\n" + tag("g:1-1-7") + sentence(one) + "\n");
  ASSERT_EQ(replay.messages().size(), 3u);
  EXPECT_EQ(replay.messages()[0].at_ns, 0);
  EXPECT_EQ(replay.messages()[1].at_ns, 0);  // no time of its own: that of the line before
  EXPECT_EQ(replay.messages()[2].at_ns, 500'000'000);
  EXPECT_EQ(replay.text(replay.messages()[2]), tag("s:rx1,c:1276256773") + sentence(one) + "\r\n");
  EXPECT_EQ(replay.counts().timings, 2u);
}

TEST(Nmea, SecondsAfterTheChecksumCountUnlessThereIsBetter) {
  const std::string early = sentence(one) + ",r003669945,1276256770";
  const std::string late = sentence(one) + ",1276256773";
  Replay replay = parsed(late + "\n" + early + "\n");
  ASSERT_EQ(replay.messages().size(), 2u);
  EXPECT_EQ(replay.text(replay.messages()[0]), early + "\r\n");
  EXPECT_EQ(replay.messages()[1].at_ns, 3'000'000'000);
  replay = parsed(tag("c:1276256000500") + sentence(one) + "\n" + late + "\n");
  ASSERT_EQ(replay.messages().size(), 2u);
  EXPECT_EQ(replay.messages()[1].at_ns, 0);
}

TEST(Nmea, PartsOfInterleavedMessagesFindEachOther) {
  const std::string a1 = sentence("AIVDM,2,1,1,A,55?MbV0,0"), a2 = sentence("AIVDM,2,2,1,A,888,2");
  const std::string b1 = sentence("AIVDM,2,1,2,A,55?MbV1,0"), b2 = sentence("AIVDM,2,2,2,A,889,2");
  const Replay replay =
      parsed(tag("c:1000") + a1 + "\n" + tag("c:1001") + b1 + "\n" + b2 + "\n" + tag("c:1009") + a2 + "\n");
  ASSERT_EQ(replay.messages().size(), 2u);
  EXPECT_EQ(replay.text(replay.messages()[0]), tag("c:1000") + a1 + "\r\n" + tag("c:1009") + a2 + "\r\n");
  EXPECT_EQ(replay.messages()[0].at_ns, 0);
  EXPECT_EQ(replay.messages()[1].at_ns, 1'000'000'000);
  EXPECT_EQ(replay.counts().multi, 2u);
}

TEST(Nmea, PositionSentencesTimeThemselvesOverMidnight) {
  const auto rmc = [](const std::string& clock) {
    return sentence("GPRMC," + clock + ",A,5342.00,N,00957.00,E,010.1,090.0,110610,,", '$') + "\n";
  };
  const Replay replay = parsed(rmc("235959.50") + sentence("GPVTG,090.0,T,,M,010.1,N,,K", '$') + "\n" +
                               rmc("000000.25") + rmc("235959.9"));
  ASSERT_EQ(replay.messages().size(), 4u);
  EXPECT_EQ(replay.messages()[1].at_ns, 0);
  EXPECT_EQ(replay.messages()[2].at_ns, 400'000'000);
  EXPECT_EQ(replay.messages()[3].at_ns, 750'000'000);
}

TEST(Nmea, EveryKindOfMalformedLineIsCountedByReason) {
  const std::string good = tag("c:1000") + sentence(one) + "\n";
  std::string wrong_sum = sentence(one);
  wrong_sum.back() = wrong_sum.back() == '0' ? '1' : '0';
  const Replay replay = parsed(
      sentence(one) + "\n" +                                              // before any time
      good + "hello\n" +                                                  // not a sentence
      wrong_sum + "\n" + "!" + one + "\n" +                               // checksum wrong, absent
      "\\c:1001*00\\" + sentence(one) + "\n" +                            // the tag block's checksum
      "\\c:1001" + sentence(one) + "\n" +                                 // a tag block that does not end
      std::string("\x01") + sentence(one) + "\n" +                        // unprintable
      sentence("AIVDM,1,1,,A," + std::string(2000, '0') + ",0") + "\n" +  // too long
      tag("c:yesterday") + sentence(one) + "\n" + sentence("PGHP,1,2010,2,30,11,46,12,390", '$') + "\n" +  // no times
      sentence("AIVDM,2,3,1,A,00,0") + "\n" + sentence("AIVDM,0,1,,A,00,0") + "\n" + sentence("AIVDM,x,1") + "\n" +
      sentence("AIVDM,2,2,9,A,00,0") + "\n" +                                                 // an orphan
      sentence("AIVDM,2,1,4,A,00,0") + "\n" + sentence("AIVDM,2,1,4,A,01,0") + "\n" + "\n");  // two that never end
  EXPECT_EQ(malformed(replay, Malformed::untimed), 1u);
  EXPECT_EQ(malformed(replay, Malformed::not_a_sentence), 2u);
  EXPECT_EQ(malformed(replay, Malformed::checksum), 3u);
  EXPECT_EQ(malformed(replay, Malformed::unprintable), 1u);
  EXPECT_EQ(malformed(replay, Malformed::too_long), 1u);
  EXPECT_EQ(malformed(replay, Malformed::bad_time), 2u);
  EXPECT_EQ(malformed(replay, Malformed::bad_parts), 3u);
  EXPECT_EQ(malformed(replay, Malformed::orphan_part), 1u);
  EXPECT_EQ(malformed(replay, Malformed::incomplete), 2u);
  EXPECT_EQ(replay.counts().messages, 1u);
  EXPECT_EQ(replay.counts().first_malformed_line, 3u);
  EXPECT_NE(replay.summary().find("2 not a sentence"), std::string::npos) << replay.summary();
}

TEST(Nmea, AFileWithoutAnyTimeIsRefused) {
  const auto replay = Replay::parse(sentence(one) + "\n", "quiet.nmea");
  ASSERT_FALSE(replay);
  EXPECT_EQ(replay.error().code, Exit::usage);
  EXPECT_EQ(replay.error().text(),
            "quiet.nmea: no timed NMEA message to replay ($PGHP, tag block c: or RMC time): 0 messages (0 of several "
            "sentences) in 1 lines; left out: 1 untimed; the first at line 1");
  EXPECT_FALSE(Replay::parse("", "empty"));
}

TEST(Nmea, NoiseAndManyOpenMessagesStayWithinBounds) {
  // The real file with a byte changed, dropped or doubled here and there: nothing is lost uncounted.
  const std::string text = ais_file().substr(0, 60'000);
  for (std::uint64_t round = 0; round < 30; ++round) {
    std::string noisy;
    std::uint64_t hits = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::uint64_t d = draw64(9, round, i);
      if (d % 300 != 0) {
        noisy += text[i];
        continue;
      }
      ++hits;
      if (d % 3 == 0) noisy += static_cast<char>(d >> 32);
      if (d % 3 == 1) noisy += {text[i], text[i]};
    }
    const auto replay = Replay::parse(noisy, "noise");
    ASSERT_TRUE(replay);
    std::uint64_t bad = 0;
    for (const std::uint64_t n : replay->counts().malformed) bad += n;
    EXPECT_GT(bad, hits / 4);
    EXPECT_LE(replay->counts().messages, 8551u);
    for (const auto& m : replay->messages()) EXPECT_LE(m.from + m.bytes, 70'000u);
  }
  std::string open = tag("c:1000") + sentence(one) + "\n";
  for (int i = 0; i < 5'000; ++i) open += sentence("AIVDM,2,1," + std::to_string(i) + ",A,00,0") + "\n";
  const Replay replay = parsed(open);
  EXPECT_EQ(malformed(replay, Malformed::incomplete), 5'000u);
}

}  // namespace
}  // namespace portolan::load
