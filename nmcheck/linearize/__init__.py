"""First-order models of a network: Jacobians and the two-stage linearization at a ReLU."""
