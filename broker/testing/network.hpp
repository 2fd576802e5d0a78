// A network in memory for tests of the engines: datagrams between numbered nodes, each ordered pair a path of its own
// with delay, loss (single and in bursts), reordering, duplication and cuts. Virtual time, one seed: the same calls
// give the same fates. No engine in here. Used by World (world.hpp) and by tests; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace portolan::broker::testing {

using Node = std::uint32_t;

inline constexpr std::uint64_t kMicro = 1'000;
inline constexpr std::uint64_t kMilli = 1'000'000;
inline constexpr std::uint64_t kSecond = 1'000'000'000;

// Counter-free pseudo-random numbers (splitmix64): the tests' own, so that a failing seed replays on any machine.
class Draw {
 public:
  // Scrambled first: with the bare seed as state, seed n + 1 would give seed n's numbers shifted by one.
  explicit Draw(std::uint64_t seed) : state_(scramble(seed ^ 0x5DEECE66Dull)) {}
  std::uint64_t next() { return scramble(state_ += 0x9E3779B97F4A7C15ull); }
  static std::uint64_t scramble(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
  std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }
  bool chance(std::uint32_t per_million) { return below(1'000'000) < per_million; }

 private:
  std::uint64_t state_;
};

// Every fault of one direction of one path.
struct Path {
  std::uint64_t delay_ns = 50 * kMicro;
  std::uint64_t jitter_ns = 0;    // uniform, on top; keeps the order
  std::uint32_t loss = 0;         // per million datagrams
  std::uint32_t burst_start = 0;  // per million datagrams: a burst begins, in which all is lost ...
  std::uint64_t burst_ns = 0;     // ... for this time
  std::uint32_t reorder = 0;      // per million: held back by up to reorder_ns
  std::uint64_t reorder_ns = 2 * kMilli;
  std::uint32_t duplicate = 0;  // per million
  std::uint32_t corrupt = 0;    // per million: one bit flipped, or the end cut off
  std::uint32_t mtu = 0;        // larger datagrams vanish without a word, as in a tunnel; 0: none is too large
  std::uint64_t rate_bps = 0;   // of a line with a queue of 100 ms; 0: no bound
  bool up = true;
};

struct Datagram {
  Node from = 0;
  Node to = 0;
  std::vector<std::uint8_t> bytes;
};

class Network {
 public:
  explicit Network(std::uint64_t seed) : draw_(seed) {}

  Path& path(Node from, Node to) { return state(from, to).path; }
  // Times at which copies of a datagram sent now arrive: none (lost), one, or two.
  struct Fate {
    std::uint32_t copies = 0;
    std::uint64_t at_ns[2] = {};
    bool corrupt = false;
    std::uint64_t damage = 0;  // says where and how
  };
  Fate send(std::uint64_t now_ns, Node from, Node to, std::uint32_t bytes);
  // Loses the next `count` datagrams of this direction: for tests of one isolated loss.
  void lose_next(Node from, Node to, std::uint32_t count) { state(from, to).lose_next = count; }

  struct Counts {
    std::uint64_t sent = 0, lost = 0, cut = 0, duplicated = 0, reordered = 0, corrupted = 0, too_large = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  struct State {
    Path path;
    std::uint64_t burst_until_ns = 0;
    std::uint64_t newest_ns = 0, line_free_ns = 0;
    std::uint32_t lose_next = 0;
  };
  State& state(Node from, Node to) { return paths_[{from, to}]; }
  Draw draw_;
  std::map<std::pair<Node, Node>, State> paths_;
  Counts counts_;
};

}  // namespace portolan::broker::testing
