// portolan-client pub: lines of standard input, a file as one message, or NMEA with the timing of its own stamps.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "broker/program/verbs.hpp"
#include "scenarios/load/nmea.hpp"

namespace portolan::program {

namespace {

class Publisher : public Handler {
 public:
  Publisher(const Common& common, const PubOptions& options) : common_(common), options_(options) {}

  int run() {
    int exit_code = 0;
    client_ = connect(common_, *this, exit_code);
    if (!client_) return exit_code;
    if (!options_.nmea.empty()) {
      exit_code = nmea();
    } else if (!options_.file.empty()) {
      exit_code = file();
    } else {
      exit_code = lines();
    }
    return exit_code != 0 ? exit_code : finish();
  }

  void on_received(const Answer& answer) override { received_ += answer.last - answer.first + 1; }
  void on_refused(const Answer& answer) override {
    refused_ += answer.last - answer.first + 1;
    why_ = answer.refused;
  }

 private:
  // Waits while the sender is full: a pipe is slowed down, nothing is dropped.
  bool publish(std::string_view payload) {
    for (;;) {
      const Published published = client_->publish(options_.topic, payload, options_.lane);
      if (published) return true;
      const bool later = published.refused == Refused::backlog || published.refused == Refused::memory_full ||
                         published.refused == Refused::retry_later;
      if (!later || interrupted()) {
        say(Exit::failed, std::string("refused: ") + name_of(published.refused));
        return false;
      }
      const std::uint64_t until = monotonic_ns() + std::max<std::uint64_t>(published.retry_after_ns, 1'000'000);
      while (monotonic_ns() < until) wait(*client_, -1, until);
    }
  }

  int lines() {
    std::string buffer;
    char piece[65'536];
    for (;;) {
      if (interrupted()) return 0;
      if (!wait(*client_, STDIN_FILENO, monotonic_ns() + 1'000'000'000)) continue;
      const ssize_t got = ::read(STDIN_FILENO, piece, sizeof piece);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      buffer.append(piece, static_cast<std::size_t>(got));
      std::size_t from = 0;
      for (std::size_t end = 0; (end = buffer.find('\n', from)) != std::string::npos; from = end + 1) {
        if (!publish(std::string_view(buffer).substr(from, end - from))) return static_cast<int>(Exit::failed);
      }
      buffer.erase(0, from);
      if (buffer.size() > (16u << 20)) return say(Exit::usage, "a line of more than 16 MiB; is this text?");
    }
    if (!buffer.empty() && !publish(buffer)) return static_cast<int>(Exit::failed);
    return 0;
  }

  int file() {
    std::ifstream in(options_.file, std::ios::binary);
    if (!in) return say(Exit::cannot, options_.file + ": " + std::strerror(errno));
    const std::string bytes((std::istreambuf_iterator<char>(in)), {});
    return publish(bytes) ? 0 : static_cast<int>(Exit::failed);
  }

  int nmea() {
    std::ifstream in(options_.nmea, std::ios::binary);
    if (!in) return say(Exit::cannot, options_.nmea + ": " + std::strerror(errno));
    const std::string bytes((std::istreambuf_iterator<char>(in)), {});
    const auto replay = load::Replay::parse(bytes, options_.nmea);
    if (!replay) return say(replay.error().code, replay.error().text());
    std::fprintf(stderr, "%s\n", replay->summary().c_str());
    const std::uint64_t start = monotonic_ns();
    for (const load::Replay::Message& message : replay->messages()) {
      const auto at = static_cast<std::uint64_t>(message.at_ns);
      const std::uint64_t due = start + at / options_.speed_permille * 1'000 + at % options_.speed_permille;
      while (monotonic_ns() < due && !interrupted()) wait(*client_, -1, due);
      if (interrupted()) return 0;
      if (!publish(replay->text(message))) return static_cast<int>(Exit::failed);
    }
    return 0;
  }

  int finish() {
    const std::uint64_t until = monotonic_ns() + common_.finish_within_ns;
    while (client_->unreceived() > 0 && monotonic_ns() < until && !interrupted()) wait(*client_, -1, until);
    const std::uint64_t open = client_->unreceived();
    client_->close();
    if (refused_ > 0) {
      return say(Exit::failed, std::to_string(refused_) + " messages were refused: " + name_of(why_));
    }
    if (open > 0) {
      return say(Exit::failed, std::to_string(open) + " messages are not confirmed as received; they may have arrived");
    }
    return 0;
  }

  const Common& common_;
  const PubOptions& options_;
  std::unique_ptr<Client> client_;
  std::uint64_t received_ = 0, refused_ = 0;
  Refused why_ = Refused::none;
};

}  // namespace

int pub(const Common& common, const PubOptions& options) {
  return Publisher(common, options).run();
}

}  // namespace portolan::program
