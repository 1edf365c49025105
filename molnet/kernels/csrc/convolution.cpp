// The fused convolution on the CPU: gather, interpolation of the weights, contraction and sum in one
// sweep of the edges.
//
// For the form, linear in each of its arguments,
//
//     S(g, x, M, w) = sum_e sum_p sum_{k,i,c}  g[r(e), p, k, c] w[e, p, c] M[e, p, k, i] x[s(e), i, c]
//     w[e, p, c]    = sum_t B[e, t] T[row(e) + t, p, c]
//
// `forward` is dS/dg (one sweep in order of receivers), `backward` is dS/dx, dS/dM, dS/dB, dS/dT (one
// sweep in order of senders, so that dS/dx needs no atomics), and `double_forward` and
// `double_backward` are the same derivatives of its change along tangents a, m, b, u of x, M, B, T:
//
//     D = S(g, a, M, w) + S(g, x, m, w) + S(g, x, M, v),    v = sum_t b[t] T[row + t] + B[t] u[row + t]
//
// Channels c are contiguous: every inner loop runs over them in whole vectors, then one by one for
// what is left. Nothing of size edges x channels is ever stored, unless the caller's T has one row
// for each edge.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

namespace {

constexpr int MAX_L = 4;

template <class T>
struct Vectors;
template <>
struct Vectors<float> {
    typedef float type __attribute__((vector_size(VECTOR_BYTES)));
};
template <>
struct Vectors<double> {
    typedef double type __attribute__((vector_size(VECTOR_BYTES)));
};

template <class V, class T>
inline V load(const T* from) {
    V value;
    std::memcpy(&value, from, sizeof(V));
    return value;
}

template <class V, class T>
inline void store(T* to, V value) {
    std::memcpy(to, &value, sizeof(V));
}

inline float total(float value) { return value; }
inline double total(double value) { return value; }
template <class V>
inline auto total(V value) {
    auto sum = value[0];
    for (unsigned i = 1; i < sizeof(V) / sizeof(value[0]); ++i) sum += value[i];
    return sum;
}

// A path as plan.py describes it; offsets count numbers from the start of a row.
struct Path {
    int64_t dim_in, dim_out, channels;
    int64_t x, out, out_stride;  // stride: from one component of the output to the next
    int64_t matrix, weight;
};

// What one edge has: rows of the arguments (or of their tangents, or of the results).
template <class T>
struct Rows {
    const T* g;
    const T* x;
    const T* matrix;
    const T* weight;
};

// The loops of one path on one edge, for dimensions I of the input and K of the output.
template <class T, int I, int K>
struct Contraction {
    using Vector = typename Vectors<T>::type;

    template <class Body>
    static inline void over_channels(int64_t channels, Body body) {
        constexpr int64_t width = sizeof(Vector) / sizeof(T);
        int64_t c = 0;
        for (; c + width <= channels; c += width) body(c, Vector{});
        for (; c < channels; ++c) body(c, T{});
    }

    static void forward(const Path& p, const Rows<T>& in, T* out) {
        const T* M = in.matrix + p.matrix;
        over_channels(p.channels, [&](int64_t c, auto kind) {
            using V = decltype(kind);
            V x[I];
            for (int i = 0; i < I; ++i) x[i] = load<V>(in.x + p.x + i * p.channels + c);
            const V w = load<V>(in.weight + p.weight + c);
            for (int k = 0; k < K; ++k) {
                V sum = M[k * I] * x[0];
                for (int i = 1; i < I; ++i) sum += M[k * I + i] * x[i];
                T* to = out + p.out + k * p.out_stride + c;
                store(to, load<V>(to) + w * sum);
            }
        });
    }

