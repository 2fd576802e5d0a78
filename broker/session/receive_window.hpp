// The receiving half of a session's packet numbers: which came (the replay window of bpf/layout/accept.h, which the
// kernel marks too), which gaps are old enough to be reported, and what an ACK says. A gap matures max(RTT/4, 250 us)
// after it was seen (reordering tolerance), is reported once for each batch, and again at RTT + 4 var with back-off.
#pragma once

#include <algorithm>
#include <cstdint>

#include "bpf/layout/accept.h"
#include "broker/session/frame.hpp"

namespace portolan::broker::session {

class ReceiveWindow {
 public:
  void reset(ptl_window* window) {
    *this = ReceiveWindow{};
    window_ = window;
    *window_ = ptl_window{};
  }
  ptl_window_result test(std::uint64_t packet) const { return ptl_window_test(window_, packet); }

  // A packet is consumed: mark it. False: a replay after all. `tolerance_ns`: how long a gap may be mere reordering.
  bool mark(std::uint64_t packet, std::uint64_t now_ns, std::uint64_t tolerance_ns);
  // Numbers seen without being consumed (a HEARTBEAT's largest) or settled by their sender (never to be missed again).
  // How many that were missing never come now.
  std::uint64_t settle(std::uint64_t settled);

  // Gap reports due? True: send an ACK now (mature() has moved, or what was reported is still missing).
  bool service(std::uint64_t now_ns, std::uint64_t repeat_ns);
  std::uint64_t deadline() const {
    return std::min(mark_count_ != 0 ? marks_[mark_head_].due_ns : kNever, repeat_due_ns_);
  }

  std::uint64_t largest() const { return largest_; }
  std::uint64_t largest_at_ns() const { return largest_at_ns_; }
  bool missing() const { return contiguous_ < mature_; }  // something reported is missing still
  std::uint64_t contiguous() const { return contiguous_; }
  // contiguous, largest, mature and ranges behind `from`; returns the number up to which all is told.
  std::uint64_t describe(AckBody& body, AckRange* ranges, std::uint32_t capacity, std::uint64_t from = 0) const;

 private:
  static constexpr std::uint32_t kMarks = 16;
  struct Mark {
    std::uint64_t number = 0;
    std::uint64_t due_ns = 0;
  };
  std::uint32_t bits(std::uint64_t block) const {
    const std::uint64_t word = PTL_LOAD(&window_->word[block & (PTL_WINDOW_WORDS - 1)]);
    return ptl_high(word) == static_cast<std::uint32_t>(block) ? ptl_low(word) : 0;
  }
  // First number after `from` (exclusive) that came / that did not, at most limit + 1.
  std::uint64_t next_received(std::uint64_t from, std::uint64_t limit) const;
  std::uint64_t next_missing(std::uint64_t from, std::uint64_t limit) const;
  void advance() { contiguous_ = std::max(contiguous_, next_missing(contiguous_, largest_) - 1); }

  ptl_window* window_ = nullptr;
  std::uint64_t largest_ = 0;
  std::uint64_t largest_at_ns_ = 0;
  std::uint64_t contiguous_ = 0;
  std::uint64_t mature_ = 0;
  std::uint64_t repeat_due_ns_ = kNever;
  std::uint32_t repeat_shift_ = 0;
  Mark marks_[kMarks];
  std::uint32_t mark_head_ = 0;
  std::uint32_t mark_count_ = 0;
};

}  // namespace portolan::broker::session
