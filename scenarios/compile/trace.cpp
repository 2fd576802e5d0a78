#include "scenarios/compile/trace.hpp"

#include "scenarios/read/quantity.hpp"

namespace portolan::compile {

using read::read_count;
using read::read_quantity;
using read::Unit;

namespace {

constexpr std::size_t kMaxPoints = 2'000'000;

// Calls f(line, number) for each non-empty line; stops when f answers false.
template <typename F>
void each_line(std::string_view text, F&& f) {
  int number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    ++number;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!line.empty() && !f(line, number)) return;
  }
}

std::string line_of(int number) {
  return "line " + std::to_string(number) + " of the trace";
}

}  // namespace

Expected<RateTrace> read_mahimahi(std::string_view text) {
  RateTrace trace;
  std::string place;
  std::string fault;
  each_line(text, [&](std::string_view line, int number) {
    const auto ms = read_count(line);
    place = line_of(number);
    if (!ms || *ms > 0xFFFFFFFFu) {
      fault = "is not a whole number of milliseconds";
    } else if (!trace.milliseconds.empty() && *ms < trace.milliseconds.back()) {
      fault = "goes back in time";
    } else if (trace.milliseconds.size() == kMaxPoints) {
      fault = "is one too many; at most " + std::to_string(kMaxPoints);
    } else {
      trace.milliseconds.push_back(static_cast<std::uint32_t>(*ms));
    }
    return fault.empty();
  });
  if (!fault.empty()) return fail(Exit::usage, place, fault);
  if (trace.milliseconds.empty() || trace.milliseconds.back() == 0) {
    return fail(Exit::usage, "the trace", "is empty; it lists milliseconds, one a line, the last above 0");
  }
  trace.period_ns = plan::Ns{trace.milliseconds.back()} * 1'000'000;
  return trace;
}

Expected<DelayTrace> read_delay_trace(std::string_view text) {
  DelayTrace trace;
  std::string place;
  std::string fault;
  bool head = false;
  each_line(text, [&](std::string_view line, int number) {
    place = line_of(number);
    if (!head) {
      head = line == "at_ms,delay_ms";
      if (!head) fault = "must be the head `at_ms,delay_ms`";
      return head;
    }
    const std::size_t comma = line.find(',');
    const auto at = read_quantity(std::string(line.substr(0, comma)) + " ms", Unit::time);
    const auto delay = comma == std::string_view::npos
                           ? Expected<std::int64_t>(fail(Exit::usage, "", ""))
                           : read_quantity(std::string(line.substr(comma + 1)) + " ms", Unit::time);
    if (!at || !delay) {
      fault = "is not two numbers of milliseconds";
    } else if (!trace.points.empty() && *at <= trace.points.back().at_ns) {
      fault = "does not go on in time";
    } else if (trace.points.size() == kMaxPoints) {
      fault = "is one too many; at most " + std::to_string(kMaxPoints);
    } else {
      trace.points.push_back({*at, *delay});
    }
    return fault.empty();
  });
  if (!fault.empty()) return fail(Exit::usage, place, fault);
  if (trace.points.empty()) return fail(Exit::usage, "the trace", "is empty; it lists `at_ms,delay_ms` points");
  const std::size_t n = trace.points.size();
  if (n > 1) trace.period_ns = 2 * trace.points[n - 1].at_ns - trace.points[n - 2].at_ns;
  return trace;
}

}  // namespace portolan::compile
