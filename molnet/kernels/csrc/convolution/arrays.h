// What the sweeps of the convolution are given: see sweep.h.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels.h"
#include "vectors.h"

struct DirectPath;
struct Bundle;

// Indices first .. last - 1.
struct Span {
    int64_t first, last;
};

// Every array that a sweep may read or write. Of the gradients, gY, gB and gT are null where nobody
// wants them; so is the tangent u where it is zero.
struct Arrays {
    Convolution s;
    const Real *g, *x, *Y, *B, *T;
    const Real *a, *y, *b, *u;
    Real *out, *gx, *gY, *gB, *gT;
    // Matrices of the edges at hand, those of tangents, and their gradients, from that edge on whose
    // place in the order of the sweep is `start`; rows are `s.matrix` apart.
    int64_t start;
    Real *M, *m, *gM;
    const Span* harmonics_of;  // those that a vector of a matrix depends on
    // What the edges at hand have on the path at hand: weights, their tangents and gradients,
    // [edges][channels]; and room for [dim_in][channels] that one edge sends.
    Real *w, *v, *gw, *gv, *sent;
    // Paths that are not among those of `s`: see direct.h.
    const DirectPath* direct;
    int64_t directs;
    const Bundle* bundle;  // of more of them
    int64_t bundles;
};

namespace {

// Call `body(c, vectors, lanes)` for blocks of a row: N vectors, then one, then what is left.
template <int N = 4, class Body>
inline void over_blocks(int64_t length, Body body) {
    int64_t c = 0;
    for (; c + N * WIDTH <= length; c += N * WIDTH) body(c, Count<N>{}, Whole{});
    if constexpr (N > 1)
        for (; c + WIDTH <= length; c += WIDTH) body(c, Count<1>{}, Whole{});
    if (c < length) body(c, Count<1>{}, Part{length - c});
}

}  // namespace
