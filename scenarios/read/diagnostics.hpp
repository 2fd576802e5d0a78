// What is wrong with a file, collected so that all of it is told at once, each with its place and what would be right.
// Used by every reader of YAML.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace portolan::read {

struct Position {
  int line = 1;    // from 1
  int column = 1;  // from 1, in bytes
};

class Diagnostics {
 public:
  explicit Diagnostics(std::string file) : file_(std::move(file)) {}

  // `key` is the dotted path of the value, empty for the file as a whole.
  void error(Position at, std::string_view key, std::string what);
  void warning(Position at, std::string_view key, std::string what);

  bool failed() const { return errors_ > 0; }
  std::size_t errors() const { return errors_; }
  bool error_at(Position at) const;
  bool error_on_line(int line) const;
  // "file:line:column: key: what", warnings marked; in the file's order, each once.
  std::vector<std::string> lines() const;
  const std::string& file() const { return file_; }

 private:
  struct Item {
    Position at;
    bool warning = false;
    std::string text;
  };
  std::string file_;
  std::vector<Item> items_;
  std::size_t errors_ = 0;
};

// The choice nearest to a misspelt word (optimal string alignment), or empty when none is near.
std::string_view nearest(std::string_view word, const std::vector<std::string>& choices);
// "; did you mean \"x\"? One of: a, b, c" for the end of a message; long lists are cut and counted.
std::string suggest(std::string_view word, const std::vector<std::string>& choices);
// "a, b, c and 4 more"
std::string listed(const std::vector<std::string>& names);

}  // namespace portolan::read
