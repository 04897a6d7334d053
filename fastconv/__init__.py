"""2-D convolution and pooling on the CPU, compiled by Numba."""

__version__ = "0.1.0"
