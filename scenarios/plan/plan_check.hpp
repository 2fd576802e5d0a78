// Whether a plan is consistent: every index within its array, every reference of the right kind, timelines sorted.
#pragma once

#include <string>

#include "scenarios/plan/plan.hpp"

namespace portolan::plan {

// "/links/3/a: ..." for the first inconsistency, or empty. A runner may rely on all that this checks.
std::string first_inconsistency(const Plan& plan);

}  // namespace portolan::plan
