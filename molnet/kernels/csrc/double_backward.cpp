// The gradients of the change of the convolution along tangents. See sweep.h.

#include "senders.h"

extern "C" {

void convolution_double_backward(
    const Shape* s, const Real* g, const Real* x, const Real* Y, const Real* B, const Real* T,
    const Real* a, const Real* y, const Real* b, const Real* u, Real* gx, Real* gY, Real* gB,
    Real* gT) {
    Arrays of{*s};
    of.g = g, of.x = x, of.Y = Y, of.B = B, of.T = T, of.a = a, of.y = y, of.b = b, of.u = u;
    of.gx = gx, of.gY = gY, of.gB = gB, of.gT = gT;
    to_senders<DoubleBackward>(of);
}

}  // extern "C"
