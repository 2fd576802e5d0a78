// portolan-check: judges a run directory by its records and its plan.
//   portolan-check check RUN [--json] [--junit FILE] [--twice RUN2]   judge; writes RUN/summary.json and
//   RUN/series.json portolan-check junit RUN                                          JUnit XML of the summary, to
//   standard output portolan-check records RUN --csv                                  every row, to standard output
// Exit codes: README.
#include <fmt/format.h>
#include <sodium/core.h>

#include <csignal>
#include <cxxopts.hpp>

#include "results/check/output.hpp"

namespace {

using portolan::Error;
using portolan::Exit;
namespace check = portolan::check;

constexpr const char* kUsage =
    "portolan-check check RUN [--json] [--junit FILE] [--twice RUN2]\n"
    "portolan-check junit RUN\n"
    "portolan-check records RUN --csv";

int complain(const Error& error) {
  fmt::print(stderr, "portolan-check: {}\n", error.text());
  return static_cast<int>(error.code);
}

int usage(const std::string& why) {
  fmt::print(stderr, "portolan-check: {}\n{}\n", why, kUsage);
  return static_cast<int>(Exit::usage);
}

int judge(const std::string& run, const check::CheckOptions& options, bool as_json, const std::string& junit) {
  const auto checked = check::check_run(run, options);
  if (!checked && checked.error().code == Exit::usage) return complain(checked.error());
  const std::string summary = checked ? check::summary_json(**checked) : check::summary_json(checked.error());
  int code = checked ? static_cast<int>((*checked)->judgement.exit_code()) : static_cast<int>(checked.error().code);
  const auto write = [&](const std::string& path, const std::string& data) {
    if (const auto written = check::write_file(path, data); !written) code = complain(written.error());
  };
  write(run + "/summary.json", summary);
  if (checked) write(run + "/series.json", check::series_json(**checked));
  if (!junit.empty()) write(junit, check::junit_xml(summary));
  if (as_json) {
    fmt::print("{}", summary);
  } else if (checked) {
    fmt::print("{}", check::text(**checked));
  }
  if (!checked) complain(checked.error());
  return std::fflush(stdout) == 0 ? code : complain({Exit::cannot, "standard output", "cannot be written"});
}

int records(const std::string& run) {
  check::Judgement judgement;
  const auto files = check::open_run(run, judgement);
  if (!files) return complain(files.error());
  if (const auto printed = check::print_csv(*files); !printed) return complain(printed.error());
  for (const check::Finding& f : judgement.findings()) {
    fmt::print(stderr, "portolan-check: {}: {} {}\n", f.where, f.what, f.examples.empty() ? "" : f.examples.front());
  }
  return static_cast<int>(judgement.exit_code());
}

int junit(const std::string& run) {
  const auto summary = check::read_file(run + "/summary.json");
  if (!summary) return complain(summary.error());
  fmt::print("{}", check::junit_xml(*summary));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_DFL);  // the reader of our output may go; that is its right
  cxxopts::Options cli("portolan-check", "Judges a run by its records and its plan.");
  cli.add_options()("verb", "", cxxopts::value<std::string>())("run", "", cxxopts::value<std::string>())(
      "json", "print the summary")("junit", "write JUnit XML", cxxopts::value<std::string>()->default_value(""))(
      "twice,other-trace", "a run of the same seed, for rule 12", cxxopts::value<std::string>()->default_value(""))(
      "csv", "print rows")("help", "this text");
  cli.parse_positional({"verb", "run"});
  try {
    const auto args = cli.parse(argc, argv);
    if (args.count("help") > 0) {
      fmt::print("{}\n", kUsage);
      return 0;
    }
    if (args.count("verb") == 0 || args.count("run") == 0 || !args.unmatched().empty())
      return usage("a verb and a run directory are needed");
    if (sodium_init() < 0) return complain({Exit::cannot, "", "libsodium cannot be used here"});
    const auto verb = args["verb"].as<std::string>();
    const auto run = args["run"].as<std::string>();
    if (verb == "check") {
      return judge(run, {args["twice"].as<std::string>()}, args.count("json") > 0, args["junit"].as<std::string>());
    }
    if (verb == "junit") return junit(run);
    if (verb == "records" && args.count("csv") > 0) return records(run);
    return usage(verb == "records" ? "records are printed with --csv" : "no such verb: " + verb);
  } catch (const cxxopts::exceptions::exception& error) {
    return usage(error.what());
  } catch (const std::exception& error) {
    return complain({Exit::cannot, "", error.what()});
  }
}
