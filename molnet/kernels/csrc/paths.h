// What the convolution does with one path at one node: see sweep.h for the formulas.

#pragma once

#include "arrays.h"

namespace {

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
