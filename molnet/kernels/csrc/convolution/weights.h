// Matrices of edges from harmonics, weights of edges from a table, and their gradients back: see sweep.h.

#pragma once

#include <array>

#include "convolution/arrays.h"

namespace {

// M = Y C for some edges, vector by vector of C: a few rows of that stay in registers for all edges.
void couple(const Arrays& of, const Real* Y, const int64_t* edges, int64_t count, Real* M) {
    constexpr int AT_ONCE = 12;
    const Convolution& s = of.s;
    for (int64_t q = 0; q < s.matrix; q += WIDTH) {
        const Span span = of.harmonics_of[q / WIDTH];
        // At least once: what depends on no harmonic is set to zero.
        for (int64_t h = span.first; h == span.first || h < span.last; h += AT_ONCE)
            with_count<AT_ONCE>(span.last - h, [&](auto rows) {
                constexpr int N = rows.value;
                Vector C[N + 1];
                UNROLL
                for (int i = 0; i < N; ++i) C[i] = load(s.coupling + (h + i) * s.matrix + q);
                Real* to = M + q;
                for (int64_t n = 0; n < count; ++n, to += s.matrix) {
                    const Real* of_edge = Y + edges[n] * s.harmonics + h;
                    Vector sum = h == span.first ? Vector{} : load(to);
                    UNROLL
                    for (int i = 0; i < N; ++i) sum += of_edge[i] * C[i];
                    store(to, sum);
                }
            });
    }
}

// gY += gM C^T for some edges.
void decouple(const Convolution& s, const Real* gM, const int64_t* edges, int64_t count, Real* gY) {
    for (int64_t h = 0; h < s.harmonics; h += WIDTH)
        with_count<WIDTH>(s.harmonics - h, [&](auto rows) {
            constexpr int N = rows.value;
            const Real* from = gM;
            for (int64_t n = 0; n < count; ++n, from += s.matrix) {
                Vector sums[WIDTH] = {};
                for (int64_t q = 0; q < s.matrix; q += WIDTH) {
                    const Vector gradient = load(from + q);
                    UNROLL
                    for (int i = 0; i < N; ++i) sums[i] += load(s.coupling + (h + i) * s.matrix + q) * gradient;
                }
                Real to[WIDTH];
                store(to, totals(sums));
                Real* of_edge = gY + edges[n] * s.harmonics + h;
                for (int i = 0; i < N; ++i) of_edge[i] += to[i];
            }
        });
}

// to[n] = sum_t factors[t] table[t], or added to what is there, for some edges; with several sets of
// factors a row of the table that was read serves them all. A few vectors of channels are done for all
// the edges before the next, so that their columns of the table stay near.
template <int TERMS, bool ADDS, size_t SETS>
void interpolate(
    const Arrays& of, const Path& p, const int64_t* edges, int64_t count,
    const std::array<const Real*, SETS>& factors, const Real* table,
    const std::array<Real*, SETS>& to) {
    const int64_t channels = p.channels, stride = of.s.table_stride, *rows = of.s.rows;
    over_blocks(channels, [&](int64_t c, auto vectors, auto lanes) {
        constexpr int N = vectors.value;
        const Real* from = table + p.weight + c;
        for (int64_t n = 0; n < count; ++n) {
            const Real* row = from + rows[edges[n]] * stride;
            const int64_t factor = edges[n] * TERMS, at = n * channels + c;
            Vector sum[SETS][N] = {};
            UNROLL
            for (int t = 0; t < TERMS; ++t, row += stride) {
                UNROLL
                for (int i = 0; i < N; ++i) {
                    const Vector value = load(row + i * WIDTH, lanes);
                    UNROLL
                    for (size_t set = 0; set < SETS; ++set)
                        sum[set][i] += factors[set][factor + t] * value;
                }
            }
            UNROLL
            for (size_t set = 0; set < SETS; ++set) {
                UNROLL
                for (int i = 0; i < N; ++i) {
                    Real* here = to[set] + at + i * WIDTH;
                    store(here, ADDS ? sum[set][i] + load(here, lanes) : sum[set][i], lanes);
                }
            }
        }
    });
}

// The gradients gw of the weights taken on to the basis: gB[t] += sum_c table[t] gw
template <int TERMS>
void to_basis(
    const Arrays& of, const Path& p, const int64_t* edges, int64_t count, const Real* table,
    const Real* gw) {
    for (int64_t n = 0; n < count; ++n, gw += p.channels) {
        const int64_t e = edges[n], stride = of.s.table_stride;
        const Real* row = table + of.s.rows[e] * stride + p.weight;
        Vector sums[padded(TERMS)] = {};
        over_vectors(p.channels, [&](int64_t c, auto lanes) {
            const Vector gradient = load(gw + c, lanes);
            UNROLL
            for (int t = 0; t < TERMS; ++t) sums[t] += load(row + t * stride + c, lanes) * gradient;
        });
        Real to[padded(TERMS)];
        store_totals<TERMS>(sums, to);
        for (int t = 0; t < TERMS; ++t) of.gB[e * TERMS + t] += to[t];
    }
}

// The gradients gw of the weights taken on to the table: gT[t] += factors[t] gw, for several of both.
template <int TERMS, size_t SETS>
void to_table(
    const Arrays& of, const Path& p, const int64_t* edges, int64_t count,
    const std::array<const Real*, SETS>& factors, const std::array<const Real*, SETS>& gw) {
    const int64_t channels = p.channels, stride = of.s.table_stride, *rows = of.s.rows;
    over_blocks(channels, [&](int64_t c, auto vectors, auto lanes) {
        constexpr int N = vectors.value;
        Real* to = of.gT + p.weight + c;
        for (int64_t n = 0; n < count; ++n) {
            Real* row = to + rows[edges[n]] * stride;
            const int64_t factor = edges[n] * TERMS, at = n * channels + c;
            Vector gradient[SETS][N];
            UNROLL
            for (size_t set = 0; set < SETS; ++set) {
                UNROLL
                for (int i = 0; i < N; ++i) gradient[set][i] = load(gw[set] + at + i * WIDTH, lanes);
            }
            UNROLL
            for (int t = 0; t < TERMS; ++t, row += stride) {
                UNROLL
                for (int i = 0; i < N; ++i) {
                    Vector sum = load(row + i * WIDTH, lanes);
                    UNROLL
                    for (size_t set = 0; set < SETS; ++set)
                        sum += factors[set][factor + t] * gradient[set][i];
                    store(row + i * WIDTH, sum, lanes);
                }
            }
        }
    });
}

}  // namespace
