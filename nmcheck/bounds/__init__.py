"""Robustness bounds: certified layer constants, published formulas beside them, and their composition over a graph."""
