// Matrix products on the blocks of features, in place: see blockwise.py.
//
//     map:    y[n, m, v] (+)= sum_u x[n, m, u] alpha W[u, v]
//     outer:  gW[u, v]    =  alpha sum_{n, m} x[n, m, u] g[n, m, v]
//
// for every block and component m; `both` is the map and the outer product of the same g in one sweep.
// Rows n may be in groups, each with weights of their own.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels.h"
#include "linear/panels.h"
#include "stream.h"
#include "threads.h"
#include "vectors.h"

namespace {

constexpr int64_t ROWS = 6;            // of a tile of results that is kept in registers
constexpr int64_t NODES_AT_ONCE = 12;  // their features stay in the nearest cache
constexpr int64_t COMPONENTS_AT_ONCE = 9;
constexpr int64_t ROWS_AT_ONCE = NODES_AT_ONCE * COMPONENTS_AT_ONCE;
constexpr int64_t LINE = 64 / sizeof(Real);

struct Map : Blocks, Rows {
    int64_t weight_numel;  // of a group

    Panels panels() const { return {*this, groups, weight_numel}; }
    int64_t start(int64_t group) const { return starts ? starts[group] : group * nodes; }
    int64_t node(int64_t i) const { return order ? order[i] : i; }

    // Features that overflow the cache of a core are fetched ahead: those of the node that the next run
    // has in place of the i-th of the order.
    bool fetches() const { return nodes * (dim_in + dim_out) * int64_t(sizeof(Real)) > 1 << 20; }
    int64_t next(int64_t i) const { return node(std::min(nodes - 1, i + NODES_AT_ONCE)); }

    // Results that no cache keeps are written past them, whole lines at a time, unless others add to them.
    bool streams(const Real* y, const Block& b) const {
        const int64_t at = reinterpret_cast<intptr_t>(y) / int64_t(sizeof(Real));
        for (int64_t i = 0; i < blocks; ++i)
            if (block[i].adds && block[i].start_out == b.start_out) return false;
        return nodes * dim_out * int64_t(sizeof(Real)) > 8 << 20 && at % LINE == 0 && dim_out % LINE == 0 &&
               b.start_out % LINE == 0 && b.mul_out % LINE == 0;
    }

