"""Strategies that spoil what a parser reads: whole files of anything, and valid ones changed."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from langmerge.errors import LangmergeError

LONG = "long" in (os.environ.get("LANGMERGE_FUZZ"), os.environ.get("LANGMERGE_CI"))

FUZZED = settings(
    max_examples=1000 if LONG else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
"""Short in the usual suite; `LANGMERGE_FUZZ=long` draws 25 times as much."""

NUMBERS = st.sampled_from([0, -1, 1, 2**63, -(2**63), 10**400, 0.5, 1e308, -0.0])
TEXTS = st.text(max_size=8) | st.sampled_from(
    ["", " ", "\x00", "../..", "/etc/passwd", "{", "{x}", "{0.__class__}", "%s", "\ud800", "é" * 40]
)
SCALARS = st.none() | st.booleans() | NUMBERS | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
DEEP = b"[" * 3000

JUNK = st.binary(max_size=40) | st.sampled_from(
    [b"", b"\x00", b"\xff\xfe", b"null", b"[]", b"{}", b"0", b'""', b"{", DEEP, b"1" * 5000]
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every part of a value."""
    yield at
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*at, key))


@st.composite
def spoiled(draw: Callable[..., Any], value: Any) -> Any:
    """A value with up to three parts replaced, removed or added."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from([p for p in places(value) if p] or [("new",)]))
        holder = value
        for key in way:
            holder = holder[key]
        change = draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "remove":
            del holder[last]
        elif change == "add" and isinstance(holder, dict):
            holder[draw(TEXTS)] = draw(VALUES)
        else:
            holder[last] = draw(VALUES)
        if not value:
            break
    return value


def _spoil(kind: str, place: int, length: int, new: bytes) -> Callable[[bytes], bytes]:
    def spoil(content: bytes) -> bytes:
        start = place % (len(content) + 1)
        return content[:start] + (b"" if kind == "cut" else new + content[start + length :])

    return spoil


spoilers: st.SearchStrategy[Callable[[bytes], bytes]] = st.builds(
    _spoil,
    st.sampled_from(["cut", "change"]),
    st.integers(0, 1_000_000),
    st.integers(0, 12),
    st.binary(max_size=12),
) | JUNK.map(lambda junk: lambda _: junk)
"""Functions that cut bytes short, replace a part of them or all, or put something in."""


def spoiled_bytes(content: bytes) -> st.SearchStrategy[bytes]:
    """Some bytes, spoiled."""
    return spoilers.map(lambda spoil: spoil(content))


def told(read: Callable[[], Any], *, lines: bool = False) -> None:
    """Read, and let a failure be an error for people: one line, or one a problem."""
    try:
        read()
    except LangmergeError as error:
        message = str(error)
        assert message.strip()
        if not lines:
            assert "\n" not in message and "\r" not in message, message
