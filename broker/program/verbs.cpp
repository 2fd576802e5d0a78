#include "broker/program/verbs.hpp"

#include <poll.h>

#include <algorithm>
#include <csignal>

namespace portolan::program {

namespace {
volatile std::sig_atomic_t g_interrupted = 0;
}

bool interrupted() {
  return g_interrupted != 0;
}

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_interrupted = 1; };  // without SA_RESTART: a waiting poll comes back
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

int say(Exit code, const std::string& why) {
  std::fprintf(stderr, "portolan-client: %s\n", why.c_str());
  return static_cast<int>(code);
}

bool wait(Client& client, int input, std::uint64_t until_ns) {
  const std::uint64_t now = monotonic_ns();
  const std::uint64_t left = until_ns > now ? until_ns - now : 0;
  pollfd fds[2] = {{client.descriptor(), POLLIN, 0}, {input, POLLIN, 0}};
  const auto timeout_ms = static_cast<int>(std::min<std::uint64_t>((left + 999'999) / 1'000'000, 1'000));
  poll(fds, input >= 0 ? 2 : 1, timeout_ms);
  client.process();
  return input >= 0 && (fds[1].revents & (POLLIN | POLLHUP)) != 0;
}

std::unique_ptr<Client> connect(const Common& common, Handler& handler, int& exit_code) {
  ConnectError error;
  auto client = Client::connect(common.connection, handler, error);
  if (!client) {
    exit_code = say(static_cast<Exit>(error.exit_code), error.text);
    return nullptr;
  }
  const std::uint64_t until = monotonic_ns() + common.connect_within_ns;
  while (!client->up() && monotonic_ns() < until && !interrupted()) wait(*client, -1, until);
  if (client->up()) return client;
  exit_code = say(Exit::cannot, "no broker with id " + std::to_string(common.connection.broker_id) + " answers at " +
                                    common.connection.broker + "; is it running, in plain mode, under this id?");
  return nullptr;
}

}  // namespace portolan::program
