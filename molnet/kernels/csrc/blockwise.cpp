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
#include <vector>

#include "kernels.h"
#include "stream.h"
#include "threads.h"
#include "vectors.h"

namespace {

constexpr int64_t ROWS = 6;              // of a tile of results that is kept in registers
constexpr int64_t COLUMNS = 2 * WIDTH;
constexpr int64_t NODES_AT_ONCE = 12;    // their features stay in the nearest cache
constexpr int64_t COMPONENTS_AT_ONCE = 9;
constexpr int64_t ROWS_AT_ONCE = NODES_AT_ONCE * COMPONENTS_AT_ONCE;
constexpr int64_t LINE = 64 / sizeof(Real);

struct Map : Blocks, Rows {
    int64_t weight_numel;  // of a group

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

int64_t panels(const Block& b) { return (b.mul_out + COLUMNS - 1) / COLUMNS; }

// The weights of all blocks as panels [mul_in][COLUMNS], which a tile reads in order.
class Panels {
    std::vector<int64_t> starts_{0};

  public:
    Panels(const Blocks& map) {
        for (int64_t i = 0; i < map.blocks; ++i)
            starts_.push_back(starts_[i] + panels(map.block[i]) * map.block[i].mul_in * COLUMNS);
    }

    int64_t size() const { return starts_.back(); }

    // Where those of block i start.
    int64_t at(int64_t i, int64_t group) const { return group * size() + starts_[i]; }

    int64_t rows(const Map& map) const { return map.groups * size() / COLUMNS; }

