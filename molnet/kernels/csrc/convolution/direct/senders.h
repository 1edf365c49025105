// Direct paths at their senders: see backward.cpp and double_backward.cpp for what is computed.

#pragma once

#include "convolution/direct/edge.h"

namespace {

// Adds the derivatives of w g·f over the edges of a sender.
// VECTORS, TABLE: whether those by Y and B, and by T are asked for.
template <bool MOVES, bool VECTORS, bool TABLE, class Form, int CHANNELS>
void send(const Arrays& of, const Path& path, int64_t node) {
    using Edge = OnEdge<MOVES, Form, CHANNELS>;
    constexpr int I = Edge::IN, J = Edge::HARMONICS, K = Edge::OUT;
    const int64_t channels = Edge::channels(path), stride = path.out_stride, sender = node * of.s.x;
    Real* const gx_row = of.gx + sender + path.x;
    for (int64_t n = of.s.sender_starts[node]; n < of.s.sender_starts[node + 1]; ++n) {
        const int64_t e = of.s.by_sender[n];
        const Edge edge(of, path, e);
        const Real* const g_row = of.g + of.s.receivers[e] * of.s.out + path.out;
        Vector sums[padded(J + SPLINE_TERMS)] = {};  // derivatives by Y and B
        Edge::over_channels(path, [&](int64_t c) {
            Components<Vector, K> g;
            UNROLL
            for (int k = 0; k < K; ++k) g[k] = load(g_row + k * stride + c);
            Vector gx[I];
            UNROLL
            for (int i = 0; i < I; ++i) gx[i] = load(gx_row + i * channels + c);
            const auto gw = Form::template differentiate<VECTORS>(
                edge.weights(c), edge.features(sender, c), edge.Y, g, gx, sums);
            UNROLL
            for (int i = 0; i < I; ++i) store(gx_row + i * channels + c, gx[i]);
            UNROLL
            for (int t = 0; t < SPLINE_TERMS; ++t) {
                const Real* const T = edge.T + t * of.s.table_stride + c;
                if constexpr (VECTORS) add(sums[J + t], gw, load(T));
                if constexpr (TABLE) {
                    Real* const to = of.gT + (T - of.T);
                    Vector gT = load(to);
                    add(gT, edge.B[t], gw);
                    store(to, gT);
                }
            }
        });
        if constexpr (VECTORS) {
            Real to[padded(J + SPLINE_TERMS)];
            store_totals<J + SPLINE_TERMS>(sums, to);
            Real* const gY = of.gY + e * of.s.harmonics + path.harmonic;
            for (int j = 0; j < J; ++j) gY[j] += to[j];
            for (int t = 0; t < SPLINE_TERMS; ++t) of.gB[e * SPLINE_TERMS + t] += Form::FACTOR * to[J + t];
        }
    }
}

template <bool MOVES, bool VECTORS, bool TABLE>
DirectKernel sending(const Path& p) {
    const auto kernel = [](auto form, auto channels) -> DirectKernel {
        return send<MOVES, VECTORS, TABLE, decltype(form), channels.value>;
    };
    return direct_kernel(p, kernel, Forms{});
}

}  // namespace
