// portolan-client: pub, sub, ping, bench. Exit codes as in README: 0 all went well, 1 something was refused or did not
// come, 64 bad usage, 69 no broker, or this machine cannot.
#include <cxxopts.hpp>
#include <iostream>

#include "broker/program/verbs.hpp"
#include "scenarios/read/quantity.hpp"

namespace {

using portolan::Exit;
using portolan::read::Unit;
namespace program = portolan::program;

constexpr const char* kUsage =
    "usage: portolan-client pub TOPIC [--file F | --nmea F [--speed 2]] [--lane realtime|bulk]\n"
    "       portolan-client sub FILTER... [--json | --quiet] [--replay none|last|retained] [--count N] [--for 10s]\n"
    "       portolan-client ping [--count N] [--every 200ms] [--size 64B]\n"
    "       portolan-client bench [--rate 1000] [--size 256B] [--for 5s] [--sub-broker HOST:PORT --sub-broker-id 2]\n"
    "  --plain              without keys: nothing is sealed, anybody may be anybody\n"
    "  --broker HOST:PORT   127.0.0.1:7400\n"
    "  --broker-id N        1; the `id` of its configuration\n"
    "  --id N               mine; drawn unless given\n"
    "  --within 5s          how long to wait for the broker\n"
    "  --finish 10s         pub: how long to wait until every subscriber has everything\n"
    "pub without --file and --nmea reads lines, each a message; sub prints TOPIC PUBLISHER.INCARNATION#SEQUENCE "
    "TEXT.\n";

struct Wrong {
  std::string why;
};

class Words {
 public:
  explicit Words(const cxxopts::ParseResult& given) : given_(given) {}
  std::string text(const char* name, const std::string& otherwise) const {
    return given_.count(name) > 0 ? given_[name].as<std::string>() : otherwise;
  }
  std::uint64_t count(const char* name, std::uint64_t otherwise) const {
    if (given_.count(name) == 0) return otherwise;
    const auto n = portolan::read::read_count(text(name, ""));
    if (!n) throw Wrong{std::string("--") + name + ": " + n.error().cause};
    return *n;
  }
  std::uint64_t quantity(const char* name, Unit unit, std::uint64_t otherwise) const {
    if (given_.count(name) == 0) return otherwise;
    const auto n = portolan::read::read_quantity(text(name, ""), unit);
    if (!n) throw Wrong{std::string("--") + name + ": " + n.error().cause};
    return static_cast<std::uint64_t>(*n);
  }
  template <typename T>
  T choice(const char* name, T otherwise, std::initializer_list<std::pair<const char*, T>> choices) const {
    if (given_.count(name) == 0) return otherwise;
    std::string valid;
    for (const auto& [word, value] : choices) {
      if (text(name, "") == word) return value;
      valid += (valid.empty() ? "" : ", ") + std::string(word);
    }
    throw Wrong{std::string("--") + name + ": no \"" + text(name, "") + "\"; valid: " + valid};
  }
  bool has(const char* name) const { return given_.count(name) > 0; }

