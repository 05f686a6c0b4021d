"""Routing by identified language: rows go to their language's adapter, and come back in order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from projects import LABELS, make_project, write_rows

from langmerge.cli.run import run_project
from langmerge.errors import UserError
from langmerge.results import RESULTS_FILE, load_results
from langmerge.tables import score_table

pytest.importorskip("lingua")
from langmerge.evaluate.routing import identifier

TEXTS = {
    "de": "Das Essen war leider kalt, Nummer {}",
    "en": "The food was quite cold, number {}",
}


@pytest.fixture
def project(tmp_path: Path, tiny_base_folder: Path) -> Path:
    path = make_project(
        tmp_path / "project", tiny_base_folder, compare=["base", "individual", "routed"]
    )
    for language, text in TEXTS.items():
        for split, count in (("train", 6), ("dev", 4), ("test", 10)):
            rows = [
                {"id": f"{i}", "text": text.format(f"{split}{i}"), "label": LABELS[i % 2]}
                for i in range(count)
            ]
            write_rows(path.parent / f"data/classification/{language}/{split}.jsonl", rows)
    return path


def predictions(project: Path, run, job: str) -> list[dict]:
    output = run.results[job].action.output
    path = project.parent / ".langmerge/objects" / output / "predictions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_where_every_language_is_identified_routing_is_the_individual_adapters(project):
    run = run_project(project)
    assert not run.of("failed", "skipped")
    for language in TEXTS:
        job = f"evaluate/classification/{{}}/{language}/seed0/test"
        routed = predictions(project, run, job.format("routed"))
        own = predictions(project, run, job.format("individual"))
        assert [p["id"] for p in routed] == [p["id"] for p in own]
        for ours, theirs in zip(routed, own, strict=True):
            assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-4)

    results = load_results(project)
    (of_german,) = (s for s in results.scores if (s.model, s.language) == ("routed", "de"))
    assert of_german.routing is not None
    assert of_german.routing.languages == {"de": 10}
    assert of_german.routing.adapter_bytes > 0
    assert any(
        "right for 100.0% of rows" in note for note in score_table(results, "classification").notes
    )
    assert {r.outcome for r in run_project(project).results.values()} == {"reused"}


def test_a_row_that_looks_like_another_language_gets_its_adapter(project):
    english = TEXTS["en"]
    path = project.parent / "data/classification/de/test.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[3]["text"] = english.format("astray")
    write_rows(path, rows)
    run = run_project(project)
    routing = run.results["evaluate/classification/routed/de/seed0/test"].action.facts["routing"]
    assert routing["languages"] == {"de": 9, "en": 1}
    routed = predictions(project, run, "evaluate/classification/routed/de/seed0/test")
    own = predictions(project, run, "evaluate/classification/individual/de/seed0/test")
    differ = [
        a["id"]
        for a, b in zip(routed, own, strict=True)
        if a["scores"] != pytest.approx(b["scores"], abs=1e-4)
    ]
    assert differ == ["3"]


def test_a_change_of_any_adapter_reaches_the_routed_scores(project):
    run_project(project)
    train = project.parent / "data/classification/de/train.jsonl"
    write_rows(train, [json.loads(line) for line in train.read_text().splitlines()][:-1])
    update = run_project(project)
    assert update.results["evaluate/classification/routed/en/seed0/test"].outcome == "ran"
    assert update.results["evaluate/classification/individual/en/seed0/test"].outcome == "reused"
    assert (project.parent / RESULTS_FILE).exists()


def test_languages_the_identifier_does_not_know_are_named():
    assert identifier(("de",))("anything") == "de"
    with pytest.raises(UserError, match="does not know 'ha'"):
        identifier(("en", "ha"))
