// Which paths are among the forms of convolution/forms.h.

#include "convolution/direct.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "convolution/direct/forms.h"

namespace {

// What a form does with components one, [harmonics][out][in]; of an isotropic one a single number.
struct Tensor {
    int64_t dim_in, harmonics, dim_out;
    std::vector<Real> numbers;

    bool is_isotropic() const { return harmonics == 1; }
};

template <class Form>
Tensor tensor_of() {
    constexpr int I = 2 * Form::IN + 1, J = 2 * Form::HARMONIC + 1, K = 2 * Form::OUT + 1;
    Tensor tensor{I, J, K, {}};
    if (tensor.is_isotropic()) {
        tensor.numbers = {1};
        return tensor;
    }
    for (int j = 0; j < J; ++j)
        for (int k = 0; k < K; ++k)
            for (int i = 0; i < I; ++i) {
                Components<Vector, I> x{};
                Components<Real, J> Y{};
                Vector out[K] = {};
                x[i] += Real(1), Y[j] = 1;
                Form::send(Vector{} + Real(1), x, Y, out);
                tensor.numbers.push_back(out[k][0]);
            }
    return tensor;
}

template <class... Form>
std::vector<Tensor> tensors_of(List<Form...>) {
    return {tensor_of<Form>()...};
}

// The factor by which the matrix of a path is a form's; the path's harmonics begin with `first`.
std::optional<Real> factor_of(const Convolution& s, const Path& p, const Tensor& form, int64_t first) {
    if (p.dim_in != form.dim_in || p.dim_out != form.dim_out || p.isotropic != form.is_isotropic()) return {};
    if (first + form.harmonics > s.harmonics) return {};
    const int64_t size = form.numbers.size() / form.harmonics;
    Real factor = 0;
    for (int64_t h = first; h < s.harmonics; ++h)
        for (int64_t q = 0; q < size; ++q) {
            const Real number = s.coupling[h * s.matrix + p.matrix + q];
            const Real of_form = h < first + form.harmonics ? form.numbers[(h - first) * size + q] : 0;
            if (factor == 0 && of_form != 0) factor = number / of_form;
            if (std::abs(number - factor * of_form) > 8 * std::numeric_limits<Real>::epsilon()) return {};
        }
    return factor;
}

// The first harmonic on which the matrix of a path depends.
int64_t first_harmonic(const Convolution& s, const Path& p) {
    const int64_t size = p.isotropic ? 1 : p.dim_in * p.dim_out;
    for (int64_t h = 0; h < s.harmonics; ++h) {
        const Real* numbers = s.coupling + h * s.matrix + p.matrix;
        if (std::any_of(numbers, numbers + size, [](Real number) { return number != 0; })) return h;
    }
    return s.harmonics;
}

}  // namespace

std::optional<DirectPath> direct_path(const Convolution& s, const Path& p) {
    static const std::vector<Tensor> forms = tensors_of(Forms{});
    if (p.channels % WIDTH != 0) return {};
    const int64_t first = first_harmonic(s, p);
    int64_t kernel = p.channels == KNOWN_CHANNELS ? forms.size() : 0;
    for (const Tensor& form : forms) {
        if (const auto factor = factor_of(s, p, form, first)) return DirectPath{p, kernel, first, *factor};
        ++kernel;
    }
    return {};
}