    static void double_forward(const Path& p, const Rows<T>& in, const Rows<T>& tangent, T* out) {
        const T* M = in.matrix + p.matrix;
        const T* m = tangent.matrix + p.matrix;
        over_channels(p.channels, [&](int64_t c, auto kind) {
            using V = decltype(kind);
            V x[I], a[I];
            for (int i = 0; i < I; ++i) {
                x[i] = load<V>(in.x + p.x + i * p.channels + c);
                a[i] = load<V>(tangent.x + p.x + i * p.channels + c);
            }
            const V w = load<V>(in.weight + p.weight + c);
            const V v = load<V>(tangent.weight + p.weight + c);
            for (int k = 0; k < K; ++k) {
                V plain = M[k * I] * x[0];
                V moved = M[k * I] * a[0] + m[k * I] * x[0];
                for (int i = 1; i < I; ++i) {
                    plain += M[k * I + i] * x[i];
                    moved += M[k * I + i] * a[i] + m[k * I + i] * x[i];
                }
                T* to = out + p.out + k * p.out_stride + c;
                store(to, load<V>(to) + w * moved + v * plain);
            }
        });
    }

    // Sums over channels, kept in registers until the path is done.
    struct MatrixSums {
        Vector vectors[K * I] = {};
        T rest[K * I] = {};
        inline void add(int index, Vector value) { vectors[index] += value; }
        inline void add(int index, T value) { rest[index] += value; }
        void write(T* to) const {
            for (int i = 0; i < K * I; ++i) to[i] = total(vectors[i]) + rest[i];
        }
    };

    static void backward(const Path& p, const Rows<T>& in, T* gx, T* gM, T* gw) {
        const T* M = in.matrix + p.matrix;
        MatrixSums sums;
        over_channels(p.channels, [&](int64_t c, auto kind) {
            using V = decltype(kind);
            V x[I], x_sum[I];
            for (int i = 0; i < I; ++i) {
                x[i] = load<V>(in.x + p.x + i * p.channels + c);
                x_sum[i] = load<V>(gx + p.x + i * p.channels + c);
            }
            const V w = load<V>(in.weight + p.weight + c);
            V w_sum{};
            for (int k = 0; k < K; ++k) {
                const V g = load<V>(in.g + p.out + k * p.out_stride + c);
                const V weighted = w * g;
                V product = M[k * I] * x[0];
                for (int i = 1; i < I; ++i) product += M[k * I + i] * x[i];
                w_sum += g * product;
                for (int i = 0; i < I; ++i) {
                    x_sum[i] += M[k * I + i] * weighted;
                    sums.add(k * I + i, weighted * x[i]);
                }
            }
            for (int i = 0; i < I; ++i) store(gx + p.x + i * p.channels + c, x_sum[i]);
            store(gw + p.weight + c, w_sum);
        });
        sums.write(gM + p.matrix);
    }

