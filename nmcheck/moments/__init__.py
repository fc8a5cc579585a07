"""Closed-form and sampled moments of networks under Gaussian input noise, and how far apart they are."""
