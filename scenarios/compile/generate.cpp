// Generated layouts: `harbours: {generate: {...}}` becomes hubs, leaves round them and links, as if they had been
// written. It works on the tree, before any stage reads it, so that nothing else knows of it. The same file and seed
// give the same harbours: places are drawn from the seed by name, so that one more leaf moves no other.
#include <algorithm>
#include <cstdio>
#include <numeric>

#include "scenarios/base/exact.hpp"
#include "scenarios/base/hash.hpp"
#include "scenarios/compile/context.hpp"

namespace portolan::compile {
namespace {

constexpr std::uint64_t kMostLeaves = 4'000;
constexpr std::uint64_t kMostDraws = 300;  // for one leaf: below it only circles that are all but full fail
const std::vector<std::string> kKeys = {"hubs", "leaves", "within", "uplink", "standby-uplink", "backbone", "nearest"};

struct Place {
  std::string name;
  std::int64_t lat_udeg = 0;
  std::int64_t lon_udeg = 0;
};

exact::Point point(const Place& p) {
  return {static_cast<double>(p.lat_udeg) / 1e6, static_cast<double>(p.lon_udeg) / 1e6};
}

std::int64_t between(const Place& a, const Place& b) {
  return exact::great_circle_m(point(a), point(b));
}

std::string show_degrees(std::int64_t udeg, char positive, char negative) {
  char text[32];
  const auto size = static_cast<std::uint64_t>(udeg < 0 ? -udeg : udeg);
  std::snprintf(text, sizeof text, "%u.%06u %c", static_cast<unsigned>(size / 1'000'000),
                static_cast<unsigned>(size % 1'000'000), udeg < 0 ? negative : positive);
  return text;
}

class Generator {
 public:
  Generator(Context& c, const Tree::Entry& entry, std::uint64_t seed)
      : c_(c), at_(entry.at), map_(c, entry.value, "harbours.generate", kKeys), seed_(seed) {}

  // False when it is wrong, which has been said.
  bool run(Tree& harbours, Tree& links) {
    if (!map_.ok() || !read()) return false;
    for (const Place& hub : hubs_) harbours.entries.push_back(harbour(hub, {{"hub", "true"}}));
    backbone(links);
    std::vector<Place> taken = hubs_;
    for (std::uint64_t i = 0; i < leaves_; ++i) {
      const std::size_t hub = i % hubs_.size();
      const auto found = place(hubs_[hub], hubs_[hub].name + "-" + std::to_string(i / hubs_.size() + 1), taken);
      if (!found) {
        c_.out.error(map_.find("leaves")->at, map_.path("leaves"),
                     "no room round " + hubs_[hub].name + " for leaf " + std::to_string(i / hubs_.size() + 1) +
                         " at 1 km from all others; fewer leaves, or a wider `within`");
        return false;
      }
      const Place& leaf = *found;
      taken.push_back(leaf);
      std::vector<std::pair<std::string, std::string>> more = {{"hub", hubs_[hub].name}};
      links.entries.push_back(link(leaf, hubs_[hub], uplink_));
      if (hubs_.size() > 1) {
        const Place& standby = hubs_[nearest_hub(leaf, hub)];
        more.emplace_back("standby", standby.name);
        links.entries.push_back(link(leaf, standby, standby_uplink_));
      }
      harbours.entries.push_back(harbour(leaf, more));
    }
    return true;
  }

