// portolan-sim: runs a plan in ns-3's virtual time and leaves a run directory's records behind.
//   portolan-sim --plan PLAN --out DIR [--seed N] [--fidelity lean|full] [--pcap LINK,...|all] [--cores N]
//   [--wall-limit S] [--datagrams FILE]
//   [--progress] [--time-engines]
// Writes DIR/records/*.rec and DIR/sim.json (trace hash, events, simulated and real seconds). Exit codes: README.
#include <fmt/format.h>
#include <sodium.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cxxopts.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "sim/full/full_fabric.hpp"
#include "sim/lean/engine_time.hpp"
#include "sim/lean/simulation.hpp"

namespace {

std::atomic<bool> interrupted{false};
std::atomic<int> signal_number{0};

// The first asks for an orderly end, at the next simulated second; the second time, or where that second does not come
// (an engine that spins), the process ends at once.
extern "C" void on_alarm(int) {
  _exit(interrupted ? 128 + signal_number.load() : static_cast<int>(portolan::Exit::inconclusive));
}

extern "C" void on_signal(int number) {
  if (interrupted) _exit(128 + number);
  signal_number = number;
  alarm(3);
  interrupted = true;
}

int complain(const portolan::Error& error) {
  fmt::print(stderr, "portolan-sim: {}\n", error.text());
  return static_cast<int>(error.code);
}

bool only_full_does(const portolan::plan::Plan& plan) {
  using namespace portolan;
  return !plan::refuse_needs(plan, sim::kLeanHonours, {}) && plan::refuse_needs(plan, sim::kFullHonours, {});
}

std::uint64_t memory_most_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

portolan::Expected<std::string> slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return portolan::fail(portolan::Exit::usage, path, "cannot be read");
  return text.str();
}

}  // namespace

