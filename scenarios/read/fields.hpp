// Values and maps of a Tree, read with messages that say what would be right. A reader reports and goes on, so that one
// run tells all. Shared by the scenario compiler and the daemon's configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "scenarios/read/diagnostics.hpp"
#include "scenarios/read/quantity.hpp"
#include "scenarios/read/tree.hpp"

namespace portolan::read {

// The dotted path of a key within a map.
std::string join(const std::string& path, std::string_view key);

struct Reader {
  Diagnostics& out;

  // Each reports and answers nothing when the value is wrong.
  std::optional<std::int64_t> quantity(const Tree& value, const std::string& key, Unit unit);
  std::optional<std::uint64_t> count(const Tree& value, const std::string& key, std::uint64_t least,
                                     std::uint64_t most);
  std::optional<std::string> word(const Tree& value, const std::string& key);
  // The position of the word within `choices`.
  std::optional<std::size_t> choice(const Tree& value, const std::string& key, const std::vector<std::string>& choices);
  // A single name or a list of names.
  std::vector<const Tree*> one_or_more(const Tree& value, const std::string& key);
};

// A map whose keys are known. Unknown and repeated keys are reported when it is made.
class Map {
 public:
  // `keys` are the valid ones; empty: any.
  Map(Reader& reader, const Tree& node, std::string path, const std::vector<std::string>& keys);

  bool ok() const { return node_.is_map(); }
  const Tree* find(std::string_view key) const;
  // Reports at the map when the key is not there; `example` shows a right one.
  const Tree* need(std::string_view key, std::string_view example) const;
  std::string path(std::string_view key) const;
  Position at() const { return node_.at; }
  const std::vector<Tree::Entry>& entries() const { return node_.entries; }

  // Sets `to` when the key is there and right.
  template <typename T>
  bool read(std::string_view key, Unit unit, T& to) const {
    const Tree* value = find(key);
    if (value == nullptr) return false;
    const auto number = reader_.quantity(*value, path(key), unit);
    if (number) to = static_cast<T>(*number);
    return number.has_value();
  }

 private:
  Reader& reader_;
  const Tree& node_;
  std::string path_;
  std::vector<std::string> keys_;
};

}  // namespace portolan::read
