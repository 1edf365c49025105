// The convolution and its change along tangents: the sweeps in order of receivers. See sweep.h.

#include <numeric>

#include "convolution/coupled/sweep.h"

namespace {

// out[k] = sum_e sum_i M[k, i] w x[i], over the edges of a receiver.
struct Forward {
    static constexpr bool HAS_TANGENTS = false;
    static constexpr auto direct = direct_forward;

    template <int I, int K>
    static void path(const Arrays& of, const Path& p, int64_t node) {
        const Real* const matrices = of.M + (of.s.receiver_starts[node] - of.start) * of.s.matrix + p.matrix;
        // As many vectors at once as leave registers free: each number of M then serves them all.
        over_blocks<(2 * K + 5 < REGISTERS ? 2 : 1)>(p.channels, [&](int64_t c, auto vectors, auto lanes) {
            constexpr int N = vectors.value;
            const Real *M = matrices, *w = of.w + c;
            Vector sum[K][N] = {};
            over_senders(of, p, node, [&](int64_t x_row) {
                const Real* x = of.x + x_row + c;
                UNROLL
                for (int i = 0; i < I; ++i, x += p.channels) {
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
                M += of.s.matrix, w += p.channels;
            });
            store_sums<K, N>(of, p, node, c, sum, lanes);
        });
    }

    // M[k, i] is a number where k = i, and zero elsewhere.
    template <int K>
    static void isotropic_path(const Arrays& of, const Path& p, int64_t node) {
        const Real* const numbers = of.M + (of.s.receiver_starts[node] - of.start) * of.s.matrix + p.matrix;
        over_blocks<(2 * K + 3 < REGISTERS ? 2 : 1)>(p.channels, [&](int64_t c, auto vectors, auto lanes) {
            constexpr int N = vectors.value;
            const Real *M = numbers, *w = of.w + c;
            Vector sum[K][N] = {};
            over_senders(of, p, node, [&](int64_t x_row) {
                const Real* x = of.x + x_row + c;
                Vector factor[N];
                UNROLL
                for (int n = 0; n < N; ++n) factor[n] = *M * load(w + n * WIDTH, lanes);
                UNROLL
                for (int k = 0; k < K; ++k, x += p.channels) {
                    UNROLL
                    for (int n = 0; n < N; ++n) sum[k][n] += factor[n] * load(x + n * WIDTH, lanes);
                }
                M += of.s.matrix, w += p.channels;
            });
            store_sums<K, N>(of, p, node, c, sum, lanes);
        });
    }

    // Call `body(place of the path's input in the sender's row)` for every edge of a receiver.
    template <class Body>
    static void over_senders(const Arrays& of, const Path& p, int64_t node, Body body) {
        const int64_t last = of.s.receiver_starts[node + 1];
        for (int64_t e = of.s.receiver_starts[node]; e < last; ++e) body(of.s.senders[e] * of.s.x + p.x);
    }

    template <int K, int N, class Lanes>
    static void store_sums(
        const Arrays& of, const Path& p, int64_t node, int64_t c, const Vector (&sum)[K][N], Lanes lanes) {
        Real* out = of.out + node * of.s.out + p.out + c;
        UNROLL
        for (int k = 0; k < K; ++k) {
            UNROLL
            for (int n = 0; n < N; ++n) store(out + k * p.out_stride + n * WIDTH, sum[k][n], lanes);
        }
    }
};

// out[k] = sum_e sum_i M[k, i] (w a[i] + v x[i]) + m[k, i] w x[i], over the edges of a receiver.
struct DoubleForward {
    static constexpr bool HAS_TANGENTS = true;
    static constexpr auto direct = direct_double_forward;

