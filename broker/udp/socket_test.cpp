#include "broker/udp/socket.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cstring>
#include <thread>
#include <vector>

#include "broker/udp/control.hpp"
#include "broker/udp/loop.hpp"

namespace portolan::udp {
namespace {

UdpSocket open_at(const char* text, std::uint8_t index = 0, bool gso = true, bool gro = true) {
  SocketOptions options;
  options.gso = gso;
  options.gro = gro;
  auto socket = UdpSocket::open(*Address::parse(text), index, options);
  if (!socket) throw std::runtime_error(socket.error().text());
  return std::move(*socket);
}

broker::Transmit datagram(const Address& to, std::span<const std::uint8_t> a, std::span<const std::uint8_t> b = {}) {
  broker::Transmit t;
  t.path = to.path(0);
  t.parts[0] = a;
  t.parts[1] = b;
  t.part_count = b.empty() ? 1 : 2;
  t.bytes = static_cast<std::uint32_t>(a.size() + b.size());
  return t;
}

std::span<const Received> receive_within_1_s(UdpSocket& socket) {
  pollfd p{socket.fd(), POLLIN, 0};
  poll(&p, 1, 1'000);
  return socket.receive();
}

std::uint64_t lost(const UdpSocket& socket, Loss loss) {
  return socket.counters().lost[static_cast<std::size_t>(loss)];
}

class BothFamilies : public testing::TestWithParam<const char*> {};

TEST_P(BothFamilies, a_batch_arrives_whole_with_its_ecn_field_and_sender) {
  UdpSocket a = open_at(GetParam()), b = open_at(GetParam(), 7);
  const std::vector<std::uint8_t> head(40, 1), body(1'280, 2);
  std::vector<broker::Transmit> batch(kBatch, datagram(b.local(), head, body));
  batch[0].ecn = broker::kEcnCapable;
  batch[1].ecn = broker::kEcnMarked;
  ASSERT_EQ(a.send(batch), kBatch);
  std::size_t got = 0;
  while (got < kBatch) {
    const auto some = receive_within_1_s(b);
    ASSERT_FALSE(some.empty()) << got;
    for (const Received& r : some) {
      EXPECT_EQ(r.datagram.bytes, 1'320u);
      EXPECT_EQ(r.datagram.data[0], 1);
      EXPECT_EQ(r.datagram.data[40], 2);
      EXPECT_EQ(r.path, a.local().path(7));
      EXPECT_EQ(r.datagram.ecn, got == 0 ? broker::kEcnCapable : got == 1 ? broker::kEcnMarked : broker::kEcnNone);
      ++got;
    }
  }
  EXPECT_EQ(b.counters().received, kBatch);
  EXPECT_EQ(a.counters().sent_bytes, 1'320u * kBatch);
}

TEST_P(BothFamilies, too_long_for_a_frame_is_dropped_and_counted) {
  UdpSocket a = open_at(GetParam()), b = open_at(GetParam());
  const std::vector<std::uint8_t> longer(kDatagramMost + 1, 1), right(100, 2);
  const broker::Transmit batch[] = {datagram(b.local(), longer), datagram(b.local(), right)};
  ASSERT_EQ(a.send(batch), 2u);
  const auto got = receive_within_1_s(b);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].datagram.bytes, 100u);
  EXPECT_EQ(lost(b, Loss::truncated), 1u);
}

TEST_P(BothFamilies, one_that_cannot_leave_is_counted_and_stops_no_other) {
  UdpSocket a = open_at(GetParam()), b = open_at(GetParam());
  const std::vector<std::uint8_t> huge(65'600, 1), right(100, 2);  // no UDP datagram is that long
  const broker::Transmit batch[] = {datagram(b.local(), right), datagram(b.local(), huge), datagram(b.local(), right)};
  ASSERT_EQ(a.send(batch), 3u);
  EXPECT_EQ(receive_within_1_s(b).size(), 2u);
  EXPECT_EQ(lost(a, Loss::too_long), 1u);
  EXPECT_EQ(a.counters().sent, 2u);
}

INSTANTIATE_TEST_SUITE_P(families, BothFamilies, testing::Values("127.0.0.1:0", "[::1]:0"),
                         [](const auto& i) { return i.param[0] == '[' ? "ipv6" : "ipv4"; });

// Runs of several peers and sizes, some shorter, one empty: what arrives is the same with and without GSO and GRO.
struct Offload {
  bool gso, gro;
};
class Offloads : public testing::TestWithParam<Offload> {};

TEST_P(Offloads, runs_arrive_as_the_datagrams_that_were_sent) {
  UdpSocket a = open_at("127.0.0.1:0", 0, GetParam().gso, false);
  UdpSocket b = open_at("127.0.0.1:0", 0, true, GetParam().gro), c = open_at("127.0.0.1:0", 0, true, GetParam().gro);
  std::vector<std::vector<std::uint8_t>> bytes;
  std::vector<broker::Transmit> batch;
  std::vector<std::vector<std::uint8_t>> to_b, to_c;
  for (std::size_t i = 0; i < kBatch; ++i) {
    // Runs of 1,320, a shorter one at the end of each, two peers in turn, and lone ones between.
    const std::size_t length = i % 16 == 15 ? 700 + i : i % 16 == 7 ? 0 : 1'320;
    bytes.emplace_back(length, static_cast<std::uint8_t>(i));
  }
  for (std::size_t i = 0; i < kBatch; ++i) {
    const bool first = i / 16 % 2 == 0;
    broker::Transmit t = datagram((first ? b : c).local(), bytes[i]);
    t.ecn = i >= 48 ? broker::kEcnCapable : broker::kEcnNone;
    batch.push_back(t);
    (first ? to_b : to_c).push_back(bytes[i]);
  }
  ASSERT_EQ(a.send(batch), kBatch);
  EXPECT_EQ(a.counters().sent, kBatch);
  if (GetParam().gso && a.gso() == "on") {
    EXPECT_LT(a.counters().sent_messages, kBatch / 3);
  } else {
    EXPECT_EQ(a.counters().sent_messages, kBatch);
  }
  for (auto& [socket, expected] : {std::pair{&b, &to_b}, std::pair{&c, &to_c}}) {
    std::vector<std::vector<std::uint8_t>> got;
    while (got.size() < expected->size()) {
      const auto some = receive_within_1_s(*socket);
      ASSERT_FALSE(some.empty()) << got.size();
      for (const Received& r : some) got.emplace_back(r.datagram.data, r.datagram.data + r.datagram.bytes);
    }
    EXPECT_EQ(got, *expected);
    EXPECT_EQ(socket->counters().received, expected->size());
  }
}

INSTANTIATE_TEST_SUITE_P(all, Offloads,
                         testing::Values(Offload{false, false}, Offload{true, false}, Offload{false, true},
                                         Offload{true, true}),
                         [](const auto& i) {
                           return std::string(i.param.gso ? "gso" : "no_gso") + (i.param.gro ? "_gro" : "_no_gro");
                         });

TEST(Socket, what_the_kernel_drops_is_counted) {
  UdpSocket a = open_at("127.0.0.1:0");
  auto opened =
      UdpSocket::open(*Address::parse("127.0.0.1:0"), 0, {.receive_buffer_bytes = 2'304, .gso = false, .gro = false});
  ASSERT_TRUE(opened);
  UdpSocket& b = *opened;
  const std::vector<std::uint8_t> bytes(1'000, 1);
  const std::vector<broker::Transmit> batch(kBatch, datagram(b.local(), bytes));
  a.send(batch);
  std::size_t got = 0;
  for (auto some = receive_within_1_s(b); !some.empty(); some = b.receive()) got += some.size();
  ASSERT_LT(got, kBatch);
  // Told with the next datagram that comes.
  a.send({batch.data(), 1});
  got += receive_within_1_s(b).size();
  EXPECT_EQ(lost(b, Loss::overrun), kBatch + 1 - got);
}

TEST(Socket, an_address_in_use_is_refused_by_name) {
  UdpSocket a = open_at("127.0.0.1:0");
  const auto again = UdpSocket::open(a.local(), 0, {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Exit::cannot);
  EXPECT_NE(again.error().text().find(a.local().text()), std::string::npos);
}

// A guest that echoes, and one that asks to be woken: the loop without an engine.
class Echo : public Guest {
 public:
  void receive(broker::Now, const broker::PathId& path, std::span<const broker::DatagramView> datagrams,
               std::span<broker::Verdict> verdicts) override {
    for (const auto& d : datagrams) {
      received.emplace_back(d.data, d.data + d.bytes);
      if (answers) waiting.push_back({path, received.back()});
    }
    judged_most = std::max(judged_most, verdicts.size());
  }
  void tick(broker::Now now) override {
    ++ticks;
    if (now.mono_ns >= deadline) deadline = broker::kNever;
    if (work > 0) --work;
  }
  bool more_work() const override { return work > 0; }
  bool poll_transmit(broker::Now, broker::Transmit& out) override {
    if (next == waiting.size()) return false;
    out = {};
    out.path = waiting[next].first;
    out.parts[0] = waiting[next].second;
    out.part_count = 1;
    out.bytes = static_cast<std::uint32_t>(waiting[next].second.size());
    out.handle = static_cast<std::uint32_t>(next++);
    return true;
  }
  void release_transmit(std::uint32_t handle) override { released.push_back(handle); }
  std::uint64_t next_deadline() const override { return deadline; }
  void upward() override { ++upwards; }

  bool answers = false;
  int work = 0, ticks = 0, upwards = 0;
  std::uint64_t deadline = broker::kNever;
  std::vector<std::vector<std::uint8_t>> received;
  std::vector<std::pair<broker::PathId, std::vector<std::uint8_t>>> waiting;
  std::vector<std::uint32_t> released;
  std::size_t next = 0, judged_most = 0;
};

Loop open_loop(std::initializer_list<const char*> locals) {
  std::vector<Address> addresses;
  for (const char* text : locals) addresses.push_back(*Address::parse(text));
  auto loop = Loop::open(addresses, {});
  if (!loop) throw std::runtime_error(loop.error().text());
  return std::move(*loop);
}

TEST(Loop, carries_datagrams_both_ways_through_the_socket_they_came_by) {
  Loop a = open_loop({"127.0.0.1:0", "[::1]:0"}), b = open_loop({"[::1]:0", "127.0.0.1:0"});
  Echo asker, echo;
  echo.answers = true;
  a.attach(asker);
  b.attach(echo);
  for (const UdpSocket& socket : b.sockets()) {
    asker.waiting.push_back({*a.path_to(socket.local()), std::vector<std::uint8_t>(10, socket.index())});
  }
  a.after_call();
  for (int i = 0; i < 100 && asker.received.size() < 2; ++i) {
    b.wait(10'000'000);
    a.wait(10'000'000);
  }
  ASSERT_EQ(asker.received.size(), 2u);
  EXPECT_EQ(asker.released.size(), 2u);
  EXPECT_EQ(echo.received.size(), 2u);
}

TEST(Loop, wakes_at_the_engines_deadline_and_works_on_while_it_says_more) {
  Loop loop = open_loop({"127.0.0.1:0"});
  Echo guest;
  loop.attach(guest);
  guest.deadline = loop.now().mono_ns + 5'000'000;
  guest.work = 3;
  loop.after_call();
  EXPECT_EQ(guest.ticks, 3);
  EXPECT_EQ(guest.work, 0);
  loop.wait(10'000'000'000);
  EXPECT_EQ(guest.ticks, 4);
  EXPECT_EQ(guest.deadline, broker::kNever);
}

TEST(Loop, sends_more_than_a_batch_and_releases_each_once) {
  Loop a = open_loop({"127.0.0.1:0"}), b = open_loop({"127.0.0.1:0"});
  Echo from, to;
  a.attach(from);
  b.attach(to);
  const broker::PathId path = *a.path_to(b.sockets()[0].local());
  for (int i = 0; i < 300; ++i) from.waiting.push_back({path, std::vector<std::uint8_t>(20, std::uint8_t(i))});
  a.after_call();
  for (int i = 0; i < 100 && (from.released.size() < 300 || to.received.size() < 300); ++i) {
    a.wait(1'000'000);
    b.wait(1'000'000);
  }
  ASSERT_EQ(from.released.size(), 300u);
  for (std::uint32_t i = 0; i < 300; ++i) EXPECT_EQ(from.released[i], i);
  ASSERT_EQ(to.received.size(), 300u);
  EXPECT_LE(to.judged_most, kBatch);
}

TEST(Loop, says_which_family_has_no_socket) {
  Loop loop = open_loop({"127.0.0.1:0"});
  const auto path = loop.path_to(*Address::parse("[::1]:7400"));
  ASSERT_FALSE(path);
  EXPECT_NE(path.error().cause.find("IPv6"), std::string::npos);
}

TEST(Clock, a_step_moves_the_wall_alone_and_a_rate_bends_both_without_a_jump) {
  constexpr std::uint64_t kStart = 1'000'000'000'000;
  constexpr std::uint64_t kSecond = 1'000'000'000;
  Clock clock;
  clock.step(3'600'000'000'000);
  EXPECT_EQ(clock.at(kStart, 5).mono_ns, kStart);
  EXPECT_EQ(clock.at(kStart, 5).wall_ns, 3'600'000'000'005);
  clock.set_rate_at(100'000, kStart);  // 100 ppm: 1 ms in 10 s
  EXPECT_EQ(clock.at(kStart, 5).mono_ns, kStart);
  EXPECT_EQ(clock.at(kStart + 10 * kSecond, 5).mono_ns, kStart + 10 * kSecond + 1'000'000);
  EXPECT_EQ(clock.at(kStart + 10 * kSecond, 5).wall_ns, 3'600'001'000'005);
  clock.set_rate_at(-50'000, kStart + 10 * kSecond);
  EXPECT_EQ(clock.at(kStart + 10 * kSecond, 5).mono_ns, kStart + 10 * kSecond + 1'000'000);
  EXPECT_EQ(clock.at(kStart + 30 * kSecond, 5).mono_ns, kStart + 30 * kSecond);
}

TEST(Clock, a_timer_for_a_bent_deadline_fires_when_it_is_over_and_not_much_later) {
  constexpr std::uint64_t kStart = 1'000'000'000'000;
  for (const std::int64_t ppb : {0, 100, 200'000, 50'000'000, -50'000'000}) {
    Clock clock;
    clock.set_rate_at(ppb, kStart);
    for (const std::uint64_t ahead : {std::uint64_t{1}, std::uint64_t{1'000'000}, std::uint64_t{10'000'000'000}}) {
      const std::uint64_t deadline = kStart + ahead;
      const std::uint64_t kernel = clock.kernel_time_of(deadline);
      // The inverse leaves out r^3: a share of 1/8,000 at 5 %, nothing at what real clocks have.
      const std::uint64_t slack = 2 + ahead / 7'000;
      EXPECT_GE(clock.at(kernel, 0).mono_ns + slack, deadline) << ppb << " " << ahead;
      EXPECT_LE(clock.at(kernel, 0).mono_ns, deadline + slack) << ppb << " " << ahead;
    }
  }
  EXPECT_EQ(Clock{}.kernel_time_of(broker::kNever), broker::kNever);
}

TEST(Control, bends_the_clock_and_refuses_what_it_does_not_know) {
  Loop loop = open_loop({"127.0.0.1:0"});
  Echo guest;
  loop.attach(guest);
  const std::string path = "@portolan-test-" + std::to_string(getpid());
  auto control = ControlSocket::open(path, loop);
  ASSERT_TRUE(control) << control.error().text();
  const auto ask = [&](const std::string& text) {
    std::string answer;
    std::thread asker([&] { answer = ask_control(path, text, 1'000'000'000).value_or("none"); });
    for (int i = 0; i < 100 && answer.empty(); ++i) loop.wait(10'000'000);
    asker.join();
    return answer;
  };
  EXPECT_EQ(ask("clock step_ns=-5000000 rate_ppb=20000"), "ok");
  EXPECT_EQ(loop.clock().offset_ns(), -5'000'000);
  EXPECT_EQ(loop.clock().rate_ppb(), 20'000);
  EXPECT_EQ(ask("clock step_ns=5000000"), "ok");
  EXPECT_EQ(loop.clock().offset_ns(), 0);
  for (const char* wrong :
       {"", "clock", "clock step_ns=x", "clock step_ns=1 more=2", "clock rate_ppb=100000001", "stop"}) {
    EXPECT_EQ(ask(wrong).rfind("error", 0), 0u) << wrong;
  }
  EXPECT_EQ(loop.clock().rate_ppb(), 20'000);
  EXPECT_FALSE(ask_control("@portolan-nobody", "clock step_ns=1", 1'000'000));
}

}  // namespace
}  // namespace portolan::udp
