// Spherical harmonics and spline basis of edges with their derivatives: see edge_basis.py.
//
// One function of a vector is written down once, for numbers of any kind. Its derivatives come from
// evaluating it on dual numbers, which carry a slope along.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels.h"
#include "threads.h"
#include "vectors.h"

namespace {

constexpr int LARGEST_L = 4;
constexpr int HARMONICS = (LARGEST_L + 1) * (LARGEST_L + 1);

// A number and its slope along one direction.
struct Dual {
    Vector value, slope;
};

inline Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.slope + b.slope}; }
inline Dual operator-(Dual a, Dual b) { return {a.value - b.value, a.slope - b.slope}; }
inline Dual operator*(Dual a, Dual b) {
    return {a.value * b.value, a.slope * b.value + a.value * b.slope};
}
inline Dual operator*(Vector a, Dual b) { return {a * b.value, a * b.slope}; }

inline Vector value(Vector x) { return x; }
inline Vector value(Dual x) { return x.value; }

inline Vector constant(double number) { return Vector{} + Real(number); }

// 1/√x; zero where x is zero, so that a vector of no length has no direction.
inline Vector inverse_root(Vector x) {
    for (int i = 0; i < WIDTH; ++i) x[i] = x[i] > 0 ? 1 / std::sqrt(x[i]) : 0;
    return x;
}
inline Dual inverse_root(Dual x) {
    const Vector root = inverse_root(x.value);
    return {root, constant(-0.5) * (root * root * root) * x.slope};
}

inline Vector positive(Vector x) {
    for (int i = 0; i < WIDTH; ++i) x[i] = x[i] > 0;
    return x;
}

// Factors of the harmonics.
struct Norms {
    Vector of[LARGEST_L + 1][LARGEST_L + 1];

    Norms(const EdgeBasis& shape) {
        for (int l = 0; l <= shape.l_max; ++l)
            for (int m = 0; m <= l; ++m) {
                double square = m > 0 ? 2 : 1;
                for (int i = l - m + 1; i <= l + m; ++i) square /= i;
                of[l][m] = constant(shape.poles[l] * std::sqrt(square));
            }
    }
};

// Harmonics of a vector with the polar axis y, for the square of its length: Legendre's functions of y
// times the real and the imaginary part of (z + ix)^m.
template <class T>
inline void harmonics(const T* vector, T square, int64_t l_max, const Norms& norms, T* Y) {
    const T x = vector[0], y = vector[1], z = vector[2];
    T real = T{constant(1)}, imaginary = T{Vector{}};
    double first = 1;  // (2m - 1)!!
    for (int m = 0; m <= l_max; ++m) {
        if (m > 0) {
            const T next = real * z - imaginary * x;
            imaginary = imaginary * z + real * x;
            real = next;
            first *= 2 * m - 1;
        }
        T before{}, here = T{constant(first)};
        for (int l = m; l <= l_max; ++l) {
            if (l == m + 1) {
                before = here;
                here = constant((2 * m + 1) * first) * y;
            } else if (l > m + 1) {
                const T next = constant((2 * l - 1.0) / (l - m)) * (y * here) -
                               constant((l + m - 1.0) / (l - m)) * (square * before);
                before = here;
                here = next;
            }
            const T scaled = norms.of[l][m] * here;
            Y[l * l + l + m] = scaled * real;
            if (m > 0) Y[l * l + l - m] = scaled * imaginary;
        }
    }
}

// The interval in which an edge ends. Backward passes use the coefficients of the interval that the
// forward pass found, so both must find the same one for an edge that ends at a knot: every rounding
// is prescribed here, whatever the compiler contracts elsewhere.
inline Vector interval(Vector x, Vector y, Vector z, const EdgeBasis& shape) {
    Vector row;
    for (int i = 0; i < WIDTH; ++i) {
        const double a = x[i], b = y[i], c = z[i];
        const double length = std::sqrt(std::fma(c, c, std::fma(b, b, a * a)));
        row[i] = std::clamp(std::floor(length * shape.intervals_per_length), 0.0, shape.knots - 1.0);
    }
    return row;
}

// Whether u is as it comes; beyond the cutoff it stays 1. Elsewhere it may pass 1 by a rounding error.
inline Vector within_cutoff(Vector u, Vector row, int64_t knots) {
    for (int i = 0; i < WIDTH; ++i) u[i] = row[i] < knots - 1 || u[i] <= 1;
    return u;
}

// Harmonics Y and cubic B-spline basis B of vectors r; returns the first row of the spline's table.
template <class T>
inline Vector evaluate(const T* r, const EdgeBasis& shape, const Norms& norms, T* Y, T* B) {
    const T square = r[0] * r[0] + r[1] * r[1] + r[2] * r[2], inverse = inverse_root(square);
    if (shape.normalize) {
        const T unit[3] = {r[0] * inverse, r[1] * inverse, r[2] * inverse};
        harmonics(unit, T{positive(value(square))}, shape.l_max, norms, Y);
    } else {
        harmonics(r, square, shape.l_max, norms, Y);
    }
    if (!shape.knots) return Vector{};

    const T position = constant(shape.intervals_per_length) * (square * inverse);
    const Vector row = interval(value(r[0]), value(r[1]), value(r[2]), shape);
    const T after = position - T{row};
    const Vector within = within_cutoff(value(after), row, shape.knots);
    const T one{constant(1)}, two{constant(2)}, rest{constant(2.0 / 3)};
    const T u = within * after + T{1 - within}, v = one - u;
    B[0] = constant(1.0 / 6) * (v * v * v);
    B[1] = constant(0.5) * (u * u * (u - two)) + rest;
    B[2] = constant(0.5) * (v * v * (v - two)) + rest;
    B[3] = constant(1.0 / 6) * (u * u * u);
    return row;
}

