"""The formulas of Peck's thesis ("Robustness of Classifiers to Adversarial Perturbations", 2017) as they stand.

They are shown beside the certified ones and never called certified: several are false (docs/errata.md). Every module
says for a concrete layer whether its formula holds there, and why.
"""
