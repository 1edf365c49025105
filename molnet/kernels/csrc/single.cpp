// One step by itself: see single.py. Each function is the step's own, of a graph without edges.

#include "step.h"

extern "C" {

void step_forward(const Step* step, const Graph* graph, const Real* x, Real* y) {
    step->functions->forward(*step, Setting{*graph, {}, nullptr, nullptr, nullptr, nullptr, false}, x, y);
}

void step_backward(const Step* step, const Graph* graph, const Real* x, const Real* g, Real* gx, Real* gW) {
    Setting setting{*graph, {}, nullptr, nullptr, nullptr, nullptr, false};
    step->functions->backward(*step, setting, x, g, gx, false, gW);
}

void step_along(const Step* step, const Graph* graph, const Real* x, const Real* g, const Real* t, Real* tangent,
                Real* by_x, Real* gW) {
    const Setting setting{*graph, {}, nullptr, nullptr, nullptr, nullptr, false};
    step->functions->along(*step, setting, x, g, t, tangent, by_x, gW);
}

}  // extern "C"
