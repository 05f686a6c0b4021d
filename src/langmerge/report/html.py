"""A document as one page: style, script and figures inside, nothing loaded, all text escaped."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from langmerge.report import document
from langmerge.report.document import MARKS, Document, Estimate, Quantity
from langmerge.report.svg import svg


def to_html(made: Document) -> str:
    """Return a document as an HTML page that is read without a network, and without scripts."""
    environment = Environment(
        loader=PackageLoader("langmerge.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests.update(
        {
            kind.__name__.lower(): lambda block, kind=kind: isinstance(block, kind)
            for kind in document.BLOCKS
        },
        estimate=lambda cell: isinstance(cell, Estimate),
        quantity=lambda cell: isinstance(cell, Quantity),
    )
    environment.filters["prose"] = _prose
    template = environment.get_template("report.html")
    # The page's own style and script; nothing of the data is in them.
    return template.render(
        document=made, marks=MARKS, svg=svg, style=_own("report.css"), script=_own("report.js")
    )


def _prose(text: str) -> Markup:
    """Return text in which what stands between backquotes is code; all of it is escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backquote without its fellow
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )


def _own(name: str) -> Markup:
    text = (files("langmerge.report") / "templates" / name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704 - a file of this package
