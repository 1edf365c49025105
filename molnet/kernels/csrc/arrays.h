// What the sweeps of the convolution are given: see sweep.h.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "vectors.h"

namespace {

constexpr int MAX_DIM = 9;  // l = 4

// A path as plan.py describes it; offsets count numbers from the start of a row.
struct Path {
    int64_t dim_in, dim_out, channels;
    int64_t x, out, out_stride;  // stride: from one component of the output to the next
    int64_t matrix, weight;
    int64_t isotropic;  // whether the matrix is a multiple of the identity, given by one number
};

// Indices first .. last - 1.
struct Span {
    int64_t first, last;
};

// Sizes of rows, the edges in order of receivers, and for each sender its edges.
struct Shape {
    int64_t nodes, edges, paths, x, out, matrix, weight, terms, table_rows, table_stride;
    const Path* path;
    const int64_t* senders;          // [E]
    const int64_t* receivers;        // [E], ascending
    const int64_t* receiver_starts;  // [N + 1]
    const int64_t* by_sender;        // [E], edges in order of senders
    const int64_t* sender_starts;    // [N + 1]
    const int64_t* rows;             // [E], first row of the table for each edge
    const Real* coupling;            // C, [harmonics, matrix]
    int64_t harmonics, threads;
    const Span* harmonics_of;        // those that a vector of a matrix depends on, one after another
};

// Every array that a sweep may read or write. Of the gradients, gY, gB and gT are null where nobody
// wants them; so is the tangent u where it is zero.
struct Arrays {
    Shape s;
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
