// The daemon's log: one event a line, a name and fields, as text ("info  session up peer=2 uid=...") or as one JSON
// object a line. To standard error, as systemd wants it. What a peer can cause is bounded by Throttle.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

namespace portolan::daemon {

struct Field {
  template <typename T>
  requires std::is_integral_v<T> Field(std::string_view name, T number)
      : key(name), value(std::to_string(number)), quoted(false) {}
  Field(std::string_view name, std::string_view text) : key(name), value(text), quoted(true) {}
  Field(std::string_view name, const char* text) : Field(name, std::string_view(text)) {}
  Field(std::string_view name, const std::string& text) : Field(name, std::string_view(text)) {}
  std::string key, value;
  bool quoted;
};

enum class Level : std::uint8_t { trace, debug, info, warning, error };

class Logger {
 public:
  Logger(std::string_view level, bool json);
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  void operator()(Level level, std::string_view event, std::initializer_list<Field> fields = {});
  void set_level(std::string_view level);

 private:
  struct State;
  std::unique_ptr<State> s_;
};

// The line that operator() would write, without time; for tests.
std::string log_line(bool json, std::string_view level, std::string_view event, std::initializer_list<Field> fields);

// At most `burst` lines of a kind a second; counts what it holds back.
class Throttle {
 public:
  explicit Throttle(std::uint32_t burst) : burst_(burst) {}
  bool admit(std::uint64_t mono_ns) {
    if (mono_ns / 1'000'000'000 != second_) {
      second_ = mono_ns / 1'000'000'000;
      used_ = 0;
    }
    if (used_ < burst_) {
      ++used_;
      return true;
    }
    ++held_back_;
    return false;
  }
  std::uint64_t take_held_back() {
    const std::uint64_t n = held_back_;
    held_back_ = 0;
    return n;
  }

 private:
  std::uint32_t burst_, used_ = 0;
  std::uint64_t second_ = 0, held_back_ = 0;
};

}  // namespace portolan::daemon
