"""Figures as PNG and SVG for papers, drawn by matplotlib from the same drawings as the page's."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langmerge.errors import MissingExtraError
from langmerge.files import writing
from langmerge.report.document import Document
from langmerge.report.drawing import Box, Drawing, Line, Marker, Style, Text
from langmerge.report.svg import outline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 300

_PER_INCH = 96.0
"""CSS pixels."""

_MARGIN = 10.0

_POINTS = 72 / _PER_INCH
"""Points in a CSS pixel: sizes of text and widths of lines."""

_COLOURS: dict[Style, str] = {
    "ink": "#1d1b1a",
    "muted": "#5d5751",
    "grid": "#ddd7d1",
    "merged": "#00609f",
    "combined": "#b04a00",
    "individual": "#00735a",
    "single": "#8a3f7d",
    "base": "#66605b",
}

_PREFERRED = ("DejaVu Sans", "Noto Sans", "Arial")
"""Fonts tried first; then any installed one that has a missing glyph, sans-serif ones first."""


def write_images(made: Document, folder: Path) -> list[str]:
    """Write every figure as NAME.png and NAME.svg; return the characters that no font could show.

    Text in SVG files is drawn as outlines, so that it shows wherever the file is opened.

    Raises:
        MissingExtraError: if matplotlib is not installed.
        StorageError: if the folder cannot be written.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtraError("matplotlib", "report", "writing images") from None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    figures = list(made.figures())
    characters = {c for figure in figures for c in "".join(_texts(figure.drawing))}
    families, missing = choose_fonts(characters)
    settings: dict[Any, Any] = {
        "font.family": families,
        "svg.fonttype": "path",
        "svg.hashsalt": "langmerge",  # the same figure gives the same bytes
    }
    with writing(folder), mpl.rc_context(settings):
        folder.mkdir(parents=True, exist_ok=True)
        for figure in figures:
            drawn = _drawn(figure.drawing)
            FigureCanvasAgg(drawn)
            drawn.savefig(folder / f"{figure.name}.png", dpi=DPI, metadata={"Title": figure.title})
            FigureCanvasSVG(drawn)
            about = {"Title": figure.title, "Description": figure.description, "Date": None}
            drawn.savefig(folder / f"{figure.name}.svg", format="svg", metadata=about)
    return missing


def choose_fonts(characters: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return installed fonts that have the characters together, and the characters none has.

    matplotlib takes each glyph from the first font of the list that has it.
    """
    wanted = {character for character in characters if character.isprintable()}
    wanted -= {character for character in wanted if unicodedata.category(character) == "Zs"}
    families: list[str] = []
    for name, path in _installed():
        if not wanted and families:
            break
        if found := wanted & _characters_of(path) or not families:
            families.append(name)
            wanted -= found if isinstance(found, set) else set()
    return families, sorted(wanted)


def _installed() -> Iterator[tuple[str, str]]:
    """Yield regular fonts and their files, those to be preferred first."""
    from matplotlib import font_manager

    entries = {
        entry.name: entry.fname
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal" and str(entry.weight) in ("400", "normal", "regular")
    }

    def rank(name: str) -> tuple[int, bool, str]:
        place = _PREFERRED.index(name) if name in _PREFERRED else len(_PREFERRED)
        return place, "sans" not in name.lower(), name

    for name in sorted(entries, key=rank):
        yield name, entries[name]


@cache
def _characters_of(path: str) -> frozenset[str]:
    from matplotlib import ft2font

    return frozenset(map(chr, ft2font.FT2Font(path).get_charmap()))


def _texts(drawing: Drawing) -> Iterator[str]:
    return (item.text for item in drawing.items if isinstance(item, Text))


def _drawn(drawing: Drawing) -> Any:
    from matplotlib.figure import Figure

    width, height = drawing.width + 2 * _MARGIN, drawing.height + 2 * _MARGIN
    figure = Figure(figsize=(width / _PER_INCH, height / _PER_INCH), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-_MARGIN, width - _MARGIN), ylim=(height - _MARGIN, -_MARGIN))
    axes.axis("off")
    for order, item in enumerate(drawing.items):
        _draw(axes, item, order)
    return figure


def _draw(axes: Axes, item: Line | Marker | Box | Text, order: int) -> None:
    from matplotlib.patches import Circle, Polygon, Rectangle

    colour = _COLOURS[item.style]
    if isinstance(item, Line):
        x, y = zip(*item.points, strict=True) if item.points else ((), ())
        style = "dashed" if item.dashed else "solid"
        axes.plot(x, y, color=colour, lw=item.width * _POINTS, ls=style, zorder=order)
    elif isinstance(item, Box):
        place = item.x, item.y
        patch: Any = Rectangle(
            place, item.width, item.height, color=colour, alpha=item.strength, lw=0, zorder=order
        )
        axes.add_patch(patch)
    elif isinstance(item, Text):
        side: Any = {"start": "left", "middle": "center", "end": "right"}[item.anchor]
        weight = "bold" if item.bold else "normal"
        axes.text(
            item.x, item.y, item.text.replace("$", r"\$"), ha=side, va="baseline", color=colour,
            fontsize=item.size * _POINTS, fontweight=weight, zorder=order,
        )  # fmt: skip
    elif item.shape in ("circle", "ring"):
        face = "white" if item.shape == "ring" else colour
        axes.add_patch(
            Circle((item.x, item.y), item.size, fc=face, ec=colour, lw=1.2, zorder=order)
        )
    else:
        axes.add_patch(Polygon(outline(item), closed=True, color=colour, lw=0, zorder=order))
