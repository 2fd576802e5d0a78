// MQTT 3.1.1 (OASIS standard, 29 October 2014), QoS 0: a fixed header of type, flags and a length of one to four bytes.
#include <cstring>
#include <string>

#include "broker/peers/carrier.hpp"
#include "broker/peers/sockets.hpp"

namespace portolan::peers {
namespace {

std::string length_of(std::size_t bytes) {  // 2.2.3: seven bits a byte, the least first
  std::string out;
  do {
    const auto low = static_cast<char>(bytes & 0x7F);
    bytes >>= 7;
    out.push_back(bytes != 0 ? static_cast<char>(low | '\x80') : low);
  } while (bytes != 0);
  return out;
}

std::string text_of(std::string_view text) {  // 1.5.3: two bytes of length, the largest first
  std::string out;
  out.push_back(static_cast<char>(text.size() >> 8));
  out.push_back(static_cast<char>(text.size() & 0xFF));
  return out.append(text);
}

std::string packet(char type, const std::string& body) {
  return std::string(1, type) + length_of(body.size()) + body;
}

class Mqtt final : public Carrier {
 public:
  explicit Mqtt(const Ends& ends) : publisher_(ends.publish), subscriber_(ends.subscribe) {
    hello(publisher_, "bench-publisher");
    hello(subscriber_, "bench-subscriber");
    subscriber_.append(packet('\x82', std::string("\x00\x01", 2) + text_of("bench") + std::string(1, '\0')));
    subscriber_.await(std::string_view("\x90\x03\x00\x01\x00", 5));
  }

  bool ready() const override { return true; }

  bool publish(std::span<const std::uint8_t> message) override {
    if (!publisher_.room_for(message.size() + 64)) return false;
    static const std::string topic = text_of("bench");
    publisher_.append("\x30");
    publisher_.append(length_of(topic.size() + message.size()));
    publisher_.append(topic);
    publisher_.append(message);
    return true;
  }
  void flush() override { publisher_.flush(); }
  std::vector<int> descriptors() const override { return {publisher_.descriptor(), subscriber_.descriptor()}; }
  bool wants_output() const override { return publisher_.waiting(); }

  void process(const Sink& sink) override {
    publisher_.flush();
    packets(publisher_, sink);
    packets(subscriber_, sink);
  }

 private:
  static void hello(Stream& s, std::string_view name) {
    const std::string head =
        text_of("MQTT") + std::string("\x04\x02\x00\x00", 4);  // level 4, clean session, no keep-alive
    s.append(packet('\x10', head + text_of(name)));
    s.await(std::string_view("\x20\x02\x00\x00", 4));
  }

  static void packets(Stream& s, const Sink& sink) {
    std::string_view have = s.read();
    for (;;) {
      std::size_t bytes = 0, at = 1;
      for (unsigned shift = 0;; shift += 7, ++at) {
        if (at >= have.size()) return;
        const auto byte = static_cast<unsigned char>(have[at]);
        bytes |= static_cast<std::size_t>(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) break;
        if (shift == 21) give_up("Mosquitto sent a length that is none");
      }
      ++at;
      if (have.size() < at + bytes) return;
      if ((have[0] & '\xF0') == '\x30') {
        const std::size_t topic = 2 + (static_cast<std::size_t>(static_cast<unsigned char>(have[at])) << 8) +
                                  static_cast<unsigned char>(have[at + 1]);
        Stamp stamp;
        if (bytes >= topic + sizeof stamp) std::memcpy(&stamp, have.data() + at + topic, sizeof stamp);
        sink(stamp, bytes - topic);
      }
      s.consume(at + bytes);
      have.remove_prefix(at + bytes);
    }
  }

  Stream publisher_, subscriber_;
};

}  // namespace

std::unique_ptr<Carrier> make_mqtt(const Ends& ends) {
  return std::make_unique<Mqtt>(ends);
}

}  // namespace portolan::peers
