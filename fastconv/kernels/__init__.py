"""Compiled kernels: no checks, no allocation of results, no policy."""
