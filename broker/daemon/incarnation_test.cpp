#include "broker/daemon/incarnation.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace portolan::daemon {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/portolan-incarnation-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Folder() { fs::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(Incarnation, each_start_is_higher) {
  const Folder folder;
  EXPECT_EQ(*next_incarnation(folder.path()), 1u);
  EXPECT_EQ(*next_incarnation(folder.path()), 2u);
  EXPECT_EQ(*next_incarnation(folder.path()), 3u);
}

TEST(Incarnation, a_crash_while_writing_repeats_none) {
  const Folder folder;
  ASSERT_EQ(*next_incarnation(folder.path()), 1u);
  std::ofstream(folder.path() + "/incarnation.new") << "torn";
  EXPECT_EQ(*next_incarnation(folder.path()), 2u);
}

TEST(Incarnation, a_file_that_is_none_is_refused_rather_than_begun_anew) {
  const Folder folder;
  for (const char* text : {"", "7", "x\n", "-1\n", "4294967295\n"}) {
    std::ofstream(folder.path() + "/incarnation") << text;
    const auto next = next_incarnation(folder.path());
    ASSERT_FALSE(next) << text;
    EXPECT_EQ(next.error().code, Exit::cannot);
  }
  EXPECT_FALSE(next_incarnation(folder.path() + "/none"));
}

TEST(Incarnation, without_a_folder_starts_one_after_the_other_rise) {
  std::uint32_t last = 0;
  for (int i = 0; i < 3; ++i) {
    const std::uint32_t next = *next_incarnation("");
    EXPECT_GT(next, last);
    last = next;
  }
}

}  // namespace
}  // namespace portolan::daemon
