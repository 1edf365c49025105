// Linear maps as steps, of all nodes alike and of each species: blockwise.cpp.

#include "step.h"

namespace {

template <bool OF_SPECIES>
Rows rows_of(const Graph& graph, bool adds) {
    if (OF_SPECIES) return {graph.nodes, graph.groups, graph.order, graph.group_starts, graph.threads, adds};
    return {graph.nodes, 1, nullptr, nullptr, graph.threads, adds};
}

const Linear& linear_of(const Step& step) { return *static_cast<const Linear*>(step.what); }

template <bool OF_SPECIES>
void forward(const Step& step, const Setting& setting, const Real* x, Real* y) {
    const Linear& linear = linear_of(step);
    const Rows rows = rows_of<OF_SPECIES>(setting.graph, step.onto);
    blockwise_packed_map(linear.map, &rows, 0, x, linear.panels, y);
}

template <bool OF_SPECIES>
void backward(const Step& step, Setting& setting, const Real* x, const Real* g, Real* gx, bool adds, Real* gW) {
    const Linear& linear = linear_of(step);
    const Rows rows = rows_of<OF_SPECIES>(setting.graph, adds);
    if (gx && gW)
        blockwise_packed_both(linear.map, &rows, linear.weight_numel, x, g, gW, linear.transpose,
                              linear.panels_of_transpose, g, gx);
    else if (gx)
        blockwise_packed_map(linear.transpose, &rows, 0, g, linear.panels_of_transpose, gx);
    else if (gW)
        blockwise_outer(linear.map, &rows, linear.weight_numel, x, g, gW);
}

template <bool OF_SPECIES>
void along(const Step& step, const Setting& setting, const Real*, const Real* g, const Real* t, Real* tangent,
           Real*, Real* gW) {
    const Linear& linear = linear_of(step);
    const Rows rows = rows_of<OF_SPECIES>(setting.graph, step.onto);
    if (gW)
        blockwise_packed_both(linear.map, &rows, linear.weight_numel, t, g, gW, linear.map, linear.panels, t,
                              tangent);
    else
        blockwise_packed_map(linear.map, &rows, 0, t, linear.panels, tangent);
}

}  // namespace

extern "C" {
extern const Functions linear_step, species_linear_step;
const Functions linear_step = {forward<false>, backward<false>, along<false>, sizeof(Linear)};
const Functions species_linear_step = {forward<true>, backward<true>, along<true>, sizeof(Linear)};
}
