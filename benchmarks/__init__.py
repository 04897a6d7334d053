"""Benchmarks: what each algorithm buys (``pytest --benchmark-only``), and other libraries (``benchmarks.peers``).

And the bits of all results, which are not timed: :mod:`benchmarks.fingerprint`.
"""
