#include "convolution/direct/senders.h"

DirectKernel direct_backward(const Arrays& of, const Path& p) {
    if (of.gY && of.gB) return of.gT ? sending<false, true, true>(p) : sending<false, true, false>(p);
    return of.gT && !of.gY && !of.gB ? sending<false, false, true>(p) : nullptr;
}
