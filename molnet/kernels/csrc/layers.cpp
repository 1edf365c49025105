// The passes over the layers of a network of which its first two derivatives are made: see layered.py.
//
//     sent = in x,   messages = convolution of sent,   update = out messages + own x,   x = gate(update)

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernels.h"
#include "threads.h"

namespace {

struct Layer {
    Linear in, out, own;
    Convolution convolution;  // all but what depends on the graph; the same of the gate
    const Real* table;
    Gate gate;
    int64_t scalars, num_scalars;  // where the invariants are in what leaves the gate
};

struct Layers {
    int64_t count;
    const Layer* layer;
    EdgeBasis edge_basis;  // all but edges and threads
};

// Edges in order of receivers; the rest is found by `order_graph`.
struct Graph {
    int64_t nodes, edges, groups, threads;
    const int64_t *species, *senders, *receivers;
    const int64_t *order, *group_starts, *receiver_starts, *by_sender, *sender_starts;
};

// What edges are known by: harmonics, spline basis, and the first row of the table.
struct OfEdges {
    Real *Y, *B;
    int64_t* rows;
};

EdgeBasis edge_basis_of(const Layers& layers, const Graph& graph) {
    EdgeBasis basis = layers.edge_basis;
    basis.edges = graph.edges, basis.threads = graph.threads;
    return basis;
}

// Gradients of a layer's weights: flat ones of its maps, and that of its table.
struct OfWeights {
    Real *in, *out, *own, *table;
};

// A layer at work on a graph.
struct At {
    const Layer& layer;
    const Graph& graph;
    const OfEdges& edges;

    Rows all() const { return {graph.nodes, 1, nullptr, nullptr, graph.threads, 0}; }

    // By species; what comes out is added to what is there.
    Rows onto() const { return {graph.nodes, graph.groups, graph.order, graph.group_starts, graph.threads, 1}; }

    Convolution convolution(bool onto = false) const {
        Convolution c = layer.convolution;
        c.nodes = graph.nodes, c.edges = graph.edges, c.threads = graph.threads, c.rows = edges.rows;
        c.senders = graph.senders, c.receivers = graph.receivers, c.receiver_starts = graph.receiver_starts;
        c.by_sender = graph.by_sender, c.sender_starts = graph.sender_starts, c.onto = onto;
        return c;
    }

    Gate gate() const {
        Gate g = layer.gate;
        g.rows = graph.nodes, g.threads = graph.threads;
        return g;
    }

    // What is done to the invariants of every node: `body(those among all that left the gate, those of
    // this layer among the invariants of all layers side by side)`.
    template <class Row, class Side, class Body>
    void over_scalars(Row* rows, Side* side_by_side, int64_t start, int64_t width, Body body) const {
        for (int64_t n = 0; n < graph.nodes; ++n)
            body(rows + n * layer.gate.dim_out + layer.scalars, side_by_side + n * width + start);
    }
};

void map(const Linear& linear, const Rows& rows, const Real* x, Real* y) {
    blockwise_packed_map(linear.map, &rows, 0, x, linear.panels, y);
}

// The gradients of x and of the weights from that of the result, g.
void differentiate(const Linear& linear, const Rows& rows, const Real* x, const Real* g, Real* gx, Real* gW) {
    blockwise_packed_both(
        linear.map, &rows, linear.weight_numel, x, g, gW, linear.transpose, linear.panels_of_transpose, g, gx);
}

// The change of the result with that of x, t, and the gradient of the weights that it leads to.
void follow(const Linear& linear, const Rows& rows, const Real* t, const Real* g, Real* change, Real* gW) {
    blockwise_packed_both(
        linear.map, &rows, linear.weight_numel, t, g, gW, linear.map, linear.panels, t, change);
}

void add(const Real* from, int64_t size, Real* to, int64_t threads) {
    over_range(size, worthwhile(threads, size), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) to[i] += from[i];
    });
}

