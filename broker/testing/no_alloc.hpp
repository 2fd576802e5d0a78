// Proves that engines allocate nothing after construction: while a NoAllocation lives, malloc, its relatives and
// operator new print what was asked for and abort. For tests only: linking this file replaces the program's malloc (in
// sanitized builds it hooks theirs). Armed for the calling thread alone.
#pragma once

#include <memory>
#include <utility>

namespace portolan::broker::testing {

class NoAllocation {
 public:
  NoAllocation();
  ~NoAllocation();
  NoAllocation(const NoAllocation&) = delete;
  NoAllocation& operator=(const NoAllocation&) = delete;
};

// Lets a callback of the test itself allocate inside a NoAllocation.
class AllowAllocation {
 public:
  AllowAllocation();
  ~AllowAllocation();
  AllowAllocation(const AllowAllocation&) = delete;
  AllowAllocation& operator=(const AllowAllocation&) = delete;

 private:
  int before_;
};

// Owns an engine and arms the guard round each call: `engine->receive(...)` may not allocate from the arrow to the
// semicolon. (Stroustrup: "Wrapping C++ Member Function Calls".) Construction is not guarded.
template <typename T>
class Guarded {
 public:
  Guarded() = default;
  explicit Guarded(std::unique_ptr<T> owned) : owned_(std::move(owned)) {}
  Guarded& operator=(std::unique_ptr<T> owned) {
    owned_ = std::move(owned);
    return *this;
  }
  void reset() { owned_.reset(); }
  T& operator*() const { return *owned_; }  // unguarded: for what only looks
  explicit operator bool() const { return owned_ != nullptr; }
  friend bool operator==(const Guarded& guarded, std::nullptr_t) { return guarded.owned_ == nullptr; }

  class Call {
   public:
    explicit Call(T* object) : object_(object) {}
    T* operator->() const { return object_; }

   private:
    T* object_;
    NoAllocation guard_;
  };
  Call operator->() const { return Call(owned_.get()); }

 private:
  std::unique_ptr<T> owned_;
};

}  // namespace portolan::broker::testing
