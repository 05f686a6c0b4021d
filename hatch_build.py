"""Puts the Markdown pages of `docs/` into the wheel, where errors lead to them (`guide.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Pages(BuildHookInterface[Any]):
    """A hook of the wheel; an editable install reads the pages of its checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add each page as `langmerge/docs/PAGE.md`."""
        docs = Path(self.root) / "docs"
        if version == "standard":
            for page in docs.rglob("*.md"):
                place = f"langmerge/docs/{page.relative_to(docs).as_posix()}"
                build_data["force_include"][str(page)] = place
