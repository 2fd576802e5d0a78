// NATS, by its client protocol (https://docs.nats.io/reference/reference-protocols/nats-protocol): text lines, payloads
// counted in bytes.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>

#include "broker/peers/carrier.hpp"
#include "broker/peers/sockets.hpp"

namespace portolan::peers {
namespace {

class Nats final : public Carrier {
 public:
  explicit Nats(const Ends& ends) : publisher_(ends.publish), subscriber_(ends.subscribe) {
    for (Stream* s : {&publisher_, &subscriber_}) {
      s->await("\r\n");  // INFO
      s->append("CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true}\r\nPING\r\n");
      s->await("PONG\r\n");
    }
    subscriber_.append("SUB bench 1\r\nPING\r\n");
    subscriber_.await("PONG\r\n");
  }

  // Over a route the interest takes its time: the bench's warm-up is longer.
  bool ready() const override { return true; }

  bool publish(std::span<const std::uint8_t> message) override {
    if (!publisher_.room_for(message.size() + 64)) return false;
    char line[64];
    const auto end = fmt::format_to_n(line, sizeof line, "PUB bench {}\r\n", message.size()).out;
    publisher_.append(std::string_view(line, static_cast<std::size_t>(end - line)));
    publisher_.append(message);
    publisher_.append("\r\n");
    return true;
  }
  void flush() override { publisher_.flush(); }
  std::vector<int> descriptors() const override { return {publisher_.descriptor(), subscriber_.descriptor()}; }
  bool wants_output() const override { return publisher_.waiting(); }

  void process(const Sink& sink) override {
    publisher_.flush();
    lines(publisher_, sink);
    lines(subscriber_, sink);
  }

 private:
  static void lines(Stream& s, const Sink& sink) {
    std::string_view have = s.read();
    for (;;) {
      const std::size_t end = have.find("\r\n");
      if (end == std::string_view::npos) return;
      const std::string_view line = have.substr(0, end);
      std::size_t whole = end + 2;
      if (line.starts_with("MSG ")) {  // MSG <subject> <sid> [reply-to] <#bytes>
        const auto bytes = static_cast<std::size_t>(std::atol(line.data() + line.rfind(' ') + 1));
        if (have.size() < whole + bytes + 2) return;
        Stamp stamp;
        if (bytes >= sizeof stamp) std::memcpy(&stamp, have.data() + whole, sizeof stamp);
        sink(stamp, bytes);
        whole += bytes + 2;
      } else if (line == "PING") {
        s.append("PONG\r\n");
        s.flush();
      } else if (line.starts_with("-ERR")) {
        give_up(fmt::format("NATS says {}", line));
      }
      s.consume(whole);
      have.remove_prefix(whole);
    }
  }

  Stream publisher_, subscriber_;
};

}  // namespace

std::unique_ptr<Carrier> make_nats(const Ends& ends) {
  return std::make_unique<Nats>(ends);
}

}  // namespace portolan::peers
