"""One document in three forms: the page, Markdown, CSV; text from data stays text in all."""

import csv
import io
from html.parser import HTMLParser

from langmerge.report.document import (
    Answer,
    Code,
    Document,
    Estimate,
    Example,
    Examples,
    Figure,
    Figures,
    Heading,
    Lead,
    Notice,
    Paragraph,
    Quantity,
    Section,
    Table,
)
from langmerge.report.drawing import Drawing, Text
from langmerge.report.html import to_html
from langmerge.report.markdown import to_markdown
from langmerge.report.tables import to_csv

HOSTILE = "</script><script>alert(1)</script> <b>bold</b> & | `x` [y](z)\n# heading"

TABLE = Table(
    name="scores",
    title=f"title {HOSTILE}",
    header=("model", "de", "time"),
    rows=(
        ("base", Estimate(41.25, 30.5, 50.0, "worse", 0.01), Quantity(1.5, "1.5 s")),
        (f"=cmd {HOSTILE}", Estimate(None), Quantity(None, "–")),
    ),
    notes=("run `langmerge run`", f"note {HOSTILE}"),
    emphasized=(0,),
)
EXAMPLE = Example(
    task="topic",
    language="ar",
    row=HOSTILE,
    source=HOSTILE,
    choices=(HOSTILE,),
    reference=HOSTILE,
    answers=(Answer("combined", HOSTILE, "right"), Answer("merged:ties", "", "wrong")),
    differs=True,
)
DRAWING = Drawing(100, 20, (Text(0, 10, HOSTILE),))
DOCUMENT = Document(
    title=HOSTILE,
    facts=(("Base", HOSTILE),),
    sections=(
        Section(
            "verdict",
            "Verdict",
            (Lead((HOSTILE,)), Heading(HOSTILE), Paragraph(HOSTILE), Notice(HOSTILE)),
        ),
        Section(
            "rest",
            "Rest",
            (
                TABLE,
                Code(HOSTILE, HOSTILE),
                Figures("figures", HOSTILE, (Figure("f", HOSTILE, HOSTILE, DRAWING),)),
                Examples(HOSTILE, (EXAMPLE,)),
            ),
        ),
    ),
)


class Elements(HTMLParser):
    """Counts elements and collects text, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.text: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attributes:
            if name in ("src", "href", "action", "srcset", "data") and value:
                self.loaded.append(value)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_holds_text_as_text_and_loads_nothing() -> None:
    page = to_html(DOCUMENT)
    found = Elements()
    found.feed(page)

    assert found.counts["script"] == 1
    assert found.counts["style"] == 1
    assert "<b>bold</b>" not in page
    assert "<b>bold</b>" in "".join(found.text)
    assert {link for link in found.loaded if not link.startswith("#")} == {"data:,"}
    assert "@import" not in page
    assert "url(" not in page
    assert 'dir="auto" lang="ar"' in page
    assert '<span class="unseen"> significantly worse</span>' in page
    assert "<code>langmerge run</code>" in page


def test_markdown_holds_text_as_text() -> None:
    text = to_markdown(DOCUMENT)
    outside_code = text.partition("```")[0] + text.rpartition("```")[2]

    assert "<script>" not in outside_code
    assert "\n# heading" not in outside_code
    assert "[y](z)" not in outside_code
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[1] == "| --- | ---: | ---: |"
    assert rows[2] == "| **base** | **41.2 ▼ (30.5–50.0)** | **1.5 s** |"
    assert all(line.replace(r"\|", "").count("|") == 4 for line in rows)
    assert "run `langmerge run`" in text
    assert "(right): " in text


def test_csv_holds_numbers_and_no_formula() -> None:
    rows = list(csv.reader(io.StringIO(to_csv(TABLE))))

    assert rows[0] == ["model", "de", "de low", "de high", "de p adjusted", "de mark", "time"]
    assert rows[1] == ["base", "41.25", "30.5", "50", "0.01", "worse", "1.5"]
    assert rows[2] == [f"'=cmd {HOSTILE}", "", "", "", "", "", ""]
