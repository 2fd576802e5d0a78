// One UDP socket: non-blocking, Don't-Fragment (RFC 8899 probes find the path's size), ECN both ways (RFC 3168), in
// batches by recvmmsg and sendmmsg. GSO and GRO where the kernel and the device have
// them. Owned by a Loop; one thread. Every datagram that is not taken or not sent is
// counted by its reason.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "broker/types.hpp"
#include "broker/udp/address.hpp"
#include "scenarios/base/error.hpp"

namespace portolan::udp {

inline constexpr std::size_t kBatch = 64;            // messages in one system call
inline constexpr std::size_t kSegments = 64;         // datagrams in one message, with GSO and GRO (the kernel's bound)
inline constexpr std::size_t kDatagramMost = 4'352;  // longer than the largest frame (4,072): no frame

class Descriptor {  // closes itself
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

struct SocketOptions {
  int receive_buffer_bytes = 8 << 20;  // asked for; the kernel's net.core.rmem_max bounds it unless we may force it
  int send_buffer_bytes = 4 << 20;
  bool gso = true, gro = true;  // many datagrams of one size to or from one peer pass the kernel as one, where it can
};

// Why a datagram was lost here, between the engine and the wire.
enum class Loss : std::uint8_t {
  truncated,    // in: longer than any frame
  overrun,      // in: the kernel's buffer was full (SO_RXQ_OVFL)
  too_long,     // out: EMSGSIZE, larger than the local interface takes
  unreachable,  // out: no route, network or host down
  no_memory,    // out: ENOBUFS
  refused,      // out: EPERM (a local filter), EACCES
  other,        // out
  kCount
};
const char* name_of(Loss loss);

struct SocketCounters {
  std::uint64_t received = 0, received_bytes = 0, receive_calls = 0;
  std::uint64_t sent = 0, sent_bytes = 0, send_calls = 0;
  std::uint64_t sent_messages = 0, received_messages = 0;  // fewer than datagrams where GSO and GRO are at work
  std::uint64_t send_blocked = 0;                          // EAGAIN: waited for room, nothing lost
  std::array<std::uint64_t, static_cast<std::size_t>(Loss::kCount)> lost{};
};

struct Received {
  broker::PathId path;
  broker::DatagramView datagram;
};

class UdpSocket {
 public:
  // `index` goes into the PathIds of what comes here.
  static Expected<UdpSocket> open(const Address& local, std::uint8_t index, const SocketOptions& options);
  UdpSocket(UdpSocket&&) noexcept;
  UdpSocket& operator=(UdpSocket&&) noexcept;
  ~UdpSocket();

  int fd() const;
  std::uint8_t index() const;
  const Address& local() const;  // with the port that the kernel chose for port 0
  // One batch; what it answers is valid until the next call. Empty: nothing waits.
  std::span<const Received> receive();
  bool more_waits() const;  // the last batch was full
  // Sends in order. How many are done with (sent, or lost and counted); fewer than given: no room now, ask again when
  // the descriptor is writable.
  std::size_t send(std::span<const broker::Transmit> datagrams);
  const SocketCounters& counters() const;
  // Buffers as the kernel granted them.
  int receive_buffer_bytes() const;
  // "on", or why not.
  const std::string& gso() const;
  const std::string& gro() const;

 private:
  struct State;
  explicit UdpSocket(std::unique_ptr<State> state);
  std::unique_ptr<State> s_;
};

}  // namespace portolan::udp
