// How fast a session may send and how much of it may be on the way: the delivery-rate model of BBR
// (draft-ietf-ccwg-bbr, draft-cheng-iccrg-delivery-rate-estimation), in integers. Bandwidth is the windowed maximum of
// what acknowledgements show to have been delivered, the round trip is the least of ten seconds, and never more than
// two of their products are in flight. Departures, with their reasons, in PROTOCOL.md "Congestion control". Pure: time
// and one seed come in; used by Endpoint only.
#pragma once

#include <algorithm>
#include <cstdint>

namespace portolan::broker::session {

// What a packet remembers of the moment it left. Times are kept as distances, so that it stays small.
struct SentMark {
  std::uint32_t delivered = 0;           // low bits of the session's bytes delivered by then
  std::uint32_t since_delivered_ns = 0;  // from the last delivery to the sending
  std::uint32_t since_first_ns = 0;      // from the sending of the packet delivered last to this one's
  bool app_limited = false;
  std::uint8_t epoch = 0;  // of what counts as in flight
};

class RateModel {
 public:
  enum class Phase : std::uint8_t { startup, drain, cruise, up, down, probe_rtt };

  struct Bounds {                 // what the operator says of the path; 0: nothing
    std::uint64_t most_bps = 0;   // never faster than this
    std::uint64_t first_bps = 0;  // begin with this
  };
  // rtt_ns: from the handshake, 0 when unknown.
  void reset(std::uint64_t now_ns, std::uint64_t rtt_ns, std::uint32_t packet_bytes, Bounds bounds, std::uint64_t seed);

  void set_packet_bytes(std::uint32_t bytes);  // the datagram of now: the path's size has changed

  SentMark sent(std::uint64_t now_ns, std::uint32_t bytes);
  // One ACK: each packet that it acknowledges or shows to be lost, a sample of the round trip where it has one, then
  // its end, with the CE marks that are new in it.
  void acknowledged(std::uint64_t now_ns, const SentMark& mark, std::uint64_t sent_ns, std::uint32_t bytes);
  void lost(const SentMark& mark, std::uint32_t bytes);
  // No answer came when it must have: what is in flight is taken to be gone, however it turns out, so that a path that
  // works again is found by what is sent next.
  void silence();
  void round_trip(std::uint64_t rtt_ns) { ack_rtt_ns_ = std::min(ack_rtt_ns_, std::max<std::uint64_t>(rtt_ns, 1)); }
  void end_of_ack(std::uint64_t now_ns, std::uint32_t ce_marks);
  // Nothing waits though more could leave: what is in flight now says nothing of what the path could carry.
  void nothing_waits() { app_limited_until_ = std::max<std::uint64_t>(delivered_ + inflight_, 1); }

  bool may_send() const { return inflight_ == 0 || inflight_ + packet_bytes_ <= window_; }
  std::uint64_t pacing_bps() const { return pacing_bps_; }
  std::uint64_t rate_bps() const;  // what the path is believed to carry, the bound applied
  std::uint64_t window_bytes() const { return window_; }
  std::uint64_t inflight_bytes() const { return inflight_; }
  std::uint64_t min_rtt_ns() const { return min_rtt_ns_; }
  Phase phase() const { return phase_; }

 private:
  static constexpr std::uint32_t kRounds = 10;  // of the maximum's window
  struct Round {                                // of one round trip, from the first ACK in it to the next one's
    std::uint64_t end_delivered = 0;            // over when a packet sent behind this is acknowledged
    std::uint64_t rate_bps = 0;                 // largest sample
    std::uint64_t rtt_ns = ~0ull;               // least sample
    std::uint64_t delivered = 0, lost = 0;      // bytes
    std::uint32_t ce_marks = 0;
    bool app_limited = false;
  };

  std::uint64_t path_bps() const;
  std::uint64_t product(std::uint64_t bps) const { return bps / 8 * (min_rtt_ns_ / 1'000) / 1'000'000; }
  std::uint64_t draw(std::uint64_t below);
  void sample();
  void follow_train(std::uint64_t now_ns);
  void pipe_full();
  void end_of_round(std::uint64_t now_ns);
  void judge_startup(bool standing);
  void judge_queue(std::uint64_t now_ns, bool standing);
  void limit_path(std::uint64_t bps);
  void advance(std::uint64_t now_ns, bool round_over);
  std::uint32_t first_gain() const;
  void track_min_rtt(std::uint64_t now_ns);
  void begin_probe_rtt(std::uint64_t now_ns, bool early);
  void probe_rtt(std::uint64_t now_ns);
  void begin(Phase phase);
  void set_outputs();

  std::uint64_t now_rtt_queue() const { return round_.rtt_ns > min_rtt_ns_ ? round_.rtt_ns - min_rtt_ns_ : 0; }

  std::uint64_t seed_ = 0, draws_ = 0;
  std::uint64_t most_bps_ = 0, told_bps_ = 0, first_bps_ = 0;
  std::uint32_t packet_bytes_ = 1'400;

  // Delivery.
  std::uint64_t delivered_ = 0, inflight_ = 0;
  std::uint8_t epoch_ = 0;
  std::uint64_t delivered_ns_ = 0, first_sent_ns_ = 0;
  std::uint64_t app_limited_until_ = 0;  // 0: not limited by what is offered

  // The ACK in hand: its newest packet.
  bool ack_any_ = false, ack_app_limited_ = false;
  std::uint32_t ack_prior_ = 0;
  std::uint64_t ack_elapsed_ns_ = 0;
  std::uint64_t ack_rtt_ns_ = ~0ull;

  // The model.
  std::uint64_t rates_[kRounds] = {};  // by round
  std::uint32_t at_ = 0;
  std::uint64_t max_bps_ = 0;
  std::uint64_t min_rtt_ns_ = 0, min_rtt_at_ns_ = 0;
  bool min_rtt_known_ = false;
  Round round_;

  // The cycle.
  Phase phase_ = Phase::startup;
  bool full_ = false;           // the pipe was full once
  bool limited_round_ = false;  // the round that is over showed only what was offered
  std::uint64_t full_bps_ = 0;
  std::uint32_t full_rounds_ = 0;
  std::uint32_t train_acks_ = 0;  // in a row that found a queue
  std::uint64_t train_at_ns_ = 0, train_delivered_ = 0;
  std::uint32_t rounds_here_ = 0, cruise_rounds_ = 4;
  std::uint32_t up_gain_ = 0;        // percent
  std::uint64_t before_up_bps_ = 0;  // 0: the last probe has been judged
  std::uint32_t standing_rounds_ = 0;
  std::uint32_t calm_rounds_ = kRounds;  // since a queue on the way last marked
  std::uint32_t busy_rounds_ = 0;        // in a row with a queue and much delivered, though limited by what was offered
  bool draining_ = false;                // after the path was found slower: no more than one product in flight
  bool probe_early_ = false;
  std::uint64_t probe_until_ns_ = 0, probe_rtt_ns_ = ~0ull, probe_before_ns_ = 0, probed_at_ns_ = 0;

  std::uint64_t pacing_bps_ = 0, window_ = 0;
};

}  // namespace portolan::broker::session