    // Call `body(place in the panels, place in the weights, distance of columns there, width, alpha)`
    // for the rows `first .. last` of the panels of all groups.
    template <class Body>
    void over_rows(const Map& map, int64_t first, int64_t last, Body body) const {
        int64_t row = 0;
        for (int64_t group = 0; group < map.groups; ++group)
            for (int64_t i = 0; i < map.blocks; ++i) {
                const Block& b = map.block[i];
                const int64_t along_u = b.transposed ? 1 : b.mul_out;
                const int64_t along_v = b.transposed ? b.mul_in : 1;
                for (int64_t panel = 0; panel < panels(b); ++panel, row += b.mul_in) {
                    const int64_t v = panel * COLUMNS, width = std::min(COLUMNS, b.mul_out - v);
                    const int64_t end = std::min(b.mul_in, last - row);
                    for (int64_t u = std::max(int64_t(0), first - row); u < end; ++u)
                        body((row + u) * COLUMNS,
                             group * map.weight_numel + b.start_weight + u * along_u + v * along_v, along_v,
                             width, Real(b.alpha));
                }
            }
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

// sums[r][:COLUMNS] += sum over rows of x[row][r] g[row][:COLUMNS], for R values of r.
template <int R>
void outer_tile(const Real* x, int64_t along_x, const Real* g, int64_t along_g, int64_t rows, Real* sums) {
    Vector sum[R][2];
    UNROLL
    for (int r = 0; r < R; ++r)
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

using OuterTile = void (*)(const Real*, int64_t, const Real*, int64_t, int64_t, Real*);
constexpr OuterTile OUTER_TILES[] = {nullptr,       outer_tile<1>, outer_tile<2>, outer_tile<3>,
                                     outer_tile<4>, outer_tile<5>, outer_tile<6>};

// Nodes of one group in the order, few enough for their features to stay in the nearest cache.
struct Run {
    int64_t group, first, last;
};

// Call `body(block, run)` for nodes `first .. last` of the order, block by block, so that weights stay in
// a core's own cache while the nodes pass by.
template <class Body>
void over_runs(const Map& map, int64_t first, int64_t last, Body body) {
    for (int64_t i = 0; i < map.blocks; ++i)
        for (int64_t group = 0; group < map.groups; ++group) {
            const int64_t end = std::min(last, map.start(group + 1));
            for (int64_t n = std::max(first, map.start(group)); n < end; n += NODES_AT_ONCE)
                body(i, Run{group, n, std::min(end, n + NODES_AT_ONCE)});
        }
}

// Rows `first .. last` of the panels W: the weights times alpha.
void pack_rows(const Map& map, const Panels& panels, const Real* weight, Real* W, int64_t first, int64_t last) {
    panels.over_rows(
        map, first, last, [&](int64_t at, int64_t from, int64_t stride, int64_t width, Real alpha) {
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

void pack_weights(const Map& map, const Panels& panels, const Real* weight, int64_t threads, Real* W) {
    over_range(panels.rows(map), threads, [&](int64_t first, int64_t last) {
        pack_rows(map, panels, weight, W, first, last);
    });
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

// Add what a run of nodes contributes to the gradient gW of the panels of a block. Rows are packed
// first: in the features their distance is such that they contend for cache lines.
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
                x_rows + u, b.mul_in, g_rows + panel * COLUMNS, columns, rows, gW + u * COLUMNS);
}

// Results that no block writes.
void clear_uncovered(const Map& map, Real* y) {
    if (!map.covered && !map.onto) std::memset(y, 0, map.nodes * map.dim_out * sizeof(Real));
}

// Sweep over runs of nodes in threads and add up gradients of the weights: `body(block, run, sums,
// packed)` adds to those of a block's panels.
template <class Body>
void add_outer(const Map& map, Real* gW, Body body) {
    const Panels panels(map);
    const int64_t size = map.groups * panels.size(), threads = map.worthwhile_threads();
    const Numbers sums(threads * size);
    in_parallel(threads, [&](int64_t thread) {
        const Numbers packed(packed_size(map));
        over_runs(map, map.nodes * thread / threads, map.nodes * (thread + 1) / threads,
                  [&](int64_t i, const Run& run) {
                      body(i, run, sums.data() + thread * size + panels.at(i, run.group), packed.data());
                  });
    });
    over_range(panels.rows(map), threads, [&](int64_t first, int64_t last) {
        panels.over_rows(
            map, first, last, [&](int64_t at, int64_t to, int64_t stride, int64_t width, Real alpha) {
                const Real* row = sums.data() + at;
                Vector left = load(row), right = load(row + WIDTH);
                for (int64_t thread = 1; thread < threads; ++thread) {
                    row += size;
                    left += load(row), right += load(row + WIDTH);
                }
                Real numbers[COLUMNS];
                Real* const here = stride == 1 && width == COLUMNS ? gW + to : numbers;
                store(here, alpha * left), store(here + WIDTH, alpha * right);
                if (here != numbers) return;
                for (int64_t v = 0; v < width; ++v) gW[to + v * stride] = numbers[v];
            });
    });
}

// One direction of a map whose weights are to be packed.
struct Unpacked {
    Map map;
    Panels panels;
    const Real* weight;
    int64_t start;  // of the panels in memory
};

}  // namespace

extern "C" {

// Pack the weights of some maps and of their transposes one after another in memory, and say where;
// returns how many numbers they take. Without memory that is all.
int64_t blockwise_pack(int64_t count, const Weighted* maps, int64_t threads, Real* memory, Linear* packed) {
    std::vector<Unpacked> pieces;
    int64_t size = 0;
    for (int64_t i = 0; i < count; ++i)
        for (const Blocks* blocks : {maps[i].map, maps[i].transpose}) {
            const Map map{*blocks, {0, maps[i].groups}, maps[i].weight_numel};
            pieces.push_back({map, Panels(map), maps[i].weight, size});
            size += map.groups * pieces.back().panels.size();
        }
    if (!memory) return size;
    constexpr int64_t PRODUCTS = 16;  // take as long as packing a number
    over_range(size / COLUMNS, worthwhile(threads, PRODUCTS * size), [&](int64_t first, int64_t last) {
        for (const Unpacked& piece : pieces) {
            const int64_t start = piece.start / COLUMNS;
            pack_rows(piece.map, piece.panels, piece.weight, memory + piece.start, first - start, last - start);
        }
    });
    for (int64_t i = 0; i < count; ++i)
        packed[i] = {maps[i].map, maps[i].transpose, memory + pieces[2 * i].start,
                     memory + pieces[2 * i + 1].start, maps[i].weight_numel};
    return size;
}

// With panels W in place of weights.
void blockwise_packed_map(const Blocks* blocks, const Rows* rows, int64_t weight_numel, const Real* x,
                          const Real* W, Real* y) {
    const Map map{*blocks, *rows, weight_numel};
    const Panels panels(map);
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
    const Panels panels(map);
    const Numbers W(map.groups * panels.size(), false);
    pack_weights(map, panels, weight, map.worthwhile_threads(), W.data());
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
    const Panels panels(other);
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
    const Panels panels_of(transposed);
    const Numbers W(transposed.groups * panels_of.size(), false);
    pack_weights(transposed, panels_of, weight, transposed.worthwhile_threads(), W.data());
    blockwise_packed_both(blocks, rows, weight_numel, x, g, gW, transposed_blocks, W.data(), g, gx);
}

}  // extern "C"
