// The gate: scalars through their functions, everything else multiplied by functions of scalars.
//
//     scalars:  y[c] = f(x[c])          gated:  y[m, c] = f(z[c]) x[m, c]
//
// `gate_forward` evaluates it, `gate_backward` multiplies its derivative with a gradient g of y, and `gate_tangent`
// differentiates that product, summed with a tangent t, by g and x: see gating.py. Functions hold
// their constant factor.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels.h"
#include "threads.h"
#include "vectors.h"

namespace {

enum Function : int64_t { IDENTITY, SILU, SIGMOID, TANH };

// e^x: a power of two times the Taylor series of what is left, |r| < ln(2) / 2.
inline Vector exponential(Vector x) {
    constexpr bool FLOAT = sizeof(Real) == 4;
    constexpr Real LIMIT = FLOAT ? 87 : 708, LOG2_E = 1.4426950408889634;
    constexpr Real LN2_HIGH = FLOAT ? 0.693359375 : 0.6931471803691238;
    constexpr Real LN2_LOW = FLOAT ? -2.12194440e-4 : 1.9082149292705877e-10;
    constexpr Real ROUNDS = FLOAT ? Real(12582912) : Real(6755399441055744);  // 1.5 2^mantissa
    constexpr int MANTISSA = FLOAT ? 23 : 52, BIAS = FLOAT ? 127 : 1023, TERMS = FLOAT ? 7 : 13;
    x = x > LIMIT ? LIMIT - Vector{} : x;
    x = x < -LIMIT ? -LIMIT - Vector{} : x;
    const Vector shifted = x * LOG2_E + ROUNDS, k = shifted - ROUNDS;
    const Vector r = (x - k * LN2_HIGH) - k * LN2_LOW;
    Vector sum = Vector{} + 1;
    UNROLL
    for (int n = TERMS; n > 0; --n) sum = 1 + sum * (r * Real(1.0 / n));
    Mask bits, zero;
    const Vector rounds = Vector{} + ROUNDS;
    std::memcpy(&bits, &shifted, sizeof bits);
    std::memcpy(&zero, &rounds, sizeof zero);
    bits = (bits - zero + BIAS) << MANTISSA;
    Vector power;
    std::memcpy(&power, &bits, sizeof power);
    return sum * power;
}

// A function with its first two derivatives.
struct Jet {
    Vector value, first, second;
};

inline Jet evaluate(int64_t function, Real factor, Vector z) {
    const Vector one = Vector{} + 1;
    switch (function) {
        case SILU: {
            const Vector s = one / (one + exponential(-z)), rest = 1 - s;
            return {factor * z * s, factor * s * (1 + z * rest),
                    factor * s * rest * (2 + z * (1 - 2 * s))};
        }
        case SIGMOID: {
            const Vector s = one / (one + exponential(-z)), slope = s * (1 - s);
            return {factor * s, factor * slope, factor * slope * (1 - 2 * s)};
        }
        case TANH: {
            Vector t;
            for (int i = 0; i < WIDTH; ++i) t[i] = std::tanh(z[i]);
            const Vector slope = 1 - t * t;
            return {factor * t, factor * slope, -2 * factor * t * slope};
        }
        default: return {factor * z, factor * one, Vector{}};
    }
}

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
