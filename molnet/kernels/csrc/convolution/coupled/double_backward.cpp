// The gradients of the change of the convolution along tangents. See sweep.h.

#include "convolution/coupled/senders.h"

namespace {

// With h[i] = sum_k M[k, i] g[k] and n[i] = sum_k m[k, i] g[k], over the edges of a sender:
// gx[i] += w n[i] + v h[i],  gM[k, i] = sum_c g[k] (w a[i] + v x[i]),
// gw = sum_i a[i] h[i] + x[i] n[i],  gv = sum_i x[i] h[i]
struct DoubleBackward {
    static constexpr bool HAS_TANGENTS = true;
    static constexpr auto direct = direct_double_backward;

    template <int I, int K>
    static void path(const Arrays& of, const Path& p, int64_t node) {
        const int64_t channels = p.channels, stride = p.out_stride;
        const Real *x_row = of.x + node * of.s.x + p.x, *a_row = of.a + (x_row - of.x);
        Real* gx_row = of.gx + (x_row - of.x);
        over_receivers(of, p, node, [&](const OfEdge& edge) {
            const Real *M = edge.M, *m = edge.m;
            over_vectors(channels, [&](int64_t c, auto lanes) {
                const Vector w = load(edge.w + c, lanes), v = load(edge.v + c, lanes);
                Vector g[K], w_sum{}, v_sum{};
                UNROLL
                for (int k = 0; k < K; ++k) g[k] = load(edge.g + k * stride + c, lanes);
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
                    store(gx_row + at, load(gx_row + at, lanes) + w * n + v * h, lanes);
                    if (of.gY) store(of.sent + at, w * a + v * x, lanes);
                }
                store(edge.gw + c, w_sum, lanes);
                store(edge.gv + c, v_sum, lanes);
            });
            if (of.gY) matrix_gradient<I, K>(p, edge.g, of.sent, edge.gM);
        });
    }

    // M[k, i] and m[k, i] are numbers where k = i, and zero elsewhere: with d = sum_i x[i] g[i] and
    // t = sum_i a[i] g[i],
    // gx[i] += (w m + v M) g[i],  gM = sum_c w t + v d,  gw = M t + m d,  gv = M d
    template <int I>
    static void isotropic_path(const Arrays& of, const Path& p, int64_t node) {
        const int64_t channels = p.channels, stride = p.out_stride;
        const Real *x_row = of.x + node * of.s.x + p.x, *a_row = of.a + (x_row - of.x);
        Real* gx_row = of.gx + (x_row - of.x);
        over_receivers(of, p, node, [&](const OfEdge& edge) {
            const Real M = *edge.M, m = *edge.m;
            Vector total{};
            over_vectors(channels, [&](int64_t c, auto lanes) {
                const Vector w = load(edge.w + c, lanes), v = load(edge.v + c, lanes);
                const Vector factor = m * w + M * v;
                Vector d{}, t{};
                UNROLL
                for (int i = 0; i < I; ++i) {
                    const int64_t at = i * channels + c;
                    const Vector g = load(edge.g + i * stride + c, lanes);
                    d += load(x_row + at, lanes) * g;
                    t += load(a_row + at, lanes) * g;
                    store(gx_row + at, load(gx_row + at, lanes) + factor * g, lanes);
                }
                total += w * t;
                total += v * d;
                store(edge.gw + c, M * t + m * d, lanes);
                store(edge.gv + c, M * d, lanes);
            });
            if (of.gY) *edge.gM = sum_of(total);
        });
    }
};

}  // namespace

extern "C" {

void convolution_double_backward(
    const Convolution* s, const Real* g, const Real* x, const Real* Y, const Real* B, const Real* T,
    const Real* a, const Real* y, const Real* b, const Real* u, Real* gx, Real* gY, Real* gB,
    Real* gT) {
    Arrays of{*s};
    of.g = g, of.x = x, of.Y = Y, of.B = B, of.T = T, of.a = a, of.y = y, of.b = b, of.u = u;
    of.gx = gx, of.gY = gY, of.gB = gB, of.gT = gT;
    to_senders<DoubleBackward>(of);
}

}  // extern "C"
