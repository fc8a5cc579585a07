"""Adversarial perturbations: upper bounds of what a certified radius bounds from below.

Each attack is a function of a ``Problem`` and gives ``Candidates``. What it finds flips torch's execution of the
network; ``checks`` runs it again in onnxruntime before it counts.

The attacks are our own. The best-known libraries, foolbox 3.3.4 and torchattacks 3.5.1, have had no release for more
than two years; they descend the cross-entropy, whose gradient vanishes where a network is sure, and leave what they
return unchecked.
"""
