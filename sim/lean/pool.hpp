// Freed memory kept for the next of its kind: events and datagrams come and go by the million, and the general heap
// spent a tenth of a run on joining and splitting what they left. One thread; what is kept is given back at the end.
#pragma once

#include <array>
#include <cstddef>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define PORTOLAN_POOL_KEEPS 0  // or its checks would not see what is used after it was freed
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PORTOLAN_POOL_KEEPS 0
#endif
#endif
#ifndef PORTOLAN_POOL_KEEPS
#define PORTOLAN_POOL_KEEPS 1
#endif

namespace portolan::sim {

class Pool {
 public:
  static constexpr std::size_t kGrainBytes = 32;
  static constexpr std::size_t kLargestBytes = PORTOLAN_POOL_KEEPS ? 512 : 0;  // beyond it the general heap serves

  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    for (Free*& list : free_) {
      while (list != nullptr) {
        Free* next = list->next;
        ::operator delete(list);
        list = next;
      }
    }
  }

  void* take(std::size_t bytes) {
    if (bytes > kLargestBytes) return ::operator new(bytes);
    Free*& list = free_[kind(bytes)];
    if (list == nullptr) return ::operator new((kind(bytes) + 1) * kGrainBytes);
    Free* const out = list;
    list = out->next;
    return out;
  }
  void give(void* memory, std::size_t bytes) {
    if (bytes > kLargestBytes) {
      ::operator delete(memory);
      return;
    }
    Free*& list = free_[kind(bytes)];
    list = new (memory) Free{list};
  }

  static Pool& common() {
    static Pool pool;
    return pool;
  }

 private:
  struct Free {
    Free* next;
  };
  static std::size_t kind(std::size_t bytes) { return bytes == 0 ? 0 : (bytes - 1) / kGrainBytes; }
  std::array<Free*, kLargestBytes / kGrainBytes + 1> free_{};
};

// Derive from it to be made and unmade in the pool.
struct Pooled {
#if PORTOLAN_POOL_KEEPS
  static void* operator new(std::size_t bytes) {
    return Pool::common().take(bytes);
  }
  static void operator delete(void* memory, std::size_t bytes) {
    Pool::common().give(memory, bytes);
  }
#endif
};

}  // namespace portolan::sim
