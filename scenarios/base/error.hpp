// Errors as values, for every room but the engines (which answer with enums of their own).
// `Expected<T>` is aliased here once; scenarios/base is a leaf that uses nothing of ours.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace portolan {

// The process exit codes of every program of the project (README, "Exit codes").
enum class Exit : int { held = 0, failed = 1, inconclusive = 2, usage = 64, cannot = 69 };

// What went wrong, where, and what would be right.
struct [[nodiscard]] Error {
  Exit code = Exit::usage;  // the exit code a program that stops on this error returns
  std::string place;        // "file:line:column", a path, a key, or empty
  std::string cause;        // one sentence; names what would be right
  std::string text() const { return place.empty() ? cause : place + ": " + cause; }
};

template <typename T>
using Expected = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(Exit code, std::string place, std::string cause) {
  return tl::unexpected<Error>(Error{code, std::move(place), std::move(cause)});
}

}  // namespace portolan
