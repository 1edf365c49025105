// The fused convolution on the CPU: gather, interpolation of the weights, contraction and sum in one
// sweep of the edges.
//
// For the form, linear in each of its arguments,
//
//     S(g, x, M, w) = sum_e sum_p sum_{k,i,c}  g[r(e), p, k, c] w[e, p, c] M[e, p, k, i] x[s(e), i, c]
//     w[e, p, c]    = sum_t B[e, t] T[row(e) + t, p, c]
//
// `forward` is dS/dg (one sweep in order of receivers), `backward` is dS/dx, dS/dY, dS/dB, dS/dT (one
// sweep in order of senders, so that dS/dx needs no atomics), and `double_forward` and
// `double_backward` are the same derivatives of its change along tangents a, y, b, u of x, Y, B, T:
//
//     D = S(g, a, M, w) + S(g, x, m, w) + S(g, x, M, v),    v = sum_t b[t] T[row + t] + B[t] u[row + t]
//
// Of the edges only harmonics Y, basis B and indices are stored: their matrices M = Y C (C holds the
// Clebsch-Gordan coefficients) and weights are made anew in every sweep, and so are those of the tangents,
// m = y C, and the gradients, gY = gM C^T. Channels c are contiguous: the innermost loops run over them in
// whole vectors, then over what is left.
//
// Paths of l up to 2 for the most part need no matrices: see direct.h. The others are done a few nodes at
// a time, path by path, so that what a path needs of features and table stays in the nearest cache.

#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "convolution/direct.h"
#include "convolution/weights.h"
#include "threads.h"

