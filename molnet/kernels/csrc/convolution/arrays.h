// What the sweeps of the convolution are given: see sweep.h.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "../kernels.h"
#include "../vectors.h"

namespace {

// CONVOLUTION_L is the l up to which there are kernels of paths.
constexpr int MAX_DIM = 2 * CONVOLUTION_L + 1;

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
    // What the edges at hand have on the path at hand: weights, their tangents and gradients,
    // [edges][channels]; and room for [dim_in][channels] that one edge sends.
    Real *w, *v, *gw, *gv, *sent;
};

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
