#include "broker/udp/control.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <sstream>

namespace portolan::udp {

namespace {

constexpr std::int64_t kRateMostPpb = 100'000'000;  // a tenth; a plan has no more either

socklen_t address_of(const std::string& path, sockaddr_un& out) {
  out = {};
  out.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof out.sun_path) return 0;
  std::memcpy(out.sun_path, path.data(), path.size());
  if (path.front() == '@') out.sun_path[0] = '\0';
  // A name in the abstract namespace is all bytes that are given; a file's ends with a zero.
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (path.front() == '@' ? 0 : 1));
}

std::optional<std::int64_t> value_of(const std::string& word, const std::string& key) {
  if (word.rfind(key + "=", 0) != 0) return std::nullopt;
  std::int64_t number = 0;
  const char* end = word.data() + word.size();
  const auto [at, error] = std::from_chars(word.data() + key.size() + 1, end, number);
  if (error != std::errc{} || at != end) return std::nullopt;
  return number;
}

}  // namespace

std::optional<std::string> obey(const std::string& line, Clock& clock) {
  std::istringstream words(line);
  std::string word;
  words >> word;
  if (word != "clock") return "no command \"" + word.substr(0, 40) + "\"; valid: clock";
  std::optional<std::int64_t> step, rate;
  while (words >> word) {
    if (const auto s = value_of(word, "step_ns")) {
      step = s;
    } else if (const auto r = value_of(word, "rate_ppb")) {
      rate = r;
    } else {
      return "\"" + word.substr(0, 40) + "\" is none of step_ns=N, rate_ppb=N";
    }
  }
  if (!step && !rate) return "say step_ns=N, rate_ppb=N or both";
  if (rate && (*rate > kRateMostPpb || *rate < -kRateMostPpb)) return "a rate is at most a tenth";
  if (step) clock.step(*step);
  if (rate) clock.set_rate(*rate);
  return std::nullopt;
}

Expected<ControlSocket> ControlSocket::open(const std::string& path, Loop& loop) {
  sockaddr_un address{};
  const socklen_t length = address_of(path, address);
  if (length == 0) return fail(Exit::usage, path, "a control socket's path has 1 to 107 bytes");
  Descriptor fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (path.front() != '@') ::unlink(path.c_str());  // of a process that was killed
  const mode_t before = ::umask(0077);
  const bool bound = fd.get() >= 0 && ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0;
  const int error = errno;
  ::umask(before);
  if (!bound) return fail(Exit::cannot, path, std::strerror(error));
  const int number = fd.get();
  auto watched = loop.watch(number, [number, clock = &loop.clock()] {
    char bytes[256];
    sockaddr_un from{};
    socklen_t from_length = sizeof from;
    const ssize_t got = ::recvfrom(number, bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from), &from_length);
    if (got < 0) return;
    const auto wrong = obey(std::string(bytes, static_cast<std::size_t>(got)), *clock);
    const std::string answer = wrong ? "error: " + *wrong : "ok";
    ::sendto(number, answer.data(), answer.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&from), from_length);
  });
  if (!watched) return tl::unexpected<Error>(watched.error());
  return ControlSocket(std::move(fd), path);
}

ControlSocket::~ControlSocket() {
  if (fd_.get() >= 0 && path_.front() != '@') ::unlink(path_.c_str());
}

std::optional<std::string> ask_control(const std::string& path, const std::string& line, std::uint64_t within_ns) {
  sockaddr_un to{};
  const socklen_t length = address_of(path, to);
  const Descriptor fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  // Binding to no name gives one of the kernel's, so that the answer finds its way.
  const sockaddr_un unnamed{AF_UNIX, {}};
  if (length == 0 || fd.get() < 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&unnamed), sizeof(sa_family_t)) != 0 ||
      ::sendto(fd.get(), line.data(), line.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to), length) < 0) {
    return std::nullopt;
  }
  pollfd ready{fd.get(), POLLIN, 0};
  if (::poll(&ready, 1, static_cast<int>(within_ns / 1'000'000 + 1)) <= 0) return std::nullopt;
  char bytes[256];
  const ssize_t got = ::recv(fd.get(), bytes, sizeof bytes, 0);
  if (got < 0) return std::nullopt;
  return std::string(bytes, static_cast<std::size_t>(got));
}

}  // namespace portolan::udp
