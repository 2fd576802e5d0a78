// The heap of portolan-sim: `operator new` and `delete` of the whole program, ns-3's libraries included. ns-3 makes and
// unmakes some hundred small things for each packet, and the general heap, which joins and splits what it gets back,
// took an eighth of a run's time in full fidelity. Here a small block goes to a list of its size and comes from there;
// what a list has, it keeps. Linked into the program only: libraries and tests keep the common heap, and so do builds
// with sanitizers, whose checks would not see what is used after it was freed.
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define PORTOLAN_OWN_HEAP 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PORTOLAN_OWN_HEAP 0
#endif
#endif
#ifndef PORTOLAN_OWN_HEAP
#define PORTOLAN_OWN_HEAP 1
#endif

#if PORTOLAN_OWN_HEAP

namespace {

constexpr std::size_t kGrainBytes = 16;  // also the alignment that `new` promises
constexpr std::size_t kLargestBytes = 1'024;
constexpr std::size_t kKinds = kLargestBytes / kGrainBytes;
constexpr std::size_t kChunkBytes = 64 * 1'024;             // blocks of one size
constexpr std::size_t kRangeBytes = std::size_t{16} << 30;  // of addresses, not of memory
constexpr std::size_t kChunks = kRangeBytes / kChunkBytes;

struct Free {
  Free* next;
};

// Zero before any constructor runs, which may already ask for memory.
std::uint8_t* range = nullptr;
std::atomic<std::size_t> chunks_taken{0};
std::array<std::uint8_t, kChunks> kind_of_chunk;
// By thread: blocks wander between threads, but no list is ever touched by two.
thread_local std::array<Free*, kKinds> lists;

std::uint8_t* reserved() {
  void* at = mmap(nullptr, kRangeBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return at == MAP_FAILED ? nullptr : static_cast<std::uint8_t*>(at);
}

// Null when the range is used up, or none was to be had: then the general heap serves.
Free* fresh(std::size_t kind) {
  static std::uint8_t* const base = range = reserved();
  if (base == nullptr) return nullptr;
  const std::size_t chunk = chunks_taken.fetch_add(1, std::memory_order_relaxed);
  if (chunk >= kChunks) {
    chunks_taken.store(kChunks, std::memory_order_relaxed);
    return nullptr;
  }
  kind_of_chunk[chunk] = static_cast<std::uint8_t>(kind);
  const std::size_t bytes = (kind + 1) * kGrainBytes;
  std::uint8_t* const first = base + chunk * kChunkBytes;
  Free* list = nullptr;
  for (std::size_t i = kChunkBytes / bytes; i-- > 0;) list = new (first + i * bytes) Free{list};
  return list;
}

void* take(std::size_t bytes) {
  if (bytes <= kLargestBytes) {
    const std::size_t kind = bytes == 0 ? 0 : (bytes - 1) / kGrainBytes;
    Free*& list = lists[kind];
    if (list == nullptr) list = fresh(kind);
    if (list != nullptr) {
      Free* const out = list;
      list = out->next;
      return out;
    }
  }
  return std::malloc(bytes == 0 ? 1 : bytes);
}

void give(void* memory) {
  const auto offset = static_cast<std::size_t>(static_cast<std::uint8_t*>(memory) - range);
  if (range == nullptr || offset >= kRangeBytes) {
    std::free(memory);
    return;
  }
  Free*& list = lists[kind_of_chunk[offset / kChunkBytes]];
  list = new (memory) Free{list};
}

}  // namespace

void* operator new(std::size_t bytes) {
  for (;;) {
    if (void* const out = take(bytes)) return out;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
}

void operator delete(void* memory) noexcept {
  if (memory != nullptr) give(memory);
}

void operator delete(void* memory, std::size_t) noexcept {
  if (memory != nullptr) give(memory);
}

#endif
