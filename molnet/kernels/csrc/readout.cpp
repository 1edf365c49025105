// Energies of structures from the invariants of their atoms, with the gradient by these: see readout.py.
//
//     h = W s + b,   energy = sum over atoms of scale (v·silu(h) + c) + constant,
//     gradient = scale (v silu'(h)) W

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
    const Real *W, *b, *v, *c, *s;  // W: [hidden, inputs]
    const double* constants;        // [nodes]
    const int64_t* structure;       // [nodes]
};

}  // namespace

extern "C" {

void readout(const Readout* read, double* energies, Real* gradient) {
    const int64_t nodes = read->nodes, hidden = read->hidden;
    const Product first(nodes, read->inputs, hidden, 1, read->threads, true);
    const Numbers h(nodes * hidden, false), values(nodes, false);
    for (int64_t n = 0; n < nodes; ++n) std::copy_n(read->b, hidden, h.data() + n * hidden);
    first.map(read->s, read->W, h.data(), true);
    over_range(nodes, worthwhile(read->threads, nodes * hidden * 16), [&](int64_t first, int64_t last) {
        for (int64_t n = first; n < last; ++n) {
            Vector sum{};
            over_vectors(hidden, [&](int64_t c, auto lanes) {
                Real* here = h.data() + n * hidden + c;
                const Vector v = load(read->v + c, lanes);
                const Jet f = evaluate(SILU, 1, load(here, lanes));
                sum += v * f.value;
                store(here, Real(read->scale) * v * f.first, lanes);
            });
            values.data()[n] = *read->c + sum_of(sum);
        }
    });
    std::fill_n(energies, read->structures, 0.0);
    for (int64_t n = 0; n < nodes; ++n)
        energies[read->structure[n]] += read->scale * values.data()[n] + read->constants[n];
    first.to_x(h.data(), read->W, gradient);
}

}  // extern "C"