// Numbers [edges][width] of WIDTH edges from `first` on, each number a vector; the last edge stands in
// for those beyond the end.
inline void read(const Real* from, int64_t width, int64_t first, int64_t edges, Vector* to) {
    for (int i = 0; i < WIDTH; ++i) {
        const Real* row = from + std::min(first + i, edges - 1) * width;
        for (int64_t k = 0; k < width; ++k) to[k][i] = row[k];
    }
}

inline void write(Real* to, int64_t width, int64_t first, int64_t edges, const Vector* from) {
    for (int i = 0; i < WIDTH && first + i < edges; ++i)
        for (int64_t k = 0; k < width; ++k) to[(first + i) * width + k] = from[k][i];
}

// Call `body(first edge)` for groups of WIDTH edges, in parallel.
template <class Body>
void over_edges(const EdgeBasis& shape, Body body) {
    const int64_t groups = (shape.edges + WIDTH - 1) / WIDTH;
    over_range(groups, worthwhile(shape.threads, shape.edges * 100 * SPLINE_TERMS), [&](int64_t first, int64_t last) {
        for (int64_t group = first; group < last; ++group) body(group * WIDTH);
    });
}

// Slopes of the functions along a direction.
void slopes(const EdgeBasis& shape, const Norms& norms, const Vector* r, const Vector* direction,
            Vector* of_Y, Vector* of_B) {
    Dual along[3], Y[HARMONICS], B[SPLINE_TERMS];
    for (int i = 0; i < 3; ++i) along[i] = {r[i], direction[i]};
    evaluate(along, shape, norms, Y, B);
    for (int i = 0; i < shape.harmonics(); ++i) of_Y[i] = Y[i].slope;
    for (int i = 0; shape.knots && i < SPLINE_TERMS; ++i) of_B[i] = B[i].slope;
}

}  // namespace

extern "C" {

void edge_basis_forward(const EdgeBasis* shape, const Real* vectors, Real* Y, Real* B, int64_t* rows) {
    const Norms norms(*shape);
    const int64_t edges = shape->edges, size = shape->harmonics();
    over_edges(*shape, [&](int64_t e) {
        Vector r[3], harmonics[HARMONICS], basis[SPLINE_TERMS];
        read(vectors, 3, e, edges, r);
        const Vector row = evaluate(r, *shape, norms, harmonics, basis);
        write(Y, size, e, edges, harmonics);
        if (!shape->knots) return;
        write(B, SPLINE_TERMS, e, edges, basis);
        for (int i = 0; i < WIDTH && e + i < edges; ++i) rows[e + i] = int64_t(row[i]);
    });
}

// gv = the gradient of gY·Y + gB·B by the vectors.
void edge_basis_backward(const EdgeBasis* shape, const Real* vectors, const Real* gY, const Real* gB, Real* gv) {
    const Norms norms(*shape);
    const int64_t edges = shape->edges, size = shape->harmonics();
    over_edges(*shape, [&](int64_t e) {
        Vector r[3], of_Y[HARMONICS], of_B[SPLINE_TERMS], Y[HARMONICS], B[SPLINE_TERMS], result[3];
        read(vectors, 3, e, edges, r);
        read(gY, size, e, edges, of_Y);
        if (shape->knots) read(gB, SPLINE_TERMS, e, edges, of_B);
        for (int k = 0; k < 3; ++k) {
            const Vector axis[3] = {constant(k == 0), constant(k == 1), constant(k == 2)};
            slopes(*shape, norms, r, axis, Y, B);
            result[k] = Vector{};
            for (int i = 0; i < size; ++i) result[k] += of_Y[i] * Y[i];
            for (int i = 0; shape->knots && i < SPLINE_TERMS; ++i) result[k] += of_B[i] * B[i];
        }
        write(gv, 3, e, edges, result);
    });
}

// The slopes of Y and B along t: the gradients of gv·t by gY and gB.
void edge_basis_tangent(const EdgeBasis* shape, const Real* vectors, const Real* t, Real* tY, Real* tB) {
    const Norms norms(*shape);
    const int64_t edges = shape->edges, size = shape->harmonics();
    over_edges(*shape, [&](int64_t e) {
        Vector r[3], direction[3], of_Y[HARMONICS], of_B[SPLINE_TERMS];
        read(vectors, 3, e, edges, r);
        read(t, 3, e, edges, direction);
        slopes(*shape, norms, r, direction, of_Y, of_B);
        write(tY, size, e, edges, of_Y);
        if (shape->knots) write(tB, SPLINE_TERMS, e, edges, of_B);
    });
}

}  // extern "C"
