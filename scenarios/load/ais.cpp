// See ais.hpp. Field positions are those of ITU-R M.1371-5, tables 48 (types 1 to 3) and 52 (type 5).
#include "scenarios/load/ais.hpp"

#include <algorithm>
#include <array>

#include "scenarios/load/nmea.hpp"

namespace portolan::load::ais {
namespace {

constexpr std::size_t sixes_per_sentence = 60;  // "!AIVDM,2,1,3,A," + 60 + ",0*hh" CR LF = 82 characters

class Writer {
 public:
  void put(std::uint64_t value, unsigned width) {
    for (unsigned bit = width; bit-- > 0;) {
      if (size_ % 6 == 0) sixes_.push_back(0);
      const auto one = static_cast<std::uint8_t>((value >> bit) & 1u);
      sixes_.back() = static_cast<std::uint8_t>(sixes_.back() | (one << (5 - size_ % 6)));
      ++size_;
    }
  }
  void put_signed(std::int64_t value, unsigned width) { put(static_cast<std::uint64_t>(value), width); }
  void text(const std::string& s, std::size_t characters) {
    for (std::size_t i = 0; i < characters; ++i) {
      const char c = i < s.size() ? s[i] : '@';
      put(static_cast<std::uint64_t>(static_cast<unsigned char>(c)) & 63u, 6);
    }
  }
  const std::vector<std::uint8_t>& sixes() const { return sixes_; }
  unsigned fill() const { return static_cast<unsigned>(sixes_.size() * 6 - size_); }

