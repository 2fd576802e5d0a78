// CRC-32C against RFC 3720, appendix B.4, and the instruction against the table.
#include "broker/crypto/crc32c.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace portolan::broker {
namespace {

TEST(Crc32c, VectorsOfRfc3720) {
  const std::vector<std::uint8_t> zeros(32, 0), ones(32, 0xFF);
  std::vector<std::uint8_t> up(32), down(32);
  for (std::uint8_t i = 0; i < 32; ++i) up[i] = down[31u - i] = i;
  // "An iSCSI - SCSI Read (10) Command PDU"
  std::vector<std::uint8_t> pdu(48, 0);
  pdu[0] = 0x01, pdu[1] = 0xC0, pdu[16] = 0x14, pdu[22] = 0x04, pdu[27] = 0x14, pdu[31] = 0x18, pdu[32] = 0x28;
  pdu[40] = 0x02;
  for (auto* f : {&crc32c, &crc32c_table}) {
    EXPECT_EQ(f(zeros, 0), 0x8A9136AAu);
    EXPECT_EQ(f(ones, 0), 0x62A8AB43u);
    EXPECT_EQ(f(up, 0), 0x46DD794Eu);
    EXPECT_EQ(f(down, 0), 0x113FDB5Cu);
    EXPECT_EQ(f(pdu, 0), 0xD9963A56u);
    EXPECT_EQ(f({}, 0), 0u);
  }
  const char* digits = "123456789";  // the catalogue's check value of CRC-32C
  EXPECT_EQ(crc32c({reinterpret_cast<const std::uint8_t*>(digits), 9}), 0xE3069283u);
}

TEST(Crc32c, InstructionAndTableAgreeAtEveryLengthAndAlignment) {
  std::vector<std::uint8_t> bytes(2000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 131 + (i >> 5));
  for (std::size_t n = 0; n < 1900; n += n < 40 ? 1 : 13) {
    for (std::size_t at = 0; at < 8; ++at) {
      const std::span<const std::uint8_t> part(bytes.data() + at, n);
      ASSERT_EQ(crc32c(part), crc32c_table(part)) << n << " at " << at;
    }
  }
}

TEST(Crc32c, GoesOnFromAPart) {
  std::vector<std::uint8_t> bytes(3000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 7);
  const std::span<const std::uint8_t> all(bytes);
  for (std::size_t cut = 0; cut <= bytes.size(); cut += 97) {
    EXPECT_EQ(crc32c(all.subspan(cut), crc32c(all.first(cut))), crc32c(all));
  }
}

}  // namespace
}  // namespace portolan::broker
