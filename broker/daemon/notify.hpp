// Tells systemd how the service stands, by its plain protocol: a datagram of KEY=VALUE lines to the socket that
// $NOTIFY_SOCKET names (sd_notify(3), "Notes"); so libsystemd is not needed. Without that variable it does nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace portolan::daemon {

class Notifier {
 public:
  Notifier();  // reads the environment, and removes it so that no child takes itself for the service
  bool send(std::string_view lines) const;
  bool wanted() const { return !socket_.empty(); }
  // How often systemd wants to hear WATCHDOG=1, halved as it recommends; 0: not at all.
  std::uint64_t watchdog_ns() const { return watchdog_ns_; }

 private:
  std::string socket_;
  std::uint64_t watchdog_ns_ = 0;
};

}  // namespace portolan::daemon
