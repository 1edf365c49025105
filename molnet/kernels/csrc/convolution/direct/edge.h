// What a path has on one edge, as kernels of forms take it: see direct.h.

#pragma once

#include <array>
#include <type_traits>

#include "convolution/direct.h"
#include "convolution/direct/forms.h"

namespace {

// MOVES: whether there are tangents. CHANNELS: how many there are if the compiler is to know, else 0.
template <bool MOVES, class Form, int CHANNELS>
struct OnEdge {
    using Number = std::conditional_t<MOVES, Moving<Real>, Real>;
    using Channels = std::conditional_t<MOVES, Moving<Vector>, Vector>;
    static constexpr int IN = 2 * Form::IN + 1, HARMONICS = 2 * Form::HARMONIC + 1, OUT = 2 * Form::OUT + 1;

    const Arrays& of;
    const Path& path;
    Components<Number, HARMONICS> Y;
    Number B[SPLINE_TERMS];  // times the factor of the form
    const Real* T;

    INLINE OnEdge(const Arrays& arrays, const Path& p, int64_t edge)
        : of(arrays), path(p), T(of.T + of.s.rows[edge] * of.s.table_stride + path.weight) {
        const int64_t place = edge * of.s.harmonics + path.harmonic;
        UNROLL
        for (int j = 0; j < HARMONICS; ++j) Y[j] = number(of.Y, of.y, place + j);
        UNROLL
        for (int t = 0; t < SPLINE_TERMS; ++t) B[t] = Form::FACTOR * number(of.B, of.b, edge * SPLINE_TERMS + t);
    }

    // One edge or two from there on.
    template <int N>
    static INLINE std::array<OnEdge, N> some(const Arrays& of, const Path& path, int64_t first) {
        if constexpr (N == 1)
            return {OnEdge(of, path, first)};
        else
            return {OnEdge(of, path, first), OnEdge(of, path, first + 1)};
    }

    // w = B T
    INLINE Channels weights(int64_t c) const {
        Channels sum = B[0] * load(T + c);
        UNROLL
        for (int t = 1; t < SPLINE_TERMS; ++t) add(sum, B[t], load(T + t * of.s.table_stride + c));
        return sum;
    }

    static INLINE int64_t channels(const Path& path) { return CHANNELS > 0 ? CHANNELS : path.channels; }

    // Call `body(c)` for vector after vector of channels.
    template <class Body>
    static INLINE void over_channels(const Path& path, Body body) {
        for (int64_t c = 0; c < channels(path); c += WIDTH) body(c);
    }

    // The input of the sender whose features start there.
    INLINE Components<Channels, IN> features(int64_t start, int64_t c) const {
        Components<Channels, IN> x;
        UNROLL
        for (int i = 0; i < IN; ++i) {
            const int64_t at = start + path.x + i * channels(path) + c;
            if constexpr (MOVES)
                x[i] = {load(of.x + at), load(of.a + at)};
            else
                x[i] = load(of.x + at);
        }
        return x;
    }

  private:
    static INLINE Number number(const Real* values, [[maybe_unused]] const Real* changes, int64_t at) {
        if constexpr (MOVES)
            return {values[at], changes[at]};
        else
            return values[at];
    }
};

// `kernel(form, Count<channels>)` for the form of a path, if there is one: for the known number of channels, or for any
// in whole vectors.
template <class Kernel, class... Form>
DirectKernel direct_kernel(const Path& p, Kernel kernel, List<Form...>) {
    DirectKernel found = nullptr;
    const auto consider = [&](auto form) {
        if (!p.couples(form.IN, form.HARMONIC, form.OUT)) return;
        if (p.channels == KNOWN_CHANNELS)
            found = kernel(form, Count<KNOWN_CHANNELS>{});
        else if (p.channels % WIDTH == 0)
            found = kernel(form, Count<0>{});
    };
    (consider(Form{}), ...);
    return found;
}

}  // namespace
