// A product of whole matrices as a linear map of one block: see linear/blockwise.cpp.

#pragma once

#include <cstdint>

#include "kernels.h"

namespace {

// y = x (alpha W), with x [rows, in] and W [in, out], or [out, in] where W is stored as its transpose.
class Product {
    Block forwards_, backwards_;
    Blocks map_, transpose_;
    Rows rows_;
    int64_t size_;

  public:
    Product(int64_t rows, int64_t in, int64_t out, double alpha, int64_t threads, bool transposed = false)
        : forwards_{1, 0, in, 0, out, 0, transposed, 0, alpha}, backwards_{1, 0, out, 0, in, 0, !transposed, 0, alpha},
          map_{in, out, 1, 1, &forwards_}, transpose_{out, in, 1, 1, &backwards_},
          rows_{rows, 1, nullptr, nullptr, threads, 0}, size_(in * out) {}
    Product(const Product&) = delete;

    // y = x (alpha W), or added to what is there.
    void map(const Real* x, const Real* W, Real* y, bool onto = false) const {
        Rows rows = rows_;
        rows.onto = onto;
        blockwise_map(&map_, &rows, size_, x, W, y);
    }

    // From the gradient g of y those of x, of W, or of both.
    void to_x(const Real* g, const Real* W, Real* gx) const { blockwise_map(&transpose_, &rows_, size_, g, W, gx); }
    void to_W(const Real* x, const Real* g, Real* gW) const { blockwise_outer(&map_, &rows_, size_, x, g, gW); }
    void to_both(const Real* x, const Real* g, const Real* W, Real* gx, Real* gW) const {
        blockwise_both(&map_, &rows_, size_, x, g, &transpose_, W, gx, gW);
    }
};

}  // namespace