 private:
  std::vector<std::uint8_t> sixes_;
  std::size_t size_ = 0;
};

char armour(std::uint8_t six) {
  return static_cast<char>(six < 40 ? six + 48 : six + 56);
}

// 64 for a character that is none of the armour's.
std::uint8_t unarmour(char c) {
  if (c >= '0' && c <= 'W') return static_cast<std::uint8_t>(c - '0');
  if (c >= '`' && c <= 'w') return static_cast<std::uint8_t>(c - 56);
  return 64;
}

void append_sentences(const Writer& bits, char channel, char message_id, std::string& out) {
  const auto& sixes = bits.sixes();
  const std::size_t parts = (sixes.size() + sixes_per_sentence - 1) / sixes_per_sentence;
  for (std::size_t part = 0; part < parts; ++part) {
    std::string body = "AIVDM,";
    body += static_cast<char>('0' + parts);
    body += ',';
    body += static_cast<char>('1' + part);
    body += ',';
    if (parts > 1) body += message_id;
    body += ',';
    body += channel;
    body += ',';
    const std::size_t end = std::min(sixes.size(), (part + 1) * sixes_per_sentence);
    for (std::size_t i = part * sixes_per_sentence; i < end; ++i) body += armour(sixes[i]);
    body += ',';
    body += static_cast<char>('0' + (part + 1 == parts ? bits.fill() : 0));
    constexpr std::string_view hex = "0123456789ABCDEF";
    const std::uint8_t sum = nmea_checksum(body);
    out += '!';
    out += body;
    out += '*';
    out += hex[sum >> 4];
    out += hex[sum & 15];
    out += "\r\n";
  }
}

}  // namespace

void append(const Position& r, char channel, std::string& out) {
  Writer w;
  w.put(r.type, 6);
  w.put(0, 2);  // repeat indicator
  w.put(r.mmsi, 30);
  w.put(r.status, 4);
  w.put_signed(r.rate_of_turn, 8);
  w.put(r.sog, 10);
  w.put(r.accurate ? 1 : 0, 1);
  w.put_signed(r.lon, 28);
  w.put_signed(r.lat, 27);
  w.put(r.cog, 12);
  w.put(r.heading, 9);
  w.put(r.second, 6);
  w.put(0, 2);  // special manoeuvre: not available
  w.put(0, 3);  // spare
  w.put(0, 1);  // RAIM not in use
  w.put(r.radio, 19);
  append_sentences(w, channel, ' ', out);
}

void append(const Static& r, char channel, unsigned message_id, std::string& out) {
  Writer w;
  w.put(5, 6);
  w.put(0, 2);
  w.put(r.mmsi, 30);
  w.put(2, 2);  // M.1371-5
  w.put(r.imo, 30);
  w.text(r.callsign, 7);
  w.text(r.name, 20);
  w.put(r.ship_type, 8);
  w.put(r.to_bow, 9);
  w.put(r.to_stern, 9);
  w.put(r.to_port, 6);
  w.put(r.to_starboard, 6);
  w.put(1, 4);                     // position fixing device: GPS
  w.put(0, 4 + 5);                 // arrival, month and day: not available
  w.put((24u << 6) | 60u, 5 + 6);  // hour and minute: not available
  w.put(r.draught, 8);
  w.text(r.destination, 20);
  w.put(0, 2);  // data terminal ready, spare
  append_sentences(w, channel, static_cast<char>('0' + message_id % 10), out);
}

std::uint64_t Bits::get(std::size_t from, unsigned width) const {
  std::uint64_t value = 0;
  for (std::size_t bit = from; bit < from + width; ++bit) {
    const bool one = bit < size && ((sixes[bit / 6] >> (5 - bit % 6)) & 1) != 0;
    value = (value << 1) | (one ? 1u : 0u);
  }
  return value;
}

std::int64_t Bits::get_signed(std::size_t from, unsigned width) const {
  const std::uint64_t value = get(from, width);
  const bool negative = ((value >> (width - 1)) & 1) != 0;
  return static_cast<std::int64_t>(negative ? value | (~std::uint64_t{0} << width) : value);
}

std::string Bits::text(std::size_t from, unsigned characters) const {
  std::string s;
  for (unsigned i = 0; i < characters; ++i) {
    const auto six = static_cast<char>(get(from + 6 * i, 6));
    s += six < 32 ? static_cast<char>(six + 64) : six;
  }
  s.erase(std::min(s.find('@'), s.size()));
  while (!s.empty() && s.back() == ' ') s.pop_back();
  return s;
}

std::optional<Bits> bits(std::string_view message) {
  Bits all;
  std::size_t part = 0;
  std::size_t parts = 1;
  while (!message.empty()) {
    const std::size_t end = std::min(message.find('\n'), message.size());
    std::string_view line = message.substr(0, end);
    message.remove_prefix(std::min(end + 1, message.size()));
    while (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;
    Sentence s;
    Malformed why{};
    if (!parse_sentence(line, s, why) || !s.encapsulated || s.fields < 7 || s.field[0].size() != 5) return {};
    const std::string_view formatter = s.field[0].substr(2);
    if (formatter != "VDM" && formatter != "VDO") return {};
    if (s.field[1].size() != 1 || s.field[2].size() != 1 || s.field[6].size() != 1) return {};
    const auto total = static_cast<std::size_t>(s.field[1][0] - '0');
    const auto number = static_cast<std::size_t>(s.field[2][0] - '0');
    const int fill = s.field[6][0] - '0';
    if (part == 0) parts = total;
    if (total != parts || total > most_parts || number != ++part || number > parts || fill < 0 || fill > 5) return {};
    for (const char c : s.field[5]) {
      const std::uint8_t six = unarmour(c);
      if (six > 63) return {};
      all.sixes.push_back(six);
    }
    all.size = all.sixes.size() * 6 - std::min(all.sixes.size() * 6, static_cast<std::size_t>(fill));
  }
  if (part == 0 || part != parts) return {};
  return all;
}

std::optional<Position> position(const Bits& b) {
  if (b.type() < 1 || b.type() > 3 || b.size < 168) return {};
  Position r;
  r.type = b.type();
  r.mmsi = b.mmsi();
  r.status = static_cast<std::uint8_t>(b.get(38, 4));
  r.rate_of_turn = static_cast<std::int8_t>(b.get_signed(42, 8));
  r.sog = static_cast<std::uint16_t>(b.get(50, 10));
  r.accurate = b.get(60, 1) != 0;
  r.lon = static_cast<std::int32_t>(b.get_signed(61, 28));
  r.lat = static_cast<std::int32_t>(b.get_signed(89, 27));
  r.cog = static_cast<std::uint16_t>(b.get(116, 12));
  r.heading = static_cast<std::uint16_t>(b.get(128, 9));
  r.second = static_cast<std::uint8_t>(b.get(137, 6));
  r.radio = static_cast<std::uint32_t>(b.get(149, 19));
  return r;
}

std::optional<Static> statics(const Bits& b) {
  if (b.type() != 5 || b.size < 420) return {};  // some transponders send 422 bits
  Static r;
  r.mmsi = b.mmsi();
  r.imo = static_cast<std::uint32_t>(b.get(40, 30));
  r.callsign = b.text(70, 7);
  r.name = b.text(112, 20);
  r.ship_type = static_cast<std::uint8_t>(b.get(232, 8));
  r.to_bow = static_cast<std::uint16_t>(b.get(240, 9));
  r.to_stern = static_cast<std::uint16_t>(b.get(249, 9));
  r.to_port = static_cast<std::uint8_t>(b.get(258, 6));
  r.to_starboard = static_cast<std::uint8_t>(b.get(264, 6));
  r.draught = static_cast<std::uint8_t>(b.get(294, 8));
  r.destination = b.text(302, 20);
  return r;
}

}  // namespace portolan::load::ais
