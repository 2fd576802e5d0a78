// portolan-loopback: runs a plan with the real daemon on this host. Exit codes: README; what came of it portolan-check
// says.
#include <sodium.h>

#include <cxxopts.hpp>
#include <filesystem>
#include <iostream>

#include "emu/load/runner.hpp"

int main(int argc, char** argv) {
  using portolan::Exit;
  try {
    cxxopts::Options cli("portolan-loopback", "Runs a plan with the real daemon on loopback addresses of this host.");
    const auto text = [] { return cxxopts::value<std::string>(); };
    cli.add_options()("plan", "the plan (JSON)", text())("out", "run directory", text())(
        "net", "hosts are 127.NET.x.y; runs side by side need different ones",
        cxxopts::value<std::uint32_t>()->default_value("77"))("replay-folder", "where relative replay files start",
                                                              text()->default_value("."))("help", "this text");
    const auto given = cli.parse(argc, argv);
    if (given.count("help") > 0) {
      std::cout << cli.help() << "\n";
      return 0;
    }
    if (given.count("plan") == 0 || given.count("out") == 0) {
      std::cerr << "portolan-loopback: --plan PLAN and --out DIR are needed\n";
      return static_cast<int>(Exit::usage);
    }
    portolan::emu::RunnerOptions o;
    o.plan_path = given["plan"].as<std::string>();
    o.out = given["out"].as<std::string>();
    o.replay_folder = given["replay-folder"].as<std::string>();
    o.net = given["net"].as<std::uint32_t>();
    if (o.net < 1 || o.net > 255) {
      std::cerr << "portolan-loopback: --net: 1 to 255\n";
      return static_cast<int>(Exit::usage);
    }
    o.programs = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
    if (sodium_init() < 0) {
      std::cerr << "portolan-loopback: libsodium cannot be used here\n";
      return static_cast<int>(Exit::cannot);
    }
    const auto done = portolan::emu::Runner::run(o);
    if (done) return 0;
    std::cerr << "portolan-loopback: " << done.error().text() << "\n";
    return static_cast<int>(done.error().code);
  } catch (const cxxopts::exceptions::exception& e) {
    std::cerr << "portolan-loopback: " << e.what() << "\n";
    return static_cast<int>(Exit::usage);
  } catch (const std::exception& e) {
    std::cerr << "portolan-loopback: " << e.what() << "\n";
    return static_cast<int>(Exit::cannot);
  }
}
