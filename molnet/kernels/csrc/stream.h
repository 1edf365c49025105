// Stores that pass the caches by.

#pragma once

#include "vectors.h"

// Slow to compile: not for everyone.
#if defined(__SSE2__)
#include <immintrin.h>
#endif

// Write to a multiple of VECTOR_BYTES without reading what is there into the caches first.
inline void store_past_caches(Real* to, Vector value) {
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), reinterpret_cast<__m512i>(value));
#elif defined(__AVX__)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(value));
#elif defined(__SSE2__)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to), reinterpret_cast<__m128i>(value));
#else
    store(to, value);
#endif
}

// Let other threads see what was written past the caches.
inline void finish_stores() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}
