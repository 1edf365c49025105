// What the convolution does with one path at one node: see sweep.h for the formulas.

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

// M = Y C for some edges.
void couple(const Shape& s, const Real* Y, const int64_t* edges, int64_t count, Real* M) {
    for (int64_t n = 0; n < count; ++n, M += s.matrix) {
        const Real* of_edge = Y + edges[n] * s.harmonics;
        over_blocks(s.matrix, [&](int64_t q, auto vectors, auto lanes) {
            constexpr int N = vectors.value;
            Vector sum[N] = {};
            const Real* C = s.coupling + q;
            for (int64_t h = 0; h < s.harmonics; ++h, C += s.matrix) {
                UNROLL
                for (int i = 0; i < N; ++i) sum[i] += of_edge[h] * load(C + i * WIDTH, lanes);
            }
            UNROLL
            for (int i = 0; i < N; ++i) store(M + q + i * WIDTH, sum[i], lanes);
        });
    }
}

// gY = gM C^T for some edges.
void decouple(const Shape& s, const Real* gM, const int64_t* edges, int64_t count, Real* gY) {
    for (int64_t n = 0; n < count; ++n, gM += s.matrix)
        for (int64_t h = 0; h < s.harmonics; h += WIDTH) {
            const int64_t fitting = std::min<int64_t>(WIDTH, s.harmonics - h);
            Vector sums[WIDTH] = {};
            for (int64_t i = 0; i < fitting; ++i) {
                const Real* C = s.coupling + (h + i) * s.matrix;
                Vector sum{};
                for (int64_t q = 0; q < s.matrix; q += WIDTH) sum += load(C + q) * load(gM + q);
                sums[i] = sum;
            }
            Real to[WIDTH];
            store(to, totals(sums));
            std::copy_n(to, fitting, gY + edges[n] * s.harmonics + h);
        }
}

// to[n] = sum_t factors[t] table[t], or added to what is there, for some edges. A few vectors of
// channels are done for all the edges before the next, so that their columns of the table stay near.
template <int TERMS, bool ADDS>
void interpolate(
    const Arrays& of, const Path& p, const int64_t* edges, int64_t count, const Real* factors,
    const Real* table, Real* to) {
    const int64_t channels = p.channels, stride = of.s.table_stride, *rows = of.s.rows;
    over_blocks(channels, [&](int64_t c, auto vectors, auto lanes) {
        constexpr int N = vectors.value;
        const Real* from = table + p.weight + c;
        for (int64_t n = 0; n < count; ++n) {
            const Real* row = from + rows[edges[n]] * stride;
            const Real* factor = factors + edges[n] * TERMS;
            Vector sum[N] = {};
            UNROLL
            for (int t = 0; t < TERMS; ++t, row += stride) {
                UNROLL
                for (int i = 0; i < N; ++i) sum[i] += factor[t] * load(row + i * WIDTH, lanes);
            }
            Real* at = to + n * channels + c;
            UNROLL
            for (int i = 0; i < N; ++i) {
                if (ADDS) sum[i] += load(at + i * WIDTH, lanes);
                store(at + i * WIDTH, sum[i], lanes);
            }
        }
    });
}

