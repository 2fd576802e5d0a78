// portolan-check as people and scripts meet it: exit codes, files written, output.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "results/testdata/honest_run.hpp"

namespace portolan {
namespace {

class Cli : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "/cli." + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    run_ = folder_ + "/run";
    honest::run_honestly(honest::small_plan()).write(run_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  int call(const std::string& arguments, const std::string& to = "") {
    const std::string out = to.empty() ? folder_ + "/out" : to;
    const std::string command =
        std::string(PORTOLAN_BINARY_DIR) + "/bin/portolan-check " + arguments + " > " + out + " 2> " + folder_ + "/err";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  static std::string slurp(const std::string& path) {
    std::ifstream in(path);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  std::string out() const { return slurp(folder_ + "/out"); }
  std::string err() const { return slurp(folder_ + "/err"); }
  std::string folder_, run_;
};

TEST_F(Cli, BadUsageIs64) {
  EXPECT_EQ(call(""), 64);
  EXPECT_EQ(call("check"), 64);
  EXPECT_EQ(call("judge " + run_), 64);
  EXPECT_EQ(call("check " + run_ + " --jsn"), 64);
  EXPECT_EQ(call("check " + run_ + " more"), 64);
  EXPECT_EQ(call("records " + run_), 64);
  EXPECT_EQ(call("check " + folder_ + "/none"), 64);
  EXPECT_NE(err().find("no such run directory"), std::string::npos) << err();
}

TEST_F(Cli, AnHonestRunIs0AndLeavesItsSummary) {
  EXPECT_EQ(call("check " + run_ + " --json --junit " + folder_ + "/junit.xml"), 0) << err();
  EXPECT_EQ(nlohmann::json::parse(out())["verdict"], "held");
  EXPECT_EQ(slurp(run_ + "/summary.json"), out());
  EXPECT_TRUE(nlohmann::json::parse(slurp(run_ + "/series.json")).contains("families"));
  EXPECT_NE(slurp(folder_ + "/junit.xml").find("failures=\"0\" errors=\"0\" skipped=\"0\""), std::string::npos);
  EXPECT_EQ(call("junit " + run_), 0);
  EXPECT_EQ(out(), slurp(folder_ + "/junit.xml"));
}

TEST_F(Cli, AnImpossibleExpectationIs1AndSaysByHowMuch) {
  plan::Plan plan = honest::small_plan();
  plan.expectations[1].limit = 1000;
  honest::run_honestly(plan).write(run_);
  EXPECT_EQ(call("check " + run_), 1);
  EXPECT_NE(out().find("honest.yaml:2"), std::string::npos) << out();
  EXPECT_NE(out().find("off by"), std::string::npos) << out();
}

TEST_F(Cli, WhatCannotBeToldIs2WithASummary) {
  std::filesystem::remove(run_ + "/records/runner.rec");
  EXPECT_EQ(call("check " + run_), 2);
  EXPECT_EQ(nlohmann::json::parse(slurp(run_ + "/summary.json"))["exit"], 2);
  std::filesystem::remove(run_ + "/plan.json");
  EXPECT_EQ(call("check " + run_), 2);
  EXPECT_EQ(nlohmann::json::parse(slurp(run_ + "/summary.json"))["verdict"], "inconclusive");
  EXPECT_EQ(call("junit " + run_), 0);
  EXPECT_NE(out().find("errors=\"1\""), std::string::npos) << out();
}

TEST_F(Cli, WhatCannotBeWrittenIs69) {
  std::filesystem::create_directories(run_ + "/summary.json/taken");
  EXPECT_EQ(call("check " + run_), 69);
  EXPECT_NE(err().find("summary.json"), std::string::npos) << err();
  EXPECT_EQ(call("records " + run_ + " --csv", "/dev/full"), 69);
  EXPECT_EQ(call("check " + run_ + " --json", "/dev/full"), 69);
}

TEST_F(Cli, CsvHasEveryRow) {
  EXPECT_EQ(call("records " + run_ + " --csv"), 0) << err();
  const std::string text = out();
  const honest::Run run = honest::read_run(run_);
  std::size_t rows = 1 + run.runner.rows.size() + run.files.size();  // a manifest row for each file
  for (const honest::LogicalFile& f : run.files) rows += f.rows.size();
  EXPECT_EQ(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')), rows);
  EXPECT_EQ(text.rfind("file,process,", 0), 0u);
}

}  // namespace
}  // namespace portolan
