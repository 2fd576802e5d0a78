// Topic names and filters: MQTT 5 section 4.7, with bounds and without its '$' rule.
#include "scenarios/plan/plan.hpp"

namespace portolan::plan {
namespace {

constexpr std::size_t kMaxTopicBytes = 128;

// Cuts the first level off `rest`.
std::string_view next_level(std::string_view& rest, bool& more) {
  const std::size_t slash = rest.find('/');
  more = slash != std::string_view::npos;
  const std::string_view level = rest.substr(0, slash);
  rest = more ? rest.substr(slash + 1) : std::string_view();
  return level;
}

bool valid(std::string_view text, bool wildcards) {
  if (text.empty() || text.size() > kMaxTopicBytes) return false;
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return false;
  }
  bool more = true;
  while (more) {
    const std::string_view level = next_level(text, more);
    if (level.empty()) return false;
    const bool has_wildcard = level.find_first_of("+#") != std::string_view::npos;
    if (has_wildcard && (!wildcards || level.size() != 1)) return false;
    if (level == "#" && more) return false;
  }
  return true;
}

}  // namespace

bool filter_valid(std::string_view filter) {
  return valid(filter, true);
}
bool topic_valid(std::string_view topic) {
  return valid(topic, false);
}

bool filter_matches(std::string_view filter, std::string_view topic) {
  bool more_filter = true;
  bool more_topic = true;
  while (more_filter && more_topic) {
    const std::string_view want = next_level(filter, more_filter);
    if (want == "#") return true;
    const std::string_view have = next_level(topic, more_topic);
    if (want != "+" && want != have) return false;
  }
  // "berth/#" matches "berth" too: '#' stands for the parent level as well (4.7.1.2).
  if (more_filter) return filter == "#";
  return !more_topic;
}

}  // namespace portolan::plan
