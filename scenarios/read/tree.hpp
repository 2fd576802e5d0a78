// A YAML file as plain data with positions: read and bounded once, so that nothing behind it has to fear what a file
// can do (size, depth, alias bombs, bytes that are not UTF-8). Anchors are followed; merge keys, tags and several
// documents are refused.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "scenarios/read/diagnostics.hpp"

namespace portolan::read {

struct Tree {
  enum class Kind : std::uint8_t { null, scalar, list, map };
  struct Entry;

  Kind kind = Kind::null;
  Position at;
  std::string text;  // scalar
  bool quoted = false;
  std::vector<Tree> items;     // list
  std::vector<Entry> entries;  // map, in the file's order; a repeated key stands twice

  bool is_map() const { return kind == Kind::map; }
  bool is_list() const { return kind == Kind::list; }
  bool is_scalar() const { return kind == Kind::scalar; }
};
struct Tree::Entry {
  std::string key;
  Position at;  // of the key
  Tree value;
};

inline constexpr std::size_t kMaxFileBytes = std::size_t{8} << 20;
inline constexpr std::size_t kMaxNodes = 500'000;  // after aliases are followed
inline constexpr int kMaxDepth = 32;

// The bytes of a file of at most `most` bytes; a wrong one is reported at `at` under `key`.
std::optional<std::string> read_file(const std::string& path, std::size_t most, std::string& why);
// Reports to `out`; empty when there is nothing to go on with.
struct Document {     // for messages
  std::string what;   // "a scenario"
  std::string needs;  // "duration, links and load": what an empty one lacks
};
std::optional<Tree> parse_yaml(const std::string& text, Diagnostics& out, const Document& document);

// For the JSON Schema: plain integers and booleans become such, all else strings.
nlohmann::json to_json(const Tree& tree);
// The node that a JSON pointer of to_json names; the nearest one above when it does not exist.
const Tree& at_pointer(const Tree& tree, const std::string& pointer);

}  // namespace portolan::read
