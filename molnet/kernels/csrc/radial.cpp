// Tables of radial functions from the weights of their networks: see radial.py.
//
//     h_0 = inputs,   z_i = h_{i-1} (scale_i W_i),   h_i = factor silu(z_i)   for the hidden layers,
//     y = interpolation h,   table = y (scale W)

#include <algorithm>
#include <cstdint>

#include "functions.h"
#include "kernels.h"
#include "product.h"
#include "threads.h"

namespace {

// Networks alike but for the number of their functions.
struct Radial {
    int64_t networks, hidden, points, rows, threads;
    double factor;
    const int64_t *widths, *functions;  // of inputs and hidden layers, [hidden + 1]; of each network
    const double* scales;               // of each layer
    const Real* const* constants;       // inputs, [points, widths[0]], and interpolation, [rows, points]
    const Real* const* weights;         // [networks][hidden + 1]
    Real* kept;                         // [networks, kept_size()]

    const Real* inputs() const { return constants[0]; }
    const Real* interpolation() const { return constants[1]; }

    const Real* weight(int64_t network, int64_t layer) const { return weights[network * (hidden + 1) + layer]; }

    // The products of a hidden layer, of the last layer, and before it. Where there are several networks each thread
    // does hidden layers of its own.
    Product product(int64_t layer) const {
        return {points, widths[layer], widths[layer + 1], scales[layer], threads_of_network()};
    }
    Product last(int64_t network) const { return {rows, widths[hidden], functions[network], scales[hidden], threads}; }
    Product interpolate() const { return {rows, points, widths[hidden], 1, threads_of_network()}; }
    int64_t threads_of_network() const { return networks > 1 ? 1 : threads; }

    // What is kept of each network: values and slopes of each hidden layer, [points, width], and y.
    int64_t size(int64_t layer) const { return points * widths[layer + 1]; }
    int64_t kept_size() const {
        int64_t size_of_all = rows * widths[hidden];
        for (int64_t i = 0; i < hidden; ++i) size_of_all += 2 * size(i);
        return size_of_all;
    }
    Real* values(int64_t network, int64_t layer) const {
        Real* start = kept + network * kept_size();
        for (int64_t i = 0; i < layer; ++i) start += 2 * size(i);
        return start;
    }
    Real* slopes(int64_t network, int64_t layer) const { return values(network, layer) + size(layer); }
    Real* interpolated(int64_t network) const { return values(network, hidden); }
    const Real* before(int64_t network, int64_t layer) const {
        return layer ? values(network, layer - 1) : inputs();
    }

    // Call `body(network)` for all, in threads.
    template <class Body>
    void over_networks(Body body) const {
        int64_t products = rows * points * widths[hidden];
        for (int64_t i = 0; i < hidden; ++i) products += points * widths[i] * widths[i + 1];
        over_range(networks, std::min(networks, worthwhile(threads, networks * products)),
                   [&](int64_t first, int64_t end) {
                       for (int64_t network = first; network < end; ++network) body(network);
                   });
    }
};

}  // namespace

extern "C" {

int64_t radial_kept(const Radial* radial) { return radial->networks * radial->kept_size(); }

void radial_forward(const Radial* radial, Real* const* tables) {
    const Radial& of = *radial;
    of.over_networks([&](int64_t network) {
        for (int64_t i = 0; i < of.hidden; ++i) {
            Real *const h = of.values(network, i), *const slopes = of.slopes(network, i);
            of.product(i).map(of.before(network, i), of.weight(network, i), h);
            over_vectors(of.size(i), [&](int64_t at, auto lanes) {
                const Jet f = evaluate(SILU, Real(of.factor), load(h + at, lanes));
                store(h + at, f.value, lanes), store(slopes + at, f.first, lanes);
            });
        }
        of.interpolate().map(of.interpolation(), of.before(network, of.hidden), of.interpolated(network));
    });
    for (int64_t network = 0; network < of.networks; ++network)
        of.last(network).map(of.interpolated(network), of.weight(network, of.hidden), tables[network]);
}

// From the gradients of tables those of all weights, in the order of the weights.
void radial_backward(const Radial* radial, const Real* const* of_tables, Real* const* of_weights) {
    const Radial& of = *radial;
    const int64_t size_of_y = of.rows * of.widths[of.hidden];
    const Numbers of_y(of.networks * size_of_y, false);
    const auto gradient = [&](int64_t network, int64_t layer) {
        return of_weights[network * (of.hidden + 1) + layer];
    };
    for (int64_t network = 0; network < of.networks; ++network)
        of.last(network).to_both(of.interpolated(network), of_tables[network], of.weight(network, of.hidden),
                                 of_y.data() + network * size_of_y, gradient(network, of.hidden));
    if (of.hidden == 0) return;
    int64_t widest = 0;
    for (int64_t i = 0; i < of.hidden; ++i) widest = std::max(widest, of.size(i));
    of.over_networks([&](int64_t network) {
        const Numbers this_one(widest, false), next(widest, false);
        Real *g = this_one.data(), *of_before = next.data();
        of.interpolate().to_W(of.interpolation(), of_y.data() + network * size_of_y, g);
        for (int64_t i = of.hidden - 1; i >= 0; --i) {
            const Real *const slopes = of.slopes(network, i), *const before = of.before(network, i);
            over_vectors(of.size(i), [&](int64_t at, auto lanes) {
                store(g + at, load(g + at, lanes) * load(slopes + at, lanes), lanes);
            });
            if (i > 0)
                of.product(i).to_both(before, g, of.weight(network, i), of_before, gradient(network, i));
            else
                of.product(i).to_W(before, g, gradient(network, i));
            std::swap(g, of_before);
        }
    });
}

}  // extern "C"
