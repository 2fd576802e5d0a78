// Limits so small that a fuzzer's few datagrams meet every bound, and that an engine is made in microseconds.
#pragma once

#include "broker/limits.hpp"

namespace portolan::broker::fuzz {

inline Limits small_limits() {
  Limits l;
  l.sessions = 6;
  l.peers = 2;
  l.downstreams = 4;
  l.messages = 256;
  l.small_blocks = 512;
  l.small_slots = 4;
  l.large_slots = 4;
  l.message_bytes_max = 256u << 10;
  l.topics = 8;
  l.streams = 16;
  l.filters = 16;
  l.filters_per_downstream = 8;
  l.topic_name_bytes = 64;
  l.window_packets = 128;
  l.window_messages = 64;
  l.receive_messages = 64;
  l.control_queue = 128;
  l.credit_bytes = 64u << 10;
  l.grants_per_class = 2;
  l.unresolved_messages = 32;
  l.events = 128;
  l.deliveries = 32;
  l.reorder_messages = 64;
  l.kept_messages = 64;
  l.transmits = 8;
  return l;
}

}  // namespace portolan::broker::fuzz
