// Energies of structures from the invariants of their atoms, and what follows from them: see readout.py.
//
//     h = W s + b,   value = v·silu(h) + c,   energy = sum over atoms of scale value + constant
//
// With gradients G of energies, g = scale G of an atom's value, and q = g v silu'(h) that of h, the gradient
// of s is q W; `along` differentiates that.

#include <algorithm>
#include <cstdint>

#include "functions.h"
#include "kernels.h"
#include "product.h"
#include "threads.h"

namespace {

struct Readout {
    int64_t nodes, inputs, hidden, structures, threads;
    double scale;
    const Real *s, *W, *b, *v, *c;  // W: [hidden, inputs]
    const int64_t* structure;       // [nodes]
    Real* h;                        // [nodes, hidden]

    Product first() const { return {nodes, inputs, hidden, 1, threads, true}; }

    // g; without gradients of energies these are one.
    Real of_value(const double* of_energies, int64_t node) const {
        return Real(scale * (of_energies ? of_energies[structure[node]] : 1));
    }

    // `body(node, place of the node's hidden numbers)` in threads.
    template <class Body>
    void over_nodes(Body body) const {
        constexpr int64_t PRODUCTS = 16;  // take as long as the function of a number
        over_range(nodes, worthwhile(threads, nodes * hidden * PRODUCTS), [&](int64_t first, int64_t last) {
            for (int64_t n = first; n < last; ++n) body(n, n * hidden);
        });
    }

    // to = the sum of `rows` over all nodes.
    void sum(const Real* rows, Real* to) const {
        std::fill_n(to, hidden, Real(0));
        for (int64_t n = 0; n < nodes; ++n)
            for (int64_t i = 0; i < hidden; ++i) to[i] += rows[n * hidden + i];
    }
};

}  // namespace

extern "C" {

// Constants: [nodes].
void readout_forward(const Readout* readout, const double* constants, double* energies) {
    const Readout& of = *readout;
    const Numbers values(of.nodes, false);
    for (int64_t n = 0; n < of.nodes; ++n) std::copy_n(of.b, of.hidden, of.h + n * of.hidden);
    of.first().map(of.s, of.W, of.h, true);
    of.over_nodes([&](int64_t n, int64_t at) {
        Vector sum{};
        over_vectors(of.hidden, [&](int64_t i, auto lanes) {
            sum += load(of.v + i, lanes) * evaluate(SILU, 1, load(of.h + at + i, lanes)).value;
        });
        values.data()[n] = *of.c + sum_of(sum);
    });
    std::fill_n(energies, of.structures, 0.0);
    for (int64_t n = 0; n < of.nodes; ++n)
        energies[of.structure[n]] += of.scale * values.data()[n] + constants[n];
}

// From the gradients of energies, or ones in their place, that of s, and those of the weights where they are wanted.
void readout_backward(const Readout* readout, const double* of_energies, Real* of_s, Real* of_W, Real* of_b,
                      Real* of_v, Real* of_c) {
    const Readout& of = *readout;
    const Numbers q(of.nodes * of.hidden, false), by_v(of_W ? of.nodes * of.hidden : 0, false);
    of.over_nodes([&](int64_t n, int64_t at) {
        const Real g = of.of_value(of_energies, n);
        over_vectors(of.hidden, [&](int64_t i, auto lanes) {
            const Jet f = evaluate(SILU, g, load(of.h + at + i, lanes));
            store(q.data() + at + i, load(of.v + i, lanes) * f.first, lanes);
            if (of_W) store(by_v.data() + at + i, f.value, lanes);
        });
    });
    if (!of_W) return of.first().to_x(q.data(), of.W, of_s);
    of.first().to_both(of.s, q.data(), of.W, of_s, of_W);
    of.sum(q.data(), of_b), of.sum(by_v.data(), of_v);
    *of_c = 0;
    for (int64_t n = 0; n < of.nodes; ++n) *of_c += of.of_value(of_energies, n);
}

// With u the gradient of s that came of those of energies: the derivatives of u·t by these, s, W, b and v.
void readout_along(const Readout* readout, const double* of_energies, const Real* t, double* by_energies,
                   Real* by_s, Real* by_W, Real* by_b, Real* by_v) {
    const Readout& of = *readout;
    const int64_t size = of.nodes * of.hidden;
    const Numbers change(size, false), q(size, false), of_h(size, false), of_v(size, false), values(of.nodes, false);
    of.first().map(t, of.W, change.data());
    of.over_nodes([&](int64_t n, int64_t at) {
        const Real g = of.of_value(of_energies, n);
        Vector sum{};
        over_vectors(of.hidden, [&](int64_t i, auto lanes) {
            const Jet f = evaluate(SILU, 1, load(of.h + at + i, lanes));
            const Vector v = load(of.v + i, lanes), moved = load(change.data() + at + i, lanes);
            const Vector slope = f.first * moved;
            sum += v * slope;
            store(q.data() + at + i, g * v * f.first, lanes);
            store(of_h.data() + at + i, g * v * f.second * moved, lanes);
            store(of_v.data() + at + i, g * slope, lanes);
        });
        values.data()[n] = sum_of(sum);
    });
    std::fill_n(by_energies, of.structures, 0.0);
    for (int64_t n = 0; n < of.nodes; ++n) by_energies[of.structure[n]] += of.scale * values.data()[n];
    const int64_t weights = of.inputs * of.hidden;
    const Numbers through_h(weights, false);
    of.first().to_both(of.s, of_h.data(), of.W, by_s, through_h.data());
    of.first().to_W(t, q.data(), by_W);
    for (int64_t i = 0; i < weights; ++i) by_W[i] += through_h.data()[i];
    of.sum(of_h.data(), by_b), of.sum(of_v.data(), by_v);
}

}  // extern "C"
