// When what happened, from the plan and the runner's rows: lives of processes, faults as they took effect, and when two
// processes could not have reached each other. All that excuses a missing message comes from here, never from a broker.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "results/check/run_files.hpp"
#include "results/check/ways.hpp"

namespace portolan::check {

struct Life {
  std::uint32_t incarnation = 0;
  Ns from = 0;
  Ns to = kNever;                           // kNever: no `stopped` row
  std::uint32_t cause = 0;                  // record::StopCause
  bool died() const { return cause != 0; }  // killed, exited or crashed before the end of the run
};

class Timeline {
 public:
  Timeline(const RunFiles& run, Judgement& judgement);

  Ns end() const { return end_; }
  bool virtual_time() const { return virtual_time_; }
  const std::vector<Effect>& effects() const { return effects_; }  // by fault
  const std::vector<Life>& lives(Index process) const { return lives_[process]; }
  const Life* life(Index process, std::uint32_t incarnation) const;
  // The incarnation that lived at this time, or null.
  const Life* life_at(Index process, Ns at) const;
  // The first death of any incarnation of the process at or after `from`; kNever if none.
  Ns death_after(Index process, Ns from) const;
  // When the last fault healed before the end; 0 without faults. Faults that never heal do not count.
  Ns last_heal() const { return last_heal_; }

  // When a process was dead or paused within the run.
  const Intervals& away(Index process) const { return away_[process]; }
  // When two processes had no path that works, or theirs was changing (the plan's convergence after a change).
  const Intervals& apart(Index a, Index b) const;
  // When a session between two brokers could not stand.
  Intervals session(Index broker, Index peer) const;
  // Union of the above over a chain of processes, each needing the next; hubs between two brokers are links of it.
  const Intervals& chain(Index home, Index broker, Index client) const;
  // The same as the brokers saw it: once a session has ended it is back only some time after the way is, and if that is
  // gone again before, the absence goes on.
  const Intervals& absence(Index home, Index broker, Index client) const;
  // The same, with degraded links on the way counted: what may make a backlog.
  const Intervals& impaired(Index home, Index broker, Index client) const;

 private:
  void read_rows(const RunFiles& run);
  void check_starts(const RunFiles& run, Judgement& judgement) const;
  void check_faults(const RunFiles& run, Judgement& judgement) const;
  void check_end(const RunFiles& run, Judgement& judgement) const;
  bool planned_death(Index process, const Life& life) const;
  void find_away();
  bool paths_change(const plan::Fault& fault) const;
  Intervals session_absence(Index a, Index b) const;

  const plan::Plan& plan_;
  Ns end_ = 0;
  Ns last_heal_ = 0;
  std::uint64_t path_changes_ = 0;
  bool virtual_time_ = false;
  std::vector<Effect> effects_;
  std::vector<std::vector<Life>> lives_;
  std::vector<Intervals> away_;
  mutable std::unique_ptr<Ways> ways_;
  mutable std::map<std::pair<Index, Index>, Intervals> apart_;  // by nodes
  mutable std::map<std::tuple<Index, Index, Index>, Intervals> chain_, absence_, impaired_;
};

}  // namespace portolan::check
