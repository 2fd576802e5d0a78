#include "broker/wire/control.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>

namespace portolan::broker::wire {
namespace {

// Byte by byte, so that neither alignment of the caller's span nor the machine's byte order matters.
class Writer {
 public:
  explicit Writer(std::span<std::uint8_t> out) : out_(out) {}
  template <typename T>
  Writer& put(T value) {
    if (at_ + sizeof(T) > out_.size()) {
      ok_ = false;
      return *this;
    }
    for (std::size_t i = 0; i < sizeof(T); ++i)
      out_[at_ + i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i));
    at_ += sizeof(T);
    return *this;
  }
  Writer& put(std::string_view text) {
    if (at_ + text.size() > out_.size()) {
      ok_ = false;
      return *this;
    }
    if (!text.empty()) std::memcpy(out_.data() + at_, text.data(), text.size());
    at_ += text.size();
    return *this;
  }
  std::size_t done() const { return ok_ && at_ <= kControlBytesMax ? at_ : 0; }

 private:
  std::span<std::uint8_t> out_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

// Every decode checks the length first, so reading cannot fail.
class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> in) : in_(in) {}
  template <typename T>
  Reader& get(T& value) {
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) v |= static_cast<std::uint64_t>(in_[at_ + i]) << (8 * i);
    value = static_cast<T>(v);
    at_ += sizeof(T);
    return *this;
  }
  std::string_view rest() const { return {reinterpret_cast<const char*>(in_.data()) + at_, in_.size() - at_}; }

 private:
  std::span<const std::uint8_t> in_;
  std::size_t at_ = 0;
};

constexpr std::size_t kTopicFixed = 8, kStreamBytes = 48, kInterestFixed = 16, kSubscribedFixed = 16, kResumeBytes = 24,
                      kDetachedBytes = 4, kGapBytes = 24, kBusyBytes = 20, kGoneBytes = 12, kAskBytes = 4,
                      kDeniedFixed = 16;

// A cursor: all before it came.
bool valid_next(std::uint64_t sequence) {
  return sequence != 0 && sequence - 1 <= kSequenceMax;
}

bool valid(const TopicBody& b) {
  return b.alias != 0 && b.lane != PTL_LANE_CONTROL && b.lane < PTL_LANES && valid_topic(b.name) &&
         b.name.size() <= kControlBytesMax - kTopicFixed;
}
bool valid(const StreamBody& b) {
  if (b.alias == 0 || b.topic == 0 || b.publisher == 0 || !valid_next(b.start) || b.incarnation == 0) return false;
  if (b.previous_incarnation == 0) return b.previous_last == 0;
  if (b.previous_last > kSequenceMax && b.previous_last != kUnknownLast) return false;
  return b.previous_incarnation < b.incarnation;
}
bool valid(const InterestBody& b) {
  if (b.incarnation == 0 || b.replay > 2 || b.filter.size() > kControlBytesMax - kInterestFixed) return false;
  switch (b.op) {
    case InterestOp::add:
      return valid_filter(b.filter);
    case InterestOp::remove:
      return b.replay == 0 && valid_filter(b.filter);
    case InterestOp::snapshot_begin:
    case InterestOp::snapshot_end:
      return (b.replay == 0 || (b.replay == 2 && b.op == InterestOp::snapshot_begin)) && b.filter.empty();
  }
  return false;
}
bool valid(const SubscribedBody& b) {
  return b.unreachable <= kHarboursMax && b.total >= b.unreachable;
}
bool valid(const ResumeBody& b) {
  return b.publisher != 0 && valid_next(b.next) && b.topic != 0 && b.incarnation != 0;
}
bool valid(const GapBody& b) {
  if (!valid_sequence(b.first) || b.last < b.first || b.stream == 0) return false;
  return b.last <= kSequenceMax || b.last == kUnknownLast;
}
bool valid(const BusyBody& b) {
  return b.lane != PTL_LANE_CONTROL && b.lane < PTL_LANES && b.number != 0;
}
// Numbers wrap, so only equality with nothing can be judged here; how far first..last may reach is the window's affair.
bool valid(const GoneBody& b) {
  return b.lane != PTL_LANE_CONTROL && b.lane < PTL_LANES;
}
bool valid(const DeniedBody& b) {
  return b.reason != 0 && valid_filter(b.filter) && b.filter.size() <= kControlBytesMax - kDeniedFixed;
}
bool valid(const AskBody& b) {
  return b.what == kAskInterest || b.what == kAskCursors;
}

}  // namespace

std::uint64_t SubscribedBody::harbour(std::uint32_t index) const {
  if (index >= unreachable || encoded_ids.size() < 8 * (std::size_t{index} + 1)) return 0;
  std::uint64_t id = 0;
  Reader(encoded_ids.subspan(std::size_t{index} * 8)).get(id);
  return id;
}

