#include "results/record/names.hpp"

namespace portolan::record {

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::text:
      return "text";
    case Kind::end:
      return "end";
    case Kind::subscribe:
      return "subscribe";
    case Kind::subscribed:
      return "subscribed";
    case Kind::cursor:
      return "cursor";
    case Kind::unsubscribe:
      return "unsubscribe";
    case Kind::publish:
      return "publish";
    case Kind::accepted:
      return "accepted";
    case Kind::refused:
      return "refused";
    case Kind::received:
      return "received";
    case Kind::deliver:
      return "deliver";
    case Kind::gap:
      return "gap";
    case Kind::detached:
      return "detached";
    case Kind::session_up:
      return "session_up";
    case Kind::session_down:
      return "session_down";
    case Kind::packets:
      return "packets";
    case Kind::verdict:
      return "verdict";
    case Kind::counter:
      return "counter";
    case Kind::high_water:
      return "high_water";
    case Kind::split:
      return "split";
    case Kind::peer_up:
      return "peer_up";
    case Kind::peer_down:
      return "peer_down";
    case Kind::leader:
      return "leader";
    case Kind::term:
      return "term";
    case Kind::commit:
      return "commit";
    case Kind::log_digest:
      return "log_digest";
    case Kind::trace:
      return "trace";
    case Kind::clock:
      return "clock";
    case Kind::started:
      return "started";
    case Kind::stopped:
      return "stopped";
    case Kind::fault_on:
      return "fault_on";
    case Kind::fault_off:
      return "fault_off";
    case Kind::path_change:
      return "path_change";
    case Kind::file:
      return "file";
    case Kind::link_counters:
      return "link_counters";
    case Kind::fidelity:
      return "fidelity";
    case Kind::link_load:
      return "link_load";
    case Kind::link_drops:
      return "link_drops";
  }
  return "";
}

std::string_view name_of(Writer writer) {
  switch (writer) {
    case Writer::application:
      return "application";
    case Writer::audit:
      return "audit";
    case Writer::runner:
      return "runner";
  }
  return "";
}

bool belongs(Writer writer, Kind kind) {
  const auto number = static_cast<unsigned>(kind);
  if (kind == Kind::text || kind == Kind::end) return true;
  switch (writer) {
    case Writer::application:
      return number >= 16 && number < 48;
    case Writer::audit:
      return (number >= 48 && number < 80) || kind == Kind::detached;
    case Writer::runner:
      return number >= 80 || kind == Kind::trace;
  }
  return false;
}

bool known(std::uint16_t kind) {
  return !name_of(static_cast<Kind>(kind)).empty();
}

}  // namespace portolan::record
