"""6. What the models said, side by side."""

from __future__ import annotations

from collections.abc import Iterator

from langmerge.report.content import Report
from langmerge.report.document import Block, Examples, Notice, Paragraph, Section
from langmerge.report.examples import LONGEST, MOST, MOST_OF_ONE, choose
from langmerge.report.words import limited


def build(report: Report) -> Section:
    """Return the section."""
    return Section("examples", "Examples", tuple(_blocks(report)))


def _blocks(report: Report) -> Iterator[Block]:
    if gaps := report.gaps.get("examples"):
        yield Notice(f"Predictions that the store no longer has: {limited(list(gaps))}")
    if examples := choose(report):
        yield Examples(
            "Test rows of the first seed, those on which the models differ most first: at most "
            f"{MOST_OF_ONE} of a task and language and {MOST} in all, texts up to {LONGEST} "
            "characters. They are chosen for differing, so counting them says nothing about how "
            "often models differ. A number beside a written text is the task's metric on that row.",
            examples,
        )
    else:
        yield Paragraph(
            "None are shown: there are no predictions, or texts were left out (--no-texts)."
        )
