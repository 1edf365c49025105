// Matrix products on the blocks of features, in place: see blockwise.py.
//
//     map:    y[n, m, v] (+)= sum_u x[n, m, u] alpha W[u, v]
//     outer:  gW[u, v]    =  alpha sum_{n, m} x[n, m, u] g[n, m, v]
//
// for every block and component m. Rows n may be in groups, each with weights of its own.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "threads.h"
#include "vectors.h"

namespace {

constexpr int64_t ROWS = 6;              // of a tile of results that is kept in registers
constexpr int64_t COLUMNS = 2 * WIDTH;
constexpr int64_t NODES_AT_ONCE = 48;    // their features stay in the nearest cache

// One irrep of the input mapped to one of the output; starts count numbers from that of a row.
struct Block {
    int64_t components, start_in, mul_in, start_out, mul_out, start_weight;
    int64_t transposed;  // whether the weights are stored as [mul_out, mul_in]
    int64_t adds;        // whether an earlier block has written there
    double alpha;
};

struct Map {
    int64_t nodes, dim_in, dim_out, blocks, covered;  // covered: whether the blocks write all of y
    const Block* block;
    int64_t groups, weight_numel;
    const int64_t* order;   // nodes group by group, or null for one group in the given order
    const int64_t* starts;  // [groups + 1]
    int64_t threads;

    int64_t node(int64_t i) const { return order ? order[i] : i; }
};

int64_t panels(const Block& b) { return (b.mul_out + COLUMNS - 1) / COLUMNS; }

// The weights of all blocks as panels [mul_in][COLUMNS], which a tile reads in order.
class Panels {
    std::vector<int64_t> starts_{0};

  public:
    Panels(const Map& map) {
        for (int64_t i = 0; i < map.blocks; ++i)
            starts_.push_back(starts_[i] + panels(map.block[i]) * map.block[i].mul_in * COLUMNS);
    }

    int64_t size() const { return starts_.back(); }

    // Where a panel of block i starts.
    int64_t at(int64_t i, int64_t panel, const Block& b) const {
        return starts_[i] + panel * b.mul_in * COLUMNS;
    }

    // Call `body(place in the panels, place in the weights, distance of columns there, width, alpha)`
    // for every row of every panel of every group, in parallel.
    template <class Body>
    void for_each_row(const Map& map, Body body) const {
        int64_t rows = 0;
        for (int64_t i = 0; i < map.blocks; ++i) rows += panels(map.block[i]) * map.block[i].mul_in;
        over_range(rows * map.groups, map.threads, [&](int64_t first, int64_t last) {
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
                            body(group * size() + at(i, panel, b) + u * COLUMNS,
                                 group * map.weight_numel + b.start_weight + u * along_u + v * along_v,
                                 along_v, width, Real(b.alpha));
                    }
                }
        });
    }
};

// to[:width] (+)= (left, right)
__attribute__((noinline)) void store_some(
    Real* to, Vector left, Vector right, int64_t width, bool adds) {
    Real numbers[COLUMNS];
    store(numbers, left), store(numbers + WIDTH, right);
    for (int64_t v = 0; v < width; ++v) to[v] = adds ? to[v] + numbers[v] : numbers[v];
}

// to[r][:width] (+)= sum_u from[r][u] panel[u], for R rows.
template <int R>
void tile(const Real* const* from, const Real* panel, int64_t mul_in, Real* const* to, int64_t width,
          bool adds) {
    Vector sum[R][2] = {};
    const Real* rows[R];
    std::copy_n(from, R, rows);
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
        if (width == COLUMNS && !adds) {
            store(to[r], sum[r][0]), store(to[r] + WIDTH, sum[r][1]);
        } else if (width == COLUMNS) {
            store(to[r], load(to[r]) + sum[r][0]);
            store(to[r] + WIDTH, load(to[r] + WIDTH) + sum[r][1]);
        } else {
            store_some(to[r], sum[r][0], sum[r][1], width, adds);
        }
    }
}

using Tile = void (*)(const Real* const*, const Real*, int64_t, Real* const*, int64_t, bool);
constexpr Tile TILES[] = {nullptr, tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>};

