#include "convolution/direct/senders.h"

namespace {

template <class Form, int CHANNELS>
struct ToTable {
    static constexpr DirectKernel value = send<true, false, true, Form, CHANNELS>;
};

}  // namespace

const DirectKernel* direct_double_backward(const Arrays& of) {
    return of.gT && !of.u && !of.gY && !of.gB ? DirectKernels<ToTable, Forms>::all : nullptr;
}
