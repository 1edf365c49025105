// Some columns of the features copied side by side with those of other steps: see `Columns` in program.py.

#include <algorithm>

#include "step.h"

namespace {

struct Columns {
    int64_t first, count, dim_in;  // of the rows that come in
    int64_t place, dim_out;        // of the rows that go out
};

const Columns& columns_of(const Step& step) { return *static_cast<const Columns*>(step.what); }

void forward(const Step& step, const Setting& setting, const Real* x, Real* y) {
    const Columns& c = columns_of(step);
    for (int64_t n = 0; n < setting.graph.nodes; ++n)
        std::copy_n(x + n * c.dim_in + c.first, c.count, y + n * c.dim_out + c.place);
}

void backward(const Step& step, Setting& setting, const Real*, const Real* g, Real* gx, bool adds, Real*) {
    const Columns& c = columns_of(step);
    if (!gx) return;
    if (!adds) std::fill_n(gx, setting.graph.nodes * c.dim_in, Real(0));
    for (int64_t n = 0; n < setting.graph.nodes; ++n)
        for (int64_t i = 0; i < c.count; ++i)
            gx[n * c.dim_in + c.first + i] += g[n * c.dim_out + c.place + i];
}

void along(const Step& step, const Setting& setting, const Real*, const Real*, const Real* t, Real* tangent,
           Real*, Real*) {
    forward(step, setting, t, tangent);
}

}  // namespace

extern "C" {
extern const Functions select_step;
const Functions select_step = {forward, backward, along, sizeof(Columns)};
}
