// Direct paths at their receivers: see convolution/receivers.cpp for what is computed.

#include "convolution/direct/edge.h"

namespace {

// Adds the messages of the next N edges to the row of their receiver, which is read and written once for all.
template <int N, class Edge, class Form>
INLINE void receive_some(const Arrays& of, const Path& path, int64_t first, Real* out) {
    constexpr int K = Edge::OUT;
    const int64_t stride = path.out_stride;
    const auto edges = Edge::template some<N>(of, path, first);
    int64_t senders[N];
    UNROLL
    for (int n = 0; n < N; ++n) senders[n] = of.s.senders[first + n] * of.s.x;
    Edge::over_channels(path, [&](int64_t c) {
        Vector sums[K];
        UNROLL
        for (int k = 0; k < K; ++k) sums[k] = load(out + k * stride + c);
        UNROLL
        for (int n = 0; n < N; ++n)
            Form::send(edges[n].weights(c), edges[n].features(senders[n], c), edges[n].Y, sums);
        UNROLL
        for (int k = 0; k < K; ++k) store(out + k * stride + c, sums[k]);
    });
}

// Sums the messages of a receiver's edges.
template <bool MOVES, class Form, int CHANNELS>
void receive(const Arrays& of, const Path& path, int64_t node) {
    using Edge = OnEdge<MOVES, Form, CHANNELS>;
    Real* const out = of.out + node * of.s.out + path.out;
    for (int k = 0; k < Edge::OUT; ++k) std::fill_n(out + k * path.out_stride, path.channels, Real(0));
    int64_t e = of.s.receiver_starts[node];
    const int64_t last = of.s.receiver_starts[node + 1];
    constexpr int N = MOVES ? 1 : Form::AT_ONCE;
    for (; e + N <= last; e += N) receive_some<N, Edge, Form>(of, path, e, out);
    if constexpr (N > 1)
        for (; e < last; ++e) receive_some<1, Edge, Form>(of, path, e, out);
}

template <bool MOVES>
DirectKernel receiving(const Path& p) {
    const auto kernel = [](auto form, auto channels) -> DirectKernel {
        return receive<MOVES, decltype(form), channels.value>;
    };
    return direct_kernel(p, kernel, Forms{});
}

}  // namespace

DirectKernel direct_forward(const Arrays&, const Path& p) { return receiving<false>(p); }

DirectKernel direct_double_forward(const Arrays& of, const Path& p) { return of.u ? nullptr : receiving<true>(p); }
