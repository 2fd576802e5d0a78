// What the verbs of portolan-client share: options of the connection, and waiting for descriptors together with a
// client. The program is a user of the library like any other: it runs the library from a loop of its own.
#pragma once

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/library/portolan.hpp"
#include "scenarios/base/error.hpp"

namespace portolan::program {

struct Common {
  Options connection;
  std::uint64_t connect_within_ns = 5'000'000'000;
  std::uint64_t finish_within_ns = 10'000'000'000;  // for answers to what was published
};

struct PubOptions {
  std::string topic;
  std::string file;  // one message: the whole file
  std::string nmea;  // a file of sentences, with its own timing
  std::uint32_t speed_permille = 1'000;
  Lane lane = Lane::realtime;
};
int pub(const Common& common, const PubOptions& options);

struct SubOptions {
  std::vector<std::string> filters;
  Replay replay = Replay::none;
  bool json = false;
  bool quiet = false;        // lines: payloads only
  std::uint64_t count = 0;   // end after so many messages; 0: never
  std::uint64_t for_ns = 0;  // end after so long; 0: never
};
int sub(const Common& common, const SubOptions& options);

struct PingOptions {
  std::uint64_t count = 5;
  std::uint64_t every_ns = 200'000'000;
  std::uint32_t size_bytes = 64;
};
int ping(const Common& common, const PingOptions& options);

struct BenchOptions {
  std::uint64_t rate = 1'000;  // messages a second
  std::uint64_t for_ns = 5'000'000'000;
  std::uint32_t size_bytes = 256;
  Lane lane = Lane::realtime;
  std::string subscribe_at;  // another broker's HOST:PORT; empty: the same
  std::uint64_t subscribe_at_id = 2;
};
int bench(const Common& common, const BenchOptions& options);

inline std::uint64_t monotonic_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

int say(Exit code, const std::string& why);  // to standard error; the exit code
// Connected and up, or why not (already said).
std::unique_ptr<Client> connect(const Common& common, Handler& handler, int& exit_code);
// Runs the client until `input` (-1: none) can be read, at most until then. True: it can.
bool wait(Client& client, int input, std::uint64_t until_ns);
bool interrupted();  // by SIGINT or SIGTERM, once catch_signals() was called
void catch_signals();

}  // namespace portolan::program
