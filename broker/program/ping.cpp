// portolan-client ping: messages to a topic that only we subscribe to, there and back through the broker.
#include <algorithm>
#include <cinttypes>
#include <cstring>

#include "broker/program/verbs.hpp"

namespace portolan::program {

namespace {

class Pinger : public Handler {
 public:
  Pinger(const Common& common, const PingOptions& options) : common_(common), options_(options) {}

  int run() {
    int exit_code = 0;
    client_ = connect(common_, *this, exit_code);
    if (!client_) return exit_code;
    topic_ = "portolan/ping/" + std::to_string(client_->id());
    client_->subscribe(topic_);
    const std::uint64_t answered_by = monotonic_ns() + common_.connect_within_ns;
    while (!subscribed_ && monotonic_ns() < answered_by && !interrupted()) wait(*client_, -1, answered_by);
    if (!subscribed_) return say(Exit::cannot, "the subscription to " + topic_ + " was not answered");
    const std::uint64_t start = monotonic_ns();
    std::string payload(std::max<std::size_t>(options_.size_bytes, 8), '.');
    std::uint64_t sent = 0;
    while (sent < options_.count && !interrupted()) {
      // Open loop: the round trip counts from when the message was meant to leave.
      const std::uint64_t due = start + sent * options_.every_ns;
      while (monotonic_ns() < due && !interrupted()) wait(*client_, -1, due);
      std::memcpy(payload.data(), &due, sizeof due);
      if (client_->publish(topic_, payload)) ++sent;
    }
    const std::uint64_t until = monotonic_ns() + 2'000'000'000;
    while (round_trips_.size() < sent && monotonic_ns() < until && !interrupted()) wait(*client_, -1, until);
    client_->leave();
    return report(sent);
  }

  void on_subscribed(std::string_view, std::uint32_t) override { subscribed_ = true; }
  void on_message(const Message& message) override {
    std::uint64_t due = 0;
    std::memcpy(&due, message.pieces.front().data(), std::min(sizeof due, message.pieces.front().size()));
    const std::uint64_t took = monotonic_ns() - due;
    round_trips_.push_back(took);
    std::printf("%" PRIu64 ": %zu bytes, %.1f us\n", message.sequence, message.bytes, static_cast<double>(took) / 1e3);
  }

 private:
  int report(std::uint64_t sent) {
    std::sort(round_trips_.begin(), round_trips_.end());
    std::printf("%" PRIu64 " sent, %zu came back", sent, round_trips_.size());
    if (!round_trips_.empty()) {
      std::printf("; least %.1f us, median %.1f us, most %.1f us", static_cast<double>(round_trips_.front()) / 1e3,
                  static_cast<double>(round_trips_[(round_trips_.size() - 1) / 2]) / 1e3,
                  static_cast<double>(round_trips_.back()) / 1e3);
    }
    std::printf("\n");
    return round_trips_.size() == sent ? 0 : static_cast<int>(Exit::failed);
  }

  const Common& common_;
  const PingOptions& options_;
  std::unique_ptr<Client> client_;
  std::string topic_;
  bool subscribed_ = false;
  std::vector<std::uint64_t> round_trips_;
};

}  // namespace

int ping(const Common& common, const PingOptions& options) {
  return Pinger(common, options).run();
}

}  // namespace portolan::program
