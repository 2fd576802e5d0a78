// See nmea.hpp. One pass over the file: each line is judged, timed and put with the other parts of its message; then
// the messages are sorted by time.
#include "scenarios/load/nmea.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include "scenarios/base/hash.hpp"
#include "scenarios/load/ais.hpp"

namespace portolan::load {
namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr std::int64_t ms_per_day = 86'400'000;
constexpr std::int64_t last_ms = 4'102'444'800'000;  // the year 2100 bounds every time

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// Splits "body*hh" at its checksum; false if that is absent or wrong.
bool checked(std::string_view text, std::string_view& body) {
  if (text.size() < 3 || text[text.size() - 3] != '*') return false;
  const int high = hex_digit(text[text.size() - 2]);
  const int low = hex_digit(text[text.size() - 1]);
  body = text.substr(0, text.size() - 3);
  return high >= 0 && low >= 0 && nmea_checksum(body) == high * 16 + low;
}

// Digits only, at most 15.
std::optional<std::int64_t> number(std::string_view s) {
  if (s.empty() || s.size() > 15) return {};
  std::int64_t value = 0;
  for (const char c : s) {
    if (c < '0' || c > '9') return {};
    value = value * 10 + (c - '0');
  }
  return value;
}

// c:1276256771 or c:1276256771123, milliseconds since 1970. The outer optional: is there a c:? the inner: is it a time?
std::optional<std::optional<std::int64_t>> tag_time_ms(std::string_view tag) {
  while (!tag.empty()) {
    const std::size_t end = std::min(tag.find(','), tag.size());
    const std::string_view item = tag.substr(0, end);
    tag.remove_prefix(std::min(end + 1, tag.size()));
    if (item.substr(0, 2) != "c:") continue;
    auto value = number(item.substr(2));
    if (value && *value < 100'000'000'000) *value *= 1000;
    if (value && *value > last_ms) value.reset();
    return value;
  }
  return std::nullopt;
}

// "1276256770" or "r003669945,1085889680": ten digits at the end.
std::optional<std::int64_t> suffix_time_ms(std::string_view suffix) {
  const std::size_t comma = suffix.rfind(',');
  if (comma != std::string_view::npos) suffix.remove_prefix(comma + 1);
  const auto value = suffix.size() == 10 ? number(suffix) : std::nullopt;
  if (!value || *value * 1000 > last_ms) return {};
  return *value * 1000;
}

// $PGHP,1,year,month,day,hour,minute,second,millisecond,...
std::optional<std::int64_t> pghp_time_ms(const Sentence& s) {
  if (s.fields < 9 || s.field[1] != "1") return {};
  std::array<std::int64_t, 7> part{};
  constexpr std::array<std::int64_t, 7> most = {2099, 12, 31, 23, 59, 60, 999};
  for (std::size_t i = 0; i < part.size(); ++i) {
    const auto value = number(s.field[i + 2]);
    if (!value || *value > most[i]) return {};
    part[i] = *value;
  }
  if (part[0] < 1970) return {};
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(part[0])),
                                         std::chrono::month(static_cast<unsigned>(part[1])),
                                         std::chrono::day(static_cast<unsigned>(part[2]))};
  if (!date.ok()) return {};
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return ((days * 24 + part[3]) * 60 + part[4]) * 60'000 + part[5] * 1000 + part[6];
}

// hhmmss or hhmmss.s, .ss, .sss of a position sentence.
std::optional<std::int64_t> day_time_ms(const Sentence& s) {
  const std::string_view formatter = s.field[0].size() == 5 ? s.field[0].substr(2) : std::string_view{};
  std::size_t where = 0;
  if (formatter == "RMC" || formatter == "GGA" || formatter == "ZDA") where = 1;
  if (formatter == "GLL") where = 5;
  if (where == 0 || where >= s.fields) return {};
  const std::string_view text = s.field[where];
  if (text.size() < 6 || text.size() > 10 || (text.size() > 6 && text[6] != '.')) return {};
  const auto clock = number(text.substr(0, 6));
  if (!clock) return {};
  std::int64_t ms = 0;
  if (text.size() > 7) {
    const auto fraction = number(text.substr(7));
    if (!fraction) return {};
    ms = *fraction * (text.size() == 8 ? 100 : text.size() == 9 ? 10 : 1);
  }
  const std::int64_t hours = *clock / 10'000;
  const std::int64_t minutes = *clock / 100 % 100;
  const std::int64_t seconds = *clock % 100;
  if (hours > 23 || minutes > 59 || seconds > 60) return {};
  return ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms;
}

}  // namespace

std::string_view name(Malformed reason) {
  constexpr std::array<std::string_view, malformed_reasons> names = {"not a sentence", "too long",   "unprintable",
                                                                     "checksum",       "bad time",   "bad parts",
                                                                     "orphan part",    "incomplete", "untimed"};
  return names[static_cast<std::size_t>(reason)];
}

