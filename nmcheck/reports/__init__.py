"""Drawings of the results: they print nothing and compute nothing."""
