"""Mean, tangents and residual variance of every value of a network under Gaussian noise, one kind of step a file."""
