// The passes over a program of which a network's first two derivatives are made: see passes.py.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "step.h"
#include "threads.h"

namespace {

// What comes in; what nonlinear steps start from; other features on the way; the last features; the
// invariants. Of the first, the last and the invariants the caller says where they are.
enum Role : int64_t { INPUT, STEP, REST, FEATURES, INVARIANTS };

// Features of all nodes. Places count numbers of a row: among all that is kept of this role, among all
// adjoints, and in memory that is used in turn, forwards and backwards.
struct Value {
    int64_t width, role, kept, adjoint, turn, turn_backwards;
};

struct Program {
    int64_t count, values;
    const Step* step;
    const Value* value;
    int64_t turn, turn_backwards;  // how much memory is used in turn, for each node
    EdgeBasis edge_basis;          // all but edges and threads
};

EdgeBasis edge_basis_of(const Program& program, const Graph& graph) {
    EdgeBasis basis = program.edge_basis;
    basis.edges = graph.edges, basis.threads = graph.threads;
    return basis;
}

void add(const Real* from, int64_t size, Real* to, int64_t threads) {
    over_range(size, worthwhile(threads, size), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) to[i] += from[i];
    });
}

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

}  // namespace

extern "C" {

// Sizes of what Python fills in, in the order of `passes.STRUCTURES`.
extern const int64_t structure_sizes[];
const int64_t structure_sizes[] = {sizeof(Step), sizeof(Value), sizeof(Program), sizeof(Graph), sizeof(EdgeBasis)};

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

// The invariants and the last features, and what `edges` has room for. `steps` and `rest`, what is kept of
// the values of these roles, may be null.
void program_forwards(const Program* program, const Graph* graph, const Real* vectors, const OfEdges* edges,
                      const Real* x, Real* steps, Real* rest, Real* invariants, Real* features) {
    const EdgeBasis basis = edge_basis_of(*program, *graph);
    edge_basis_forward(&basis, vectors, edges->Y, edges->B, edges->rows);
    const int64_t nodes = graph->nodes;
    const Numbers in_turn(nodes * program->turn, false);
    std::vector<Real*> at(program->values);
    for (int64_t v = 0; v < program->values; ++v) {
        const Value& value = program->value[v];
        Real* const kept = value.role == STEP ? steps : value.role == REST ? rest : nullptr;
        at[v] = value.role == INPUT        ? const_cast<Real*>(x)
                : value.role == FEATURES   ? features
                : value.role == INVARIANTS ? invariants
                : kept                     ? kept + nodes * value.kept
                                           : in_turn.data() + nodes * value.turn;
    }
    const Setting setting{*graph, *edges, nullptr, nullptr, nullptr, nullptr, false};
    for (int64_t i = 0; i < program->count; ++i) {
        const Step& step = program->step[i];
        step.functions->forward(step, setting, at[step.source], at[step.target]);
    }
}

// From gradients of invariants and features (either may be null) and of the kept steps (null if there are
// none) those of the vectors, and of x and all weights, where they are wanted (else null).
void program_backwards(const Program* program, const Graph* graph, const Real* vectors, const OfEdges* edges,
                       const Real* x, const Real* steps, const Real* rest, const Real* of_invariants,
                       const Real* of_features, const Real* of_steps, Real* adjoints, Real* of_vectors,
                       Real* of_x, Real* const* of_weights) {
    const EdgeBasis basis = edge_basis_of(*program, *graph);
    const int64_t nodes = graph->nodes, to_edges = of_vectors ? graph->edges : 0;
    const Numbers adjoint_Y(to_edges * basis.harmonics(), false), adjoint_B(to_edges * SPLINE_TERMS, false);
    const Numbers in_turn(adjoints ? 0 : nodes * program->turn_backwards, false);
    std::vector<const Real*> at(program->values, nullptr);
    std::vector<Real*> of(program->values, nullptr);
    std::vector<char> begun(program->values, 0), complete(program->values, 0);
    for (int64_t v = 0; v < program->values; ++v) {
        const Value& value = program->value[v];
        if (value.role == INPUT) {
            at[v] = x, of[v] = of_x;
            continue;
        }
        if (value.role == STEP) at[v] = steps + nodes * value.kept;
        if (value.role == REST && rest) at[v] = rest + nodes * value.kept;
        if (value.role == INVARIANTS) {
            of[v] = const_cast<Real*>(of_invariants), begun[v] = of_invariants != nullptr;
            continue;
        }
        of[v] = adjoints ? adjoints + nodes * value.adjoint : in_turn.data() + nodes * value.turn_backwards;
        if (value.role == FEATURES && of_features) {
            std::copy_n(of_features, nodes * value.width, of[v]);
            begun[v] = 1;
        }
    }
    Setting setting{*graph,  *edges, nullptr, nullptr, of_vectors ? adjoint_Y.data() : nullptr,
                    of_vectors ? adjoint_B.data() : nullptr, false};
    for (int64_t i = program->count; i-- > 0;) {
        const Step& step = program->step[i];
        const Value& target = program->value[step.target];
        const int64_t size = nodes * target.width;
        Real* const g = of[step.target];
        if (!complete[step.target]) {
            complete[step.target] = 1;
            if (!begun[step.target] && g) std::fill_n(g, size, Real(0));
            if (of_steps && target.role == STEP) add(of_steps + nodes * target.kept, size, g, graph->threads);
        }
        Real* const gx = of[step.source];
        Real* const gW = of_weights && step.weight_index >= 0 ? of_weights[step.weight_index] : nullptr;
        if (!g || !(gx || gW)) continue;
        step.functions->backward(step, setting, at[step.source], g, gx, begun[step.source], gW);
        begun[step.source] = 1;
    }
    if (of_vectors) edge_basis_backward(&basis, vectors, adjoint_Y.data(), adjoint_B.data(), of_vectors);
}

// With v the gradient of the vectors that a pass backwards with these adjoints led to: the tangents of
// invariants and features along t, and the derivatives of v·t by the kept steps and by all weights. x does
// not change, so that weights of steps that start from it get no gradient.
void program_along(const Program* program, const Graph* graph, const Real* vectors, const OfEdges* edges,
                   const Real* steps, const Real* adjoints, const Real* t, Real* tangent_invariants,
                   Real* tangent_features, Real* of_steps, Real* const* of_weights) {
    const EdgeBasis basis = edge_basis_of(*program, *graph);
    const int64_t nodes = graph->nodes;
    const Numbers tangent_Y(graph->edges * basis.harmonics(), false), tangent_B(graph->edges * SPLINE_TERMS, false);
    edge_basis_tangent(&basis, vectors, t, tangent_Y.data(), tangent_B.data());
    const Numbers in_turn(nodes * program->turn, false);
    std::vector<Real*> tangents(program->values, nullptr);
    for (int64_t v = 0; v < program->values; ++v) {
        const Value& value = program->value[v];
        tangents[v] = value.role == INPUT        ? nullptr
                      : value.role == FEATURES   ? tangent_features
                      : value.role == INVARIANTS ? tangent_invariants
                                                 : in_turn.data() + nodes * value.turn;
    }
    const Setting setting{*graph, *edges, tangent_Y.data(), tangent_B.data(), nullptr, nullptr, false};
    for (int64_t i = 0; i < program->count; ++i) {
        const Step& step = program->step[i];
        const Value &source = program->value[step.source], &target = program->value[step.target];
        Real* const tangent = tangents[step.target];
        if (source.role == INPUT) {
            if (!step.onto) std::fill_n(tangent, nodes * target.width, Real(0));
            continue;
        }
        const Real* const g = target.role == INVARIANTS ? nullptr : adjoints + nodes * target.adjoint;
        const Real* const at = source.role == STEP ? steps + nodes * source.kept : nullptr;
        Real* const by_x = step.nonlinear ? of_steps + nodes * source.kept : nullptr;
        Real* const gW = step.weight_index >= 0 ? of_weights[step.weight_index] : nullptr;
        step.functions->along(step, setting, at, g, tangents[step.source], tangent, by_x, gW);
    }
}

}  // extern "C"
