// Follows each message from its intended time to each delivery and says where the time went, exactly: the parts of a
// journey always sum to (delivered - intended). Kept by the simulator's host at the engines' boundary (Transmit::keys);
// engines and wire know nothing of it. Bounded: what is older than `kForgetNs` or beyond `kLegsMax` is forgotten and
// counted, and its deliveries get no `split` row.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace portolan::sim {

struct Parts {
  std::int64_t propagation_ns = 0;
  std::int64_t serialisation_ns = 0;
  std::int64_t queueing_ns = 0;  // links, and waiting for pacing or window in a sender
  std::int64_t repair_ns = 0;    // from the first try to the one that came; waiting for order behind a repair
  std::int64_t broker_ns = 0;    // CPU and waiting for it
};

struct Travelled {
  std::uint64_t key = 0;
  Parts parts;  // up to the moment of departure
  bool repaired = false;
  bool known = false;
};

struct Departure {
  std::uint32_t to = 0;       // process
  std::uint32_t session = 0;  // as on the wire: another one means that the message is offered again
  bool whole = true;          // not a fragment of a long message, which goes in many datagrams
  bool again = false;         // a retransmission
};

class Journeys {
 public:
  static constexpr std::uint64_t kForgetNs = 60'000'000'000;
  static constexpr std::size_t kLegsMax = 4'000'000;

  void published(std::uint64_t key, std::uint32_t process, std::uint64_t intended_ns, std::uint64_t now_ns);
  // A datagram with this message, or a fragment of it, leaves `process` for `to`.
  Travelled depart(std::uint64_t key, std::uint32_t process, const Departure& departure, std::uint64_t now_ns);
  // It arrives (the network's parts are those of its datagram) and is taken by the CPU at handled_ns.
  void arrive(const Travelled& so_far, const Parts& network, std::uint32_t process, std::uint64_t now_ns,
              std::uint64_t handled_ns);
  // The application gets it. False when the journey is not known.
  bool deliver(std::uint64_t key, std::uint32_t process, std::uint64_t now_ns, Parts& out, bool& repaired);
  std::uint64_t forgotten() const { return forgotten_; }

 private:
  struct Try {
    std::uint32_t to;
    std::uint32_t session;
    std::uint64_t fresh_ns;  // when it last went for the first time in this session
    std::int64_t repair_ns;  // what former sessions, lost with it, have cost
  };
  // Most legs have one way on; those of a broker that fans out keep the others in `more`.
  struct Leg {
    Parts parts;  // up to `handled_ns`
    std::uint64_t handled_ns = 0;
    std::uint64_t key = 0;
    std::uint64_t made_ns = 0;
    std::uint32_t process = 0;
    std::uint32_t index = 0;
    std::uint32_t generation = 0;  // of this place; counted up when it is given back
    bool used = false;
    bool repaired = false;
    bool tried = false;
    Try first{};
    std::unique_ptr<std::vector<Try>> more;
  };
  static constexpr std::uint32_t kNone = ~0u;

  Leg* find(std::uint64_t key, std::uint32_t process);
  Leg& make(std::uint64_t key, std::uint32_t process, std::uint64_t now_ns);
  void forget_old(std::uint64_t now_ns);
  void erase(std::uint32_t leg);
  void grow();
  static std::uint64_t mixed(std::uint64_t key, std::uint32_t process);
  std::size_t home(std::uint64_t mixed) const { return static_cast<std::size_t>(mixed >> 32) & (table_.size() - 1); }
  std::size_t place(std::uint64_t key, std::uint32_t process) const;  // of it, or the free one where it would go
  static Try& try_of(Leg& leg, const Departure& departure, std::uint64_t now_ns, bool& fresh);

  // Open addressing: a run makes and finds several million, so a cell tells whether its leg is worth looking at.
  struct Cell {
    std::uint32_t leg = kNone;
    std::uint32_t mark = 0;  // of the hash
  };
  Leg& at(std::uint32_t leg) { return legs_[leg / kChunk][leg % kChunk]; }
  const Leg& at(std::uint32_t leg) const { return legs_[leg / kChunk][leg % kChunk]; }
  static constexpr std::uint32_t kChunk = 4'096;
  std::vector<Cell> table_;                   // a power of two of them
  std::vector<std::unique_ptr<Leg[]>> legs_;  // by chunks, in the order in which they were made: they never move
  std::uint32_t made_ = 0;
  std::vector<std::uint32_t> free_;
  struct Made {
    std::uint32_t leg;
    std::uint32_t generation;
  };
  std::vector<Made> age_;  // as made, from `oldest_` on; packed when half of it is gone
  std::size_t oldest_ = 0;
  std::size_t count_ = 0;
  std::uint64_t forgotten_ = 0;
};

}  // namespace portolan::sim
