"""Short NumPy versions of every operation: the oracle of the tests, the baseline of the benchmarks."""
