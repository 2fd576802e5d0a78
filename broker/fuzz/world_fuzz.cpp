// Whole engines with a liar among their clients: two brokers, three honest clients, and a client of the first broker
// that speaks the wire with good keys and says what it likes: control messages of every kind with plausible and
// impossible fields, data under any alias, sequence and lane. The fuzzer also repeats and damages any datagram, cuts
// links, lets processes die and moves time. Whatever happens, the oracle of broker/testing must have nothing to say of
// the honest: what they published and subscribed to is owed as ever, in order, once, byte for byte, from its own
// publisher.
#include <signal.h>
#include <time.h>

#include <array>
#include <string>

#include "broker/fuzz/input.hpp"
#include "broker/session/frame.hpp"
#include "broker/testing/no_alloc.hpp"
#include "broker/testing/world.hpp"
#include "broker/wire/control.hpp"

namespace portolan::broker::fuzz {
namespace {

using testing::Datagram;
using testing::kMilli;
using testing::kSecond;
using testing::World;
using testing::WorldOptions;
using Node = testing::Node;

constexpr std::uint64_t kLiarId = 77;

WorldOptions options() {
  WorldOptions w;
  w.between_brokers_ns = 2 * kMilli;
  // A liar that acknowledges nothing holds up *received* until it is let go.
  w.detach_ns = 3 * kSecond;
  w.retain_ns = 600 * kSecond;
  w.retain_bytes = 0;
  w.brief = "lie/1";
  Limits& b = w.broker_limits;
  b.sessions = 12;
  b.peers = 2;
  b.downstreams = 12;
  b.messages = b.small_blocks = 1'024;
  b.small_slots = b.large_slots = 6;
  b.topics = 32;
  b.streams = 128;
  b.filters = 64;
  b.message_bytes_max = 128u << 10;
  b.window_packets = b.window_messages = b.receive_messages = 256;
  b.control_queue = 256;
  b.deliveries = 64;
  b.reorder_messages = b.kept_messages = 256;
  b.transmits = 16;
  const Limits broker = b;
  w.client_limits = broker;
  w.client_limits.sessions = 2;
  w.client_limits.peers = 1;
  w.client_limits.downstreams = 2;
  return w;
}

class Liar {
 public:
  Liar(World& world, Node broker) : world_(world), broker_(broker) {
    node_ = world.stranger(kLiarId, [this](const Datagram& d) { inbox_.push_back(d); });
    const Limits limits = options().client_limits;
    Arena dry(nullptr, 0);
    {
      Store dry_store(limits, dry);
      Endpoint sizing(limits, world.identity(node_), {}, dry, dry_store);
    }
    memory_.resize(dry.used() + 64);
    arena_ = std::make_unique<Arena>(memory_.data(), memory_.size());
    store_ = std::make_unique<Store>(limits, *arena_);
    endpoint_ = std::make_unique<Endpoint>(limits, world.identity(node_), Entropy{}, *arena_, *store_);
    SessionOptions session;
    session.initiate = true;
    session.idle_interval_ns = 500 * kMilli;
    endpoint_->configure_peer({world.identity(broker).id, world.identity(broker).static_public, world.path_of(broker)},
                              session);
  }

