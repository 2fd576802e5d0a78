// portolan-load: one client of a plan, in real time. Started by portolan-loopback. Exit codes: README.
#include <sodium.h>

#include <cxxopts.hpp>
#include <iostream>

#include "emu/load/load_client.hpp"

int main(int argc, char** argv) {
  using portolan::Exit;
  try {
    cxxopts::Options cli("portolan-load", "One client of a plan, in real time; SIGTERM ends it.");
    const auto text = [] { return cxxopts::value<std::string>(); };
    cli.add_options()("plan", "the plan (JSON)", text())("process", "name of the client in it", text())(
        "records", "folder for its records", text())("broker", "its broker's ADDRESS:PORT", text())(
        "bind", "its own ADDRESS:PORT", text()->default_value(""))("control", "socket through which its clock is bent",
                                                                   text()->default_value(""))(
        "incarnation", "of this start, from 1", cxxopts::value<std::uint32_t>()->default_value("1"))(
        "epoch", "time 0 of the run, ns on CLOCK_MONOTONIC", cxxopts::value<std::uint64_t>())(
        "replay-folder", "where relative replay files start", text()->default_value("."))("help", "this text");
    const auto given = cli.parse(argc, argv);
    if (given.count("help") > 0) {
      std::cout << cli.help() << "\n";
      return 0;
    }
    for (const char* needed : {"plan", "process", "records", "broker", "epoch"}) {
      if (given.count(needed) > 0) continue;
      std::cerr << "portolan-load: --" << needed << " is needed\n";
      return static_cast<int>(Exit::usage);
    }
    portolan::emu::LoadOptions o;
    o.plan_path = given["plan"].as<std::string>();
    o.process = given["process"].as<std::string>();
    o.records = given["records"].as<std::string>();
    o.broker = given["broker"].as<std::string>();
    o.bind = given["bind"].as<std::string>();
    o.control = given["control"].as<std::string>();
    o.incarnation = given["incarnation"].as<std::uint32_t>();
    o.epoch_ns = given["epoch"].as<std::uint64_t>();
    o.replay_folder = given["replay-folder"].as<std::string>();
    if (sodium_init() < 0) {
      std::cerr << "portolan-load: libsodium cannot be used here\n";
      return static_cast<int>(Exit::cannot);
    }
    const auto done = portolan::emu::LoadClient::run(o);
    if (done) return 0;
    std::cerr << "portolan-load: " << done.error().text() << "\n";
    return static_cast<int>(done.error().code);
  } catch (const cxxopts::exceptions::exception& e) {
    std::cerr << "portolan-load: " << e.what() << "\n";
    return static_cast<int>(Exit::usage);
  } catch (const std::exception& e) {
    std::cerr << "portolan-load: " << e.what() << "\n";
    return static_cast<int>(Exit::cannot);
  }
}
