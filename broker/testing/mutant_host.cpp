// Runs one of the chaos worlds seed after seed until something is wrong; mutants_test.py links it with the engine as it
// is and with broken ones.   mutant_host WORLD FIRST LAST
// Exit code 0: all held. 1: the oracle spoke (its first words on stdout, behind the seed). 64: bad usage.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "broker/testing/chaos.hpp"

namespace portolan::broker::testing {
namespace {

bool world(const char* name, ChaosOptions& options) {
  if (std::strcmp(name, "faulty") == 0) {
    options.kills = 0;
  } else if (std::strcmp(name, "deaths") == 0) {
    options.kills = 2;
  } else if (std::strcmp(name, "tight") == 0) {
    options.tight = true;
  } else if (std::strcmp(name, "short") == 0) {
    options.short_memory = true;
  } else {
    return false;
  }
  return true;
}

}  // namespace
}  // namespace portolan::broker::testing

int main(int count, char** words) {
  using namespace portolan::broker::testing;
  ChaosOptions options;
  if (count != 4 || !world(words[1], options)) {
    std::fprintf(stderr, "mutant_host: faulty, deaths, tight or short, then the first and the last seed\n");
    return 64;
  }
  const std::uint64_t first = std::strtoull(words[2], nullptr, 10), last = std::strtoull(words[3], nullptr, 10);
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    std::fflush(stdout);  // also when the engine brings the program down
    const ChaosResult result = chaos(seed, options);
    if (result.verdict.empty()) continue;
    std::printf("%s", result.verdict.c_str());
    return 1;
  }
  return 0;
}