std::size_t encode(const DeniedBody& b, std::span<std::uint8_t> out) {
  if (!valid(b)) return 0;
  return Writer(out)
      .put(b.version)
      .put(b.reason)
      .put(std::uint16_t{0})
      .put(static_cast<std::uint16_t>(b.filter.size()))
      .put(b.filter)
      .done();
}
bool decode(std::span<const std::uint8_t> in, DeniedBody& out) {
  if (in.size() < kDeniedFixed || in.size() > kControlBytesMax) return false;
  std::uint16_t reserved = 0, length = 0;
  Reader r(in);
  r.get(out.version).get(out.reason).get(reserved).get(length);
  out.filter = r.rest();
  return reserved == 0 && out.filter.size() == length && valid(out);
}

std::size_t encode(const TopicBody& b, std::span<std::uint8_t> out) {
  if (!valid(b)) return 0;
  return Writer(out)
      .put(b.alias)
      .put(b.lane)
      .put(std::uint8_t{0})
      .put(static_cast<std::uint16_t>(b.name.size()))
      .put(b.name)
      .done();
}
bool decode(std::span<const std::uint8_t> in, TopicBody& out) {
  if (in.size() < kTopicFixed || in.size() > kControlBytesMax) return false;
  std::uint8_t reserved = 0;
  std::uint16_t length = 0;
  Reader r(in);
  r.get(out.alias).get(out.lane).get(reserved).get(length);
  out.name = r.rest();
  return reserved == 0 && out.name.size() == length && valid(out);
}

std::size_t encode(const StreamBody& b, std::span<std::uint8_t> out) {
  if (!valid(b)) return 0;
  return Writer(out)
      .put(b.alias)
      .put(b.topic)
      .put(b.publisher)
      .put(b.start)
      .put(b.previous_last)
      .put(b.incarnation)
      .put(b.previous_incarnation)
      .put(b.interest)
      .done();
}
bool decode(std::span<const std::uint8_t> in, StreamBody& out) {
  if (in.size() != kStreamBytes) return false;
  Reader(in)
      .get(out.alias)
      .get(out.topic)
      .get(out.publisher)
      .get(out.start)
      .get(out.previous_last)
      .get(out.incarnation)
      .get(out.previous_incarnation)
      .get(out.interest);
  return valid(out);
}

std::size_t encode(const InterestBody& b, std::span<std::uint8_t> out) {
  if (!valid(b)) return 0;
  return Writer(out)
      .put(b.version)
      .put(b.incarnation)
      .put(static_cast<std::uint8_t>(b.op))
      .put(b.replay)
      .put(static_cast<std::uint16_t>(b.filter.size()))
      .put(b.filter)
      .done();
}
bool decode(std::span<const std::uint8_t> in, InterestBody& out) {
  if (in.size() < kInterestFixed || in.size() > kControlBytesMax) return false;
  std::uint8_t op = 0;
  std::uint16_t length = 0;
  Reader r(in);
  r.get(out.version).get(out.incarnation).get(op).get(out.replay).get(length);
  if (op > static_cast<std::uint8_t>(InterestOp::snapshot_end)) return false;
  out.op = static_cast<InterestOp>(op);
  out.filter = r.rest();
  return out.filter.size() == length && valid(out);
}

std::size_t encode(const SubscribedBody& b, std::span<std::uint8_t> out) {
  if (!valid(b) || (b.unreachable > 0 && b.harbours == nullptr)) return 0;
  Writer w(out);
  w.put(b.version).put(b.unreachable).put(b.total);
  for (std::uint32_t i = 0; i < b.unreachable; ++i) w.put(b.harbours[i]);
  return w.done();
}
bool decode(std::span<const std::uint8_t> in, SubscribedBody& out) {
  if (in.size() < kSubscribedFixed || in.size() > kControlBytesMax) return false;
  Reader(in).get(out.version).get(out.unreachable).get(out.total);
  out.harbours = nullptr;
  out.encoded_ids = in.subspan(kSubscribedFixed);
  return valid(out) && out.encoded_ids.size() == std::size_t{out.unreachable} * 8;
}

std::size_t encode(const ResumeBody& b, std::span<std::uint8_t> out) {
  if (!valid(b)) return 0;
  return Writer(out).put(b.publisher).put(b.next).put(b.topic).put(b.incarnation).done();
}
bool decode(std::span<const std::uint8_t> in, ResumeBody& out) {
  if (in.size() != kResumeBytes) return false;
  Reader(in).get(out.publisher).get(out.next).get(out.topic).get(out.incarnation);
  return valid(out);
}

