"""``python -m nmcheck``: the same as the ``nmcheck`` command."""

from nmcheck.cli.app import main

if __name__ == "__main__":
    main()
