#include "broker/program/json.hpp"

#include <gtest/gtest.h>

namespace portolan::program {
namespace {

TEST(Json, text_is_escaped_and_ids_keep_all_their_digits) {
  EXPECT_EQ(quoted_json("a\"b\\c\n\x01"), R"("a\"b\\c\u000a\u0001")");
  EXPECT_EQ(stream_json("message", "a/b", 0xFFFF'FFFF'FFFF'FFFF, 3),
            R"({"kind":"message","topic":"a/b","publisher":"18446744073709551615","incarnation":3)");
}

TEST(Json, a_payload_that_is_no_utf8_goes_as_hexadecimal) {
  EXPECT_EQ(payload_json("Fähre"), "\"text\":\"Fähre\"");
  EXPECT_EQ(payload_json(""), "\"text\":\"\"");
  for (const char* bad : {"\xFF", "\xC0\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "ab\xE2\x82"}) {
    EXPECT_EQ(payload_json(bad).rfind("\"hex\":\"", 0), 0u);
  }
  EXPECT_EQ(payload_json(std::string_view("\x00\xFF", 2)), "\"hex\":\"00ff\"");
}

}  // namespace
}  // namespace portolan::program
