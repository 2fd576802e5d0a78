// Aliases: what a session calls a stream or a topic. The sender chooses them within the receiver's tables (it said
// their sizes in the handshake), so a leaf with small tables can stand under a hub with large ones. Places are used
// again; data may overtake the STREAM that says so, so a stream's alias also counts the uses of its place.
#include <algorithm>

#include "broker/engine/core.hpp"

namespace portolan::broker::core {

// The lowest free one, so that what the receiver still holds of a former use is replaced soon. kNil: all are taken.
std::uint32_t Core::take_place(BitMatrix& places, std::uint32_t d, std::uint32_t most) {
  const std::uint32_t place = places.first_clear(d);
  if (place >= most) return kNil;
  places.set(d, place);
  return place;
}

std::uint32_t Core::alias_of(std::uint32_t d, std::uint32_t s) {
  std::uint32_t& alias = out_alias(d, s);
  if (alias != 0) return alias;
  const std::uint32_t most = std::min(limits_.streams, downstreams_[d].streams_max);
  std::uint32_t place = take_place(stream_places_, d, most);
  if (place == kNil) {  // one whose topic it does not want any more
    if (downstreams_[d].aliases_full) return 0;
    for (std::uint32_t x = 0; x < log_.streams() && place == kNil; ++x) {
      if (out_alias(d, x) == 0 || lag(d, log_.stream(x).topic).attached) continue;
      forget_alias(d, x);
      place = take_place(stream_places_, d, most);
    }
    downstreams_[d].aliases_full = place == kNil;
    if (place == kNil) return 0;
  }
  const std::uint32_t use = place_uses_[static_cast<std::size_t>(d) * limits_.streams + place];
  return alias = use << 24 | (place + 1);
}

void Core::forget_alias(std::uint32_t d, std::uint32_t s) {
  std::uint32_t& alias = out_alias(d, s);
  announced_.clear(d, s);
  if (alias == 0) return;
  const std::uint32_t place = (alias & kPlaceMask) - 1;
  ++place_uses_[static_cast<std::size_t>(d) * limits_.streams + place];
  stream_places_.clear(d, place);
  downstreams_[d].aliases_full = false;
  alias = 0;
}

void Core::forget_topic_alias(std::uint32_t d, std::uint32_t topic) {
  Lag& l = lag(d, topic);
  if (l.alias != 0) topic_places_.clear(d, l.alias - 1);
  l.alias = 0;
}

// Of a session that is over.
void Core::forget_aliases(std::uint32_t d) {
  downstreams_[d].aliases_full = false;
  announced_.clear_row(d);
  stream_places_.clear_row(d);
  topic_places_.clear_row(d);
  std::fill_n(&out_alias(d, 0), limits_.streams, 0u);
  std::fill_n(place_uses_ + static_cast<std::size_t>(d) * limits_.streams, limits_.streams, std::uint8_t{0});
  for (std::uint32_t t = 0; t < log_.topics(); ++t) lag(d, t).alias = 0;
}

// ------------------------------------------------------------------ of what comes in

std::uint32_t Core::stream_of(std::uint32_t slot, std::uint32_t alias) const {
  const std::uint32_t place = alias & kPlaceMask;
  if (place == 0 || place > limits_.streams) return kRefusedAlias;
  const InAlias& known = in_alias(slot, place);
  if (known.stream == kNil) return kNil;
  if (known.alias != alias) {  // a later use, whose STREAM has been overtaken, or a former one
    return static_cast<std::int8_t>((alias >> 24) - (known.alias >> 24)) > 0 ? kNil : kPastAlias;
  }
  if (known.stream == kRefusedAlias || known.stream == kDeniedAlias) return known.stream;
  return log_.stream(known.stream).serial == known.serial ? known.stream : kNil;
}

// Something came of a stream that I have given back: its sender names everything again when my snapshot begins.
void Core::ask_name_again(std::uint32_t slot, std::uint32_t alias) {
  const std::uint32_t place = alias & kPlaceMask;
  if (place == 0 || place > limits_.streams) return;
  const InAlias& known = in_alias(slot, place);
  if (known.alias != alias || known.stream >= kPastAlias || log_.stream(known.stream).serial == known.serial) return;
  const std::uint32_t d = slots_[slot].downstream;
  if (downstreams_[d].broker && downstreams_[d].snapshot == SnapshotStep::none) begin_snapshot(d);
}

// The place's former stream, if it had one, is heard of no more in this session.
void Core::announced_stream(std::uint32_t slot, std::uint32_t alias, std::uint32_t s) {
  InAlias& place = in_alias(slot, alias & kPlaceMask);
  if (place.stream < kPastAlias && place.stream != s) {
    Stream& former = log_.stream(place.stream);
    if (former.serial == place.serial && former.upstream == slot) {
      former.upstream = kNil;
      former.gone_ns = now_.mono_ns;
    }
  }
  place = {s, s < kPastAlias ? log_.stream(s).serial : 0, alias};
  if (s < kPastAlias) log_.stream(s).upstream = slot;
}

}  // namespace portolan::broker::core
