"""Which page of the docs helps with an error, and where that page is.

Pages are looked for at `$LANGMERGE_DOCS`, the address of a published docs site, else among the
Markdown files that come with the package, else in the checkout that the package runs from.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from langmerge.errors import (
    AdapterError,
    BaseModelError,
    DataError,
    GateRefused,
    JobsFailed,
    LangmergeError,
    MergeError,
    MissingExtraError,
    ProjectError,
    StorageError,
)

PAGES: Mapping[type[LangmergeError], str] = {
    ProjectError: "guides/project-file",
    DataError: "data",
    BaseModelError: "bases",
    AdapterError: "adopting",
    MergeError: "methods/index",
    StorageError: "reliability",
    MissingExtraError: "extras",
    GateRefused: "releases",
    JobsFailed: "reliability",
}
"""An error's page in the docs; an error of a subclass has that of its nearest class."""

_HERE = Path(__file__).parent
_PLACES = (_HERE / "docs", _HERE.parents[1] / "docs")


def page_for(error: LangmergeError) -> str | None:
    """Return the address or the path of the page about an error of this kind; None without one."""
    page = next((PAGES[cls] for cls in type(error).__mro__ if cls in PAGES), None)
    if page is None:
        return None
    if site := os.environ.get("LANGMERGE_DOCS"):
        return f"{site.rstrip('/')}/{page}.html"
    found = (folder / f"{page}.md" for folder in _PLACES)
    return next((str(path) for path in found if path.is_file()), None)
