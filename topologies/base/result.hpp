// SPDX-License-Identifier: Apache-2.0
// A value, or the reason why there is none. For everything that a user can cause; bugs are asserts.
#pragma once
#include <cassert>
#include <utility>
#include <variant>

#include "topologies/base/diagnostic.hpp"

namespace meshplan {

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}           // NOLINT
  Result(Diagnostic error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  const T& value() const& { return get(*this); }
  T& value() & { return get(*this); }
  T&& value() && { return std::move(get(*this)); }
  const T& operator*() const& { return value(); }
  T& operator*() & { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  const T* operator->() const { return &value(); }
  T* operator->() { return &value(); }

  const Diagnostic& error() const& {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }
  Diagnostic&& error() && {
    assert(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  template <class Self>
  static auto& get(Self& self) {
    assert(self.ok());
    return *std::get_if<0>(&self.state_);
  }
  std::variant<T, Diagnostic> state_;
};

struct Done {};  ///< the value of an operation that only succeeds or fails
using Status = Result<Done>;

}  // namespace meshplan

#define MESHPLAN_CONCAT_(a, b) a##b
#define MESHPLAN_CONCAT(a, b) MESHPLAN_CONCAT_(a, b)
#define MESHPLAN_TRY_(tmp, lhs, expr)           \
  auto tmp = (expr);                            \
  if (!tmp.ok()) return std::move(tmp).error(); \
  lhs = std::move(tmp).value()
/// MESHPLAN_TRY(auto x, f()); assigns the value or returns the error to the caller.
#define MESHPLAN_TRY(lhs, expr) MESHPLAN_TRY_(MESHPLAN_CONCAT(try_, __COUNTER__), lhs, expr)
/// MESHPLAN_CHECK(f()); for a Status whose value is of no interest.
#define MESHPLAN_CHECK(expr)                            \
  do {                                                  \
    auto check_ = (expr);                               \
    if (!check_.ok()) return std::move(check_).error(); \
  } while (false)
