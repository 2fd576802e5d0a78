// The load client of a plan in real time: subscribes and publishes as the plan says, open loop, through the client
// library, and writes what its application saw and what crossed its engine's boundary (results/RECORDS.md). The
// simulator's counterpart is sim/lean/client_host.
#pragma once

#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "broker/library/portolan.hpp"
#include "results/record/hash.hpp"
#include "results/record/journal.hpp"
#include "scenarios/load/load.hpp"
#include "scenarios/plan/plan.hpp"

namespace portolan::emu {

struct LoadOptions {
  std::string plan_path, process, records, broker, bind, control, replay_folder = ".";
  std::uint32_t incarnation = 1;
  std::uint64_t epoch_ns = 0;  // the run's time 0 on the monotonic clock
};

class LoadClient final : public Handler, public Witness {
 public:
  static Expected<void> run(const LoadOptions& options);

 private:
  struct Out {  // a stream it publishes
    load::Generator generator;
    plan::Index topic = 0;
    std::uint64_t next_sequence = 1;
  };
  struct Asked {
    plan::Ns at_ns = 0;
    bool on = true;
    std::size_t subscription = 0;
  };
  LoadClient(const LoadOptions& options, const plan::Plan& plan, const load::Workload& workload, plan::Index process)
      : options_(options), plan_(plan), workload_(workload), process_(process), me_(plan.processes[process]) {}

  Expected<void> open_records();
  Expected<void> make_load();
  Expected<void> connect();
  Expected<void> loop();
  Expected<void> finish();
  plan::Ns now() const;
  plan::Ns next_due() const;
  void do_what_is_due();
  void subscribe(const Asked& asked);
  void publish(Out& out, const load::Shot& shot);
  void add(record::Kind kind, record::Row row);
  std::uint32_t text(std::string_view view) { return application_->intern(view); }
  void answer(record::Kind kind, const Answer& answer, std::uint32_t code);
  void sample();

  void on_message(const Message& message) override;
  void on_gap(const Gap& gap) override;
  void on_up(const Session& session) override;
  void on_down(const Session& session) override;
  void on_subscribed(std::string_view filter, std::uint32_t unreachable) override;
  void on_cursor(const Cursor& cursor) override;
  void on_accepted(const Answer& a) override { answer(record::Kind::accepted, a, 0); }
  void on_received(const Answer& a) override { answer(record::Kind::received, a, 0); }
  void on_refused(const Answer& a) override { answer(record::Kind::refused, a, static_cast<std::uint32_t>(a.refused)); }
  void on_detached(std::uint32_t reason) override;
  void on_packet(const PacketVerdict& verdict) override;
  void before_send() override;

  const LoadOptions& options_;
  const plan::Plan& plan_;
  const load::Workload& workload_;
  const plan::Index process_;
  const plan::Process& me_;
  std::optional<record::RecordWriter> application_;
  std::optional<record::Journal> audit_;
  std::optional<record::LastWords> words_;
  std::vector<record::Row> missing_;
  record::Hasher hasher_;
  std::unique_ptr<Client> client_;
  std::vector<Out> outs_;
  using Due = std::pair<plan::Ns, std::size_t>;  // intended, index in outs_: ties in plan order
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::vector<Asked> asked_;  // by time
  std::size_t next_asked_ = 0;
  std::vector<std::uint8_t> payload_;
  std::uint64_t cursor_rows_ = 0, delivered_ = 0;
  std::uint64_t next_second_ns_ = 0;
  std::optional<Error> broken_;
};

}  // namespace portolan::emu
