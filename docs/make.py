"""Write the pages that are made of the code: python docs/make.py [--check]."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from pages.command_line import reference_page
from pages.operators import operator_table
from pages.schemas import PAGES, schema_page

DOCS = Path(__file__).parent
MADE: Mapping[str, Callable[[], str]] = {
    "cli.md": reference_page,
    "supported-operators.md": operator_table,
    **{name: partial(schema_page, name) for name in PAGES},
}


def main() -> int:
    """Write or check the pages; 1 if one is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; end in 1 if a page is not as it should be")
    check = parser.parse_args().check
    made = {name: page() for name, page in MADE.items()}
    stale = [name for name, text in made.items() if text != (DOCS / name).read_text(encoding="utf-8")]
    for name in stale:
        if not check:
            (DOCS / name).write_text(made[name], encoding="utf-8")
        print(f"docs/{name} {'is not what docs/make.py writes' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
