// The convolution and its change along tangents: the sweeps in order of receivers. See sweep.h.

#include "sweep.h"

namespace {

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

}  // namespace

extern "C" {

void convolution_forward(
    const Shape* s, const Real* x, const Real* Y, const Real* B, const Real* T, Real* out) {
    Arrays of{*s};
    of.x = x, of.Y = Y, of.B = B, of.T = T, of.out = out;
    to_receivers<Forward>(of);
}

void convolution_double_forward(
    const Shape* s, const Real* x, const Real* Y, const Real* B, const Real* T, const Real* a,
    const Real* y, const Real* b, const Real* u, Real* out) {
    Arrays of{*s};
    of.x = x, of.Y = Y, of.B = B, of.T = T, of.a = a, of.y = y, of.b = b, of.u = u, of.out = out;
    to_receivers<DoubleForward>(of);
}

}  // extern "C"
