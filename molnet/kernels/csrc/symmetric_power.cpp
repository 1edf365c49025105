// Symmetric powers of the features of a node, channel by channel: see symmetric_power.py.
//
// With M the monomials of the components of one channel, and weights w of the node's species,
//
//     y[k] = Σ_p w[p] Σ_m C[p, k, m] M[m].
//
// Derivatives run back through the monomials, each the product of an earlier one and a component. Along a
// tangent they are those of dual numbers.

#include <algorithm>
#include <vector>

#include "step.h"
#include "threads.h"

namespace {

// The terms of one path that make one component of the output.
struct Piece {
    int64_t path, output, first_term, last_term;
};

struct SymmetricPower {
    int64_t channels, dim_in, dim_out, components, monomials, paths, outputs, pieces;
    const int64_t *place_in, *place_out;  // of the components in the rows
    const int64_t *parent, *factor;       // of monomials; the first ones are the components themselves
    const Piece* piece;
    const int64_t* term;                  // the monomial of each
    const double* coefficient;
};

// A number and its change along a tangent.
struct Dual {
    Vector value, change;
};

inline Vector times(Vector a, Vector b) { return a * b; }
inline Dual times(Dual a, Dual b) { return {a.value * b.value, a.change * b.value + a.value * b.change}; }
inline void add(Vector& to, Vector a) { to += a; }
inline void add(Dual& to, Dual a) { to.value += a.value, to.change += a.change; }
inline void add_scaled(Vector& to, Real scale, Vector a) { to += scale * a; }
inline void add_scaled(Dual& to, Real scale, Dual a) { to.value += scale * a.value, to.change += scale * a.change; }
inline void add_constant(Vector& to, Vector a) { to += a; }
inline void add_constant(Dual& to, Vector a) { to.value += a; }
inline Vector answer(Vector a) { return a; }
inline Vector answer(Dual a) { return a.change; }

// The monomials of some channels of a node, and what follows from them.
template <class Number>
struct Monomials {
    const SymmetricPower& power;
    std::vector<Real> coefficient;
    std::vector<Number> monomial, adjoint_of;
    Number *const M, *const adjoint;

    explicit Monomials(const SymmetricPower& power)
        : power(power), coefficient(power.coefficient, power.coefficient + power.piece[power.pieces - 1].last_term),
          monomial(power.monomials), adjoint_of(power.monomials), M(monomial.data()), adjoint(adjoint_of.data()) {}

    template <class Component>
    void evaluate(Component component) {
        for (int64_t i = 0; i < power.components; ++i) M[i] = component(power.place_in[i]);
        for (int64_t m = power.components; m < power.monomials; ++m)
            M[m] = times(M[power.parent[m]], M[power.factor[m]]);
    }

    Number sum(const Piece& piece) const {
        Number total{};
        for (int64_t i = piece.first_term; i < piece.last_term; ++i)
            add_scaled(total, coefficient[i], M[power.term[i]]);
        return total;
    }

    void start() { std::fill_n(adjoint, power.monomials, Number{}); }

    void take(const Piece& piece, Vector g) {
        for (int64_t i = piece.first_term; i < piece.last_term; ++i)
            add_constant(adjoint[power.term[i]], coefficient[i] * g);
    }

