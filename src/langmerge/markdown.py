"""Markdown whose text may come from data: nothing in it is taken for markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

Alignment = Literal["left", "right"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~!])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_RULES = {"left": "---", "right": "---:"}


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _escaped(text).strip()


def _escaped(text: str) -> str:
    escaped = _SPECIAL.sub(r"\\\1", re.sub(r"\s+", " ", text))
    return "".join(_HTML.get(character, character) for character in escaped)


def prose(text: str) -> str:
    """Return text in which what stands between backquotes is code; all else is as in `escape`."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backquote without its fellow
        return escape(text)
    # `escape` strips what surrounds the text; the spaces around code belong to the sentence.
    return "".join(
        code(part) if number % 2 else _escaped(part) for number, part in enumerate(parts)
    ).strip()


def code(text: str) -> str:
    """Return text as code on one line, whatever backquotes it holds."""
    one_line = " ".join(text.split())
    fence = "`" * (_longest_run_of_backquotes(one_line) + 1)
    space = " " if one_line.startswith("`") or one_line.endswith("`") else ""
    return f"{fence}{space}{one_line}{space}{fence}"


def code_block(text: str, language: str = "") -> str:
    """Return text as a block of code, whatever backquotes it holds."""
    fence = "`" * max(3, _longest_run_of_backquotes(text) + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], alignment: Sequence[Alignment]
) -> str:
    """Return a table; its cells are Markdown already."""
    rules = [_RULES[each] for each in alignment]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rules, *rows))


def _longest_run_of_backquotes(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