  void turn() {
    const Now now{world_.now(), 0};
    std::vector<Datagram> inbox;
    inbox.swap(inbox_);
    for (const Datagram& d : inbox) {
      const DatagramView view{d.bytes.data(), static_cast<std::uint32_t>(d.bytes.size()), 0};
      Verdict verdict;
      endpoint_->receive(now, world_.path_of(d.from), {&view, 1}, {&verdict, 1});
    }
    endpoint_->tick(now);
    take();
    Transmit out;
    for (std::uint32_t guard = 0; endpoint_->poll_transmit(now, out); ++guard) {
      require(guard < 10'000, "an endpoint comes to rest");
      std::vector<std::uint8_t> bytes;
      for (std::uint32_t p = 0; p < out.part_count; ++p)
        bytes.insert(bytes.end(), out.parts[p].begin(), out.parts[p].end());
      endpoint_->release_transmit(out.handle);
      world_.inject(node_, broker_, std::move(bytes));
    }
    take();
  }

  bool up() const { return session_ != kNil; }
  void attentive(bool is) { attentive_ = is; }
  void close() { endpoint_->close({world_.now(), 0}, session_, DownReason::local); }
  void control(std::uint32_t kind, std::span<const std::uint8_t> body) {
    if (up() && endpoint_->control_room(session_) > 0) endpoint_->send_control({world_.now(), 0}, session_, kind, body);
  }
  void data(Lane lane, std::uint32_t topic, std::uint32_t stream, std::uint64_t sequence, std::size_t bytes) {
    if (!up()) return;
    const MessageId id = store_->create();
    if (id == kNil) return;
    const std::vector<std::uint8_t> payload(bytes, 0x4C);
    if (store_->append_copy(id, payload)) {
      std::uint32_t number = 0;
      endpoint_->send({world_.now(), 0}, session_, lane, {id, topic, stream, sequence, 0}, number);
    }
    store_->release(id);
  }
  Node node() const { return node_; }

 private:
  void take() {
    for (bool any = true; any;) {
      any = false;
      SessionEvent event;
      while (endpoint_->poll_session_event(event)) {
        any = true;
        session_ = event.kind == SessionEvent::Kind::up ? event.session : kNil;
      }
      Incoming in;
      while (endpoint_->poll_message(in)) {
        any = true;
        if (in.lane == Lane::control) continue;
        store_->release(in.message);
        if (attentive_ && in.session == session_) endpoint_->set_delivered(session_, in.lane, in.number);
      }
      SessionId session;
      while (endpoint_->poll_progress(session) || endpoint_->poll_room(session)) {
      }
    }
  }

  World& world_;
  Node broker_, node_ = 0;
  std::vector<Datagram> inbox_;
  std::vector<std::uint8_t> memory_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Endpoint> endpoint_;
  SessionId session_ = kNil;
  bool attentive_ = true;
};

class Town {
 public:
  explicit Town(Input& in) : in_(in), w_(in.byte() + 1u, options()) {
    brokers_ = {w_.broker("a"), w_.broker("b")};
    clients_ = {w_.client(brokers_[0], "x"), w_.client(brokers_[0], "y"), w_.client(brokers_[1], "z")};
    liar_ = std::make_unique<Liar>(w_, brokers_[0]);
    // Pools are small: who is cut off while they run full is let go and told so, as it should be.
    w_.oracle().allow_gaps();
    w_.watch([this](const Datagram& d) { capture(d); });
    w_.subscribe(clients_[1], "#");
    w_.subscribe(clients_[2], "ais/+");
    run(300 * kMilli);
    for (const Node client : clients_) w_.publish(client, "ais/1", 40);
    run(100 * kMilli);
  }

  void play() {
    for (int steps = 0; in_.more() && steps < 150; ++steps) step();
    for (const Node a : brokers_) {
      if (!w_.alive(a)) w_.restart(a);
      for (const Node c : clients_) w_.heal(a, c);
    }
    w_.heal(brokers_[0], brokers_[1]);
    for (int i = 0; i < 600 && (i < 20 || !w_.oracle().settled()); ++i) run(50 * kMilli);
    const std::string verdict = w_.verdict();
    if (!verdict.empty()) std::fprintf(stderr, "%s", verdict.c_str());
    require(verdict.empty(), "the honest are served as if there were no liar");
  }

 private:
  void run(std::uint64_t ns) {  // the liar's turn comes every half millisecond, or seldom when much time passes
    const std::uint64_t slice = std::max<std::uint64_t>(ns / 40, kMilli / 2);
    for (std::uint64_t at = 0; at < ns; at += slice) {
      w_.run_for(std::min(slice, ns - at));
      liar_->turn();
    }
  }

