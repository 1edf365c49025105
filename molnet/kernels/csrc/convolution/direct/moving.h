// Numbers that carry a change along a tangent, and components of irreps of such numbers.

#pragma once

#include <utility>

#include "vectors.h"

namespace {

#define INLINE inline __attribute__((always_inline))

// A number and how it changes along a tangent.
template <class T>
struct Moving {
    T value, change;
};

template <class A, class B>
using Product = decltype(std::declval<A>() * std::declval<B>());

template <class A, class B>
INLINE auto operator*(const Moving<A>& a, const Moving<B>& b) -> Moving<Product<A, B>> {
    return {a.value * b.value, a.value * b.change + a.change * b.value};
}

template <class A, class B>
INLINE auto operator*(const Moving<A>& a, const B& b) -> Moving<Product<A, B>> {
    return {a.value * b, a.change * b};
}

template <class A, class B>
INLINE auto operator*(const A& a, const Moving<B>& b) -> Moving<Product<A, B>> {
    return {a * b.value, a * b.change};
}

template <class T>
INLINE Moving<T> operator+(const Moving<T>& a, const Moving<T>& b) {
    return {a.value + b.value, a.change + b.change};
}

template <class T>
INLINE Moving<T> operator-(const Moving<T>& a, const Moving<T>& b) {
    return {a.value - b.value, a.change - b.change};
}

template <class T>
INLINE Moving<T> operator-(const Moving<T>& a) {
    return {-a.value, -a.change};
}

// to += a b, and its change along with it; where `to` takes only one number it is the change, if there is one.
template <class A, class B>
INLINE void add(Vector& to, const A& a, const B& b) {
    to += a * b;
}

template <class A, class B>
INLINE void add(Vector& to, const Moving<A>& a, const Moving<B>& b) {
    to += a.value * b.change;
    to += a.change * b.value;
}

template <class A, class B>
INLINE void add(Vector& to, const Moving<A>& a, const B& b) {
    to += a.change * b;
}

template <class A, class B>
INLINE void add(Vector& to, const A& a, const Moving<B>& b) {
    to += a * b.change;
}

template <class T, class A, class B>
INLINE void add(Moving<T>& to, const Moving<A>& a, const Moving<B>& b) {
    to.value += a.value * b.value;
    add(to.change, a, b);
}

template <class T, class A, class B>
INLINE void add(Moving<T>& to, const Moving<A>& a, const B& b) {
    to.value += a.value * b;
    to.change += a.change * b;
}

template <class T, class A, class B>
INLINE void add(Moving<T>& to, const A& a, const Moving<B>& b) {
    to.value += a * b.value;
    to.change += a * b.change;
}

// The components of an irrep.
template <class T, int N>
struct Components {
    T at[N];

    INLINE T& operator[](int i) { return at[i]; }
    INLINE const T& operator[](int i) const { return at[i]; }
};

// a b, component by component.
template <class A, class B, int N>
INLINE auto times(const A& a, const Components<B, N>& b) {
    Components<decltype(a * b[0]), N> result;
    UNROLL
    for (int i = 0; i < N; ++i) result[i] = a * b[i];
    return result;
}

template <class A, class B, int N>
INLINE auto dot(const Components<A, N>& a, const Components<B, N>& b) {
    auto sum = a[0] * b[0];
    UNROLL
    for (int i = 1; i < N; ++i) sum = sum + a[i] * b[i];
    return sum;
}

template <class To, class A, class B, int N>
INLINE void add_times(To* to, const A& a, const Components<B, N>& b) {
    UNROLL
    for (int i = 0; i < N; ++i) add(to[i], a, b[i]);
}

}  // namespace
