// Portolan's client library for C++20 programs: publish and subscribe through the broker of one's harbour.
//
//   portolan::Options options;
//   options.broker = "127.0.0.1:7400";
//   auto client = portolan::Client::connect(options, handler);   // Handler: what becomes of messages and answers
//   client->subscribe("ais/#");
//   client->publish("ais/211/position", bytes);
//   client->run_for(seconds);                                    // or from a loop of your own, see below
//
// Who runs it. Nothing happens by itself: no thread is started. Either call run_for(); or have a loop of your own watch
// descriptor() for input, and call process() when it is readable. (It is one descriptor for socket and timer: also
// deadlines make it readable, so no timeout is needed.) Handlers are called from within process() and run_for(), and
// may publish and subscribe, but not process().
//
// Promises (broker/wire/PROTOCOL.md): publish() keeps the message until `received`, also across reconnects; a
// subscriber hears each message of a (topic, publisher) once and in order, or is told of a gap. Memory is taken once,
// at connect(). A client belongs to one thread at a time. Nothing throws but std::bad_alloc at connect().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace portolan {

struct Options {
  std::string broker = "127.0.0.1:7400";  // HOST:PORT or [IPv6]:PORT
  std::uint64_t broker_id = 1;            // as in its configuration
  std::uint64_t id = 0;                   // mine; who publishes under it. 0: drawn, for this connection only
  std::uint32_t incarnation = 0;          // must rise with each start under the same id. 0: from the wall
                                          // clock, which may take a tenth of a second
  std::string bind;                       // local ADDRESS:PORT; empty: the system's choice
  std::string limits = "sim_client";  // profile of memory: sim_client, long_client (16 MiB messages), thousand_client
  std::uint64_t heartbeat_ns = 500'000'000;
  std::uint64_t rate_bps = 0;  // never send faster; 0: as fast as the path is found to be
  std::uint32_t fragment_bytes = 1'280;
  std::string control;  // rehearsals: a socket through which the clock is bent (broker/udp/control.hpp); empty: none
  bool plain = false;   // no keys, nothing sealed: must be asked for by name
};

enum class Lane : std::uint8_t { ordered = 1, realtime = 2, bulk = 3 };
enum class Replay : std::uint8_t { none = 0, last = 1, retained = 2 };

// Why something was refused. Numbers are broker::RefuseReason's.
enum class Refused : std::uint32_t {
  none = 0,
  not_connected = 1,
  memory_full = 2,
  too_long = 3,
  bad_topic = 4,
  backlog = 5,  // too much waits already: try again after retry_after_ns
  permission = 6,
  retry_later = 7
};
const char* name_of(Refused reason);

struct Published {
  Refused refused = Refused::none;   // then nothing was kept
  std::uint64_t sequence = 0;        // from 1, dense for each topic
  std::uint64_t retry_after_ns = 0;  // when refused
  explicit operator bool() const { return refused == Refused::none; }
};

// Valid only within the call that hands it over.
struct Message {
  std::string_view topic;
  std::uint64_t publisher = 0;
  std::uint32_t incarnation = 0;
  std::uint64_t sequence = 0;
  std::span<const std::span<const std::uint8_t>> pieces;  // a long message is nowhere in one piece
  std::size_t bytes = 0;
  std::string text() const;  // all pieces, copied
};

inline constexpr std::uint64_t kOpenEnded = ~0ull;
struct Gap {  // first..last of this stream will never come
  std::string_view topic;
  std::uint64_t publisher = 0;
  std::uint32_t incarnation = 0;
  std::uint64_t first = 0, last = 0;  // last: kOpenEnded where nobody knows
  std::uint32_t reason = 0;           // 1 retention, 2 detached, 3 publisher lost, 4 broker lost, 5 refused
};
const char* gap_reason(std::uint32_t reason);

struct Answer {  // of one topic's messages first..last, as published by this client
  std::string_view topic;
  std::uint64_t first = 0, last = 0;
  Refused refused = Refused::none;
  std::uint64_t retry_after_ns = 0;
};

struct Session {
  std::uint64_t broker = 0;
  std::uint32_t incarnation = 0;
  std::uint64_t uid = 0;
  std::uint32_t reason = 0;  // down: 1 timeout, 2 reset, 3 closed, 4 replaced, 5 handshake failed, 6 local
};

