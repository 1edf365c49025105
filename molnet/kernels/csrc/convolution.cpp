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
// A sweep goes through a few nodes at a time, path by path, so that what a path needs of features
// and table stays in the nearest cache. Channels c are contiguous: the innermost loops run over them
// in whole vectors, then over what is left. Of the edges only harmonics Y, basis B and indices are
// stored: their matrices M = Y C (C holds the Clebsch-Gordan coefficients) and weights are made anew
// in every sweep, and so are those of the tangents, m = y C, and the gradients, gY = gM C^T.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "threads.h"
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

// Call `body(c, vectors, lanes)` for blocks of a row: 4 vectors, then one, then what is left.
template <class Body>
inline void over_blocks(int64_t length, Body body) {
    int64_t c = 0;
    for (; c + 4 * WIDTH <= length; c += 4 * WIDTH) body(c, Count<4>{}, Whole{});
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

// Each kernel below treats one path at one node, for dimensions I of the input and K of the output.

// out[k] = sum_e sum_i M[k, i] w x[i], over the edges of a receiver.
template <int I, int K>
struct Forward {
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
    static void run(const Arrays& of, const Path& p, int64_t node) {
        const int64_t channels = p.channels, stride = p.out_stride;
        const Real *w = of.w, *x_row = of.x + node * of.s.x + p.x;
        Real *gw = of.gw, *gx_row = of.gx + node * of.s.x + p.x, *sent = of.sent;
        for (int64_t n = of.s.sender_starts[node]; n < of.s.sender_starts[node + 1]; ++n) {
            const int64_t e = of.s.by_sender[n], at_matrix = (n - of.start) * of.s.matrix;
            const Real* M = of.M + at_matrix + p.matrix;
            const Real* g_row = of.g + of.s.receivers[e] * of.s.out + p.out;
            over_vectors(channels, [&](int64_t c, auto lanes) {
                const Vector w_e = load(w + c, lanes);
                Vector g[K], w_sum{};
                UNROLL
                for (int k = 0; k < K; ++k) g[k] = load(g_row + k * stride + c, lanes);
                UNROLL
                for (int i = 0; i < I; ++i) {
                    const int64_t at = i * channels + c;
                    const Vector x = load(x_row + at, lanes);
                    Vector h = M[i] * g[0];
                    UNROLL
                    for (int k = 1; k < K; ++k) h += M[k * I + i] * g[k];
                    w_sum += x * h;
                    store(gx_row + at, load(gx_row + at, lanes) + w_e * h, lanes);
                    store(sent + at, w_e * x, lanes);
                }
                store(gw + c, w_sum, lanes);
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
                    store(sent + at, w_e * a + v_e * x, lanes);
                }
                store(gw + c, w_sum, lanes);
                store(gv + c, v_sum, lanes);
            });
            if (of.gY) matrix_gradient<I, K>(p, g_row, sent, of.gM + at_matrix);
            w += channels, v += channels, gw += channels, gv += channels;
        }
    }
};

// Every kernel of one kind, by l of input and output.
using Kernel = void (*)(const Arrays&, const Path&, int64_t);
template <template <int, int> class Kind, size_t... LL>
constexpr std::array<Kernel, sizeof...(LL)> all_kernels(std::index_sequence<LL...>) {
    return {&Kind<2 * (LL / 5) + 1, 2 * (LL % 5) + 1>::run...};
}

