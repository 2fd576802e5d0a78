#include "broker/udp/socket.hpp"

#include <netinet/ip.h>
#include <netinet/udp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace portolan::udp {

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

const char* name_of(Loss loss) {
  switch (loss) {
    case Loss::truncated:
      return "truncated";
    case Loss::overrun:
      return "overrun";
    case Loss::too_long:
      return "too_long";
    case Loss::unreachable:
      return "unreachable";
    case Loss::no_memory:
      return "no_memory";
    case Loss::refused:
      return "refused";
    case Loss::other:
    case Loss::kCount:
      break;
  }
  return "other";
}

namespace {

// Of Linux 4.18 and 5.0; older headers lack the names.
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

constexpr std::size_t kBufferBytes = 65'536;  // of one message received
constexpr std::size_t kMessageMost = 65'000;  // bytes of one message sent: below UDP's bound in both families
constexpr std::size_t kReceivedMost = kBatch * kSegments;
// Room for the ECN field, the count of overruns, and the size of segments.
constexpr std::size_t kInControl =
    CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(std::uint32_t)) + CMSG_SPACE(sizeof(int));
constexpr std::size_t kOutControl = CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(std::uint16_t));

Loss loss_of(int error) {
  switch (error) {
    case EMSGSIZE:
      return Loss::too_long;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case ECONNREFUSED:
    case EADDRNOTAVAIL:
      return Loss::unreachable;
    case ENOBUFS:
    case ENOMEM:
      return Loss::no_memory;
    case EPERM:
    case EACCES:
      return Loss::refused;
    default:
      return Loss::other;
  }
}

}  // namespace

struct UdpSocket::State {
  Descriptor fd;
  std::uint8_t index = 0;
  Address local;
  SocketCounters counters;
  std::uint32_t overruns_seen = 0;
  int receive_buffer = 0;

  // One batch each way, allocated once; the kernel gives pages of it as they are used.
  struct In {
    std::array<std::uint8_t, kBufferBytes> bytes;
    alignas(cmsghdr) std::array<char, kInControl> control;
    sockaddr_storage from;
    iovec piece;
  };
  struct Out {  // one message: a run of datagrams
    sockaddr_storage to;
    std::size_t datagrams;
    std::uint64_t bytes;
    alignas(cmsghdr) std::array<char, kOutControl> control;
  };
  std::array<In, kBatch> in;
  std::array<Out, kBatch> out;
  std::array<iovec, kBatch * 4> pieces;
  std::array<mmsghdr, kBatch> in_headers{}, out_headers{};
  std::vector<Received> received;
  std::size_t in_used = kBatch;  // headers that the kernel has written since they were made ready
  bool full = false;
  bool gso_on = false;
  std::string gso = "off by configuration", gro = "off by configuration";

  void make_ready();
  void take(std::size_t i);
  void offload(const SocketOptions& options);
  // Headers for a first part of these: how many messages.
  std::size_t prepare(std::span<const broker::Transmit> datagrams, bool in_runs);
  void control_of(msghdr& header, Out& message, const broker::Transmit& first);
  void lose(Loss loss, std::uint64_t n = 1) { counters.lost[static_cast<std::size_t>(loss)] += n; }
};

Expected<UdpSocket> UdpSocket::open(const Address& local, std::uint8_t index, const SocketOptions& options) {
  const auto cannot = [&](const std::string& what) {
    return fail(Exit::cannot, local.text(), what + ": " + std::strerror(errno));
  };
  std::unique_ptr<State> state(new State);  // not value-initialised: that would touch megabytes
  state->received.reserve(kReceivedMost);
  state->fd = Descriptor(::socket(local.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int fd = state->fd.get();
  if (fd < 0) return cannot("no socket");
  const auto set = [fd](int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
  };
  const bool v6 = local.v6();
  // Don't-Fragment and no cached path size: datagrams that are too long must vanish or be refused, never be cut.
  bool good = v6 ? set(IPPROTO_IPV6, IPV6_V6ONLY, 1) && set(IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE) &&
                       set(IPPROTO_IPV6, IPV6_RECVTCLASS, 1)
                 : set(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE) && set(IPPROTO_IP, IP_RECVTOS, 1);
  good = good && set(SOL_SOCKET, SO_RXQ_OVFL, 1);
  if (!good) return cannot("the kernel lacks a socket option that is needed (Linux 5.10 or later has them)");
  if (!set(SOL_SOCKET, SO_RCVBUFFORCE, options.receive_buffer_bytes)) {
    set(SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes);
  }
  if (!set(SOL_SOCKET, SO_SNDBUFFORCE, options.send_buffer_bytes)) {
    set(SOL_SOCKET, SO_SNDBUF, options.send_buffer_bytes);
  }
  sockaddr_storage storage{};
  const socklen_t length = local.to_sockaddr(storage);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0) return cannot("cannot be bound");
  socklen_t bound = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &bound) != 0) return cannot("has no name");
  state->local = Address::from_sockaddr(storage);
  state->index = index;
  socklen_t size = sizeof state->receive_buffer;
  getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &state->receive_buffer, &size);
  state->offload(options);
  return UdpSocket(std::move(state));
}

