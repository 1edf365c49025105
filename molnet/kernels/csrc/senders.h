// Sweeps in order of senders: see sweep.h.

#pragma once

#include "sweep.h"

namespace {

// dS/d(x, Y, B, T) or dD/d(x, Y, B, T).
template <template <int, int> class Kind>
void to_senders(const Arrays& arrays) {
    with_tables(arrays, [](const Arrays& of) {
        const Shape& s = of.s;
        // Threads that meet in the table add to tables of their own. With one term they do not.
        const int64_t table_size = s.table_rows * s.table_stride;
        const int64_t copies = of.gT && s.terms > 1 ? s.threads : 0;
        Numbers tables(copies * table_size);
        if (of.gT) std::memset(of.gT, 0, s.table_rows * s.weight * sizeof(Real));
        if (of.gB) std::memset(of.gB, 0, s.edges * s.terms * sizeof(Real));
        over_nodes(s.nodes, s.sender_starts, s.threads, [&](int64_t thread, int64_t first, int64_t last) {
            Arrays mine = of;
            if (copies > 0) mine.gT = tables.data() + thread * table_size;
            std::memset(of.gx + first * s.x, 0, (last - first) * s.x * sizeof(Real));
            sweep_any<Kind>(mine, s.sender_starts, s.by_sender, first, last);
        });
        if (copies > 0)
            over_range(s.table_rows, s.threads, [&](int64_t first, int64_t last) {
                for (int64_t row = first; row < last; ++row)
                    for (int64_t copy = 0; copy < copies; ++copy)
                        for (int64_t i = 0; i < s.weight; ++i)
                            of.gT[row * s.weight + i] +=
                                tables.data()[copy * table_size + row * s.table_stride + i];
            });
    });
}

}  // namespace
