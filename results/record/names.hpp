// The names of record kinds, as `portolan records --csv` prints them.
#pragma once

#include <string_view>

#include "results/record/record.hpp"

namespace portolan::record {

std::string_view name_of(Kind kind);      // "" for a kind that this version does not know
std::string_view name_of(Writer writer);  // likewise
bool known(std::uint16_t kind);
// Whether a writer of this sort may write such rows.
bool belongs(Writer writer, Kind kind);

}  // namespace portolan::record
