// Sockets of the bench: addresses, buffers, and a TCP stream with bounded buffers. Used by broker/peers only.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace portolan::peers {

sockaddr_in address_of(const std::string& text);  // A.B.C.D:PORT
int udp_socket(const std::string& bind_to);       // empty: any; buffers of 8 MiB

// A connected TCP socket, not blocking, without Nagle's delay.
class Stream {
 public:
  explicit Stream(const std::string& to);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int descriptor() const { return fd_; }
  // False: so much waits already that this would pass the bound; nothing was taken.
  bool room_for(std::size_t bytes) const { return out_.size() - sent_ + bytes <= kMostWaiting; }
  void append(std::string_view text) { out_.append(text); }
  void append(std::span<const std::uint8_t> bytes) {
    out_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  bool waiting() const { return sent_ < out_.size(); }
  void flush();
  // Reads what is there; what has come and is not consumed yet.
  std::string_view read();
  void consume(std::size_t bytes) { used_ += bytes; }
  // Until `enough(text)` (during set-up only).
  void await(std::string_view text);

 private:
  static constexpr std::size_t kMostWaiting = 64u << 20;
  int fd_ = -1;
  std::string out_, in_;
  std::size_t sent_ = 0, used_ = 0;
};

}  // namespace portolan::peers
