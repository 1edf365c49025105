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

    // Rows of a panel side by side, and their weights: the first, and how far it is to those of the next row and
    // of the next column.
    struct Strip {
        int64_t at, rows, width, weight, along_rows, along_columns;
        Real alpha;
    };

    // Call `body(strip)` for the rows `first .. last` of all panels.
    template <class Body>
    void over_rows(int64_t first, int64_t last, Body body) const {
        int64_t row = 0;
        for (int64_t group = 0; group < groups_; ++group)
            for (int64_t i = 0; i < map_.blocks; ++i) {
                const Block& b = map_.block[i];
                const int64_t along_u = b.transposed ? 1 : b.mul_out;
                const int64_t along_v = b.transposed ? b.mul_in : 1;
                for (int64_t panel = 0; panel < panels(b); ++panel, row += b.mul_in) {
                    const int64_t v = panel * COLUMNS, u = std::max(int64_t(0), first - row);
                    const int64_t rows = std::min(b.mul_in, last - row) - u;
                    if (rows <= 0) continue;
                    const int64_t weight = group * weight_numel_ + b.start_weight + u * along_u + v * along_v;
                    body(Strip{(row + u) * COLUMNS, rows, std::min(COLUMNS, b.mul_out - v), weight, along_u, along_v,
                              Real(b.alpha)});
                }
            }
    }

    // Fill rows `first .. last` of the panels W.
    void pack_rows(const Real* weight, int64_t first, int64_t last, Real* W) const {
        over_rows(first, last, [&](const Strip& strip) {
            const Real* from = weight + strip.weight;
            Real* row = W + strip.at;
            int64_t u = 0;
            if (strip.width == COLUMNS && strip.along_rows == 1)
                for (; u + WIDTH <= strip.rows; u += WIDTH, from += WIDTH, row += WIDTH * COLUMNS)
                    for (int64_t v = 0; v < COLUMNS; v += WIDTH) {
                        Vector square[WIDTH];
                        UNROLL
                        for (int i = 0; i < WIDTH; ++i)
                            square[i] = strip.alpha * load(from + (v + i) * strip.along_columns);
                        transpose(square);
                        UNROLL
                        for (int i = 0; i < WIDTH; ++i) store(row + i * COLUMNS + v, square[i]);
                    }
            for (; u < strip.rows; ++u, from += strip.along_rows, row += COLUMNS) {
                if (strip.width == COLUMNS && strip.along_columns == 1) {
                    store(row, strip.alpha * load(from)), store(row + WIDTH, strip.alpha * load(from + WIDTH));
                    continue;
                }
                for (int64_t v = 0; v < strip.width; ++v) row[v] = strip.alpha * from[v * strip.along_columns];
                std::fill(row + strip.width, row + COLUMNS, Real(0));
            }
        });
    }

    void pack(const Real* weight, int64_t threads, Real* W) const {
        over_range(rows(), threads, [&](int64_t first, int64_t last) { pack_rows(weight, first, last, W); });
    }
};

}  // namespace
