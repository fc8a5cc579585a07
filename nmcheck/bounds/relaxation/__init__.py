"""Backward linear relaxation (CROWN): affine functions of the input that certainly lie below differences of logits."""
