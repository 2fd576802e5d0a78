#include "broker/session/receive_window.hpp"

namespace portolan::broker::session {

bool ReceiveWindow::mark(std::uint64_t packet, std::uint64_t now_ns, std::uint64_t tolerance_ns) {
  if (ptl_window_mark(window_, packet) != PTL_W_FRESH) return false;
  if (packet > largest_) {
    if (packet > largest_ + 1) {
      const std::uint64_t due = now_ns + tolerance_ns;
      // One mark for a batch: gaps seen within a sixteenth of the tolerance mature together; so do all when marks run
      // out.
      Mark& last = marks_[(mark_head_ + mark_count_ - 1) % kMarks];
      if (mark_count_ == kMarks || (mark_count_ != 0 && due - last.due_ns <= tolerance_ns / 16)) {
        last.number = packet - 1;
      } else {
        marks_[(mark_head_ + mark_count_++) % kMarks] = {packet - 1, due};
      }
    }
    largest_ = packet;
    largest_at_ns_ = now_ns;
    // The window forgets what is this old; nobody can ask for it again.
    if (largest_ >= PTL_WINDOW_PACKETS) contiguous_ = std::max(contiguous_, largest_ - PTL_WINDOW_PACKETS + 32);
  }
  if (packet == contiguous_ + 1 || packet == largest_) advance();
  return true;
}

std::uint64_t ReceiveWindow::settle(std::uint64_t settled) {
  if (settled <= contiguous_) return 0;
  settled = std::min(settled, largest_);
  std::uint64_t gone = 0;
  for (std::uint64_t at = next_missing(contiguous_, settled); at <= settled; at = next_missing(at, settled)) ++gone;
  contiguous_ = settled;
  advance();
  return gone;
}

bool ReceiveWindow::service(std::uint64_t now_ns, std::uint64_t repeat_ns) {
  bool report = false;
  while (mark_count_ != 0 && marks_[mark_head_].due_ns <= now_ns) {
    const std::uint64_t number = marks_[mark_head_].number;
    mark_head_ = (mark_head_ + 1) % kMarks;
    --mark_count_;
    mature_ = std::max(mature_, number);
    if (next_missing(contiguous_, number) <= number) {
      report = true;
      repeat_shift_ = 0;
      repeat_due_ns_ = now_ns + repeat_ns;
    }
  }
  if (!missing()) {
    repeat_due_ns_ = kNever;
  } else if (repeat_due_ns_ <= now_ns) {
    report = true;
    repeat_shift_ = std::min(repeat_shift_ + 1, 10u);
    repeat_due_ns_ = now_ns + std::min<std::uint64_t>(repeat_ns << repeat_shift_, 1'000'000'000);
  }
  return report;
}

std::uint64_t ReceiveWindow::next_received(std::uint64_t from, std::uint64_t limit) const {
  std::uint64_t number = from + 1;
  while (number <= limit) {
    const std::uint32_t word = bits(number >> 5) >> (number & 31);
    if (word != 0) return std::min(limit + 1, number + static_cast<std::uint64_t>(std::countr_zero(word)));
    number = ((number >> 5) + 1) << 5;
  }
  return limit + 1;
}

std::uint64_t ReceiveWindow::next_missing(std::uint64_t from, std::uint64_t limit) const {
  std::uint64_t number = from + 1;
  while (number <= limit) {
    const std::uint32_t word = ~bits(number >> 5) >> (number & 31);
    if (word != 0) return std::min(limit + 1, number + static_cast<std::uint64_t>(std::countr_zero(word)));
    number = ((number >> 5) + 1) << 5;
  }
  return limit + 1;
}

std::uint64_t ReceiveWindow::describe(AckBody& body, AckRange* ranges, std::uint32_t capacity,
                                      std::uint64_t from) const {
  body.contiguous = contiguous_;
  body.largest = largest_;
  body.mature = std::min(mature_, largest_);
  std::uint32_t count = 0;
  std::uint64_t at = std::max(from, contiguous_);
  body.skip = static_cast<std::uint32_t>(at - contiguous_);  // at most the window
  while (at < largest_ && count < capacity) {
    const std::uint64_t first = next_received(at, largest_);
    const std::uint64_t end = next_missing(first, largest_);
    ranges[count++] = {static_cast<std::uint32_t>(first - at - 1), static_cast<std::uint32_t>(end - first)};
    at = end - 1;
  }
  body.range_count = count;
  return at;
}

}  // namespace portolan::broker::session
