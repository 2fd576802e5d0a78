// JSON Schema (draft 7) over nlohmann JSON, by valijson: the one place that pays for its headers. Used for plans here,
// for scenarios by scenarios/compile, and by whoever publishes a schema for a JSON file of ours.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace portolan::plan {

struct SchemaFault {
  std::string pointer;  // JSON pointer (RFC 6901) of the value at fault, "" for the whole document
  std::string what;
};

// Every fault, outermost first; empty when the document is valid. A schema that is itself wrong is one fault.
std::vector<SchemaFault> schema_faults(std::string_view schema, const nlohmann::json& document);

}  // namespace portolan::plan
