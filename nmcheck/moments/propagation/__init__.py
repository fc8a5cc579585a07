"""Mean, tangents and nugget of every value of a network under Gaussian input noise, one kind of step a file."""
