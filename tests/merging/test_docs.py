"""Every registered method has a page, and the page says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from langmerge.merging import methods
from langmerge.merging.schema import _COMMON

PAGES = Path(__file__).parents[2] / "docs" / "methods"
EVERY = [info.name for info in methods()]


@pytest.mark.parametrize("info", methods(), ids=EVERY)
def test_a_page_names_every_parameter_default_and_choice(info):
    page = (PAGES / f"{info.name}.md").read_text("utf-8")
    for heading in ("## Formula", "## Parameters", "## When to use it", "## Source"):
        assert heading in page
    assert info.source in page
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", page, re.MULTILINE))
    defaults = {
        p.key: str(p.default).lower() if isinstance(p.default, bool) else str(p.default)
        for p in info.parameters
    }
    assert rows == defaults
    for parameter in info.parameters:
        assert parameter.spec.meaning in page
        assert all(f"`{choice}`" in page for choice in parameter.spec.choices)
    assert all(f"`{alias}`" in page for alias in info.aliases)


def test_the_index_lists_every_method_and_nothing_else():
    index = (PAGES / "index.md").read_text("utf-8")
    listed = re.findall(r"\]\((\w+)\.md\) \| `(\w+)`", index)
    assert listed == [(name, name) for name in EVERY]
    assert {path.stem for path in PAGES.glob("*.md")} == {*EVERY, "index"}
    assert all(f"| `{name}` |" in index for name in _COMMON)