UdpSocket::UdpSocket(std::unique_ptr<State> state) : s_(std::move(state)) {}
UdpSocket::UdpSocket(UdpSocket&&) noexcept = default;
UdpSocket& UdpSocket::operator=(UdpSocket&&) noexcept = default;
UdpSocket::~UdpSocket() = default;

int UdpSocket::fd() const {
  return s_->fd.get();
}
std::uint8_t UdpSocket::index() const {
  return s_->index;
}
const Address& UdpSocket::local() const {
  return s_->local;
}
const SocketCounters& UdpSocket::counters() const {
  return s_->counters;
}
bool UdpSocket::more_waits() const {
  return s_->full;
}
const std::string& UdpSocket::gso() const {
  return s_->gso;
}
const std::string& UdpSocket::gro() const {
  return s_->gro;
}
int UdpSocket::receive_buffer_bytes() const {
  return s_->receive_buffer;
}

void UdpSocket::State::offload(const SocketOptions& options) {
  const auto probe = [this](int name, int value, std::string& says) {
    const bool on = setsockopt(fd.get(), IPPROTO_UDP, name, &value, sizeof value) == 0;
    says = on ? "on" : std::string("the kernel refuses: ") + std::strerror(errno);
    return on;
  };
  // Segment size 0 changes nothing and shows whether the option is known.
  if (options.gso) gso_on = probe(UDP_SEGMENT, 0, gso);
  if (options.gro) probe(UDP_GRO, 1, gro);
}

void UdpSocket::State::take(std::size_t i) {
  msghdr& header = in_headers[i].msg_hdr;
  const std::size_t bytes = in_headers[i].msg_len;
  std::size_t segment = bytes;
  std::uint8_t ecn = broker::kEcnNone;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) ||
        (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)) {
      ecn = *CMSG_DATA(c) & 3;  // IP_TOS is one byte, IPV6_TCLASS an int: the low byte first on little-endian machines
    } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
      std::uint32_t overruns = 0;
      std::memcpy(&overruns, CMSG_DATA(c), sizeof overruns);
      lose(Loss::overrun, overruns - overruns_seen);  // the kernel's counter wraps as ours does
      overruns_seen = overruns;
    } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
      int size = 0;
      std::memcpy(&size, CMSG_DATA(c), sizeof size);
      if (size > 0) segment = static_cast<std::size_t>(size);
    }
  }
  ++counters.received_messages;
  counters.received_bytes += bytes;
  const broker::PathId path = Address::from_sockaddr(in[i].from).path(index);
  // An empty datagram is one too.
  for (std::size_t at = 0; at == 0 || at < bytes; at += std::max<std::size_t>(segment, 1)) {
    const std::size_t length = std::min(segment, bytes - at);
    ++counters.received;
    if (length > kDatagramMost || (header.msg_flags & MSG_TRUNC) != 0 || received.size() == kReceivedMost) {
      lose(Loss::truncated);
      continue;
    }
    received.push_back({path, {in[i].bytes.data() + at, static_cast<std::uint32_t>(length), ecn}});
  }
}

// The kernel writes lengths back into the headers that it used; the others are as they were.
void UdpSocket::State::make_ready() {
  for (std::size_t i = 0; i < in_used; ++i) {
    msghdr& header = in_headers[i].msg_hdr;
    in[i].piece = {in[i].bytes.data(), in[i].bytes.size()};
    header.msg_name = &in[i].from;
    header.msg_namelen = sizeof in[i].from;
    header.msg_iov = &in[i].piece;
    header.msg_iovlen = 1;
    header.msg_control = in[i].control.data();
    header.msg_controllen = in[i].control.size();
    header.msg_flags = 0;
  }
  in_used = 0;
}

