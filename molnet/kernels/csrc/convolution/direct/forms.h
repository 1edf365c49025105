// What paths of l up to 2 with an even sum of l multiply, written out.
//
// Vectors are (x, y, z), and the irreps of l = 2 are (xz, xy, yy, yz, zz - xx) in e3nn's order: they stand
// for the symmetric matrices without trace
//
//     [ -r c2 - c4   c1        c0        ]
//     [  c1          2 r c2    c3        ],    r = 1 / sqrt(3)
//     [  c0          c3        c4 - r c2 ]
//
// and every coupling of the three is one of the forms below, which its three l name, times FACTOR. A form has
// `send`, which adds the message w f(x, Y) to the output, and `differentiate`, which adds the derivatives of
// w g·f(x, Y) by x and, if they are asked for, by Y, and returns that by w. Arguments are vectors of channels
// and, for the harmonics Y, numbers, with or without a change. AT_ONCE is how many edges a receiver takes in
// at once: two where there is little to compute.

#pragma once

#include "convolution/direct/moving.h"

namespace {

constexpr Real ROOT_OF_THIRD = Real(0.57735026918962576451);  // 1 / sqrt(3)
constexpr Real HALF_ROOT_OF_3 = Real(0.86602540378443864676);  // sqrt(3) / 2

// (-a0, 2 a1, -a2) / sqrt(3): what a vector does to the yy of a matrix, and that to the vector.
template <class A>
INLINE Components<A, 3> thirds(const Components<A, 3>& a) {
    const auto r = times(ROOT_OF_THIRD, a);
    return {-r[0], r[1] + r[1], -r[2]};
}

// The symmetric product of two vectors without its trace, added to what is there; t are the thirds of a.
template <class To, class A, class B>
INLINE void add_pair(To* to, const Components<A, 3>& a, const Components<A, 3>& t, const Components<B, 3>& b) {
    add(to[0], a[0], b[2]), add(to[0], a[2], b[0]);
    add(to[1], a[0], b[1]), add(to[1], a[1], b[0]);
    add(to[2], t[0], b[0]), add(to[2], t[1], b[1]), add(to[2], t[2], b[2]);
    add(to[3], a[1], b[2]), add(to[3], a[2], b[1]);
    add(to[4], a[2], b[2]), add(to[4], -a[0], b[0]);
}

template <class To, class A, class B>
INLINE void add_coupled(To* to, const Components<A, 3>& a, const Components<B, 3>& b) {
    add_pair(to, a, thirds(a), b);
}

// A matrix times a vector, likewise.
template <class To, class A, class B>
INLINE void add_coupled(To* to, const Components<A, 5>& c, const Components<B, 3>& a) {
    const A r = ROOT_OF_THIRD * c[2];
    add(to[0], c[0], a[2]), add(to[0], c[1], a[1]), add(to[0], -(r + c[4]), a[0]);
    add(to[1], c[1], a[0]), add(to[1], c[3], a[2]), add(to[1], r + r, a[1]);
    add(to[2], c[0], a[0]), add(to[2], c[3], a[1]), add(to[2], c[4] - r, a[2]);
}

template <class To, class A, class B>
INLINE void add_coupled(To* to, const Components<A, 3>& a, const Components<B, 5>& c) {
    add_coupled(to, c, a);
}

// The same where it is the vector whose thirds are known.
template <class To, class A, class B>
INLINE void add_contraction(
    To* to, const Components<A, 5>& c, const Components<B, 3>& a, const Components<B, 3>& t) {
    add(to[0], c[0], a[2]), add(to[0], c[1], a[1]), add(to[0], c[2], t[0]), add(to[0], c[4], -a[0]);
    add(to[1], c[1], a[0]), add(to[1], c[3], a[2]), add(to[1], c[2], t[1]);
    add(to[2], c[0], a[0]), add(to[2], c[3], a[1]), add(to[2], c[2], t[2]), add(to[2], c[4], a[2]);
}

// The symmetric product of two matrices without its trace, up to a factor, likewise.
template <class To, class A, class B>
INLINE void add_coupled(To* to, const Components<A, 5>& c, const Components<B, 5>& d) {
    const Components<A, 5> h = times(Real(0.5), c), s = times(HALF_ROOT_OF_3, c);
    add(to[0], s[1], d[3]), add(to[0], s[3], d[1]), add(to[0], -c[0], d[2]), add(to[0], -c[2], d[0]);
    add(to[1], s[0], d[3]), add(to[1], s[3], d[0]), add(to[1], -s[1], d[4]), add(to[1], -s[4], d[1]);
    add(to[1], h[1], d[2]), add(to[1], h[2], d[1]);
    add(to[2], h[1], d[1]), add(to[2], h[3], d[3]), add(to[2], -c[0], d[0]), add(to[2], -c[4], d[4]);
    add(to[2], c[2], d[2]);
    add(to[3], s[0], d[1]), add(to[3], s[1], d[0]), add(to[3], s[3], d[4]), add(to[3], s[4], d[3]);
    add(to[3], h[2], d[3]), add(to[3], h[3], d[2]);
    add(to[4], s[3], d[3]), add(to[4], -s[1], d[1]), add(to[4], -c[2], d[4]), add(to[4], -c[4], d[2]);
}

// f = Y x, with the harmonic of l = 0
template <int L>
struct Isotropic {
    static constexpr int IN = L, HARMONIC = 0, OUT = L, AT_ONCE = 2;
    static constexpr Real FACTOR = 1;

