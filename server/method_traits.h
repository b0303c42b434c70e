// What a function that computes an answer looks like: its instance, request and reply.
//
//   StatusOr<Reply> T::Method(const Request&) const
//   StatusOr<Reply> T::Method(const Request&, CallContext&) const
//   StatusOr<Reply> Function(const Request&)
//   StatusOr<Reply> Function(const Request&, CallContext&)
#pragma once

#include <type_traits>

#include "absl/status/statusor.h"

namespace memod {

class CallContext;

namespace internal {

// The parts of a signature. kConst: may be called on an instance that many calls share.
template <typename C, typename Rep, typename Req, bool kTakesContext, bool kIsConst>
struct Signature {
  using Class = C;  // void: a function without an instance
  using Reply = Rep;
  using Request = Req;
  static constexpr bool kContext = kTakesContext;
  static constexpr bool kConst = kIsConst;
  static constexpr bool kKnown = true;
};

struct UnknownSignature {
  using Class = void;
  using Reply = void;
  using Request = void;
  static constexpr bool kContext = false;
  static constexpr bool kConst = true;
  static constexpr bool kKnown = false;
};

template <typename F>
struct SignatureOf : UnknownSignature {};
template <typename C, typename Rep, typename Req>
struct SignatureOf<absl::StatusOr<Rep> (C::*)(const Req&) const>
    : Signature<C, Rep, Req, false, true> {};
template <typename C, typename Rep, typename Req>
struct SignatureOf<absl::StatusOr<Rep> (C::*)(const Req&, CallContext&) const>
    : Signature<C, Rep, Req, true, true> {};
template <typename C, typename Rep, typename Req>
struct SignatureOf<absl::StatusOr<Rep> (C::*)(const Req&)> : Signature<C, Rep, Req, false, false> {
};
template <typename C, typename Rep, typename Req>
struct SignatureOf<absl::StatusOr<Rep> (C::*)(const Req&, CallContext&)>
    : Signature<C, Rep, Req, true, false> {};
template <typename Rep, typename Req>
struct SignatureOf<absl::StatusOr<Rep> (*)(const Req&)> : Signature<void, Rep, Req, false, true> {};
template <typename Rep, typename Req>
struct SignatureOf<absl::StatusOr<Rep> (*)(const Req&, CallContext&)>
    : Signature<void, Rep, Req, true, true> {};

// noexcept is part of a function's type; it makes no difference here.
template <typename F>
struct WithoutNoexcept {
  using Type = F;
};
template <typename C, typename R, typename... A>
struct WithoutNoexcept<R (C::*)(A...) const noexcept> {
  using Type = R (C::*)(A...) const;
};
template <typename C, typename R, typename... A>
struct WithoutNoexcept<R (C::*)(A...) noexcept> {
  using Type = R (C::*)(A...);
};
template <typename R, typename... A>
struct WithoutNoexcept<R (*)(A...) noexcept> {
  using Type = R (*)(A...);
};

template <auto kMethod>
inline constexpr char kMethodTag = 0;

}  // namespace internal

template <auto kMethod>
using MethodTraits =
    internal::SignatureOf<typename internal::WithoutNoexcept<decltype(kMethod)>::Type>;

// One address for one method, by which a nested call finds it.
template <auto kMethod>
const void* MethodTag() {
  return &internal::kMethodTag<kMethod>;
}

}  // namespace memod
