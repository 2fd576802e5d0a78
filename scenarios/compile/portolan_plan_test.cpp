// The program from outside: exit codes, what goes to which stream, outputs that cannot be written.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace {

namespace fs = std::filesystem;

class PortolanPlan : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("portolan-plan-test-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  struct Result {
    int code;
    std::string out;
    std::string err;
  };
  Result run(const std::string& arguments) {
    const std::string command = std::string(PORTOLAN_BINARY_DIR) + "/bin/portolan-plan " + arguments + " >" +
                                (folder_ / "out").string() + " 2>" + (folder_ / "err").string();
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, slurp(folder_ / "out"), slurp(folder_ / "err")};
  }
  static std::string slurp(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  fs::path folder_;
  const std::string good_ = std::string(PORTOLAN_SOURCE_DIR) + "/scenarios/quickstart.yaml";
  const std::string bad_ = std::string(PORTOLAN_SOURCE_DIR) + "/scenarios/compile/testdata/bad/unknown-key.yaml";
};

TEST_F(PortolanPlan, ValidatesEachFile) {
  const auto r = run("validate " + good_ + " " + good_);
  EXPECT_EQ(r.code, 0);
  EXPECT_EQ(r.out, good_ + ": valid\n" + good_ + ": valid\n");
  EXPECT_EQ(r.err, "");
  const auto mixed = run("validate " + bad_ + " " + good_);
  EXPECT_EQ(mixed.code, 64);
  EXPECT_EQ(mixed.out, good_ + ": valid\n");
  EXPECT_NE(mixed.err.find("unknown-key.yaml:19:1: expct: unknown key; did you mean \"expect\"?"), std::string::npos);
}

TEST_F(PortolanPlan, PlanGoesToStdoutAndCostToStderr) {
  const auto first = run("plan " + good_);
  EXPECT_EQ(first.code, 0);
  EXPECT_EQ(first.out.substr(0, 2), "{\n");
  EXPECT_NE(first.err.find("deliveries 480/s"), std::string::npos) << first.err;
  EXPECT_NE(first.err.find("% of a core"), std::string::npos);
  EXPECT_EQ(run("plan " + good_).out, first.out);
  EXPECT_NE(run("plan --seed 7 " + good_).out, first.out);
  const std::string file = (folder_ / "plan.json").string();
  EXPECT_EQ(run("plan " + good_ + " -o " + file).out, "");
  EXPECT_EQ(slurp(file), first.out);
}

TEST_F(PortolanPlan, WhatCannotBeWrittenIs69) {
  const auto no_folder = run("plan " + good_ + " -o " + (folder_ / "none/plan.json").string());
  EXPECT_EQ(no_folder.code, 69);
  EXPECT_NE(no_folder.err.find("the plan cannot be written"), std::string::npos);
  EXPECT_EQ(run("plan " + good_ + " -o /dev/full").code, 69);
  EXPECT_TRUE(fs::exists("/dev/full"));
  // A full disk, by way of a limit on file sizes (4 blocks of 1 KiB at most).
  const std::string file = (folder_ / "half.json").string();
  const std::string command = "bash -c 'ulimit -f 4; trap \"\" XFSZ; exec " + std::string(PORTOLAN_BINARY_DIR) +
                              "/bin/portolan-plan plan " + good_ + " -o " + file + "' 2>/dev/null";
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 69);
  EXPECT_FALSE(fs::exists(file)) << "half a plan was left";
}

TEST_F(PortolanPlan, BadUsageIs64) {
  for (const char* arguments : {"", "paln x", "validate", "plan", "plan a b", "plan --sed 1 x", "plan --seed x y",
                                "plan --seed -1 y", "validate -o x y"}) {
    const auto r = run(arguments);
    EXPECT_EQ(r.code, 64) << arguments;
    EXPECT_NE(r.err.find("usage: "), std::string::npos) << arguments << r.err;
  }
  EXPECT_EQ(run("--help").code, 0);
  EXPECT_EQ(run("plan " + bad_).code, 64);
  EXPECT_EQ(run("plan " + bad_).out, "");
}

}  // namespace
