"""The convolution: what it couples, its reference, its kernels, and the operators of PyTorch."""