    int64_t worthwhile_threads() const {
        int64_t products = 0;
        for (int64_t i = 0; i < blocks; ++i)
            products += nodes * block[i].components * block[i].mul_in * block[i].mul_out;
        return worthwhile(threads, products);
    }
};

// to[:width] (+)= (left, right)
__attribute__((noinline)) void store_some(
    Real* to, Vector left, Vector right, int64_t width, bool adds) {
    Real numbers[COLUMNS];
    store(numbers, left), store(numbers + WIDTH, right);
    for (int64_t v = 0; v < width; ++v) to[v] = adds ? to[v] + numbers[v] : numbers[v];
}

// How results are stored: added to what is there, written, or written past the caches.
enum Store { ADD, WRITE, STREAM };

// to[r][v:][:width] (+)= sum_u from[r][u] panel[u], for R rows.
template <int R>
void tile(const Real* const* from, const Real* panel, int64_t mul_in, Real* const* to, int64_t v, int64_t width,
          Store how) {
    Vector sum[R][2] = {};
    const Real* rows[R];
    for (int r = 0; r < R; ++r) rows[r] = from[r];
    for (int64_t u = 0; u < mul_in; ++u, panel += COLUMNS) {
        const Vector left = load(panel), right = load(panel + WIDTH);
        UNROLL
        for (int r = 0; r < R; ++r) {
            sum[r][0] += rows[r][u] * left;
            sum[r][1] += rows[r][u] * right;
        }
    }
    UNROLL
    for (int r = 0; r < R; ++r) {
        Real* y = to[r] + v;
        if (width < COLUMNS) {
            store_some(y, sum[r][0], sum[r][1], width, how == ADD);
        } else if (how == STREAM) {
            store_past_caches(y, sum[r][0]), store_past_caches(y + WIDTH, sum[r][1]);
        } else if (how == WRITE) {
            store(y, sum[r][0]), store(y + WIDTH, sum[r][1]);
        } else {
            store(y, load(y) + sum[r][0]), store(y + WIDTH, load(y + WIDTH) + sum[r][1]);
        }
    }
}

using Tile = void (*)(const Real* const*, const Real*, int64_t, Real* const*, int64_t, int64_t, Store);
constexpr Tile TILES[] = {nullptr, tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>};

// sums[r][:COLUMNS] (+)= sum over rows of x[row][r] g[row][:COLUMNS], for R values of r.
template <int R>
void outer_tile(const Real* x, int64_t along_x, const Real* g, int64_t along_g, int64_t rows, Real* sums, bool adds) {
    Vector sum[R][2] = {};
    UNROLL
    for (int r = 0; r < R && adds; ++r)
        sum[r][0] = load(sums + r * COLUMNS), sum[r][1] = load(sums + r * COLUMNS + WIDTH);
    for (int64_t row = 0; row < rows; ++row, x += along_x, g += along_g) {
        const Vector left = load(g), right = load(g + WIDTH);
        UNROLL
        for (int r = 0; r < R; ++r) {
            sum[r][0] += x[r] * left;
            sum[r][1] += x[r] * right;
        }
    }
    UNROLL
    for (int r = 0; r < R; ++r)
        store(sums + r * COLUMNS, sum[r][0]), store(sums + r * COLUMNS + WIDTH, sum[r][1]);
}

using OuterTile = void (*)(const Real*, int64_t, const Real*, int64_t, int64_t, Real*, bool);
constexpr OuterTile OUTER_TILES[] = {nullptr,       outer_tile<1>, outer_tile<2>, outer_tile<3>,
                                     outer_tile<4>, outer_tile<5>, outer_tile<6>};

// Nodes of one group in the order, few enough for their features to stay in the nearest cache.
struct Run {
    int64_t group, first, last;
    bool begins;  // whether it is the first of the group
};

// Call `body(block, run)` for nodes `first .. last` of the order, block by block, so that weights stay in
// a core's own cache while the nodes pass by. A group without nodes is one empty run.
template <class Body>
void over_runs(const Map& map, int64_t first, int64_t last, Body body) {
    for (int64_t i = 0; i < map.blocks; ++i)
        for (int64_t group = 0; group < map.groups; ++group) {
            const int64_t start = std::max(first, map.start(group));
            const int64_t end = std::max(start, std::min(last, map.start(group + 1)));
            int64_t n = start;
            do {
                body(i, Run{group, n, std::min(end, n + NODES_AT_ONCE), n == start});
                n += NODES_AT_ONCE;
            } while (n < end);
        }
}

// Have numbers brought to the nearest cache, for one use.
void fetch(const Real* from, int64_t size) {
    for (int64_t c = 0; c < size; c += LINE) __builtin_prefetch(from + c, 0, 0);
}

// Map components `first .. last` of a run of nodes, by the panels W of a block: they all are rows of one
// product.
void map_rows(const Map& map, const Block& b, const Run& run, const Real* W, const Real* x, Real* y,
              int64_t first, int64_t last) {
    const Real *from[ROWS_AT_ONCE], *next_from[ROWS_AT_ONCE];
    Real *to[ROWS_AT_ONCE], *next_to[ROWS_AT_ONCE];
    int64_t rows = 0;
    for (int64_t n = run.first; n < run.last; ++n)
        for (int64_t m = first; m < last; ++m, ++rows) {
            const Real* const x_row = x + b.start_in + m * b.mul_in;
            Real* const y_row = y + b.start_out + m * b.mul_out;
            from[rows] = x_row + map.node(n) * map.dim_in, next_from[rows] = x_row + map.next(n) * map.dim_in;
            to[rows] = y_row + map.node(n) * map.dim_out, next_to[rows] = y_row + map.next(n) * map.dim_out;
        }
    const Store how = b.adds || map.onto ? ADD : map.streams(y, b) ? STREAM : WRITE;
    for (int64_t panel = 0; panel < panels(b); ++panel, W += b.mul_in * COLUMNS) {
        const int64_t v = panel * COLUMNS, width = std::min(COLUMNS, b.mul_out - v);
        const int64_t u = b.mul_in * panel / panels(b), end = b.mul_in * (panel + 1) / panels(b);
        for (int64_t row = 0; row < rows; row += ROWS) {
            const int64_t count = std::min(ROWS, rows - row);
            for (int64_t i = row; i < row + count && map.fetches(); ++i) {
                fetch(next_from[i] + u, end - u);
                if (how != STREAM) __builtin_prefetch(next_to[i] + v, 1);
            }
            TILES[count](from + row, W, b.mul_in, to + row, v, width, how);
        }
    }
}

void map_run(const Map& map, const Block& b, const Run& run, const Real* W, const Real* x, Real* y) {
    for (int64_t m = 0; m < b.components; m += COMPONENTS_AT_ONCE)
        map_rows(map, b, run, W, x, y, m, std::min(b.components, m + COMPONENTS_AT_ONCE));
}

// Copy the components of a block from a row of features into rows that are `padded` numbers apart.
Real* pack(Real* to, const Real* from, int64_t components, int64_t width, int64_t padded) {
    if (padded == width)
        std::copy_n(from, components * width, to);
    else
        for (int64_t m = 0; m < components; ++m) std::copy_n(from + m * width, width, to + m * padded);
    return to + components * padded;
}

// Numbers in the packed rows of a run.
int64_t packed_size(const Map& map) {
    int64_t size = 0;
    for (int64_t i = 0; i < map.blocks; ++i) {
        const Block& b = map.block[i];
        size = std::max(size, b.components * (b.mul_in + panels(b) * COLUMNS));
    }
    return NODES_AT_ONCE * size;
}

// Add what a run of nodes contributes to the gradient gW of the panels of a block; the first run of a group
// writes it. Rows are packed first: in the features their distance is such that they contend for cache lines.
void outer_run(const Map& map, const Block& b, const Run& run, const Real* x, const Real* g, Real* gW,
               Real* packed) {
    const int64_t rows = (run.last - run.first) * b.components, columns = panels(b) * COLUMNS;
    Real *const x_rows = packed, *const g_rows = x_rows + rows * b.mul_in;
    Real *x_end = x_rows, *g_end = g_rows;
    const Real *const x_block = x + b.start_in, *const g_block = g + b.start_out;
    for (int64_t n = run.first; n < run.last; ++n) {
        x_end = pack(x_end, x_block + map.node(n) * map.dim_in, b.components, b.mul_in, b.mul_in);
        g_end = pack(g_end, g_block + map.node(n) * map.dim_out, b.components, b.mul_out, columns);
        if (!map.fetches()) continue;
        fetch(x_block + map.next(n) * map.dim_in, b.components * b.mul_in);
        fetch(g_block + map.next(n) * map.dim_out, b.components * b.mul_out);
    }
    for (int64_t panel = 0; panel < panels(b); ++panel, gW += b.mul_in * COLUMNS)
        for (int64_t u = 0; u < b.mul_in; u += ROWS)
            OUTER_TILES[std::min(ROWS, b.mul_in - u)](
                x_rows + u, b.mul_in, g_rows + panel * COLUMNS, columns, rows, gW + u * COLUMNS,
                !run.begins);
}

// Results that no block writes.
void clear_uncovered(const Map& map, Real* y) {
    if (!map.covered && !map.onto) std::memset(y, 0, map.nodes * map.dim_out * sizeof(Real));
}

// Sweep over runs of nodes in threads and add up gradients of the weights: `body(block, run, sums,
// packed)` adds to those of a block's panels, or writes them.
template <class Body>
void add_outer(const Map& map, Real* gW, Body body) {
    const Panels panels = map.panels();
    const int64_t size = map.groups * panels.size(), threads = map.worthwhile_threads();
    const Numbers sums(threads * size, false);
    in_parallel(threads, [&](int64_t thread) {
        const Numbers packed(packed_size(map));
        over_runs(map, map.nodes * thread / threads, map.nodes * (thread + 1) / threads,
                  [&](int64_t i, const Run& run) {
                      body(i, run, sums.data() + thread * size + panels.at(i, run.group), packed.data());
                  });
    });
    over_range(panels.rows(), threads, [&](int64_t first, int64_t last) {
        panels.over_rows(first, last, [&](const Panels::Strip& strip) {
            const Real* row = sums.data() + strip.at;
            Real* to = gW + strip.weight;
            for (int64_t u = 0; u < strip.rows; ++u, row += COLUMNS, to += strip.along_rows) {
                Vector left = load(row), right = load(row + WIDTH);
                for (int64_t thread = 1; thread < threads; ++thread) {
                    const Real* other = row + thread * size;
                    left += load(other), right += load(other + WIDTH);
                }
                Real numbers[COLUMNS];
                Real* const here = strip.along_columns == 1 && strip.width == COLUMNS ? to : numbers;
                store(here, strip.alpha * left), store(here + WIDTH, strip.alpha * right);
                if (here != numbers) continue;
                for (int64_t v = 0; v < strip.width; ++v) to[v * strip.along_columns] = numbers[v];
            }
        });
    });
}

}  // namespace

