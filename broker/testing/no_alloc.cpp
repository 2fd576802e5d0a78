#include "broker/testing/no_alloc.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#define PORTOLAN_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PORTOLAN_ASAN 1
#endif
#endif

namespace portolan::broker::testing {
namespace {

thread_local int armed = 0;

// Nothing here may allocate: the message is put together by hand.
void asked_for(std::size_t bytes) {
  if (armed == 0) return;
  armed = 0;
  char text[] = "an engine asked for memory after construction:                      bytes\n";
  char* end = text + sizeof text - 8;
  do {
    *--end = static_cast<char>('0' + bytes % 10);
    bytes /= 10;
  } while (bytes != 0 && end > text + 47);
  (void)!write(STDERR_FILENO, text, sizeof text - 1);
  std::abort();
}

}  // namespace

NoAllocation::NoAllocation() {
  ++armed;
}
NoAllocation::~NoAllocation() {
  --armed;
}
AllowAllocation::AllowAllocation() : before_(std::exchange(armed, 0)) {}
AllowAllocation::~AllowAllocation() {
  armed = before_;
}

}  // namespace portolan::broker::testing

#if defined(PORTOLAN_ASAN)

extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, std::size_t),
                                                         void (*on_free)(const volatile void*));
namespace {
[[maybe_unused]] const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t bytes) { portolan::broker::testing::asked_for(bytes); },
    [](const volatile void*) {});
}  // namespace

#else

// glibc's own functions under their second names; operator new goes through malloc.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* memory, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
// NOLINTEND(bugprone-reserved-identifier)

void* malloc(std::size_t bytes) {
  portolan::broker::testing::asked_for(bytes);
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
  portolan::broker::testing::asked_for(count * bytes);
  return __libc_calloc(count, bytes);
}
void* realloc(void* memory, std::size_t bytes) {
  portolan::broker::testing::asked_for(bytes);
  return __libc_realloc(memory, bytes);
}
void* memalign(std::size_t alignment, std::size_t bytes) {
  portolan::broker::testing::asked_for(bytes);
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  void* const got = memalign(alignment, bytes);
  if (got == nullptr) return ENOMEM;
  *memory = got;
  return 0;
}
}

#endif
