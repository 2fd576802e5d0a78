#include "broker/peers/sockets.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "broker/peers/carrier.hpp"

namespace portolan::peers {

void give_up(const std::string& why) {
  fmt::print(stderr, "portolan-peers: {}\n", why);
  std::exit(69);
}

void broke_off(const std::string& why) {
  fmt::print(stderr, "portolan-peers: {}\n", why);
  std::exit(1);
}

sockaddr_in address_of(const std::string& text) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  const std::size_t colon = text.rfind(':');
  const int port = colon == std::string::npos ? 0 : std::atoi(text.c_str() + colon + 1);
  if (port <= 0 || port > 65'535 || inet_pton(AF_INET, text.substr(0, colon).c_str(), &out.sin_addr) != 1) {
    fmt::print(stderr, "portolan-peers: \"{}\" is not an address such as 10.0.0.1:7400\n", text);
    std::exit(64);
  }
  out.sin_port = htons(static_cast<std::uint16_t>(port));
  return out;
}

int udp_socket(const std::string& bind_to) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) give_up(fmt::format("no UDP socket: {}", std::strerror(errno)));
  const int bytes = 8 << 20;
  for (const int forced : {SO_RCVBUFFORCE, SO_RCVBUF, SO_SNDBUFFORCE, SO_SNDBUF}) {
    (void)setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes);  // without privilege the kernel's bound counts
  }
  if (!bind_to.empty()) {
    const sockaddr_in at = address_of(bind_to);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
      give_up(fmt::format("cannot listen on {}: {}", bind_to, std::strerror(errno)));
    }
  }
  return fd;
}

Stream::Stream(const std::string& to) {
  const sockaddr_in at = address_of(to);
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0 || connect(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
    give_up(fmt::format("cannot connect to {}: {}", to, std::strerror(errno)));
  }
  const int on = 1;
  if (setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 || fcntl(fd_, F_SETFL, O_NONBLOCK) != 0) {
    give_up(fmt::format("cannot set up the connection to {}: {}", to, std::strerror(errno)));
  }
}

Stream::~Stream() {
  close(fd_);
}

void Stream::flush() {
  while (waiting()) {
    const ssize_t n = send(fd_, out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) broke_off(fmt::format("the broker closed the connection: {}", std::strerror(errno)));
    sent_ += static_cast<std::size_t>(n);
  }
  out_.clear();
  sent_ = 0;
}

std::string_view Stream::read() {
  if (used_ == in_.size()) {
    in_.clear();
    used_ = 0;
  } else if (used_ > in_.size() / 2) {
    in_.erase(0, used_);
    used_ = 0;
  }
  char bytes[256 << 10];
  const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
  if (n == 0) broke_off("the broker closed the connection");
  if (n < 0 && errno != EAGAIN && errno != EINTR) broke_off(fmt::format("connection lost: {}", std::strerror(errno)));
  if (n > 0) in_.append(bytes, static_cast<std::size_t>(n));
  return std::string_view(in_).substr(used_);
}

void Stream::await(std::string_view text) {
  for (int tries = 0; tries < 100; ++tries) {
    flush();
    const std::string_view have = read();
    if (const std::size_t at = have.find(text); at != std::string_view::npos) {
      consume(at + text.size());
      return;
    }
    pollfd p{fd_, POLLIN, 0};
    (void)poll(&p, 1, 100);
  }
  give_up("the broker does not answer as its protocol says");
}

}  // namespace portolan::peers
