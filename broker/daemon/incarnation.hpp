// A later start must have a higher incarnation, or peers take the new process for the dead one. With a state folder it
// is counted in a file there; without, it comes from the wall clock (broker/udp/clock.hpp), which holds as long as that
// clock does not go back.
#pragma once

#include <cstdint>
#include <string>

#include "scenarios/base/error.hpp"

namespace portolan::daemon {

Expected<std::uint32_t> next_incarnation(const std::string& state_folder);

}  // namespace portolan::daemon
