"""A document as Markdown: the same words and tables; a figure is what it says in words."""

from __future__ import annotations

from collections.abc import Iterator

from langmerge.markdown import Alignment, code_block, escape, prose, table
from langmerge.report.document import (
    MARKS,
    Block,
    Cell,
    Code,
    Document,
    Example,
    Examples,
    Figures,
    Heading,
    Lead,
    Notice,
    Paragraph,
    Quantity,
    Table,
)


def to_markdown(made: Document) -> str:
    """Return a document as Markdown; text from data is escaped."""
    return "\n\n".join(_parts(made)) + "\n"


def _parts(made: Document) -> Iterator[str]:
    yield f"# {escape(made.title)}"
    yield "\n".join(f"- {name}: {escape(text)}" for name, text in made.facts)
    for section in made.sections:
        yield f"## {section.title}"
        for block in section.blocks:
            yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Lead(sentences):
            yield from (f"**{escape(sentence)}**" for sentence in sentences)
        case Heading(text):
            yield f"### {escape(text)}"
        case Paragraph(text):
            yield prose(text)
        case Notice(text):
            yield f"> {prose(text)}"
        case Code(title, text):
            yield f"### {escape(title)}"
            yield code_block(text)
        case Table():
            yield from _table(block)
        case Figures(title, note, figures):
            yield f"**{escape(title)}.** {prose(note)}"
            yield "\n".join(f"- {escape(f.title)}: {escape(f.description)}" for f in figures)
        case Examples(note, examples):
            yield prose(note)
            yield from ("\n".join(_example(example)) for example in examples)


def _table(block: Table) -> Iterator[str]:
    yield f"**{escape(block.title)}**"
    first = block.rows[0] if block.rows else ()
    alignment: list[Alignment] = [
        "left" if isinstance(cell, str) else "right" for cell in first
    ] or ["left" for _ in block.header]
    rows = [
        [_emphasized(_cell(cell), number in block.emphasized) for cell in row]
        for number, row in enumerate(block.rows)
    ]
    yield table([escape(name) for name in block.header], rows, alignment)
    if block.notes:
        yield "\n".join(f"- {prose(note)}" for note in block.notes)


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return escape(cell)
    if isinstance(cell, Quantity):
        return escape(cell.text)
    mark = f" {MARKS[cell.mark]}" if cell.mark else ""
    interval = f" ({cell.interval})" if cell.interval else ""
    return f"{cell.text}{mark}{interval}"


def _emphasized(text: str, wanted: bool) -> str:
    return f"**{text}**" if wanted and text else text


def _example(example: Example) -> Iterator[str]:
    differs = ", models differ" if example.differs else ""
    yield f"- {escape(example.task)}, {escape(example.language)}, {escape(example.row)}{differs}"
    yield f"  - input: {escape(example.source)}"
    if example.choices:
        yield f"  - choices: {' / '.join(map(escape, example.choices))}"
    yield f"  - reference: {escape(example.reference)}"
    for answer in example.answers:
        verdict = f" ({answer.verdict})" if answer.verdict else ""
        yield f"  - {escape(answer.model)}{verdict}: {escape(answer.text) or '(nothing)'}"


__all__ = ["to_markdown"]