    // Adjoints of the components, once all pieces have been taken.
    void finish() {
        for (int64_t m = power.monomials; m-- > power.components;) {
            const int64_t parent = power.parent[m], factor = power.factor[m];
            const Number of_product = adjoint[m];
            add(adjoint[parent], times(of_product, M[factor]));
            add(adjoint[factor], times(of_product, M[parent]));
        }
    }
};

const SymmetricPower& power_of(const Step& step) { return *static_cast<const SymmetricPower*>(step.what); }

int64_t threads_for(const SymmetricPower& power, const Setting& setting) {
    return worthwhile(setting.graph.threads, setting.graph.nodes * power.channels * power.monomials * 4);
}

// Add up the results of threads: `body(first, last, gW of the thread)` of runs of nodes.
template <class Body>
void with_gradients(const SymmetricPower& power, const Setting& setting, Real* gW, Body body) {
    const int64_t threads = threads_for(power, setting), nodes = setting.graph.nodes;
    const int64_t size = gW ? setting.graph.groups * power.paths * power.channels : 0;
    const Numbers apart(size * threads);
    in_parallel(threads, [&](int64_t part) {
        body(nodes * part / threads, nodes * (part + 1) / threads, gW ? apart.data() + size * part : nullptr);
    });
    for (int64_t i = 0; i < size; ++i) {
        gW[i] = 0;
        for (int64_t part = 0; part < threads; ++part) gW[i] += apart.data()[size * part + i];
    }
}

void forward(const Step& step, const Setting& setting, const Real* x, Real* y) {
    const SymmetricPower& power = power_of(step);
    over_range(setting.graph.nodes, threads_for(power, setting), [&](int64_t first, int64_t last) {
        Monomials<Vector> monomials(power);
        std::vector<Vector> result(power.outputs);
        for (int64_t n = first; n < last; ++n)
            over_vectors(power.channels, [&](int64_t c, auto lanes) {
                const Real* from = x + n * power.dim_in + c;
                const Real* w = step.weight + setting.graph.species[n] * power.paths * power.channels + c;
                monomials.evaluate([&](int64_t place) { return load(from + place, lanes); });
                std::fill(result.begin(), result.end(), Vector{});
                for (int64_t i = 0; i < power.pieces; ++i) {
                    const Piece& piece = power.piece[i];
                    result[piece.output] += load(w + piece.path * power.channels, lanes) * monomials.sum(piece);
                }
                for (int64_t k = 0; k < power.outputs; ++k)
                    store(y + n * power.dim_out + c + power.place_out[k], result[k], lanes);
            });
    });
}

// Both derivatives, of numbers or of dual numbers: `component(n, c, place, lanes)` gives those of x, and
// `tangent` (may be null) is where the change of the result goes.
template <class Number, class Component>
void differentiate(const Step& step, const Setting& setting, Component component, const Real* g, Real* gx,
                   bool adds, Real* gW, Real* tangent) {
    const SymmetricPower& power = power_of(step);
    with_gradients(power, setting, gW, [&](int64_t first, int64_t last, Real* of_weights) {
        Monomials<Number> monomials(power);
        std::vector<Vector> result(power.outputs);
        for (int64_t n = first; n < last; ++n)
            over_vectors(power.channels, [&](int64_t c, auto lanes) {
                const int64_t of_species = setting.graph.species[n] * power.paths * power.channels + c;
                monomials.evaluate([&](int64_t place) { return component(n, c, place, lanes); });
                monomials.start();
                std::fill(result.begin(), result.end(), Vector{});
                for (int64_t i = 0; i < power.pieces; ++i) {
                    const Piece& piece = power.piece[i];
                    const int64_t at = of_species + piece.path * power.channels;
                    const Vector w = load(step.weight + at, lanes);
                    const Vector g_k = load(g + n * power.dim_out + c + power.place_out[piece.output], lanes);
                    if (of_weights || tangent) {
                        const Vector sum = answer(monomials.sum(piece));
                        result[piece.output] += w * sum;
                        if (of_weights) store(of_weights + at, load(of_weights + at, lanes) + g_k * sum, lanes);
                    }
                    monomials.take(piece, g_k * w);
                }
                monomials.finish();
                if (gx)
                    for (int64_t i = 0; i < power.components; ++i) {
                        Real* to = gx + n * power.dim_in + c + power.place_in[i];
                        const Vector of_x = answer(monomials.adjoint[i]);
                        store(to, adds ? load(to, lanes) + of_x : of_x, lanes);
                    }
                if (tangent)
                    for (int64_t k = 0; k < power.outputs; ++k)
                        store(tangent + n * power.dim_out + c + power.place_out[k], result[k], lanes);
            });
    });
}

void backward(const Step& step, Setting& setting, const Real* x, const Real* g, Real* gx, bool adds, Real* gW) {
    const int64_t dim_in = power_of(step).dim_in;
    const auto component = [&](int64_t n, int64_t c, int64_t place, auto lanes) {
        return load(x + n * dim_in + c + place, lanes);
    };
    differentiate<Vector>(step, setting, component, g, gx, adds, gW, nullptr);
}

void along(const Step& step, const Setting& setting, const Real* x, const Real* g, const Real* t, Real* tangent,
           Real* by_x, Real* gW) {
    const int64_t dim_in = power_of(step).dim_in;
    const auto component = [&](int64_t n, int64_t c, int64_t place, auto lanes) {
        const int64_t at = n * dim_in + c + place;
        return Dual{load(x + at, lanes), load(t + at, lanes)};
    };
    differentiate<Dual>(step, setting, component, g, by_x, false, gW, tangent);
}

}  // namespace

extern "C" {
extern const Functions symmetric_power_step;
const Functions symmetric_power_step = {forward, backward, along, sizeof(SymmetricPower)};
}
