"""nmcheck's results over Netron's drawing of a model, in the browser: the viewer behind ``nmcheck view``."""
