// Paths of degrees that forms.h writes out, done without matrices.
//
// Such a path takes harmonics as they are, and their gradients come out as such, where other kernels need
// matrices of all edges and gradients of these; and its weights stay in registers from interpolation to use.
// The sources are outside of the folder that is compiled anew for larger l.

#pragma once

#include <cstdint>
#include <vector>

#include "convolution/arrays.h"

// A number of channels that the compiler is told, that of networks of the default size: their kernels are a
// tenth to a fifth faster for it.
constexpr int64_t KNOWN_CHANNELS = 64;

// What is done with a path at one node.
using DirectKernel = void (*)(const Arrays&, const Path&, int64_t);

struct DirectPath {
    Path path;
    DirectKernel run;
};

class Receivers;  // of bundles.cpp

// Paths from one irrep whose messages are made together where harmonics are those of one vector, and path by path
// where they are not: see bundles.h.
struct Bundle {
    std::vector<DirectPath> paths;
    std::vector<int64_t> outputs;  // where each sum goes in the row of a receiver
    std::vector<Real> factors;     // of each
    void (*run)(const Arrays&, const Bundle&, const Receivers&, Real* room);
};

// Takes whole bundles out of the paths.
std::vector<Bundle> take_bundles(std::vector<DirectPath>& paths);

// The messages of the bundles, summed at the receivers first .. last.
void receive_bundles(const Arrays& of, int64_t first, int64_t last);

// The kernel for a path in the sweeps of receivers.cpp, backward.cpp and double_backward.cpp. There is none for other
// degrees, for channels beside whole vectors, and for what is seldom asked for, as the gradients of harmonics along a
// tangent.
DirectKernel direct_forward(const Arrays&, const Path&);
DirectKernel direct_double_forward(const Arrays&, const Path&);
DirectKernel direct_backward(const Arrays&, const Path&);
DirectKernel direct_double_backward(const Arrays&, const Path&);
