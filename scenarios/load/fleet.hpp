// A seeded fleet: vessels sail a load's lanes to and fro on great circles and report as ITU-R M.1371-5 table 1 asks of
// class A (2 to 10 s by speed and turn), with static data every six minutes. A vessel's state is a function of (seed,
// index, time) alone; its report times are a table built once, so report n is O(1). Exact arithmetic throughout.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "scenarios/base/exact.hpp"
#include "scenarios/load/ais.hpp"
#include "scenarios/plan/plan.hpp"

namespace portolan::load {

// A lane sailed to its end and back: a loop of legs. Shared by the vessels on it.
struct Lane {
  std::vector<exact::Point> point;            // leg i goes from point[i] to point[(i + 1) % n]
  std::vector<std::int64_t> from_mm;          // where leg i begins; one more: the loop's length
  std::vector<double> arrive_deg, leave_deg;  // courses at point[i], in and out
  std::vector<double> turn_deg;               // from one to the other, positive to starboard, at most 180
  static Lane make(const std::vector<plan::Waypoint>& waypoints);  // empty if it has no length
  std::int64_t length_mm() const { return from_mm.back(); }
};

struct VesselState {
  exact::Point at;
  double course_deg = 0;
  double turn_deg_per_minute = 0;  // 0: steady
};

class Vessel {
 public:
  struct Report {
    plan::Ns at_ns = 0;
    bool statics = false;
  };
  Vessel(std::shared_ptr<const Lane> lane, std::uint64_t seed, std::uint32_t index, plan::Ns start_ns, plan::Ns end_ns,
         std::uint64_t most_reports);

  VesselState state(plan::Ns at_ns) const;
  // The interval that the standard gives a class A vessel in this state.
  plan::Ns interval_ns(bool turning) const;
  const std::vector<Report>& reports() const { return reports_; }
  // The sentences of a report.
  void append(const Report& report, std::uint64_t index, std::string& out) const;
  std::uint32_t mmsi() const { return mmsi_; }
  std::uint32_t speed_tenth_knots() const { return speed_; }

 private:
  ais::Position position(const Report& report, std::uint64_t index) const;
  ais::Static statics() const;

  std::shared_ptr<const Lane> lane_;
  std::uint64_t seed_ = 0;  // of this vessel
  std::uint32_t index_ = 0;
  std::uint32_t mmsi_ = 0;
  std::uint32_t speed_ = 0;  // 1/10 knot
  std::int64_t offset_mm_ = 0;
  std::vector<Report> reports_;
};

// Size of an AIVDM position report and of a static report with CR LF, which are always the same.
inline constexpr std::uint32_t position_bytes = 49;
inline constexpr std::uint32_t statics_bytes = 115;

}  // namespace portolan::load
