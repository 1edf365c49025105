// Paths whose matrix is one of those that forms.h writes out, done without it.
//
// Such a path takes harmonics as they are, and their gradients come out as such, where other kernels need
// matrices of all edges and gradients of these; and its weights stay in registers from interpolation to use.
// Couplings of e3nn's are recognised by their numbers, so whoever calls the convolution need not know.
// The sources are outside of this folder, which is compiled anew for larger l.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "convolution/arrays.h"

// A number of channels that the compiler is told, that of networks of the default size: their kernels are a
// tenth to a fifth faster for it.
constexpr int64_t KNOWN_CHANNELS = 64;

struct DirectPath {
    Path path;
    int64_t kernel, harmonic;  // index of the kernel, and the first of the harmonics
    Real factor;               // of the form
};

// The path, if there are such kernels for it; they do whole vectors of channels.
std::optional<DirectPath> direct_path(const Convolution&, const Path&);

// Paths from one irrep whose messages are made together where harmonics are those of one vector, and path by path
// where they are not: see bundles.h.
struct Bundle {
    std::vector<DirectPath> paths;
    std::vector<int64_t> outputs;  // where each sum goes in the row of a receiver
    std::vector<Real> factors;     // of each
};

// Takes whole bundles out of the paths.
std::vector<Bundle> take_bundles(std::vector<DirectPath>& paths);

// The messages of the bundles, summed at the receivers first .. last.
void receive_bundles(const Arrays& of, int64_t first, int64_t last);

// What is done with a path at one node.
using DirectKernel = void (*)(const Arrays&, const DirectPath&, int64_t);

// Kernels for the sweeps of receivers.cpp, backward.cpp and double_backward.cpp, in the order of
// `DirectKernels`; null for what is seldom asked for, as the gradients of harmonics along a tangent.
const DirectKernel* direct_forward(const Arrays&);
const DirectKernel* direct_double_forward(const Arrays&);
const DirectKernel* direct_backward(const Arrays&);
const DirectKernel* direct_double_backward(const Arrays&);
