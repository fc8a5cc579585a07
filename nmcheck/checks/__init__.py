"""Use cases: options in, results out; the only place where the parts meet."""