// Run a kernel for every path and every node of `first .. last`, whose edges are
// `order[starts[first]] .. order[starts[last]]`.
template <template <int, int> class Kind, int TERMS>
void sweep(Arrays of, const int64_t* starts, const int64_t* order, int64_t first, int64_t last) {
    constexpr auto kernels = all_kernels<Kind>(std::make_index_sequence<25>());
    constexpr int64_t EDGES_AT_ONCE = 128;
    int64_t most = EDGES_AT_ONCE, widest = 0;
    for (int64_t i = first; i < last; ++i) most = std::max(most, starts[i + 1] - starts[i]);
    for (int64_t i = 0; i < of.s.paths; ++i) widest = std::max(widest, of.s.path[i].channels);
    Numbers room((4 * most + MAX_DIM) * widest + 3 * most * of.s.matrix);
    Real* const w = room.data();
    Real* const v = w + most * widest;
    Real* const gw = v + most * widest;
    Real* const gv = gw + most * widest;
    of.M = gv + most * widest;
    of.m = of.M + most * of.s.matrix;
    of.gM = of.m + most * of.s.matrix;
    of.sent = of.gM + most * of.s.matrix;

    while (first < last) {
        int64_t end = first + 1;
        while (end < last && starts[end + 1] - starts[first] <= most) ++end;
        const int64_t* edges = order + starts[first];
        const int64_t count = starts[end] - starts[first];
        of.start = starts[first];
        couple(of.s, of.Y, edges, count, of.M);
        if (of.y) couple(of.s, of.y, edges, count, of.m);
        for (int64_t i = 0; i < of.s.paths; ++i) {
            const Path& p = of.s.path[i];
            const Kernel kernel = kernels[(p.dim_in / 2) * 5 + p.dim_out / 2];
            of.w = w, of.v = v, of.gw = gw, of.gv = gv;
            interpolate<TERMS, false>(of, p, edges, count, of.B, of.T, w);
            if (of.b) interpolate<TERMS, false>(of, p, edges, count, of.b, of.T, v);
            if (of.u) interpolate<TERMS, true>(of, p, edges, count, of.B, of.u, v);
            for (int64_t node = first; node < end; ++node) {
                kernel(of, p, node);
                const int64_t done = (starts[node + 1] - starts[node]) * p.channels;
                of.w += done, of.v += done, of.gw += done, of.gv += done;
            }
            if (of.gB) to_basis<TERMS>(of, p, edges, count, of.T, gw);
            if (of.gB && of.u) to_basis<TERMS>(of, p, edges, count, of.u, gv);
            if (of.gT) to_table<TERMS>(of, p, edges, count, of.B, gw);
            if (of.gT && of.b) to_table<TERMS>(of, p, edges, count, of.b, gv);
        }
        if (of.gY) decouple(of.s, of.gM, edges, count, of.gY);
        first = end;
    }
}

// The length of a row of whole cache lines.
constexpr int64_t LINE = 64 / sizeof(Real);
int64_t padded_line(int64_t length) { return (length + LINE - 1) / LINE * LINE; }

// Distance of rows in a table whose columns do not fall into a few places of the cache alone: an odd
// number of cache lines.
int64_t spaced(int64_t length) { return (padded_line(length) / LINE | 1) * LINE; }

// Run `body(arrays)` with coupling and tables as the sweeps read them.
template <class Body>
void with_tables(Arrays of, Body body) {
    const Shape& s = of.s;
    const int64_t matrix = padded_line(s.matrix);
    const Numbers coupling(s.harmonics * matrix);
    for (int64_t h = 0; h < s.harmonics; ++h)
        std::copy_n(s.coupling + h * s.matrix, s.matrix, coupling.data() + h * matrix);
    of.s.coupling = coupling.data(), of.s.matrix = matrix;

    of.s.table_stride = s.weight;
    if (s.terms == 1) return body(of);  // a row for each edge: nothing is read twice
    of.s.table_stride = spaced(s.weight);
    const Numbers T(s.table_rows * s.table_stride), u(of.u ? s.table_rows * s.table_stride : 0);
    for (int64_t row = 0; row < s.table_rows; ++row) {
        std::copy_n(of.T + row * s.weight, s.weight, T.data() + row * s.table_stride);
        if (of.u) std::copy_n(of.u + row * s.weight, s.weight, u.data() + row * s.table_stride);
    }
    of.T = T.data(), of.u = of.u ? u.data() : nullptr;
    body(of);
}

template <template <int, int> class Kind>
void sweep_any(const Arrays& of, const int64_t* starts, const int64_t* order, int64_t first, int64_t last) {
    if (of.s.terms == 1)
        sweep<Kind, 1>(of, starts, order, first, last);
    else
        sweep<Kind, 4>(of, starts, order, first, last);
}

