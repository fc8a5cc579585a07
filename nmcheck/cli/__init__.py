"""The command line: one command a file; heavy imports happen inside the functions that need them."""
