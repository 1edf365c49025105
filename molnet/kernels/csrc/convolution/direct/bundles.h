// All paths from one irrep at once, for harmonics that are those of one vector.
//
// With u the harmonics of l = 1, those of l = 2 then are the matrix Y = KAPPA (2 u u^T - 2/3 u² 1), and what the forms
// of forms.h make of a vector x or a matrix X has factors in common, s = u·x and v = X u:
//
//     ByMatrix        Y x            =  2 KAPPA (s u - 1/3 u² x)
//     Contracting<2>  Y·X            =  KAPPA u·v
//     Multiplying     product(Y, X)  =  sqrt(3) KAPPA (pair(u, v) - 2/3 u² X)
//
// A bundle has `send`, which adds the messages of its paths to sums that lie one after another; multiplied by its
// `SCALES` they are those of the forms.

#pragma once

#include <cmath>
#include <limits>

#include "convolution/direct/forms.h"

namespace {

constexpr Real KAPPA = Real(0.64549722436790281420);  // sqrt(5 / 12), for harmonics in component normalisation

// The harmonics of an edge, if they are those of one vector.
struct Direction {
    Components<Real, 3> u, thirds;  // thirds: as add_pair takes them
    Components<Real, 5> matrix;
    Real trace;  // -1/3 u²

    // Set it from harmonics of l = 0, 1 and 2; says whether they are.
    bool set(const Real* Y) {
        u = {Y[1], Y[2], Y[3]}, matrix = {Y[4], Y[5], Y[6], Y[7], Y[8]};
        thirds = ::thirds(u);
        trace = -dot(u, u) / 3;
        return is_near(Y[0], 1) & is_near(matrix[0], 2 * KAPPA * u[0] * u[2]) &
               is_near(matrix[1], 2 * KAPPA * u[0] * u[1]) & is_near(matrix[2], KAPPA * dot(thirds, u)) &
               is_near(matrix[3], 2 * KAPPA * u[1] * u[2]) & is_near(matrix[4], KAPPA * (u[2] * u[2] - u[0] * u[0]));
    }

  private:
    static bool is_near(Real a, Real b) { return std::abs(a - b) <= 32 * std::numeric_limits<Real>::epsilon(); }
};

// The paths of a bundle, and how many components come in and, of all of them, out.
template <class First, class... Form>
struct Together {
    using Paths = List<First, Form...>;
    static constexpr int PATHS = 1 + sizeof...(Form), IN = 2 * First::IN + 1;
    static constexpr int OUT = (2 * First::OUT + 1) + (... + (2 * Form::OUT + 1));
};

struct FromScalars : Together<Isotropic<0>, Raising<1>, Raising<2>> {
    static constexpr Real SCALES[] = {1, 1, 1};

    static INLINE void send(
        const Components<Vector, PATHS>& w, const Components<Vector, IN>& x, const Direction& of, Vector* out) {
        add(out[0], w[0], x[0]);
        add_times(out + 1, w[1] * x[0], of.u);
        add_times(out + 4, w[2] * x[0], of.matrix);
    }
};

struct FromVectors : Together<Isotropic<1>, Contracting<1>, Pairing, ByMatrix> {
    static constexpr Real SCALES[] = {1, 1, 1, 2 * KAPPA};

    static INLINE void send(
        const Components<Vector, PATHS>& w, const Components<Vector, IN>& x, const Direction& of, Vector* out) {
        const Vector s = dot(of.u, x);
        add_times(out, w[0], x);
        add(out[3], w[1], s);
        add_pair(out + 4, of.u, of.thirds, times(w[2], x));
        add_times(out + 9, w[3] * s, of.u);
        add_times(out + 9, of.trace * w[3], x);
    }
};

struct FromMatrices : Together<Isotropic<2>, OnVector, Contracting<2>, Multiplying> {
    static constexpr Real SCALES[] = {1, 1, KAPPA, 2 * HALF_ROOT_OF_3 * KAPPA};

    static INLINE void send(
        const Components<Vector, PATHS>& w, const Components<Vector, IN>& x, const Direction& of, Vector* out) {
        Components<Vector, 3> v{};
        add_contraction(v.at, x, of.u, of.thirds);
        add_times(out, w[0], x);
        add_times(out + 5, w[1], v);
        add(out[8], w[2], dot(of.u, v));
        add_pair(out + 9, of.u, of.thirds, times(w[3], v));
        add_times(out + 9, 2 * of.trace * w[3], x);
    }
};

}  // namespace
