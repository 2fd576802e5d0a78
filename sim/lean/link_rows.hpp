// The runner's rows about links: what each carried and dropped and how long its queue was, second by second
// (results/RECORDS.md, `link_load` and `link_drops`).
#pragma once

#include "sim/lean/fabric.hpp"
#include "sim/lean/recorder.hpp"

namespace portolan::sim {

// The load of every link and direction since the last call, for those that had any.
void write_link_loads(Recorder& runner, const plan::Plan& plan, Fabric& fabric, std::uint64_t now_ns);

}  // namespace portolan::sim
