#include "broker/udp/loop.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace portolan::udp {

namespace {

// What epoll's data says: sockets by index, then the timer, then watched descriptors.
constexpr int kEventsMost = 32;
constexpr std::uint64_t kTimer = 1ull << 32, kWatched = 1ull << 33;

}  // namespace

struct Loop::State {
  Descriptor epoll, timer;
  std::vector<UdpSocket> sockets;
  std::vector<bool> wants_room;  // by socket: EPOLLOUT is on
  std::vector<std::function<void()>> watched;
  Guest* guest = nullptr;
  Clock clock;
  LoopCounters counters;
  // In somebody else's loop deadlines must make the descriptor readable: by the timer. Our own wait is told the
  // deadline instead, which spares the call that sets the timer.
  bool foreign = false;
  std::uint64_t armed_ns = broker::kNever;
  // Polled and not yet sent.
  std::array<broker::Transmit, kBatch> pending;
  std::size_t pending_first = 0, pending_count = 0;
  std::array<broker::DatagramView, kBatch> views;
  std::array<broker::Verdict, kBatch> verdicts;

  int poll(epoll_event (&events)[kEventsMost], std::uint64_t most_ns) const;
  void turn(std::span<const epoll_event> events);
  void after_call();
  std::uint64_t wake_at() const;
  bool take(UdpSocket& socket);
  void work();
  void send();
  bool send_pending();
  void want_room(std::size_t socket, bool on);
  void arm();
};

