// The handshake (PROTOCOL.md "Handshake"): HELLO, COOKIE, INIT, RESPONSE. Nothing is kept for a stranger before a
// cookie proved his path; the responder's session counts once the initiator's first tagged frame has come. Also the
// answers to what belongs to no session: RESET and the versions spoken, never longer than what they answer, and
// rate-limited.
#include <algorithm>

#include "broker/crypto/crc32c.hpp"
#include "broker/session/state.hpp"

namespace portolan::broker {
namespace {

enum Kind : std::uint32_t { kHello = 1, kCookie = 2, kInit = 3, kResponse = 4, kVersions = 5 };

struct Head {  // of each payload; COOKIE and INIT: then the cookie
  std::uint32_t kind = 0;
  std::uint32_t session = 0;  // HELLO: the sender's clock in us, echoed by COOKIE: its first round-trip sample;
                              // RESPONSE: the initiator's index; VERSIONS: the version spoken
  std::uint64_t nonce = 0;    // the initiator's, the same in all four
};
static_assert(sizeof(Head) == 16);
constexpr std::uint32_t kHelloBytes = 128;  // padded, so that no answer is longer
constexpr std::uint32_t kInitFixed = sizeof(Head) + sizeof(Token) + sizeof(Prologue);
constexpr std::uint32_t kInitBytes = kInitFixed + kNoiseOverhead1 + sizeof(Welcome);
constexpr std::uint32_t kResponseBytes = sizeof(Head) + kNoiseOverhead2 + sizeof(Welcome);
static_assert(PTL_FRAME_BYTES + kInitBytes + PTL_TRAILER_BYTES <= kHandshakeBytes);
static_assert(kResponseBytes <= kInitBytes && sizeof(Head) + sizeof(Token) <= kHelloBytes, "amplification at most 1");

static_assert(kModePlain == +kCapabilityPlain && kModeSealed == +kCapabilitySealed);
constexpr std::uint32_t kModes = kModePlain | kModeSealed;
constexpr std::uint64_t kBackoffFirst = 100 * kMillisecond;
constexpr std::uint64_t kBackoffMost = kSecond;
constexpr std::uint32_t kInitRepeats = 4;  // then again from HELLO: the cookie may be too old
constexpr std::uint64_t kConfirmWithin = 3 * kSecond;
constexpr std::uint32_t kAnswersPerWindow = 64;  // RESET, versions: in each 100 ms
constexpr std::uint64_t kAnswersWindow = 100 * kMillisecond;

std::span<const std::uint8_t> bytes_of(const Welcome& welcome) {
  return {reinterpret_cast<const std::uint8_t*>(&welcome), sizeof welcome};
}

// The mode for a session: sealed wherever both allow it. 0: none that both allow.
std::uint32_t choose_mode(std::uint32_t offered, std::uint32_t allowed) {
  const std::uint32_t both = offered & allowed & kModes;
  return (both & kModeSealed) != 0 ? kModeSealed : both;
}

// Else no session can be run with it: 64 of its fragments would not make a segment, or it takes nothing.
bool is_sound(const Welcome& w) {
  return w.id != 0 && w.fragment_max >= PTL_FRAGMENT_FLOOR && w.receive_messages != 0 && w.message_bytes_max != 0 &&
         w.topics_max != 0 && w.streams_max != 0;
}

}  // namespace

// Sends what does not belong to a session: `bytes` of payload, then the trailer.
void Endpoint::State::reply(PathId path, std::uint32_t type, std::uint32_t session_index,
                            std::span<const std::uint8_t> payload) {
  Reply datagram;
  datagram.path = path;
  const auto bytes = static_cast<std::uint32_t>(payload.size());
  std::copy(payload.begin(), payload.end(), datagram.data + PTL_FRAME_BYTES);
  ptl_frame frame{};
  frame.version_type = static_cast<std::uint8_t>(PTL_VERSION << 4 | type);
  frame.session = session_index;
  frame.bytes = bytes + PTL_TRAILER_BYTES;
  frame.crc = session::seal_payload(datagram.data + PTL_FRAME_BYTES, bytes);
  session::put(datagram.data, frame);
  datagram.bytes = PTL_FRAME_BYTES + frame.bytes;
  if (!replies.push(datagram)) {
    count(Drop::rate_limited);
  } else if (type == PTL_HANDSHAKE) {
    ++counters.handshakes_out;
  }
}

// What a receive buffer holds of a fragment, in whole units.
std::uint32_t Endpoint::State::fragment_max() const {
  return std::min((limits.datagram_bytes - PTL_FRAME_BYTES) / PTL_FRAGMENT_UNIT * PTL_FRAGMENT_UNIT,
                  PTL_FRAGMENT_KERNEL_MAX);
}

Welcome Endpoint::State::my_welcome(std::uint32_t local_index, PathId path, const SessionOptions& options) const {
  Welcome w;
  w.id = identity.id;
  w.incarnation = identity.incarnation;
  w.session_index = local_index;
  w.receive_messages = limits.receive_messages;
  w.message_bytes_max = limits.message_bytes_max;
  w.grants_per_class = limits.grants_per_class;
  w.credit_bytes = limits.credit_bytes;
  w.idle_interval_ns = options.idle_interval_ns;
  w.reset_token = reset_tokens.of(local_index, path);
  w.capabilities = options.modes & kModes;
  w.fragment_max = fragment_max();
  w.topics_max = limits.topics;
  w.streams_max = limits.streams;
  return w;
}

void Endpoint::State::take_welcome(Session& s, const Welcome& theirs, std::uint32_t capabilities) {
  s.peer = theirs.id;
  s.peer_incarnation = theirs.incarnation;
  s.remote_index = theirs.session_index;
  s.reset_token = theirs.reset_token;
  s.peer_receive = std::max<std::uint32_t>(theirs.receive_messages, 16);
  s.peer_message_max = theirs.message_bytes_max;
  s.peer_limits = {capabilities, theirs.fragment_max, theirs.topics_max, theirs.streams_max};
  s.sealed = (capabilities & kCapabilitySealed) != 0;
  s.credit_limit = theirs.credit_bytes;
  s.options.fragment_bytes = std::clamp<std::uint32_t>(theirs.fragment_max / PTL_FRAGMENT_UNIT * PTL_FRAGMENT_UNIT,
                                                       PTL_FRAGMENT_FLOOR, s.options.fragment_bytes);
  s.idle_ns = std::clamp<std::uint64_t>(std::max(s.options.idle_interval_ns, theirs.idle_interval_ns),
                                        10 * kMillisecond, 10 * kSecond);
}

void Endpoint::State::begin_attempt(std::uint32_t at) {
  Peer& peer = peers[at];
  const std::uint32_t timer = limits.sessions + at;
  life.set(timer, kNever);
  if (draining || peer.slot != kNil || peer.attempt != kNil) return;
  Session* s = take_session();
  if (s == nullptr) {
    count(Drop::session_table_full);
    life.set(timer, now.mono_ns + kBackoffFirst);
    return;
  }
  s->state = SessionState::hello_sent;
  s->initiator = true;
  s->peer_slot = at;
  s->path = peer.config.path;
  s->options = peer.options;
  s->options.fragment_bytes = std::clamp<std::uint32_t>(s->options.fragment_bytes, PTL_FRAGMENT_FLOOR, fragment_max()) /
                              PTL_FRAGMENT_UNIT * PTL_FRAGMENT_UNIT;
  s->nonce = random.next();
  s->backoff_ns = kBackoffFirst;
  peer.attempt = s->slot;
  attempt_due(*s);
}

// HELLO or INIT again, with back-off, for ever.
void Endpoint::State::attempt_due(Session& s) {
  if (s.state == SessionState::init_sent && s.tries++ < kInitRepeats) {
    reply(s.path, PTL_HANDSHAKE, 0, {s.message, s.message_bytes});
  } else {
    if (s.state == SessionState::init_sent) {
      s.state = SessionState::hello_sent;
      s.nonce = random.next();
    }
    std::uint8_t payload[kHelloBytes] = {};
    session::put(payload, Head{kHello, static_cast<std::uint32_t>(now.mono_ns / 1'000), s.nonce});
    reply(s.path, PTL_HANDSHAKE, 0, payload);
  }
  life.set(s.slot, now.mono_ns + s.backoff_ns);
  // Whoever must be heard of so often that silence is soon noticed is looked for as often.
  const std::uint64_t most = std::clamp(3 * s.options.idle_interval_ns, kBackoffFirst, kBackoffMost);
  s.backoff_ns = std::min(2 * s.backoff_ns, std::max(most, 2 * s.rtt.smoothed()));
}

Drop Endpoint::State::receive_handshake(PathId path, std::span<const std::uint8_t> payload) {
  ++counters.handshakes_in;
  if (draining) return Drop::not_connected;
  if (payload.size() < sizeof(Head)) return Drop::handshake_invalid;
  switch (session::get<Head>(payload.data()).kind) {
    case kHello:
      return receive_hello(path, payload);
    case kCookie:
      return receive_cookie(path, payload);
    case kInit:
      return receive_init(path, payload);
    case kResponse:
      return receive_response(path, payload);
    default:
      return Drop::handshake_invalid;  // VERSIONS too: there is only one to speak
  }
}

Drop Endpoint::State::receive_hello(PathId path, std::span<const std::uint8_t> payload) {
  if (payload.size() < kHelloBytes) return Drop::handshake_invalid;
  const Head head = session::get<Head>(payload.data());
  std::uint8_t out[sizeof(Head) + sizeof(Token)];
  session::put(out, Head{kCookie, head.session, head.nonce});
  session::put(out + sizeof(Head), cookies.make(now.mono_ns, path, head.nonce));
  reply(path, PTL_HANDSHAKE, 0, out);
  return Drop::none;
}

Drop Endpoint::State::receive_cookie(PathId path, std::span<const std::uint8_t> payload) {
  if (payload.size() != sizeof(Head) + sizeof(Token)) return Drop::handshake_invalid;
  const Head head = session::get<Head>(payload.data());
  for (std::uint32_t i = 0; i < peer_count; ++i) {
    if (peers[i].attempt == kNil) continue;
    Session& s = sessions[peers[i].attempt];
    if (s.state != SessionState::hello_sent || s.nonce != head.nonce || !(s.path == path)) continue;
    Welcome mine = my_welcome(s.local_index, s.path, s.options);
    const std::uint32_t elapsed_us = static_cast<std::uint32_t>(now.mono_ns / 1'000) - head.session;
    if (elapsed_us < 60'000'000) {  // else an echo of something else
      mine.rtt_ns = std::max<std::uint64_t>(std::uint64_t{elapsed_us} * 1'000, 1'000);
      s.rtt.sample(mine.rtt_ns);
    }
    Prologue prologue;
    prologue.capabilities = mine.capabilities;
    prologue.fragment_max = static_cast<std::uint16_t>(fragment_max());
    prologue.window_packets = limits.window_packets;
    prologue.window_messages = limits.window_messages;
    prologue.message_bytes_max = limits.message_bytes_max;
    prologue.idle_interval_ns = s.options.idle_interval_ns;
    session::put(s.message, Head{kInit, 0, s.nonce});
    std::copy_n(payload.data() + sizeof(Head), sizeof(Token), s.message + sizeof(Head));
    session::put(s.message + sizeof(Head) + sizeof(Token), prologue);
    s.noise.start_initiator(identity, peers[i].config.static_public, prologue.bytes(), random.key());
    const std::size_t written = s.noise.write(bytes_of(mine), {s.message + kInitFixed, kHandshakeBytes - kInitFixed});
    if (written == 0) return Drop::handshake_invalid;
    s.message_bytes = static_cast<std::uint32_t>(kInitFixed + written);
    s.state = SessionState::init_sent;
    s.tries = 0;
    s.backoff_ns = std::max(kBackoffFirst, 2 * s.rtt.smoothed());
    attempt_due(s);
    return Drop::none;
  }
  return Drop::old;
}

bool Endpoint::State::allowed_client(const Key32& key) const {
  if (!clients_accepted) return false;
  if (allowed_count == 0) return true;
  return std::find(allowed, allowed + allowed_count, key) != allowed + allowed_count;
}

Drop Endpoint::State::receive_init(PathId path, std::span<const std::uint8_t> payload) {
  if (payload.size() != kInitBytes) return Drop::handshake_invalid;
  const Head head = session::get<Head>(payload.data());
  if (!cookies.check(now.mono_ns, path, head.nonce, session::get<Token>(payload.data() + sizeof(Head)))) {
    return Drop::cookie_invalid;
  }
  // A repeat of what was answered gets the same answer; it costs no second state and no new keys.
  const std::uint64_t named = session::get<std::uint64_t>(payload.data() + kInitFixed) | 1;  // of its ephemeral key
  for (std::uint32_t i = 0; i < limits.sessions; ++i) {
    Session& s = sessions[i];
    if (s.init_hash != named || s.initiator) continue;
    if (s.state == SessionState::up) return Drop::replay;
    if (s.state != SessionState::responding || !(s.path == path)) continue;
    reply(path, PTL_HANDSHAKE, s.remote_index, {s.message, s.message_bytes});
    return Drop::none;
  }
  const Prologue prologue = session::get<Prologue>(payload.data() + sizeof(Head) + sizeof(Token));
  if (prologue.magic != Prologue{}.magic || prologue.version != PTL_VERSION) return Drop::handshake_invalid;
  NoiseIk noise;
  noise.start_responder(identity, prologue.bytes(), random.key());
  Welcome theirs;
  std::size_t bytes = 0;
  if (!noise.read(payload.subspan(kInitFixed), {reinterpret_cast<std::uint8_t*>(&theirs), sizeof theirs}, bytes) ||
      bytes != sizeof theirs || theirs.id == identity.id || !is_sound(theirs) ||
      theirs.capabilities != prologue.capabilities) {
    return Drop::handshake_invalid;
  }
  std::uint32_t configured = kNil;
  for (std::uint32_t i = 0; i < peer_count; ++i) {
    if (peers[i].config.id == theirs.id) configured = i;
  }
  if (configured != kNil ? peers[configured].config.static_public != noise.peer() : !allowed_client(noise.peer())) {
    return Drop::not_allowed;
  }
  KnownIdentity* who = identity_of(theirs.id, true);
  if (who == nullptr) return Drop::session_table_full;
  if (theirs.incarnation < who->incarnation) return Drop::old;
  if (binds_keys && configured == kNil && who->incarnation != 0 && who->key != noise.peer()) {
    return Drop::not_allowed;  // somebody else's identity
  }
  // Both tried at once: the attempt of the smaller id goes on, the other's is ignored.
  if (configured != kNil && peers[configured].attempt != kNil && identity.id < theirs.id) return Drop::old;
  if (events.room() < limits.sessions + 4) return Drop::backlog_full;

  const SessionOptions& options = configured != kNil ? peers[configured].options : client_options;
  const std::uint32_t mode = choose_mode(theirs.capabilities, options.modes);
  if (mode == 0) {
    refuse_mode(path, head.nonce, theirs, options, configured != kNil, noise);
    return Drop::mode_refused;
  }

  // One unconfirmed session for each identity.
  for (std::uint32_t i = 0; i < limits.sessions; ++i) {
    if (sessions[i].state == SessionState::responding && sessions[i].peer == theirs.id) {
      end_session(sessions[i], DownReason::replaced, false);
    }
  }
  Session* s = take_session();
  if (s == nullptr) return Drop::session_table_full;
  who->key = s->peer_key = noise.peer();
  s->state = SessionState::responding;
  s->peer_slot = configured;
  s->path = path;
  s->options = options;
  s->options.fragment_bytes = std::clamp<std::uint32_t>(s->options.fragment_bytes, PTL_FRAGMENT_FLOOR, fragment_max()) /
                              PTL_FRAGMENT_UNIT * PTL_FRAGMENT_UNIT;
  take_welcome(*s, theirs, mode);
  if (theirs.rtt_ns != 0) s->rtt.sample(theirs.rtt_ns);
  s->init_hash = named;
  session::put(s->message, Head{kResponse, theirs.session_index, head.nonce});
  Welcome mine = my_welcome(s->local_index, path, s->options);
  mine.capabilities = mode;
  const std::size_t written = noise.write(bytes_of(mine), {s->message + sizeof(Head), kHandshakeBytes - sizeof(Head)});
  SessionKeys keys;
  if (written == 0 || !noise.session_keys(s->local_index, s->remote_index, keys)) {
    s->state = SessionState::free;
    return Drop::handshake_invalid;
  }
  noise.wipe();
  s->message_bytes = static_cast<std::uint32_t>(sizeof(Head) + written);
  take_keys(*s, keys);
  start_session(*s);
  life.set(s->slot, now.mono_ns + kConfirmWithin);
  reply(path, PTL_HANDSHAKE, s->remote_index, {s->message, s->message_bytes});
  return Drop::none;
}

void Endpoint::State::take_keys(Session& s, const SessionKeys& keys) {
  s.keys_in = {keys.receive_secret, {keys.receive, {}}, {true, false}, 0};
  s.keys_out = {keys.send_secret, {keys.send, {}}, {true, false}, 0};
  s.send_phase = 0;
  s.phase_packet = 1;
  s.phase_bytes = 0;
  s.phase_since_ns = now.mono_ns;
  s.uid = keys.uid;
}

void Endpoint::State::tell_refused(const Session* s, const Welcome& theirs, bool configured) {
  SessionEvent event;
  event.kind = SessionEvent::Kind::refused;
  event.session = s != nullptr ? s->handle : kNil;
  event.peer = theirs.id;
  event.peer_incarnation = theirs.incarnation;
  event.configured = configured;
  event.reason = DownReason::mode_refused;
  event.after = arrived;
  events.push(event);  // both callers looked for room
}

// Nothing is kept of it here. The initiator is told, under its keys, that no mode was chosen.
void Endpoint::State::refuse_mode(PathId path, std::uint64_t nonce, const Welcome& theirs,
                                  const SessionOptions& options, bool configured, NoiseIk& noise) {
  Welcome mine = my_welcome(0, path, options);
  mine.capabilities = 0;
  std::uint8_t out[kResponseBytes];
  session::put(out, Head{kResponse, theirs.session_index, nonce});
  const std::size_t written = noise.write(bytes_of(mine), {out + sizeof(Head), sizeof out - sizeof(Head)});
  if (written != 0) reply(path, PTL_HANDSHAKE, theirs.session_index, {out, sizeof(Head) + written});
  noise.wipe();
  tell_refused(nullptr, theirs, configured);
}

// The other side may be configured anew: ask again, but slowly.
void Endpoint::State::mode_refused(Session& s, const Welcome& theirs) {
  s.state = SessionState::hello_sent;
  s.nonce = random.next();
  s.noise.wipe();
  s.backoff_ns = kBackoffMost;
  life.set(s.slot, now.mono_ns + kBackoffMost);
  tell_refused(&s, theirs, true);
}

Drop Endpoint::State::receive_response(PathId path, std::span<const std::uint8_t> payload) {
  if (payload.size() != kResponseBytes) return Drop::handshake_invalid;
  const Head head = session::get<Head>(payload.data());
  for (std::uint32_t i = 0; i < peer_count; ++i) {
    if (peers[i].attempt == kNil) continue;
    Session& s = sessions[peers[i].attempt];
    if (s.state != SessionState::init_sent || s.nonce != head.nonce || s.local_index != head.session) continue;
    if (!(s.path == path)) return Drop::handshake_invalid;
    if (events.room() < limits.sessions + 4) return Drop::backlog_full;
    NoiseIk noise = s.noise;  // a forged answer must not kill the attempt
    Welcome theirs;
    std::size_t bytes = 0;
    SessionKeys keys;
    if (!noise.read(payload.subspan(sizeof(Head)), {reinterpret_cast<std::uint8_t*>(&theirs), sizeof theirs}, bytes) ||
        bytes != sizeof theirs || theirs.id != peers[i].config.id || !is_sound(theirs)) {
      return Drop::handshake_invalid;
    }
    if (theirs.capabilities == 0) {
      mode_refused(s, theirs);
      return Drop::mode_refused;
    }
    // One mode, of those that were offered, and nothing else.
    if (theirs.capabilities != choose_mode(theirs.capabilities, s.options.modes)) return Drop::handshake_invalid;
    const KnownIdentity* who = identity_of(theirs.id, true);
    if (who != nullptr && theirs.incarnation < who->incarnation) return Drop::old;
    take_welcome(s, theirs, theirs.capabilities);
    if (!noise.session_keys(s.local_index, s.remote_index, keys)) return Drop::handshake_invalid;
    noise.wipe();
    s.noise.wipe();
    take_keys(s, keys);
    s.peer_key = peers[i].config.static_public;
    start_session(s);
    establish(s);
    return Drop::none;
  }
  return Drop::old;
}

bool Endpoint::State::rate_limited() {
  if (now.mono_ns - resets_window_ns >= kAnswersWindow) {
    resets_window_ns = now.mono_ns;
    resets_in_window = 0;
  }
  if (resets_in_window >= kAnswersPerWindow) {
    count(Drop::rate_limited);
    return true;
  }
  ++resets_in_window;
  return false;
}

void Endpoint::State::answer_version(PathId path, std::uint32_t datagram_bytes) {
  if (datagram_bytes < PTL_FRAME_BYTES + sizeof(Head) + PTL_TRAILER_BYTES || rate_limited()) return;
  std::uint8_t out[sizeof(Head)];
  session::put(out, Head{kVersions, PTL_VERSION, 0});
  reply(path, PTL_HANDSHAKE, 0, out);
}

void Endpoint::State::answer_unknown(PathId path, std::uint32_t session_index, std::uint32_t datagram_bytes) {
  session::ResetBody body;
  if (datagram_bytes < PTL_FRAME_BYTES + sizeof body + PTL_TRAILER_BYTES || rate_limited()) return;
  body.session = session_index;
  const Token token = reset_tokens.of(session_index, path);
  std::copy(token.begin(), token.end(), body.token);
  ++counters.resets_out;
  std::uint8_t out[sizeof body];
  session::put(out, body);
  reply(path, PTL_RESET, 0, out);
}

Drop Endpoint::State::receive_reset(PathId path, std::span<const std::uint8_t> payload) {
  ++counters.resets_in;
  if (payload.size() != sizeof(session::ResetBody)) return Drop::bad_length;
  const auto body = session::get<session::ResetBody>(payload.data());
  Token token;
  std::copy_n(body.token, token.size(), token.begin());
  for (std::uint32_t i = 0; i < limits.sessions; ++i) {
    Session& s = sessions[i];
    if (s.state != SessionState::up || s.remote_index != body.session || !(s.path == path)) continue;
    if (!same_token(token, s.reset_token)) continue;
    end_session(s, DownReason::reset, false);
    return Drop::none;
  }
  return Drop::reset_invalid;
}

}  // namespace portolan::broker
