// One random life of a small world, made from one seed: faults of every kind, one after the other or at once, while
// clients publish, subscribe and go; then everything heals and the oracle judges. Used by chaos_test.cpp.
#pragma once

#include <cstdint>
#include <string>

namespace portolan::broker::testing {

struct ChaosOptions {
  std::uint32_t brokers = 3;
  std::uint32_t clients_per_broker = 2;
  std::uint64_t seconds = 12;  // of faults; healing comes on top
  std::uint32_t kills = 1;     // brokers and publishers die one at a time, each back and settled before the next
  std::uint32_t faults = 6;    // cuts, one-way cuts, loss, reordering, pauses; these may overlap
  std::uint32_t skews = 2;     // wall clocks that jump by up to ten seconds, either way
  std::uint32_t replaced = 1;  // clients that stand still, are started again elsewhere, and then come back
  bool long_messages = true;
  std::uint32_t longest = 0;  // some messages are up to this long, far beyond the usual 70,000 bytes; 0: none
  bool tight = false;         // limits so small that every bound is met
  bool short_memory = false;  // retention and detach bound shorter than outages: gaps are in order, disorder is not
  std::uint64_t rate_bps = 0;
};

struct ChaosResult {
  std::string verdict;  // empty: all held
  std::uint64_t published = 0, delivered = 0, gaps = 0, refused = 0, trace = 0, virtual_ns = 0;
};

ChaosResult chaos(std::uint64_t seed, const ChaosOptions& options);

// Seven harbours with two clients each, every kind of fault at once.
ChaosOptions seven_harbours();

}  // namespace portolan::broker::testing
