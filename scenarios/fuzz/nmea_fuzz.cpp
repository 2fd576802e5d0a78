// Any bytes as an NMEA 0183 file: parsing ends, counts add up, messages stand in order of time and inside the text,
// each is dealt to one channel, and an AIS position that was read is written and read again without loss.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>

#include "scenarios/fuzz/require.hpp"
#include "scenarios/load/ais.hpp"
#include "scenarios/load/nmea.hpp"

namespace portolan::load {
namespace {

void check_message(const Replay& replay, const Replay::Message& m) {
  require(m.at_ns >= 0, "no message before the earliest");
  require(m.parts >= 1 && m.parts <= most_parts, "parts are one digit");
  const std::string_view text = replay.text(m);
  require(text.size() == m.bytes && m.bytes >= 2, "a message lies inside the text");
  require(text.substr(text.size() - 2) == "\r\n", "a message ends its last line");
  require(static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n')) == m.parts, "a line for each part");
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = rest.find("\r\n");
    Sentence s;
    Malformed why{};
    require(parse_sentence(rest.substr(0, end), s, why), "what was kept is well-formed");
    rest.remove_prefix(end + 2);
  }
  const auto bits = ais::bits(text);
  if (!bits) return;
  require(m.mmsi == bits->mmsi(), "the message is its vessel's");
  if (const auto position = ais::position(*bits)) {
    std::string again;
    ais::append(*position, 'A', again);
    const auto read = ais::bits(again);
    require(read.has_value() && ais::position(*read) == position, "a position is read as it was written");
  }
  if (const auto statics = ais::statics(*bits)) {
    std::string again;
    ais::append(*statics, 'B', 3, again);
    const auto read = ais::bits(again);
    require(read.has_value() && ais::statics(*read) == statics, "static data are read as they were written");
  }
}

void check(std::string_view file) {
  auto replay = Replay::parse(file, "fuzz");
  if (!replay) {
    require(!replay.error().cause.empty(), "a refusal says why");
    return;
  }
  const Replay::Counts& n = replay->counts();
  require(!replay->messages().empty() && n.messages == replay->messages().size(), "messages are counted");
  require(n.messages <= n.sentences && n.sentences <= n.lines && n.multi <= n.messages, "no more messages than lines");
  const std::uint64_t bad = std::accumulate(n.malformed.begin(), n.malformed.end(), std::uint64_t{0});
  require((bad != 0) == (n.first_malformed_line != 0) && n.first_malformed_line <= n.lines, "the first bad line");
  std::int64_t last = 0;
  for (const auto& m : replay->messages()) {
    require(m.at_ns >= last, "messages stand in order of time");
    last = m.at_ns;
    check_message(*replay, m);
  }
  constexpr std::uint32_t channels = 3;
  replay->deal(channels);
  std::size_t dealt = 0;
  for (std::uint32_t c = 0; c < channels; ++c) {
    dealt += replay->channel(c).size();
    require(std::is_sorted(replay->channel(c).begin(), replay->channel(c).end()), "a channel keeps the order");
  }
  require(dealt == replay->messages().size(), "each message is dealt once");
  require(!replay->summary().empty(), "a summary");
}

}  // namespace
}  // namespace portolan::load

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  portolan::load::check({reinterpret_cast<const char*>(data), size});
  return 0;
}
