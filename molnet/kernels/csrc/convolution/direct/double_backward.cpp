#include "convolution/direct/senders.h"

DirectKernel direct_double_backward(const Arrays& of, const Path& p) {
    return of.gT && !of.u && !of.gY && !of.gB ? sending<true, false, true>(p) : nullptr;
}