    template <class W, class X, class Y>
    static INLINE void send(const W& w, const X& x, const Y& y, Vector* out) {
        add_times(out, w * y[0], x);
    }

    template <bool OF_Y, class W, class X, class Y, class G>
    static INLINE auto differentiate(const W& w, const X& x, const Y& y, const G& g, Vector* gx, Vector* gY) {
        const auto product = dot(x, g);
        add_times(gx, w * y[0], g);
        if constexpr (OF_Y) add(*gY, w, product);
        return y[0] * product;
    }
};

// f = x Y, with x of l = 0
template <int L>
struct Raising {
    static constexpr int IN = 0, HARMONIC = L, OUT = L, AT_ONCE = 2;
    static constexpr Real FACTOR = 1;

    template <class W, class X, class Y>
    static INLINE void send(const W& w, const X& x, const Y& y, Vector* out) {
        add_times(out, w * x[0], y);
    }

    template <bool OF_Y, class W, class X, class Y, class G>
    static INLINE auto differentiate(const W& w, const X& x, const Y& y, const G& g, Vector* gx, Vector* gY) {
        const auto product = dot(y, g);
        add(*gx, w, product);
        if constexpr (OF_Y) add_times(gY, w * x[0], g);
        return x[0] * product;
    }
};

// f = Y·x
template <int L>
struct Contracting {
    static constexpr int IN = L, HARMONIC = L, OUT = 0, AT_ONCE = L < 2 ? 2 : 1;
    static constexpr Real FACTOR = Real(L == 1 ? 0.57735026918962576451 : 0.44721359549995793928);  // 1 / sqrt(2l + 1)

    template <class W, class X, class Y>
    static INLINE void send(const W& w, const X& x, const Y& y, Vector* out) {
        add(*out, w, dot(y, x));
    }

    template <bool OF_Y, class W, class X, class Y, class G>
    static INLINE auto differentiate(const W& w, const X& x, const Y& y, const G& g, Vector* gx, Vector* gY) {
        const auto sent = w * g[0];
        add_times(gx, sent, y);
        if constexpr (OF_Y) add_times(gY, sent, x);
        return g[0] * dot(y, x);
    }
};

// Forms without l = 0: sums of products of a component each of x, Y and g. Whichever two are given, `add_coupled` of
// their dimensions adds the derivative by the third.
template <int IN_, int HARMONIC_, int OUT_>
struct Coupling {
    static constexpr int IN = IN_, HARMONIC = HARMONIC_, OUT = OUT_, AT_ONCE = 1;
    static constexpr Real FACTOR = IN + HARMONIC + OUT == 6 ? Real(0.53452248382484876937)   // sqrt(2 / 7)
                                   : OUT == 2               ? Real(0.70710678118654752440)   // sqrt(1 / 2)
                                                            : Real(0.54772255750516611346);  // sqrt(3 / 10)

    template <class W, class X, class Y>
    static INLINE void send(const W& w, const X& x, const Y& y, Vector* out) {
        add_coupled(out, y, times(w, x));
    }

    template <bool OF_Y, class W, class X, class Y, class G>
    static INLINE auto differentiate(const W& w, const X& x, const Y& y, const G& g, Vector* gx, Vector* gY) {
        if constexpr (OF_Y) add_coupled(gY, times(w, x), g);
        Components<decltype(g[0] * y[0]), 2 * IN + 1> h{};
        add_coupled(h.at, y, g);
        add_times(gx, w, h);
        return dot(x, h);
    }
};

using Pairing = Coupling<1, 1, 2>;
using ByMatrix = Coupling<1, 2, 1>;
using OnVector = Coupling<2, 1, 1>;
using Multiplying = Coupling<2, 2, 2>;

template <class... Form>
struct List {};

using Forms = List<Isotropic<0>, Isotropic<1>, Isotropic<2>, Raising<1>, Raising<2>, Contracting<1>, Contracting<2>,
                   Pairing, ByMatrix, OnVector, Multiplying>;

}  // namespace
