#include "broker/udp/address.hpp"

#include <gtest/gtest.h>

namespace portolan::udp {
namespace {

TEST(Address, reads_and_shows_both_families) {
  for (const char* text : {"127.0.0.1:7400", "0.0.0.0:0", "[::1]:7400", "[2001:db8::7]:65535"}) {
    const auto address = Address::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->text(), text);
  }
  EXPECT_TRUE(Address::parse("[::]:1")->any());
  EXPECT_FALSE(Address::parse("127.0.0.1:1")->any());
}

TEST(Address, says_what_would_be_right) {
  for (const char* text : {"", "7400", ":7400", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:7x",
                           "::1:7400", "[::1:7400", "harbour:7400", "1.2.3:7400"}) {
    const auto address = Address::parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_NE(address.error().cause.find("127.0.0.1:7400"), std::string::npos) << address.error().cause;
  }
}

TEST(Address, a_path_holds_all_of_it) {
  for (const char* text : {"127.0.0.1:7400", "[fe80::1]:9", "[2001:db8::7]:65535"}) {
    const Address address = *Address::parse(text);
    const broker::PathId path = address.path(3);
    EXPECT_EQ(socket_of(path), 3);
    EXPECT_EQ(Address::from_path(path), address) << text;
    EXPECT_NE(path, address.path(4));
  }
  // The IPv4 address and the IPv6 one of the same bytes are different paths.
  EXPECT_NE(Address::parse("1.2.3.4:5")->path(0), Address::parse("[102:304::]:5")->path(0));
}

TEST(Address, survives_the_kernels_form) {
  for (const char* text : {"127.0.0.1:7400", "[::1]:7400"}) {
    const Address address = *Address::parse(text);
    sockaddr_storage storage{};
    address.to_sockaddr(storage);
    EXPECT_EQ(Address::from_sockaddr(storage), address);
  }
}

TEST(Address, resolves_names_and_says_which_it_cannot) {
  const auto found = Address::resolve("localhost:7400");
  ASSERT_TRUE(found) << found.error().text();
  EXPECT_EQ(found->port(), 7400);
  const auto none = Address::resolve("no-such-host.invalid:7400");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Exit::cannot);
}

}  // namespace
}  // namespace portolan::udp
