// The guard bites: each way of asking for memory aborts while armed, none before or after.
#include "broker/testing/no_alloc.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace portolan::broker::testing {
namespace {

volatile std::size_t many = 1'000;  // not known to the compiler, which may drop an allocation that it sees through

struct Worker {
  std::vector<int> numbers;
  int quiet() const { return static_cast<int>(numbers.size()); }
  void greedy() { numbers.resize(numbers.size() + many); }
};

TEST(NoAllocationDeathTest, EveryWayAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const char* said = "an engine asked for memory after construction";
  EXPECT_DEATH(
      {
        NoAllocation guard;
        std::vector<int> v(many);
        v[0] = 1;
      },
      said);
  EXPECT_DEATH(
      {
        NoAllocation guard;
        void* volatile p = std::malloc(many);
        std::free(p);
      },
      said);
  EXPECT_DEATH(
      {
        NoAllocation guard;
        void* volatile p = std::calloc(2, many);
        std::free(p);
      },
      said);
  EXPECT_DEATH(
      {
        NoAllocation guard;
        void* volatile p = std::aligned_alloc(64, 64 * many);
        std::free(p);
      },
      said);
  EXPECT_DEATH(
      {
        NoAllocation guard;
        std::string s(many, 'x');
        s += 'y';
      },
      said);
  void* volatile p = std::malloc(1);
  EXPECT_DEATH(
      {
        NoAllocation guard;
        void* volatile q = std::realloc(p, 2 * many);
        std::free(q);
      },
      said);
  std::free(p);
}

TEST(NoAllocationDeathTest, GuardedObjectMayWorkButNotAllocate) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Guarded<Worker> worker(std::make_unique<Worker>());
  EXPECT_EQ(worker->quiet(), 0);
  EXPECT_DEATH(worker->greedy(), "after construction");
}

TEST(NoAllocation, AllowsBeforeAfterAndWhereAllowed) {
  std::vector<int> before(many);
  {
    NoAllocation guard;
    before[0] = 1;
    AllowAllocation allowed;
    std::vector<int> inside(many);
    inside[0] = 2;
  }
  std::vector<int> after(many);
  EXPECT_EQ(before.size(), after.size());
}

}  // namespace
}  // namespace portolan::broker::testing