struct Cursor {  // from `first` on everything of this stream will come or be told as a gap
  std::string_view topic;
  std::uint64_t publisher = 0;
  std::uint32_t incarnation = 0;
  std::uint64_t first = 0;
  std::uint32_t cause = 0;  // 1 the subscription's answer, 2 a stream met later
};

// What the client hears. Each does nothing unless overridden.
class Handler {
 public:
  virtual ~Handler() = default;
  virtual void on_message(const Message&) {}
  virtual void on_gap(const Gap&) {}
  virtual void on_up(const Session&) {}
  virtual void on_down(const Session&) {}  // the library reconnects by itself
  // The subscription stands at every reachable harbour; `unreachable` of them follow when they are back.
  virtual void on_subscribed(std::string_view /*filter*/, std::uint32_t /*unreachable*/) {}
  virtual void on_cursor(const Cursor&) {}
  virtual void on_accepted(const Answer&) {}  // the home broker holds them
  virtual void on_received(const Answer&) {}  // every subscriber has them, was told a gap, or had been detached
  virtual void on_refused(const Answer&) {}
  virtual void on_detached(std::uint32_t /*reason*/) {}  // fell too far behind; goes on by itself after a gap
};

struct Counter {
  std::string_view name;
  std::uint32_t code = 0;  // of "drop" and "socket_lost": the reason
  std::uint64_t value = 0;
};
struct Pool {
  std::string_view name;
  std::uint64_t used_most = 0, bound = 0;
};

// For programs that record what crosses the engine's boundary (rehearsals); others never need it.
struct PacketVerdict {
  std::uint64_t session_uid = 0, packet = 0;
  std::uint32_t drop = 0;  // broker::Drop; 0: accepted
  bool consumed = false;
};
class Witness {
 public:
  virtual ~Witness() = default;
  virtual void on_packet(const PacketVerdict&) {}
  // All handlers of this turn have been called, and nothing that follows from it has left yet.
  virtual void before_send() {}
};

struct ConnectError {
  int exit_code = 64;  // 64 wrong options, 69 this machine cannot
  std::string text;
};

class Client {
 public:
  // Begins to connect; on_up tells when it is. Null, and why, when the options are wrong or there is no socket. The
  // handler (and witness) must outlive the client. Looks up names, so it may block that long.
  static std::unique_ptr<Client> connect(const Options& options, Handler& handler, ConnectError& error,
                                         Witness* witness = nullptr);
  ~Client();  // says goodbye to the broker; see close()
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Copies the payload. While disconnected it is kept, as far as memory goes, and offered when the session is up.
  Published publish(std::string_view topic, std::span<const std::uint8_t> payload, Lane lane = Lane::realtime);
  Published publish(std::string_view topic, std::string_view payload, Lane lane = Lane::realtime);
  Refused subscribe(std::string_view filter, Replay replay = Replay::none);
  void unsubscribe(std::string_view filter);

  // Own loop: runs handlers until the time is over (or stop() is called from a handler).
  void run_for(std::uint64_t ns);
  void stop();
  // Somebody's loop: readable when process() has something to do.
  int descriptor() const;
  void process();
  std::uint64_t next_deadline_ns() const;  // on CLOCK_MONOTONIC; for loops that would rather sleep than watch

  bool up() const;
  std::uint64_t id() const;
  std::uint32_t incarnation() const;
  std::uint64_t unreceived() const;  // messages published and not yet received or refused
  std::string local_address() const;
  // Tells the broker; what is not yet received is given up. Nothing is sent or heard afterwards. Subscriptions stay at
  // the broker for its detach bound, for a client that comes back under the same id; until then what others publish for
  // them is not `received`.
  void close();
  // For a subscriber that will not come back: gives up its subscriptions, runs so long that the broker hears of it and
  // of what has arrived, and closes. Not from within a handler.
  void leave(std::uint64_t linger_ns = 100'000'000);

  std::vector<Counter> counters() const;
  std::vector<Pool> pools() const;
  std::uint64_t memory_bytes() const;  // taken at connect()

 private:
  struct State;
  explicit Client(std::unique_ptr<State> state);
  std::unique_ptr<State> s_;
};

}  // namespace portolan
