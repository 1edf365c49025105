// The gate: scalars through their functions, everything else multiplied by functions of scalars; see gate.py.
//
//     scalars:  y[c] = f(x[c])          gated:  y[m, c] = f(z[c]) x[m, c]
//
// Functions hold their constant factor.

#include "functions.h"
#include "step.h"
#include "threads.h"

namespace {

// Copies of one irrep; positions count numbers from the start of a row.
struct Entry {
    int64_t in, out, count, function;
    int64_t gate, components;         // no components: scalars without a gate
    int64_t in_stride, out_stride;    // from one component to the next
    double factor;

    int64_t argument() const { return components ? gate : in; }
};

struct Gate {
    int64_t dim_in, dim_out, entries;
    const Entry* entry;
};

// Call `body(entry, where its vector starts in a row of x, and in one of y, lanes)` for all vectors of copies.
template <class Body>
void over_copies(const Step& step, const Graph& graph, Body body) {
    const Gate& gate = *static_cast<const Gate*>(step.what);
    const int64_t threads = worthwhile(graph.threads, graph.nodes * gate.dim_in * 16);
    over_range(graph.nodes, threads, [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row)
            for (int64_t i = 0; i < gate.entries; ++i)
                over_vectors(gate.entry[i].count, [&](int64_t c, auto lanes) {
                    body(gate.entry[i], row * gate.dim_in + c, row * gate.dim_out + gate.entry[i].out + c, lanes);
                });
    });
}

void forward(const Step& step, const Setting& setting, const Real* x, Real* y) {
    over_copies(step, setting.graph, [&](const Entry& e, int64_t start, int64_t out, auto lanes) {
        const Vector value = evaluate(e.function, e.factor, load(x + start + e.argument(), lanes)).value;
        if (!e.components) store(y + out, value, lanes);
        for (int64_t m = 0; m < e.components; ++m)
            store(y + out + m * e.out_stride, value * load(x + start + e.in + m * e.in_stride, lanes), lanes);
    });
}

void backward(const Step& step, Setting& setting, const Real* x, const Real* g, Real* gx, bool adds, Real*) {
    over_copies(step, setting.graph, [&](const Entry& e, int64_t start, int64_t out, auto lanes) {
        const auto put = [&](int64_t at, Vector value) {
            store(gx + at, adds ? load(gx + at, lanes) + value : value, lanes);
        };
        const int64_t z = start + e.argument();
        const Jet f = evaluate(e.function, e.factor, load(x + z, lanes));
        if (!e.components) return put(z, f.first * load(g + out, lanes));
        Vector sum{};
        for (int64_t m = 0; m < e.components; ++m) {
            const int64_t at = start + e.in + m * e.in_stride;
            const Vector g_m = load(g + out + m * e.out_stride, lanes);
            sum += g_m * load(x + at, lanes);
            put(at, f.value * g_m);
        }
        put(z, f.first * sum);
    });
}

void along(const Step& step, const Setting& setting, const Real* x, const Real* g, const Real* t, Real* tangent,
           Real* by_x, Real*) {
    over_copies(step, setting.graph, [&](const Entry& e, int64_t start, int64_t out, auto lanes) {
        const int64_t z = start + e.argument();
        const Jet f = evaluate(e.function, e.factor, load(x + z, lanes));
        const Vector t_z = load(t + z, lanes), slope = f.first * t_z;
        if (!e.components) {
            store(tangent + out, slope, lanes);
            return store(by_x + z, f.second * t_z * load(g + out, lanes), lanes);
        }
        Vector g_x{}, g_t{};
        for (int64_t m = 0; m < e.components; ++m) {
            const int64_t at = start + e.in + m * e.in_stride;
            const Vector g_m = load(g + out + m * e.out_stride, lanes);
            const Vector x_m = load(x + at, lanes), t_m = load(t + at, lanes);
            g_x += g_m * x_m;
            g_t += g_m * t_m;
            store(tangent + out + m * e.out_stride, slope * x_m + f.value * t_m, lanes);
            store(by_x + at, slope * g_m, lanes);
        }
        store(by_x + z, f.second * t_z * g_x + f.first * g_t, lanes);
    });
}

}  // namespace

extern "C" {
extern const Functions gate_step;
const Functions gate_step = {forward, backward, along, sizeof(Gate)};
}
