// portolan-client sub: prints what comes, as lines or as one JSON object a line, and every gap.
#include "broker/program/json.hpp"
#include "broker/program/verbs.hpp"

namespace portolan::program {

namespace {

class Subscriber : public Handler {
 public:
  Subscriber(const Common& common, const SubOptions& options) : common_(common), options_(options) {}

  int run() {
    int exit_code = 0;
    client_ = connect(common_, *this, exit_code);
    if (!client_) return exit_code;
    for (const std::string& filter : options_.filters) {
      const Refused refused = client_->subscribe(filter, options_.replay);
      if (refused == Refused::none) continue;
      return say(Exit::usage, "the filter \"" + filter + "\" is refused: " + name_of(refused) +
                                  "; levels between /, none empty, + for one, # for the rest");
    }
    const std::uint64_t until = options_.for_ns == 0 ? ~0ull : monotonic_ns() + options_.for_ns;
    while (!full() && monotonic_ns() < until && !interrupted() && !broken_) {
      wait(*client_, -1, until);
      std::fflush(stdout);
    }
    client_->leave();
    if (broken_) return say(Exit::cannot, "standard output cannot be written");
    if (options_.count > 0 && !full()) {
      return say(Exit::failed, std::to_string(seen_) + " of " + std::to_string(options_.count) + " messages came");
    }
    return 0;
  }

  void on_message(const Message& message) override {
    if (full()) return;  // what a batch brought beyond the count
    ++seen_;
    if (options_.json) {
      std::string line = stream_json("message", message.topic, message.publisher, message.incarnation);
      line += ",\"sequence\":" + std::to_string(message.sequence) + ",\"bytes\":" + std::to_string(message.bytes);
      print(line + "," + payload_json(message.text()) + "}");
    } else if (options_.quiet) {
      print(message.text());
    } else {
      print(std::string(message.topic) + " " + std::to_string(message.publisher) + "." +
            std::to_string(message.incarnation) + "#" + std::to_string(message.sequence) + " " + message.text());
    }
  }

  void on_gap(const Gap& gap) override {
    const std::string last = gap.last == kOpenEnded ? "" : std::to_string(gap.last);
    if (options_.json) {
      std::string line = stream_json("gap", gap.topic, gap.publisher, gap.incarnation);
      line += ",\"first\":" + std::to_string(gap.first) + ",\"last\":" + (last.empty() ? "null" : last);
      print(line + ",\"reason\":" + quoted_json(gap_reason(gap.reason)) + "}");
      return;
    }
    // Beside payloads alone a gap would look like one of them.
    std::fprintf(options_.quiet ? stderr : stdout, "GAP %.*s %llu.%u#%llu..%s %s\n", static_cast<int>(gap.topic.size()),
                 gap.topic.data(), static_cast<unsigned long long>(gap.publisher), gap.incarnation,
                 static_cast<unsigned long long>(gap.first), last.empty() ? "?" : last.c_str(), gap_reason(gap.reason));
  }

  void on_subscribed(std::string_view filter, std::uint32_t unreachable) override {
    std::fprintf(stderr, "subscribed %.*s", static_cast<int>(filter.size()), filter.data());
    if (unreachable > 0) std::fprintf(stderr, " (%u harbours cannot be reached now)", unreachable);
    std::fprintf(stderr, "\n");
  }
  void on_down(const Session&) override { std::fprintf(stderr, "the broker is gone; connecting again\n"); }

 private:
  bool full() const { return options_.count > 0 && seen_ >= options_.count; }
  void print(const std::string& line) {
    if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::fputc('\n', stdout) == EOF) {
      broken_ = true;
    }
  }

  const Common& common_;
  const SubOptions& options_;
  std::unique_ptr<Client> client_;
  std::uint64_t seen_ = 0;
  bool broken_ = false;
};

}  // namespace

int sub(const Common& common, const SubOptions& options) {
  return Subscriber(common, options).run();
}

}  // namespace portolan::program
