// portolan-peers: one publisher and one subscriber through a broker of some kind, open loop; or the bare relay. What
// `scripts/portolan bench broker` runs; its figures go to standard output as one JSON object. Exit codes: 0 measured,
// 64 bad usage, 69 the peer cannot be reached.
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <ctime>
#include <cxxopts.hpp>
#include <fstream>
#include <vector>

#include "broker/peers/carrier.hpp"

namespace portolan::peers {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kReadyNs = 10 * kSecond, kLingerNs = 2 * kSecond;
constexpr std::size_t kMostMessages = 20'000'000;
constexpr std::size_t kBurst = 64;  // publishes between two looks at what has come

std::uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * kSecond + static_cast<std::uint64_t>(t.tv_nsec);
}

std::uint64_t cpu_ns() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * kSecond + static_cast<std::uint64_t>(t.tv_nsec);
}

struct Load {
  std::size_t bytes = 256;
  double rate = 1'000;  // messages a second
  double seconds = 5, warm_up = 1;
};

struct Arrived {
  std::uint64_t sequence, latency_ns;
};

class Bench {
 public:
  Bench(Carrier& carrier, const Load& load) : carrier_(carrier), load_(load), message_(load.bytes) {
    for (std::size_t i = 0; i < message_.size(); ++i) message_[i] = static_cast<std::uint8_t>(i * 131 + 7);
    warm_ = static_cast<std::uint64_t>(load.rate * load.warm_up);
    count_ = warm_ + std::max<std::uint64_t>(1, static_cast<std::uint64_t>(load.rate * load.seconds));
    if (count_ > kMostMessages) {
      fmt::print(stderr, "portolan-peers: {} messages are more than {}; lower --rate or --seconds\n", count_,
                 kMostMessages);
      std::exit(64);
    }
    arrived_.reserve(count_);
    seen_.assign(count_, false);
  }

  void run() {
    await_ready();
    const std::uint64_t start = now_ns() + kSecond / 100;
    const double interval = static_cast<double>(kSecond) / load_.rate;
    const auto intended = [&](std::uint64_t i) {
      return start + static_cast<std::uint64_t>(static_cast<double>(i) * interval);
    };
    std::uint64_t next = 0;
    while (next < count_) {
      const std::uint64_t now = now_ns();
      std::size_t burst = 0;
      for (; next < count_ && intended(next) <= now && burst < kBurst; ++next, ++burst) offer(next, intended(next));
      if (burst != 0) carrier_.flush();
      if (next == count_) break;
      wait(burst == kBurst ? now : intended(next));
    }
    end_offer_ns_ = now_ns();
    const std::uint64_t until = end_offer_ns_ + kLingerNs;
    while (received_ + refused_ < count_ && now_ns() < until) wait(now_ns() + kSecond / 50);
    cpu_used_ns_ = cpu_ns() - cpu_began_ns_;
  }

  void print() {
    std::vector<std::uint64_t> latencies;
    latencies.reserve(arrived_.size());
    for (const Arrived& a : arrived_) {
      if (a.sequence >= warm_) latencies.push_back(a.latency_ns);
    }
    std::sort(latencies.begin(), latencies.end());
    const auto at = [&](double q) -> std::uint64_t {
      if (latencies.empty()) return 0;
      return latencies[std::min(latencies.size() - 1,
                                static_cast<std::size_t>(q * static_cast<double>(latencies.size())))];
    };
    const std::uint64_t offered = count_ - warm_;
    fmt::print(
        "{{\"bytes\": {}, \"rate\": {:.0f}, \"offered\": {}, \"refused\": {}, \"received\": {}, \"twice\": {}, "
        "\"disorder\": {}, \"wrong_length\": {}, \"p50_ns\": {}, \"p99_ns\": {}, \"p999_ns\": {}, \"max_ns\": {}, "
        "\"late_ns\": {}, \"span_ns\": {}, \"client_cpu_ns\": {}}}\n",
        load_.bytes, load_.rate, offered, refused_measured_, latencies.size(), twice_, disorder_, wrong_length_,
        at(0.5), at(0.99), at(0.999), at(1), late_most_ns_, last_ns_ - first_ns_, cpu_used_ns_);
  }

  void raw(const std::string& path) const {
    std::ofstream out(path, std::ios::binary);
    out << "sequence,latency_ns\n";
    for (const Arrived& a : arrived_) {
      if (a.sequence >= warm_) out << a.sequence - warm_ << ',' << a.latency_ns << '\n';
    }
    if (!out.flush()) give_up("cannot write " + path);
  }

 private:
  void await_ready() {
    const std::uint64_t until = now_ns() + kReadyNs;
    while (!carrier_.ready()) {
      if (now_ns() > until) give_up("the broker was not ready within 10 s");
      wait(now_ns() + kSecond / 100);
    }
    cpu_began_ns_ = cpu_ns();
  }

  void offer(std::uint64_t i, std::uint64_t intended) {
    const Stamp stamp{i, intended};
    std::memcpy(message_.data(), &stamp, sizeof stamp);
    if (i >= warm_) late_most_ns_ = std::max(late_most_ns_, now_ns() - intended);
    if (carrier_.publish(message_)) return;
    ++refused_;
    if (i >= warm_) ++refused_measured_;
  }

