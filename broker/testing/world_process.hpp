// Inside of World: one process with its engine and what its host remembers. Included by world.cpp and world_host.cpp.
#pragma once

#include <map>
#include <memory>
#include <new>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "broker/testing/no_alloc.hpp"
#include "broker/testing/world.hpp"
#include "broker/wire/control.hpp"

namespace portolan::broker::testing {

inline constexpr std::align_val_t kPage{4'096};

struct AlignedDelete {
  void operator()(std::uint8_t* bytes) const { ::operator delete(bytes, kPage); }
};

inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  return Draw(a * 0x100000001B3ull ^ b).next();
}

inline PathId path_to(Node node) {
  return PathId{{0x706f7274u, node + 1ull, 4'000}};
}

// The bytes that (topic, publisher, incarnation, sequence) stand for.
class Payload {
 public:
  Payload(std::string_view topic, std::uint64_t publisher, std::uint32_t incarnation, std::uint64_t sequence)
      : draw_(mix(wire::topic_hash(topic), mix(publisher, mix(incarnation, sequence)))) {}
  std::uint8_t next() {
    if (left_ == 0) {
      word_ = draw_.next();
      left_ = 8;
    }
    --left_;
    const auto byte = static_cast<std::uint8_t>(word_);
    word_ >>= 8;
    return byte;
  }

 private:
  Draw draw_;
  std::uint64_t word_ = 0;
  int left_ = 0;
};

struct World::Process {
  Node node = 0;
  bool is_broker = false;
  std::string name;
  Node home = 0;
  bool replaced = false;  // by a later incarnation: nobody asks any more what it sees
  bool leaf = false;
  Node hub = 0, standby = 0;  // a leaf's
  Identity identity;
  std::function<void(const Datagram&)> heard;  // a stranger's: it never runs
  bool running = false;
  bool paused = false;
  std::int64_t skew_ns = 0;
  // Not cleared between lives: an engine must not lean on zeroes.
  std::unique_ptr<std::uint8_t[], AlignedDelete> memory;
  std::size_t memory_bytes = 0;
  std::span<std::uint8_t> arena(std::size_t bytes) {
    if (bytes != memory_bytes) {
      memory.reset(static_cast<std::uint8_t*>(::operator new(bytes, kPage)));
      memory_bytes = bytes;
    }
    return {memory.get(), bytes};
  }
  Guarded<Engine> engine;  // no call may allocate
  Guarded<ClientEngine> client;
  std::uint64_t deadline = kNever;  // of the timer that is scheduled
  std::uint64_t spun_at = 0;
  std::uint32_t spins = 0;
  std::vector<std::size_t> socket;  // datagrams held while paused
  std::map<std::string, std::uint64_t, std::less<>> sequences;
  std::set<std::string, std::less<>> standing;
  std::map<std::string, std::uint64_t, std::less<>> denied;
  std::uint64_t deliveries = 0;
  std::uint64_t latest_delivery_ns = 0;
  std::map<Node, bool> connected;  // client: to each broker, as told to the oracle
};

}  // namespace portolan::broker::testing
