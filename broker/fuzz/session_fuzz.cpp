// A session under siege. Two honest endpoints and a liar, who has a session of its own with one of them; the fuzzer is
// the network and the liar. It sees every datagram, repeats, reflects, cuts and changes them, loses, delays and doubles
// those under way, forges the liar's with the right tag, and moves time. What must hold whatever it does:
//   the honest two get only what the other sent, byte for byte, nothing twice, control messages in order;
//   no packet number is consumed twice; a changed header consumes nothing; every pool stays within its bound;
//   nobody spins; when nothing was lost their session never ends, and once it is over both are served again.
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "broker/crypto/crc32c.hpp"
#include "broker/fuzz/input.hpp"
#include "broker/fuzz/limits.hpp"
#include "broker/session/test_wire.hpp"

namespace portolan::broker::fuzz {
namespace {

using session::get;
using session::put;
using session::Wire;

constexpr std::uint64_t kMs = 1'000'000;
enum Who : std::size_t { kHonest = 0, kTarget = 1, kLiar = 2, kNodes = 3 };

class Siege {
 public:
  Siege(Input& in, std::uint32_t modes) : in_(in), sealed_(modes == kModeSealed) {
    const Limits limits = small_limits();
    wire_.delay_ns = 2 * kMs;
    for (std::uint64_t id = 1; id <= kNodes; ++id) wire_.add(id, limits);
    SessionOptions options;
    options.rate_bps = 100'000'000;
    options.modes = modes;
    options.idle_interval_ns = 500 * kMs;
    at(kTarget).configure_peer(wire_.nodes[kHonest]->as_peer(), options);
    at(kTarget).accept_clients(options, {});
    options.initiate = true;
    at(kHonest).configure_peer(wire_.nodes[kTarget]->as_peer(), options);
    at(kLiar).configure_peer(wire_.nodes[kTarget]->as_peer(), options);
    wire_.fate = [this](Wire::Packet& p) { on_the_way(p); };
    wire_.seen = [this](std::size_t to, const DatagramView& view, const Verdict& verdict) { judge(to, view, verdict); };
    run(100 * kMs);
    require(up_[kHonest] != kNil && up_[kTarget] != kNil, "two honest endpoints meet");
  }

  void play() {
    while (in_.more() && steps_++ < 200) step();
    calm();
  }

 private:
  struct Captured {
    std::size_t from, to;
    std::vector<std::uint8_t> bytes;
  };
  struct Book {                                                           // what one honest side sent to the other
    std::map<std::uint64_t, std::pair<std::uint64_t, std::size_t>> sent;  // sequence: seed and length
    std::set<std::uint64_t> came;
    std::uint64_t controls = 0, last_control = 0;
  };

  Endpoint& at(std::size_t who) { return *wire_.nodes[who]->endpoint; }

  void step() {
    const std::uint8_t op = in_.byte();
    switch (op % 16) {
      case 0:
      case 1:
        return run(in_.time_ns());
      case 2:
      case 3:
        return send(op & 16 ? kHonest : kTarget);
      case 4:
        return repeat();
      case 5:
        return change_header();
      case 6:
        return change_body();
      case 7:
        return cut_or_stretch();
      case 8:
        return meddle();
      case 9:
      case 10:
        return lie_in_place();
      case 11:
        return lie_from_nothing();
      case 12:
        return control(op & 16 ? kHonest : op & 32 ? kTarget : kLiar);
      case 13:
        return send_as_liar();
      case 14:
        return stall();
      default:
        return end_one(op >> 4);
    }
  }

  // ---- the honest ----

  static std::string text(std::uint64_t seed, std::size_t bytes) {
    return session::text_of(seed * 0x9E3779B97F4A7C15ull + 1, bytes);
  }

  void send(std::size_t who) {
    session::Node& n = *wire_.nodes[who];
    const std::uint8_t size = in_.byte();
    const std::size_t bytes = size < 160 ? size : size < 232 ? size * 40u : size * 700u;
    const auto lane = static_cast<Lane>(1 + in_.byte() % 3);
    const SessionId keep = n.up;
    n.up = up_[who];
    Book& book = books_[who];
    const std::uint64_t sequence = book.sent.size() + 1;
    if (n.up != kNil && wire_.send(who, lane, text(sequence, bytes), sequence) == SendResult::ok)
      book.sent[sequence] = {sequence, bytes};
    n.up = keep;
    wire_.settle();
    look();
  }

