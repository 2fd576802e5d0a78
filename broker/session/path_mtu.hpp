// The fragment size that a session's path takes: packetization-layer path-MTU discovery, RFC 8899, by PROBE frames that
// carry nothing else. Pure: time, round trip and nonces are arguments. Used by Endpoint (path_probe.cpp) and tests.
//
//   searching  sizes above the present one are probed: the largest first, then by halves
//   complete   the size holds: confirmed each 5 s unless data did, and tried for more after 1 s, doubling to 16 s
//   suspect    three large datagrams were lost behind the newest that came: the present size, the base and the floor
//   are
//              probed together. The present one's answer clears it; three rounds without, in which a smaller one came,
//              and that one counts. Nothing at all came: the path is dead, not narrow, and nothing is decided.
// Departures from RFC 8899: the base is used before it is confirmed (most paths take it, and data says soon if not);
// and black holes are found by data lost in a row rather than by the confirmation timer alone, within round trips.
#pragma once

#include <cstdint>

#include "bpf/layout/wire.h"
#include "broker/types.hpp"

namespace portolan::broker::session {

class PathMtu {
 public:
  struct Probe {
    std::uint32_t bytes = 0;  // of the fragment that it stands for: what follows the frame header
    std::uint64_t nonce = 0;
  };
  // `base`: what is sent from the start, and fallen back to. `most`: what both ends take. In whole units.
  void reset(std::uint64_t now_ns, std::uint32_t base, std::uint32_t most);

  std::uint32_t size() const { return size_; }
  std::uint64_t deadline() const { return due_ns_; }  // when next_probe has something to say

  // Of datagrams with data: packet number, bytes behind the frame header. In any order.
  void acknowledged(std::uint64_t packet, std::uint32_t bytes) {
    if (bytes <= lower() || packet <= newest_came_) return;
    newest_came_ = packet;
    lost_in_row_ = 0;
    confirmed_ = true;
  }
  void lost(std::uint64_t now_ns, std::uint64_t packet, std::uint32_t bytes);

  // True: send `out`, and ask again. False: nothing now; size() may have fallen. `answer_ns`: until an answer that was
  // not lost must have come. `nonce`: fresh.
  bool next_probe(std::uint64_t now_ns, std::uint64_t answer_ns, std::uint64_t nonce, Probe& out);
  // An answer came; size() may have risen.
  void answered(std::uint64_t now_ns, const Probe& probe);

  struct Counts {
    std::uint64_t probes = 0, answers = 0, falls = 0, rises = 0;
  };
  const Counts& counts() const { return counts_; }

  static constexpr std::uint32_t kTries = 3;          // MAX_PROBES
  static constexpr std::uint32_t kSuspectLosses = 3;  // in a row
  static constexpr std::uint32_t kRounds = 3;
  static constexpr std::uint64_t kConfirmNs = 5'000'000'000;
  static constexpr std::uint64_t kRaiseFirstNs = 1'000'000'000, kRaiseMostNs = 16'000'000'000;

 private:
  enum class Phase : std::uint8_t { searching, complete, suspect };
  std::uint32_t lower() const { return size_ > base_ ? base_ : PTL_FRAGMENT_FLOOR; }
  void search(std::uint64_t now_ns, std::uint32_t below);  // sizes above the present one and below this
  void next_candidate(std::uint64_t now_ns);
  void complete(std::uint64_t now_ns);
  void suspect(std::uint64_t now_ns);
  void begin_round();
  void wait_for_next();
  bool round_over(std::uint64_t now_ns);

  Phase phase_ = Phase::complete;
  bool confirmed_ = false;
  std::uint32_t base_ = PTL_FRAGMENT_DEFAULT, most_ = PTL_FRAGMENT_DEFAULT, size_ = PTL_FRAGMENT_DEFAULT;
  std::uint32_t lost_in_row_ = 0;
  std::uint64_t newest_came_ = 0;
  std::uint64_t confirm_at_ns_ = kNever;
  std::uint64_t due_ns_ = kNever, raise_ns_ = kRaiseFirstNs, raise_at_ns_ = kNever;
  // searching
  std::uint32_t high_ = 0;  // does not pass, or is not to be tried
  std::uint32_t candidate_ = 0, tries_ = 0;
  std::uint64_t nonce_ = 0;
  // suspect: present, base, floor; equal ones once
  struct Suspect {
    std::uint32_t bytes = 0;
    std::uint64_t nonce = 0;
    bool to_send = false, came = false;
  } suspects_[3];
  std::uint32_t rounds_ = 0;
  Counts counts_;
};

}  // namespace portolan::broker::session
