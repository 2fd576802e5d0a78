#include "scenarios/read/diagnostics.hpp"

#include <algorithm>
#include <set>
#include <tuple>

namespace portolan::read {

void Diagnostics::error(Position at, std::string_view key, std::string what) {
  ++errors_;
  items_.push_back({at, false, (key.empty() ? "" : std::string(key) + ": ") + std::move(what)});
}

void Diagnostics::warning(Position at, std::string_view key, std::string what) {
  items_.push_back({at, true, "warning: " + (key.empty() ? "" : std::string(key) + ": ") + std::move(what)});
}

bool Diagnostics::error_at(Position at) const {
  return std::any_of(items_.begin(), items_.end(),
                     [&](const Item& i) { return !i.warning && i.at.line == at.line && i.at.column == at.column; });
}

bool Diagnostics::error_on_line(int line) const {
  return std::any_of(items_.begin(), items_.end(), [&](const Item& i) { return !i.warning && i.at.line == line; });
}

std::vector<std::string> Diagnostics::lines() const {
  std::vector<Item> sorted = items_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Item& x, const Item& y) {
    return std::tie(x.at.line, x.at.column) < std::tie(y.at.line, y.at.column);
  });
  std::vector<std::string> out;
  std::set<std::string> seen;
  for (const Item& i : sorted) {
    std::string line = file_ + ":" + std::to_string(i.at.line) + ":" + std::to_string(i.at.column) + ": " + i.text;
    if (seen.insert(line).second) out.push_back(std::move(line));
  }
  return out;
}

namespace {

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string_view nearest(std::string_view word, const std::vector<std::string>& choices) {
  constexpr std::size_t kLongest = 64;  // bounds the quadratic distance
  std::string_view best;
  if (word.size() > kLongest) return best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& choice : choices) {
    if (choice.size() > kLongest) continue;
    const std::size_t d = distance(word, choice);
    if (d < best_distance) {
      best_distance = d;
      best = choice;
    }
  }
  return best;
}

std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 20;
  std::string out;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) out += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kShown) out += " and " + std::to_string(names.size() - kShown) + " more";
  return out;
}

std::string suggest(std::string_view word, const std::vector<std::string>& choices) {
  std::string out;
  const std::string_view near = nearest(word, choices);
  if (!near.empty()) out += "; did you mean \"" + std::string(near) + "\"?";
  if (choices.empty()) return out;
  out += (near.empty() ? "; valid: " : " Valid: ") + listed(choices);
  return out;
}

}  // namespace portolan::read
