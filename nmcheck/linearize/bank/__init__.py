"""Banks: the linearizations around representative points, computed once and served to every new image."""
