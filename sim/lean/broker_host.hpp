// Drives a broker's Engine: audit rows of its events and counters. See host.hpp.
#pragma once

#include <string>
#include <vector>

#include "sim/lean/host.hpp"

namespace portolan::sim {

class BrokerHost final : public Host {
 public:
  struct Rules {
    std::vector<std::string> filters;
    std::vector<broker::TopicRule> rules;
  };
  static Expected<std::unique_ptr<BrokerHost>> make(World& world, plan::Index process, std::uint32_t incarnation,
                                                    const CpuCost& cost, std::unique_ptr<Recorder> audit);
  ~BrokerHost() override;
  void lose_control(std::uint32_t control, std::uint32_t count) { engine_->lose_control_for_test(control, count); }

 private:
  class Face;
  BrokerHost(World& world, plan::Index process, std::uint32_t incarnation, const CpuCost& cost,
             std::unique_ptr<Recorder> audit);
  EngineFace& engine() override;
  void upward() override;
  void extra_counters() override;

  std::unique_ptr<Recorder> own_audit_;
  std::vector<broker::PeerConfig> peers_;
  Rules rules_;
  std::unique_ptr<std::uint8_t[]> arena_;
  std::unique_ptr<broker::Engine> engine_;
  std::unique_ptr<Face> face_;
};

}  // namespace portolan::sim