extern "C" {

// With panels W in place of weights.
void blockwise_packed_map(const Blocks* blocks, const Rows* rows, int64_t weight_numel, const Real* x,
                          const Real* W, Real* y) {
    const Map map{*blocks, *rows, weight_numel};
    const Panels panels = map.panels();
    clear_uncovered(map, y);
    over_range(map.nodes, map.worthwhile_threads(), [&](int64_t first, int64_t last) {
        over_runs(map, first, last, [&](int64_t i, const Run& run) {
            map_run(map, map.block[i], run, W + panels.at(i, run.group), x, y);
        });
        finish_stores();
    });
}

void blockwise_map(const Blocks* blocks, const Rows* rows, int64_t weight_numel, const Real* x, const Real* weight,
         Real* y) {
    const Map map{*blocks, *rows, weight_numel};
    const Panels panels = map.panels();
    const Numbers W(map.groups * panels.size(), false);
    panels.pack(weight, map.worthwhile_threads(), W.data());
    blockwise_packed_map(blocks, rows, weight_numel, x, W.data(), y);
}

void blockwise_outer(const Blocks* blocks, const Rows* rows, int64_t weight_numel, const Real* x, const Real* g,
           Real* gW) {
    const Map map{*blocks, *rows, weight_numel};
    add_outer(map, gW, [&](int64_t i, const Run& run, Real* sums, Real* packed) {
        outer_run(map, map.block[i], run, x, g, sums, packed);
    });
}

// gW = the outer product of x and g, and to = another map of one of them, `from`, which has the same blocks
// and the panels W.
void blockwise_packed_both(const Blocks* blocks, const Rows* rows, int64_t weight_numel, const Real* x,
                           const Real* g, Real* gW, const Blocks* other_blocks, const Real* W, const Real* from,
                           Real* to) {
    const Map map{*blocks, *rows, weight_numel}, other{*other_blocks, *rows, weight_numel};
    const Panels panels = other.panels();
    clear_uncovered(other, to);
    add_outer(map, gW, [&](int64_t i, const Run& run, Real* sums, Real* packed) {
        map_run(other, other.block[i], run, W + panels.at(i, run.group), from, to);
        outer_run(map, map.block[i], run, x, g, sums, packed);
        finish_stores();
    });
}

// gW = the outer product of x and g, and gx = the map of g by the transposed weights.
void blockwise_both(const Blocks* blocks, const Rows* rows, int64_t weight_numel, const Real* x, const Real* g,
          const Blocks* transposed_blocks, const Real* weight, Real* gx, Real* gW) {
    const Map transposed{*transposed_blocks, *rows, weight_numel};
    const Panels panels = transposed.panels();
    const Numbers W(transposed.groups * panels.size(), false);
    panels.pack(weight, transposed.worthwhile_threads(), W.data());
    blockwise_packed_both(blocks, rows, weight_numel, x, g, gW, transposed_blocks, W.data(), g, gx);
}

}  // extern "C"