 private:
  const cxxopts::ParseResult& given_;
};

portolan::Lane lane_of(const Words& words) {
  return words.choice("lane", portolan::Lane::realtime,
                      {{"realtime", portolan::Lane::realtime}, {"bulk", portolan::Lane::bulk}});
}

int run(const Words& words, std::vector<std::string> rest) {
  if (rest.empty()) throw Wrong{"say what to do"};
  const std::string verb = rest.front();
  rest.erase(rest.begin());
  program::Common common;
  common.connection.plain = words.has("plain");
  common.connection.broker = words.text("broker", common.connection.broker);
  common.connection.broker_id = words.count("broker-id", 1);
  common.connection.id = words.count("id", 0);
  common.connection.limits = words.text("limits", common.connection.limits);
  common.connect_within_ns = words.quantity("within", Unit::time, common.connect_within_ns);
  common.finish_within_ns = words.quantity("finish", Unit::time, common.finish_within_ns);
  program::catch_signals();
  if (verb == "pub") {
    if (rest.size() != 1) throw Wrong{"pub: name one topic"};
    if (words.has("file") && words.has("nmea")) throw Wrong{"pub: --file or --nmea, not both"};
    program::PubOptions o;
    o.topic = rest.front();
    o.file = words.text("file", "");
    o.nmea = words.text("nmea", "");
    o.speed_permille = static_cast<std::uint32_t>(words.count("speed", 1) * 1'000);
    if (o.speed_permille == 0) throw Wrong{"--speed: at least 1"};
    o.lane = lane_of(words);
    return program::pub(common, o);
  }
  if (verb == "sub") {
    if (rest.empty()) throw Wrong{"sub: name at least one filter"};
    program::SubOptions o;
    o.filters = rest;
    o.json = words.has("json");
    o.quiet = words.has("quiet");
    o.count = words.count("count", 0);
    o.for_ns = words.quantity("for", Unit::time, 0);
    o.replay = words.choice(
        "replay", portolan::Replay::none,
        {{"none", portolan::Replay::none}, {"last", portolan::Replay::last}, {"retained", portolan::Replay::retained}});
    return program::sub(common, o);
  }
  if (verb == "ping") {
    if (!rest.empty()) throw Wrong{"ping: no argument \"" + rest.front() + "\""};
    program::PingOptions o;
    o.count = words.count("count", o.count);
    o.every_ns = words.quantity("every", Unit::time, o.every_ns);
    o.size_bytes = static_cast<std::uint32_t>(words.quantity("size", Unit::size, o.size_bytes));
    return program::ping(common, o);
  }
  if (verb == "bench") {
    if (!rest.empty()) throw Wrong{"bench: no argument \"" + rest.front() + "\""};
    program::BenchOptions o;
    o.rate = words.count("rate", o.rate);
    if (o.rate == 0 || o.rate > 10'000'000) throw Wrong{"--rate: 1 to 10000000 messages a second"};
    o.for_ns = words.quantity("for", Unit::time, o.for_ns);
    o.size_bytes = static_cast<std::uint32_t>(words.quantity("size", Unit::size, o.size_bytes));
    o.lane = lane_of(words);
    o.subscribe_at = words.text("sub-broker", "");
    o.subscribe_at_id = words.count("sub-broker-id", o.subscribe_at_id);
    return program::bench(common, o);
  }
  throw Wrong{"no verb \"" + verb + "\"; valid: pub, sub, ping, bench"};
}

}  // namespace

int main(int argc, char** argv) {
  try {
    cxxopts::Options parser("portolan-client", "Publish and subscribe");
    const auto text = [] { return cxxopts::value<std::string>(); };
    parser.add_options()("plain", "")("broker", "", text())("broker-id", "", text())("id", "", text())("limits", "",
                                                                                                       text());
    parser.add_options()("within", "", text())("finish", "", text())("file", "", text())("nmea", "", text());
    parser.add_options()("speed", "", text())("lane", "", text())("json", "")("quiet", "")("count", "", text());
    parser.add_options()("for", "", text())("replay", "", text())("every", "", text())("size", "", text());
    parser.add_options()("rate", "", text())("sub-broker", "", text())("sub-broker-id", "", text());
    parser.add_options()("h,help", "")("rest", "", cxxopts::value<std::vector<std::string>>());
    parser.parse_positional({"rest"});
    const auto given = parser.parse(argc, argv);
    if (given.count("help") > 0) {
      std::cout << kUsage;
      return 0;
    }
    return run(Words(given),
               given.count("rest") > 0 ? given["rest"].as<std::vector<std::string>>() : std::vector<std::string>{});
  } catch (const Wrong& wrong) {
    std::cerr << "portolan-client: " << wrong.why << "\n" << kUsage;
  } catch (const cxxopts::exceptions::exception& e) {
    std::cerr << "portolan-client: " << e.what() << "\n" << kUsage;
  } catch (const std::exception& e) {
    return program::say(Exit::cannot, e.what());
  }
  return static_cast<int>(Exit::usage);
}