Expected<Loop> Loop::open(std::span<const Address> locals, const SocketOptions& options) {
  const auto cannot = [](const char* what) { return fail(Exit::cannot, what, std::strerror(errno)); };
  auto s = std::make_unique<State>();
  s->epoll = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  s->timer = Descriptor(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (s->epoll.get() < 0) return cannot("epoll");
  if (s->timer.get() < 0) return cannot("timerfd");
  const auto add = [&](int fd, std::uint64_t data) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = data;
    return epoll_ctl(s->epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  };
  if (!add(s->timer.get(), kTimer)) return cannot("epoll");
  if (locals.empty() || locals.size() > 255) return fail(Exit::usage, "", "a loop needs 1 to 255 addresses");
  for (std::size_t i = 0; i < locals.size(); ++i) {
    auto socket = UdpSocket::open(locals[i], static_cast<std::uint8_t>(i), options);
    if (!socket) return tl::unexpected<Error>(socket.error());
    if (!add(socket->fd(), i)) return cannot("epoll");
    s->sockets.push_back(std::move(*socket));
  }
  s->wants_room.assign(locals.size(), false);
  return Loop(std::move(s));
}

Loop::Loop(std::unique_ptr<State> state) : s_(std::move(state)) {}
Loop::Loop(Loop&&) noexcept = default;
Loop& Loop::operator=(Loop&&) noexcept = default;
Loop::~Loop() = default;

void Loop::attach(Guest& guest) {
  s_->guest = &guest;
}

Expected<void> Loop::watch(int fd, std::function<void()> readable) {
  if (s_->watched.size() == kWatchedMost) return fail(Exit::cannot, "epoll", "too many descriptors are watched");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWatched + s_->watched.size();
  if (epoll_ctl(s_->epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return fail(Exit::cannot, "epoll", std::strerror(errno));
  }
  s_->watched.push_back(std::move(readable));
  return {};
}

void Loop::wait(std::uint64_t most_ns) {
  const std::uint64_t deadline = s_->wake_at();
  const std::uint64_t now = monotonic_ns();
  const std::uint64_t left = std::min(most_ns, deadline == broker::kNever ? deadline
                                               : deadline > now           ? deadline - now
                                                                          : 0);
  ++s_->counters.wakes;
  epoll_event events[kEventsMost];
  const int n = s_->poll(events, left);
  // Callbacks see an engine between turns; sockets and the timer are the turn's.
  for (int i = 0; i < n; ++i) {
    if ((events[i].data.u64 & kWatched) != 0) s_->watched[events[i].data.u64 - kWatched]();
  }
  s_->turn({events, static_cast<std::size_t>(std::max(n, 0))});
}

void Loop::turn() {
  s_->foreign = true;
  epoll_event events[kEventsMost];
  const int n = s_->poll(events, 0);
  for (int i = 0; i < n; ++i) {
    if ((events[i].data.u64 & kWatched) != 0) s_->watched[events[i].data.u64 - kWatched]();
  }
  s_->turn({events, static_cast<std::size_t>(std::max(n, 0))});
}

int Loop::State::poll(epoll_event (&events)[kEventsMost], std::uint64_t most_ns) const {
  if (most_ns == 0) return epoll_wait(epoll.get(), events, kEventsMost, 0);
  timespec timeout{static_cast<time_t>(most_ns / 1'000'000'000), static_cast<long>(most_ns % 1'000'000'000)};
  const int n = epoll_pwait2(epoll.get(), events, kEventsMost, most_ns == broker::kNever ? nullptr : &timeout, nullptr);
  if (n >= 0 || errno != ENOSYS) return n;
  // Before Linux 5.11: milliseconds, rounded up; who needs it finer has the newer kernel.
  const std::uint64_t ms =
      most_ns == broker::kNever ? 3'600'000 : std::min<std::uint64_t>((most_ns + 999'999) / 1'000'000, 3'600'000);
  return epoll_wait(epoll.get(), events, kEventsMost, static_cast<int>(ms));
}

void Loop::State::turn(std::span<const epoll_event> events) {
  ++counters.turns;
  std::array<bool, 256> ready{};
  for (const epoll_event& event : events) {
    if (event.data.u64 == kTimer) {
      std::uint64_t fired = 0;
      if (read(timer.get(), &fired, sizeof fired) > 0) armed_ns = broker::kNever;
    } else if (event.data.u64 < sockets.size()) {
      ready[event.data.u64] = (event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0;
    }
  }
  for (int batch = 0; batch < kBatchesPerTurn; ++batch) {
    bool more = false;
    for (std::size_t i = 0; i < sockets.size(); ++i) {
      ready[i] = ready[i] && take(sockets[i]);
      more = more || ready[i];
    }
    if (!more) break;
  }
  after_call();
}

// One batch, in runs of the same path. Whether there may be more.
bool Loop::State::take(UdpSocket& socket) {
  const std::span<const Received> got = socket.receive();
  if (got.empty()) return false;
  const broker::Now now = clock.now();
  for (std::size_t first = 0; first < got.size();) {
    std::size_t n = 0;
    while (n < kBatch && first + n < got.size() && got[first + n].path == got[first].path) {
      views[n] = got[first + n].datagram;
      verdicts[n] = {};
      ++n;
    }
    guest->receive(now, got[first].path, {views.data(), n}, {verdicts.data(), n});
    guest->judged({verdicts.data(), n});
    first += n;
  }
  work();
  send();
  return socket.more_waits();
}

void Loop::State::work() {
  guest->upward();
  for (int bound = 0; guest->more_work() && bound < kWorkPerTurn; ++bound) {
    guest->tick(clock.now());
    ++counters.ticks;
    guest->upward();
  }
}

void Loop::after_call() {
  s_->after_call();
}

void Loop::State::after_call() {
  const broker::Now now = clock.now();
  if (guest->next_deadline() <= now.mono_ns) {
    guest->tick(now);
    ++counters.ticks;
  }
  work();
  send();
  if (foreign) arm();
}

// On the kernel's clock. What waits for room in a socket is woken by the socket; a deadline in the past would only
// spin.
std::uint64_t Loop::State::wake_at() const {
  const std::uint64_t deadline = guest->more_work() ? 1 : clock.kernel_time_of(guest->next_deadline());
  return pending_count > 0 ? std::max(deadline, monotonic_ns() + 1'000'000) : deadline;
}

void Loop::State::send() {
  guest->before_send();
  for (;;) {
    if (pending_count == 0) {
      pending_first = 0;
      const broker::Now now = clock.now();
      while (pending_count < kBatch && guest->poll_transmit(now, pending[pending_count])) ++pending_count;
      if (pending_count == 0) return;
    }
    if (!send_pending()) return;
  }
}

// False when a socket has no room: it is asked for, and the rest stays.
bool Loop::State::send_pending() {
  while (pending_count > 0) {
    const std::size_t index = socket_of(pending[pending_first].path);
    std::size_t n = 1;
    while (n < pending_count && socket_of(pending[pending_first + n].path) == index) ++n;
    // An engine answers to paths that it was told by us, so the index is one of ours; a bug must not become a crash.
    const std::size_t done = index < sockets.size() ? sockets[index].send({pending.data() + pending_first, n}) : n;
    for (std::size_t i = 0; i < done; ++i) guest->release_transmit(pending[pending_first + i].handle);
    pending_first += done;
    pending_count -= done;
    if (done < n) {
      want_room(index, true);
      return false;
    }
    if (index < sockets.size()) want_room(index, false);
  }
  return true;
}

void Loop::State::want_room(std::size_t socket, bool on) {
  if (wants_room[socket] == on) return;
  wants_room[socket] = on;
  epoll_event event{};
  event.events = on ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.u64 = socket;
  epoll_ctl(epoll.get(), EPOLL_CTL_MOD, sockets[socket].fd(), &event);
}

// A deadline that moves later leaves the timer as it is: one idle wake costs less than setting it each time.
void Loop::State::arm() {
  const std::uint64_t deadline = wake_at();
  if (deadline >= armed_ns) return;
  armed_ns = deadline;
  itimerspec spec{};
  spec.it_value.tv_sec = static_cast<time_t>(deadline / 1'000'000'000);
  // All zero would disarm it.
  spec.it_value.tv_nsec =
      static_cast<long>(deadline < 1'000'000'000 ? std::max<std::uint64_t>(deadline, 1) : deadline % 1'000'000'000);
  timerfd_settime(timer.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

int Loop::descriptor() {
  if (!s_->foreign) {
    s_->foreign = true;
    s_->arm();
  }
  return s_->epoll.get();
}
std::uint64_t Loop::next_deadline() const {
  return s_->clock.kernel_time_of(s_->guest->next_deadline());
}
broker::Now Loop::now() const {
  return s_->clock.now();
}
Clock& Loop::clock() {
  return s_->clock;
}
const std::vector<UdpSocket>& Loop::sockets() const {
  return s_->sockets;
}
const LoopCounters& Loop::counters() const {
  return s_->counters;
}
bool Loop::sending() const {
  return s_->pending_count > 0;
}

SocketCounters Loop::socket_counters() const {
  SocketCounters sum;
  for (const UdpSocket& socket : s_->sockets) {
    const SocketCounters& c = socket.counters();
    sum.received += c.received;
    sum.received_bytes += c.received_bytes;
    sum.receive_calls += c.receive_calls;
    sum.sent += c.sent;
    sum.sent_bytes += c.sent_bytes;
    sum.send_calls += c.send_calls;
    sum.sent_messages += c.sent_messages;
    sum.received_messages += c.received_messages;
    sum.send_blocked += c.send_blocked;
    for (std::size_t i = 0; i < sum.lost.size(); ++i) sum.lost[i] += c.lost[i];
  }
  return sum;
}

Expected<broker::PathId> Loop::path_to(const Address& peer) const {
  for (const UdpSocket& socket : s_->sockets) {
    if (socket.local().family() == peer.family()) return peer.path(socket.index());
  }
  return fail(Exit::usage, peer.text(),
              std::string("no socket of ours speaks ") +
                  (peer.v6() ? "IPv6; listen on [::]:PORT too" : "IPv4; listen on 0.0.0.0:PORT too"));
}

}  // namespace portolan::udp
