"""What a report is made of, before it is HTML, Markdown, CSV or images.

A document is sections, a section is blocks. Sections are built in `langmerge.report.sections`;
the renderers know blocks, and nothing of adapters or scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from langmerge.report.drawing import Drawing

Mark = Literal["", "better", "worse"]

MARKS: dict[Mark, str] = {"": "", "better": "▲", "worse": "▼"}
"""Symbols that differ in shape, not in colour alone."""


@dataclass(frozen=True)
class Quantity:
    """A number and how it is shown: CSV has the number, everything else the text."""

    value: float | None
    text: str


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, and how it stands to what its table compares with.

    Attributes:
        value: in points; None where there is no result.
        low: lower bound; None where there is no interval.
        high: upper bound.
        mark: whether it is significantly better or worse.
        p_value: adjusted, of the comparison that `mark` is of.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    mark: Mark = ""
    p_value: float | None = None

    @property
    def text(self) -> str:
        """The value alone; a dash where there is none."""
        return "–" if self.value is None else f"{self.value:.1f}"

    @property
    def interval(self) -> str:
        """The interval alone, empty where there is none."""
        if self.low is None or self.high is None:
            return ""
        return f"{self.low:.1f}–{self.high:.1f}"


Cell: TypeAlias = str | Quantity | Estimate


@dataclass(frozen=True)
class Table:
    """A table; its first column names the rows.

    Attributes:
        name: of its CSV file, unique in the document.
        title: what it shows.
        header: the columns' names.
        rows: cells, as many as columns; columns of text and of numbers do not mix.
        notes: what a reader must know, below the table.
        emphasized: rows that the report is about, by number.
        folded: the page shows it only when asked to: a figure or another table says the same.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    emphasized: tuple[int, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawing with what it says in words, for those who do not see it.

    Attributes:
        name: of its image file, unique in the document.
        title: what it shows, short.
        description: its content in words; the tables hold the numbers.
        drawing: the drawing.
    """

    name: str
    title: str
    description: str
    drawing: Drawing


@dataclass(frozen=True)
class Figures:
    """Figures side by side, as many as the page is wide."""

    title: str
    note: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Lead:
    """The sentences a reader must not miss."""

    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Notice:
    """Something that limits what the report may be used for: failed jobs, stale baselines."""

    text: str


@dataclass(frozen=True)
class Code:
    """A text to be copied, with what it is."""

    title: str
    text: str


@dataclass(frozen=True)
class Answer:
    """What one model said.

    Attributes:
        model: its name.
        text: the answer.
        verdict: `right` or `wrong`, or a score; empty where nothing is known.
    """

    model: str
    text: str
    verdict: str


@dataclass(frozen=True)
class Example:
    """One row with the models' answers side by side.

    Attributes:
        task: the task's name.
        language: the row's language.
        row: the row's id.
        source: what the model was given, without the prompt's wording.
        choices: the candidate answers, if the row has its own.
        reference: the right answer.
        answers: the models' answers, always in the same order.
        differs: not all models answer alike.
    """

    task: str
    language: str
    row: str
    source: str
    choices: tuple[str, ...]
    reference: str
    answers: tuple[Answer, ...]
    differs: bool


@dataclass(frozen=True)
class Examples:
    """Examples to be looked through, the most telling of every language first."""

    note: str
    examples: tuple[Example, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks there are examples of."""
        return tuple(dict.fromkeys(example.task for example in self.examples))

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages there are examples of."""
        return tuple(dict.fromkeys(example.language for example in self.examples))


Block: TypeAlias = Lead | Heading | Paragraph | Notice | Code | Table | Figures | Examples

BLOCKS: tuple[type[Block], ...] = (
    Lead, Heading, Paragraph, Notice, Code, Table, Figures, Examples,
)  # fmt: skip


@dataclass(frozen=True)
class Section:
    """A section with its name for links."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        title: of the page.
        facts: what it is about, as (name, text).
        sections: its sections, in order.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]

    def tables(self) -> Iterator[Table]:
        """Yield all tables."""
        for section in self.sections:
            yield from (block for block in section.blocks if isinstance(block, Table))

    def figures(self) -> Iterator[Figure]:
        """Yield all figures."""
        for section in self.sections:
            for block in section.blocks:
                if isinstance(block, Figures):
                    yield from block.figures
