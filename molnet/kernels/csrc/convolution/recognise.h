// Which paths are among the forms of forms.h.

#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "direct.h"
#include "forms.h"

namespace {

// Component k of what a form sends for the component i of the input and j of the harmonics, and its l.
using Evaluate = Real (*)(int64_t i, int64_t j, int64_t k);

template <class Form>
Real evaluate(int64_t i, int64_t j, int64_t k) {
    Components<Vector, 2 * Form::IN + 1> x{};
    Components<Real, 2 * Form::HARMONIC + 1> Y{};
    Vector out[2 * Form::OUT + 1] = {};
    x[i] += 1, Y[j] = 1;
    Form::send(Vector{} + 1, x, Y, out);
    return out[k][0];
}

struct FormInfo {
    int in, harmonic, out;
    Evaluate evaluate;
};

template <class... Form>
constexpr std::array<FormInfo, sizeof...(Form)> infos(List<Form...>) {
    return {FormInfo{Form::IN, Form::HARMONIC, Form::OUT, evaluate<Form>}...};
}

// Where in the coupling the numbers of a path are that depend on the harmonic h.
inline const Real* numbers_of(const Convolution& s, const Path& p, int64_t h) {
    return s.coupling + h * s.matrix + p.matrix;
}

// The factor of a form in the matrix of a path whose first harmonic is `first`, if it is one.
std::optional<Real> factor_of(const Convolution& s, const Path& p, const FormInfo& form, int64_t first) {
    const int64_t last = first + 2 * form.harmonic + 1;
    if (p.dim_in != 2 * form.in + 1 || p.dim_out != 2 * form.out + 1 || last > s.harmonics) return {};
    if (p.isotropic != (form.harmonic == 0)) return {};
    const int64_t outs = p.isotropic ? 1 : p.dim_out, ins = p.isotropic ? 1 : p.dim_in;
    Real factor = 0;
    for (int64_t h = first; h < s.harmonics; ++h)
        for (int64_t k = 0; k < outs; ++k)
            for (int64_t i = 0; i < ins; ++i) {
                const Real number = numbers_of(s, p, h)[k * ins + i];
                const Real of_form = h < last ? form.evaluate(i, h - first, k) : Real(0);
                if (factor == 0 && of_form != 0) factor = number / of_form;
                if (std::abs(number - factor * of_form) > 8 * std::numeric_limits<Real>::epsilon()) return {};
            }
    return factor;
}

// The path for direct kernels, if there are any for it.
std::optional<DirectPath> direct(const Convolution& s, const Path& p) {
    if (p.channels % WIDTH != 0) return {};
    const int64_t size = p.isotropic ? 1 : p.dim_in * p.dim_out;
    int64_t first = 0;
    const auto is_zero = [](Real number) { return number == 0; };
    while (first < s.harmonics && std::all_of(numbers_of(s, p, first), numbers_of(s, p, first) + size, is_zero))
        ++first;
    int64_t kernel = p.channels == KNOWN_CHANNELS ? Forms::SIZE : 0;
    for (const FormInfo& form : infos(Forms{})) {
        if (const auto factor = factor_of(s, p, form, first)) return DirectPath{p, kernel, first, *factor};
        ++kernel;
    }
    return {};
}

}  // namespace
