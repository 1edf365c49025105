// The gate: scalars through their functions, everything else multiplied by functions of scalars.
//
//     scalars:  y[c] = f(x[c])          gated:  y[m, c] = f(z[c]) x[m, c]
//
// `gate_forward` evaluates it, `gate_backward` multiplies its derivative with a gradient g of y, and `gate_tangent`
// differentiates that product, summed with a tangent t, by g and x: see gate.py. Functions hold
// their constant factor.

#include <algorithm>
#include <cstdint>

#include "functions.h"
#include "kernels.h"
#include "threads.h"
#include "vectors.h"

namespace {

// Call `body(row, entry, c, lanes)` for all vectors of copies.
template <class Body>
void over_copies(const Gate& gate, Body body) {
    const int64_t threads = worthwhile(gate.threads, gate.rows * gate.dim_in * 16);
    over_range(gate.rows, threads, [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row)
            for (int64_t i = 0; i < gate.entries; ++i)
                over_vectors(gate.entry[i].count,
                             [&](int64_t c, auto lanes) { body(row, gate.entry[i], c, lanes); });
    });
}

}  // namespace

extern "C" {

void gate_forward(const Gate* gate, const Real* x, Real* y) {
    over_copies(*gate, [&](int64_t row, const Entry& e, int64_t c, auto lanes) {
        const Real *from = x + row * gate->dim_in + c, *z = from + (e.components ? e.gate : e.in);
        Real* to = y + row * gate->dim_out + e.out + c;
        const Vector value = evaluate(e.function, e.factor, load(z, lanes)).value;
        if (!e.components) store(to, value, lanes);
        for (int64_t m = 0; m < e.components; ++m)
            store(to + m * e.out_stride, value * load(from + e.in + m * e.in_stride, lanes), lanes);
    });
}

void gate_backward(const Gate* gate, const Real* x, const Real* g, Real* gx) {
    over_copies(*gate, [&](int64_t row, const Entry& e, int64_t c, auto lanes) {
        const Real *from = x + row * gate->dim_in + c, *z = from + (e.components ? e.gate : e.in);
        const Real* of = g + row * gate->dim_out + e.out + c;
        Real* to = gx + row * gate->dim_in + c;
        const Jet f = evaluate(e.function, e.factor, load(z, lanes));
        if (!e.components) return store(to + e.in, f.first * load(of, lanes), lanes);
        Vector sum{};
        for (int64_t m = 0; m < e.components; ++m) {
            const Vector g_m = load(of + m * e.out_stride, lanes);
            sum += g_m * load(from + e.in + m * e.in_stride, lanes);
            store(to + e.in + m * e.in_stride, f.value * g_m, lanes);
        }
        store(to + e.gate, f.first * sum, lanes);
    });
}

void gate_tangent(const Gate* gate, const Real* x, const Real* g, const Real* t, Real* by_g, Real* by_x) {
    over_copies(*gate, [&](int64_t row, const Entry& e, int64_t c, auto lanes) {
        const int64_t start = row * gate->dim_in + c;
        const int64_t z = start + (e.components ? e.gate : e.in);
        const Real* of = g + row * gate->dim_out + e.out + c;
        Real* to_g = by_g + row * gate->dim_out + e.out + c;
        const Jet f = evaluate(e.function, e.factor, load(x + z, lanes));
        const Vector t_z = load(t + z, lanes), slope = f.first * t_z;
        if (!e.components) {
            store(to_g, slope, lanes);
            return store(by_x + z, f.second * t_z * load(of, lanes), lanes);
        }
        Vector g_x{}, g_t{};
        for (int64_t m = 0; m < e.components; ++m) {
            const int64_t at = start + e.in + m * e.in_stride;
            const Vector g_m = load(of + m * e.out_stride, lanes);
            const Vector x_m = load(x + at, lanes), t_m = load(t + at, lanes);
            g_x += g_m * x_m;
            g_t += g_m * t_m;
            store(to_g + m * e.out_stride, slope * x_m + f.value * t_m, lanes);
            store(by_x + at, slope * g_m, lanes);
        }
        store(by_x + z, f.second * t_z * g_x + f.first * g_t, lanes);
    });
}

}  // extern "C"
