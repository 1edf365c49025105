// The fused convolution on the CPU: gather, contraction, weighting and sum in one sweep of the edges.
//
// For the four-linear form
//
//     S(g, x, M, w) = sum_e sum_p sum_{k,i,c}  g[r(e), p, k, c] w[e, p, c] M[e, p, k, i] x[s(e), i, c]
//
// `forward` is dS/dg (one sweep in order of receivers), `backward` is dS/dx, dS/dM, dS/dw (one sweep
// in order of senders, so that dS/dx needs no atomics), and `double_forward` and `double_backward` are
// the same derivatives of
//
//     D = S(g, a, M, w) + S(g, x, m, w) + S(g, x, M, v)
//
// where a, m, v are tangents of x, M, w. Channels c are contiguous: every inner loop runs over them in
// whole vectors, then one by one for what is left. Nothing of size edges x channels x components is
// ever stored.

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
        const Path& p, const Rows<T>& in, const Rows<T>& tangent, T* gx, T* gM, T* gw) {
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
            V w_sum{};
            for (int k = 0; k < K; ++k) {
                const V g = load<V>(in.g + p.out + k * p.out_stride + c);
                const V gw_ = g * w, gv_ = g * v;
                V moved = M[k * I] * a[0] + m[k * I] * x[0];
                for (int i = 1; i < I; ++i) moved += M[k * I + i] * a[i] + m[k * I + i] * x[i];
                w_sum += g * moved;
                for (int i = 0; i < I; ++i) {
                    x_sum[i] += m[k * I + i] * gw_ + M[k * I + i] * gv_;
                    sums.add(k * I + i, gw_ * a[i] + gv_ * x[i]);
                }
            }
            for (int i = 0; i < I; ++i) store(gx + p.x + i * p.channels + c, x_sum[i]);
            store(gw + p.weight + c, w_sum);
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

// Give each thread a run of nodes with about the same number of edges: `body(first, last)`.
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
        body(cuts[part], cuts[part + 1]);
    }
}

}  // namespace

// Sizes of rows, the edges in order of receivers, and for each sender its edges.
struct Shape {
    int64_t nodes, paths, x, out, matrix, weight;
    const Path* path;
    const int64_t* senders;          // [E]
    const int64_t* receivers;        // [E], ascending
    const int64_t* receiver_starts;  // [N + 1]
    const int64_t* by_sender;        // [E], edges in order of senders
    const int64_t* sender_starts;    // [N + 1]
    int64_t threads;
};

template <class T>
static void forward(const Shape& s, const T* x, const T* M, const T* w, T* out) {
    over_nodes(s.nodes, s.receiver_starts, s.threads, [&](int64_t first, int64_t last) {
        for (int64_t node = first; node < last; ++node) {
            T* row = out + node * s.out;
            std::memset(row, 0, s.out * sizeof(T));
            for (int64_t e = s.receiver_starts[node]; e < s.receiver_starts[node + 1]; ++e) {
                const Rows<T> in{
                    nullptr, x + s.senders[e] * s.x, M + e * s.matrix, w + e * s.weight};
                for (int64_t p = 0; p < s.paths; ++p)
                    with_dimensions<T>(s.path[p], [&](auto c) { c.forward(s.path[p], in, row); });
            }
        }
    });
}

template <class T>
static void double_forward(
    const Shape& s, const T* x, const T* M, const T* w, const T* a, const T* m, const T* v, T* out) {
    over_nodes(s.nodes, s.receiver_starts, s.threads, [&](int64_t first, int64_t last) {
        for (int64_t node = first; node < last; ++node) {
            T* row = out + node * s.out;
            std::memset(row, 0, s.out * sizeof(T));
            for (int64_t e = s.receiver_starts[node]; e < s.receiver_starts[node + 1]; ++e) {
                const int64_t from = s.senders[e] * s.x;
                const Rows<T> in{nullptr, x + from, M + e * s.matrix, w + e * s.weight};
                const Rows<T> tangent{nullptr, a + from, m + e * s.matrix, v + e * s.weight};
                for (int64_t p = 0; p < s.paths; ++p)
                    with_dimensions<T>(s.path[p], [&](auto c) {
                        c.double_forward(s.path[p], in, tangent, row);
                    });
            }
        }
    });
}

template <class T>
static void backward(
    const Shape& s, const T* g, const T* x, const T* M, const T* w, T* gx, T* gM, T* gw) {
    over_nodes(s.nodes, s.sender_starts, s.threads, [&](int64_t first, int64_t last) {
        for (int64_t node = first; node < last; ++node) {
            T* row = gx + node * s.x;
            std::memset(row, 0, s.x * sizeof(T));
            for (int64_t n = s.sender_starts[node]; n < s.sender_starts[node + 1]; ++n) {
                const int64_t e = s.by_sender[n];
                const Rows<T> in{
                    g + s.receivers[e] * s.out, x + node * s.x, M + e * s.matrix, w + e * s.weight};
                for (int64_t p = 0; p < s.paths; ++p)
                    with_dimensions<T>(s.path[p], [&](auto c) {
                        c.backward(s.path[p], in, row, gM + e * s.matrix, gw + e * s.weight);
                    });
            }
        }
    });
}

template <class T>
static void double_backward(
    const Shape& s, const T* g, const T* x, const T* M, const T* w, const T* a, const T* m,
    const T* v, T* gx, T* gM, T* gw) {
    over_nodes(s.nodes, s.sender_starts, s.threads, [&](int64_t first, int64_t last) {
        for (int64_t node = first; node < last; ++node) {
            T* row = gx + node * s.x;
            std::memset(row, 0, s.x * sizeof(T));
            for (int64_t n = s.sender_starts[node]; n < s.sender_starts[node + 1]; ++n) {
                const int64_t e = s.by_sender[n];
                const Rows<T> in{
                    g + s.receivers[e] * s.out, x + node * s.x, M + e * s.matrix, w + e * s.weight};
                const Rows<T> tangent{
                    nullptr, a + node * s.x, m + e * s.matrix, v + e * s.weight};
                for (int64_t p = 0; p < s.paths; ++p)
                    with_dimensions<T>(s.path[p], [&](auto c) {
                        c.double_backward(
                            s.path[p], in, tangent, row, gM + e * s.matrix, gw + e * s.weight);
                    });
            }
        }
    });
}

#define MOLNET_EXPORT(T, SUFFIX)                                                                   \
    extern "C" void forward_##SUFFIX(                                                              \
        const Shape* s, const T* x, const T* M, const T* w, T* out) {                              \
        forward<T>(*s, x, M, w, out);                                                              \
    }                                                                                              \
    extern "C" void double_forward_##SUFFIX(                                                       \
        const Shape* s, const T* x, const T* M, const T* w, const T* a, const T* m, const T* v,    \
        T* out) {                                                                                  \
        double_forward<T>(*s, x, M, w, a, m, v, out);                                              \
    }                                                                                              \
    extern "C" void backward_##SUFFIX(                                                             \
        const Shape* s, const T* g, const T* x, const T* M, const T* w, T* gx, T* gM, T* gw) {     \
        backward<T>(*s, g, x, M, w, gx, gM, gw);                                                   \
    }                                                                                              \
    extern "C" void double_backward_##SUFFIX(                                                      \
        const Shape* s, const T* g, const T* x, const T* M, const T* w, const T* a, const T* m,    \
        const T* v, T* gx, T* gM, T* gw) {                                                         \
        double_backward<T>(*s, g, x, M, w, a, m, v, gx, gM, gw);                                   \
    }

MOLNET_EXPORT(float, f32)
MOLNET_EXPORT(double, f64)