// The same of one table with two sets of factors: a row that was read serves both.
template <int TERMS>
void interpolate_twice(
    const Arrays& of, const Path& p, const int64_t* edges, int64_t count, const Real* first,
    const Real* second, const Real* table, Real* to_first, Real* to_second) {
    const int64_t channels = p.channels, stride = of.s.table_stride, *rows = of.s.rows;
    over_blocks(channels, [&](int64_t c, auto vectors, auto lanes) {
        constexpr int N = vectors.value;
        const Real* from = table + p.weight + c;
        for (int64_t n = 0; n < count; ++n) {
            const Real* row = from + rows[edges[n]] * stride;
            const int64_t factor = edges[n] * TERMS, at = n * channels + c;
            Vector a[N] = {}, b[N] = {};
            UNROLL
            for (int t = 0; t < TERMS; ++t, row += stride) {
                UNROLL
                for (int i = 0; i < N; ++i) {
                    const Vector value = load(row + i * WIDTH, lanes);
                    a[i] += first[factor + t] * value;
                    b[i] += second[factor + t] * value;
                }
            }
            UNROLL
            for (int i = 0; i < N; ++i) {
                store(to_first + at + i * WIDTH, a[i], lanes);
                store(to_second + at + i * WIDTH, b[i], lanes);
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

// The gradients gw of the weights taken on to the table: gT[t] += factors[t] gw
template <int TERMS>
void to_table(
    const Arrays& of, const Path& p, const int64_t* edges, int64_t count, const Real* factors,
    const Real* gw) {
    const int64_t channels = p.channels, stride = of.s.table_stride, *rows = of.s.rows;
    over_blocks(channels, [&](int64_t c, auto vectors, auto lanes) {
        constexpr int N = vectors.value;
        Real* to = of.gT + p.weight + c;
        for (int64_t n = 0; n < count; ++n) {
            Real* row = to + rows[edges[n]] * stride;
            const Real* factor = factors + edges[n] * TERMS;
            Vector gradient[N];
            UNROLL
            for (int i = 0; i < N; ++i) gradient[i] = load(gw + n * channels + c + i * WIDTH, lanes);
            UNROLL
            for (int t = 0; t < TERMS; ++t, row += stride) {
                UNROLL
                for (int i = 0; i < N; ++i)
                    store(row + i * WIDTH, load(row + i * WIDTH, lanes) + factor[t] * gradient[i], lanes);
            }
        }
    });
}

// The same of two gradients, each with factors of its own, into one table.
template <int TERMS>
void to_table_twice(
    const Arrays& of, const Path& p, const int64_t* edges, int64_t count, const Real* first,
    const Real* of_first, const Real* second, const Real* of_second) {
    const int64_t channels = p.channels, stride = of.s.table_stride, *rows = of.s.rows;
    over_blocks(channels, [&](int64_t c, auto vectors, auto lanes) {
        constexpr int N = vectors.value;
        Real* to = of.gT + p.weight + c;
        for (int64_t n = 0; n < count; ++n) {
            Real* row = to + rows[edges[n]] * stride;
            const int64_t factor = edges[n] * TERMS, at = n * channels + c;
            Vector a[N], b[N];
            UNROLL
            for (int i = 0; i < N; ++i) {
                a[i] = load(of_first + at + i * WIDTH, lanes);
                b[i] = load(of_second + at + i * WIDTH, lanes);
            }
            UNROLL
            for (int t = 0; t < TERMS; ++t, row += stride) {
                UNROLL
                for (int i = 0; i < N; ++i) {
                    Vector sum = load(row + i * WIDTH, lanes) + first[factor + t] * a[i];
                    sum += second[factor + t] * b[i];
                    store(row + i * WIDTH, sum, lanes);
                }
            }
        }
    });
}

// Each kernel below treats one path at one node, for dimensions I of the input and K of the output.

// out[k] = sum_e sum_i M[k, i] w x[i], over the edges of a receiver.
template <int I, int K>
struct Forward {
    static constexpr bool HAS_TANGENTS = false;

    template <int N, class Lanes>
    static void block(const Arrays& of, const Path& p, int64_t node, int64_t c, Lanes lanes) {
        const int64_t first = of.s.receiver_starts[node], last = of.s.receiver_starts[node + 1];
        const int64_t channels = p.channels, stride_M = of.s.matrix, stride_x = of.s.x;
        const Real *M = of.M + (first - of.start) * stride_M + p.matrix, *from = of.x + p.x + c, *w = of.w + c;
        Vector sum[K][N] = {};
        for (int64_t e = first; e < last; ++e, M += stride_M, w += channels) {
            const Real* x = from + of.s.senders[e] * stride_x;
            UNROLL
            for (int i = 0; i < I; ++i, x += channels) {
                Vector sent[N];
                UNROLL
                for (int n = 0; n < N; ++n)
                    sent[n] = load(w + n * WIDTH, lanes) * load(x + n * WIDTH, lanes);
                UNROLL
                for (int k = 0; k < K; ++k) {
                    UNROLL
                    for (int n = 0; n < N; ++n) sum[k][n] += M[k * I + i] * sent[n];
                }
            }
        }
        Real* out = of.out + node * of.s.out + p.out + c;
        UNROLL
        for (int k = 0; k < K; ++k) {
            UNROLL
            for (int n = 0; n < N; ++n) store(out + k * p.out_stride + n * WIDTH, sum[k][n], lanes);
        }
    }

    static void run(const Arrays& of, const Path& p, int64_t node) {
        // As many vectors at once as leave registers free: each number of M then serves them all.
        constexpr int N = 2 * K + 5 < REGISTERS ? 2 : 1;
        int64_t c = 0;
        for (; c + N * WIDTH <= p.channels; c += N * WIDTH) block<N>(of, p, node, c, Whole{});
        for (; c + WIDTH <= p.channels; c += WIDTH) block<1>(of, p, node, c, Whole{});
        if (c < p.channels) block<1>(of, p, node, c, Part{p.channels - c});
    }
};

// out[k] = sum_e sum_i M[k, i] (w a[i] + v x[i]) + m[k, i] w x[i], over the edges of a receiver.
template <int I, int K>
struct DoubleForward {
    static constexpr bool HAS_TANGENTS = true;

    static void run(const Arrays& of, const Path& p, int64_t node) {
        const int64_t first = of.s.receiver_starts[node], last = of.s.receiver_starts[node + 1];
        const int64_t channels = p.channels, stride_M = of.s.matrix, stride_x = of.s.x;
        over_vectors(channels, [&](int64_t c, auto lanes) {
            const Real *M = of.M + (first - of.start) * stride_M + p.matrix, *m = of.m + (M - of.M);
            const Real *w = of.w + c, *v = of.v + c;
            Vector sum[K] = {};
            for (int64_t e = first; e < last; ++e) {
                const Real* x = of.x + p.x + c + of.s.senders[e] * stride_x;
                const Real* a = of.a + (x - of.x);
                const Vector w_e = load(w, lanes), v_e = load(v, lanes);
                UNROLL
                for (int i = 0; i < I; ++i, x += channels, a += channels) {
                    const Vector x_i = load(x, lanes);
                    const Vector sent = w_e * x_i, moved = w_e * load(a, lanes) + v_e * x_i;
                    UNROLL
                    for (int k = 0; k < K; ++k) {
                        sum[k] += M[k * I + i] * moved;
                        sum[k] += m[k * I + i] * sent;
                    }
                }
                M += stride_M, m += stride_M, w += channels, v += channels;
            }
            Real* out = of.out + node * of.s.out + p.out + c;
            UNROLL
            for (int k = 0; k < K; ++k) store(out + k * p.out_stride, sum[k], lanes);
        });
    }
};

// gM[k, i] = sum_c g[k] sent[i], for k from FIRST on: a few rows at a time, in registers.
template <int I, int K, int FIRST = 0>
inline void matrix_sums(const Path& p, const Real* g, const Real* sent, Vector* sums) {
    constexpr int ROWS = std::min(K - FIRST, std::max(1, (REGISTERS - 4) / I));
    const int64_t channels = p.channels, stride = p.out_stride;
    Vector sum[ROWS][I] = {};
    over_vectors(channels, [&](int64_t c, auto lanes) {
        Vector row[ROWS];
        UNROLL
        for (int k = 0; k < ROWS; ++k) row[k] = load(g + (FIRST + k) * stride + c, lanes);
        UNROLL
        for (int i = 0; i < I; ++i) {
            const Vector column = load(sent + i * channels + c, lanes);
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
    std::memcpy(gM + p.matrix, to, I * K * sizeof(Real));
}

// With h[i] = sum_k M[k, i] g[k], over the edges of a sender:
// gx[i] += w h[i],  gM[k, i] = sum_c g[k] w x[i],  gw = sum_i x[i] h[i]
template <int I, int K>
struct Backward {
    static constexpr bool HAS_TANGENTS = false;

    static void run(const Arrays& of, const Path& p, int64_t node) {
        const int64_t channels = p.channels, stride = p.out_stride;
        const Real *w = of.w, *x_row = of.x + node * of.s.x + p.x;
        Real *gw = of.gw, *gx_row = of.gx + node * of.s.x + p.x, *sent = of.sent;
        for (int64_t n = of.s.sender_starts[node]; n < of.s.sender_starts[node + 1]; ++n) {
            const int64_t e = of.s.by_sender[n], at_matrix = (n - of.start) * of.s.matrix;
            const Real* M = of.M + at_matrix + p.matrix;
            const Real* g_row = of.g + of.s.receivers[e] * of.s.out + p.out;
            // Two vectors at once, if they fit in registers: each number of M then serves both.
            over_blocks<(2 * K + 6 <= REGISTERS ? 2 : 1)>(channels, [&](int64_t c, auto vectors, auto lanes) {
                constexpr int N = vectors.value;
                Vector g[K][N], w_e[N], w_sum[N] = {};
                UNROLL
                for (int n = 0; n < N; ++n) w_e[n] = load(w + c + n * WIDTH, lanes);
                UNROLL
                for (int k = 0; k < K; ++k) {
                    UNROLL
                    for (int n = 0; n < N; ++n) g[k][n] = load(g_row + k * stride + c + n * WIDTH, lanes);
                }
                UNROLL
                for (int i = 0; i < I; ++i) {
                    Vector h[N] = {};
                    UNROLL
                    for (int k = 0; k < K; ++k) {
                        UNROLL
                        for (int n = 0; n < N; ++n) h[n] += M[k * I + i] * g[k][n];
                    }
                    UNROLL
                    for (int n = 0; n < N; ++n) {
                        const int64_t at = i * channels + c + n * WIDTH;
                        const Vector x = load(x_row + at, lanes);
                        w_sum[n] += x * h[n];
                        store(gx_row + at, load(gx_row + at, lanes) + w_e[n] * h[n], lanes);
                        if (of.gY) store(sent + at, w_e[n] * x, lanes);
                    }
                }
                UNROLL
                for (int n = 0; n < N; ++n) store(gw + c + n * WIDTH, w_sum[n], lanes);
            });
            if (of.gY) matrix_gradient<I, K>(p, g_row, sent, of.gM + at_matrix);
            w += channels, gw += channels;
        }
    }
};

// With h[i] as above and n[i] = sum_k m[k, i] g[k], over the edges of a sender:
// gx[i] += w n[i] + v h[i],  gM[k, i] = sum_c g[k] (w a[i] + v x[i]),
// gw = sum_i a[i] h[i] + x[i] n[i],  gv = sum_i x[i] h[i]
template <int I, int K>
struct DoubleBackward {
    static constexpr bool HAS_TANGENTS = true;

    static void run(const Arrays& of, const Path& p, int64_t node) {
        const int64_t channels = p.channels, stride = p.out_stride;
        const Real *x_row = of.x + node * of.s.x + p.x, *a_row = of.a + node * of.s.x + p.x;
        const Real *w = of.w, *v = of.v;
        Real *gw = of.gw, *gv = of.gv, *gx_row = of.gx + node * of.s.x + p.x, *sent = of.sent;
        for (int64_t j = of.s.sender_starts[node]; j < of.s.sender_starts[node + 1]; ++j) {
            const int64_t e = of.s.by_sender[j], at_matrix = (j - of.start) * of.s.matrix;
            const Real *M = of.M + at_matrix + p.matrix, *m = of.m + at_matrix + p.matrix;
            const Real* g_row = of.g + of.s.receivers[e] * of.s.out + p.out;
            over_vectors(channels, [&](int64_t c, auto lanes) {
                const Vector w_e = load(w + c, lanes), v_e = load(v + c, lanes);
                Vector g[K], w_sum{}, v_sum{};
                UNROLL
                for (int k = 0; k < K; ++k) g[k] = load(g_row + k * stride + c, lanes);
                UNROLL
                for (int i = 0; i < I; ++i) {
                    const int64_t at = i * channels + c;
                    const Vector x = load(x_row + at, lanes), a = load(a_row + at, lanes);
                    Vector h = M[i] * g[0], n = m[i] * g[0];
                    UNROLL
                    for (int k = 1; k < K; ++k) {
                        h += M[k * I + i] * g[k];
                        n += m[k * I + i] * g[k];
                    }
                    w_sum += a * h;
                    w_sum += x * n;
                    v_sum += x * h;
                    store(gx_row + at, load(gx_row + at, lanes) + w_e * n + v_e * h, lanes);
                    if (of.gY) store(sent + at, w_e * a + v_e * x, lanes);
                }
                store(gw + c, w_sum, lanes);
                store(gv + c, v_sum, lanes);
            });
            if (of.gY) matrix_gradient<I, K>(p, g_row, sent, of.gM + at_matrix);
            w += channels, v += channels, gw += channels, gv += channels;
        }
    }
};

}  // namespace