 private:
  bool read() {
    const std::size_t errors = c_.out.errors();
    const Tree* hubs = map_.need("hubs", "{hamburg: \"53.54 N, 9.98 E\", ...}");
    if (hubs != nullptr) {
      Map all(c_, *hubs, map_.path("hubs"), {});
      for (const auto& e : all.entries()) {
        const auto text = c_.word(e.value, all.path(e.key));
        const auto where = text ? read_coordinates(*text) : read_coordinates("0 N, 0 E");
        if (!where) c_.out.error(e.value.at, all.path(e.key), where.error().cause);
        if (where) hubs_.push_back({e.key, where->lat_udeg, where->lon_udeg});
      }
      if (all.ok() && hubs_.empty()) c_.out.error(hubs->at, map_.path("hubs"), "there is none; name at least one");
    }
    if (const Tree* leaves = map_.need("leaves", "970")) {
      leaves_ = c_.count(*leaves, map_.path("leaves"), 0, kMostLeaves).value_or(0);
    }
    if (map_.need("within", "200 km") != nullptr) map_.read("within", Unit::length, within_m_);
    if (map_.find("within") != nullptr && (within_m_ < 1'000 || within_m_ > 1'000'000) && c_.out.errors() == errors) {
      c_.out.error(map_.find("within")->at, map_.path("within"), "must be 1 km to 1000 km");
    }
    if (const Tree* uplink = map_.need("uplink", "internet")) uplink_ = *uplink;
    standby_uplink_ = map_.find("standby-uplink") != nullptr ? *map_.find("standby-uplink") : uplink_;
    if (const Tree* backbone = map_.need("backbone", "leased-fibre")) backbone_ = *backbone;
    if (const Tree* nearest = map_.find("nearest")) {
      nearest_ = c_.count(*nearest, map_.path("nearest"), 1, 16).value_or(nearest_);
    }
    return c_.out.errors() == errors;
  }

  // Scalars and values of what is made stand where `generate` stands: that is where an error in them has its cause.
  Tree scalar(const std::string& text) const {
    Tree t;
    t.kind = Tree::Kind::scalar;
    t.at = at_;
    t.text = text;
    return t;
  }

  Tree::Entry harbour(const Place& p, const std::vector<std::pair<std::string, std::string>>& more) const {
    Tree settings;
    settings.kind = Tree::Kind::map;
    settings.at = at_;
    settings.entries.push_back(
        {"at", at_, scalar(show_degrees(p.lat_udeg, 'N', 'S') + ", " + show_degrees(p.lon_udeg, 'E', 'W'))});
    for (const auto& [key, value] : more) settings.entries.push_back({key, at_, scalar(value)});
    return {p.name, at_, std::move(settings)};
  }

  Tree::Entry link(const Place& a, const Place& b, const Tree& model) const {
    return {a.name + " -- " + b.name, at_, model};
  }

  // Somewhere in the circle round its hub, at least 1 km from all others: drawn until it is, or there seems no room.
  std::optional<Place> place(const Place& hub, const std::string& name, const std::vector<Place>& taken) const {
    const auto r = static_cast<std::int64_t>(within_m_);
    const double metres_per_udeg = 0.111195;  // along a meridian
    const double cosine = std::max(0.05, exact::cos_deg(point(hub).lat_deg));
    Place p{name, 0, 0};
    for (std::uint64_t draws = 0; draws < kMostDraws; ++draws) {
      const auto draw = [&](std::uint64_t axis) {
        const std::uint64_t bits = draw64(seed_, name64("place"), name64(name), 2 * draws + axis);
        return static_cast<std::int64_t>(below64(bits, 2 * within_m_ + 1)) - r;
      };
      const std::int64_t north = draw(0);
      const std::int64_t east = draw(1);
      if (north * north + east * east > r * r) continue;
      p.lat_udeg = hub.lat_udeg + static_cast<std::int64_t>(static_cast<double>(north) / metres_per_udeg);
      p.lon_udeg = hub.lon_udeg + static_cast<std::int64_t>(static_cast<double>(east) / metres_per_udeg / cosine);
      p.lat_udeg = std::clamp<std::int64_t>(p.lat_udeg, -89'000'000, 89'000'000);
      p.lon_udeg = std::clamp<std::int64_t>(p.lon_udeg, -179'000'000, 179'000'000);
      const auto near = [&](const Place& other) {
        const auto apart = [](std::int64_t x, std::int64_t y) { return x > y ? x - y : y - x; };
        return apart(other.lat_udeg, p.lat_udeg) < 10'000 &&
               static_cast<double>(apart(other.lon_udeg, p.lon_udeg)) * cosine < 10'000;
      };
      if (std::none_of(taken.begin(), taken.end(), near)) return p;
    }
    return std::nullopt;
  }

  std::size_t nearest_hub(const Place& leaf, std::size_t but) const {
    std::size_t best = but == 0 ? 1 : 0;
    for (std::size_t h = 0; h < hubs_.size(); ++h) {
      if (h != but && between(leaf, hubs_[h]) < between(leaf, hubs_[best])) best = h;
    }
    return best;
  }

  // A shortest tree, so that all are joined (Kruskal), and each hub's nearest besides.
  void backbone(Tree& links) const {
    struct Pair {
      std::int64_t distance;
      std::size_t a, b;
    };
    std::vector<Pair> pairs;
    for (std::size_t a = 0; a < hubs_.size(); ++a) {
      for (std::size_t b = a + 1; b < hubs_.size(); ++b) pairs.push_back({between(hubs_[a], hubs_[b]), a, b});
    }
    std::stable_sort(pairs.begin(), pairs.end(), [](const Pair& x, const Pair& y) { return x.distance < y.distance; });
    std::vector<std::size_t> part(hubs_.size());
    std::iota(part.begin(), part.end(), std::size_t{0});
    std::vector<std::uint64_t> degree(hubs_.size(), 0);
    for (const Pair& p : pairs) {
      const bool joins = part[p.a] != part[p.b];
      if (!joins && degree[p.a] >= nearest_ && degree[p.b] >= nearest_) continue;
      std::replace(part.begin(), part.end(), std::size_t{part[p.b]}, std::size_t{part[p.a]});
      ++degree[p.a];
      ++degree[p.b];
      links.entries.push_back(link(hubs_[p.a], hubs_[p.b], backbone_));
    }
  }

  Context& c_;
  Position at_;
  Map map_;
  std::uint64_t seed_;
  std::vector<Place> hubs_;
  std::uint64_t leaves_ = 0;
  std::uint64_t within_m_ = 0;
  Tree uplink_, standby_uplink_, backbone_;
  std::uint64_t nearest_ = 3;
};

Tree::Entry* section(Tree& root, std::string_view key) {
  for (auto& e : root.entries) {
    if (e.key == key) return &e;
  }
  return nullptr;
}

}  // namespace

bool generate(Context& c, Tree& root) {
  Tree::Entry* harbours = section(root, "harbours");
  if (harbours == nullptr || !harbours->value.is_map()) return true;
  auto& all = harbours->value.entries;
  const auto found = std::find_if(all.begin(), all.end(), [](const auto& e) { return e.key == "generate"; });
  if (found == all.end()) return true;
  const Tree::Entry wanted = *found;
  all.erase(found);
  if (section(root, "links") == nullptr) {
    Tree none;
    none.kind = Tree::Kind::map;
    none.at = wanted.at;
    root.entries.push_back({"links", wanted.at, std::move(none)});
  }
  Tree::Entry* links = section(root, "links");
  if (!links->value.is_map()) return true;  // the stage that reads links says so
  return Generator(c, wanted, c.plan.seed).run(section(root, "harbours")->value, links->value);
}

}  // namespace portolan::compile
