// The seam through which a rehearsal bends the clock of a process while it runs: a Unix datagram socket, one line a
// datagram, "clock step_ns=-20000000 rate_ppb=50000" (either may be left out), answered with "ok" or "error: ...". A
// path that begins with @ is in Linux's abstract namespace, which anybody on the machine can reach; a file is its
// owner's alone. Nobody opens it unless told to.
#pragma once

#include <optional>
#include <string>

#include "broker/udp/loop.hpp"

namespace portolan::udp {

class ControlSocket {
 public:
  // Serves as long as the loop lives, which must not outlive the object.
  static Expected<ControlSocket> open(const std::string& path, Loop& loop);
  ControlSocket(ControlSocket&&) noexcept = default;
  ControlSocket& operator=(ControlSocket&&) noexcept = default;
  ~ControlSocket();

 private:
  ControlSocket(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Descriptor fd_;
  std::string path_;
};

// What is wrong with a line, or nothing once it has been done.
std::optional<std::string> obey(const std::string& line, Clock& clock);
// Sends a line and waits for its answer; nothing when nobody answers in time.
std::optional<std::string> ask_control(const std::string& path, const std::string& line, std::uint64_t within_ns);

}  // namespace portolan::udp