std::uint8_t nmea_checksum(std::string_view body) {
  std::uint8_t sum = 0;
  for (const char c : body) sum = static_cast<std::uint8_t>(sum ^ static_cast<unsigned char>(c));
  return sum;
}

bool parse_sentence(std::string_view line, Sentence& out, Malformed& why) {
  out = Sentence{};
  why = Malformed::too_long;
  if (line.size() > longest_line) return false;
  why = Malformed::unprintable;
  for (const char c : line) {
    if (c < 0x20 || c > 0x7E) return false;
  }
  if (!line.empty() && line[0] == '\\') {
    const std::size_t end = line.find('\\', 1);
    why = Malformed::not_a_sentence;
    if (end == std::string_view::npos) return false;
    why = Malformed::checksum;
    if (!checked(line.substr(1, end - 1), out.tag)) return false;
    line.remove_prefix(end + 1);
  }
  why = Malformed::not_a_sentence;
  if (line.size() < 2 || (line[0] != '$' && line[0] != '!')) return false;
  out.encapsulated = line[0] == '!';
  why = Malformed::checksum;
  const std::size_t star = std::min(line.find('*'), line.size());
  if (line.size() > star + 3 && line[star + 3] == ',') {
    out.suffix = line.substr(star + 4);
    line = line.substr(0, star + 3);
  }
  if (!checked(line.substr(1), out.body)) return false;
  why = Malformed::too_long;
  std::string_view rest = out.body;
  while (out.fields < out.field.size()) {
    const std::size_t comma = rest.find(',');
    out.field[out.fields++] = rest.substr(0, comma);
    if (comma == std::string_view::npos) return true;
    rest.remove_prefix(comma + 1);
  }
  return false;
}

class ReplayParser {
 public:
  explicit ReplayParser(Replay& out) : out_(out), counts_(out.counts_) {}

  void line(std::string_view text) {
    ++counts_.lines;
    while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
    if (text.empty()) return;
    Sentence s;
    Malformed why{};
    if (!parse_sentence(text, s, why)) return bad(why);
    ++counts_.sentences;
    if (s.field[0] == "PGHP") {
      const auto ms = pghp_time_ms(s);
      if (!ms) return bad(Malformed::bad_time);
      ++counts_.timings;
      when_.absolute_ms = ms;
      better_than_suffix_ = true;
      return;
    }
    if (const auto tagged = tag_time_ms(s.tag)) {
      if (!*tagged) return bad(Malformed::bad_time);
      ++counts_.timings;
      when_.absolute_ms = *tagged;
      better_than_suffix_ = true;
    }
    if (const auto ms = suffix_time_ms(s.suffix); ms && !better_than_suffix_) {
      ++counts_.timings;
      when_.absolute_ms = ms;
    }
    if (const auto ms = day_time_ms(s)) when_.day_ms = unwrap(*ms);
    const bool vdm =
        s.encapsulated && s.field[0].size() == 5 && (s.field[0].substr(2) == "VDM" || s.field[0].substr(2) == "VDO");
    if (vdm) return part(text, s);
    add({text.begin(), text.end()}, 1, when_, counts_.lines);
  }

  // Sorts by the one basis of time that the file has.
  void finish() {
    for (std::size_t i = 0; i < unfinished_.size(); ++i) bad(Malformed::incomplete);
    unfinished_.clear();
    const bool absolute = std::any_of(found_.begin(), found_.end(), [](const Found& f) { return f.when.absolute_ms; });
    std::vector<const Found*> timed;
    for (const Found& f : found_) {
      if (absolute ? f.when.absolute_ms.has_value() : f.when.day_ms.has_value())
        timed.push_back(&f);
      else
        bad(Malformed::untimed);
    }
    const auto ms = [&](const Found* f) { return absolute ? *f->when.absolute_ms : *f->when.day_ms; };
    std::sort(timed.begin(), timed.end(),
              [&](const Found* a, const Found* b) { return ms(a) != ms(b) ? ms(a) < ms(b) : a->line < b->line; });
    for (const Found* f : timed) {
      Replay::Message m;
      m.at_ns = (ms(f) - ms(timed.front())) * ns_per_ms;
      m.from = out_.text_.size();
      m.bytes = static_cast<std::uint32_t>(f->text.size());
      m.parts = f->parts;
      if (const auto bits = ais::bits(f->text)) m.mmsi = bits->mmsi();
      out_.text_ += f->text;
      out_.messages_.push_back(m);
      counts_.multi += m.parts > 1 ? 1 : 0;
    }
    counts_.messages = out_.messages_.size();
  }

 private:
  struct When {
    std::optional<std::int64_t> absolute_ms;  // since 1970
    std::optional<std::int64_t> day_ms;       // since the first day's midnight
  };
  struct Found {
    std::string text;
    std::uint32_t parts;
    When when;
    std::uint64_t line;  // of its first part
  };
  struct Unfinished {
    std::string key;
    std::string text;
    std::size_t next = 2, parts = 0;
    When when;
    std::uint64_t line = 0;
  };

