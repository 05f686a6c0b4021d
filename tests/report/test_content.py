"""Reports of real runs: whole ones, and ones in which much is missing."""

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import add_routed, make_project
from report.conftest import ARABIC, HOSTILE, LANGUAGES, MESSAGE
from typer.testing import CliRunner

from langmerge.cli import app, main
from langmerge.cli.run import run_project
from langmerge.errors import StorageError
from langmerge.report import Report, gather, write
from langmerge.report import files as files_module
from langmerge.report.document import Document, Estimate, Examples, Figures, Lead, Notice, Table
from langmerge.report.html import to_html
from langmerge.report.sections import document

SECTIONS = [
    "verdict", "scores", "cost", "upkeep", "training", "vectors", "examples", "reproduction"
]  # fmt: skip

Edit = Callable[[Callable[[dict[str, Any]], None]], Path]


def blocks(made: Document, section: str, kind: type) -> list[Any]:
    found = next(each for each in made.sections if each.name == section)
    return [block for block in found.blocks if isinstance(block, kind)]


def table(made: Document, name: str) -> Table:
    return next(each for each in made.tables() if each.name == name)


def test_a_whole_report(report: Report) -> None:
    made = document(report)

    assert [section.name for section in made.sections] == SECTIONS
    assert len(blocks(made, "verdict", Lead)[0].sentences) == 2
    scores = table(made, "scores-classification")
    assert scores.header == ("model", *LANGUAGES, "mean")
    assert [row[0] for row in scores.rows][-2:] == ["merged:ties", "merged:half"]
    assert scores.emphasized == (len(scores.rows) - 2,)
    names = [figure.name for figure in made.figures()]
    assert len(set(names)) == len(names)
    for name in (
        "classification-de",
        "generation-mean",
        "density-classification-ties",
        "cost-generation-update",
        "upkeep-runs",
        "releases-generation",
        "vectors-classification-cosines",
        "vectors-classification-clusters",
        "vectors-generation-layers",
    ):
        assert name in names
    assert table(made, "seeds-classification").header[1:3] == ("seed 0", "seed 1")
    releases = table(made, "releases")
    assert len(releases.rows) == 2
    assert "(served)" in str(releases.rows[0][0])
    assert releases.rows[0][4] == MESSAGE
    assert [row[1] for row in table(made, "bill").rows] == ["initial", "update"]


def test_numbers_are_those_of_the_results(report: Report) -> None:
    scores = {
        (s.task, s.model, s.language, s.seed): s.metrics[report.results.primary_metrics[s.task]]
        for s in report.results.scores
        if s.split == "test"
    }
    base = scores["classification", "base", "de", None]
    assert report.cells["classification", "base", "de"] == Estimate(base.value, base.low, base.high)
    ours = [scores["classification", "merged:ties", "de", seed].value for seed in (0, 1)]
    joined = report.cells["classification", "merged:ties", "de"]
    assert joined.value == pytest.approx(sum(ours) / 2)
    assert joined.low is not None
    assert joined.low <= joined.value <= (joined.high or 0)
    found = {
        (c.task, c.against): c for c in report.results.comparisons if c.model == report.subject
    }
    for row in table(document(report), "verdict").rows:
        against = str(row[1]).removesuffix(" (stale)")
        assert row[3].value == found[str(row[0]), against].difference  # type: ignore[union-attr]
        assert row[6].value == found[str(row[0]), against].p_holm  # type: ignore[union-attr]


def test_the_stale_baseline_is_marked(report: Report) -> None:
    made = document(report)
    assert any(a.stale for a in report.results.averages)
    assert "combined (stale)" in [row[0] for row in table(made, "scores-classification").rows]
    assert "combined (stale)" in [row[1] for row in table(made, "verdict").rows]
    notices = [block.text for block in blocks(made, "verdict", Notice)]
    assert any(text.startswith("Stale: combined on classification") for text in notices)


def test_examples_show_what_was_asked_and_answered(report: Report) -> None:
    shown = blocks(document(report), "examples", Examples)[0]

    assert shown.tasks == ("classification", "generation")
    assert shown.languages == LANGUAGES
    german = next(e for e in shown.examples if (e.task, e.language) == ("classification", "de"))
    assert german.source.startswith(HOSTILE)
    assert [answer.model for answer in german.answers] == ["individual", "combined", "merged:ties"]
    for example in shown.examples:
        if example.task == "classification":
            for answer in example.answers:
                assert answer.verdict == ("right" if answer.text == example.reference else "wrong")
            assert example.differs == (len({a.text for a in example.answers}) > 1)
    for task in shown.tasks:
        for language in shown.languages:
            of = [e.differs for e in shown.examples if (e.task, e.language) == (task, language)]
            assert of == sorted(of, reverse=True)
    assert any(ARABIC in example.source for example in shown.examples)


def test_without_texts_no_row_of_the_data_is_in_any_file(run_once: Path, tmp_path: Path) -> None:
    def with_texts(folder: Path) -> set[str]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return {f.name for f in files if ARABIC in f.read_text(encoding="utf-8")}

    write(gather(run_once), tmp_path / "whole")
    write(gather(run_once, texts=False), tmp_path / "without")

    assert with_texts(tmp_path / "whole") >= {"report.html", "report.md"}
    assert with_texts(tmp_path / "without") == set()


