#include "scenarios/plan/topic_rules.hpp"

#include <map>

namespace portolan::plan {

std::vector<TopicRule> topic_rules(const Plan& plan, Index tenant) {
  struct Family {
    const Topic* first = nullptr;
    bool agree = true;
  };
  std::map<std::string, Family> families;
  for (const Topic& topic : plan.topics) {
    if (topic.tenant != tenant) continue;
    Family& family = families[topic.family];
    if (family.first == nullptr) family.first = &topic;
    family.agree = family.agree && filter_matches(topic.family, topic.name) && topic.lane == family.first->lane &&
                   topic.retain_ns == family.first->retain_ns && topic.retain_bytes == family.first->retain_bytes;
  }
  std::vector<TopicRule> rules;
  const auto add = [&rules](const std::string& filter, const Topic& topic) {
    rules.push_back({filter, topic.lane, topic.retain_ns, topic.retain_bytes});
  };
  for (const Topic& topic : plan.topics) {
    if (topic.tenant == tenant && !families[topic.family].agree) add(topic.name, topic);
  }
  for (const auto& [name, family] : families) {
    if (family.agree) add(name, *family.first);
  }
  return rules;
}

}  // namespace portolan::plan
