#include "broker/daemon/incarnation.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "broker/udp/clock.hpp"
#include "broker/udp/socket.hpp"

namespace portolan::daemon {

Expected<std::uint32_t> next_incarnation(const std::string& state_folder) {
  if (state_folder.empty()) return udp::incarnation_from_clock();
  const std::string path = state_folder + "/incarnation", fresh = path + ".new";
  const auto cannot = [&](const std::string& file) {
    return fail(Exit::cannot, file,
                std::string(std::strerror(errno)) + "; `state` names a folder that this process may write to");
  };
  std::uint32_t last = 0;
  {
    const udp::Descriptor old(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (old.get() < 0 && errno != ENOENT) return cannot(path);
    char text[32] = {};
    const ssize_t got = old.get() < 0 ? 0 : ::read(old.get(), text, sizeof text - 1);
    if (old.get() >= 0) {
      const auto [end, error] = std::from_chars(text, text + (got < 0 ? 0 : got), last);
      if (error != std::errc{} || *end != '\n' || last == 0xFFFF'FFFF) {
        return fail(Exit::cannot, path, "does not hold one number; remove it only if no peer is running");
      }
    }
  }
  // Written, then renamed, then used: a crash in between costs a number, never repeats one.
  const std::string text = std::to_string(last + 1) + "\n";
  {
    const udp::Descriptor out(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (out.get() < 0 || ::write(out.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
        ::fsync(out.get()) != 0) {
      return cannot(fresh);
    }
  }
  if (std::rename(fresh.c_str(), path.c_str()) != 0) return cannot(path);
  const udp::Descriptor folder(::open(state_folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0) return cannot(state_folder);
  return last + 1;
}

}  // namespace portolan::daemon
