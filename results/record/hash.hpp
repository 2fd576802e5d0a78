// XXH3-64 (xxHash 0.8, default secret, seed 0): the one hash of records. A payload's hash is over its bytes alone, in
// order, however many spans they come in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace portolan::record {

std::uint64_t hash64(std::span<const std::uint8_t> bytes);

// The same, over bytes that come in pieces. Reusable after reset(); allocates at construction only.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  void reset();
  void add(std::span<const std::uint8_t> bytes);
  std::uint64_t value() const;  // of all added since reset

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace portolan::record
