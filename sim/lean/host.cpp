#include "sim/lean/host.hpp"

#include <sodium.h>

#include <array>
#include <cstring>

#include "scenarios/base/hash.hpp"

namespace portolan::sim {

namespace {

constexpr std::size_t kRunsMax = 256;

// The checker knows nothing of the broker: the codes that it judges by stand in the record format.
template <class A, class B>
constexpr bool same(A ours, B theirs) {
  return static_cast<std::uint32_t>(ours) == static_cast<std::uint32_t>(theirs);
}
static_assert(same(broker::Drop::over_credit, record::kVerdictOverCredit));
static_assert(same(broker::GapReason::retention, record::GapCode::retention));
static_assert(same(broker::GapReason::detached, record::GapCode::detached));
static_assert(same(broker::GapReason::publisher_lost, record::GapCode::publisher_lost));
static_assert(same(broker::GapReason::broker_lost, record::GapCode::broker_lost));
static_assert(same(broker::GapReason::refused, record::GapCode::refused));

// Which draws of the link a datagram meets: data and parity are the payload's; acknowledgements, heartbeats and the
// rest count by themselves, so that timing of control never moves the fate of data.
link::Traffic traffic_of(std::uint8_t first_byte) {
  const auto type = first_byte & 0x0Fu;
  return type == PTL_DATA || type == PTL_PARITY ? link::Traffic::data : link::Traffic::control;
}

broker::Key32 key_from(std::uint64_t seed, std::uint64_t id, std::uint64_t what) {
  broker::Key32 key{};
  for (std::size_t i = 0; i < 4; ++i) {
    const std::uint64_t word = draw64(seed, id, what, i);
    std::memcpy(key.data() + 8 * i, &word, 8);
  }
  return key;
}

}  // namespace

broker::PathId path_of(const plan::Plan& plan, plan::Index process) {
  return broker::PathId{{process + 1ull, plan.processes[process].port, 0}};
}

plan::Index process_of(const broker::PathId& path) {
  return static_cast<plan::Index>(path.words[0] - 1);
}

broker::Identity identity_of(const World& world, plan::Index process, std::uint32_t incarnation) {
  broker::Identity identity;
  identity.id = world.plan.processes[process].id;
  identity.incarnation = incarnation;
  identity.static_private = key_from(world.seed, identity.id, name64("static key"));
  crypto_scalarmult_base(identity.static_public.data(), identity.static_private.data());
  return identity;
}

broker::Entropy entropy_of(const World& world, plan::Index process, std::uint32_t incarnation) {
  return {key_from(world.seed ^ (static_cast<std::uint64_t>(incarnation) << 48), world.plan.processes[process].id,
                   name64("entropy"))};
}

std::uint32_t modes_of(const plan::Plan& plan) {
  return plan.security == plan::Security::sealed ? broker::kModeSealed : broker::kModePlain;
}

CpuCost cost_of(const plan::Calibration& c) {
  const auto u = [](plan::Ns v) { return static_cast<std::uint64_t>(v); };
  return {u(c.per_datagram_in_ns), u(c.per_datagram_out_ns), u(c.per_message_in_ns),
          u(c.per_message_out_ns), u(c.per_timer_ns),        u(c.per_kib_ns)};
}

Host::Host(World& world, plan::Index process, std::uint32_t incarnation, const CpuCost& cost, Recorder& audit)
    : world_(world),
      me_(world.plan.processes[process]),
      process_(process),
      incarnation_(incarnation),
      audit_(audit),
      cost_(cost),
      clock_(me_.clock_offset_ns) {}

void Host::start() {
  started_ = true;
  on_start();
  const broker::Now t = now();
  trace_.begin(TraceHash::Step::tick, t);
  engine().tick(t);
  after_call();
}

void Host::arrive(std::unique_ptr<Datagram> datagram) {
  if (!alive_ || !started_) return;
  const std::uint64_t size = datagram->bytes.size();
  if (inbox_bytes_ + size > kSocketBufferBytes) {
    ++inbox_dropped_;
    return;
  }
  inbox_bytes_ += size;
  if (inbox_bytes_ > inbox_bytes_most_) inbox_bytes_most_ = inbox_bytes_;
  inbox_.push_back({std::move(datagram), now_ns()});
  kick();
}

std::uint64_t Host::next_cost() const {
  if (inbox_.empty()) return cost_.timer_ns;
  return cost_.datagram_in_ns + cost_.kib_ns * inbox_.front().datagram->bytes.size() / 1024;
}

void Host::on_core() {
  if (!alive_ || paused_ || (inbox_.empty() && !timer_due_)) {
    serving_ = false;
    world_.cores->release();
    return;
  }
  const std::uint64_t cost = next_cost();
  cpu_used_ns_ += cost;
  busy_until_ns_ = (busy_until_ns_ > now_ns() ? busy_until_ns_ : now_ns()) + cost;
  at(busy_until_ns_, [this] {
    if (alive_ && !paused_) work();
    // What was sent keeps the core until it has left.
    at(busy_until_ns_ > now_ns() ? busy_until_ns_ : now_ns(), [this] {
      serving_ = false;
      world_.cores->release();
      kick();
    });
  });
}

void Host::kick() {
  if (world_.cores != nullptr) {
    if (!alive_ || paused_ || serving_ || (inbox_.empty() && !timer_due_)) return;
    serving_ = true;
    world_.cores->ask([this] { on_core(); });
    return;
  }
  while (alive_ && !paused_ && !serving_ && (!inbox_.empty() || timer_due_)) {
    const std::uint64_t now = now_ns();
    const std::uint64_t start = busy_until_ns_ > now ? busy_until_ns_ : now;
    const std::uint64_t cost = next_cost();
    cpu_used_ns_ += cost;
    busy_until_ns_ = start + cost;
    if (busy_until_ns_ == now) {
      work();
      continue;
    }
    serving_ = true;
    at(busy_until_ns_, [this] {
      serving_ = false;
      if (!alive_ || paused_) return;
      work();
      kick();
    });
  }
}

void Host::work() {
  const broker::Now t = now();
  if (!inbox_.empty()) {
    const Arrived arrived = std::move(inbox_.front());
    inbox_.pop_front();
    const Datagram& d = *arrived.datagram;
    inbox_bytes_ -= d.bytes.size();
    for (const Travelled& m : d.messages) world_.journeys.arrive(m, d.network, process_, arrived.at_ns, now_ns());
    const broker::PathId path = path_of(world_.plan, d.from);
    const broker::DatagramView view{d.bytes.data(), static_cast<std::uint32_t>(d.bytes.size()), d.ecn};
    broker::Verdict verdict;
    trace_.begin(TraceHash::Step::receive, t);
    trace_.path(path);
    trace_.bytes(view.view());
    if (d.ecn == broker::kEcnMarked) trace_.number(d.ecn);
    engine().receive(t, path, view, verdict);
    trace_.number(static_cast<std::uint64_t>(verdict.drop));
    note(verdict);
  } else if (timer_due_) {
    timer_due_ = false;
    last_timer_ns_ = now_ns();
    trace_.begin(TraceHash::Step::tick, t);
    engine().tick(t);
  }
  after_call();
}

void Host::after_call() {
  for (int bound = 0; engine().more_work() && bound < 10'000; ++bound) {
    upward();
    const broker::Now t = now();
    trace_.begin(TraceHash::Step::tick, t);
    engine().tick(t);
  }
  upward();
  pump();
  const auto& counters = engine().counters();
  const std::uint64_t message_ns = (counters.messages_in - seen_in_) * cost_.message_in_ns +
                                   (counters.messages_out - seen_out_) * cost_.message_out_ns;
  seen_in_ = counters.messages_in;
  seen_out_ = counters.messages_out;
  if (message_ns > 0) {
    cpu_used_ns_ += message_ns;
    busy_until_ns_ = (busy_until_ns_ > now_ns() ? busy_until_ns_ : now_ns()) + message_ns;
  }
  arm();
}

void Host::pump() {
  broker::Transmit out;
  const broker::Now t = now();
  while (engine().poll_transmit(t, out)) {
    trace_.begin(TraceHash::Step::transmit, t);
    trace_.path(out.path);
    for (std::uint32_t i = 0; i < out.part_count; ++i) trace_.bytes(out.parts[i]);
    const std::uint64_t cost = cost_.datagram_out_ns + cost_.kib_ns * out.bytes / 1024;
    cpu_used_ns_ += cost;
    busy_until_ns_ = (busy_until_ns_ > now_ns() ? busy_until_ns_ : now_ns()) + cost;
    dispatch(out, busy_until_ns_);
    engine().release_transmit(out.handle);
  }
}

void Host::dispatch(const broker::Transmit& out, std::uint64_t depart_ns) {
  auto datagram = std::make_unique<Datagram>();
  datagram->from = process_;
  datagram->to = process_of(out.path);
  datagram->bytes.reserve(out.bytes);
  for (std::uint32_t i = 0; i < out.part_count; ++i) {
    datagram->bytes.insert(datagram->bytes.end(), out.parts[i].begin(), out.parts[i].end());
  }
  datagram->traffic = traffic_of(datagram->bytes.empty() ? std::uint8_t{0} : datagram->bytes[0]);
  datagram->retransmission = out.retransmission;
  datagram->lane = out.lane;
  datagram->ecn = out.ecn;
  if (datagram->to >= world_.plan.processes.size()) return;
  const std::uint64_t handled_ns = now_ns();
  Departure departure{datagram->to, 0, true, out.retransmission};
  if (datagram->bytes.size() >= PTL_FRAME_BYTES) {
    std::memcpy(&departure.session, datagram->bytes.data() + offsetof(ptl_frame, session), 4);
    departure.whole = (datagram->bytes[offsetof(ptl_frame, flags)] & PTL_F_MULTIPLEXED) != 0;
  }
  datagram->messages.reserve(out.key_count);
  for (std::uint32_t i = 0; i < out.key_count; ++i) {
    Travelled m = world_.journeys.depart(out.keys[i], process_, departure, handled_ns);
    m.parts.broker_ns += static_cast<std::int64_t>(depart_ns - handled_ns);
    datagram->messages.push_back(m);
  }
  world_.fabric.send_at(depart_ns, std::move(datagram), sender_);
}

void Host::arm() {
  if (!alive_ || paused_) return;
  const std::uint64_t deadline = engine().next_deadline();
  if (deadline == broker::kNever) return;
  std::uint64_t when = clock_.run_time_of(deadline);
  const std::uint64_t earliest = last_timer_ns_ + kTimerGrainNs;
  if (when < earliest) when = earliest;
  if (when < now_ns()) when = now_ns();
  if (when >= wake_at_ns_) return;
  wake_at_ns_ = when;
  at(when, [this, when] {
    if (when != wake_at_ns_) return;  // an earlier one took its place
    wake_at_ns_ = broker::kNever;
    if (!alive_ || paused_) return;
    if (clock_.run_time_of(engine().next_deadline()) > now_ns()) {
      arm();
      return;
    }
    timer_due_ = true;
    kick();
  });
}

void Host::rearm() {
  wake_at_ns_ = broker::kNever;
  arm();
}

void Host::pause() {
  paused_ = true;
}

void Host::resume() {
  if (!alive_ || !paused_) return;
  paused_ = false;
  if (busy_until_ns_ < now_ns()) busy_until_ns_ = now_ns();
  on_resume();
  rearm();
  kick();
}

void Host::stop(record::EndCode code) {
  if (!alive_) return;
  if (started_) sample_counters();
  flush_packets();
  record::Row row;
  row.kind = static_cast<std::uint16_t>(record::Kind::trace);
  row.hash = trace_.value();
  row.value = trace_.calls();
  audit_.add(row);
  alive_ = false;
  sender_.stopped_ns = now_ns();
  inbox_.clear();
  inbox_bytes_ = 0;
  audit_.end(code);
  on_stop(code);
}

void Host::note(const broker::Verdict& verdict) {
  if (verdict.drop != broker::Drop::none) {
    ++verdicts_;
    record::Row row;
    row.kind = static_cast<std::uint16_t>(record::Kind::verdict);
    row.hash = verdict.session_uid;
    row.sequence = verdict.packet;
    row.code = static_cast<std::uint32_t>(verdict.drop);
    audit_.add(row);
  }
  if (verdict.session_uid == 0 || verdict.packet == 0) return;  // handshakes carry no packet number
  // A duplicate of a message consumes its number too; and what was taken without any mark must not stay unseen.
  if (!verdict.consumed && verdict.drop != broker::Drop::none) return;
  ++packets_accepted_;
  for (PacketRun& run : runs_) {
    if (run.uid != verdict.session_uid) continue;
    if (verdict.packet == run.last + 1) {
      run.last = verdict.packet;
      return;
    }
    audit_.packets(run.uid, run.first, run.last);
    run.first = run.last = verdict.packet;
    return;
  }
  if (runs_.size() == kRunsMax) {
    audit_.packets(runs_.front().uid, runs_.front().first, runs_.front().last);
    runs_.erase(runs_.begin());
  }
  runs_.push_back({verdict.session_uid, verdict.packet, verdict.packet});
}

void Host::flush_packets() {
  for (const PacketRun& run : runs_) audit_.packets(run.uid, run.first, run.last);
  runs_.clear();
}

void Host::sample_counters() {
  const broker::EndpointCounters& c = engine().counters();
  audit_.counter("datagrams_in", 0, c.datagrams_in);
  audit_.counter("datagrams_out", 0, c.datagrams_out);
  audit_.counter("bytes_in", 0, c.bytes_in);
  audit_.counter("bytes_out", 0, c.bytes_out);
  audit_.counter("messages_in", 0, c.messages_in);
  audit_.counter("messages_out", 0, c.messages_out);
  audit_.counter("repair_datagrams", 0, c.repair_datagrams);
  audit_.counter("repair_bytes", 0, c.repair_bytes);
  audit_.counter("spurious_repairs", 0, c.spurious_repairs);
  audit_.counter("packets_lost", 0, c.packets_lost);
  audit_.counter("acks_out", 0, c.acks_out);
  audit_.counter("heartbeats_out", 0, c.heartbeats_out);
  audit_.counter("resets_in", 0, c.resets_in);
  audit_.counter("resets_out", 0, c.resets_out);
  for (std::size_t d = 1; d < static_cast<std::size_t>(broker::Drop::kCount); ++d) {
    audit_.counter("drop", static_cast<std::uint32_t>(d), c.drops[d]);
  }
  audit_.counter("packets_accepted", 0, packets_accepted_);
  audit_.counter("verdicts", 0, verdicts_);
  audit_.counter("socket_buffer_dropped", 0, inbox_dropped_);
  audit_.counter("cpu_ns", 0, cpu_used_ns_);
  audit_.high_water("socket_buffer_bytes", inbox_bytes_most_, kSocketBufferBytes);
  std::array<broker::Endpoint::HighWater, 64> marks{};
  const std::uint32_t n = engine().high_water(marks);
  for (std::uint32_t i = 0; i < n; ++i) audit_.high_water(marks[i].name, marks[i].used_most, marks[i].bound);
  extra_counters();
}

}  // namespace portolan::sim
