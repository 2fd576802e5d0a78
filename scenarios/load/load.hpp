// The load of a plan: what is published when, and with which bytes. Pure: the same plan (and replayed file) gives the
// same times and bytes in whatever order it is asked, so simulator, load client and checker share this one place (R4).
//
//   times     open loop: Generator yields *intended* times on the run's timeline; being late moves none of them
//   payloads  a function of (topic, publisher, incarnation, sequence) alone: message `sequence` of an incarnation is
//             item first_index(incarnation) + sequence - 1 of the stream's timeline, and first_index comes from the
//             plan's own restart faults, not from when a process really came back. A refused publish takes no
//             sequence, so the next shot offers the same payload: contents may lag their times, they never disagree.
//   restarts  numbering begins again at 1, intended times continue with the first at or after the planned return
//
// Anyone may hold a Workload for as long as its Plan lives; const, so shared between threads; a Generator has one user.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "scenarios/base/error.hpp"
#include "scenarios/plan/plan.hpp"

namespace portolan::load {

class Replay;  // nmea.hpp
class Vessel;  // fleet.hpp

// One message to publish.
struct Shot {
  plan::Ns intended_ns = 0;
  plan::Index stream = 0;        // of the plan; names process and topic
  std::uint64_t sequence = 0;    // the one it will have unless an earlier one was refused
  std::uint32_t size_bytes = 0;  // of that payload
};

// Told once for each replayed file: what was read, what was malformed and why. Never silent, never fatal.
struct ReplayNote {
  plan::Index load = 0;
  std::string text;
};

class Workload {
 public:
  // `folder` is where relative replay paths start. Refuses (64) what it cannot honour, a file of another SHA-256
  // included; a file that cannot be read is 69. The plan must outlive the workload.
  static Expected<Workload> make(const plan::Plan& plan, const std::string& folder);
  Workload(Workload&&) noexcept;
  Workload& operator=(Workload&&) noexcept;
  ~Workload();

  // The payload of one message; false if the plan has no such message (unknown stream, incarnation or sequence).
  bool payload(plan::Index topic, plan::Index process, std::uint64_t incarnation, std::uint64_t sequence,
               std::vector<std::uint8_t>& out) const;
  // 0 if the plan has no such message.
  std::uint32_t payload_size(plan::Index stream, std::uint64_t incarnation, std::uint64_t sequence) const;

  // The stream of a (process, topic), or plan::kNone: a pair has at most one.
  plan::Index stream_of(plan::Index process, plan::Index topic) const;
  // When each incarnation of a process begins, by the plan: [0] is incarnation 1.
  const std::vector<plan::Ns>& incarnation_starts(plan::Index process) const;
  const std::vector<ReplayNote>& notes() const { return notes_; }
  const plan::Plan& plan() const { return *plan_; }

 private:
  friend class Generator;
  struct StreamData {
    const Vessel* vessel = nullptr;          // fleet
    const Replay* replay = nullptr;          // replay
    std::uint32_t channel = 0;               // replay: which of its channels
    std::vector<std::uint64_t> first_index;  // fleet, replay: per incarnation
    std::uint64_t items = 0;                 // fleet, replay: how many there are
  };
  struct Key {
    plan::Index process, topic, stream;
  };
  explicit Workload(const plan::Plan& plan);
  Expected<void> add_stream(plan::Index stream);
  Expected<void> add_vessel(const plan::Stream& stream, StreamData& data);
  Expected<void> add_replay(plan::Index load, const std::string& folder);
  std::optional<std::uint64_t> item(const StreamData& data, std::uint64_t incarnation, std::uint64_t sequence) const;
  plan::Ns item_ns(plan::Index stream, std::uint64_t item) const;

  const plan::Plan* plan_;
  std::vector<StreamData> streams_;
  std::vector<Key> by_key_;                    // sorted by (process, topic)
  std::vector<std::vector<plan::Ns>> starts_;  // per process
  std::vector<std::unique_ptr<Vessel>> vessels_;
  std::vector<std::unique_ptr<Replay>> replays_;  // per load, null for others
  std::vector<std::uint32_t> channels_;           // per load: how many streams share it
  std::vector<ReplayNote> notes_;
};

// The shots of one stream in one incarnation of its process, in order of their intended times.
class Generator {
 public:
  static Expected<Generator> make(const Workload& workload, plan::Index stream, std::uint64_t incarnation);
  // When the next shot is intended; nothing if there is none.
  std::optional<plan::Ns> peek() const;
  // The next shot if it is due at now_ns; call again until it answers nothing.
  std::optional<Shot> next(plan::Ns now_ns);

 private:
  Generator(const Workload& workload, plan::Index stream, std::uint64_t incarnation)
      : workload_(&workload), stream_(stream), incarnation_(incarnation) {}
  void advance();

  const Workload* workload_;
  plan::Index stream_;
  std::uint64_t incarnation_;
  std::uint64_t sequence_ = 1;  // of the shot at intended_ns_
  std::uint64_t index_ = 0;     // of that shot on the stream's timeline
  plan::Ns intended_ns_ = 0;
  bool done_ = false;
};

// The synthetic payload of periodic and Poisson loads (at least 16 bytes): eight bytes of key, a hash of the message's
// identity, then words of a counter stream of that key and of the size. So it describes itself: a receiver without the
// plan sees whether it is whole and one.
struct Identity {
  std::uint64_t seed = 0;  // the load's
  std::uint64_t publisher = 0;
  std::string_view topic;
  std::uint32_t tenant = 0;
  std::uint64_t incarnation = 0;
  std::uint64_t sequence = 0;
};
inline constexpr std::uint32_t smallest_synthetic = 16;
void synthetic(const Identity& identity, std::uint32_t size_bytes, std::vector<std::uint8_t>& out);
bool synthetic_intact(std::span<const std::uint8_t> payload);

}  // namespace portolan::load
