// The counters of engines and sockets by name, as records and metrics tell them: one list for all hosts. `tell` is
// called with (name, code, value); code is the reason where there are several.
#pragma once

#include <string_view>

#include "broker/engine.hpp"
#include "broker/udp/socket.hpp"

namespace portolan::udp {

template <typename Tell>
void each_counter(const broker::EndpointCounters& c, Tell&& tell) {
  tell("datagrams_in", 0u, c.datagrams_in);
  tell("datagrams_out", 0u, c.datagrams_out);
  tell("bytes_in", 0u, c.bytes_in);
  tell("bytes_out", 0u, c.bytes_out);
  tell("messages_in", 0u, c.messages_in);
  tell("messages_out", 0u, c.messages_out);
  tell("repair_datagrams", 0u, c.repair_datagrams);
  tell("repair_bytes", 0u, c.repair_bytes);
  tell("spurious_repairs", 0u, c.spurious_repairs);
  tell("packets_lost", 0u, c.packets_lost);
  tell("acks_out", 0u, c.acks_out);
  tell("heartbeats_out", 0u, c.heartbeats_out);
  tell("resets_in", 0u, c.resets_in);
  tell("resets_out", 0u, c.resets_out);
  for (std::uint32_t d = 1; d < static_cast<std::uint32_t>(broker::Drop::kCount); ++d) tell("drop", d, c.drops[d]);
}

template <typename Tell>
void each_counter(const broker::EngineCounters& c, Tell&& tell) {
  tell("published_in", 0u, c.published_in);
  tell("forwarded_in", 0u, c.forwarded_in);
  tell("delivered_out", 0u, c.delivered_out);
  tell("duplicates_dropped", 0u, c.duplicates_dropped);
  for (std::uint32_t r = 1; r < 8; ++r) {
    tell("refused", r, c.refused[r]);
    tell("gaps_told", r, c.gaps_told[r]);
  }
  tell("detached", 0u, c.detached);
  tell("resumed", 0u, c.resumed);
  tell("interest_mended", 0u, c.interest_mended);
  tell("retention_expired", 0u, c.retention_expired);
  tell("sent_through", 0u, c.sent_through);
  tell("through_broken", 0u, c.through_broken);
}

template <typename Tell>
void each_counter(const SocketCounters& c, Tell&& tell) {
  for (std::uint32_t i = 0; i < c.lost.size(); ++i) tell("socket_lost", i, c.lost[i]);
}

}  // namespace portolan::udp
