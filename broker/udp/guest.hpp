// What a Loop drives: an engine, and what its host does with what comes out of it. A host (daemon, client library, load
// client) derives from GuestOf<Engine> or GuestOf<ClientEngine> and says what becomes of events and deliveries.
#pragma once

#include <span>

#include "broker/types.hpp"

namespace portolan::udp {

class Guest {
 public:
  virtual ~Guest() = default;
  // The engine's side.
  virtual void receive(broker::Now now, const broker::PathId& path, std::span<const broker::DatagramView> datagrams,
                       std::span<broker::Verdict> verdicts) = 0;
  virtual void tick(broker::Now now) = 0;
  virtual bool more_work() const = 0;
  virtual bool poll_transmit(broker::Now now, broker::Transmit& out) = 0;
  virtual void release_transmit(std::uint32_t handle) = 0;
  virtual std::uint64_t next_deadline() const = 0;
  // The host's side. upward: polls events, deliveries and disk until there are none.
  virtual void upward() = 0;
  // What the engine answered to the datagrams of one call, for hosts that record it.
  virtual void judged(std::span<const broker::Verdict>) {}
  // Before datagrams that depend on this turn leave: what must not be lost by a kill is written here.
  virtual void before_send() {}
};

template <typename E>
class GuestOf : public Guest {
 public:
  void receive(broker::Now now, const broker::PathId& path, std::span<const broker::DatagramView> datagrams,
               std::span<broker::Verdict> verdicts) override {
    engine_->receive(now, path, datagrams, verdicts);
  }
  void tick(broker::Now now) override { engine_->tick(now); }
  bool more_work() const override { return engine_->more_work(); }
  bool poll_transmit(broker::Now now, broker::Transmit& out) override { return engine_->poll_transmit(now, out); }
  void release_transmit(std::uint32_t handle) override { engine_->release_transmit(handle); }
  std::uint64_t next_deadline() const override { return engine_->next_deadline(); }

 protected:
  void set_engine(E& engine) { engine_ = &engine; }
  E* engine_ = nullptr;
};

}  // namespace portolan::udp
