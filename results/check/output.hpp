// What a judged run is told as: summary.json and series.json (fields: results/RECORDS.md; schema of the former:
// results/summary.schema.json), JUnit XML, and a few lines for people.
#pragma once

#include <string>

#include "results/check/check.hpp"

namespace portolan::check {

extern const std::string_view summary_schema;  // the text of summary.schema.json

std::string summary_json(const Checked& checked);
// Where a run could not be judged at all.
std::string summary_json(const Error& error);
std::string series_json(const Checked& checked);
std::string junit_xml(const std::string& summary_json);
// Verdict, findings with numbers and first examples.
std::string text(const Checked& checked);

// Whole or not at all: written beside, then renamed.
Expected<void> write_file(const std::string& path, const std::string& data);
// All rows of all files, comma-separated (RFC 4180), to standard output; an error when it cannot be written.
Expected<void> print_csv(const RunFiles& run);

}  // namespace portolan::check