    template <int I, int K>
    static void path(const Arrays& of, const Path& p, int64_t node) {
        over_channels<K>(of, p, node, [&](const Real* M, const Real* m, Vector w, Vector v, const Real* x,
                                          const Real* a, Vector* sum, auto lanes) {
            UNROLL
            for (int i = 0; i < I; ++i, x += p.channels, a += p.channels) {
                const Vector x_i = load(x, lanes);
                const Vector sent = w * x_i, moved = w * load(a, lanes) + v * x_i;
                UNROLL
                for (int k = 0; k < K; ++k) {
                    sum[k] += M[k * I + i] * moved;
                    sum[k] += m[k * I + i] * sent;
                }
            }
        });
    }

    template <int K>
    static void isotropic_path(const Arrays& of, const Path& p, int64_t node) {
        over_channels<K>(of, p, node, [&](const Real* M, const Real* m, Vector w, Vector v, const Real* x,
                                          const Real* a, Vector* sum, auto lanes) {
            const Vector of_a = *M * w, of_x = *M * v + *m * w;
            UNROLL
            for (int k = 0; k < K; ++k, x += p.channels, a += p.channels) {
                sum[k] += of_a * load(a, lanes);
                sum[k] += of_x * load(x, lanes);
            }
        });
    }

    // Call `body` for every edge of a receiver, which adds to its sums; for all channels.
    template <int K, class Body>
    static void over_channels(const Arrays& of, const Path& p, int64_t node, Body body) {
        const int64_t first = of.s.receiver_starts[node], last = of.s.receiver_starts[node + 1];
        over_vectors(p.channels, [&](int64_t c, auto lanes) {
            const Real *M = of.M + (first - of.start) * of.s.matrix + p.matrix, *m = of.m + (M - of.M);
            const Real *w = of.w + c, *v = of.v + c;
            Vector sum[K] = {};
            for (int64_t e = first; e < last; ++e) {
                const int64_t row = of.s.senders[e] * of.s.x + p.x + c;
                body(M, m, load(w, lanes), load(v, lanes), of.x + row, of.a + row, sum, lanes);
                M += of.s.matrix, m += of.s.matrix, w += p.channels, v += p.channels;
            }
            Real* out = of.out + node * of.s.out + p.out + c;
            UNROLL
            for (int k = 0; k < K; ++k) store(out + k * p.out_stride, sum[k], lanes);
        });
    }
};

// dS/dg or dD/dg.
template <class Kind>
void to_receivers(const Arrays& arrays) {
    with_tables<Kind>(arrays, [](Arrays of) {
        std::vector<DirectPath> directs;
        std::vector<Bundle> bundles;
        if constexpr (!Kind::HAS_TANGENTS) {
            directs.assign(of.direct, of.direct + of.directs);
            bundles = take_bundles(directs);
            of.direct = directs.data(), of.directs = directs.size();
            of.bundle = bundles.data(), of.bundles = bundles.size();
        }
        std::vector<int64_t> order(of.s.paths > 0 ? of.s.edges : 0);  // direct paths need none
        std::iota(order.begin(), order.end(), 0);
        const int64_t* starts = of.s.receiver_starts;
        over_nodes(of.s.nodes, starts, of.s.threads, [&](int64_t, int64_t first, int64_t last) {
            sweep_any<Kind>(of, starts, order.data(), first, last);
        });
    });
}

}  // namespace

extern "C" {

void convolution_forward(
    const Convolution* s, const Real* x, const Real* Y, const Real* B, const Real* T, Real* out) {
    Arrays of{*s};
    of.x = x, of.Y = Y, of.B = B, of.T = T, of.out = out;
    to_receivers<Forward>(of);
}

void convolution_double_forward(
    const Convolution* s, const Real* x, const Real* Y, const Real* B, const Real* T, const Real* a,
    const Real* y, const Real* b, const Real* u, Real* out) {
    Arrays of{*s};
    of.x = x, of.Y = Y, of.B = B, of.T = T, of.a = a, of.y = y, of.b = b, of.u = u, of.out = out;
    to_receivers<DoubleForward>(of);
}

}  // extern "C"
