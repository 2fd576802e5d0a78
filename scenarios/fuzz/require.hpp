// How the fuzz targets of this room report: a sentence, then abort, which libFuzzer and replay_corpus.cpp both catch.
#pragma once

#include <cstdio>
#include <cstdlib>

inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}