    static void double_backward(
        const Path& p, const Rows<T>& in, const Rows<T>& tangent, T* gx, T* gM, T* gw, T* gv) {
        const T* M = in.matrix + p.matrix;
        const T* m = tangent.matrix + p.matrix;
        MatrixSums sums;
        over_channels(p.channels, [&](int64_t c, auto kind) {
            using V = decltype(kind);
            V x[I], a[I], x_sum[I];
            for (int i = 0; i < I; ++i) {
                x[i] = load<V>(in.x + p.x + i * p.channels + c);
                a[i] = load<V>(tangent.x + p.x + i * p.channels + c);
                x_sum[i] = load<V>(gx + p.x + i * p.channels + c);
            }
            const V w = load<V>(in.weight + p.weight + c);
            const V v = load<V>(tangent.weight + p.weight + c);
            V w_sum{}, v_sum{};
            for (int k = 0; k < K; ++k) {
                const V g = load<V>(in.g + p.out + k * p.out_stride + c);
                const V wg = w * g, vg = v * g;
                V plain = M[k * I] * x[0];
                V moved = M[k * I] * a[0] + m[k * I] * x[0];
                for (int i = 1; i < I; ++i) {
                    plain += M[k * I + i] * x[i];
                    moved += M[k * I + i] * a[i] + m[k * I + i] * x[i];
                }
                w_sum += g * moved;
                v_sum += g * plain;
                for (int i = 0; i < I; ++i) {
                    x_sum[i] += m[k * I + i] * wg + M[k * I + i] * vg;
                    sums.add(k * I + i, wg * a[i] + vg * x[i]);
                }
            }
            for (int i = 0; i < I; ++i) store(gx + p.x + i * p.channels + c, x_sum[i]);
            store(gw + p.weight + c, w_sum);
            store(gv + p.weight + c, v_sum);
        });
        sums.write(gM + p.matrix);
    }
};

// Call `Contraction<T, dim_in, dim_out>` for the path's dimensions.
template <class T, int I, class Call>
inline void with_output(int64_t dim_out, Call call) {
    switch (dim_out) {
        case 1: call(Contraction<T, I, 1>{}); break;
        case 3: call(Contraction<T, I, 3>{}); break;
        case 5: call(Contraction<T, I, 5>{}); break;
        case 7: call(Contraction<T, I, 7>{}); break;
        case 9: call(Contraction<T, I, 9>{}); break;
    }
}

template <class T, class Call>
inline void with_dimensions(const Path& path, Call call) {
    switch (path.dim_in) {
        case 1: with_output<T, 1>(path.dim_out, call); break;
        case 3: with_output<T, 3>(path.dim_out, call); break;
        case 5: with_output<T, 5>(path.dim_out, call); break;
        case 7: with_output<T, 7>(path.dim_out, call); break;
        case 9: with_output<T, 9>(path.dim_out, call); break;
    }
}

// Denormal numbers cost a hundred times a normal operation and mean nothing here.
struct FlushDenormals {
#if defined(__SSE__)
    unsigned before = _mm_getcsr();
    FlushDenormals() { _mm_setcsr(before | 0x8040); }
    ~FlushDenormals() { _mm_setcsr(before); }
#endif
};

// Give each thread a run of nodes with about the same number of edges: `body(thread, first, last)`.
template <class Body>
void over_nodes(int64_t nodes, const int64_t* starts, int threads, Body body) {
    const int64_t edges = starts[nodes];
    std::vector<int64_t> cuts(threads + 1, nodes);
    cuts[0] = 0;
    for (int64_t node = 0, part = 1; node < nodes && part < threads; ++node)
        while (part < threads && starts[node + 1] * threads >= edges * part) cuts[part++] = node + 1;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int part = 0; part < threads; ++part) {
        FlushDenormals flush;
        body(part, cuts[part], cuts[part + 1]);
    }
}

// Sizes of rows, the edges in order of receivers, and for each sender its edges.
struct Shape {
    int64_t nodes, edges, paths, x, out, matrix, weight, terms, table_rows;
    const Path* path;
    const int64_t* senders;          // [E]
    const int64_t* receivers;        // [E], ascending
    const int64_t* receiver_starts;  // [N + 1]
    const int64_t* by_sender;        // [E], edges in order of senders
    const int64_t* sender_starts;    // [N + 1]
    const int64_t* rows;             // [E], first row of the table for each edge
    int64_t threads;
};

// The weights of one edge: a few rows of a table, added up.
template <class T>
struct Weights {
    const Shape& s;
    const T* basis;  // [E, terms]
    const T* table;  // [table_rows, weight]

    const T* row(int64_t e, int64_t term) const { return table + (s.rows[e] + term) * s.weight; }

    void add(int64_t e, T* to) const {
        for (int64_t t = 0; t < s.terms; ++t) {
            const T factor = basis[e * s.terms + t];
            const T* from = row(e, t);
            for (int64_t c = 0; c < s.weight; ++c) to[c] += factor * from[c];
        }
    }
};

// Where the derivatives with respect to basis and table go.
template <class T>
struct WeightSums {
    const Shape& s;
    T* basis;               // [E, terms]
    T* table;               // [table_rows, weight], or null if nobody wants it
    std::vector<T> shared;  // tables of the threads after the first

    WeightSums(const Shape& s, T* basis, T* table) : s(s), basis(basis), table(table) {
        if (!table) return;
        std::memset(table, 0, s.table_rows * s.weight * sizeof(T));
        // With one term every edge has a row of its own, so threads do not meet.
        if (s.terms > 1) shared.resize((s.threads - 1) * s.table_rows * s.weight);
    }

