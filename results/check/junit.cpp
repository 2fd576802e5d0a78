// JUnit XML from a summary: one case for each rule and expectation. 1 is a failure; 2 and 69 are errors; none is
// skipped.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "results/check/output.hpp"

namespace portolan::check {

using nlohmann::json;

namespace {

// XML 1.0: the five entities; characters that XML cannot carry become '?'.
std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&apos;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? '?' : c;
    }
  }
  return out;
}

struct Case {
  std::string name;
  std::string verdict = "held";
  std::vector<std::string> lines;
};

std::string of(const std::string& suite, const Case& c) {
  std::string out = fmt::format("  <testcase classname=\"{}\" name=\"{}\"", escape(suite), escape(c.name));
  if (c.verdict == "held") return out + "/>\n";
  const char* tag = c.verdict == "failed" ? "failure" : "error";
  std::string body;
  for (const std::string& line : c.lines) body += line + "\n";
  return out + fmt::format(">\n    <{0} message=\"{1}\">{2}</{0}>\n  </testcase>\n", tag,
                           escape(c.lines.empty() ? c.verdict : c.lines.front()), escape(body));
}

std::string line_of(const json& reason) {
  return fmt::format("{} at {}: {} times", reason.value("what", ""), reason.value("where", ""),
                     reason.value("count", 0u));
}

}  // namespace

std::string junit_xml(const std::string& text) {
  const json summary = json::parse(text, nullptr, false);
  std::vector<Case> cases;
  const auto reasons = summary.is_object() ? summary.value("reasons", json::array()) : json::array();
  if (summary.is_object() && summary.contains("rules")) {
    for (const json& rule : summary["rules"]) {
      if (rule["rule"] == "expectation" || rule["verdict"] == "not judged") continue;
      Case c{fmt::format("rule {}: {}", rule["rule"].get<std::string>(), rule["title"].get<std::string>()),
             rule["verdict"],
             {}};
      for (const json& reason : reasons) {
        if (reason["rule"] != rule["rule"]) continue;
        c.lines.push_back(line_of(reason));
        for (const json& example : reason["examples"]) c.lines.push_back("  " + example.get<std::string>());
      }
      cases.push_back(std::move(c));
    }
    for (const json& e : summary["expectations"]) {
      Case c{"expectation: " + e["name"].get<std::string>(), e["verdict"], {}};
      if (c.verdict != "held") {
        c.lines.push_back(fmt::format("measured {}, limit {} {}, off by {} ({})", e["measured"].dump(),
                                      e["limit"].dump(), e["unit"].get<std::string>(), e["by"].dump(),
                                      e["where"].get<std::string>()));
      }
      cases.push_back(std::move(c));
    }
  } else {
    Case c{"run", "inconclusive", {}};
    for (const json& reason : reasons) {
      c.lines.push_back(line_of(reason));
      for (const json& example : reason["examples"]) c.lines.push_back("  " + example.get<std::string>());
    }
    if (c.lines.empty()) c.lines.push_back("no summary");
    cases.push_back(std::move(c));
  }
  const std::string suite = summary.is_object() ? summary.value("name", "portolan") : "portolan";
  const auto count = [&](const char* verdict) {
    return std::count_if(cases.begin(), cases.end(), [&](const Case& c) { return c.verdict == verdict; });
  };
  std::string out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" "
      "skipped=\"0\">\n",
      escape(suite), cases.size(), count("failed"), count("inconclusive"));
  for (const Case& c : cases) out += of(suite, c);
  return out + "</testsuite>\n";
}

}  // namespace portolan::check
