"""A report as files: the page, Markdown, a CSV file for every table, images if asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from langmerge.errors import StorageError
from langmerge.files import writing
from langmerge.report.content import Report
from langmerge.report.html import to_html
from langmerge.report.markdown import to_markdown
from langmerge.report.sections import document
from langmerge.report.tables import to_csv

PAGE = "report.html"
MARKDOWN = "report.md"
TABLES = "tables"

LARGEST_PAGE = 5_000_000
"""Bytes; a page beyond it is not sent by mail, nor opened on a phone."""


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        page: the HTML page.
        without_font: characters in figures that no installed font has; they show as boxes.
    """

    page: Path
    without_font: tuple[str, ...] = ()


def write(report: Report, folder: Path, images: Path | None = None) -> Written:
    """Write a report into a folder.

    Args:
        report: the report.
        folder: gets `report.html`, `report.md` and `tables/NAME.csv`; other files in it are left.
        images: a folder for every figure as PNG and SVG; needs matplotlib.

    Raises:
        StorageError: if a folder cannot be written.
        MissingExtraError: if images are asked for without matplotlib.
    """
    made = document(report)
    without_font: list[str] = []
    if images is not None:
        from langmerge.report.images import write_images

        without_font = write_images(made, images)
    page = to_html(made)
    if (size := len(page.encode())) > LARGEST_PAGE:
        raise StorageError(
            f"{folder / PAGE}: the page would have {size} bytes, expected {LARGEST_PAGE} at most; "
            "report on fewer languages or tasks at a time"
        )
    # Nothing here needs to survive a crash: it is made again in seconds.
    with writing(folder):
        (folder / TABLES).mkdir(parents=True, exist_ok=True)
        (folder / PAGE).write_text(page, encoding="utf-8")
        (folder / MARKDOWN).write_text(to_markdown(made), encoding="utf-8")
        for table in made.tables():
            path = folder / TABLES / f"{table.name}.csv"
            path.write_text(to_csv(table), encoding="utf-8", newline="")
    return Written(folder / PAGE, tuple(without_font))
