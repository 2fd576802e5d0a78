// What a plan asks of a runner beyond the least that each can do. A runner names what it honours; whatever else a plan
// needs is refused with the field's JSON pointer, never silently left out. Called by runners, once, before anything
// runs.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "scenarios/plan/plan.hpp"

namespace portolan::plan {

enum class Feature : std::uint8_t {
  hubs,            // peers with roles other than mesh
  point_to_point,  // link kinds
  csma,
  wifi,
  stations,           // clients on machines of their own behind an access network
  motion,             // stations that move
  fq_codel,           // queue kind
  ecn,                // CE marks instead of drops
  convergence_parts,  // detection, propagation and install drawn for each change
  small_mtu,          // a link below 1500 bytes, or one that becomes so
  no_overlay,
  machines,      // several
  ordered,       // topic class
  corrupt_disk,  // fault kind
  sealing        // sessions that are sealed: whoever cannot must not run them in the open
};

// The first need that is not among `honoured`, as an error of usage; `runner` names who refuses ("sim, lean").
Expected<void> refuse_needs(const Plan& plan, std::span<const Feature> honoured, const std::string& runner);

}  // namespace portolan::plan
