#include "scenarios/plan/json_schema.hpp"

#include <exception>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

namespace portolan::plan {
namespace {

// valijson names a place as "<root>", "[links]", "[3]", ...
std::string pointer_of(const std::vector<std::string>& context) {
  std::string pointer;
  for (const std::string& step : context) {
    if (step.size() < 2 || step.front() != '[') continue;
    pointer += '/';
    for (char c : step.substr(1, step.size() - 2)) {
      if (c == '~') {
        pointer += "~0";
      } else if (c == '/') {
        pointer += "~1";
      } else {
        pointer += c;
      }
    }
  }
  return pointer;
}

struct Compiled {
  explicit Compiled(std::string_view text) : document(nlohmann::json::parse(text)) {
    valijson::SchemaParser().populateSchema(valijson::adapters::NlohmannJsonAdapter(document), schema);
  }
  nlohmann::json document;
  valijson::Schema schema;
};

// Compiling a schema takes far longer than judging a plan by it, and a program has one or two.
const valijson::Schema& compiled(std::string_view text) {
  thread_local std::map<std::string, std::unique_ptr<Compiled>, std::less<>> known;
  auto at = known.find(text);
  if (at == known.end()) at = known.emplace(text, std::make_unique<Compiled>(text)).first;
  return at->second->schema;
}

}  // namespace

std::vector<SchemaFault> schema_faults(std::string_view schema_text, const nlohmann::json& document) {
  std::vector<SchemaFault> faults;
  try {
    const valijson::Schema& schema = compiled(schema_text);
    // Weak types would take "1" for 1.
    valijson::Validator validator(valijson::Validator::kStrongTypes);
    valijson::ValidationResults results;
    if (validator.validate(schema, valijson::adapters::NlohmannJsonAdapter(document), &results)) return faults;
    for (const auto& fault : results) faults.push_back({pointer_of(fault.context), fault.description});
    if (faults.empty()) faults.push_back({"", "does not match the schema"});
  } catch (const std::exception& e) {
    faults.push_back({"", std::string("the schema itself is wrong: ") + e.what()});
  }
  return faults;
}

}  // namespace portolan::plan