    T* of_thread(int64_t thread) {
        if (!table || thread == 0 || s.terms == 1) return table;
        return shared.data() + (thread - 1) * s.table_rows * s.weight;
    }

    void add(int64_t e, const T* gradient, const T* factors, T* to) const {
        for (int64_t t = 0; t < s.terms && to; ++t) {
            T* row = to + (s.rows[e] + t) * s.weight;
            const T factor = factors[e * s.terms + t];
            for (int64_t c = 0; c < s.weight; ++c) row[c] += factor * gradient[c];
        }
    }

    void project(int64_t e, const T* gradient, const Weights<T>& weights) const {
        for (int64_t t = 0; t < s.terms; ++t) {
            const T* row = weights.row(e, t);
            T sum = 0;
            for (int64_t c = 0; c < s.weight; ++c) sum += row[c] * gradient[c];
            basis[e * s.terms + t] += sum;
        }
    }

    void finish() {
        const int64_t size = s.table_rows * s.weight;
        if (!table || shared.empty()) return;
        for (int64_t thread = 1; thread < s.threads; ++thread) {
            const T* part = shared.data() + (thread - 1) * size;
            for (int64_t i = 0; i < size; ++i) table[i] += part[i];
        }
    }
};

}  // namespace

template <class T>
static void forward(
    const Shape& s, const T* x, const T* M, const T* B, const T* table, T* out) {
    const Weights<T> weights{s, B, table};
    over_nodes(s.nodes, s.receiver_starts, s.threads, [&](int64_t, int64_t first, int64_t last) {
        std::vector<T> w(s.weight);
        for (int64_t node = first; node < last; ++node) {
            T* to = out + node * s.out;
            std::memset(to, 0, s.out * sizeof(T));
            for (int64_t e = s.receiver_starts[node]; e < s.receiver_starts[node + 1]; ++e) {
                std::fill(w.begin(), w.end(), T(0));
                weights.add(e, w.data());
                const Rows<T> in{nullptr, x + s.senders[e] * s.x, M + e * s.matrix, w.data()};
                for (int64_t p = 0; p < s.paths; ++p)
                    with_dimensions<T>(s.path[p], [&](auto c) { c.forward(s.path[p], in, to); });
            }
        }
    });
}

template <class T>
static void double_forward(
    const Shape& s, const T* x, const T* M, const T* B, const T* table, const T* a, const T* m,
    const T* b, const T* u, T* out) {
    const Weights<T> weights{s, B, table}, along_basis{s, b, table}, along_table{s, B, u};
    over_nodes(s.nodes, s.receiver_starts, s.threads, [&](int64_t, int64_t first, int64_t last) {
        std::vector<T> w(s.weight), v(s.weight);
        for (int64_t node = first; node < last; ++node) {
            T* to = out + node * s.out;
            std::memset(to, 0, s.out * sizeof(T));
            for (int64_t e = s.receiver_starts[node]; e < s.receiver_starts[node + 1]; ++e) {
                std::fill(w.begin(), w.end(), T(0));
                std::fill(v.begin(), v.end(), T(0));
                weights.add(e, w.data());
                along_basis.add(e, v.data());
                if (u) along_table.add(e, v.data());
                const int64_t from = s.senders[e] * s.x;
                const Rows<T> in{nullptr, x + from, M + e * s.matrix, w.data()};
                const Rows<T> tangent{nullptr, a + from, m + e * s.matrix, v.data()};
                for (int64_t p = 0; p < s.paths; ++p)
                    with_dimensions<T>(s.path[p], [&](auto c) {
                        c.double_forward(s.path[p], in, tangent, to);
                    });
            }
        }
    });
}

