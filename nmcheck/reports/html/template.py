"""Pages from templates: one HTML document without scripts that asks for no other file."""

from __future__ import annotations

from collections.abc import Iterable

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import RenderableType

from nmcheck.outside_text import markup
from nmcheck.reports.blocks import Facts, blocks


def page(template: str, title: str, **values: object) -> str:
    """A document with the style sheet in it.

    Args:
        template: file of this folder that extends ``frame.html.j2``.
        title: of the document.
        values: what the template asks for.
    """
    environment = Environment(
        loader=PackageLoader("nmcheck.reports.html", "."),
        autoescape=True,
        # All that a template writes passes here, and only what a drawing has made is more than words.
        finalize=_written,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    assert environment.loader is not None
    style, _, _ = environment.loader.get_source(environment, "style.css")
    return environment.get_template(template).render(style=Markup(style), title=title, **values)


def _written(value: object) -> Markup:
    return value if isinstance(value, Markup) else Markup(markup(str(value)))


def tables_page(parts: Iterable[RenderableType]) -> str:
    """The tables that ``layout.text_of`` would draw, the frame on top first, and nothing else."""
    facts, *tables = blocks(parts)
    assert isinstance(facts, Facts)
    return page("tables.html.j2", f"{facts.title} · {facts.rows[0][1]}", facts=facts, tables=tables)
