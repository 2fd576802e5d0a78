// Drives one Guest (an engine and its host) over UDP sockets: epoll, a timerfd for the engine's deadline, batches both
// ways. Own loop: wait() again and again. Somebody else's: poll descriptor() for input, or wake by next_deadline(), and
// call turn(). One thread. Work of one turn is bounded, so a flood on a socket starves neither timers nor sending.
#pragma once

#include <functional>
#include <vector>

#include "broker/udp/clock.hpp"
#include "broker/udp/guest.hpp"
#include "broker/udp/socket.hpp"

namespace portolan::udp {

inline constexpr int kBatchesPerTurn = 4;       // of each socket
inline constexpr int kWorkPerTurn = 10'000;     // ticks for an engine that says more_work
inline constexpr std::size_t kWatchedMost = 8;  // descriptors besides ours

struct LoopCounters {
  std::uint64_t turns = 0, ticks = 0, wakes = 0;
};

class Loop {
 public:
  // Binds all addresses; at most 255 of them.
  static Expected<Loop> open(std::span<const Address> locals, const SocketOptions& options);
  Loop(Loop&&) noexcept;
  Loop& operator=(Loop&&) noexcept;
  ~Loop();

  void attach(Guest& guest);  // before anything else
  // Calls back when the descriptor can be read: signals, control sockets. The callback may call after_call().
  Expected<void> watch(int fd, std::function<void()> readable);
  // Waits until something is to do, at most `most_ns` (kNever: for ever), then a turn. Answers at once after a signal.
  void wait(std::uint64_t most_ns);
  void turn();  // for somebody else's loop
  // After any other call into the engine (publish, subscribe, drain): its outputs, and when it wants to be woken.
  void after_call();

  int descriptor();                     // readable when turn() has work; from now on at deadlines too
  std::uint64_t next_deadline() const;  // of the engine, on the monotonic clock
  broker::Now now() const;
  Clock& clock();
  // The path to a peer through the first socket of its family; refused when there is none.
  Expected<broker::PathId> path_to(const Address& peer) const;
  const std::vector<UdpSocket>& sockets() const;
  const LoopCounters& counters() const;
  SocketCounters socket_counters() const;  // of all sockets
  bool sending() const;                    // something waits for room in a socket

 private:
  struct State;
  explicit Loop(std::unique_ptr<State> state);
  std::unique_ptr<State> s_;
};

}  // namespace portolan::udp