int main(int argc, char** argv) {
  using portolan::Exit;
  cxxopts::Options cli("portolan-sim", "Runs a plan in ns-3's virtual time.");
  cli.add_options()("plan", "the plan (JSON)", cxxopts::value<std::string>())(
      "out", "run directory", cxxopts::value<std::string>())("seed", "instead of the plan's",
                                                             cxxopts::value<std::uint64_t>())(
      "fidelity", "lean or full", cxxopts::value<std::string>()->default_value("lean"))(
      "cores", "cores of the one machine that all processes share; else each broker has one of its own",
      cxxopts::value<std::uint32_t>())("pcap", "links to capture, by name, or all (full only)",
                                       cxxopts::value<std::vector<std::string>>())(
      "datagrams", "file to write of what was sent, for udp_baseline (full only)", cxxopts::value<std::string>())(
      "replay-folder", "where relative replay files start", cxxopts::value<std::string>()->default_value("."))(
      "wall-limit", "seconds of real time; beyond it the run is inconclusive",
      cxxopts::value<double>()->default_value("0"))("progress", "show progress")(
      "time-engines", "measure the real time spent in the engines, into sim.json")("help", "this text");
  std::string plan_path, out, fidelity;
  std::vector<std::string> folders;
  std::uint64_t seed = 0;
  bool own_seed = false;
  portolan::sim::RunOptions options;
  try {
    const auto args = cli.parse(argc, argv);
    if (args.count("help") > 0) {
      fmt::print("{}\n", cli.help());
      return 0;
    }
    if (args.count("plan") == 0 || args.count("out") == 0 || !args.unmatched().empty()) {
      fmt::print(stderr, "portolan-sim: --plan PLAN and --out DIR are needed, and nothing else by position\n");
      return static_cast<int>(Exit::usage);
    }
    fidelity = args["fidelity"].as<std::string>();
    if (fidelity == "full") {
      portolan::sim::CaptureOptions capture{args["out"].as<std::string>() + "/pcap", {}, {}};
      if (args.count("datagrams") > 0) capture.datagrams = args["datagrams"].as<std::string>();
      if (args.count("pcap") > 0) capture.links = args["pcap"].as<std::vector<std::string>>();
      if (!capture.links.empty()) folders.push_back(capture.folder);
      options.make_fabric = [capture](const auto& plan, auto outputs) {
        return portolan::sim::FullFabric::make(plan, std::move(outputs), capture);
      };
    } else if (args.count("pcap") > 0 || args.count("datagrams") > 0) {
      fmt::print(stderr,
                 "portolan-sim: --pcap, as --datagrams, needs --fidelity full: lean makes no packets that could be "
                 "captured\n");
      return static_cast<int>(Exit::usage);
    } else if (fidelity != "lean") {
      fmt::print(stderr, "portolan-sim: --fidelity {}: 'lean' or 'full'\n", fidelity);
      return static_cast<int>(Exit::usage);
    }
    plan_path = args["plan"].as<std::string>();
    out = args["out"].as<std::string>();
    own_seed = args.count("seed") > 0;
    if (own_seed) seed = args["seed"].as<std::uint64_t>();
    if (args.count("cores") > 0) options.cores = args["cores"].as<std::uint32_t>();
    if (args.count("cores") > 0 && options.cores == 0) {
      fmt::print(stderr, "portolan-sim: --cores: 1 or more\n");
      return static_cast<int>(Exit::usage);
    }
    options.replay_folder = args["replay-folder"].as<std::string>();
    const double limit = args["wall-limit"].as<double>();
    if (!(limit >= 0) || limit > 1e6) {
      fmt::print(stderr, "portolan-sim: --wall-limit: seconds between 0 and 1000000\n");
      return static_cast<int>(Exit::usage);
    }
    options.wall_limit_ns = static_cast<std::uint64_t>(limit * 1e9);
    options.progress = args.count("progress") > 0;
    portolan::sim::EngineTime::on = args.count("time-engines") > 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "portolan-sim: {}\n", e.what());
    return static_cast<int>(Exit::usage);
  }
  if (sodium_init() < 0) {
    fmt::print(stderr, "portolan-sim: libsodium cannot be used here\n");
    return static_cast<int>(Exit::cannot);
  }
  const auto text = slurp(plan_path);
  if (!text) return complain(text.error());
  crypto_hash_sha256(options.plan_sha256.data(), reinterpret_cast<const unsigned char*>(text->data()), text->size());
  const auto plan = portolan::plan::from_json(*text, plan_path);
  if (!plan) return complain(plan.error());
  if (own_seed && seed != plan->seed) {
    fmt::print(stderr,
               "portolan-sim: --seed {}: the plan was made with seed {}; a seed moves links and load, so compile "
               "the scenario with it instead\n",
               seed, plan->seed);
    return static_cast<int>(Exit::usage);
  }
  options.seed = plan->seed;
  options.records = out + "/records";
  options.interrupted = &interrupted;
  folders.push_back(options.records);
  for (const std::string& folder : folders) {
    std::error_code ec;
    std::filesystem::create_directories(folder, ec);
    if (ec) {
      fmt::print(stderr, "portolan-sim: {}: {}; name a folder that can be written\n", folder, ec.message());
      return static_cast<int>(Exit::cannot);
    }
  }
  std::signal(SIGALRM, on_alarm);
  if (options.wall_limit_ns > 0) alarm(static_cast<unsigned>(options.wall_limit_ns / 1'000'000'000) + 4);
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  const auto began = std::chrono::steady_clock::now();
  auto result = portolan::sim::run(*plan, options);
  if (!result) {
    if (fidelity == "lean" && only_full_does(*plan)) result.error().cause += "; --fidelity full does";
    return complain(result.error());
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::ofstream summary(out + "/sim.json");
  std::string engines;
  if (portolan::sim::EngineTime::on) {
    using portolan::sim::EngineTime;
    engines = fmt::format("  \"engine_calls\": {},\n  \"engine_seconds\": {:.6f},\n", EngineTime::calls,
                          std::chrono::duration<double>(EngineTime::spent).count());
  }
  summary << "{\n" << engines;
  summary << fmt::format(
      "  \"built_cpu_seconds\": {:.3f},\n  \"events\": {},\n  \"fidelity\": \"{}\",\n"
      "  \"first_second_cpu_seconds\": {:.3f},\n  \"memory_most_bytes\": {},\n"
      "  \"real_seconds\": {:.3f},\n  \"seed\": {},\n"
      "  \"simulated_seconds\": {:.9f},\n  \"trace_hash\": \"{:016x}\"\n}}\n",
      result->built_cpu_s, result->events, fidelity, result->first_second_cpu_s, memory_most_bytes(), seconds,
      plan->seed, static_cast<double>(result->simulated_ns) / 1e9, result->trace_hash);
  summary.flush();
  if (!summary) {
    fmt::print(stderr, "portolan-sim: {}/sim.json cannot be written\n", out);
    return static_cast<int>(Exit::cannot);
  }
  if (result->interrupted) return 128 + signal_number.load();
  if (result->wall_limit_hit) {
    fmt::print(stderr, "portolan-sim: the wall limit was hit after {:.1f} simulated seconds\n",
               static_cast<double>(result->simulated_ns) / 1e9);
    return static_cast<int>(Exit::inconclusive);
  }
  return 0;
}
