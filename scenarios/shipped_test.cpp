// The scenarios that ship, as their load generators see them: each makes a workload, its rate is what it says, and its
// payloads are whole. Catches a plan that the compiler accepts and no runner could honour.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "scenarios/compile/compile.hpp"
#include "scenarios/load/ais.hpp"
#include "scenarios/load/load.hpp"

namespace portolan::load {
namespace {

const std::string folder = std::string(PORTOLAN_SOURCE_DIR) + "/scenarios";

plan::Plan compiled(const std::string& path) {
  auto result = compile::compile_file(path, {});
  for (const std::string& message : result.messages) {
    if (!result.plan) ADD_FAILURE() << message;
  }
  return result.plan ? std::move(*result.plan) : plan::Plan{};
}

// Every shot of every stream in every incarnation: how many there are in the first, and each payload whole.
std::uint64_t count_and_check(const plan::Plan& plan, const Workload& workload) {
  std::uint64_t shots = 0;
  std::vector<std::uint8_t> bytes;
  for (plan::Index s = 0; s < plan.streams.size(); ++s) {
    const plan::Stream& stream = plan.streams[s];
    EXPECT_EQ(workload.stream_of(stream.process, stream.topic), s);
    for (std::uint64_t life = 1; life <= workload.incarnation_starts(stream.process).size(); ++life) {
      auto generator = Generator::make(workload, s, life);
      if (!generator) {
        ADD_FAILURE() << generator.error().text();
        return 0;
      }
      while (const auto shot = generator->next(plan.duration_ns)) {
        shots += life == 1 ? 1 : 0;
        if (shot->sequence > 20) continue;  // the first of each tell
        EXPECT_TRUE(workload.payload(stream.topic, stream.process, life, shot->sequence, bytes));
        EXPECT_EQ(bytes.size(), shot->size_bytes);
        const auto kind = plan.loads[stream.load].kind;
        const bool synthetic_load = kind == plan::LoadKind::periodic || kind == plan::LoadKind::poisson;
        const std::string text(bytes.begin(), bytes.end());
        EXPECT_TRUE(synthetic_load ? synthetic_intact(bytes) : ais::bits(text).has_value());
      }
    }
  }
  return shots;
}

// What the scenario says, roughly: vessels at 2 to 10 s give between a tenth and half a report a second; a replay here
// lies wholly within the run.
double expected(const plan::Plan& plan) {
  double sum = 0;
  for (const plan::Stream& stream : plan.streams) {
    const plan::Load& load = plan.loads[stream.load];
    const auto span_ns = static_cast<double>(load.end_ns - load.start_ns);
    double each = 0;
    if (load.interval_ns > 0) each = span_ns / static_cast<double>(load.interval_ns);
    if (load.kind == plan::LoadKind::fleet) each = span_ns / 1e9 * (0.55 / 10 + 0.35 / 6 + 0.10 / 2);
    if (load.kind == plan::LoadKind::replay && stream.index == 0) each = 4051;
    sum += load.count > 0 ? std::min(each, static_cast<double>(load.count)) : each;
  }
  return sum;
}

TEST(Shipped, EveryScenariosLoadIsWhole) {
  int scenarios = 0;
  std::vector<std::filesystem::directory_entry> files;
  for (const std::string& where : {folder, folder + "/tests"}) {
    for (const auto& entry : std::filesystem::directory_iterator(where)) files.push_back(entry);
  }
  for (const auto& entry : files) {
    if (entry.path().extension() != ".yaml") continue;
    SCOPED_TRACE(entry.path().string());
    ++scenarios;
    const plan::Plan plan = compiled(entry.path().string());
    ASSERT_FALSE(plan.streams.empty());
    const auto workload = Workload::make(plan, entry.path().parent_path().string());
    ASSERT_TRUE(workload) << workload.error().text();
    const std::uint64_t shots = count_and_check(plan, *workload);
    EXPECT_NEAR(static_cast<double>(shots), expected(plan), expected(plan) * 0.1 + 40);
  }
  EXPECT_GT(scenarios, 0);
}

}  // namespace
}  // namespace portolan::load
