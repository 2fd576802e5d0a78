// UDP addresses as text ("127.0.0.1:7400", "[::1]:7400"), as the kernel's sockaddr, and as a PathId. A PathId holds the
// whole of it (24 bytes: remote address, scope, port, which of our sockets), so no table of paths is kept and no
// stranger can fill one. Used by every real host.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "broker/types.hpp"
#include "scenarios/base/error.hpp"

namespace portolan::udp {

class Address {
 public:
  Address() = default;
  // Numbers only; names are for resolve(). The error says what would be right.
  static Expected<Address> parse(std::string_view text);
  // Asks the resolver for HOST:PORT when it is no number; blocks, so only before a loop begins.
  static Expected<Address> resolve(const std::string& text);
  static Address from_sockaddr(const sockaddr_storage& from);
  static Address from_path(const broker::PathId& path);

  int family() const { return family_; }  // AF_INET or AF_INET6
  bool v6() const { return family_ == AF_INET6; }
  std::uint16_t port() const { return port_; }
  bool any() const;  // 0.0.0.0 or ::
  socklen_t to_sockaddr(sockaddr_storage& to) const;
  // `socket`: index of the local socket through which it is reached.
  broker::PathId path(std::uint8_t socket) const;
  std::string text() const;
  friend bool operator==(const Address&, const Address&) = default;

 private:
  int family_ = AF_INET;
  std::uint16_t port_ = 0;
  std::uint32_t scope_ = 0;  // IPv6 link-local: the interface
  std::array<std::uint8_t, 16> bytes_{};
};

inline std::uint8_t socket_of(const broker::PathId& path) {
  return static_cast<std::uint8_t>(path.words[2] >> 16);
}

}  // namespace portolan::udp
