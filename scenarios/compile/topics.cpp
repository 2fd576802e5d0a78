// Stage: topics. An entry is a name or a family of names; loads make the topics of a family, one for each stream.
#include <algorithm>
#include <set>

#include "scenarios/compile/context.hpp"

namespace portolan::compile {
namespace {

const Tree* section(const Context& c, std::string_view name) {
  for (const auto& e : c.root.entries) {
    if (e.key == name) return &e.value;
  }
  return nullptr;
}

// "ais/{vessel}/position": at most one placeholder besides {harbour} and {hub}, each a whole level.
bool read_pattern(Context& c, const std::string& text, Position at, const std::string& key, TopicEntry& entry) {
  std::string family;
  std::string plain;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t to = std::min(text.find('/', from), text.size());
    const std::string level = text.substr(from, to - from);
    from = to + 1;
    const bool placeholder = level.size() > 2 && level.front() == '{' && level.back() == '}';
    if (placeholder) {
      const std::string name = level.substr(1, level.size() - 2);
      if (name == "harbour" || name == "hub") {
        entry.per_harbour = true;
      } else if (!entry.placeholder.empty()) {
        c.out.error(
            at, key,
            "has two placeholders, {" + entry.placeholder + "} and {" + name + "}; one, and {harbour}, are possible");
        return false;
      } else {
        entry.placeholder = name;
      }
    } else if (level.find_first_of("{}") != std::string::npos) {
      c.out.error(at, key, "a placeholder fills a whole level, as in `ais/{vessel}/position`");
      return false;
    } else if (level.find_first_of("+#") != std::string::npos) {
      c.out.error(at, key,
                  "a topic has no wildcards (+, #); those belong to subscriptions. For many topics use a placeholder, "
                  "as in `ais/{vessel}/position`");
      return false;
    }
    family += (family.empty() ? "" : "/") + (placeholder ? std::string("+") : level);
    plain += (plain.empty() ? "" : "/") + (placeholder ? std::string("x") : level);
  }
  if (!plan::topic_valid(plain) || plain.size() + 40 > 128) {
    c.out.error(at, key,
                "\"" + text + "\" is not a topic name; levels are joined by /, none is empty, at most 88 bytes");
    return false;
  }
  entry.pattern = text;
  entry.family = family;
  return true;
}

void read_retain(Context& c, const Tree& value, const std::string& key, plan::Topic& t) {
  if (value.is_scalar() && value.text == "none") {
    t.retain_ns = 0;
    t.retain_bytes = 0;
    return;
  }
  if (!value.is_map()) {
    if (const auto time = c.quantity(value, key, Unit::time)) t.retain_ns = *time;
    return;
  }
  Map map(c, value, key, {"time", "bytes"});
  map.read("time", Unit::time, t.retain_ns);
  map.read("bytes", Unit::size, t.retain_bytes);
}

}  // namespace

void read_topics(Context& c) {
  const Tree* node = section(c, "topics");
  if (node == nullptr) return;
  Map map(c, *node, "topics", {});
  std::set<std::string> families;
  for (const auto& e : map.entries()) {
    const std::string key = map.path(e.key);
    TopicEntry entry;
    entry.at = e.at;
    if (!read_pattern(c, e.key, e.at, key, entry)) continue;
    entry.settings.family = entry.family;
    entry.settings.retain_ns = 10'000'000'000;
    entry.settings.retain_bytes = 4u << 20;
    const bool bare = e.value.kind == Tree::Kind::null || (e.value.is_map() && e.value.entries.empty());
    if (bare) {
      entry.tenants = c.tenant_list(nullptr, key);
    } else {
      Map settings(c, e.value, key, {"class", "retain", "deadline", "lane", "tenant", "group", "replicas"});
      plan::Topic& t = entry.settings;
      if (const Tree* klass = settings.find("class")) {
        t.klass = static_cast<plan::TopicClass>(
            c.choice(*klass, settings.path("class"), {"realtime", "ordered"}).value_or(0));
        if (t.klass == plan::TopicClass::ordered) t.lane = 1;
      }
      if (const Tree* lane = settings.find("lane")) {
        const auto which = c.choice(*lane, settings.path("lane"), {"realtime", "bulk"});
        if (which) t.lane = static_cast<std::uint8_t>(2 + *which);
        if (which && t.klass == plan::TopicClass::ordered) {
          c.out.error(lane->at, settings.path("lane"), "an ordered topic has its own lane; leave `lane` out");
        }
      }
      settings.read("deadline", Unit::time, t.deadline_ns);
      if (const Tree* retain = settings.find("retain")) read_retain(c, *retain, settings.path("retain"), t);
      if (const Tree* group = settings.find("group")) t.group = c.word(*group, settings.path("group")).value_or("");
      if (const Tree* replicas = settings.find("replicas"))
        t.replicas = c.harbour_list(*replicas, settings.path("replicas"));
      if (t.klass == plan::TopicClass::ordered && t.replicas.empty()) {
        c.out.error(e.at, settings.path("replicas"),
                    "is missing; an ordered topic says which harbours keep it, such as "
                    "`replicas: [berlin, hamburg, rotterdam]`");
      }
      if (t.klass == plan::TopicClass::realtime && (!t.replicas.empty() || !t.group.empty())) {
        c.out.error(e.at, key, "replicas and group belong to ordered topics; say `class: ordered` or leave them out");
      }
      entry.tenants = c.tenant_list(settings.find("tenant"), settings.path("tenant"));
    }
    for (const TopicEntry& other : c.topics) {
      if (other.family == entry.family && other.pattern != entry.pattern) {
        c.out.error(
            e.at, key,
            "makes the same names as " + other.pattern + " on line " + std::to_string(other.at.line) + "; keep one");
      }
    }
    if (families.insert(entry.pattern).second) c.topics.push_back(std::move(entry));
  }
}

Index add_topic(Context& c, const TopicEntry& entry, Index tenant, const std::string& name) {
  const auto [found, fresh] = c.topic_names.insert({{tenant, name}, static_cast<Index>(c.plan.topics.size())});
  if (fresh) {
    plan::Topic topic = entry.settings;
    topic.name = name;
    topic.tenant = tenant;
    c.plan.topics.push_back(std::move(topic));
    c.topic_at.push_back(entry.at);
    c.topic_key.push_back("topics." + entry.pattern);
  }
  return found->second;
}

}  // namespace portolan::compile
