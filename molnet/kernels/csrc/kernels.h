// The kernels as others call them, and what they are told: the structures are filled in by
// linear/blocks.py, convolution/calls.py and edge_basis.py.

#pragma once

#include <cstdint>

#include "vectors.h"

// Linear maps: linear/blockwise.cpp.

// One irrep of the input mapped to one of the output; starts count numbers from that of a row.
struct Block {
    int64_t components, start_in, mul_in, start_out, mul_out, start_weight;
    int64_t transposed;  // whether the weights are stored as [mul_out, mul_in]
    int64_t adds;        // whether an earlier block has written there
    double alpha;
};

struct Blocks {
    int64_t dim_in, dim_out, blocks, covered;  // covered: whether the blocks write all of y
    const Block* block;
};

struct Rows {
    int64_t nodes, groups;
    const int64_t* order;   // nodes group by group, or null for the given order
    const int64_t* starts;  // [groups + 1], or null for one group
    int64_t threads;
    int64_t onto;  // whether to add to what is in y
};

// A map and its transpose with flat weights, [groups, weight_numel].
struct Weighted {
    const Blocks *map, *transpose;
    const Real* weight;
    int64_t groups, weight_numel;
};

// The same with weights packed for both directions; without blocks there is none.
struct Linear {
    const Blocks *map, *transpose;
    const Real *panels, *panels_of_transpose;
    int64_t weight_numel;

    Linear transposed() const { return {transpose, map, panels_of_transpose, panels, weight_numel}; }
};

// The convolution: convolution/coupled/sweep.h.

// A path as plan.py describes it; offsets count numbers from the start of a row.
struct Path {
    int64_t dim_in, dim_out, channels;
    int64_t x, out, out_stride;  // stride: from one component of the output to the next
    int64_t matrix, weight;
    int64_t degree, harmonic;  // l of its harmonics, and the first of them

    bool couples(int64_t l_in, int64_t l_harmonic, int64_t l_out) const {
        return dim_in == 2 * l_in + 1 && degree == l_harmonic && dim_out == 2 * l_out + 1;
    }

    // Whether the matrix is a multiple of the identity, given by one number.
    bool isotropic() const { return degree == 0; }

    int64_t matrix_size() const { return isotropic() ? 1 : dim_in * dim_out; }
};

// Sizes of rows, the edges in order of receivers, and for each sender its edges.
struct Convolution {
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
    int64_t onto;  // whether gradients of Y and B are added to what is there
};

// Functions of edge vectors: edge_basis.cpp.

constexpr int64_t SPLINE_TERMS = 4;  // of a cubic one

// What is asked for: harmonics of the vectors or of their directions, and a spline basis unless there are
// no knots. Lengths count in intervals between knots.
struct EdgeBasis {
    int64_t edges, l_max, normalize, knots;
    double intervals_per_length;
    int64_t threads;
    const double* poles;  // what a harmonic of each degree is at the pole, [l_max + 1]

    int64_t harmonics() const { return (l_max + 1) * (l_max + 1); }
};

extern "C" {

void edge_basis_forward(const EdgeBasis*, const Real* vectors, Real* Y, Real* B, int64_t* rows);

void edge_basis_backward(const EdgeBasis*, const Real* vectors, const Real* gY, const Real* gB, Real* gv);

void edge_basis_tangent(const EdgeBasis*, const Real* vectors, const Real* t, Real* tY, Real* tB);

void blockwise_map(const Blocks*, const Rows*, int64_t weight_numel, const Real* x, const Real* weight, Real* y);

void blockwise_outer(const Blocks*, const Rows*, int64_t weight_numel, const Real* x, const Real* g, Real* gW);

void blockwise_both(const Blocks*, const Rows*, int64_t weight_numel, const Real* x, const Real* g,
                    const Blocks* transposed, const Real* weight, Real* gx, Real* gW);

void blockwise_packed_map(const Blocks*, const Rows*, int64_t weight_numel, const Real* x, const Real* W, Real* y);

void blockwise_packed_both(const Blocks*, const Rows*, int64_t weight_numel, const Real* x, const Real* g,
                           Real* gW, const Blocks* other, const Real* W, const Real* from, Real* to);

void convolution_forward(const Convolution*, const Real* x, const Real* Y, const Real* B, const Real* T, Real* out);

void convolution_backward(const Convolution*, const Real* g, const Real* x, const Real* Y, const Real* B,
                          const Real* T, Real* gx, Real* gY, Real* gB, Real* gT);

void convolution_double_forward(
    const Convolution*, const Real* x, const Real* Y, const Real* B, const Real* T, const Real* a,
    const Real* y, const Real* b, const Real* u, Real* out);

void convolution_double_backward(
    const Convolution*, const Real* g, const Real* x, const Real* Y, const Real* B, const Real* T,
    const Real* a, const Real* y, const Real* b, const Real* u, Real* gx, Real* gY, Real* gB, Real* gT);

}  // extern "C"
