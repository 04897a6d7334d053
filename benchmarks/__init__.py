"""Benchmarks: what each algorithm buys (``pytest --benchmark-only``), and other libraries (``benchmarks.peers``)."""