template <class T>
static void backward(
    const Shape& s, const T* g, const T* x, const T* M, const T* B, const T* table, T* gx, T* gM,
    T* gB, T* gT) {
    const Weights<T> weights{s, B, table};
    WeightSums<T> sums(s, gB, gT);
    std::memset(gB, 0, s.edges * s.terms * sizeof(T));
    over_nodes(s.nodes, s.sender_starts, s.threads, [&](int64_t thread, int64_t first, int64_t last) {
        std::vector<T> w(s.weight), gw(s.weight);
        T* thread_table = sums.of_thread(thread);
        for (int64_t node = first; node < last; ++node) {
            T* to = gx + node * s.x;
            std::memset(to, 0, s.x * sizeof(T));
            for (int64_t n = s.sender_starts[node]; n < s.sender_starts[node + 1]; ++n) {
                const int64_t e = s.by_sender[n];
                std::fill(w.begin(), w.end(), T(0));
                weights.add(e, w.data());
                const Rows<T> in{
                    g + s.receivers[e] * s.out, x + node * s.x, M + e * s.matrix, w.data()};
                for (int64_t p = 0; p < s.paths; ++p)
                    with_dimensions<T>(s.path[p], [&](auto c) {
                        c.backward(s.path[p], in, to, gM + e * s.matrix, gw.data());
                    });
                sums.project(e, gw.data(), weights);
                sums.add(e, gw.data(), B, thread_table);
            }
        }
    });
    sums.finish();
}

template <class T>
static void double_backward(
    const Shape& s, const T* g, const T* x, const T* M, const T* B, const T* table, const T* a,
    const T* m, const T* b, const T* u, T* gx, T* gM, T* gB, T* gT) {
    const Weights<T> weights{s, B, table}, along_basis{s, b, table}, along_table{s, B, u};
    WeightSums<T> sums(s, gB, gT);
    std::memset(gB, 0, s.edges * s.terms * sizeof(T));
    over_nodes(s.nodes, s.sender_starts, s.threads, [&](int64_t thread, int64_t first, int64_t last) {
        std::vector<T> w(s.weight), v(s.weight), gw(s.weight), gv(s.weight);
        T* thread_table = sums.of_thread(thread);
        for (int64_t node = first; node < last; ++node) {
            T* to = gx + node * s.x;
            std::memset(to, 0, s.x * sizeof(T));
            for (int64_t n = s.sender_starts[node]; n < s.sender_starts[node + 1]; ++n) {
                const int64_t e = s.by_sender[n];
                std::fill(w.begin(), w.end(), T(0));
                std::fill(v.begin(), v.end(), T(0));
                weights.add(e, w.data());
                along_basis.add(e, v.data());
                if (u) along_table.add(e, v.data());
                const Rows<T> in{
                    g + s.receivers[e] * s.out, x + node * s.x, M + e * s.matrix, w.data()};
                const Rows<T> tangent{nullptr, a + node * s.x, m + e * s.matrix, v.data()};
                for (int64_t p = 0; p < s.paths; ++p)
                    with_dimensions<T>(s.path[p], [&](auto c) {
                        c.double_backward(
                            s.path[p], in, tangent, to, gM + e * s.matrix, gw.data(), gv.data());
                    });
                sums.project(e, gw.data(), weights);
                if (u) sums.project(e, gv.data(), along_table);
                sums.add(e, gw.data(), B, thread_table);
                sums.add(e, gv.data(), b, thread_table);
            }
        }
    });
    sums.finish();
}

// The interface. REAL is float or double; each is a library of its own.
using R = REAL;

extern "C" {

void forward(const Shape* s, const R* x, const R* M, const R* B, const R* table, R* out) {
    forward<R>(*s, x, M, B, table, out);
}

void double_forward(
    const Shape* s, const R* x, const R* M, const R* B, const R* table, const R* a, const R* m,
    const R* b, const R* u, R* out) {
    double_forward<R>(*s, x, M, B, table, a, m, b, u, out);
}

void backward(
    const Shape* s, const R* g, const R* x, const R* M, const R* B, const R* table, R* gx, R* gM,
    R* gB, R* gT) {
    backward<R>(*s, g, x, M, B, table, gx, gM, gB, gT);
}

void double_backward(
    const Shape* s, const R* g, const R* x, const R* M, const R* B, const R* table, const R* a,
    const R* m, const R* b, const R* u, R* gx, R* gM, R* gB, R* gT) {
    double_backward<R>(*s, g, x, M, B, table, a, m, b, u, gx, gM, gB, gT);
}

}  // extern "C"
