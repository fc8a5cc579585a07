"""``nmcheck gate``: what a policy demands of a model, what is evidence for and against it, and the verdict."""
