// See fleet.hpp. Distances along a lane are whole millimetres; courses and positions come from exact.hpp.
#include "scenarios/load/fleet.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "scenarios/base/hash.hpp"

namespace portolan::load {
namespace {

constexpr plan::Ns second = 1'000'000'000;
constexpr plan::Ns statics_interval_ns = 360 * second;
constexpr double turn_rate_deg_per_second = 1.0;
constexpr std::uint32_t kn14 = 140;
constexpr std::uint32_t kn23 = 230;

// What a draw is for.
enum Purpose : std::uint64_t { for_speed = 1, for_offset, for_phase, for_statics_phase, for_slot, for_radio, for_mmsi };

// Maritime identification digits: Germany, Netherlands, Denmark, Sweden, Norway, United Kingdom, France, Belgium,
// Poland, Finland.
constexpr std::array<std::uint32_t, 10> countries = {211, 244, 219, 265, 257, 232, 226, 205, 261, 230};

exact::Point point_of(const plan::Waypoint& w) {
  return {static_cast<double>(w.lat_udeg) / 1e6, static_cast<double>(w.lon_udeg) / 1e6};
}

// The course at which a great circle from a arrives at b.
double arrival_deg(exact::Point a, exact::Point b) {
  const double back = exact::course_deg(b, a) + 180;
  return back >= 360 ? back - 360 : back;
}

double turn_between(double in_deg, double out_deg) {
  double turn = out_deg - in_deg;
  while (turn > 180) turn -= 360;
  while (turn <= -180) turn += 360;
  return turn;
}

// About half sail below 14 kn (10 s), a third to 23 kn (6 s), a tenth above (2 s): a mixed fleet of coasters, container
// ships and fast ferries.
std::uint32_t speed_of(std::uint64_t draw) {
  const std::uint64_t share = below64(draw, 100);
  const std::uint64_t within = mix64(draw);
  if (share < 55) return static_cast<std::uint32_t>(80 + below64(within, 60));
  if (share < 90) return static_cast<std::uint32_t>(141 + below64(within, 85));
  return static_cast<std::uint32_t>(235 + below64(within, 105));
}

std::int32_t round_to_int(double x) {
  return static_cast<std::int32_t>(std::floor(x + 0.5));
}

}  // namespace

Lane Lane::make(const std::vector<plan::Waypoint>& waypoints) {
  std::vector<exact::Point> way;
  for (const plan::Waypoint& w : waypoints) {
    const exact::Point p = point_of(w);
    if (way.empty() || exact::great_circle_m(way.back(), p) > 0) way.push_back(p);
  }
  Lane lane;
  if (way.size() < 2) return lane;
  lane.point = way;
  for (std::size_t i = way.size() - 2; i > 0; --i) lane.point.push_back(way[i]);
  const std::size_t n = lane.point.size();
  lane.from_mm.push_back(0);
  for (std::size_t i = 0; i < n; ++i) {
    const exact::Point before = lane.point[(i + n - 1) % n];
    const exact::Point after = lane.point[(i + 1) % n];
    lane.from_mm.push_back(lane.from_mm.back() + 1000 * exact::great_circle_m(lane.point[i], after));
    lane.arrive_deg.push_back(arrival_deg(before, lane.point[i]));
    lane.leave_deg.push_back(exact::course_deg(lane.point[i], after));
    lane.turn_deg.push_back(turn_between(lane.arrive_deg.back(), lane.leave_deg.back()));
  }
  return lane;
}

Vessel::Vessel(std::shared_ptr<const Lane> lane, std::uint64_t seed, std::uint32_t index, plan::Ns start_ns,
               plan::Ns end_ns, std::uint64_t most_reports)
    : lane_(std::move(lane)), seed_(draw64(seed, index)), index_(index) {
  const std::uint32_t country = countries[below64(draw64(seed_, for_mmsi), countries.size())];
  mmsi_ = country * 1'000'000 + static_cast<std::uint32_t>((below64(mix64(seed), 1'000'000) + index) % 1'000'000);
  speed_ = speed_of(draw64(seed_, for_speed));
  offset_mm_ =
      static_cast<std::int64_t>(below64(draw64(seed_, for_offset), static_cast<std::uint64_t>(lane_->length_mm())));

  const auto drawn_below = [&](std::uint64_t purpose, std::uint64_t n, plan::Ns bound) {
    return static_cast<plan::Ns>(below64(draw64(seed_, purpose, n), static_cast<std::uint64_t>(bound)));
  };
  plan::Ns statics_ns = start_ns + drawn_below(for_statics_phase, 0, statics_interval_ns);
  plan::Ns nominal_ns = start_ns + drawn_below(for_phase, 0, interval_ns(false));
  for (std::uint64_t n = 0; reports_.size() < most_reports; ++n) {
    // The slot chosen for a report lies within a tenth of the interval either side of the nominal one (M.1371 3.3.4).
    const plan::Ns interval = interval_ns(state(nominal_ns).turn_deg_per_minute != 0);
    const plan::Ns slot_ns = nominal_ns - interval / 10 + drawn_below(for_slot, n, interval / 5);
    const plan::Ns at_ns = std::max(slot_ns, start_ns);
    if (statics_ns < end_ns && statics_ns <= at_ns) {
      reports_.push_back({statics_ns, true});
      statics_ns += statics_interval_ns;
      --n;
      continue;
    }
    if (at_ns >= end_ns) break;
    reports_.push_back({at_ns, false});
    nominal_ns += interval;
  }
}

plan::Ns Vessel::interval_ns(bool turning) const {
  if (speed_ > kn23) return 2 * second;
  if (speed_ > kn14) return turning ? 2 * second : 6 * second;
  return turning ? 10 * second / 3 : 10 * second;
}

VesselState Vessel::state(plan::Ns at_ns) const {
  const Lane& lane = *lane_;
  // 1/10 knot is 463/9 mm/s.
  const unsigned_int128 sailed_mm =
      static_cast<unsigned_int128>(static_cast<std::uint64_t>(at_ns)) * speed_ * 463 / (9 * std::uint64_t{second});
  const auto length = static_cast<std::uint64_t>(lane.length_mm());
  const auto s = static_cast<std::int64_t>((sailed_mm + static_cast<std::uint64_t>(offset_mm_)) % length);
  const auto after = std::upper_bound(lane.from_mm.begin(), lane.from_mm.end(), s);
  const auto leg = static_cast<std::size_t>(after - lane.from_mm.begin()) - 1;
  const std::size_t n = lane.point.size();
  const std::size_t next = (leg + 1) % n;
  const std::int64_t leg_mm = lane.from_mm[leg + 1] - lane.from_mm[leg];
  const std::int64_t gone_mm = s - lane.from_mm[leg];
  const double leg_part = static_cast<double>(gone_mm) / static_cast<double>(leg_mm);

  VesselState now;
  now.at = exact::along(lane.point[leg], lane.point[next], leg_part);
  // A turn is spread over the stretch before and after its waypoint, at most half of either leg.
  const double mm_per_second = static_cast<double>(speed_) * 463 / 9;
  const auto half_turn_mm = [&](std::size_t i) {
    const std::size_t before = (i + n - 1) % n;
    const std::int64_t shorter =
        std::min(lane.from_mm[i + 1] - lane.from_mm[i], lane.from_mm[before + 1] - lane.from_mm[before]);
    const double angle = lane.turn_deg[i] < 0 ? -lane.turn_deg[i] : lane.turn_deg[i];
    return std::min(mm_per_second * angle / turn_rate_deg_per_second / 2, static_cast<double>(shorter) / 2);
  };
  const auto turning = [&](std::size_t i, double past_mm) {
    const double half = half_turn_mm(i);
    if (half <= 0 || past_mm >= half || past_mm <= -half) return false;
    now.course_deg = lane.arrive_deg[i] + lane.turn_deg[i] * (past_mm + half) / (2 * half);
    now.turn_deg_per_minute = lane.turn_deg[i] / (2 * half / mm_per_second) * 60;
    return true;
  };
  if (!turning(leg, static_cast<double>(gone_mm)) && !turning(next, static_cast<double>(gone_mm - leg_mm))) {
    constexpr std::int64_t near_mm = 1'000'000;  // so near, the course to the waypoint itself is ill-conditioned
    now.course_deg = leg_mm - gone_mm > near_mm ? exact::course_deg(now.at, lane.point[next]) : lane.arrive_deg[next];
  }
  if (now.course_deg < 0) now.course_deg += 360;
  if (now.course_deg >= 360) now.course_deg -= 360;
  return now;
}

ais::Position Vessel::position(const Report& report, std::uint64_t index) const {
  const VesselState now = state(report.at_ns);
  const bool turns = now.turn_deg_per_minute != 0;
  ais::Position r;
  r.type = turns ? 3 : 1;  // a changed interval is announced in ITDMA, message 3 (M.1371, 3.3.4.4.2)
  r.mmsi = mmsi_;
  const double rate = now.turn_deg_per_minute < 0 ? -now.turn_deg_per_minute : now.turn_deg_per_minute;
  const std::int32_t indicated = std::min(126, round_to_int(4.733 * std::sqrt(rate)));
  r.rate_of_turn = static_cast<std::int8_t>(now.turn_deg_per_minute < 0 ? -indicated : indicated);
  r.sog = static_cast<std::uint16_t>(speed_);
  r.accurate = true;
  r.lon = round_to_int(now.at.lon_deg * 600'000);
  r.lat = round_to_int(now.at.lat_deg * 600'000);
  r.cog = static_cast<std::uint16_t>(round_to_int(now.course_deg * 10) % 3600);
  r.heading = static_cast<std::uint16_t>(round_to_int(now.course_deg) % 360);
  r.second = static_cast<std::uint8_t>(report.at_ns / second % 60);
  const auto slot = static_cast<std::uint32_t>(below64(draw64(seed_, for_radio, index), 2250));
  // SOTDMA: synchronised to UTC, slot time-out 2, slot number; ITDMA: slot increment, one slot, not kept.
  r.radio = turns ? slot << 4 : (2u << 14) | slot;
  return r;
}

ais::Static Vessel::statics() const {
  ais::Static r;
  r.mmsi = mmsi_;
  r.imo = 9'000'000 + index_ % 1'000'000;
  r.callsign = "PTL" + std::to_string(index_ % 10'000);
  r.name = "PORTOLAN " + std::to_string(index_);
  r.ship_type = speed_ > kn23 ? 40 : 70;  // high-speed craft, cargo
  r.to_bow = static_cast<std::uint16_t>(60 + below64(seed_, 140));
  r.to_stern = 20;
  r.to_port = 12;
  r.to_starboard = 12;
  r.draught = static_cast<std::uint8_t>(40 + below64(mix64(seed_), 60));
  r.destination = "EUROPE";
  return r;
}

void Vessel::append(const Report& report, std::uint64_t index, std::string& out) const {
  const char channel = index % 2 == 0 ? 'A' : 'B';
  if (report.statics) {
    ais::append(statics(), channel, static_cast<unsigned>(index % 10), out);
  } else {
    ais::append(position(report, index), channel, out);
  }
}

}  // namespace portolan::load
