// Activation functions with their derivatives, of whole vectors.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

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

}  // namespace
