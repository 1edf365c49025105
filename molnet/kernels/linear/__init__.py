"""Linear maps between blocks of features: their kernels, and the packing of weights."""
