#include "broker/engine/disk_gate.hpp"

#include <new>

namespace portolan::broker {

DiskGate::DiskGate(Arena& arena, std::uint32_t writes_max)
    : writes_(arena.take_raw<Write>(writes_max)), bound_(writes_max) {}

std::uint64_t DiskGate::submit(std::uint64_t offset, std::span<const std::uint8_t> bytes, bool sync) {
  if (submitted_ - durable_ == bound_) return 0;
  const std::uint64_t position = ++submitted_;
  Write& w = *new (&at(position)) Write();
  w.write = {position, offset, bytes, sync};
  w.state = State::queued;
  return position;
}

bool DiskGate::poll(DiskRequest& out) {
  while (polled_ < submitted_) {
    Write& w = at(++polled_);
    if (w.state != State::queued) continue;  // after retry(): those in between that are done or under way
    w.state = State::under_way;
    out = w.write;
    return true;
  }
  return false;
}

bool DiskGate::done(std::uint64_t token, DiskResult result) {
  if (token <= durable_ || token > submitted_ || at(token).state != State::under_way) {
    ++unknown_;
    return false;
  }
  at(token).state = result == DiskResult::ok ? State::ok : State::failed;
  at(token).result = result;
  while (durable_ < submitted_ && at(durable_ + 1).state == State::ok) at(++durable_).state = State::free;
  return true;
}

std::uint64_t DiskGate::failed() const {
  for (std::uint64_t p = durable_ + 1; p <= submitted_; ++p) {
    if (at(p).state == State::failed) return p;
  }
  return 0;
}

DiskResult DiskGate::failure() const {
  const std::uint64_t p = failed();
  return p == 0 ? DiskResult::ok : at(p).result;
}

void DiskGate::retry() {
  for (std::uint64_t p = durable_ + 1; p <= submitted_; ++p) {
    if (at(p).state == State::failed) at(p).state = State::queued;
  }
  polled_ = durable_;
}

}  // namespace portolan::broker