namespace {

// What is done with one path at one node: by `Kind::path` for any matrix of the path, by
// `Kind::isotropic_path` for a multiple of the identity.
using Kernel = void (*)(const Arrays&, const Path&, int64_t);

// CONVOLUTION_L is the l up to which there are such kernels.
constexpr int DEGREES = CONVOLUTION_L + 1;
constexpr int MAX_DIM = 2 * CONVOLUTION_L + 1;

// Every kernel of one kind, by l of input and output.
template <class Kind, size_t... LL>
constexpr std::array<Kernel, sizeof...(LL)> of_paths(std::index_sequence<LL...>) {
    return {&Kind::template path<2 * (LL / DEGREES) + 1, 2 * (LL % DEGREES) + 1>...};
}

template <class Kind, size_t... L>
constexpr std::array<Kernel, sizeof...(L)> of_isotropic_paths(std::index_sequence<L...>) {
    return {&Kind::template isotropic_path<2 * L + 1>...};
}

template <class Kind>
Kernel kernel_for(const Path& p) {
    static constexpr auto kernels = of_paths<Kind>(std::make_index_sequence<DEGREES * DEGREES>());
    static constexpr auto isotropic = of_isotropic_paths<Kind>(std::make_index_sequence<DEGREES>());
    return p.isotropic() ? isotropic[p.dim_in / 2] : kernels[(p.dim_in / 2) * DEGREES + p.dim_out / 2];
}

constexpr int64_t LINE = 64 / sizeof(Real);  // numbers in a cache line

// Run the kernels of all direct paths for every node of `first .. last`, in bundles where there are any.
void over_direct_paths(const Arrays& of, int64_t first, int64_t last) {
    if (of.bundles > 0) receive_bundles(of, first, last);
    if (of.directs == 0) return;
    for (int64_t node = first; node < last; ++node) {
        // Every path adds to a few lines of a row; they are on their way here before the first one does.
        if (of.out && node + 1 < last)
            for (int64_t i = 0; i < of.s.out; i += LINE) __builtin_prefetch(of.out + (node + 1) * of.s.out + i, 1);
        for (const DirectPath* direct = of.direct; direct < of.direct + of.directs; ++direct)
            direct->run(of, direct->path, node);
    }
}

// Run a kernel for every path and every node of `first .. last`, whose edges are
// `order[starts[first]] .. order[starts[last]]`.
template <class Kind, int TERMS>
void sweep(Arrays of, const int64_t* starts, const int64_t* order, int64_t first, int64_t last) {
    constexpr bool TANGENTS = Kind::HAS_TANGENTS;
    if (of.gx) std::memset(of.gx + first * of.s.x, 0, (last - first) * of.s.x * sizeof(Real));
    over_direct_paths(of, first, last);
    if (of.s.paths == 0) return;

    constexpr int64_t EDGES_AT_ONCE = 128;
    int64_t most = std::min(EDGES_AT_ONCE, starts[last] - starts[first]), widest = 0;
    for (int64_t i = first; i < last; ++i) most = std::max(most, starts[i + 1] - starts[i]);
    for (int64_t i = 0; i < of.s.paths; ++i) widest = std::max(widest, of.s.path[i].channels);
    const Numbers room((4 * most + MAX_DIM) * widest + 2 * most * of.s.matrix, false);
    const Numbers gM(of.gY ? most * of.s.matrix : 0);  // no path writes the end of its rows
    Real* const w = room.data();
    Real* const v = w + most * widest;
    Real* const gw = v + most * widest;
    Real* const gv = gw + most * widest;
    of.sent = gv + most * widest;
    of.M = of.sent + MAX_DIM * widest;
    of.m = of.M + most * of.s.matrix;
    of.gM = gM.data();

    while (first < last) {
        int64_t end = first + 1;
        while (end < last && starts[end + 1] - starts[first] <= most) ++end;
        const int64_t* edges = order + starts[first];
        const int64_t count = starts[end] - starts[first];
        of.start = starts[first];
        couple(of, of.Y, edges, count, of.M);
        if (TANGENTS) couple(of, of.y, edges, count, of.m);
        for (int64_t i = 0; i < of.s.paths; ++i) {
            const Path& p = of.s.path[i];
            of.w = w, of.v = v, of.gw = gw, of.gv = gv;
            if constexpr (TANGENTS)
                interpolate<TERMS, false, 2>(of, p, edges, count, {of.B, of.b}, of.T, {w, v});
            else
                interpolate<TERMS, false, 1>(of, p, edges, count, {of.B}, of.T, {w});
            if (TANGENTS && of.u) interpolate<TERMS, true, 1>(of, p, edges, count, {of.B}, of.u, {v});
            const Kernel kernel = kernel_for<Kind>(p);
            for (int64_t node = first; node < end; ++node) {
                kernel(of, p, node);
                const int64_t done = (starts[node + 1] - starts[node]) * p.channels;
                of.w += done, of.v += done, of.gw += done, of.gv += done;
            }
            if (of.gB) to_basis<TERMS>(of, p, edges, count, of.T, gw);
            if (TANGENTS && of.gB && of.u) to_basis<TERMS>(of, p, edges, count, of.u, gv);
            if (!of.gT) continue;
            if constexpr (TANGENTS)
                to_table<TERMS, 2>(of, p, edges, count, {of.B, of.b}, {gw, gv});
            else
                to_table<TERMS, 1>(of, p, edges, count, {of.B}, {gw});
        }
        if (of.gY) decouple(of.s, of.gM, edges, count, of.gY);
        first = end;
    }
}

// The length of a row of whole cache lines.
int64_t padded_line(int64_t length) { return (length + LINE - 1) / LINE * LINE; }

// Distance of rows in a table whose columns do not fall into a few places of the cache alone: an odd
// number of cache lines.
int64_t spaced(int64_t length) { return (padded_line(length) / LINE | 1) * LINE; }

// Run `body(arrays)` with coupling and tables as the sweeps read them.
template <class Kind, class Body>
void with_tables(Arrays of, Body body) {
    const Convolution s = of.s;
    int64_t products = 0;  // of the simplest sweep
    for (int64_t i = 0; i < s.paths; ++i)
        products += s.edges * s.path[i].dim_in * s.path[i].dim_out * s.path[i].channels;
    of.s.threads = worthwhile(s.threads, products);

    std::vector<Path> rest;
    std::vector<DirectPath> directs;
    of.s.matrix = 0, of.s.table_stride = s.weight;
    for (const Path* path = s.path; path < s.path + s.paths; ++path) {
        if (const DirectKernel run = s.terms == SPLINE_TERMS ? Kind::direct(of, *path) : nullptr) {
            directs.push_back({*path, run});
        } else {
            rest.push_back(*path);
            of.s.matrix += path->matrix_size();
        }
    }
    of.direct = directs.data(), of.directs = directs.size();
    of.s.path = rest.data(), of.s.paths = rest.size();
    if (rest.empty()) return body(of);

    of.s.matrix = padded_line(of.s.matrix);
    const Numbers coupling(s.harmonics * of.s.matrix);
    std::vector<Span> harmonics_of(of.s.matrix / WIDTH, {s.harmonics, 0});
    int64_t next = 0;
    for (Path& path : rest) {
        const int64_t last = path.harmonic + 2 * path.degree + 1, size = path.matrix_size();
        for (int64_t h = path.harmonic; h < last; ++h)
            std::copy_n(s.coupling + h * s.matrix + path.matrix, size, coupling.data() + h * of.s.matrix + next);
        for (int64_t q = next / WIDTH; q <= (next + size - 1) / WIDTH; ++q) {
            Span& span = harmonics_of[q];
            span.first = std::min(span.first, path.harmonic), span.last = std::max(span.last, last);
        }
        path.matrix = next, next += size;
    }
    of.s.coupling = coupling.data(), of.harmonics_of = harmonics_of.data();

    // Not worth it where few edges read the table, least of all where each has a row of its own.
    if (s.terms == 1 || s.edges < 8 * s.table_rows) return body(of);
    of.s.table_stride = spaced(s.weight);
    const int64_t size = s.table_rows * of.s.table_stride;
    const Numbers T(size, false), u(of.u ? size : 0, false);
    over_range(s.table_rows, of.s.threads, [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row) {
            std::copy_n(of.T + row * s.weight, s.weight, T.data() + row * of.s.table_stride);
            if (of.u) std::copy_n(of.u + row * s.weight, s.weight, u.data() + row * of.s.table_stride);
        }
    });
    of.T = T.data(), of.u = of.u ? u.data() : nullptr;
    body(of);
}

template <class Kind>
void sweep_any(const Arrays& of, const int64_t* starts, const int64_t* order, int64_t first, int64_t last) {
    if (of.s.terms == 1)
        sweep<Kind, 1>(of, starts, order, first, last);
    else
        sweep<Kind, 4>(of, starts, order, first, last);
}

}  // namespace
