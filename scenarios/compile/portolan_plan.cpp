// portolan-plan: `validate FILE...` and `plan FILE [--seed N] [-o OUT]`. Exit codes as in README.
#include <cstdio>
#include <cstdlib>
#include <cxxopts.hpp>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "scenarios/compile/compile.hpp"
#include "scenarios/read/quantity.hpp"

namespace {

using portolan::Exit;
namespace compile = portolan::compile;

constexpr const char* kUsage =
    "usage: portolan-plan validate FILE...\n"
    "       portolan-plan plan FILE [--seed N] [-o OUT]\n";

int usage(const std::string& why) {
  std::cerr << "portolan-plan: " << why << "\n" << kUsage;
  return static_cast<int>(Exit::usage);
}

void print(const std::vector<std::string>& messages) {
  for (const std::string& m : messages) std::cerr << m << "\n";
}

int validate(const std::vector<std::string>& files, const compile::Options& options) {
  bool good = true;
  for (const std::string& file : files) {
    const auto compiled = compile::compile_file(file, options);
    print(compiled.messages);
    if (compiled.plan) std::cout << file << ": valid\n";
    good = good && compiled.plan.has_value();
  }
  return static_cast<int>(good ? Exit::held : Exit::usage);
}

int plan(const std::string& file, const std::string& to, const compile::Options& options) {
  const auto compiled = compile::compile_file(file, options);
  print(compiled.messages);
  if (!compiled.plan) return static_cast<int>(Exit::usage);
  const std::string text = portolan::plan::to_json(*compiled.plan);
  std::FILE* out = to.empty() ? stdout : std::fopen(to.c_str(), "wb");
  const bool opened = out != nullptr;
  bool written = opened && std::fwrite(text.data(), 1, text.size(), out) == text.size() && std::fflush(out) == 0;
  if (opened && !to.empty()) written = std::fclose(out) == 0 && written;
  if (!written) {
    std::cerr << (to.empty() ? "standard output" : to)
              << ": the plan cannot be written; name a file in a folder that exists and "
              << "has room\n";
    // Half a plan must not be taken for one; a device is not ours to remove.
    std::error_code ignored;
    if (opened && std::filesystem::is_regular_file(to, ignored)) std::filesystem::remove(to, ignored);
    return static_cast<int>(Exit::cannot);
  }
  std::cerr << compile::show_cost(*compiled.plan,
                                  compile::predict_cost(*compiled.plan, file.substr(0, file.rfind('/') + 1)));
  return static_cast<int>(Exit::held);
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  try {
    cxxopts::Options parser("portolan-plan", "From scenario to plan");
    parser.add_options()("seed", "in place of the scenario's", cxxopts::value<std::string>())(
        "o,out", "file to write the plan to", cxxopts::value<std::string>())("h,help", "this text")(
        "arguments", "", cxxopts::value<std::vector<std::string>>());
    parser.parse_positional({"arguments"});
    const auto given = parser.parse(argc, argv);
    if (given.count("help") > 0) {
      std::cout << kUsage;
      return 0;
    }
    if (given.count("arguments") == 0) return usage("say what to do");
    auto arguments = given["arguments"].as<std::vector<std::string>>();
    const std::string verb = arguments.front();
    arguments.erase(arguments.begin());
    compile::Options options;
    if (given.count("seed") > 0) {
      const auto seed = portolan::read::read_count(given["seed"].as<std::string>());
      if (!seed) return usage("--seed: " + seed.error().cause);
      options.seed = *seed;
    }
    const std::string out = given.count("out") > 0 ? given["out"].as<std::string>() : "";
    if (verb == "validate") {
      if (arguments.empty()) return usage("validate: name at least one scenario file");
      if (!out.empty()) return usage("validate writes no file; leave -o out");
      return validate(arguments, options);
    }
    if (verb == "plan") {
      if (arguments.size() != 1) return usage("plan: name one scenario file");
      return plan(arguments.front(), out, options);
    }
    return usage("no verb \"" + verb + "\"; valid: validate, plan");
  } catch (const cxxopts::exceptions::exception& e) {
    return usage(e.what());
  } catch (const std::exception& e) {
    std::cerr << "portolan-plan: " << e.what() << "\n";
    return static_cast<int>(Exit::cannot);
  }
}
