#include "convolution/direct/senders.h"

namespace {

template <class Form, int CHANNELS>
struct ToVectors {
    static constexpr DirectKernel value = send<false, true, false, Form, CHANNELS>;
};

template <class Form, int CHANNELS>
struct ToTable {
    static constexpr DirectKernel value = send<false, false, true, Form, CHANNELS>;
};

template <class Form, int CHANNELS>
struct ToBoth {
    static constexpr DirectKernel value = send<false, true, true, Form, CHANNELS>;
};

}  // namespace

const DirectKernel* direct_backward(const Arrays& of) {
    if (of.gY && of.gB) return of.gT ? DirectKernels<ToBoth, Forms>::all : DirectKernels<ToVectors, Forms>::all;
    return of.gT && !of.gY && !of.gB ? DirectKernels<ToTable, Forms>::all : nullptr;
}
