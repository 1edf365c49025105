// What edges bring to nodes and take from them: see inflow.py.

#include <algorithm>
#include <cstdint>

#include "vectors.h"

extern "C" void net_inflow(int64_t edges, int64_t width, int64_t nodes, const int64_t* senders,
                           const int64_t* receivers, const Real* values, Real* total) {
    std::fill_n(total, nodes * width, Real(0));
    for (int64_t e = 0; e < edges; ++e, values += width) {
        Real *const to = total + receivers[e] * width, *const from = total + senders[e] * width;
        for (int64_t i = 0; i < width; ++i) to[i] += values[i], from[i] -= values[i];
    }
}
