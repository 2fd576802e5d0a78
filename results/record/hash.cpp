#include "results/record/hash.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace portolan::record {

std::uint64_t hash64(std::span<const std::uint8_t> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

struct Hasher::State {
  XXH3_state_t xxh;
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  reset();
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::reset() {
  XXH3_INITSTATE(&state_->xxh);
  XXH3_64bits_reset(&state_->xxh);
}
void Hasher::add(std::span<const std::uint8_t> bytes) {
  if (!bytes.empty()) XXH3_64bits_update(&state_->xxh, bytes.data(), bytes.size());
}
std::uint64_t Hasher::value() const {
  return XXH3_64bits_digest(&state_->xxh);
}

}  // namespace portolan::record