  void take(const Stamp& stamp, std::size_t bytes) {
    const std::uint64_t now = now_ns();
    if (stamp.sequence >= count_ || bytes != load_.bytes) {
      ++wrong_length_;
      return;
    }
    if (seen_[stamp.sequence]) {
      ++twice_;
      return;
    }
    seen_[stamp.sequence] = true;
    ++received_;
    if (stamp.sequence + 1 < next_expected_) ++disorder_;
    next_expected_ = std::max(next_expected_, stamp.sequence + 1);
    if (stamp.sequence >= warm_) {
      if (first_ns_ == 0) first_ns_ = now;
      last_ns_ = now;
    }
    arrived_.push_back({stamp.sequence, now - stamp.intended_ns});
  }

  void wait(std::uint64_t until) {
    pollfd polled[4];
    nfds_t n = 0;
    for (const int fd : carrier_.descriptors()) {
      polled[n++] = {fd, static_cast<short>(carrier_.wants_output() && n == 0 ? POLLIN | POLLOUT : POLLIN), 0};
    }
    const std::uint64_t now = now_ns();
    const std::uint64_t left = until > now ? until - now : 0;
    const timespec t{static_cast<time_t>(left / kSecond), static_cast<long>(left % kSecond)};
    if (ppoll(polled, n, &t, nullptr) > 0) {
      carrier_.process([this](const Stamp& stamp, std::size_t bytes) { take(stamp, bytes); });
    }
  }

  Carrier& carrier_;
  const Load load_;
  std::vector<std::uint8_t> message_;
  std::uint64_t warm_ = 0, count_ = 0;
  std::vector<Arrived> arrived_;
  std::vector<bool> seen_;
  std::uint64_t received_ = 0, refused_ = 0, refused_measured_ = 0, twice_ = 0, disorder_ = 0, wrong_length_ = 0,
                next_expected_ = 0;
  std::uint64_t late_most_ns_ = 0, first_ns_ = 0, last_ns_ = 0, end_offer_ns_ = 0, cpu_began_ns_ = 0, cpu_used_ns_ = 0;
};

int run(int argc, char** argv) {
  cxxopts::Options options("portolan-peers",
                           "One publisher and one subscriber through a broker, open loop; or the bare relay.");
  options.add_options()("kind", "relay, nats, mqtt, portolan; or serve-relay: be the relay",
                        cxxopts::value<std::string>())("publish", "the publisher's broker, HOST:PORT",
                                                       cxxopts::value<std::string>()->default_value(""))(
      "publish-id", "its number (portolan)", cxxopts::value<std::uint64_t>()->default_value("1"))(
      "subscribe", "the subscriber's broker; default: the same", cxxopts::value<std::string>()->default_value(""))(
      "subscribe-id", "its number (portolan)", cxxopts::value<std::uint64_t>()->default_value("1"))(
      "listen", "where relayed datagrams arrive", cxxopts::value<std::string>()->default_value(""))(
      "to", "serve-relay: where they go", cxxopts::value<std::string>()->default_value(""))(
      "bytes", "of a message", cxxopts::value<std::size_t>()->default_value("256"))(
      "rate", "messages a second", cxxopts::value<double>()->default_value("1000"))(
      "seconds", "measured", cxxopts::value<double>()->default_value("5"))(
      "warm-up", "seconds before, not counted", cxxopts::value<double>()->default_value("1"))(
      "raw", "each latency, as CSV, into this file", cxxopts::value<std::string>()->default_value(""))("help", "this");
  const auto o = options.parse(argc, argv);
  if (o.count("help") != 0 || o.count("kind") == 0) {
    fmt::print("{}", options.help());
    return o.count("help") != 0 ? 0 : 64;
  }
  const auto kind = o["kind"].as<std::string>();
  Ends ends{o["publish"].as<std::string>(), o["subscribe"].as<std::string>(), o["publish-id"].as<std::uint64_t>(),
            o["subscribe-id"].as<std::uint64_t>(), o["listen"].as<std::string>()};
  if (ends.subscribe.empty()) ends.subscribe = ends.publish;
  if (kind == "serve-relay") relay(ends.listen, o["to"].as<std::string>());
  const Load load{o["bytes"].as<std::size_t>(), o["rate"].as<double>(), o["seconds"].as<double>(),
                  o["warm-up"].as<double>()};
  if (load.bytes < kLeastBytes || load.bytes > kMostBytes || !(load.rate > 0) || !(load.seconds > 0) ||
      load.warm_up < 0) {
    fmt::print(stderr, "portolan-peers: --bytes is {} to {}, --rate and --seconds above 0\n", kLeastBytes, kMostBytes);
    return 64;
  }
  using Maker = std::unique_ptr<Carrier> (*)(const Ends&);
  const std::pair<const char*, Maker> makers[] = {
      {"relay", make_relay}, {"nats", make_nats}, {"mqtt", make_mqtt}, {"portolan", make_portolan}};
  for (const auto& [name, make] : makers) {
    if (kind != name) continue;
    const auto carrier = make(ends);
    Bench bench(*carrier, load);
    bench.run();
    bench.print();
    if (const auto raw = o["raw"].as<std::string>(); !raw.empty()) bench.raw(raw);
    return 0;
  }
  fmt::print(stderr, "portolan-peers: no kind \"{}\"; valid: relay, nats, mqtt, portolan, serve-relay\n", kind);
  return 64;
}

}  // namespace
}  // namespace portolan::peers

int main(int argc, char** argv) {
  try {
    return portolan::peers::run(argc, argv);
  } catch (const cxxopts::exceptions::exception& wrong) {
    fmt::print(stderr, "portolan-peers: {}\n", wrong.what());
    return 64;
  }
}
