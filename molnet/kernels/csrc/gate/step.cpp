// The gate as a step: gate.cpp.

#include "step.h"

namespace {

Gate on(const Step& step, const Setting& setting) {
    Gate gate = *static_cast<const Gate*>(step.what);
    gate.rows = setting.graph.nodes, gate.threads = setting.graph.threads;
    return gate;
}

void forward(const Step& step, const Setting& setting, const Real* x, Real* y) {
    const Gate gate = on(step, setting);
    gate_forward(&gate, x, y);
}

void backward(const Step& step, Setting& setting, const Real* x, const Real* g, Real* gx, bool adds, Real*) {
    const Gate gate = on(step, setting);
    const int64_t size = adds ? gate.rows * gate.dim_in : 0;
    const Numbers apart(size, false);
    gate_backward(&gate, x, g, adds ? apart.data() : gx);
    for (int64_t i = 0; i < size; ++i) gx[i] += apart.data()[i];
}

void along(const Step& step, const Setting& setting, const Real* x, const Real* g, const Real* t, Real* tangent,
           Real* by_x, Real*) {
    const Gate gate = on(step, setting);
    gate_tangent(&gate, x, g, t, tangent, by_x);
}

}  // namespace

extern "C" {
extern const Functions gate_step;
const Functions gate_step = {forward, backward, along, sizeof(Gate)};
}
