// The named profiles of Limits, each with its sum, and the relations between bounds that engines rely on.
#include "broker/limits.hpp"

#include "bpf/layout/accept.h"

namespace portolan::broker {
namespace {

// What the Store takes for a profile. The other pools belong to Endpoint, Engine and ClientEngine, whose bytes_needed
// has the true total: limits_test prints it and holds it to the sums below.
constexpr std::uint64_t store_bytes(const Limits& l) {
  return std::uint64_t{l.messages} * 80 + std::uint64_t{l.small_blocks} * (l.small_block_bytes + 20) +
         std::uint64_t{l.small_slots} * (PTL_SMALL_SLOT_BYTES + 20) +
         std::uint64_t{l.large_slots} * (PTL_LARGE_SLOT_BYTES + 20);
}

constexpr bool power_of_two(std::uint64_t n) {
  return n != 0 && (n & (n - 1)) == 0;
}

constexpr bool consistent(const Limits& l) {
  return power_of_two(l.window_packets) && power_of_two(l.window_messages) && power_of_two(l.receive_messages) &&
         power_of_two(l.grants_per_class) &&
         l.window_packets <= PTL_WINDOW_PACKETS &&   // else the receiver's window drops what the sender still holds
         l.receive_messages >= l.window_messages &&  // a sender never runs past what its receiver can note
         l.message_bytes_max <= PTL_MESSAGE_MAX && l.small_slots >= l.grants_per_class &&
         l.large_slots >= l.grants_per_class &&  // one full window of credit
         l.datagram_bytes >= PTL_FRAME_BYTES + PTL_FRAGMENT_DEFAULT &&
         l.datagram_bytes <= PTL_FRAME_BYTES + PTL_FRAGMENT_KERNEL_MAX && l.small_block_bytes % 64 == 0 &&
         l.small_block_bytes >= 64 && l.credit_bytes <= l.small_blocks * std::uint64_t{l.small_block_bytes} &&
         // The longest message fits: in slots, or else in blocks.
         l.message_bytes_max <=
             std::uint64_t{l.large_slots} * PTL_SEGMENT_PAYLOAD + std::uint64_t{l.small_blocks} * l.small_block_bytes &&
         l.control_queue >= 64 &&  // beyond what session and engine each keep in reserve, snapshots must go out
         l.downstreams >= l.sessions && l.sessions >= 2 && l.peers >= 1 && l.transmits >= 1 && l.messages >= 64 &&
         l.filters >= l.filters_per_downstream && l.topic_name_bytes >= 16 && l.filter_depth >= 2;
}

// A broker process: defaults of the struct, with room for retention.
//   messages   131,072 x 80 B                =  10.0 MiB
//   blocks     131,072 x (512 + 20) B        =  66.5 MiB   short messages, retention first of all
//   small      256 x 12.3 KiB                =   3.1 MiB
//   large      512 x 68.3 KiB                =  34.2 MiB
//   sessions   128: windows of packets and messages = 17 MiB
//   topics, streams, downstreams' messages in flight, events = 107 MiB
//   in all                                   = 236 MiB, untouched until used
constexpr Limits daemon_limits() {
  Limits l;
  l.sessions = 128;
  l.downstreams = 192;
  l.messages = 131'072;
  l.small_blocks = 131'072;
  l.small_slots = 256;
  l.large_slots = 512;
  l.grants_per_class = 32;
  l.datagram_bytes = PTL_FRAME_BYTES + PTL_FRAGMENT_KERNEL_MAX;  // as far as the path goes
  l.message_bytes_max = PTL_MESSAGE_MAX;
  return l;
}

// A broker among 12 to 64 simulated harbours. Memory is untouched until used, so the bounds are those of a busy broker:
// 8,000 messages/s retained for 8 s, and a publisher's messages of 2,000/s waiting 6 s for a harbour that is cut off
// (window_messages: sent and not yet delivered; an engine lets go of whoever fills three quarters of it).
//   messages    65,536 x 80 B                =   5.0 MiB
//   blocks      65,536 x (512 + 20) B        =  33.3 MiB
//   small           64 x 12.3 KiB            =   0.8 MiB
//   large          128 x 68.3 KiB            =   8.5 MiB   a chart of 1 MiB, tiles of 64 KiB retained, open grants
//   the rest        windows, messages in flight, topics, streams, events
//   in all          printed and bounded by limits_test
constexpr Limits sim_limits() {
  Limits l;
  l.sessions = 80;
  l.downstreams = 112;
  l.messages = 65'536;
  l.small_blocks = 65'536;
  l.small_slots = 64;
  l.large_slots = 128;
  l.grants_per_class = 32;
  l.window_packets = 2'048;
  l.window_messages = 16'384;
  l.receive_messages = 16'384;
  l.control_queue = 512;
  l.credit_bytes = 4u << 20;
  l.unresolved_messages = 1'024;
  l.events = 8'192;
  l.deliveries = 4'096;
  l.reorder_messages = 8'192;
  l.kept_messages = 16'384;
  return l;
}

// A client of such a broker: it keeps what is not yet received, and what came too early. One session (one more while it
// reconnects).
//   messages    32,768 x 80 B                =   2.5 MiB
//   blocks      32,768 x (512 + 20) B        =  16.6 MiB
//   small           32 x 12.3 KiB            =   0.4 MiB
//   large           40 x 68.3 KiB            =   2.7 MiB   a chart of 1 MiB is 17 slots
//   in all          printed and bounded by limits_test, untouched until used
constexpr Limits sim_client_limits() {
  Limits l = sim_limits();
  l.sessions = 2;
  l.peers = 1;
  l.downstreams = 2;
  l.messages = 32'768;
  l.small_blocks = 32'768;
  l.small_slots = 32;
  l.large_slots = 40;
  l.grants_per_class = 8;
  l.window_messages = 16'384;
  l.receive_messages = 16'384;
  l.filters = 128;
  l.deliveries = 4'096;
  l.reorder_messages = 8'192;
  l.kept_messages = 16'384;
  return l;
}

// A broker through which messages of up to 16 MiB pass: charts, software, pictures. Two such messages, and one more
// that is retained, lie in slots, a quarter of which stays for what comes in; beyond that they are copied into blocks.
//   large        1,100 x 68.3 KiB            =  73.4 MiB   a message of 16 MiB is 257 slots
//   the rest     as in sim
constexpr Limits long_limits() {
  Limits l = sim_limits();
  l.large_slots = 1'100;
  l.message_bytes_max = PTL_MESSAGE_MAX;
  return l;
}

// A client of such a broker: one message that it publishes, one that comes, one that the application holds.
//   large        1,060 x 68.3 KiB            =  70.7 MiB
constexpr Limits long_client_limits() {
  Limits l = sim_client_limits();
  l.large_slots = 1'060;
  l.grants_per_class = 32;
  l.message_bytes_max = PTL_MESSAGE_MAX;
  return l;
}

// One of a thousand simulated harbours: a leaf with sessions to its two hubs and a few clients. What is bulk (blocks,
// slots, messages in flight) costs address space only, until it is used.
//   messages       192 x 80 B                =   15 KiB
//   blocks         256 x (512 + 20) B        =  133 KiB   bulk
//   small            2 x 12.3 KiB            =   25 KiB   bulk
//   large            2 x 68.3 KiB            =  137 KiB   bulk
//   the rest       sessions, topics, streams, downstreams, events: limits_test prints each bound's share
constexpr Limits thousand_limits() {
  Limits l;
  l.sessions = 5;
  l.peers = 2;
  l.downstreams = 5;
  l.messages = 192;
  l.small_blocks = 256;
  l.small_slots = 2;
  l.large_slots = 2;
  l.message_bytes_max = 128u << 10;
  l.topics = 48;
  l.streams = 64;
  l.filters = 48;
  l.filters_per_downstream = 16;
  l.topic_name_bytes = 64;
  l.filter_depth = 8;
  l.permissions = 4;
  l.window_packets = 256;
  l.window_messages = 128;
  l.receive_messages = 128;
  l.control_queue = 64;
  l.credit_bytes = 64u << 10;
  l.grants_per_class = 2;
  l.unresolved_messages = 64;
  l.events = 128;
  l.deliveries = 128;
  l.reorder_messages = 128;
  l.kept_messages = 256;
  l.transmits = 8;
  return l;
}

// One of their thirty hubs: some 35 leaves of its own, up to 75 whose standby it is, the other hubs, a few clients. Of
// topics it holds those of its leaves, and what they and its clients want.
constexpr Limits thousand_hub_limits() {
  Limits l = thousand_limits();
  l.sessions = 152;
  l.peers = 144;
  l.downstreams = 160;
  l.messages = 2'048;
  l.small_blocks = 2'048;
  l.small_slots = 8;
  l.large_slots = 8;
  l.topics = 256;
  l.streams = 384;
  l.filters = 768;
  l.filters_per_downstream = 96;
  l.unresolved_messages = 256;
  l.events = 512;
  l.transmits = 32;
  return l;
}

// One of their clients.
constexpr Limits thousand_client_limits() {
  Limits l = thousand_limits();
  l.sessions = 2;
  l.peers = 1;
  l.downstreams = 2;
  l.messages = 192;
  l.small_blocks = 160;
  l.streams = 64;
  l.filters = 16;
  l.control_queue = 64;
  l.events = 64;
  l.deliveries = 64;
  l.reorder_messages = 64;
  l.kept_messages = 128;
  l.transmits = 8;
  return l;
}

constexpr std::uint64_t kMiB = 1u << 20;
static_assert(consistent(Limits{}));
static_assert(consistent(daemon_limits()));
static_assert(consistent(sim_limits()));
static_assert(consistent(sim_client_limits()));
static_assert(consistent(long_limits()));
static_assert(consistent(long_client_limits()));
static_assert(consistent(thousand_limits()));
static_assert(consistent(thousand_hub_limits()));
static_assert(consistent(thousand_client_limits()));
static_assert(store_bytes(sim_limits()) < 50 * kMiB);
static_assert(store_bytes(sim_client_limits()) < 24 * kMiB);
static_assert(store_bytes(thousand_limits()) < 700 << 10);

}  // namespace

Limits Limits::daemon() {
  return daemon_limits();
}
Limits Limits::sim() {
  return sim_limits();
}
Limits Limits::sim_client() {
  return sim_client_limits();
}
Limits Limits::long_messages() {
  return long_limits();
}
Limits Limits::long_client() {
  return long_client_limits();
}
Limits Limits::thousand() {
  return thousand_limits();
}
Limits Limits::thousand_hub() {
  return thousand_hub_limits();
}
Limits Limits::thousand_client() {
  return thousand_client_limits();
}

bool Limits::by_name(std::string_view name, Limits& out) {
  if (name == "daemon") {
    out = daemon();
  } else if (name == "sim") {
    out = sim();
  } else if (name == "sim_client") {
    out = sim_client();
  } else if (name == "long") {
    out = long_messages();
  } else if (name == "long_client") {
    out = long_client();
  } else if (name == "thousand") {
    out = thousand();
  } else if (name == "thousand_hub") {
    out = thousand_hub();
  } else if (name == "thousand_client") {
    out = thousand_client();
  } else {
    return false;
  }
  return true;
}

}  // namespace portolan::broker
