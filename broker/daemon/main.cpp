// portolan-broker: one harbour's broker over UDP. See broker/daemon/CONFIG.md. Exit codes as in README: 0 ended when
// told to, 1 a fault of ours, 64 a wrong configuration or command line, 69 this machine cannot.
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cxxopts.hpp>
#include <iostream>

#include "broker/daemon/host.hpp"
#include "broker/daemon/notify.hpp"

namespace {

using namespace std::string_literals;
using portolan::Error;
using portolan::Exit;
using portolan::Expected;
using portolan::daemon::Config;
using portolan::daemon::Level;
namespace daemon = portolan::daemon;
namespace udp = portolan::udp;

constexpr const char* kUsage =
    "usage: portolan-broker --config FILE [--check-config]\n"
    "  --config FILE    YAML; broker/daemon/CONFIG.md explains every key\n"
    "  --check-config   read it, say what is wrong or what it takes, and end\n"
    "  --version        and end\n"
    "signals: TERM, INT drain and end; HUP reads the configuration again\n";

int usage(const std::string& why) {
  std::cerr << "portolan-broker: " << why << "\n" << kUsage;
  return static_cast<int>(Exit::usage);
}

// The run: signals and the second's work beside the loop.
class Daemon {
 public:
  Daemon(Config config, std::string file)
      : config_(std::move(config)), file_(std::move(file)), log_(config_.log.level, config_.log.json) {}

  int run() {
    if (auto begun = begin(); !begun) {
      log_(Level::error, "cannot start", {{"why", begun.error().text()}});
      return static_cast<int>(begun.error().code);
    }
    while (!done()) host_->loop().wait(stopping_ ? 10'000'000 : portolan::broker::kNever);
    host_->say_totals();
    auto finished = host_->broken() ? Expected<void>(tl::unexpected<Error>(*host_->broken())) : host_->finish();
    if (!finished) {
      log_(Level::error, "records", {{"why", finished.error().text()}});
      return static_cast<int>(finished.error().code);
    }
    log_(Level::info, "ended", {{"sessions", host_->sessions()}});
    return 0;
  }

