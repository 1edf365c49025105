// How work is divided between threads.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "vectors.h"

// How many threads of those at hand pay off for so many multiplications: a few are done before another
// thread has woken up.
inline int64_t worthwhile(int64_t threads, int64_t products) {
    return std::clamp(products / (1 << 17), int64_t(1), threads);
}

// Run `body(part)` for each of `parts`, in threads of the pool that PyTorch uses too.
template <class Body>
void in_parallel(int64_t parts, Body body) {
    if (parts == 1) {
        [[maybe_unused]] const FlushDenormals flush;
        body(int64_t(0));
        return;
    }
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int64_t part = 0; part < parts; ++part) {
        [[maybe_unused]] const FlushDenormals flush;
        body(part);
    }
}

// Cut `0 .. size` into one stretch for each thread: `body(first, last)`.
template <class Body>
void over_range(int64_t size, int64_t threads, Body body) {
    in_parallel(threads, [&](int64_t part) {
        body(size * part / threads, size * (part + 1) / threads);
    });
}

// Give each thread a run of nodes with about the same number of edges: `body(thread, first, last)`.
template <class Body>
void over_nodes(int64_t nodes, const int64_t* starts, int64_t threads, Body body) {
    const int64_t edges = starts[nodes];
    std::vector<int64_t> cuts(threads + 1, nodes);
    cuts[0] = 0;
    for (int64_t node = 0, part = 1; node < nodes && part < threads; ++node)
        while (part < threads && starts[node + 1] * threads >= edges * part) cuts[part++] = node + 1;
    in_parallel(threads, [&](int64_t part) { body(part, cuts[part], cuts[part + 1]); });
}
