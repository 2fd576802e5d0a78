#include "broker/daemon/notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "broker/udp/socket.hpp"

namespace portolan::daemon {

Notifier::Notifier() {
  if (const char* socket = std::getenv("NOTIFY_SOCKET"); socket != nullptr && (*socket == '/' || *socket == '@')) {
    socket_ = socket;
  }
  const char* pid = std::getenv("WATCHDOG_PID");
  const bool mine = pid == nullptr || std::strtoll(pid, nullptr, 10) == getpid();
  if (const char* usec = std::getenv("WATCHDOG_USEC"); usec != nullptr && mine) {
    watchdog_ns_ = std::strtoull(usec, nullptr, 10) * 500;
  }
  unsetenv("NOTIFY_SOCKET");
  unsetenv("WATCHDOG_PID");
  unsetenv("WATCHDOG_USEC");
}

bool Notifier::send(std::string_view lines) const {
  if (socket_.empty()) return false;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  if (socket_.size() >= sizeof to.sun_path) return false;
  std::memcpy(to.sun_path, socket_.data(), socket_.size());
  if (to.sun_path[0] == '@') to.sun_path[0] = '\0';  // Linux's abstract namespace
  const udp::Descriptor fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  return fd.get() >= 0 &&
         ::sendto(fd.get(), lines.data(), lines.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to), length) ==
             static_cast<ssize_t>(lines.size());
}

}  // namespace portolan::daemon
