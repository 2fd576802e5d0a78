#include "scenarios/read/fields.hpp"

#include <algorithm>

namespace portolan::read {

std::string join(const std::string& path, std::string_view key) {
  if (path.empty() || key.empty()) return path + std::string(key);
  return path + "." + std::string(key);
}

std::optional<std::string> Reader::word(const Tree& value, const std::string& key) {
  if (value.is_scalar() && !value.text.empty()) return value.text;
  out.error(value.at, key,
            value.is_map() || value.is_list() ? "must be a single value, not a list or a map" : "is empty");
  return std::nullopt;
}

std::optional<std::int64_t> Reader::quantity(const Tree& value, const std::string& key, Unit unit) {
  const auto text = word(value, key);
  if (!text) return std::nullopt;
  const auto number = read_quantity(*text, unit);
  if (number) return *number;
  out.error(value.at, key, number.error().cause);
  return std::nullopt;
}

std::optional<std::uint64_t> Reader::count(const Tree& value, const std::string& key, std::uint64_t least,
                                           std::uint64_t most) {
  const auto text = word(value, key);
  if (!text) return std::nullopt;
  const auto number = read_count(*text);
  if (!number) {
    out.error(value.at, key, number.error().cause);
    return std::nullopt;
  }
  if (*number < least || *number > most) {
    out.error(
        value.at, key,
        std::to_string(*number) + " is out of range; valid: " + std::to_string(least) + " to " + std::to_string(most));
    return std::nullopt;
  }
  return *number;
}

std::optional<std::size_t> Reader::choice(const Tree& value, const std::string& key,
                                          const std::vector<std::string>& choices) {
  const auto text = word(value, key);
  if (!text) return std::nullopt;
  const auto found = std::find(choices.begin(), choices.end(), *text);
  if (found != choices.end()) return static_cast<std::size_t>(found - choices.begin());
  out.error(value.at, key, "unknown value \"" + *text + "\"" + suggest(*text, choices));
  return std::nullopt;
}

std::vector<const Tree*> Reader::one_or_more(const Tree& value, const std::string& key) {
  std::vector<const Tree*> all;
  if (value.is_list()) {
    for (const Tree& item : value.items) {
      if (word(item, key)) all.push_back(&item);
    }
    if (value.items.empty()) out.error(value.at, key, "the list is empty; name at least one");
  } else if (word(value, key)) {
    all.push_back(&value);
  }
  return all;
}

Map::Map(Reader& reader, const Tree& node, std::string path, const std::vector<std::string>& keys)
    : reader_(reader), node_(node), path_(std::move(path)), keys_(keys) {
  if (!node.is_map()) {
    reader.out.error(
        node.at, path_,
        node.kind == Tree::Kind::null
            ? "is empty" + (keys.empty() ? std::string() : "; valid keys: " + listed(keys))
            : "must be a map of keys and values" + (keys.empty() ? std::string() : "; valid keys: " + listed(keys)));
    return;
  }
  std::map<std::string_view, Position> seen;
  for (const Tree::Entry& entry : node.entries) {
    const auto [first, fresh] = seen.insert({entry.key, entry.at});
    if (!fresh) {
      reader.out.error(entry.at, this->path(entry.key),
                       "is said twice, first on line " + std::to_string(first->second.line) + "; keep one");
    }
    if (!keys.empty() && std::find(keys.begin(), keys.end(), entry.key) == keys.end()) {
      reader.out.error(entry.at, this->path(entry.key), "unknown key" + suggest(entry.key, keys));
    }
  }
}

const Tree* Map::find(std::string_view key) const {
  for (const Tree::Entry& entry : node_.entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

const Tree* Map::need(std::string_view key, std::string_view example) const {
  const Tree* value = find(key);
  // A misspelt key has been reported already, and is not missing.
  const bool misspelt = std::any_of(node_.entries.begin(), node_.entries.end(), [&](const Tree::Entry& e) {
    return std::find(keys_.begin(), keys_.end(), e.key) == keys_.end() && nearest(e.key, keys_) == key;
  });
  if (value == nullptr && ok() && !misspelt) {
    reader_.out.error(node_.at, path(key), "is missing; say `" + std::string(key) + ": " + std::string(example) + "`");
  }
  return value;
}

std::string Map::path(std::string_view key) const {
  return join(path_, key);
}

}  // namespace portolan::read
