// CRC-32C by the machine's instruction or by eight tables (slicing-by-8), chosen once at start.
#include "broker/crypto/crc32c.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace portolan::broker {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78u;  // reflected 0x1EDC6F41

constexpr std::array<std::array<std::uint32_t, 256>, 8> make_tables() {
  std::array<std::array<std::uint32_t, 256>, 8> t{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) != 0 ? kPolynomial : 0);
    t[0][i] = c;
  }
  for (std::size_t k = 1; k < 8; ++k) {
    for (std::size_t i = 0; i < 256; ++i) t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 0xFF];
  }
  return t;
}
constexpr auto kTables = make_tables();

#if defined(__x86_64__)
// One instruction takes 8 bytes but its result comes 3 cycles later, so one chain runs at a third of the speed. Three
// chains over neighbouring thirds of a block run at full speed; their results are joined by shifting the first two over
// the zero bytes that stand for what follows, a linear map, kept as 4 tables of 256.
constexpr std::size_t kThird = 256;
constexpr std::array<std::array<std::uint32_t, 256>, 4> make_shift(std::size_t zeros) {
  std::array<std::uint32_t, 32> basis{};  // what each single bit becomes after so many zero bytes
  for (std::size_t b = 0; b < 32; ++b) {
    std::uint32_t c = 1u << b;
    for (std::size_t i = 0; i < zeros; ++i) c = (c >> 8) ^ kTables[0][c & 0xFF];
    basis[b] = c;
  }
  std::array<std::array<std::uint32_t, 256>, 4> t{};
  for (std::size_t byte = 0; byte < 4; ++byte) {
    for (std::size_t v = 0; v < 256; ++v) {
      std::uint32_t c = 0;
      for (std::size_t bit = 0; bit < 8; ++bit) c ^= (v >> bit & 1) != 0 ? basis[byte * 8 + bit] : 0;
      t[byte][v] = c;
    }
  }
  return t;
}
constexpr auto kShift = make_shift(kThird);

std::uint32_t shift(std::uint32_t c) {
  return kShift[0][c & 0xFF] ^ kShift[1][c >> 8 & 0xFF] ^ kShift[2][c >> 16 & 0xFF] ^ kShift[3][c >> 24];
}

std::uint64_t load(const std::uint8_t* p) {
  std::uint64_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(std::span<const std::uint8_t> bytes,
                                                             std::uint32_t before) {
  const std::uint8_t* p = bytes.data();
  std::size_t n = bytes.size();
  std::uint64_t c = ~before;
  for (; n >= 3 * kThird; p += 3 * kThird, n -= 3 * kThird) {
    std::uint64_t a = c, b = 0, d = 0;
    for (std::size_t i = 0; i < kThird; i += 8) {
      a = _mm_crc32_u64(a, load(p + i));
      b = _mm_crc32_u64(b, load(p + kThird + i));
      d = _mm_crc32_u64(d, load(p + 2 * kThird + i));
    }
    c = shift(shift(static_cast<std::uint32_t>(a)) ^ static_cast<std::uint32_t>(b)) ^ static_cast<std::uint32_t>(d);
  }
  for (; n >= 8; p += 8, n -= 8) c = _mm_crc32_u64(c, load(p));
  auto c32 = static_cast<std::uint32_t>(c);
  for (; n != 0; ++p, --n) c32 = _mm_crc32_u8(c32, *p);
  return ~c32;
}

using Function = std::uint32_t (*)(std::span<const std::uint8_t>, std::uint32_t);
const Function kBest = __builtin_cpu_supports("sse4.2") ? crc32c_sse42 : crc32c_table;
#endif

}  // namespace

std::uint32_t crc32c_table(std::span<const std::uint8_t> bytes, std::uint32_t before) {
  const std::uint8_t* p = bytes.data();
  std::size_t n = bytes.size();
  std::uint32_t c = ~before;
  for (; n >= 8; p += 8, n -= 8) {
    std::uint32_t w[2];
    std::memcpy(w, p, sizeof w);
    w[0] ^= c;
    c = kTables[7][w[0] & 0xFF] ^ kTables[6][w[0] >> 8 & 0xFF] ^ kTables[5][w[0] >> 16 & 0xFF] ^
        kTables[4][w[0] >> 24] ^ kTables[3][w[1] & 0xFF] ^ kTables[2][w[1] >> 8 & 0xFF] ^
        kTables[1][w[1] >> 16 & 0xFF] ^ kTables[0][w[1] >> 24];
  }
  for (; n != 0; ++p, --n) c = (c >> 8) ^ kTables[0][(c ^ *p) & 0xFF];
  return ~c;
}

std::uint32_t crc32c(std::span<const std::uint8_t> bytes, std::uint32_t before) {
#if defined(__x86_64__)
  return kBest(bytes, before);
#else
  return crc32c_table(bytes, before);
#endif
}

}  // namespace portolan::broker
