// The convolution as a step; its weights are a table: coupled/sweep.h.

#include "step.h"

namespace {

Convolution on(const Step& step, const Setting& setting, bool adds = false) {
    Convolution c = *static_cast<const Convolution*>(step.what);
    const Graph& graph = setting.graph;
    c.nodes = graph.nodes, c.edges = graph.edges, c.threads = graph.threads, c.rows = setting.edges.rows;
    c.senders = graph.senders, c.receivers = graph.receivers, c.receiver_starts = graph.receiver_starts;
    c.by_sender = graph.by_sender, c.sender_starts = graph.sender_starts, c.onto = adds;
    return c;
}

void forward(const Step& step, const Setting& setting, const Real* x, Real* y) {
    const Convolution convolution = on(step, setting);
    convolution_forward(&convolution, x, setting.edges.Y, setting.edges.B, step.weight, y);
}

void backward(const Step& step, Setting& setting, const Real* x, const Real* g, Real* gx, bool adds, Real* gW) {
    const Convolution convolution = on(step, setting, setting.adjoints_begun);
    const int64_t size = adds ? convolution.nodes * convolution.x : 0;
    const Numbers apart(size, false);
    convolution_backward(&convolution, g, x, setting.edges.Y, setting.edges.B, step.weight,
                         adds ? apart.data() : gx, setting.adjoint_Y, setting.adjoint_B, gW);
    for (int64_t i = 0; i < size; ++i) gx[i] += apart.data()[i];
    setting.adjoints_begun = true;
}

void along(const Step& step, const Setting& setting, const Real* x, const Real* g, const Real* t, Real* tangent,
           Real* by_x, Real* gW) {
    const Convolution convolution = on(step, setting);
    const Real *const Y = setting.edges.Y, *const B = setting.edges.B;
    const Real *const y = setting.tangent_Y, *const b = setting.tangent_B;
    convolution_double_forward(&convolution, x, Y, B, step.weight, t, y, b, nullptr, tangent);
    convolution_double_backward(&convolution, g, x, Y, B, step.weight, t, y, b, nullptr, by_x, nullptr, nullptr,
                                gW);
}

}  // namespace

extern "C" {
extern const Functions convolution_step;
const Functions convolution_step = {forward, backward, along, sizeof(Convolution)};
}
