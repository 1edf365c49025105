// Vectors as wide as the processor's registers, whole or in part.

#pragma once

#include <cstdint>
#include <cstring>
#include <new>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
constexpr int REGISTERS = 32;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32;
constexpr int REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int VECTOR_BYTES = 16;
constexpr int REGISTERS = 32;
#else
constexpr int VECTOR_BYTES = 16;
constexpr int REGISTERS = sizeof(void*) == 8 ? 16 : 8;
#endif

// REAL is float or double; each is compiled into a library of its own.
using Real = REAL;
constexpr int WIDTH = VECTOR_BYTES / sizeof(Real);
typedef Real Vector __attribute__((vector_size(VECTOR_BYTES)));
typedef Real Unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(Real))));

#if REAL_IS_DOUBLE
typedef int64_t Mask __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef int32_t Mask __attribute__((vector_size(VECTOR_BYTES)));
#endif

#define UNROLL _Pragma("GCC unroll 16")

// Numbers, all zero at first if that is asked for, in memory that starts with a cache line: vectors that straddle two
// lines take twice as long to read.
class Numbers {
    static constexpr std::align_val_t ALIGNMENT{64};
    Real* data_;

  public:
    explicit Numbers(int64_t size, bool zero = true)
        : data_(static_cast<Real*>(::operator new(size * sizeof(Real), ALIGNMENT))) {
        if (zero) std::memset(data_, 0, size * sizeof(Real));
    }
    ~Numbers() { ::operator delete(data_, ALIGNMENT); }
    Numbers(const Numbers&) = delete;
    Real* data() const { return data_; }
};

// How many numbers of a vector take part: all, or the last few of a row.
struct Whole {};
struct Part {
    int64_t count;
};

inline Vector load(const Real* from, Whole = {}) {
    return *reinterpret_cast<const Unaligned*>(from);
}

__attribute__((noinline)) inline Vector load(const Real* from, Part part) {
    Vector value{};
    for (int64_t i = 0; i < part.count; ++i) value[i] = from[i];
    return value;
}

inline void store(Real* to, Vector value, Whole = {}) {
    *reinterpret_cast<Unaligned*>(to) = value;
}

__attribute__((noinline)) inline void store(Real* to, Vector value, Part part) {
    for (int64_t i = 0; i < part.count; ++i) to[i] = value[i];
}

// A number of vectors, known to the compiler.
template <int N>
struct Count {
    static constexpr int value = N;
};

// Call `body(Count<n>)`, or with the largest number that is known to the compiler.
template <int N, class Body>
inline void with_count(int64_t n, Body body) {
    if constexpr (N > 0) {
        if (n < N) return with_count<N - 1>(n, body);
    }
    body(Count<N>{});
}

// Call `body(c, lanes)` for the numbers c, c + 1, ... of a row: vector by vector, then what is left.
template <class Body>
inline void over_vectors(int64_t length, Body body) {
    int64_t c = 0;
    for (; c + WIDTH <= length; c += WIDTH) body(c, Whole{});
    if (c < length) body(c, Part{length - c});
}

// Lanes of a and b mixed: lane i of the result is a[i] where the bit D of i is clear and b[i ^ D] where it is set;
// `crossed` the other way round, a[i ^ D] and b[i].
template <int D, bool CROSSED>
inline Vector mix(Vector a, Vector b) {
#if defined(__clang__)
    Vector mixed;
    for (int i = 0; i < WIDTH; ++i) mixed[i] = i & D ? b[CROSSED ? i : i ^ D] : a[CROSSED ? i ^ D : i];
    return mixed;
#else
    Mask lanes;
    UNROLL
    for (int i = 0; i < WIDTH; ++i) lanes[i] = i & D ? WIDTH + (CROSSED ? i : i ^ D) : CROSSED ? i ^ D : i;
    return __builtin_shuffle(a, b, lanes);
#endif
}

// Exchange rows and columns of a square of numbers.
template <int D = 1>
inline void transpose(Vector* rows) {
    if constexpr (D < WIDTH) {
        UNROLL
        for (int i = 0; i < WIDTH; ++i) {
            if (i & D) continue;
            const Vector a = rows[i], b = rows[i | D];
            rows[i] = mix<D, false>(a, b), rows[i | D] = mix<D, true>(a, b);
        }
        transpose<2 * D>(rows);
    }
}

// One step of a transposing sum: lane i of the result is a[i] + a[i ^ D] where the bit D of i is
// clear, and the same of b where it is set.
template <int D>
inline Vector fold(Vector a, Vector b) {
    return mix<D, false>(a, b) + mix<D, true>(a, b);
}

// The totals of WIDTH vectors, each in its lane.
template <int D = 1>
inline Vector totals(const Vector* vectors) {
    if constexpr (D == WIDTH) {
        return vectors[0];
    } else {
        Vector half[WIDTH / D / 2];
        UNROLL
        for (int i = 0; i < WIDTH / D / 2; ++i) half[i] = fold<D>(vectors[2 * i], vectors[2 * i + 1]);
        return totals<2 * D>(half);
    }
}

inline Real sum_of(Vector vector) {
    Real sum = 0;
    for (int i = 0; i < WIDTH; ++i) sum += vector[i];
    return sum;
}

// N rounded up to whole vectors.
constexpr int padded(int n) { return (n + WIDTH - 1) / WIDTH * WIDTH; }

// to[i] = the total of vectors[i], for i < padded(N); from N on they come out as zeros.
template <int N>
inline void store_totals(Vector* vectors, Real* to) {
    for (int i = N; i < padded(N); ++i) vectors[i] = Vector{};
    for (int i = 0; i < padded(N); i += WIDTH) store(to + i, totals(vectors + i));
}

// Denormal numbers cost a hundred times a normal operation and mean nothing here.
struct FlushDenormals {
#if defined(__SSE__)
    unsigned before = _mm_getcsr();
    FlushDenormals() { _mm_setcsr(before | 0x8040); }
    ~FlushDenormals() { _mm_setcsr(before); }
#endif
};