std::span<const Received> UdpSocket::receive() {
  s_->make_ready();
  ++s_->counters.receive_calls;
  const int got = recvmmsg(s_->fd.get(), s_->in_headers.data(), kBatch, MSG_DONTWAIT, nullptr);
  s_->received.clear();
  for (int i = 0; i < got; ++i) s_->take(static_cast<std::size_t>(i));
  s_->full = got == static_cast<int>(kBatch);
  // One more than came: of a call that failed on its way the kernel may have touched the next.
  s_->in_used = std::min(kBatch, static_cast<std::size_t>(std::max(got, 0)) + 1);
  return s_->received;
}

void UdpSocket::State::control_of(msghdr& header, Out& message, const broker::Transmit& first) {
  header.msg_control = message.control.data();
  header.msg_controllen = message.control.size();
  std::size_t used = 0;
  cmsghdr* c = CMSG_FIRSTHDR(&header);
  const auto put = [&](int level, int type, const auto& value) {
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(sizeof value);
    std::memcpy(CMSG_DATA(c), &value, sizeof value);
    used += CMSG_SPACE(sizeof value);
    c = reinterpret_cast<cmsghdr*>(message.control.data() + used);
  };
  if (first.ecn != broker::kEcnNone) {
    const int ecn = first.ecn;
    put(local.v6() ? IPPROTO_IPV6 : IPPROTO_IP, local.v6() ? IPV6_TCLASS : IP_TOS, ecn);
  }
  if (message.datagrams > 1) put(IPPROTO_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(first.bytes));
  header.msg_controllen = used;
  if (used == 0) header.msg_control = nullptr;
}

std::size_t UdpSocket::State::prepare(std::span<const broker::Transmit> datagrams, bool in_runs) {
  std::size_t messages = 0, piece = 0;
  for (std::size_t first = 0; first < datagrams.size(); ++messages) {
    const broker::Transmit& head = datagrams[first];
    Out& o = out[messages];
    msghdr& header = out_headers[messages].msg_hdr;
    header = {};
    header.msg_name = &o.to;
    header.msg_namelen = Address::from_path(head.path).to_sockaddr(o.to);
    header.msg_iov = &pieces[piece];
    o.datagrams = 0;
    o.bytes = 0;
    // A run to one peer: all of one size, but the last may be shorter.
    bool more = true;
    while (more && first + o.datagrams < datagrams.size() && o.datagrams < kSegments) {
      const broker::Transmit& d = datagrams[first + o.datagrams];
      const bool fits = o.datagrams == 0 || (in_runs && d.path == head.path && d.ecn == head.ecn && d.bytes > 0 &&
                                             d.bytes <= head.bytes && o.bytes + d.bytes <= kMessageMost);
      if (!fits) break;
      for (std::uint32_t p = 0; p < d.part_count; ++p) {
        // sendmsg does not write through it.
        pieces[piece++] = {const_cast<std::uint8_t*>(d.parts[p].data()), d.parts[p].size()};
      }
      o.bytes += d.bytes;
      ++o.datagrams;
      more = d.bytes == head.bytes;
    }
    header.msg_iovlen = static_cast<std::size_t>(&pieces[0] + piece - header.msg_iov);
    control_of(header, o, head);
    first += o.datagrams;
  }
  return messages;
}

std::size_t UdpSocket::send(std::span<const broker::Transmit> datagrams) {
  State& s = *s_;
  const std::size_t all = std::min(datagrams.size(), kBatch);
  bool in_runs = s.gso_on;
  std::size_t done = 0;
  while (done < all) {
    const std::size_t messages = s.prepare(datagrams.subspan(done, all - done), in_runs);
    ++s.counters.send_calls;
    const int sent = sendmmsg(s.fd.get(), s.out_headers.data(), static_cast<unsigned>(messages), MSG_DONTWAIT);
    for (int i = 0; i < sent; ++i) {
      const State::Out& message = s.out[static_cast<std::size_t>(i)];
      s.counters.sent += message.datagrams;
      s.counters.sent_bytes += message.bytes;
      done += message.datagrams;
    }
    if (sent > 0) {
      s.counters.sent_messages += static_cast<std::uint64_t>(sent);
      continue;
    }
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN || error == EWOULDBLOCK) {
      ++s.counters.send_blocked;
      return done;
    }
    // The kernel tells the error of the first that it could not send; the others wait for their own. Of a run it does
    // not say which datagram was at fault, so each goes alone then; EIO means that the device cannot do runs at all.
    if (s.out[0].datagrams > 1) {
      in_runs = false;
      if (error == EIO) {
        s.gso_on = false;
        s.gso = "the device cannot: " + std::string(std::strerror(error));
      }
      continue;
    }
    s.lose(loss_of(error));
    ++done;
  }
  return done;
}

}  // namespace portolan::udp
