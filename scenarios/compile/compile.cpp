#include "scenarios/compile/compile.hpp"

#include <sodium.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "scenarios/compile/context.hpp"
#include "scenarios/plan/json_schema.hpp"
#include "scenarios/plan/plan_check.hpp"

namespace portolan::compile {
namespace {

// The published schema says what the stages say, in a form that editors and other programs use. Where the stages have
// told a fault in their own words, valijson's are left out; what they let pass is told by it.
void check_schema(Context& c, const Tree& written) {
  if (c.out.failed()) return;
  auto faults = plan::schema_faults(scenario_schema_text, to_json(written));
  const auto deepest = std::max_element(faults.begin(), faults.end(), [](const auto& x, const auto& y) {
    return std::count(x.pointer.begin(), x.pointer.end(), '/') < std::count(y.pointer.begin(), y.pointer.end(), '/');
  });
  if (deepest == faults.end()) return;
  c.out.error(at_pointer(written, deepest->pointer).at, deepest->pointer,
              "does not fit scenario.schema.json: " + deepest->what);
}

}  // namespace

bool fits_schema(const Tree& tree) {
  return plan::schema_faults(scenario_schema_text, to_json(tree)).empty();
}

namespace {

std::string stem_of(const std::string& file) {
  const std::size_t dot = file.rfind('.');
  return dot == std::string::npos || dot == 0 ? file : file.substr(0, dot);
}

}  // namespace

Compiled compile_file(const std::string& path, const Options& options) {
  Diagnostics out(path);
  Compiled result;
  const auto done = [&] {
    result.messages = out.lines();
    return result;
  };
  if (sodium_init() < 0) {
    out.error({}, "", "libsodium does not start");
    return done();
  }
  std::string why;
  const auto text = read::read_file(path, kMaxFileBytes, why);
  if (!text) {
    out.error({}, "", why + "; name a scenario file, such as scenarios/quickstart.yaml");
    return done();
  }
  const auto written =
      read::parse_yaml(*text, out, {"a scenario", "duration, harbours, links, clients, topics and load"});
  if (!written) return done();
  std::optional<Tree> tree = written;
  const std::size_t slash = path.rfind('/');
  Context c(out, *tree, slash == std::string::npos ? "" : path.substr(0, slash + 1));
  c.file_name = slash == std::string::npos ? path : path.substr(slash + 1);
  c.plan.name = stem_of(c.file_name);
  c.plan.scenario_sha256 = sha256_hex(*text);

  read_header(c, options);
  if (!tree->is_map() || !generate(c, *tree)) return done();
  read_harbours(c);
  resolve_hubs(c);
  read_tenants(c);
  read_models(c);
  read_access(c);
  read_links(c);
  if (c.plan.harbours.empty() || c.plan.tenants.empty()) return done();
  set_mtus(c);
  make_brokers(c);
  join_brokers(c);
  read_clients(c);
  read_topics(c);
  read_loads(c);
  const bool sound = !out.failed();
  read_faults(c);
  read_expectations(c);
  read_calibration(c);
  // Sense is judged on whole sections only: half-read ones would give errors that are none. Faults and expectations
  // that are wrong by themselves are left out of the plan, and the others judged.
  if (sound) check_sense(c);
  check_schema(c, *written);
  if (out.failed()) return done();

  for (const auto& [file, hash] : c.input_hashes) c.plan.inputs.push_back({file, hash});
  const std::string fault = plan::first_inconsistency(c.plan);
  if (!fault.empty()) {
    out.error({}, "", "this compiler made a wrong plan of it, " + fault + "; please report it with the file");
    return done();
  }
  result.plan = std::move(c.plan);
  return done();
}

}  // namespace portolan::compile
