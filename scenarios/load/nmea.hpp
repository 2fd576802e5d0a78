// NMEA 0183 files for replay, with their own timing. Times come from, in this order: a tag block's c: (NMEA 4.00
// section 7; seconds or milliseconds since 1970), the last $PGHP line (receive time to the millisecond), the seconds
// that archives append after the checksum (",1276256770"), or, where a file has none, the UTC of RMC, GGA, GLL and ZDA.
// A message is a sentence, or all sentences of a multi-sentence VDM or VDO, kept together. What is malformed is counted
// by reason. Pure; safe on any input; all bounds are named.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "scenarios/base/error.hpp"

namespace portolan::load {

// One sentence, apart from its tag block; views into the line.
struct Sentence {
  std::string_view tag;     // between the backslashes, empty if none
  std::string_view body;    // between '$' or '!' and '*'
  std::string_view suffix;  // after the checksum and a comma, as archives append: station, seconds since 1970
  std::array<std::string_view, 32> field{};
  std::size_t fields = 0;
  bool encapsulated = false;  // '!'
};
enum class Malformed : std::uint8_t {
  not_a_sentence,  // does not begin with $ or ! (after a tag block)
  too_long,        // a line over longest_line, or more than 32 fields
  unprintable,     // bytes outside 0x20..0x7E
  checksum,        // absent or wrong, of sentence or tag block
  bad_time,        // a $PGHP or c: that is no time
  bad_parts,       // VDM/VDO part numbers that make no sense
  orphan_part,     // a later part without the earlier ones
  incomplete,      // a message whose other parts never came
  untimed,         // a message before any time, in a file that has times
};
inline constexpr std::size_t malformed_reasons = 9;
std::string_view name(Malformed reason);

inline constexpr std::size_t longest_line = 1024;
inline constexpr std::size_t most_parts = 9;          // one digit
inline constexpr std::size_t most_unfinished = 64;    // multi-sentence messages open at once
inline constexpr std::size_t unfinished_lines = 500;  // and how many lines apart their parts may lie

// Checks characters and checksums; nothing else. `why` says what is wrong.
bool parse_sentence(std::string_view line, Sentence& out, Malformed& why);
std::uint8_t nmea_checksum(std::string_view body);

class Replay {
 public:
  struct Message {
    std::int64_t at_ns = 0;  // since the earliest message of the file
    std::size_t from = 0;    // in text()
    std::uint32_t bytes = 0;
    std::uint32_t mmsi = 0;  // of a VDM or VDO, else 0
    std::uint32_t parts = 1;
  };
  struct Counts {
    std::uint64_t lines = 0;
    std::uint64_t sentences = 0;  // well-formed, times apart
    std::uint64_t timings = 0;    // $PGHP lines and tag blocks with a time
    std::uint64_t messages = 0;
    std::uint64_t multi = 0;  // of more than one sentence
    std::array<std::uint64_t, malformed_reasons> malformed{};
    std::uint64_t first_malformed_line = 0;
  };

  // Refuses a file without a single timed message, saying what it held.
  static Expected<Replay> parse(std::string_view file, const std::string& path);

  // Sorted by time; messages of one time keep the file's order.
  const std::vector<Message>& messages() const { return messages_; }
  // A message's sentences as they stood in the file (tag blocks too), each with CR LF.
  std::string_view text(const Message& message) const {
    return std::string_view(text_).substr(message.from, message.bytes);
  }
  const Counts& counts() const { return counts_; }
  std::string summary() const;

  // Deals the messages to n channels, a vessel's messages always to the same one; what has no MMSI goes to channel 0.
  void deal(std::uint32_t channels);
  const std::vector<std::uint32_t>& channel(std::uint32_t index) const { return channels_[index]; }

 private:
  friend class ReplayParser;
  std::string text_;
  std::vector<Message> messages_;
  std::vector<std::vector<std::uint32_t>> channels_;
  Counts counts_;
};

}  // namespace portolan::load
