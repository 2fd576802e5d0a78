#include "broker/udp/address.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace portolan::udp {

namespace {

struct Parts {
  std::string host;
  std::uint16_t port = 0;
};

Expected<Parts> split(std::string_view text) {
  const auto wrong = [&] {
    return fail(Exit::usage, "",
                "\"" + std::string(text.substr(0, 80)) +
                    "\" is not an address; say ADDRESS:PORT, such as 127.0.0.1:7400 or [::1]:7400");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return wrong();
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.front() == '[') {
    if (host.back() != ']') return wrong();
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return wrong();  // an IPv6 address without brackets: its last group would be taken for a port
  }
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc{} || end != port.data() + port.size() || number > 65'535 || host.empty()) return wrong();
  return Parts{std::string(host), static_cast<std::uint16_t>(number)};
}

}  // namespace

Expected<Address> Address::parse(std::string_view text) {
  const auto parts = split(text);
  if (!parts) return tl::unexpected<Error>(parts.error());
  Address out;
  out.port_ = parts->port;
  if (inet_pton(AF_INET, parts->host.c_str(), out.bytes_.data()) == 1) return out;
  std::string host = parts->host;
  if (const std::size_t percent = host.find('%'); percent != std::string::npos) {
    out.scope_ = if_nametoindex(host.c_str() + percent + 1);
    host.resize(percent);
  }
  out.family_ = AF_INET6;
  if (inet_pton(AF_INET6, host.c_str(), out.bytes_.data()) == 1) return out;
  return fail(Exit::usage, "",
              "\"" + parts->host + "\" is not a numeric address; say one such as 127.0.0.1:7400 or [::1]:7400");
}

Expected<Address> Address::resolve(const std::string& text) {
  if (auto number = parse(text)) return number;
  const auto parts = split(text);
  if (!parts) return tl::unexpected<Error>(parts.error());
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(parts->host.c_str(), std::to_string(parts->port).c_str(), &hints, &found);
  if (error != 0 || found == nullptr) {
    return fail(Exit::cannot, text, std::string("the name cannot be resolved: ") + gai_strerror(error));
  }
  sockaddr_storage storage{};
  std::memcpy(&storage, found->ai_addr, std::min<std::size_t>(found->ai_addrlen, sizeof storage));
  freeaddrinfo(found);
  return from_sockaddr(storage);
}

Address Address::from_sockaddr(const sockaddr_storage& from) {
  Address out;
  if (from.ss_family == AF_INET6) {
    sockaddr_in6 a{};
    std::memcpy(&a, &from, sizeof a);
    out.family_ = AF_INET6;
    out.port_ = ntohs(a.sin6_port);
    out.scope_ = a.sin6_scope_id;
    std::memcpy(out.bytes_.data(), &a.sin6_addr, 16);
  } else {
    sockaddr_in a{};
    std::memcpy(&a, &from, sizeof a);
    out.port_ = ntohs(a.sin_port);
    std::memcpy(out.bytes_.data(), &a.sin_addr, 4);
  }
  return out;
}

socklen_t Address::to_sockaddr(sockaddr_storage& to) const {
  if (v6()) {
    sockaddr_in6 a{};
    a.sin6_family = AF_INET6;
    a.sin6_port = htons(port_);
    a.sin6_scope_id = scope_;
    std::memcpy(&a.sin6_addr, bytes_.data(), 16);
    std::memcpy(&to, &a, sizeof a);
    return sizeof a;
  }
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port_);
  std::memcpy(&a.sin_addr, bytes_.data(), 4);
  std::memcpy(&to, &a, sizeof a);
  return sizeof a;
}

// words[2]: port (16) | socket (8) | 1 for IPv4, 2 for IPv6 (8) | scope (32). Never all zero.
broker::PathId Address::path(std::uint8_t socket) const {
  broker::PathId path;
  std::memcpy(path.words.data(), bytes_.data(), 16);
  path.words[2] = port_ | static_cast<std::uint64_t>(socket) << 16 | (v6() ? 2ull : 1ull) << 24 |
                  static_cast<std::uint64_t>(scope_) << 32;
  return path;
}

Address Address::from_path(const broker::PathId& path) {
  Address out;
  std::memcpy(out.bytes_.data(), path.words.data(), 16);
  out.port_ = static_cast<std::uint16_t>(path.words[2]);
  out.family_ = ((path.words[2] >> 24) & 0xFF) == 2 ? AF_INET6 : AF_INET;
  out.scope_ = static_cast<std::uint32_t>(path.words[2] >> 32);
  return out;
}

bool Address::any() const {
  return std::all_of(bytes_.begin(), bytes_.end(), [](std::uint8_t b) { return b == 0; });
}

std::string Address::text() const {
  char host[INET6_ADDRSTRLEN] = {};
  inet_ntop(family_, bytes_.data(), host, sizeof host);
  if (!v6()) return std::string(host) + ":" + std::to_string(port_);
  std::string scope;
  if (scope_ != 0) {
    char name[IF_NAMESIZE] = {};
    scope = std::string("%") + (if_indextoname(scope_, name) != nullptr ? name : std::to_string(scope_).c_str());
  }
  return "[" + std::string(host) + scope + "]:" + std::to_string(port_);
}

}  // namespace portolan::udp
