// The engine alone: one broker between a publisher and 1, 100 or 1,000 subscribers, real sessions, no network and no
// sockets. Time is what the broker's own calls take (the clients' is left out), so "in" and "out" are ns of one core.
//   engine_bench                  ns per message in, per delivery out; bytes on the wire per subscriber and message
//   counters: memory              what one more session, subscription (filter) and harbour (peer) cost, from
//   bytes_needed
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "broker/client_engine.hpp"
#include "broker/crypto/noise.hpp"
#include "broker/engine.hpp"

namespace portolan::broker {
namespace {

constexpr std::uint64_t kStepNs = 50'000;
constexpr std::size_t kSocketBatch = 16;
using Clock = std::chrono::steady_clock;

PathId path_of(std::size_t node) {
  return PathId{{node + 1, 0, 0}};
}

Identity identity_of(std::size_t node) {
  Identity identity;
  identity.id = node + 1;
  identity.static_private.fill(static_cast<std::uint8_t>(node));
  identity.static_private[1] = static_cast<std::uint8_t>(node >> 8);
  identity.static_private[2] = 1;
  identity.static_public = public_key_of(identity.static_private);
  return identity;
}

Limits limits_for(std::uint32_t clients) {
  Limits l = Limits::sim_client();
  l.sessions = l.downstreams = std::max(clients + 8, 16u);
  l.peers = 1;
  l.messages = l.small_blocks = 16'384;
  l.topics = l.streams = 16;
  l.filters = std::max(clients + 16, 128u);
  l.window_messages = l.receive_messages = 1'024;
  l.window_packets = 1'024;
  return l;
}

class Rig {
 public:
  explicit Rig(std::uint32_t subscribers, std::uint32_t modes = kModePlain) {
    const Limits l = limits_for(subscribers + 1);
    const TopicRule rule{"#", Lane::realtime, 1'000'000, 0};
    EngineConfig config;
    config.identity = identity_of(0);
    config.topics = {&rule, 1};
    config.broker_sessions.rate_bps = config.client_sessions.rate_bps = 100'000'000'000;
    config.broker_sessions.modes = config.client_sessions.modes = modes;
    // Not value-initialised: a page that nobody uses is not to cost anything.
    broker_memory_.reset(new std::uint8_t[Engine::bytes_needed(l)]);
    broker_ = std::make_unique<Engine>(l, config, std::span(broker_memory_.get(), Engine::bytes_needed(l)));
    const Limits small = limits_for(1);
    const std::size_t bytes = ClientEngine::bytes_needed(small);
    for (std::uint32_t i = 0; i <= subscribers; ++i) {
      ClientConfig c;
      c.identity = identity_of(i + 1);
      c.entropy.seed.fill(static_cast<std::uint8_t>(i));
      c.entropy.seed[1] = static_cast<std::uint8_t>(i >> 8);
      c.broker = {config.identity.id, config.identity.static_public, path_of(0)};
      c.session.rate_bps = 100'000'000'000;
      c.session.modes = modes;
      memories_.emplace_back(new std::uint8_t[bytes]);
      clients_.push_back(std::make_unique<ClientEngine>(small, c, std::span(memories_.back().get(), bytes)));
      if (i > 0) clients_.back()->subscribe(now(), "a/#", ReplayMode::none);
    }
    for (int i = 0; i < 20'000 && standing_ < subscribers; ++i) step();
  }
  bool ready() const { return standing_ + 1 == clients_.size(); }
  bool publish(std::span<const std::uint8_t> payload) {
    return clients_[0]->publish(now(), "a/b", Lane::realtime, payload).refused == RefuseReason::none;
  }
  void step() {
    time_ns_ += kStepNs;
    for (std::size_t i = 0; i < clients_.size(); ++i) drain(i);
    // As a daemon reads its socket: a batch, then what it answers; the engine keeps few answers to strangers.
    std::span<const Sent> rest(to_broker_);
    do {
      const auto batch = rest.first(std::min(rest.size(), kSocketBatch));
      rest = rest.subspan(batch.size());
      const auto began = Clock::now();
      for (const Sent& d : batch) {
        const DatagramView view{d.bytes.data(), static_cast<std::uint32_t>(d.bytes.size()), 0};
        Verdict verdict;
        broker_->receive(now(), path_of(d.node), {&view, 1}, {&verdict, 1});
      }
      if (broker_->next_deadline() <= time_ns_ || broker_->more_work()) broker_->tick(now());
      busy_ += Clock::now() - began;
      from_broker();
    } while (!rest.empty());
    to_broker_.clear();
    Event event;
    while (broker_->poll_event(event)) {
    }
  }
  std::uint64_t delivered() const { return delivered_; }
  std::chrono::nanoseconds busy() const { return busy_; }
  const Engine& broker() const { return *broker_; }

 private:
  struct Sent {
    std::size_t node;
    std::vector<std::uint8_t> bytes;
  };
  void from_broker() {
    Transmit out;
    for (;;) {
      const auto start = Clock::now();
      const bool any = broker_->poll_transmit(now(), out);
      busy_ += Clock::now() - start;
      if (!any) return;
      const std::size_t node = out.path.words[0] - 1;
      std::vector<std::uint8_t> bytes;
      for (std::uint32_t p = 0; p < out.part_count; ++p) {
        bytes.insert(bytes.end(), out.parts[p].begin(), out.parts[p].end());
      }
      broker_->release_transmit(out.handle);
      const DatagramView view{bytes.data(), static_cast<std::uint32_t>(bytes.size()), 0};
      Verdict verdict;
      clients_[node - 1]->receive(now(), path_of(0), {&view, 1}, {&verdict, 1});
    }
  }
  Now now() const { return {time_ns_, static_cast<std::int64_t>(time_ns_)}; }
  void drain(std::size_t i) {
    ClientEngine& c = *clients_[i];
    if (c.next_deadline() <= time_ns_ || c.more_work()) c.tick(now());
    Transmit out;
    while (c.poll_transmit(now(), out)) {
      to_broker_.push_back({i + 1, {}});
      for (std::uint32_t p = 0; p < out.part_count; ++p) {
        to_broker_.back().bytes.insert(to_broker_.back().bytes.end(), out.parts[p].begin(), out.parts[p].end());
      }
      c.release_transmit(out.handle);
    }
    Delivery delivery;
    Event event;
    for (bool any = true; any;) {
      any = false;
      while (c.poll_delivery(delivery)) {
        ++delivered_;
        c.release_delivery(delivery.handle);
        any = true;
      }
      while (c.poll_event(event)) {
        standing_ += event.kind == EventKind::subscribed ? 1 : 0;
        any = true;
      }
    }
  }

  std::unique_ptr<std::uint8_t[]> broker_memory_;
  std::unique_ptr<Engine> broker_;
  std::vector<std::unique_ptr<std::uint8_t[]>> memories_;
  std::vector<std::unique_ptr<ClientEngine>> clients_;
  std::vector<Sent> to_broker_;
  std::uint64_t time_ns_ = 1'000'000'000, delivered_ = 0;
  std::size_t standing_ = 0;
  std::chrono::nanoseconds busy_{0};
};

// With no subscriber a message is taken in, kept and answered; each subscriber then adds its share of "out".
void fan_out(benchmark::State& state) {
  const auto subscribers = static_cast<std::uint32_t>(state.range(0));
  Rig rig(subscribers);
  if (!rig.ready()) return state.SkipWithError("the sessions did not come up");
  const std::vector<std::uint8_t> payload(256, 7);
  const int batch = subscribers > 100 ? 8 : 32;
  std::uint64_t sent = 0;
  const EndpointCounters before = rig.broker().endpoint_counters();
  const std::uint64_t delivered = rig.delivered();
  for (auto _ : state) {
    const auto busy = rig.busy();
    for (int i = 0; i < batch; ++i) sent += rig.publish(payload) ? 1 : 0;
    for (int i = 0; i < 200 && rig.delivered() - delivered < sent * subscribers; ++i) rig.step();
    for (int i = 0; i < 4; ++i) rig.step();  // acknowledgements
    state.SetIterationTime(std::chrono::duration<double>(rig.busy() - busy).count());
  }
  const EndpointCounters& after = rig.broker().endpoint_counters();
  const auto messages = static_cast<double>(sent);
  state.SetItemsProcessed(static_cast<std::int64_t>(sent * std::max(subscribers, 1u)));
  state.counters["ns/message"] = static_cast<double>(rig.busy().count()) / messages;
  if (subscribers == 0) return;
  const double copies = messages * subscribers;
  state.counters["ns/delivery"] = static_cast<double>(rig.busy().count()) / copies;
  state.counters["bytes/delivery"] = static_cast<double>(after.bytes_out - before.bytes_out) / copies;
  state.counters["datagrams/delivery"] = static_cast<double>(after.datagrams_out - before.datagrams_out) / copies;
}
BENCHMARK(fan_out)->Arg(0)->Arg(1)->Arg(100)->Arg(1'000)->UseManualTime()->Unit(benchmark::kMicrosecond);

// Bytes of one more of each, in this profile.
void memory(benchmark::State& state, const char* profile) {
  Limits l;
  if (!Limits::by_name(profile, l)) return state.SkipWithError("no such profile");
  const auto more = [&](auto&& change) {
    Limits larger = l;
    change(larger);
    return static_cast<double>(Engine::bytes_needed(larger) - Engine::bytes_needed(l)) / 64;
  };
  for (auto _ : state) benchmark::DoNotOptimize(Engine::bytes_needed(l));
  state.counters["broker"] = static_cast<double>(Engine::bytes_needed(l));
  state.counters["session"] = more([](Limits& x) { x.sessions += 64, x.downstreams += 64; });
  state.counters["harbour"] = more([](Limits& x) { x.sessions += 64, x.downstreams += 64, x.peers += 64; });
  state.counters["subscription"] = more([](Limits& x) { x.filters += 64; });
  state.counters["topic"] = more([](Limits& x) { x.topics += 64; });
  state.counters["stream"] = more([](Limits& x) { x.streams += 64; });
}
BENCHMARK_CAPTURE(memory, daemon, "daemon")->Iterations(1);
BENCHMARK_CAPTURE(memory, sim, "sim")->Iterations(1);
BENCHMARK_CAPTURE(memory, thousand, "thousand")->Iterations(1);
BENCHMARK_CAPTURE(memory, thousand_hub, "thousand_hub")->Iterations(1);

}  // namespace
}  // namespace portolan::broker

BENCHMARK_MAIN();
