// The program's own heap (heap.cpp is linked in): every block is whole, aligned and nobody else's.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace {

struct Block {
  std::uint8_t* at;
  std::size_t bytes;
  std::uint8_t mark;
};

Block made(std::size_t bytes, std::size_t i) {
  const Block block{static_cast<std::uint8_t*>(::operator new(bytes)), bytes, static_cast<std::uint8_t>(i * 7 + 1)};
  EXPECT_EQ(0u, reinterpret_cast<std::uintptr_t>(block.at) % 16);
  std::memset(block.at, block.mark, bytes);
  return block;
}

bool whole(const Block& block) {
  return std::all_of(block.at, block.at + block.bytes, [&](std::uint8_t b) { return b == block.mark; });
}

TEST(Heap, KeepsBlocksOfAllSizesApart) {
  std::vector<Block> blocks;
  for (std::size_t i = 0; i < 20'000; ++i) blocks.push_back(made(i * 37 % 3'000, i));
  for (std::size_t i = 0; i < blocks.size(); i += 2) {
    ASSERT_TRUE(whole(blocks[i])) << blocks[i].bytes;
    ::operator delete(blocks[i].at);
    blocks[i] = made(i * 53 % 2'000, i + 3);
  }
  for (const Block& block : blocks) {
    ASSERT_TRUE(whole(block)) << block.bytes;
    ::operator delete(block.at);
  }
}

TEST(Heap, UsesAgainWhatWasGivenBack) {
  void* const first = ::operator new(200);
  ::operator delete(first);
  void* const second = ::operator new(200);
  EXPECT_EQ(first, second);
  ::operator delete(second);
  ::operator delete(nullptr);
}

TEST(Heap, TakesBackWhatAnotherThreadMade) {
  std::vector<Block> blocks;
  std::thread maker([&] {
    for (std::size_t i = 0; i < 5'000; ++i) blocks.push_back(made(i % 1'100, i));
  });
  maker.join();
  std::vector<Block> mine;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    ASSERT_TRUE(whole(blocks[i]));
    if (i % 2 == 0) ::operator delete(blocks[i].at);
    mine.push_back(made(i % 1'100, i + 11));
  }
  for (std::size_t i = 1; i < blocks.size(); i += 2) {
    ASSERT_TRUE(whole(blocks[i]));
    ::operator delete(blocks[i].at);
  }
  for (const Block& block : mine) {
    ASSERT_TRUE(whole(block));
    ::operator delete(block.at);
  }
}

TEST(Heap, ServesArraysAndWhatIsAlignedFurther) {
  struct alignas(256) Far {
    std::uint8_t bytes[256];
  };
  const auto far = std::make_unique<Far>();
  EXPECT_EQ(0u, reinterpret_cast<std::uintptr_t>(far.get()) % 256);
  const auto words = std::make_unique<std::uint64_t[]>(77);
  EXPECT_EQ(0u, words[76]);
}

}  // namespace