// dS/dg or dD/dg.
template <template <int, int> class Kind>
void to_receivers(const Arrays& arrays) {
    with_tables(arrays, [](const Arrays& of) {
        std::vector<int64_t> order(of.s.edges);
        for (int64_t e = 0; e < of.s.edges; ++e) order[e] = e;
        const int64_t* starts = of.s.receiver_starts;
        over_nodes(of.s.nodes, starts, of.s.threads, [&](int64_t, int64_t first, int64_t last) {
            sweep_any<Kind>(of, starts, order.data(), first, last);
        });
    });
}

// dS/d(x, Y, B, T) or dD/d(x, Y, B, T).
template <template <int, int> class Kind>
void to_senders(const Arrays& arrays) {
    with_tables(arrays, [](const Arrays& of) {
        const Shape& s = of.s;
        // Threads that meet in the table add to tables of their own. With one term they do not.
        const int64_t table_size = s.table_rows * s.table_stride;
        const int64_t copies = of.gT && s.terms > 1 ? s.threads : 0;
        Numbers tables(copies * table_size);
        if (of.gT) std::memset(of.gT, 0, s.table_rows * s.weight * sizeof(Real));
        if (of.gB) std::memset(of.gB, 0, s.edges * s.terms * sizeof(Real));
        over_nodes(s.nodes, s.sender_starts, s.threads, [&](int64_t thread, int64_t first, int64_t last) {
            Arrays mine = of;
            if (copies > 0) mine.gT = tables.data() + thread * table_size;
            std::memset(of.gx + first * s.x, 0, (last - first) * s.x * sizeof(Real));
            sweep_any<Kind>(mine, s.sender_starts, s.by_sender, first, last);
        });
        if (copies > 0)
            over_range(s.table_rows, s.threads, [&](int64_t first, int64_t last) {
                for (int64_t row = first; row < last; ++row)
                    for (int64_t copy = 0; copy < copies; ++copy)
                        for (int64_t i = 0; i < s.weight; ++i)
                            of.gT[row * s.weight + i] +=
                                tables.data()[copy * table_size + row * s.table_stride + i];
            });
    });
}

}  // namespace

extern "C" {

void forward(
    const Shape* s, const Real* x, const Real* Y, const Real* B, const Real* T, Real* out) {
    Arrays of{*s};
    of.x = x, of.Y = Y, of.B = B, of.T = T, of.out = out;
    to_receivers<Forward>(of);
}

void double_forward(
    const Shape* s, const Real* x, const Real* Y, const Real* B, const Real* T, const Real* a,
    const Real* y, const Real* b, const Real* u, Real* out) {
    Arrays of{*s};
    of.x = x, of.Y = Y, of.B = B, of.T = T, of.a = a, of.y = y, of.b = b, of.u = u, of.out = out;
    to_receivers<DoubleForward>(of);
}

void backward(
    const Shape* s, const Real* g, const Real* x, const Real* Y, const Real* B, const Real* T,
    Real* gx, Real* gY, Real* gB, Real* gT) {
    Arrays of{*s};
    of.g = g, of.x = x, of.Y = Y, of.B = B, of.T = T;
    of.gx = gx, of.gY = gY, of.gB = gB, of.gT = gT;
    to_senders<Backward>(of);
}

void double_backward(
    const Shape* s, const Real* g, const Real* x, const Real* Y, const Real* B, const Real* T,
    const Real* a, const Real* y, const Real* b, const Real* u, Real* gx, Real* gY, Real* gB,
    Real* gT) {
    Arrays of{*s};
    of.g = g, of.x = x, of.Y = Y, of.B = B, of.T = T, of.a = a, of.y = y, of.b = b, of.u = u;
    of.gx = gx, of.gY = gY, of.gB = gB, of.gT = gT;
    to_senders<DoubleBackward>(of);
}

}  // extern "C"
