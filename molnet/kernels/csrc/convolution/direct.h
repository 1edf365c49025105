// Paths whose matrix is known to be among the forms of forms.h, done without it.
//
// They take harmonics as they are and give them gradients, where the other kernels need matrices of all
// edges and their gradients; and weights stay in registers from interpolation to use.

#pragma once

#include <cstdint>

#include "arrays.h"

// A number of channels that the compiler is told, that of networks of the default size: their kernels are a
// tenth to a fifth faster for it.
constexpr int64_t KNOWN_CHANNELS = 64;

struct DirectPath {
    Path path;
    int64_t kernel, harmonic;  // index of the kernel, and the first of the harmonics
    Real factor;               // of the form
};

// What is done with a path at one node.
using DirectKernel = void (*)(const Arrays&, const DirectPath&, int64_t);

// Kernels for the sweeps of receivers.cpp, backward.cpp and double_backward.cpp, in the order of
// `DirectKernels`; null for what is seldom asked for, as the gradients of harmonics along a tangent.
const DirectKernel* direct_forward(const Arrays&);
const DirectKernel* direct_double_forward(const Arrays&);
const DirectKernel* direct_backward(const Arrays&);
const DirectKernel* direct_double_backward(const Arrays&);
