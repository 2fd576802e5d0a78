#include "broker/udp/socket.hpp"

#include <netinet/ip.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

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

// Room for the ECN field and the count of overruns.
constexpr std::size_t kControlBytes = CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(std::uint32_t));

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

  // One batch each way, allocated once.
  struct In {
    std::array<std::uint8_t, kBufferBytes> bytes;
    alignas(cmsghdr) std::array<char, kControlBytes> control;
    sockaddr_storage from;
    iovec piece;
  };
  struct Out {
    sockaddr_storage to;
    std::array<iovec, 4> pieces;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control;
  };
  std::array<In, kBatch> in;
  std::array<Out, kBatch> out;
  std::array<mmsghdr, kBatch> headers;
  std::array<Received, kBatch> received;

  void take(std::size_t i, std::size_t& kept);
  void prepare(std::size_t i, const broker::Transmit& datagram);
  void lose(Loss loss, std::uint64_t n = 1) { counters.lost[static_cast<std::size_t>(loss)] += n; }
};

Expected<UdpSocket> UdpSocket::open(const Address& local, std::uint8_t index, const SocketOptions& options) {
  const auto cannot = [&](const std::string& what) {
    return fail(Exit::cannot, local.text(), what + ": " + std::strerror(errno));
  };
  auto state = std::make_unique<State>();
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
int UdpSocket::receive_buffer_bytes() const {
  return s_->receive_buffer;
}

void UdpSocket::State::take(std::size_t i, std::size_t& kept) {
  msghdr& header = headers[i].msg_hdr;
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
    }
  }
  counters.received += 1;
  counters.received_bytes += headers[i].msg_len;
  if ((header.msg_flags & MSG_TRUNC) != 0) {
    lose(Loss::truncated);
    return;
  }
  received[kept].path = Address::from_sockaddr(in[i].from).path(index);
  received[kept].datagram = {in[i].bytes.data(), headers[i].msg_len, ecn};
  ++kept;
}

std::span<const Received> UdpSocket::receive() {
  for (std::size_t i = 0; i < kBatch; ++i) {
    State::In& in = s_->in[i];
    in.piece = {in.bytes.data(), in.bytes.size()};
    msghdr& header = s_->headers[i].msg_hdr;
    header = {};
    header.msg_name = &in.from;
    header.msg_namelen = sizeof in.from;
    header.msg_iov = &in.piece;
    header.msg_iovlen = 1;
    header.msg_control = in.control.data();
    header.msg_controllen = in.control.size();
  }
  ++s_->counters.receive_calls;
  const int got = recvmmsg(s_->fd.get(), s_->headers.data(), kBatch, MSG_DONTWAIT, nullptr);
  std::size_t kept = 0;
  for (int i = 0; i < got; ++i) s_->take(static_cast<std::size_t>(i), kept);
  return {s_->received.data(), kept};
}

void UdpSocket::State::prepare(std::size_t i, const broker::Transmit& datagram) {
  Out& o = out[i];
  msghdr& header = headers[i].msg_hdr;
  header = {};
  header.msg_name = &o.to;
  header.msg_namelen = Address::from_path(datagram.path).to_sockaddr(o.to);
  for (std::uint32_t p = 0; p < datagram.part_count; ++p) {
    // sendmsg does not write through it.
    o.pieces[p] = {const_cast<std::uint8_t*>(datagram.parts[p].data()), datagram.parts[p].size()};
  }
  header.msg_iov = o.pieces.data();
  header.msg_iovlen = datagram.part_count;
  if (datagram.ecn == broker::kEcnNone) return;
  header.msg_control = o.control.data();
  header.msg_controllen = o.control.size();
  cmsghdr* c = CMSG_FIRSTHDR(&header);
  const int ecn = datagram.ecn;
  c->cmsg_level = local.v6() ? IPPROTO_IPV6 : IPPROTO_IP;
  c->cmsg_type = local.v6() ? IPV6_TCLASS : IP_TOS;
  c->cmsg_len = CMSG_LEN(sizeof ecn);
  std::memcpy(CMSG_DATA(c), &ecn, sizeof ecn);
}

std::size_t UdpSocket::send(std::span<const broker::Transmit> datagrams) {
  const std::size_t all = std::min(datagrams.size(), kBatch);
  for (std::size_t i = 0; i < all; ++i) s_->prepare(i, datagrams[i]);
  std::size_t done = 0;
  while (done < all) {
    ++s_->counters.send_calls;
    const int sent = sendmmsg(s_->fd.get(), s_->headers.data() + done, static_cast<unsigned>(all - done), MSG_DONTWAIT);
    if (sent > 0) {
      for (int i = 0; i < sent; ++i) {
        s_->counters.sent += 1;
        s_->counters.sent_bytes += datagrams[done + static_cast<std::size_t>(i)].bytes;
      }
      done += static_cast<std::size_t>(sent);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      ++s_->counters.send_blocked;
      return done;
    }
    // The kernel tells the error of the first that it could not send; the others wait for their own.
    s_->lose(loss_of(errno));
    ++done;
  }
  return done;
}

}  // namespace portolan::udp