std::size_t encode(const DetachedBody& b, std::span<std::uint8_t> out) {
  return Writer(out).put(b.reason).done();
}
bool decode(std::span<const std::uint8_t> in, DetachedBody& out) {
  if (in.size() != kDetachedBytes) return false;
  Reader(in).get(out.reason);
  return true;
}

std::size_t encode(const GapBody& b, std::span<std::uint8_t> out) {
  if (!valid(b)) return 0;
  return Writer(out).put(b.first).put(b.last).put(b.stream).put(b.reason).done();
}
bool decode(std::span<const std::uint8_t> in, GapBody& out) {
  if (in.size() != kGapBytes) return false;
  Reader(in).get(out.first).get(out.last).get(out.stream).get(out.reason);
  return valid(out);
}

std::size_t encode(const BusyBody& b, std::span<std::uint8_t> out) {
  if (!valid(b)) return 0;
  return Writer(out).put(b.retry_after_ns).put(b.lane).put(b.number).put(b.reason).done();
}
bool decode(std::span<const std::uint8_t> in, BusyBody& out) {
  if (in.size() != kBusyBytes) return false;
  Reader(in).get(out.retry_after_ns).get(out.lane).get(out.number).get(out.reason);
  return valid(out);
}

std::size_t encode(const GoneBody& b, std::span<std::uint8_t> out) {
  if (!valid(b)) return 0;
  return Writer(out).put(b.lane).put(b.first).put(b.last).done();
}
bool decode(std::span<const std::uint8_t> in, GoneBody& out) {
  if (in.size() != kGoneBytes) return false;
  Reader(in).get(out.lane).get(out.first).get(out.last);
  return valid(out);
}

std::size_t encode(const AskBody& b, std::span<std::uint8_t> out) {
  if (!valid(b)) return 0;
  return Writer(out).put(b.what).done();
}
bool decode(std::span<const std::uint8_t> in, AskBody& out) {
  if (in.size() != kAskBytes) return false;
  Reader(in).get(out.what);
  return valid(out);
}

namespace {

// Walks the levels of a name; false when `level` refuses one.
template <typename F>
bool each_level(std::string_view name, F&& level) {
  for (;;) {
    const std::size_t slash = name.find('/');
    const bool last = slash == std::string_view::npos;
    if (!level(name.substr(0, slash), last)) return false;
    if (last) return true;
    name.remove_prefix(slash + 1);
  }
}

bool plain_level(std::string_view level) {
  if (level.empty()) return false;
  for (const char c : level) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u == 0x7f || c == '+' || c == '#') return false;
  }
  return true;
}

}  // namespace

bool valid_topic(std::string_view topic) {
  return each_level(topic, [](std::string_view level, bool) { return plain_level(level); });
}

bool valid_filter(std::string_view filter) {
  return each_level(filter, [](std::string_view level, bool last) {
    return level == "+" || (last && level == "#") || plain_level(level);
  });
}

bool filter_matches(std::string_view filter, std::string_view topic) {
  for (;;) {
    if (filter == "#") return true;
    const std::size_t f = filter.find('/');
    const std::size_t t = topic.find('/');
    const std::string_view want = filter.substr(0, f);
    if (want != "+" && want != topic.substr(0, t)) return false;
    const bool filter_ends = f == std::string_view::npos;
    const bool topic_ends = t == std::string_view::npos;
    if (topic_ends) return filter_ends || filter.substr(f + 1) == "#";
    if (filter_ends) return false;
    filter.remove_prefix(f + 1);
    topic.remove_prefix(t + 1);
  }
}

// Level by level; '+' stands for any one level, '#' for what is left, the level above included.
bool filter_covers(std::string_view wide, std::string_view narrow) {
  for (;;) {
    if (wide == "#") return true;
    const std::size_t w = wide.find('/');
    const std::size_t n = narrow.find('/');
    const std::string_view one = wide.substr(0, w), other = narrow.substr(0, n);
    if (other == "#" || (one != "+" && one != other)) return false;
    const bool wide_ends = w == std::string_view::npos;
    if (n == std::string_view::npos) return wide_ends || wide.substr(w + 1) == "#";
    if (wide_ends) return false;
    wide.remove_prefix(w + 1);
    narrow.remove_prefix(n + 1);
  }
}

std::uint32_t depth_of(std::string_view name) {
  std::uint32_t depth = 1;
  for (const char c : name) depth += c == '/' ? 1u : 0u;
  return depth;
}

std::uint64_t filter_digest(std::string_view filter, std::uint8_t replay) {
  return XXH3_64bits_withSeed(filter.data(), filter.size(), replay);
}

std::uint64_t topic_hash(std::string_view topic) {
  return XXH3_64bits(topic.data(), topic.size());
}

}  // namespace portolan::broker::wire