  void control(std::size_t who) {
    const SessionId session = up_[who];
    if (session == kNil) return;
    std::vector<std::uint8_t> body;
    std::uint32_t kind = PTL_C_TOPIC;
    if (who == kLiar) {
      kind = in_.byte() % 18;
      body = in_.bytes(in_.byte() % 200);
    } else {
      body.resize(8 + in_.byte());
      put(body.data(), ++books_[who].controls);
      if (at(who).control_room(session) == 0) return;  // more would end the session, rightly
    }
    at(who).send_control(wire_.now(), session, kind, body);
    look();
  }

  // Takes what applications were handed, and holds it to the books.
  void look() {
    for (std::size_t who = 0; who < kNodes; ++who) {
      session::Node& n = *wire_.nodes[who];
      for (; events_seen_[who] < n.events.size(); ++events_seen_[who]) on_event(who, n.events[events_seen_[who]]);
      for (const session::Got& got : n.got) {
        const auto peer = peer_of_.find({who, got.session});
        require(peer != peer_of_.end(), "a message belongs to a session that came up");
        require(got.bytes.size() <= small_limits().message_bytes_max, "no message beyond the bound");
        if (who != kLiar && peer->second != 3) on_message(books_[who == kHonest ? kTarget : kHonest], got);
      }
      n.got.clear();
      n.rooms.clear();
    }
  }

  void on_event(std::size_t who, const SessionEvent& event) {
    if (event.kind == SessionEvent::Kind::up) {
      peer_of_[{who, event.session}] = event.peer;
      if (who != kTarget || event.peer == 1) up_[who] = event.session;
      require(event.peer == (who == kTarget ? (event.session == up_[kTarget] ? 1u : 3u) : 2u),
              "nobody is impersonated");
      return;
    }
    if (up_[who] == event.session) up_[who] = kNil;
    const bool honest = peer_of_[{who, event.session}] != 3 && who != kLiar;
    require(!honest || disturbed_, "who sees and repeats cannot end a session", static_cast<unsigned>(event.reason));
  }

  void on_message(Book& book, const session::Got& got) {
    if (got.lane == Lane::control) {
      if (got.control != PTL_C_TOPIC) return;  // the endpoints' own
      const auto number = get<std::uint64_t>(reinterpret_cast<const std::uint8_t*>(got.bytes.data()));
      require(number > book.last_control && number <= book.controls, "control messages keep their order", number);
      book.last_control = number;
      return;
    }
    const auto sent = book.sent.find(got.sequence);
    require(sent != book.sent.end(), "nothing is delivered that was not sent", got.sequence);
    require(book.came.insert(got.sequence).second, "nothing is delivered twice", got.sequence);
    require(got.bytes == text(sent->second.first, sent->second.second), "bytes are what was sent", got.sequence);
  }

  // ---- the network ----

  void on_the_way(Wire::Packet& p) {
    if (captured_.size() < 64) {
      captured_.push_back({p.from, p.to, p.bytes});
    } else {
      captured_[next_++ % 64] = {p.from, p.to, p.bytes};
    }
    if (meddled_ == 0) return;
    --meddled_;
    switch (way_ % 4) {
      case 0:
        p.copies = 0;
        return;
      case 1:
        p.copies = 2;
        return;
      default:
        p.delay_ns += meddle_ns_;
    }
  }

  void judge(std::size_t to, const DatagramView& view, const Verdict& verdict) {
    require(verdict.drop < Drop::kCount, "a reason that has a name");
    if (!verdict.consumed) return;
    require(view.bytes >= PTL_FRAME_BYTES && verdict.session_uid != 0, "only a session's datagram is consumed");
    require(consumed_.insert({to, verdict.session_uid, verdict.packet}).second, "no number is consumed twice");
    require(!forged_, "a forged header consumes nothing");
  }