def test_what_is_needed_to_make_it_again(report: Report, run_once: Path) -> None:
    digests = dict(table(document(report), "digests").rows)
    lock = json.loads((run_once.parent / "langmerge.lock").read_text())["jobs"]
    assert (
        digests["merge/classification/ties/seed1"]
        == lock["merge/classification/ties/seed1"]["output"]
    )
    assert len(str(digests["base/weights"])) == 64
    assert {"torch", "peft", "python"} <= report.provenance.versions.keys()
    assert report.provenance.project_text == run_once.read_text()


def test_it_is_written_as_files(project: Path) -> None:
    result = CliRunner().invoke(app, ["report", "--project", str(project)], catch_exceptions=False)
    assert result.exit_code == 0
    folder = project.parent / "report"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 1_000_000
    assert all(f'<section id="{name}"' in page for name in SECTIONS)
    assert "## Examples" in (folder / "report.md").read_text(encoding="utf-8")
    with (folder / "tables/scores-classification.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["de"]) == pytest.approx(
        gather(project).cells["classification", "base", "de"].value or 0
    )


def test_without_the_store_the_scores_remain(project: Path) -> None:
    shutil.rmtree(project.parent / ".langmerge")
    found = gather(project)
    made = document(found)

    assert found.cells["classification", "base", "de"].low is not None
    assert found.cells["classification", "merged:ties", "de"].low is None  # two seeds
    assert blocks(made, "verdict", Lead)[0].sentences
    assert "train/classification/de/seed0" in blocks(made, "vectors", Notice)[0].text
    assert "no longer has" in blocks(made, "examples", Notice)[0].text
    assert not blocks(made, "upkeep", Table)
    assert to_html(made)


def test_failed_jobs_are_named(edit_results: Edit) -> None:
    def fail(content: dict[str, Any]) -> None:
        content["scores"] = [
            s for s in content["scores"] if not (s["task"] == "generation" and s["model"] != "base")
        ]
        content["averages"] = [a for a in content["averages"] if a["model"] == "base"]
        content["comparisons"] = []
        content["jobs"][5] |= {"outcome": "failed", "problem": "Traceback\nValueError: <boom>"}
        content["jobs"][6] |= {"outcome": "skipped"}

    project = edit_results(fail)
    jobs = json.loads((project.parent / "results.json").read_text())["jobs"]
    made = document(gather(project))
    notices = [block.text for block in blocks(made, "verdict", Notice)]

    assert f"Failed: {jobs[5]['id']}: ValueError: <boom>" in notices
    assert any(jobs[6]["id"] in text for text in notices)
    assert "no verdict" in blocks(made, "verdict", Lead)[0].sentences[0]
    assert [row[0] for row in table(made, "scores-generation").rows] == ["base"]
    missing = table(made, "scores-classification").rows[1][-1]
    assert isinstance(missing, Estimate)
    assert missing.text == "–"
    assert "&lt;boom&gt;" in to_html(made)


def test_what_routing_takes_is_told_beside_its_scores(edit_results: Edit) -> None:
    made = document(gather(edit_results(add_routed)))
    (note,) = (n for n in table(made, "scores-generation").notes if n.startswith("routed: "))
    assert "2.5 MB; 30 ms to switch, 1.0 ms to identify a text's language, right for 100" in note


def test_results_from_before_adjusted_p_values(edit_results: Edit) -> None:
    def age(content: dict[str, Any]) -> None:
        names = ("task", "model", "against", "metric", "difference", "low", "high", "p_value")
        content["comparisons"] = [
            {name: each[name] for name in names} for each in content["comparisons"]
        ]

    made = document(gather(edit_results(age)))
    assert table(made, "verdict").rows[0][7].text == "–"  # type: ignore[union-attr]
    assert any("of single tests" in each.text for each in blocks(made, "verdict", Notice))
    assert to_html(made)


def test_one_language_and_nothing_to_compare_with(tmp_path: Path, tiny_base_folder: Path) -> None:
    project = make_project(tmp_path, tiny_base_folder, languages=("de",), compare=[])
    run_project(project)
    made = document(gather(project))

    assert "no verdict" in blocks(made, "verdict", Lead)[0].sentences[0]
    assert "one language" in blocks(made, "vectors", Notice)[0].text
    assert [f.name for f in blocks(made, "scores", Figures)[0].figures] == ["classification-de"]
    assert to_html(made)


def test_no_results_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path, tmp_path / "base")
    monkeypatch.setattr(sys, "argv", ["langmerge", "report", "--project", str(project)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "no results yet; `langmerge run` makes them" in capsys.readouterr().err


def test_a_page_too_large_is_not_written(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "LARGEST_PAGE", 10_000)
    with pytest.raises(StorageError, match="expected 10000 at most"):
        write(report, tmp_path / "out")
    assert not (tmp_path / "out").exists()