  void step() {
    const std::uint8_t op = in_.byte();
    switch (op % 16) {
      case 0:
        return run(in_.time_ns());
      case 1:
        return run(kMilli * (1 + op / 16u));
      case 2:
      case 3:
        return publish();
      case 4:
        return subscribe();
      case 5:
        return repeat(false);
      case 6:
        return repeat(true);
      case 7:
        return disturb();
      case 8:
        return liar_->attentive((op & 16) != 0);
      case 9: {
        const std::uint32_t kind = in_.byte() % 18u;
        const std::size_t bytes = in_.byte() % 80u;
        return liar_->control(kind, in_.bytes(bytes));
      }
      case 10:
      case 11: {  // one read after the other: the order in which arguments are worked out is the compiler's
        const std::uint32_t topic_alias = in_.byte() % 14u;
        const std::uint32_t stream_alias = alias();
        const std::uint64_t sequence = odd_number();
        const std::uint8_t size = in_.byte();
        liar_->data(static_cast<Lane>(1 + op / 16 % 3), topic_alias, stream_alias, sequence,
                    size < 224 ? size : 9'000u + (size - 224u) * 2'000u);
        return liar_->turn();
      }
      default:
        lie();
        if ((op & 16) != 0) liar_->turn();
    }
  }

  static std::string topic(std::uint32_t which) { return "ais/" + std::to_string(which % 10); }
  Node client() { return clients_[in_.byte() % clients_.size()]; }

  void publish() {
    const Node who = client();
    const std::uint8_t size = in_.byte();
    const std::string name = topic(in_.byte() % 3u);
    if (w_.alive(who)) w_.publish(who, name, size < 240 ? 1u + size : size * 150u, Lane::realtime);
  }

  void subscribe() {
    const std::uint8_t which = in_.byte();
    const std::size_t who = which % clients_.size();
    const std::string filter = which & 64 ? topic(which / 8u) : "ais/+";
    if (!w_.alive(clients_[who])) return;
    const bool has = wants_[who][filter];
    wants_[who][filter] = !has;
    if (who == 2 && filter == "ais/+") return;
    if (has) {
      w_.unsubscribe(clients_[who], filter);
    } else {
      w_.subscribe(clients_[who], filter);
    }
  }

  void disturb() {
    const std::uint8_t what = in_.byte();
    switch (what % 4) {
      case 0:
        w_.cut(brokers_[0], brokers_[1]);
        run(in_.time_ns() / 4);
        return w_.heal(brokers_[0], brokers_[1]);
      case 1:
        w_.cut(brokers_[0], clients_[what / 4 % 2]);
        run(in_.time_ns() / 4);
        return w_.heal(brokers_[0], clients_[what / 4 % 2]);
      case 2:
        return liar_->close();
      default:
        w_.both(brokers_[0], brokers_[1], [&](testing::Path& p) { p.loss = what * 400u; });
    }
  }

  // ---- an attacker without keys ----

  void capture(const Datagram& d) {
    if (captured_.size() < 48) return captured_.push_back(d);
    captured_[next_++ % 48] = d;
  }

  void repeat(bool damaged) {
    if (captured_.empty()) return;
    Datagram d = captured_[in_.byte() % captured_.size()];
    if (d.to == liar_->node() || d.bytes.empty()) return;
    if (damaged) {
      const std::size_t where = in_.number(2) % d.bytes.size();
      if (in_.byte() % 4 == 0) {
        d.bytes.resize(where);
      } else {
        d.bytes[where] ^= in_.byte();
      }
    }
    w_.inject(d.from, d.to, std::move(d.bytes));
  }

  // ---- the liar's control messages ----

