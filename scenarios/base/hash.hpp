// Counter-based random draws: hash(seed, stream..., index). No state, so the same question has the same answer
// wherever and in whatever order it is asked. The mixer is SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014).
#pragma once

#include <cstdint>
#include <string_view>

namespace portolan {

__extension__ using unsigned_int128 = unsigned __int128;

constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

template <typename... Rest>
constexpr std::uint64_t draw64(std::uint64_t first, Rest... rest) {
  std::uint64_t h = mix64(first);
  ((h = mix64(h ^ (static_cast<std::uint64_t>(rest) * 0xD6E8FEB86659FD93ull))), ...);
  return h;
}

// A stream number from a name (FNV-1a, 64 bits): stable across builds and machines.
constexpr std::uint64_t name64(std::string_view name) {
  std::uint64_t h = 0xCBF29CE484222325ull;
  for (char c : name) h = (h ^ static_cast<std::uint8_t>(c)) * 0x100000001B3ull;
  return h;
}

// Uniform in [0, bound) by multiply-high; bound 0 gives 0.
constexpr std::uint64_t below64(std::uint64_t draw, std::uint64_t bound) {
  return static_cast<std::uint64_t>((static_cast<unsigned_int128>(draw) * bound) >> 64);
}

}  // namespace portolan