  void run(std::uint64_t ns) {
    const std::uint64_t turns = wire_.turns;
    wire_.run_for(ns, [&] { return wire_.turns - turns > 20'000; });
    require(wire_.turns - turns <= 20'000, "nobody spins");
    look();
  }

  void meddle() {
    way_ = in_.byte();
    meddled_ = in_.byte() % 32u;
    meddle_ns_ = in_.time_ns() / 8;
    disturbed_ = disturbed_ || way_ % 4 == 0 || meddle_ns_ > 50 * kMs;
  }

  void stall() {  // an application takes nothing for a while
    session::Node& n = *wire_.nodes[in_.byte() % 2];
    const std::uint64_t ns = in_.time_ns() / 4, turns = wire_.turns;
    n.take = false;
    // An event behind messages that nobody takes is due at once, again and again: that is the host's doing.
    wire_.run_for(ns, [&] { return wire_.turns - turns > 500; });
    n.take = true;
    run(kMs);
  }

  void end_one(std::uint32_t which) {
    const std::size_t who = which % kNodes;
    if (up_[who] == kNil || which < 8) return run(in_.time_ns());
    if (who != kLiar) disturbed_ = true;
    at(who).close(wire_.now(), up_[who], DownReason::local);
    look();
  }

  // ---- what an attacker without keys does ----

  const Captured* pick() {
    if (captured_.empty()) return nullptr;
    return &captured_[(next_ + captured_.size() - 1 - in_.byte() % captured_.size()) % captured_.size()];
  }
  PathId path(const Captured& c) {
    const std::uint8_t way = in_.byte();
    if (way < 160) return wire_.nodes[c.from]->address;
    return way < 224 ? wire_.nodes[way % kNodes]->address : PathId{{way, 9, 9}};
  }
  void inject(std::size_t to, const PathId& from, std::vector<std::uint8_t> bytes) {
    // A copy of exactly these bytes: a read past the end is seen.
    std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[bytes.size()]);
    std::copy(bytes.begin(), bytes.end(), exact.get());
    const DatagramView view{exact.get(), static_cast<std::uint32_t>(bytes.size()), 0};
    Verdict verdict;
    at(to).receive(wire_.now(), from, {&view, 1}, {&verdict, 1});
    judge(to, view, verdict);
    wire_.deliver_up(to);
    look();
  }

  void repeat() {
    const Captured* c = pick();
    if (c == nullptr) return;
    const std::uint8_t kind = in_.byte();
    auto bytes = c->bytes;
    std::size_t to = kind & 1 ? c->from : c->to;
    if ((kind & 2) != 0) to = kind / 4 % kNodes;
    inject(to, path(*c), std::move(bytes));
  }

  void change_header() {
    const Captured* c = pick();
    if (c == nullptr) return;
    auto bytes = c->bytes;
    const std::uint8_t before = bytes[0];
    for (std::uint32_t n = 1 + in_.byte() % 3u; n > 0; --n) bytes[in_.below(PTL_FRAME_BYTES)] ^= in_.byte();
    const bool handshake = (before & 15) == PTL_HANDSHAKE || (before & 15) == PTL_RESET;
    forged_ = !handshake && std::memcmp(bytes.data(), c->bytes.data(), PTL_FRAME_BYTES) != 0;
    inject(c->to, path(*c), std::move(bytes));
    forged_ = false;
  }

  // One burst of at most four bytes: plain sessions live by a CRC, which sees each of those.
  void change_body() {
    const Captured* c = pick();
    if (c == nullptr || c->bytes.size() <= PTL_FRAME_BYTES) return;
    auto bytes = c->bytes;
    const std::size_t where = PTL_FRAME_BYTES + in_.number(2) % (bytes.size() - PTL_FRAME_BYTES);
    for (std::size_t i = where; i < std::min(where + 4, bytes.size()); ++i) bytes[i] ^= in_.byte();
    inject(c->to, path(*c), std::move(bytes));
  }

  void cut_or_stretch() {
    const Captured* c = pick();
    if (c == nullptr) return;
    auto bytes = c->bytes;
    bytes.resize(in_.number(2) % (bytes.size() + 64));
    inject(c->to, path(*c), std::move(bytes));
  }

  // ---- what the liar does, with good keys to its own session ----

  void send_as_liar() {
    session::Node& n = *wire_.nodes[kLiar];
    if (n.up == kNil) return;
    const std::uint8_t size = in_.byte();
    wire_.send(kLiar, static_cast<Lane>(1 + size % 3), text(size, size < 128 ? size : size * 500u), in_.byte());
    wire_.settle();
    look();
  }

  void tag_and_inject(std::vector<std::uint8_t> bytes, ptl_frame frame, bool trailer) {
    const std::size_t payload = bytes.size() - PTL_FRAME_BYTES;
    DirectionKeys keys;
    if (!at(kLiar).keys_for_test(wire_.nodes[kLiar]->up, keys)) return;
    if (trailer && payload >= PTL_TRAILER_BYTES && sealed_) {
      put(bytes.data(), frame);
      frame.crc =
          session::seal_packet(keys.packet, bytes.data(), static_cast<std::uint32_t>(payload - PTL_TRAILER_BYTES));
    } else if (trailer && payload >= PTL_TRAILER_BYTES) {
      frame.crc = session::seal_payload(bytes.data() + PTL_FRAME_BYTES,
                                        static_cast<std::uint32_t>(payload - PTL_TRAILER_BYTES));
    } else {
      frame.crc = crc32c({bytes.data() + PTL_FRAME_BYTES, payload});
    }
    put(bytes.data(), frame);
    set_frame_tag(keys.tag, bytes.data());
    inject(kTarget, wire_.nodes[kLiar]->address, std::move(bytes));
    run(kMs / 4);
  }

  const Captured* of_the_liar() {
    const std::size_t skip = in_.byte();
    for (std::size_t i = 0; i < captured_.size(); ++i) {
      const Captured& c =
          captured_[(next_ + 2 * captured_.size() - 1 - i - skip % captured_.size()) % captured_.size()];
      if (c.from == kLiar && (c.bytes[0] & 15) != PTL_HANDSHAKE) return &c;
    }
    return nullptr;
  }

  // What the liar itself has sealed, as it was before.
  void open_own(std::vector<std::uint8_t>& bytes, const ptl_frame& frame) {
    DirectionKeys keys;
    if (!sealed_ || frame.ticket != 0 || !at(kLiar).keys_for_test(wire_.nodes[kLiar]->up, keys)) return;
    std::vector<std::uint8_t> plain(bytes.size());
    if (session::open_packet(keys.packet, bytes, plain.data()) != Drop::none) return;  // of a former session
    std::copy_n(plain.begin(), bytes.size() - PTL_FRAME_BYTES - PTL_TRAILER_BYTES, bytes.begin() + PTL_FRAME_BYTES);
  }

  void lie_in_place() {
    const Captured* c = of_the_liar();
    if (c == nullptr) return;
    auto bytes = c->bytes;
    auto frame = get<ptl_frame>(bytes.data());
    open_own(bytes, frame);
    const std::uint8_t what = in_.byte();
    if ((what & 1) == 0) frame.packet += 1 + in_.byte();  // not a replay
    if ((what & 2) != 0) frame.ticket += in_.byte() - 128u;
    if ((what & 4) != 0) frame.flags ^= in_.byte();
    if ((what & 8) != 0) frame.fragment_index = in_.byte();
    if ((what & 16) != 0) frame.bytes ^= static_cast<std::uint32_t>(in_.number(2));
    if ((what & 32) != 0) frame.fragment_unit = in_.byte();
    for (std::uint32_t n = in_.byte() % 8u; n > 0 && bytes.size() > PTL_FRAME_BYTES; --n)
      bytes[PTL_FRAME_BYTES + in_.number(2) % (bytes.size() - PTL_FRAME_BYTES)] = in_.byte();
    if ((what & 64) != 0) bytes.resize(PTL_FRAME_BYTES + in_.number(2) % 1'400, 0x55);
    if ((frame.flags & PTL_F_MULTIPLEXED) != 0 && (what & 16) == 0)
      frame.bytes = static_cast<std::uint32_t>(bytes.size() - PTL_FRAME_BYTES);
    tag_and_inject(std::move(bytes), frame, (what & 128) == 0 && frame.ticket == 0);
  }

  void lie_from_nothing() {
    if (wire_.nodes[kLiar]->up == kNil) return;
    const Captured* c = of_the_liar();
    if (c == nullptr) return;
    auto frame = get<ptl_frame>(c->bytes.data());
    const std::uint8_t what = in_.byte();
    static const std::uint8_t types[] = {PTL_DATA, PTL_DATA, PTL_ACK, PTL_HEARTBEAT, PTL_PROBE, PTL_CLOSE, PTL_DATA, 0};
    const std::uint8_t type = types[what & 7];
    frame.version_type = static_cast<std::uint8_t>(PTL_VERSION << 4 | (type != 0 ? type : in_.byte() & 15));
    frame.packet += 1 + (what & 8 ? in_.number(3) : in_.byte() % 4u);
    frame.flags = static_cast<std::uint8_t>(what & 16 ? PTL_F_MULTIPLEXED : in_.byte());
    frame.ticket = what & 16 ? 0 : 1 + in_.byte() % 16u;
    frame.fragment_unit = 20;
    frame.fragment_index = static_cast<std::uint8_t>(what & 16 ? 0 : in_.byte() % 65);
    std::vector<std::uint8_t> bytes(PTL_FRAME_BYTES);
    const auto payload = in_.bytes(in_.byte() * (what & 32 ? 1u : 5u));
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    if ((what & 16) != 0) {  // room for the trailer
      bytes.resize(bytes.size() + PTL_TRAILER_BYTES);
      frame.bytes = static_cast<std::uint32_t>(bytes.size() - PTL_FRAME_BYTES);
    } else if ((what & 64) != 0) {  // a whole fragment of a segment of this length
      frame.bytes = 49 + static_cast<std::uint32_t>(in_.number(2));
      const std::uint32_t offset = 1'280u * frame.fragment_index;
      bytes.resize(PTL_FRAME_BYTES + (offset < frame.bytes ? std::min(frame.bytes - offset, 1'280u) : 1'280u), 0xAA);
    }
    tag_and_inject(std::move(bytes), frame, (what & 16) != 0);
  }

  // ---- afterwards ----

  void calm() {
    meddled_ = 0;
    for (auto& n : wire_.nodes) n->take = true;
    run(4'000 * kMs);
    require(up_[kHonest] != kNil && up_[kTarget] != kNil, "the honest two find each other again");
    std::array<std::uint64_t, 2> last{};
    for (const std::size_t who : {kHonest, kTarget}) {
      session::Node& n = *wire_.nodes[who];
      last[who] = books_[who].sent.size() + 1;
      n.up = up_[who];
      require(wire_.send(who, Lane::realtime, text(last[who], 50), last[who]) == SendResult::ok, "there is room again");
      books_[who].sent[last[who]] = {last[who], 50};
    }
    run(500 * kMs);
    for (const std::size_t who : {kHonest, kTarget})
      require(books_[who].came.contains(last[who]), "the honest are served again", who);
    for (const auto& n : wire_.nodes) {
      std::array<Endpoint::HighWater, 16> marks;
      const std::uint32_t count = n->endpoint->high_water(marks);
      for (std::uint32_t i = 0; i < count; ++i) require(marks[i].used_most <= marks[i].bound, marks[i].name);
    }
  }

  Input& in_;
  bool sealed_;
  Wire wire_;
  std::array<Book, 2> books_;
  std::array<SessionId, kNodes> up_{kNil, kNil, kNil};
  std::array<std::size_t, kNodes> events_seen_{};
  std::map<std::pair<std::size_t, SessionId>, std::uint64_t> peer_of_;
  std::set<std::tuple<std::size_t, std::uint64_t, std::uint64_t>> consumed_;
  std::vector<Captured> captured_;
  std::size_t next_ = 0;
  std::uint32_t steps_ = 0, meddled_ = 0;
  std::uint8_t way_ = 0;
  std::uint64_t meddle_ns_ = 0;
  bool disturbed_ = false, forged_ = false;
};

}  // namespace
}  // namespace portolan::broker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace portolan::broker::fuzz;
  for (const std::uint32_t mode : {portolan::broker::kModePlain, portolan::broker::kModeSealed}) {
    Input in(data, size);
    Siege(in, mode).play();
  }
  return 0;
}
