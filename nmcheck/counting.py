"""A number and what it counts, in words."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1 image``, ``2 images``, ``1,000 images``.

    Args:
        number: how many.
        noun: of what; a last word that is no noun goes into both forms.
        plural: of it, if not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