  std::uint64_t odd_number() {
    const std::uint8_t b = in_.byte();
    if (b < 200) return b;
    static const std::uint64_t odd[] = {0,          ~0ull,  1ull << 62, 1ull << 32, (1ull << 62) + 1,
                                        1ull << 60, 65'536, 1ull << 31};
    return odd[b % 8];
  }
  std::uint64_t anyone() {  // itself, the honest, their brokers, nobody
    const std::uint8_t b = in_.byte();
    if (b < 100) return kLiarId;
    if (b < 200) return w_.identity(clients_[b % clients_.size()]).id;
    return b < 240 ? w_.identity(brokers_[b % 2]).id : b;
  }
  std::uint32_t alias() { return in_.byte() % 40u; }

  template <typename Body>
  void say(std::uint32_t kind, const Body& body) {
    std::array<std::uint8_t, wire::kControlBytesMax> bytes;
    const std::size_t length = wire::encode(body, bytes);
    if (length != 0) liar_->control(kind, std::span(bytes).first(length));
  }

  void lie() {
    const std::uint8_t what = in_.byte();
    const std::string name = what & 64 ? topic(what) : "lie/" + std::to_string(what % 8);
    switch (what % 16) {
      case 0:
      case 1:
        return say(PTL_C_TOPIC, wire::TopicBody{alias() % 14, static_cast<std::uint8_t>(in_.byte() % 4), name});
      case 2:
      case 3:
      case 4: {
        wire::StreamBody body;
        body.alias = alias();
        body.topic = alias() % 14;
        body.publisher = anyone();
        body.start = odd_number();
        body.previous_last = odd_number();
        body.incarnation = 1 + in_.byte() % 3u;
        body.previous_incarnation = body.incarnation - 1;
        body.interest = in_.byte();
        return say(PTL_C_STREAM, body);
      }
      case 5:
      case 6:
        return say(PTL_C_INTEREST,
                   wire::InterestBody{odd_number(), in_.byte() % 3u, wire::InterestOp::add,
                                      static_cast<std::uint8_t>(in_.byte() % 3), what & 128 ? "#" : name.c_str()});
      case 7:
        return say(PTL_C_INTEREST,
                   wire::InterestBody{odd_number(), in_.byte() % 3u, wire::InterestOp::remove, 0, name});
      case 8:
        return say(PTL_C_INTEREST,
                   wire::InterestBody{odd_number(),
                                      in_.byte() % 3u,
                                      what & 128 ? wire::InterestOp::snapshot_begin : wire::InterestOp::snapshot_end,
                                      0,
                                      {}});
      case 9:
      case 10:
        return say(PTL_C_RESUME, wire::ResumeBody{anyone(), odd_number(), alias() % 14, 1 + in_.byte() % 3u});
      case 11:
        return say(PTL_C_GAP, wire::GapBody{odd_number(), odd_number(), alias(), in_.byte() % 7u});
      case 12:
        return say(PTL_C_BUSY, wire::BusyBody{odd_number(), in_.byte() % 4u, in_.byte(), in_.byte() % 8u});
      case 13:
        return say(PTL_C_GONE, wire::GoneBody{in_.byte() % 4u, static_cast<std::uint32_t>(odd_number()),
                                              static_cast<std::uint32_t>(odd_number())});
      case 14:
        return say(PTL_C_ASK, wire::AskBody{in_.byte() % 4u});
      default:
        return say(PTL_C_DETACHED, wire::DetachedBody{in_.byte() % 4u});
    }
  }

  Input& in_;
  World w_;
  std::array<Node, 2> brokers_{};
  std::array<Node, 3> clients_{};
  std::unique_ptr<Liar> liar_;
  std::vector<Datagram> captured_;
  std::size_t next_ = 0;
  std::array<std::map<std::string, bool>, 3> wants_;
};

// The fuzzer's alarm comes in the midst of an engine's call, where nobody may allocate; to say which input works for so
// long it has to. And that a machine is busy with other things is no finding.
struct sigaction fuzzers_alarm;
std::uint64_t cpu_before_ns;

std::uint64_t cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kSecond + static_cast<std::uint64_t>(now.tv_nsec);
}

void alarm_that_allocates(int signal, siginfo_t* info, void* context) {
  const testing::AllowAllocation allowed;
  if (cpu_ns() - cpu_before_ns > 4 * kSecond) fuzzers_alarm.sa_sigaction(signal, info, context);
}

void let_the_alarm_allocate() {
  cpu_before_ns = cpu_ns();
  struct sigaction now {};
  if (sigaction(SIGALRM, nullptr, &now) != 0 || (now.sa_flags & SA_SIGINFO) == 0 || now.sa_sigaction == nullptr) return;
  if (now.sa_sigaction == alarm_that_allocates) return;
  fuzzers_alarm = now;
  now.sa_sigaction = alarm_that_allocates;
  sigaction(SIGALRM, &now, nullptr);
}

}  // namespace
}  // namespace portolan::broker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace portolan::broker::fuzz;
  let_the_alarm_allocate();
  Input in(data, size);
  Town(in).play();
  return 0;
}
