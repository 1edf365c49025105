// Direct paths at their receivers: see convolution/receivers.cpp for what is computed.

#include "convolution/direct_edge.h"

namespace {

// Sums the messages of a receiver's edges.
template <bool MOVES, class Form, int CHANNELS>
void receive(const Arrays& of, const DirectPath& direct, int64_t node) {
    using Edge = OnEdge<MOVES, Form, CHANNELS>;
    constexpr int K = Edge::OUT;
    const Path& path = direct.path;
    const int64_t stride = path.out_stride;
    Real* const out = of.out + node * of.s.out + path.out;
    for (int k = 0; k < K; ++k) std::fill_n(out + k * stride, path.channels, Real(0));
    for (int64_t e = of.s.receiver_starts[node]; e < of.s.receiver_starts[node + 1]; ++e) {
        const Edge edge(of, direct, e);
        const int64_t sender = of.s.senders[e] * of.s.x;
        Edge::over_channels(path, [&](int64_t c) {
            Vector sums[K];
            UNROLL
            for (int k = 0; k < K; ++k) sums[k] = load(out + k * stride + c);
            Form::send(edge.weights(c), edge.features(sender, c), edge.Y, sums);
            UNROLL
            for (int k = 0; k < K; ++k) store(out + k * stride + c, sums[k]);
        });
    }
}

template <class Form, int CHANNELS>
struct Forward {
    static constexpr DirectKernel value = receive<false, Form, CHANNELS>;
};

template <class Form, int CHANNELS>
struct DoubleForward {
    static constexpr DirectKernel value = receive<true, Form, CHANNELS>;
};

}  // namespace

const DirectKernel* direct_forward(const Arrays&) { return DirectKernels<Forward, Forms>::all; }

const DirectKernel* direct_double_forward(const Arrays& of) {
    return of.u ? nullptr : DirectKernels<DoubleForward, Forms>::all;
}
