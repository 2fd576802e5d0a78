// portolan-client bench: open-loop latency from the intended time, and what came. A publisher and a subscriber in this
// one process and thread, on one clock, each with a session of its own (to two brokers, where asked for: two hops).
#include <poll.h>

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <ctime>

#include "broker/program/verbs.hpp"

namespace portolan::program {

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::size_t kSamplesMost = 50'000'000;

class Bench : public Handler {
 public:
  Bench(const Common& common, const BenchOptions& options) : common_(common), options_(options) {}

  int run() {
    int exit_code = 0;
    Common far = common_;
    if (!options_.subscribe_at.empty()) {
      far.connection.broker = options_.subscribe_at;
      far.connection.broker_id = options_.subscribe_at_id;
    }
    subscriber_ = connect(far, *this, exit_code);
    if (!subscriber_) return exit_code;
    publisher_ = connect(common_, *this, exit_code);
    if (!publisher_) return exit_code;
    topic_ = "portolan/bench/" + std::to_string(publisher_->id());
    subscriber_->subscribe(topic_);
    const std::uint64_t answered_by = monotonic_ns() + common_.connect_within_ns;
    while (!subscribed_ && monotonic_ns() < answered_by && !interrupted()) both(answered_by);
    if (!subscribed_) return say(Exit::cannot, "the subscription to " + topic_ + " was not answered");
    fire();
    const std::uint64_t until = monotonic_ns() + common_.finish_within_ns;
    while (taken_ns_.size() < sent_ && monotonic_ns() < until && !interrupted()) both(until);
    publisher_->close();
    subscriber_->leave();
    return report();
  }

  void on_subscribed(std::string_view, std::uint32_t) override { subscribed_ = true; }
  void on_message(const Message& message) override {
    std::uint64_t intended = 0;
    std::memcpy(&intended, message.pieces.front().data(), std::min(sizeof intended, message.pieces.front().size()));
    last_ns_ = monotonic_ns();
    if (taken_ns_.size() < kSamplesMost) taken_ns_.push_back(last_ns_ - intended);
  }
  void on_gap(const Gap& gap) override { gaps_ += gap.last == kOpenEnded ? 1 : gap.last - gap.first + 1; }

 private:
  // Both sessions, to the nanosecond: poll's milliseconds would be the measurement.
  void both(std::uint64_t until_ns) {
    const std::uint64_t now = monotonic_ns();
    const std::uint64_t left = std::min<std::uint64_t>(until_ns > now ? until_ns - now : 0, kSecond);
    pollfd fds[2] = {{publisher_ ? publisher_->descriptor() : -1, POLLIN, 0}, {subscriber_->descriptor(), POLLIN, 0}};
    const timespec timeout{static_cast<time_t>(left / kSecond), static_cast<long>(left % kSecond)};
    ppoll(fds, 2, &timeout, nullptr);
    if ((fds[0].revents & POLLIN) != 0) publisher_->process();
    if ((fds[1].revents & POLLIN) != 0) subscriber_->process();
  }

  void fire() {
    std::string payload(std::max<std::size_t>(options_.size_bytes, 8), '.');
    first_ns_ = monotonic_ns() + 10'000'000;
    const std::uint64_t all =
        options_.for_ns / kSecond * options_.rate + options_.for_ns % kSecond * options_.rate / kSecond;
    taken_ns_.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(all, kSamplesMost)));
    for (std::uint64_t i = 0; i < all && !interrupted();) {
      const std::uint64_t due = first_ns_ + i / options_.rate * kSecond + i % options_.rate * kSecond / options_.rate;
      const std::uint64_t now = monotonic_ns();
      if (now < due) {
        both(due);
        continue;
      }
      late_most_ns_ = std::max(late_most_ns_, now - due);
      std::memcpy(payload.data(), &due, sizeof due);
      const Published published = publisher_->publish(topic_, payload, options_.lane);
      published ? ++sent_ : ++refused_;
      ++i;
      // Behind its time it must still hear: acknowledgements are what lets it send.
      if (i % 16 == 0) both(0);
    }
  }

  int report() {
    std::sort(taken_ns_.begin(), taken_ns_.end());
    const auto at = [&](std::uint64_t permyriad) {  // nearest rank, as the checker has it
      const std::size_t n = taken_ns_.size();
      const std::size_t rank = (n * permyriad + 9'999) / 10'000;
      return static_cast<double>(taken_ns_[std::max<std::size_t>(rank, 1) - 1]) / 1e3;
    };
    std::printf("%" PRIu64 " published at %" PRIu64 "/s, %zu bytes; %" PRIu64 " refused; %zu came, %" PRIu64
                " in gaps\n",
                sent_, options_.rate, std::max<std::size_t>(options_.size_bytes, 8), refused_, taken_ns_.size(), gaps_);
    if (!taken_ns_.empty()) {
      const double seconds = static_cast<double>(last_ns_ - first_ns_) / 1e9;
      std::printf("from the intended time: p50 %.1f us, p90 %.1f us, p99 %.1f us, p99.9 %.1f us, most %.1f us\n",
                  at(5'000), at(9'000), at(9'900), at(9'990), at(10'000));
      std::printf("%.0f messages/s came; the publisher was at most %.1f us late\n",
                  static_cast<double>(taken_ns_.size()) / seconds, static_cast<double>(late_most_ns_) / 1e3);
    }
    return taken_ns_.size() == sent_ && refused_ == 0 ? 0 : static_cast<int>(Exit::failed);
  }

  const Common& common_;
  const BenchOptions& options_;
  std::unique_ptr<Client> publisher_, subscriber_;
  std::string topic_;
  bool subscribed_ = false;
  std::vector<std::uint64_t> taken_ns_;
  std::uint64_t sent_ = 0, refused_ = 0, gaps_ = 0, first_ns_ = 0, last_ns_ = 0, late_most_ns_ = 0;
};

}  // namespace

int bench(const Common& common, const BenchOptions& options) {
  return Bench(common, options).run();
}

}  // namespace portolan::program