// gW[r][:width] += sum over rows of from[u + r] g, for R values of u.
template <int R>
void outer_tile(const Real* const* from, const Real* const* g, int64_t count, int64_t u, Real* sums) {
    Vector sum[R][2];
    UNROLL
    for (int r = 0; r < R; ++r)
        sum[r][0] = load(sums + r * COLUMNS), sum[r][1] = load(sums + r * COLUMNS + WIDTH);
    for (int64_t n = 0; n < count; ++n) {
        const Real* x = from[n] + u;
        const Vector left = load(g[n]), right = load(g[n] + WIDTH);
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

using OuterTile = void (*)(const Real* const*, const Real* const*, int64_t, int64_t, Real*);
constexpr OuterTile OUTER_TILES[] = {nullptr,       outer_tile<1>, outer_tile<2>, outer_tile<3>,
                                     outer_tile<4>, outer_tile<5>, outer_tile<6>};

// Call `body(group, first, last)` for runs of nodes of one group, few enough to stay in the cache.
template <class Body>
void over_runs(const Map& map, int64_t first, int64_t last, Body body) {
    for (int64_t group = 0; group < map.groups; ++group) {
        const int64_t end = std::min(last, map.starts[group + 1]);
        for (int64_t n = std::max(first, map.starts[group]); n < end; n += NODES_AT_ONCE)
            body(group, n, std::min(end, n + NODES_AT_ONCE));
    }
}

// Map the nodes `first .. last` of the order, by the panels W of their group.
void map_nodes(const Map& map, const Panels& panels_of, const Real* W, const Real* x, Real* y,
               int64_t first, int64_t last) {
    const Real* from[NODES_AT_ONCE];
    Real* to[NODES_AT_ONCE];
    for (int64_t i = 0; i < map.blocks; ++i) {
        const Block& b = map.block[i];
        for (int64_t panel = 0; panel < panels(b); ++panel) {
            const Real* numbers = W + panels_of.at(i, panel, b);
            const int64_t v = panel * COLUMNS, width = std::min(COLUMNS, b.mul_out - v);
            for (int64_t m = 0; m < b.components; ++m) {
                for (int64_t n = first; n < last; ++n) {
                    from[n - first] = x + map.node(n) * map.dim_in + b.start_in + m * b.mul_in;
                    to[n - first] = y + map.node(n) * map.dim_out + b.start_out + m * b.mul_out + v;
                }
                for (int64_t n = 0; n < last - first; n += ROWS)
                    TILES[std::min(ROWS, last - first - n)](
                        from + n, numbers, b.mul_in, to + n, width, b.adds);
            }
        }
    }
}

// Add what the nodes `first .. last` of the order contribute to the gradient of their group's panels.
void outer_nodes(const Map& map, const Panels& panels_of, const Real* x, const Real* g, Real* gW,
                 int64_t first, int64_t last) {
    std::vector<const Real*> from, of;
    for (int64_t i = 0; i < map.blocks; ++i) {
        const Block& b = map.block[i];
        for (int64_t panel = 0; panel < panels(b); ++panel) {
            const int64_t v = panel * COLUMNS, width = std::min(COLUMNS, b.mul_out - v);
            from.clear(), of.clear();
            for (int64_t n = first; n < last; ++n)
                for (int64_t m = 0; m < b.components; ++m) {
                    from.push_back(x + map.node(n) * map.dim_in + b.start_in + m * b.mul_in);
                    of.push_back(g + map.node(n) * map.dim_out + b.start_out + m * b.mul_out + v);
                }
            Real* sums = gW + panels_of.at(i, panel, b);
            const int64_t count = from.size();
            Numbers narrow(width < COLUMNS ? count * COLUMNS : 0);
            if (width < COLUMNS)  // whole vectors would read past the end
                for (int64_t n = 0; n < count; ++n)
                    of[n] = std::copy_n(of[n], width, narrow.data() + n * COLUMNS) - width;
            for (int64_t u = 0; u < b.mul_in; u += ROWS)
                OUTER_TILES[std::min(ROWS, b.mul_in - u)](
                    from.data(), of.data(), count, u, sums + u * COLUMNS);
        }
    }
}

}  // namespace

extern "C" {

void map(const Map* map, const Real* x, const Real* weight, Real* y) {
    const Panels panels(*map);
    const Numbers W(map->groups * panels.size(), false);
    panels.for_each_row(
        *map, [&](int64_t at, int64_t from, int64_t stride, int64_t width, Real alpha) {
            Real* row = W.data() + at;
            for (int64_t v = 0; v < width; ++v) row[v] = alpha * weight[from + v * stride];
            std::fill(row + width, row + COLUMNS, Real(0));
        });
    over_range(map->nodes, map->threads, [&](int64_t first, int64_t last) {
        over_runs(*map, first, last, [&](int64_t group, int64_t start, int64_t end) {
            if (!map->covered)
                for (int64_t n = start; n < end; ++n)
                    std::memset(y + map->node(n) * map->dim_out, 0, map->dim_out * sizeof(Real));
            map_nodes(*map, panels, W.data() + group * panels.size(), x, y, start, end);
        });
    });
}

void outer(const Map* map, const Real* x, const Real* g, Real* gW) {
    const Panels panels(*map);
    const int64_t size = map->groups * panels.size();
    const Numbers sums(map->threads * size);
    in_parallel(map->threads, [&](int64_t thread) {
        Real* mine = sums.data() + thread * size;
        const int64_t first = map->nodes * thread / map->threads;
        const int64_t last = map->nodes * (thread + 1) / map->threads;
        over_runs(*map, first, last, [&](int64_t group, int64_t start, int64_t end) {
            outer_nodes(*map, panels, x, g, mine + group * panels.size(), start, end);
        });
    });
    panels.for_each_row(
        *map, [&](int64_t at, int64_t to, int64_t stride, int64_t width, Real alpha) {
            Real* row = sums.data() + at;
            for (int64_t thread = 1; thread < map->threads; ++thread)
                for (int64_t v = 0; v < width; ++v) row[v] += row[thread * size + v];
            for (int64_t v = 0; v < width; ++v) gW[to + v * stride] = alpha * row[v];
        });
}

}  // extern "C"