// A row of numbers for each node in each of some layers, one layer after another in memory that is
// given, or, where none is, in the same place in turn.
class Features {
    std::optional<Numbers> in_turn_;
    std::vector<Real*> places_;

  public:
    // Moves on in the memory. `width(layer)` is the length of a row.
    template <class Number, class Width>
    Features(const Layers& layers, int64_t count, int64_t nodes, Number*& memory, Width width) {
        int64_t most = 0;
        for (int64_t i = 0; i < count; ++i) most = std::max(most, nodes * width(layers.layer[i]));
        if (!memory) in_turn_.emplace(most, false);
        for (int64_t i = 0; i < count; ++i) {
            places_.push_back(memory ? const_cast<Real*>(memory) : in_turn_->data());
            if (memory) memory += nodes * width(layers.layer[i]);
        }
    }

    Real* operator[](int64_t i) const { return places_[i]; }
};

int64_t width_in(const Layer& layer) { return layer.convolution.x; }
int64_t width_of_messages(const Layer& layer) { return layer.convolution.out; }
int64_t width_of_update(const Layer& layer) { return layer.gate.dim_in; }
int64_t width_out(const Layer& layer) { return layer.gate.dim_out; }

// What the passes keep of one another; `memory` may be null.

// What gradients of vectors need.
template <class Number>
struct Steps {
    Features sent, update;

    Steps(const Layers& layers, int64_t nodes, Number* memory)
        : sent(layers, layers.count, nodes, memory, width_in),
          update(layers, layers.count, nodes, memory, width_of_update) {}
};

// What gradients of weights need as well: x of all layers but the first.
template <class Number>
struct Rest {
    Features messages, x;

    Rest(const Layers& layers, int64_t nodes, Number* memory)
        : messages(layers, layers.count, nodes, memory, width_of_messages),
          x(layers, layers.count - 1, nodes, memory, width_out) {}
};

// The gradients on the way.
template <class Number>
struct Adjoints {
    Features result, update, messages, sent;

    Adjoints(const Layers& layers, int64_t nodes, Number* memory)
        : result(layers, layers.count, nodes, memory, width_out),
          update(layers, layers.count, nodes, memory, width_of_update),
          messages(layers, layers.count, nodes, memory, width_of_messages),
          sent(layers, layers.count, nodes, memory, width_in) {}
};

// Where each of the values 0 .. size - 1 starts among `count` of them, and their stable order; returns
// whether they are in that range.
bool sort_by_counting(const int64_t* values, int64_t count, int64_t size, int64_t* order, int64_t* starts) {
    std::fill_n(starts, size + 1, int64_t(0));
    for (int64_t i = 0; i < count; ++i) {
        if (values[i] < 0 || values[i] >= size) return false;
        ++starts[values[i]];
    }
    int64_t end = 0;
    for (int64_t value = 0; value <= size; ++value) starts[value] = end += starts[value];
    for (int64_t i = count; i-- > 0;) order[--starts[values[i]]] = i;
    return true;
}

int64_t all_scalars(const Layers& layers) {
    int64_t width = 0;
    for (int64_t i = 0; i < layers.count; ++i) width += layers.layer[i].num_scalars;
    return width;
}

}  // namespace

