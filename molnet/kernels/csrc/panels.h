// Weights of blocks in the order in which linear maps read them: see blockwise.cpp.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels.h"
#include "threads.h"
#include "vectors.h"

namespace {

constexpr int64_t COLUMNS = 2 * WIDTH;  // of a panel

int64_t panels(const Block& b) { return (b.mul_out + COLUMNS - 1) / COLUMNS; }

// The weights of all blocks, times alpha, as panels [mul_in][COLUMNS], group after group.
class Panels {
    Blocks map_;
    int64_t groups_, weight_numel_;
    std::vector<int64_t> starts_{0};

  public:
    Panels(const Blocks& map, int64_t groups, int64_t weight_numel)
        : map_(map), groups_(groups), weight_numel_(weight_numel) {
        for (int64_t i = 0; i < map.blocks; ++i)
            starts_.push_back(starts_[i] + panels(map.block[i]) * map.block[i].mul_in * COLUMNS);
    }

    // Numbers that a group takes.
    int64_t size() const { return starts_.back(); }

    // Where those of block i start.
    int64_t at(int64_t i, int64_t group) const { return group * size() + starts_[i]; }

    int64_t rows() const { return groups_ * size() / COLUMNS; }

    // Call `body(place in the panels, place in the weights, distance of columns there, width, alpha)`
    // for the rows `first .. last` of all panels.
    template <class Body>
    void over_rows(int64_t first, int64_t last, Body body) const {
        int64_t row = 0;
        for (int64_t group = 0; group < groups_; ++group)
            for (int64_t i = 0; i < map_.blocks; ++i) {
                const Block& b = map_.block[i];
                const int64_t along_u = b.transposed ? 1 : b.mul_out;
                const int64_t along_v = b.transposed ? b.mul_in : 1;
                for (int64_t panel = 0; panel < panels(b); ++panel, row += b.mul_in) {
                    const int64_t v = panel * COLUMNS, width = std::min(COLUMNS, b.mul_out - v);
                    const int64_t end = std::min(b.mul_in, last - row);
                    for (int64_t u = std::max(int64_t(0), first - row); u < end; ++u)
                        body((row + u) * COLUMNS,
                             group * weight_numel_ + b.start_weight + u * along_u + v * along_v, along_v,
                             width, Real(b.alpha));
                }
            }
    }

    // Fill rows `first .. last` of the panels W.
    void pack_rows(const Real* weight, int64_t first, int64_t last, Real* W) const {
        over_rows(first, last, [&](int64_t at, int64_t from, int64_t stride, int64_t width, Real alpha) {
            Real* row = W + at;
            if (stride == 1 && width == COLUMNS) {
                store(row, alpha * load(weight + from));
                store(row + WIDTH, alpha * load(weight + from + WIDTH));
                return;
            }
            for (int64_t v = 0; v < width; ++v) row[v] = alpha * weight[from + v * stride];
            std::fill(row + width, row + COLUMNS, Real(0));
        });
    }

    void pack(const Real* weight, int64_t threads, Real* W) const {
        over_range(rows(), threads, [&](int64_t first, int64_t last) { pack_rows(weight, first, last, W); });
    }
};

}  // namespace
