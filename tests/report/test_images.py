"""Figures for papers: from the same drawings, with glyphs for every script where there are any."""

import builtins
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib")

from langmerge.errors import MissingExtraError
from langmerge.report.document import Document, Figure, Figures, Section
from langmerge.report.drawing import Box, Drawing, Line, Marker, Text
from langmerge.report.images import choose_fonts, write_images

ITEMS = (
    Line(((0, 0), (90, 40)), "merged", 2, dashed=True),
    Box(5, 5, 20, 10, "combined", 0.5),
    *(
        Marker(10.0 * place, 30, shape, "individual")
        for place, shape in enumerate(("circle", "ring", "square", "diamond", "triangle", "down"))
    ),
    Text(5, 20, "en $5 _x^2 日本", bold=True),
)


def document(*names: str) -> Document:
    drawing = Drawing(100, 50, ITEMS)
    figures = tuple(Figure(name, name, "words", drawing) for name in names)
    return Document("title", (), (Section("s", "s", (Figures("f", "n", figures),)),))


def test_every_figure_is_png_and_svg(tmp_path: Path) -> None:
    missing = write_images(document("first", "second"), tmp_path / "images")

    found = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert found == ["first.png", "first.svg", "second.png", "second.svg"]
    assert (tmp_path / "images/first.png").read_bytes().startswith(b"\x89PNG")
    root = ElementTree.parse(tmp_path / "images/first.svg").getroot()
    assert root.get("viewBox")
    assert set(missing) <= set("日本")


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_images(document("one"), tmp_path / name)
    first, second = ((tmp_path / name / "one.svg").read_bytes() for name in ("a", "b"))
    assert first == second


def test_fonts_are_chosen_by_their_glyphs() -> None:
    families, missing = choose_fonts("abc")
    assert families
    assert missing == []
    # U+F8FF is in the private use area, and U+10FFFD unassigned: no font is expected to have it.
    _, missing = choose_fonts("a\U0010fffd")
    assert missing in ([], ["\U0010fffd"])


def test_characters_without_a_font_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from langmerge.report import images

    monkeypatch.setattr(images, "_characters_of", lambda _: frozenset("abc"))
    families, missing = choose_fonts("ab日本")
    assert missing == ["日", "本"]
    assert len(families) == 1


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"langmerge\[report\]"):
        write_images(document("one"), tmp_path)