  void bad(Malformed why) {
    ++counts_.malformed[static_cast<std::size_t>(why)];
    if (counts_.first_malformed_line == 0) counts_.first_malformed_line = counts_.lines;
  }

  void add(std::string text, std::uint32_t parts, const When& when, std::uint64_t line) {
    if (parts == 1) text += "\r\n";
    found_.push_back({std::move(text), parts, when, line});
  }

  // A time of day goes on over midnight, and may step back a little across it.
  std::int64_t unwrap(std::int64_t ms) {
    if (!last_day_ms_) last_day_ms_ = ms;
    std::int64_t t = *last_day_ms_ - *last_day_ms_ % ms_per_day + ms;
    if (t < *last_day_ms_ - ms_per_day / 2)
      t += ms_per_day;
    else if (t > *last_day_ms_ + ms_per_day / 2 && t >= ms_per_day)
      t -= ms_per_day;
    last_day_ms_ = t;
    return t;
  }

  void part(std::string_view text, const Sentence& s) {
    const auto digit = [&](std::size_t i) -> std::size_t {
      return i < s.fields && s.field[i].size() == 1 && s.field[i][0] >= '1' && s.field[i][0] <= '9'
                 ? static_cast<std::size_t>(s.field[i][0] - '0')
                 : 0;
    };
    const std::size_t parts = digit(1);
    const std::size_t number = digit(2);
    if (s.fields < 7 || parts == 0 || number == 0 || number > parts) return bad(Malformed::bad_parts);
    if (parts == 1) return add({text.begin(), text.end()}, 1, when_, counts_.lines);
    while (!unfinished_.empty() && unfinished_.front().line + unfinished_lines < counts_.lines) {
      bad(Malformed::incomplete);
      unfinished_.erase(unfinished_.begin());
    }
    std::string key;
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{4}}) {
      key.append(s.field[i]).push_back(',');
    }
    const auto open =
        std::find_if(unfinished_.begin(), unfinished_.end(), [&](const Unfinished& u) { return u.key == key; });
    if (number == 1) {
      if (open != unfinished_.end()) {
        bad(Malformed::incomplete);
        unfinished_.erase(open);
      } else if (unfinished_.size() == most_unfinished) {
        bad(Malformed::incomplete);
        unfinished_.erase(unfinished_.begin());
      }
      Unfinished u;
      u.key = std::move(key);
      u.text.append(text).append("\r\n");
      u.parts = parts;
      u.when = when_;
      u.line = counts_.lines;
      unfinished_.push_back(std::move(u));
      return;
    }
    if (open == unfinished_.end() || open->next != number) return bad(Malformed::orphan_part);
    open->text.append(text).append("\r\n");
    ++open->next;
    if (number != parts) return;
    add(std::move(open->text), static_cast<std::uint32_t>(parts), open->when, open->line);
    unfinished_.erase(open);
  }

  Replay& out_;
  Replay::Counts& counts_;
  When when_;
  bool better_than_suffix_ = false;  // a receive time to the millisecond is not replaced by whole seconds
  std::optional<std::int64_t> last_day_ms_;
  std::vector<Found> found_;
  std::vector<Unfinished> unfinished_;  // oldest first; at most most_unfinished
};

Expected<Replay> Replay::parse(std::string_view file, const std::string& path) {
  Replay replay;
  ReplayParser parser(replay);
  while (!file.empty()) {
    const std::size_t end = std::min(file.find('\n'), file.size());
    parser.line(file.substr(0, end));
    file.remove_prefix(std::min(end + 1, file.size()));
  }
  parser.finish();
  if (replay.messages_.empty()) {
    return fail(Exit::usage, path,
                "no timed NMEA message to replay ($PGHP, tag block c: or RMC time): " + replay.summary());
  }
  replay.deal(1);
  return replay;
}

std::string Replay::summary() const {
  const Counts& c = counts_;
  std::string s = std::to_string(c.messages) + " messages (" + std::to_string(c.multi) + " of several sentences) in " +
                  std::to_string(c.lines) + " lines";
  bool any = false;
  for (std::size_t i = 0; i < malformed_reasons; ++i) {
    if (c.malformed[i] == 0) continue;
    s += (any ? ", " : "; left out: ") + std::to_string(c.malformed[i]) + " " +
         std::string(name(static_cast<Malformed>(i)));
    any = true;
  }
  if (any) s += "; the first at line " + std::to_string(c.first_malformed_line);
  return s;
}

void Replay::deal(std::uint32_t channels) {
  channels_.assign(std::max(channels, 1u), {});
  for (std::size_t i = 0; i < messages_.size(); ++i) {
    const std::uint32_t mmsi = messages_[i].mmsi;
    const std::size_t to = mmsi == 0 ? 0 : below64(mix64(mmsi), channels_.size());
    channels_[to].push_back(static_cast<std::uint32_t>(i));
  }
}

}  // namespace portolan::load
