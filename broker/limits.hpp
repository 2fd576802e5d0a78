// Every bound of an engine, in one struct. Engines take all memory at construction from a given arena, sized by this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace portolan::broker {

struct Limits {
  // Sessions and peers.
  std::uint32_t sessions = 64;     // established and in handshake
  std::uint32_t peers = 64;        // configured brokers
  std::uint32_t downstreams = 96;  // identities (clients and brokers), attached or absent
  // Messages and bytes.
  std::uint32_t messages = 65'536;        // message objects: retained, in flight, waiting
  std::uint32_t small_blocks = 65'536;    // 2 KiB class: short messages
  std::uint32_t small_block_bytes = 512;  // bytes of one small block; a short message takes one block or a chunk list
  std::uint32_t small_slots = 64;         // 8 KiB segments
  std::uint32_t large_slots = 128;        // 64 KiB segments
  std::uint32_t message_bytes_max = 4u << 20;
  // Names.
  std::uint32_t topics = 1'024;
  std::uint32_t streams = 2'048;  // (topic, publisher, incarnation)
  std::uint32_t filters = 1'024;  // all filters of all downstreams
  std::uint32_t filters_per_downstream = 128;
  std::uint32_t topic_name_bytes = 128;
  std::uint32_t filter_depth = 16;
  std::uint32_t permissions = 256;  // rules of who may publish and subscribe what
  // Per session.
  std::uint32_t window_packets = 8'192;    // sent and not yet acknowledged; a power of two
  std::uint32_t window_messages = 4'096;   // per lane, sent and not yet delivered; a power of two
  std::uint32_t receive_messages = 4'096;  // per lane: how far numbers may run ahead of `admitted`
  std::uint32_t control_queue = 1'024;     // control messages waiting to be sent
  std::uint32_t credit_bytes = 4u << 20;   // short-message bytes a peer may have in flight to me
  std::uint32_t grants_per_class = 8;
  std::uint32_t unresolved_messages = 1'024;  // data whose ALIAS has not come yet
  // Engine.
  std::uint32_t events = 8'192;
  std::uint32_t deliveries = 4'096;        // client: waiting for the application
  std::uint32_t reorder_messages = 8'192;  // client: held for order
  std::uint32_t kept_messages = 16'384;    // client: published and not yet received
  std::uint32_t transmits = 64;            // handles out at once
  std::uint32_t datagram_bytes = 1'368;    // 40 + 1280 + room for a multiplexed trailer is within 1280

  static Limits daemon();
  static Limits sim();  // a broker in simulation
  static Limits sim_client();
  static Limits long_messages();  // a broker in simulation, messages of up to 16 MiB: "long"
  static Limits long_client();
  static Limits thousand();         // one of a thousand simulated harbours, a leaf
  static Limits thousand_hub();     // one of their hubs
  static Limits thousand_client();  // one of their clients
  static bool by_name(std::string_view name, Limits& out);
};

}  // namespace portolan::broker
