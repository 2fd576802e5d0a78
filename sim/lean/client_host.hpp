// Drives a ClientEngine as a load client would: subscribes and publishes as the plan says, open loop, and writes what
// its application saw (application rows). See host.hpp.
#pragma once

#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/client_engine.hpp"
#include "scenarios/load/load.hpp"
#include "sim/lean/host.hpp"

namespace portolan::sim {

class ClientHost final : public Host {
 public:
  static Expected<std::unique_ptr<ClientHost>> make(World& world, const load::Workload& workload, plan::Index process,
                                                    std::uint32_t incarnation, std::unique_ptr<Recorder> application,
                                                    std::unique_ptr<Recorder> audit);
  ~ClientHost() override;

 private:
  class Face;
  struct Out {  // a stream it publishes
    load::Generator generator;
    plan::Index topic;
    std::uint64_t next_sequence = 1;
    std::uint64_t topic_hash = 0;
  };
  ClientHost(World& world, const load::Workload& workload, plan::Index process, std::uint32_t incarnation,
             std::unique_ptr<Recorder> application, std::unique_ptr<Recorder> audit);
  EngineFace& engine() override;
  void upward() override;
  void on_start() override;
  void on_resume() override;
  void on_stop(record::EndCode code) override;
  void extra_counters() override;
  void subscribe_due();
  void publish_due();
  void publish(Out& out, const load::Shot& shot);
  void schedule_next();
  void on_event(const broker::Event& event);
  void on_delivery(const broker::Delivery& delivery);
  std::int64_t floor_to(std::uint64_t publisher);

  const load::Workload& workload_;
  std::unique_ptr<Recorder> application_;
  std::unique_ptr<Recorder> own_audit_;
  std::unique_ptr<std::uint8_t[]> arena_;
  std::unique_ptr<broker::ClientEngine> engine_;
  std::unique_ptr<Face> face_;
  std::vector<Out> outs_;
  using Due = std::pair<std::int64_t, std::size_t>;  // intended, index in outs_: ties in plan order
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::int64_t scheduled_ns_ = -1;
  struct Asked {
    std::int64_t at_ns;
    bool on;
    std::size_t subscription;
  };
  std::vector<Asked> asked_;  // by time
  std::size_t next_asked_ = 0;
  std::unordered_map<std::uint64_t, std::int64_t> floors_;  // by publisher; looked up only
  std::vector<std::uint8_t> payload_;
  std::uint64_t cursor_rows_ = 0, unsplit_ = 0;
};

}  // namespace portolan::sim
