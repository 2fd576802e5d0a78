// The daemon's configuration file: YAML, read like scenarios, so that everything wrong is told at once as
// file:line:column with what would be right. broker/daemon/CONFIG.md explains every key.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "broker/engine.hpp"
#include "broker/limits.hpp"
#include "broker/udp/address.hpp"
#include "scenarios/read/fields.hpp"

namespace portolan::daemon {

enum class Security : std::uint8_t { plain };

struct Peer {
  std::uint64_t id = 0;
  std::string name;
  std::string address;  // HOST:PORT, resolved at start
  broker::PeerRole role = broker::PeerRole::mesh;
};

struct Topic {
  std::string filter;
  broker::Lane lane = broker::Lane::realtime;
  std::uint64_t retain_ns = 0;
  std::uint64_t retain_bytes = 16u << 20;
};

struct Log {
  std::string level = "info";
  bool json = false;
};

// Rows for the checker, written by a rehearsal's runner into a generated configuration.
struct Record {
  std::string file;
  std::uint32_t process = 0, node = 0;
  std::string process_name;
  std::uint64_t seed = 0;
  std::string plan_sha256;
  std::uint64_t epoch_ns = 0;  // the run's time 0 on the monotonic clock
};

struct Config {
  std::uint64_t id = 0;
  std::string name;
  std::vector<udp::Address> listen;
  Security security = Security::plain;
  std::string limits_name = "daemon";
  broker::Limits limits = broker::Limits::daemon();
  std::uint64_t heartbeat_brokers_ns = 100'000'000, heartbeat_clients_ns = 500'000'000;
  std::uint64_t rate_bps = 0;
  std::uint32_t fragment_bytes = PTL_FRAGMENT_DEFAULT;
  std::uint64_t detach_ns = 10'000'000'000, detach_bytes = 64u << 20;
  std::uint64_t drain_ns = 5'000'000'000;
  std::vector<Peer> peers;
  std::vector<Topic> topics;
  std::string state;              // folder; empty: incarnations come from the clock
  std::uint32_t incarnation = 0;  // 0: the next one
  std::string control;            // rehearsals: socket through which the clock is bent; empty: none
  Log log;
  std::string metrics_listen;  // empty: nobody is told
  std::optional<Record> record;
};

struct ReadConfig {
  std::optional<Config> config;       // none when anything is wrong
  std::vector<std::string> messages;  // in the file's order
};
ReadConfig read_config(const std::string& path);
ReadConfig parse_config(const std::string& text, const std::string& file);

// What of `next` cannot take effect without a restart, by key; empty: all of it can.
std::vector<std::string> needs_restart(const Config& running, const Config& next);

}  // namespace portolan::daemon
