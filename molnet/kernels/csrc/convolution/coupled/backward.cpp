// The gradients of the convolution. See sweep.h.

#include "convolution/coupled/senders.h"

namespace {

// With h[i] = sum_k M[k, i] g[k], over the edges of a sender:
// gx[i] += w h[i],  gM[k, i] = sum_c g[k] w x[i],  gw = sum_i x[i] h[i]
struct Backward {
    static constexpr bool HAS_TANGENTS = false;
    static constexpr auto direct = direct_backward;

    template <int I, int K>
    static void path(const Arrays& of, const Path& p, int64_t node) {
        const int64_t channels = p.channels, stride = p.out_stride;
        const Real* x_row = of.x + node * of.s.x + p.x;
        Real* gx_row = of.gx + node * of.s.x + p.x;
        over_receivers(of, p, node, [&](const OfEdge& edge) {
            const Real *M = edge.M, *g_row = edge.g;
            // Two vectors at once, if they fit in registers: each number of M then serves both.
            over_blocks<(2 * K + 6 <= REGISTERS ? 2 : 1)>(channels, [&](int64_t c, auto vectors, auto lanes) {
                constexpr int N = vectors.value;
                Vector g[K][N], w[N], w_sum[N] = {};
                UNROLL
                for (int n = 0; n < N; ++n) w[n] = load(edge.w + c + n * WIDTH, lanes);
                UNROLL
                for (int k = 0; k < K; ++k) {
                    UNROLL
                    for (int n = 0; n < N; ++n) g[k][n] = load(g_row + k * stride + c + n * WIDTH, lanes);
                }
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
                        store(gx_row + at, load(gx_row + at, lanes) + w[n] * h[n], lanes);
                        if (of.gY) store(of.sent + at, w[n] * x, lanes);
                    }
                }
                UNROLL
                for (int n = 0; n < N; ++n) store(edge.gw + c + n * WIDTH, w_sum[n], lanes);
            });
            if (of.gY) matrix_gradient<I, K>(p, g_row, of.sent, edge.gM);
        });
    }

    // M[k, i] is a number where k = i, and zero elsewhere: with d = sum_i x[i] g[i],
    // gx[i] += M w g[i],  gM = sum_c w d,  gw = M d
    template <int I>
    static void isotropic_path(const Arrays& of, const Path& p, int64_t node) {
        const int64_t channels = p.channels, stride = p.out_stride;
        const Real* x_row = of.x + node * of.s.x + p.x;
        Real* gx_row = of.gx + node * of.s.x + p.x;
        over_receivers(of, p, node, [&](const OfEdge& edge) {
            Vector total{};
            over_blocks<2>(channels, [&](int64_t c, auto vectors, auto lanes) {
                constexpr int N = vectors.value;
                Vector w[N], factor[N], d[N] = {};
                UNROLL
                for (int n = 0; n < N; ++n) {
                    w[n] = load(edge.w + c + n * WIDTH, lanes);
                    factor[n] = *edge.M * w[n];
                }
                UNROLL
                for (int i = 0; i < I; ++i) {
                    UNROLL
                    for (int n = 0; n < N; ++n) {
                        const int64_t at = i * channels + c + n * WIDTH;
                        const Vector g = load(edge.g + i * stride + c + n * WIDTH, lanes);
                        d[n] += load(x_row + at, lanes) * g;
                        store(gx_row + at, load(gx_row + at, lanes) + factor[n] * g, lanes);
                    }
                }
                UNROLL
                for (int n = 0; n < N; ++n) {
                    total += w[n] * d[n];
                    store(edge.gw + c + n * WIDTH, *edge.M * d[n], lanes);
                }
            });
            if (of.gY) *edge.gM = sum_of(total);
        });
    }
};

}  // namespace

extern "C" {

void convolution_backward(
    const Convolution* s, const Real* g, const Real* x, const Real* Y, const Real* B, const Real* T,
    Real* gx, Real* gY, Real* gB, Real* gT) {
    Arrays of{*s};
    of.g = g, of.x = x, of.Y = Y, of.B = B, of.T = T;
    of.gx = gx, of.gY = gY, of.gB = gB, of.gT = gT;
    to_senders<Backward>(of);
}

}  // extern "C"
