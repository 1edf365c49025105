// Sweeps in order of senders: see sweep.h.

#pragma once

#include "convolution/coupled/sweep.h"

namespace {

// What a path has on one edge; M, m and gM are at its matrix.
struct OfEdge {
    const Real *M, *m, *g, *w, *v;
    Real *gM, *gw, *gv;
};

// Call `body(what a path has on the edge)` for every edge of a sender.
template <class Body>
inline void over_receivers(const Arrays& of, const Path& p, int64_t node, Body body) {
    int64_t weight = 0;
    for (int64_t n = of.s.sender_starts[node]; n < of.s.sender_starts[node + 1]; ++n) {
        const int64_t at = (n - of.start) * of.s.matrix + p.matrix;
        const Real* g = of.g + of.s.receivers[of.s.by_sender[n]] * of.s.out + p.out;
        body(OfEdge{of.M + at, of.m + at, g, of.w + weight, of.v + weight, of.gM + at, of.gw + weight,
                    of.gv + weight});
        weight += p.channels;
    }
}

// gM[k, i] = sum_c g[k] sent[i], for k from FIRST on: a few rows at a time, in registers.
template <int I, int K, int FIRST = 0>
inline void matrix_sums(const Path& p, const Real* g, const Real* sent, Vector* sums) {
    constexpr int ROWS = std::min(K - FIRST, std::max(1, (REGISTERS - 4) / I));
    const int64_t stride = p.out_stride;
    Vector sum[ROWS][I] = {};
    over_vectors(p.channels, [&](int64_t c, auto lanes) {
        Vector row[ROWS];
        UNROLL
        for (int k = 0; k < ROWS; ++k) row[k] = load(g + (FIRST + k) * stride + c, lanes);
        UNROLL
        for (int i = 0; i < I; ++i) {
            const Vector column = load(sent + i * p.channels + c, lanes);
            UNROLL
            for (int k = 0; k < ROWS; ++k) sum[k][i] += row[k] * column;
        }
    });
    UNROLL
    for (int k = 0; k < ROWS; ++k) {
        UNROLL
        for (int i = 0; i < I; ++i) sums[(FIRST + k) * I + i] = sum[k][i];
    }
    if constexpr (FIRST + ROWS < K) matrix_sums<I, K, FIRST + ROWS>(p, g, sent, sums);
}

template <int I, int K>
inline void matrix_gradient(const Path& p, const Real* g, const Real* sent, Real* gM) {
    Vector sums[padded(I * K)];
    matrix_sums<I, K>(p, g, sent, sums);
    Real to[padded(I * K)];
    store_totals<I * K>(sums, to);
    std::memcpy(gM, to, I * K * sizeof(Real));
}

// dS/d(x, Y, B, T) or dD/d(x, Y, B, T).
template <class Kind>
void to_senders(const Arrays& arrays) {
    with_tables<Kind>(arrays, [](const Arrays& of) {
        const Convolution& s = of.s;
        // Threads that meet in the table add to tables of their own. With one term they do not.
        const int64_t table_size = s.table_rows * s.table_stride;
        const int64_t copies = of.gT && s.terms > 1 ? s.threads : 0;
        Numbers tables(copies * table_size);
        if (of.gT && copies == 0) std::memset(of.gT, 0, s.table_rows * s.weight * sizeof(Real));
        if (of.gY && !s.onto) std::memset(of.gY, 0, s.edges * s.harmonics * sizeof(Real));
        if (of.gB && !s.onto) std::memset(of.gB, 0, s.edges * s.terms * sizeof(Real));
        over_nodes(s.nodes, s.sender_starts, s.threads, [&](int64_t thread, int64_t first, int64_t last) {
            Arrays mine = of;
            if (copies > 0) mine.gT = tables.data() + thread * table_size;
            sweep_any<Kind>(mine, s.sender_starts, s.by_sender, first, last);
        });
        if (copies > 0)
            over_range(s.table_rows, s.threads, [&](int64_t first, int64_t last) {
                for (int64_t row = first; row < last; ++row) {
                    const Real* from = tables.data() + row * s.table_stride;
                    Real* to = of.gT + row * s.weight;
                    std::copy_n(from, s.weight, to);
                    for (int64_t copy = 1; copy < copies; ++copy)
                        for (int64_t i = 0; i < s.weight; ++i) to[i] += from[copy * table_size + i];
                }
            });
    });
}

}  // namespace
