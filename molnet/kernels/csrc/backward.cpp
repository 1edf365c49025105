// The gradients of the convolution. See sweep.h.

#include "senders.h"

extern "C" {

void convolution_backward(
    const Shape* s, const Real* g, const Real* x, const Real* Y, const Real* B, const Real* T,
    Real* gx, Real* gY, Real* gB, Real* gT) {
    Arrays of{*s};
    of.g = g, of.x = x, of.Y = Y, of.B = B, of.T = T;
    of.gx = gx, of.gY = gY, of.gB = gB, of.gT = gT;
    to_senders<Backward>(of);
}

}  // extern "C"