extern "C" {

// Numbers that the orders of a graph take.
int64_t orders_size(const Graph* graph) { return 3 * graph->nodes + 2 * graph->edges + graph->groups + 3; }

// Find the orders of nodes and edges; returns whether the receivers ascend and all indices are in range.
int64_t order_graph(Graph* graph, int64_t* memory) {
    const int64_t nodes = graph->nodes, edges = graph->edges, groups = graph->groups;
    const auto sort = [&](const int64_t* values, int64_t count, int64_t size, const int64_t*& order,
                          const int64_t*& starts) {
        int64_t *const to_order = memory, *const to_starts = memory + count;
        memory = to_starts + size + 1;
        order = to_order, starts = to_starts;
        return sort_by_counting(values, count, size, to_order, to_starts);
    };
    const int64_t* same_order;
    return std::is_sorted(graph->receivers, graph->receivers + edges) &&
           sort(graph->species, nodes, groups, graph->order, graph->group_starts) &&
           sort(graph->senders, edges, nodes, graph->by_sender, graph->sender_starts) &&
           sort(graph->receivers, edges, nodes, same_order, graph->receiver_starts);
}

// The invariants of all layers side by side and the features of the last, and what `edges` has room for.
// Steps and rest may be null.
void layers_forwards(const Layers* layers, const Graph* graph, const Real* vectors, const OfEdges* edges,
                     const Real* x, Real* steps, Real* rest, Real* scalars, Real* features) {
    const EdgeBasis basis = edge_basis_of(*layers, *graph);
    edge_basis_forward(&basis, vectors, edges->Y, edges->B, edges->rows);
    const int64_t last = layers->count - 1, width = all_scalars(*layers);
    const Steps step(*layers, graph->nodes, steps);
    const Rest kept(*layers, graph->nodes, rest);
    int64_t start = 0;
    for (int64_t i = 0; i <= last; ++i) {
        const Layer& layer = layers->layer[i];
        const At at{layer, *graph, *edges};
        map(layer.in, at.all(), x, step.sent[i]);
        const Convolution convolution = at.convolution();
        convolution_forward(&convolution, step.sent[i], edges->Y, edges->B, layer.table, kept.messages[i]);
        map(layer.out, at.all(), kept.messages[i], step.update[i]);
        if (layer.own.map) map(layer.own, at.onto(), x, step.update[i]);
        Real* result = i == last ? features : kept.x[i];
        const Gate gate = at.gate();
        gate_forward(&gate, step.update[i], result);
        at.over_scalars(result, scalars, start, width, [&](const Real* row, Real* side) {
            std::copy_n(row, layer.num_scalars, side);
        });
        start += layer.num_scalars;
        x = result;
    }
}

// From gradients of invariants and features (one of them may be null), and of the steps (null if there
// are none), those of vectors, and of x and the weights, where they are wanted (else null).
void layers_backwards(const Layers* layers, const Graph* graph, const Real* vectors, const OfEdges* edges,
                      const Real* x, const Real* steps, const Real* rest, const Real* of_scalars,
                      const Real* of_features, const Real* of_steps, Real* adjoints, Real* of_vectors,
                      Real* of_x, const OfWeights* of_weights) {
    const EdgeBasis basis = edge_basis_of(*layers, *graph);
    const int64_t to_edges = of_vectors ? graph->edges : 0;
    const Numbers gY(to_edges * basis.harmonics(), false), gB(to_edges * SPLINE_TERMS, false);
    Real *const of_Y = of_vectors ? gY.data() : nullptr, *const of_B = of_vectors ? gB.data() : nullptr;
    const int64_t nodes = graph->nodes, last = layers->count - 1, width = all_scalars(*layers);
    const Steps step(*layers, nodes, steps);
    const Rest kept(*layers, nodes, rest);
    const Steps source(*layers, nodes, of_steps);
    const Adjoints of(*layers, nodes, adjoints);
    const int64_t size = nodes * width_out(layers->layer[last]);
    if (of_features)
        std::copy_n(of_features, size, of.result[last]);
    else
        std::fill_n(of.result[last], size, Real(0));
    int64_t start = width;
    for (int64_t i = last; i >= 0; --i) {
        const Layer& layer = layers->layer[i];
        const At at{layer, *graph, *edges};
        start -= layer.num_scalars;
        if (of_scalars)
            at.over_scalars(of.result[i], of_scalars, start, width, [&](Real* row, const Real* side) {
                for (int64_t c = 0; c < layer.num_scalars; ++c) row[c] += side[c];
            });
        const Gate gate = at.gate();
        gate_backward(&gate, step.update[i], of.result[i], of.update[i]);
        if (of_steps) add(source.update[i], nodes * width_of_update(layer), of.update[i], graph->threads);
        if (of_weights)
            differentiate(
                layer.out, at.all(), kept.messages[i], of.update[i], of.messages[i], of_weights[i].out);
        else
            map(layer.out.transposed(), at.all(), of.update[i], of.messages[i]);
        const Convolution convolution = at.convolution(i < last);
        convolution_backward(&convolution, of.messages[i], step.sent[i], edges->Y, edges->B, layer.table,
                             of.sent[i], of_Y, of_B, of_weights ? of_weights[i].table : nullptr);
        if (of_steps) add(source.sent[i], nodes * width_in(layer), of.sent[i], graph->threads);

        Real* gradient = i > 0 ? of.result[i - 1] : of_x;
        if (i == 0 && !of_weights) continue;
        if (of_weights) {
            const Real* before = i > 0 ? kept.x[i - 1] : x;
            differentiate(layer.in, at.all(), before, of.sent[i], gradient, of_weights[i].in);
            if (layer.own.map)
                differentiate(layer.own, at.onto(), before, of.update[i], gradient, of_weights[i].own);
        } else {
            map(layer.in.transposed(), at.all(), of.sent[i], gradient);
            if (layer.own.map) map(layer.own.transposed(), at.onto(), of.update[i], gradient);
        }
    }
    if (of_vectors) edge_basis_backward(&basis, vectors, of_Y, of_B, of_vectors);
}

// With v the gradient of the vectors that a pass backwards with these adjoints led to: the change of
// invariants and features along t, and the derivatives of v·t by steps and weights. The first layer's x
// does not change, so there are none by its `in` and `own`.
void layers_along(const Layers* layers, const Graph* graph, const Real* vectors, const OfEdges* edges,
                  const Real* steps, const Real* adjoints, const Real* t, Real* along_scalars,
                  Real* along_features, Real* of_steps, const OfWeights* of_weights) {
    const EdgeBasis basis = edge_basis_of(*layers, *graph);
    const Numbers along_Y(graph->edges * basis.harmonics(), false), along_B(graph->edges * SPLINE_TERMS, false);
    const Real *const y = along_Y.data(), *const b = along_B.data();
    edge_basis_tangent(&basis, vectors, t, along_Y.data(), along_B.data());
    const int64_t nodes = graph->nodes, last = layers->count - 1, width = all_scalars(*layers);
    const Steps step(*layers, nodes, steps);
    const Steps to_step(*layers, nodes, of_steps);
    const Adjoints of(*layers, nodes, adjoints);
    Real* none = nullptr;
    const Steps along(*layers, nodes, none);
    const Rest kept(*layers, nodes, none);
    const Real* moved = nullptr;
    int64_t start = 0;
    for (int64_t i = 0; i <= last; ++i) {
        const Layer& layer = layers->layer[i];
        const At at{layer, *graph, *edges};
        if (moved)
            follow(layer.in, at.all(), moved, of.sent[i], along.sent[i], of_weights[i].in);
        else
            std::fill_n(along.sent[i], nodes * width_in(layer), Real(0));
        const Convolution convolution = at.convolution();
        convolution_double_forward(&convolution, step.sent[i], edges->Y, edges->B, layer.table,
                                   along.sent[i], y, b, nullptr, kept.messages[i]);
        convolution_double_backward(&convolution, of.messages[i], step.sent[i], edges->Y, edges->B,
                                    layer.table, along.sent[i], y, b, nullptr, to_step.sent[i], nullptr,
                                    nullptr, of_weights[i].table);
        follow(layer.out, at.all(), kept.messages[i], of.update[i], along.update[i], of_weights[i].out);
        if (moved && layer.own.map)
            follow(layer.own, at.onto(), moved, of.update[i], along.update[i], of_weights[i].own);
        Real* result = i == last ? along_features : kept.x[i];
        const Gate gate = at.gate();
        gate_tangent(&gate, step.update[i], of.result[i], along.update[i], result, to_step.update[i]);
        at.over_scalars(result, along_scalars, start, width, [&](const Real* row, Real* side) {
            std::copy_n(row, layer.num_scalars, side);
        });
        start += layer.num_scalars;
        moved = result;
    }
}

}  // extern "C"