 private:
  Expected<void> begin() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    signals_ = udp::Descriptor(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    second_ = udp::Descriptor(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    const std::uint64_t period_ns =
        notifier_.watchdog_ns() == 0 ? 1'000'000'000 : std::min<std::uint64_t>(notifier_.watchdog_ns(), 1'000'000'000);
    itimerspec every{};
    every.it_interval.tv_sec = every.it_value.tv_sec = static_cast<time_t>(period_ns / 1'000'000'000);
    every.it_interval.tv_nsec = every.it_value.tv_nsec = static_cast<long>(period_ns % 1'000'000'000);
    timerfd_settime(second_.get(), 0, &every, nullptr);

    auto host = daemon::BrokerHost::make(config_, log_);
    if (!host) return tl::unexpected<Error>(host.error());
    host_ = std::move(*host);
    if (auto ok = host_->loop().watch(signals_.get(), [this] { on_signal(); }); !ok) return ok;
    if (auto ok = host_->loop().watch(second_.get(), [this] { on_second(); }); !ok) return ok;
    say_what_it_takes();
    host_->loop().after_call();
    notifier_.send("READY=1\nSTATUS=serving");
    return {};
  }

  void say_what_it_takes() {
    log_(Level::info, "starting",
         {{"name", config_.name},
          {"id", config_.id},
          {"incarnation", host_->incarnation()},
          {"security", "plain: nothing is sealed and anybody may join"},
          {"config", file_}});
    for (const udp::UdpSocket& socket : host_->loop().sockets()) {
      log_(Level::info, "listening",
           {{"address", socket.local().text()},
            {"receive_buffer_bytes", socket.receive_buffer_bytes()},
            {"gso", socket.gso()},
            {"gro", socket.gro()}});
    }
    for (const daemon::Share& share : daemon::memory_shares(config_.limits)) {
      log_(Level::info, "memory", {{"pool", share.name}, {"bound", share.bound}, {"bytes", share.bytes}});
    }
  }

  void on_signal() {
    signalfd_siginfo info{};
    while (read(signals_.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGHUP) {
        reload();
      } else if (!stopping_) {
        stop();
      }
    }
  }

  void stop() {
    stopping_ = true;
    notifier_.send("STOPPING=1\nSTATUS=draining");
    log_(Level::info, "draining", {{"sessions", host_->sessions()}});
    host_->engine().drain(host_->loop().now());
    host_->loop().after_call();
    stop_by_ns_ = udp::monotonic_ns() + config_.drain_ns;
  }

  bool done() const {
    if (host_->broken()) return true;
    return stopping_ && (!host_->loop().sending() || udp::monotonic_ns() >= stop_by_ns_);
  }

  void reload() {
    notifier_.send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(udp::monotonic_ns() / 1'000));
    daemon::ReadConfig next = daemon::read_config(file_);
    for (const std::string& message : next.messages) log_(Level::error, "configuration", {{"message", message}});
    if (!next.config) {
      log_(Level::error, "not reloaded", {{"why", "the configuration is wrong; the former one stays in force"}});
    } else if (const auto keys = daemon::needs_restart(config_, *next.config); !keys.empty()) {
      for (const std::string& key : keys) {
        log_(Level::error, "not reloaded", {{"key", key}, {"why", "cannot change while running; restart the broker"}});
      }
    } else {
      log_.set_level(next.config->log.level);
      config_ = std::move(*next.config);
      log_(Level::info, "reloaded", {{"log.level", config_.log.level}, {"name", config_.name}});
    }
    notifier_.send("READY=1\nSTATUS=serving");
  }

  void on_second() {
    std::uint64_t fired = 0;
    if (read(second_.get(), &fired, sizeof fired) < 0) return;
    if (notifier_.watchdog_ns() > 0) notifier_.send("WATCHDOG=1");
    host_->each_second();
  }

  Config config_;
  std::string file_;
  daemon::Logger log_;
  daemon::Notifier notifier_;
  udp::Descriptor signals_, second_;
  std::unique_ptr<daemon::BrokerHost> host_;
  bool stopping_ = false;
  std::uint64_t stop_by_ns_ = 0;
};

int check(const Config& config, const std::string& file) {
  std::cout << file << ": valid\n";
  for (const daemon::Share& share : daemon::memory_shares(config.limits)) {
    std::cout << "  " << share.name;
    if (share.bound > 0) std::cout << " (" << share.bound << ")";
    std::cout << ": " << portolan::read::show_size(share.bytes) << "\n";
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    cxxopts::Options parser("portolan-broker", "One harbour's broker");
    parser.add_options()("config", "", cxxopts::value<std::string>())("check-config", "")("version", "")("h,help", "")(
        "rest", "", cxxopts::value<std::vector<std::string>>());
    parser.parse_positional({"rest"});
    const auto given = parser.parse(argc, argv);
    if (given.count("help") > 0) {
      std::cout << kUsage;
      return 0;
    }
    if (given.count("version") > 0) {
      std::cout << "portolan-broker " PORTOLAN_VERSION " (wire version " << PTL_VERSION << ")\n";
      return 0;
    }
    if (given.count("rest") > 0)
      return usage("no argument \""s + given["rest"].as<std::vector<std::string>>()[0] + "\"");
    if (given.count("config") == 0) return usage("say --config FILE");
    const std::string file = given["config"].as<std::string>();
    daemon::ReadConfig read = daemon::read_config(file);
    for (const std::string& message : read.messages) std::cerr << message << "\n";
    if (!read.config) return static_cast<int>(Exit::usage);
    if (given.count("check-config") > 0) return check(*read.config, file);
    return Daemon(std::move(*read.config), file).run();
  } catch (const cxxopts::exceptions::exception& e) {
    return usage(e.what());
  } catch (const std::exception& e) {
    std::cerr << "portolan-broker: " << e.what() << "\n";
    return static_cast<int>(Exit::failed);
  }
}
