// Bytes from strangers. The first byte chooses what they meet: an endpoint before any session exists (cookies, Noise,
// RESET, lengths), the control bodies, or a reassembly slot. No session may come of it, state stays within its bounds.
#include <array>
#include <cstring>

#include "broker/fuzz/input.hpp"
#include "broker/fuzz/limits.hpp"
#include "broker/session/test_wire.hpp"
#include "broker/wire/control.hpp"

namespace portolan::broker::fuzz {
namespace {

// ---- an endpoint, and what it answers ----

struct Stranger {
  std::vector<std::uint8_t> last;  // what the endpoint answered last: strangers learn cookies and session indices
  std::uint64_t replies = 0;
};

void answers(session::Node& node, Now now, Stranger& stranger) {
  Transmit out;
  for (std::uint32_t guard = 0; node.endpoint->poll_transmit(now, out); ++guard) {
    require(guard < 1'000, "an endpoint without sessions stops sending");
    stranger.last.clear();
    for (std::uint32_t p = 0; p < out.part_count; ++p)
      stranger.last.insert(stranger.last.end(), out.parts[p].begin(), out.parts[p].end());
    require(stranger.last.size() == out.bytes, "parts are the datagram");
    node.endpoint->release_transmit(out.handle);
    ++stranger.replies;
  }
}

// Gives a datagram the lengths and checksums that it should have, so that what lies behind them is reached.
void seal(std::vector<std::uint8_t>& datagram) {
  if (datagram.size() < PTL_FRAME_BYTES + PTL_TRAILER_BYTES) return;
  auto frame = session::get<ptl_frame>(datagram.data());
  frame.bytes = static_cast<std::uint32_t>(datagram.size() - PTL_FRAME_BYTES);
  frame.crc = session::seal_payload(datagram.data() + PTL_FRAME_BYTES, frame.bytes - PTL_TRAILER_BYTES);
  session::put(datagram.data(), frame);
}

void before_any_session(Input& in) {
  const Limits limits = small_limits();
  session::Node node(2, limits);
  SessionOptions options;
  PeerConfig peer{1, session::identity_for(1).static_public, PathId{{1, 1, 0}}};
  options.modes = kModePlain;
  options.initiate = (in.byte() & 1) != 0;
  node.endpoint->configure_peer(peer, options);
  options.initiate = false;
  node.endpoint->accept_clients(options, {});
  std::uint64_t now_ns = 1'000'000;
  Stranger stranger;
  std::uint64_t datagrams = 0, budget = 0;
  while (in.more()) {
    const Now now{now_ns, static_cast<std::int64_t>(now_ns)};
    const std::uint8_t kind = in.byte();
    auto bytes = in.bytes(kind & 1 ? in.number(2) % 700 : in.below(120));
    // Its own last answer, changed here and there: how one comes past a cookie.
    if ((kind & 2) != 0 && !stranger.last.empty()) {
      auto base = stranger.last;
      for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) base[bytes[i] % base.size()] ^= bytes[i + 1];
      bytes = std::move(base);
    }
    if ((kind & 4) != 0) bytes.resize(bytes.size() + in.number(2) % 600);
    if ((kind & 16) != 0) seal(bytes);
    const PathId path{{1ull + (kind >> 6), 1, 0}};
    // A copy of exactly these bytes: a read past the end is seen.
    std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[bytes.size()]);
    std::copy(bytes.begin(), bytes.end(), exact.get());
    const DatagramView view{exact.get(), static_cast<std::uint32_t>(bytes.size()), static_cast<std::uint8_t>(kind & 3)};
    Verdict verdict;
    node.endpoint->receive(now, path, {&view, 1}, {&verdict, 1});
    require(!verdict.consumed, "a stranger's datagram is never consumed");
    require(verdict.drop < Drop::kCount, "a reason that has a name");
    ++datagrams;
    budget += bytes.size();
    if ((kind & 8) != 0) now_ns += in.time_ns();
    node.endpoint->tick(now);
    answers(node, now, stranger);
    SessionEvent event;
    require(!node.endpoint->poll_session_event(event), "nobody comes in without keys");
    Incoming incoming;
    require(!node.endpoint->poll_message(incoming), "strangers deliver nothing");
  }
  std::array<Endpoint::HighWater, 16> marks;
  const std::uint32_t count = node.endpoint->high_water(marks);
  for (std::uint32_t i = 0; i < count; ++i) require(marks[i].used_most <= marks[i].bound, marks[i].name);
  const EndpointCounters& n = node.endpoint->counters();
  require(n.datagrams_in == datagrams && n.bytes_in == budget, "everything that came is counted");
  require(n.datagrams_out == stranger.replies, "everything that left is counted");
}

// ---- control bodies: what is accepted is made again byte for byte ----

template <typename Body>
void round_trip(std::span<const std::uint8_t> in) {
  Body body;
  if (!wire::decode(in, body)) return;
  if constexpr (requires { body.encoded_ids; }) {
    static thread_local std::vector<std::uint64_t> ids;
    ids.assign(body.unreachable, 0);
    for (std::uint32_t i = 0; i < body.unreachable; ++i) ids[i] = body.harbour(i);
    body.harbours = ids.data();
  }
  std::vector<std::uint8_t> out(2'048, 0xEE);
  const std::size_t bytes = wire::encode(body, out);
  require(bytes == in.size(), "a decoded body has its bytes again");
  require(std::memcmp(out.data(), in.data(), bytes) == 0, "a decoded body is encoded as it was");
  require(wire::encode(body, std::span(out).first(bytes - 1)) == 0, "encoding refuses too little room");
}

void control_bodies(Input& in) {
  const std::uint8_t kind = in.byte();
  const auto bytes = in.bytes(1'300);
  switch (kind % 11) {
    case 0:
      return round_trip<wire::TopicBody>(bytes);
    case 1:
      return round_trip<wire::StreamBody>(bytes);
    case 2:
      return round_trip<wire::InterestBody>(bytes);
    case 3:
      return round_trip<wire::SubscribedBody>(bytes);
    case 4:
      return round_trip<wire::ResumeBody>(bytes);
    case 5:
      return round_trip<wire::DetachedBody>(bytes);
    case 6:
      return round_trip<wire::GapBody>(bytes);
    case 7:
      return round_trip<wire::BusyBody>(bytes);
    case 8:
      return round_trip<wire::GoneBody>(bytes);
    case 9:
      return round_trip<wire::AskBody>(bytes);
    default: {
      const std::size_t half = bytes.empty() ? 0 : bytes[0] % bytes.size();
      const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      const std::string_view filter = text.substr(0, half), topic = text.substr(half);
      if (wire::valid_topic(topic)) require(wire::filter_matches("#", topic), "# matches every topic");
      if (wire::valid_topic(topic)) require(wire::filter_matches(topic, topic), "a topic matches itself");
      if (wire::valid_filter(filter) && wire::valid_topic(topic)) (void)wire::filter_matches(filter, topic);
      if (wire::valid_filter(filter)) require(wire::depth_of(filter) >= 1, "a filter has a level");
      return;
    }
  }
}

// ---- one slot: fragments of any shape, openings and retirements in any order, beside a plain model ----

struct Model {  // of the current opening
  bool open = false;
  std::uint32_t opening = 0;
  std::uint64_t shape = 0;
  std::array<bool, PTL_FRAGMENTS_MAX> taken{};
  std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(PTL_SMALL_DATA);
};

void one_slot(Input& in) {
  // Nothing behind the slack: a copy that leaves the slot is seen.
  std::unique_ptr<std::uint64_t[]> memory(new std::uint64_t[PTL_SMALL_SLOT_BYTES / 8]());
  auto* slot = reinterpret_cast<ptl_slot*>(memory.get());
  Model model;
  std::array<std::uint8_t, PTL_FRAME_BYTES + PTL_FRAGMENT_KERNEL_MAX> datagram{};
  std::uint8_t fill = 0;
  while (in.more()) {
    const std::uint8_t what = in.byte();
    if ((what & 7) == 0) {
      if (model.open) (void)(ptl_close(slot) ? ptl_reset(slot) : (void)ptl_retire(slot));
      require(ptl_low(slot->gate) == PTL_CLOSED, "it is closed");
      if ((what & 8) != 0) {
        const std::uint32_t before = ptl_high(slot->gate);
        model.opening = ptl_open(slot);
        require(model.opening != before, "no two openings look alike");
        model.shape = 0;
        model.taken.fill(false);
      }
      model.open = (what & 8) != 0;
      continue;
    }
    ptl_frame frame{};
    frame.version_type = PTL_VERSION << 4 | PTL_DATA;
    frame.flags = static_cast<std::uint8_t>(what & 0x10 ? in.byte() : 0);
    frame.fragment_unit = static_cast<std::uint8_t>(what & 0x20 ? in.byte() : 20);
    frame.fragment_index = static_cast<std::uint8_t>(what & 0x40 ? in.byte() : in.byte() % 8);
    frame.ticket = 1;
    frame.bytes = what & 0x80 ? static_cast<std::uint32_t>(in.number(4)) : 3'000 + in.byte() % 2;
    frame.crc = ++fill;
    const std::uint32_t size = frame.fragment_unit * PTL_FRAGMENT_UNIT;
    std::uint32_t length = size;
    if (std::uint64_t{size} * (frame.fragment_index + 1) > frame.bytes && frame.bytes > size * frame.fragment_index)
      length = frame.bytes - size * frame.fragment_index;
    if ((what & 6) == 6) length = in.below(5'000);
    ptl_fragment fragment{};
    if (!ptl_fragment_of(&frame, PTL_FRAME_BYTES + length, &fragment)) continue;
    require(fragment.length == length && length <= PTL_FRAGMENT_KERNEL_MAX, "a fragment's length is the datagram's");
    if (fragment.slot_class != PTL_SMALL) continue;
    std::fill(datagram.begin(), datagram.end(), fill);
    const std::uint32_t opening = (what & 1) != 0 ? model.opening : model.opening - 1;
    const auto result = ptl_accept(slot, opening, PTL_SMALL_DATA, &fragment, 7, datagram.data(), PTL_FRAME_BYTES);
    require(result < PTL_A_RESULTS && result != PTL_A_BUSY && result != PTL_A_BAD_LENGTH, "alone, and lengths judged");
    const bool fits = model.open && opening == model.opening;
    require(fits || result == PTL_A_STALE, "what is of another opening is stale");
    if (result != PTL_A_TAKEN && result != PTL_A_COMPLETED) {
      require(result != PTL_A_PRESENT || model.taken[fragment.index], "present is what was taken");
      continue;
    }
    require(!model.taken[fragment.index], "no fragment is taken twice");
    require(model.shape == 0 || model.shape == fragment.shape, "no two shapes in one opening");
    model.shape = fragment.shape;
    model.taken[fragment.index] = true;
    std::fill_n(model.bytes.begin() + fragment.offset, fragment.length, fill);
    const std::uint32_t needed = ptl_fragments(frame.bytes, size);
    const auto all = std::all_of(model.taken.begin(), model.taken.begin() + needed, [](bool t) { return t; });
    require(all == (result == PTL_A_COMPLETED) && all == (ptl_ready(slot) != 0), "whole when the last is there");
    if (all) require(std::memcmp(ptl_data(slot), model.bytes.data(), frame.bytes) == 0, "bytes are where they belong");
  }
}

}  // namespace
}  // namespace portolan::broker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace portolan::broker::fuzz;
  Input in(data, size);
  switch (in.byte() % 3) {
    case 0:
      before_any_session(in);
      break;
    case 1:
      control_bodies(in);
      break;
    default:
      one_slot(in);
  }
  return 0;
}
