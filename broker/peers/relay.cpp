// The floor: a bare UDP relay where a broker would be. Messages above one datagram go as several; nothing is repaired.
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "broker/peers/carrier.hpp"
#include "broker/peers/sockets.hpp"

namespace portolan::peers {
namespace {

constexpr std::size_t kDatagram =
    1'408;  // as Portolan's: a fragment of 1,280 bytes and its headers fit 1,500 with VXLAN
constexpr std::size_t kBatch = 64;

struct Head {
  std::uint32_t message = 0;
  std::uint16_t index = 0, count = 1;
};
constexpr std::size_t kChunk = kDatagram - sizeof(Head);

class Relayed final : public Carrier {
 public:
  explicit Relayed(const Ends& ends) : out_(udp_socket("")), in_(udp_socket(ends.listen)) {
    const sockaddr_in to = address_of(ends.publish);
    if (connect(out_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) give_up("no way to the relay");
  }
  ~Relayed() override {
    close(out_);
    close(in_);
  }

  bool ready() const override { return true; }

  bool publish(std::span<const std::uint8_t> message) override {
    Head head{++message_, 0, static_cast<std::uint16_t>((message.size() + kChunk - 1) / kChunk)};
    for (; head.index < head.count; ++head.index) {
      if (waiting_ == kBatch) flush();
      const auto part = message.subspan(head.index * kChunk, std::min(kChunk, message.size() - head.index * kChunk));
      std::memcpy(datagrams_[waiting_], &head, sizeof head);
      std::memcpy(datagrams_[waiting_] + sizeof head, part.data(), part.size());
      lengths_[waiting_++] = sizeof head + part.size();
    }
    return true;
  }

  void flush() override {
    mmsghdr messages[kBatch] = {};
    iovec parts[kBatch];
    for (std::size_t i = 0; i < waiting_; ++i) {
      parts[i] = {datagrams_[i], lengths_[i]};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (std::size_t done = 0; done < waiting_;) {
      const int n = sendmmsg(out_, messages + done, static_cast<unsigned>(waiting_ - done), 0);
      done += n > 0 ? static_cast<std::size_t>(n) : 1;  // one that cannot leave is lost, as any other
    }
    waiting_ = 0;
  }

  std::vector<int> descriptors() const override { return {in_}; }

  void process(const Sink& sink) override {
    mmsghdr messages[kBatch] = {};
    iovec parts[kBatch];
    for (std::size_t i = 0; i < kBatch; ++i) {
      parts[i] = {received_[i], kDatagram};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int n = recvmmsg(in_, messages, kBatch, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < n; ++i) take(received_[i], messages[i].msg_len, sink);
  }

 private:
  struct Partial {
    Stamp stamp;
    std::size_t bytes = 0;
    std::uint16_t parts = 0;
  };

  void take(const std::uint8_t* datagram, std::size_t length, const Sink& sink) {
    Head head;
    if (length < sizeof head) return;
    std::memcpy(&head, datagram, sizeof head);
    Stamp stamp;
    if (head.index == 0 && length >= sizeof head + sizeof stamp) {
      std::memcpy(&stamp, datagram + sizeof head, sizeof stamp);
    }
    if (head.count == 1) return sink(stamp, length - sizeof head);
    if (partial_.size() > 4'096) partial_.clear();  // of messages that lost a part
    Partial& p = partial_[head.message];
    if (head.index == 0) p.stamp = stamp;
    p.bytes += length - sizeof head;
    if (++p.parts < head.count) return;
    sink(p.stamp, p.bytes);
    partial_.erase(head.message);
  }

  int out_, in_;
  std::uint32_t message_ = 0;
  std::size_t waiting_ = 0;
  std::uint8_t datagrams_[kBatch][kDatagram], received_[kBatch][kDatagram];
  std::size_t lengths_[kBatch] = {};
  std::unordered_map<std::uint32_t, Partial> partial_;
};

}  // namespace

std::unique_ptr<Carrier> make_relay(const Ends& ends) {
  return std::make_unique<Relayed>(ends);
}

void relay(const std::string& listen, const std::string& to) {
  const int fd = udp_socket(listen);
  const sockaddr_in target = address_of(to);
  static std::uint8_t datagram[65'536];
  for (;;) {
    const ssize_t n = recvfrom(fd, datagram, sizeof datagram, 0, nullptr, nullptr);
    if (n < 0 && errno != EINTR) give_up(fmt::format("the relay cannot receive: {}", std::strerror(errno)));
    if (n < 0) continue;
    (void)sendto(fd, datagram, static_cast<std::size_t>(n), 0, reinterpret_cast<const sockaddr*>(&target),
                 sizeof target);
  }
}

}  // namespace portolan::peers
