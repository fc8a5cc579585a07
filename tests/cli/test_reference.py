from pathlib import Path

from nmcheck.cli.reference import reference_page

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_page_equals_the_program():
    assert PAGE.read_text() == reference_page(), "run: python -m nmcheck.cli.reference > docs/cli.md"
