// Weights of many maps packed at once: see packing.py.

#include <cstdint>
#include <vector>

#include "kernels.h"
#include "linear/panels.h"
#include "threads.h"

extern "C" {

// Pack the weights of some maps and of their transposes one after another in memory, and say where;
// returns how many numbers they take. Without memory that is all.
int64_t pack_maps(int64_t count, const Weighted* maps, int64_t threads, Real* memory, Linear* packed) {
    std::vector<Panels> all;  // of each map, then of its transpose
    std::vector<int64_t> starts{0};
    for (int64_t i = 0; i < count; ++i)
        for (const Blocks* blocks : {maps[i].map, maps[i].transpose}) {
            all.emplace_back(*blocks, maps[i].groups, maps[i].weight_numel);
            starts.push_back(starts.back() + maps[i].groups * all.back().size());
        }
    const int64_t size = starts.back();
    if (!memory) return size;
    constexpr int64_t PRODUCTS = 16;  // take as long as packing a number
    over_range(size / COLUMNS, worthwhile(threads, PRODUCTS * size), [&](int64_t first, int64_t last) {
        for (int64_t i = 0; i < 2 * count; ++i) {
            const int64_t row = starts[i] / COLUMNS;
            all[i].pack_rows(maps[i / 2].weight, first - row, last - row, memory + starts[i]);
        }
    });
    for (int64_t i = 0; i < count; ++i)
        packed[i] = {maps[i].map, maps[i].transpose, memory + starts[2 * i], memory + starts[2 * i + 1],
                     maps[i].weight_numel};
    return size;
}

}  // extern "C"
