"""Results: what is averaged and compared, and that sentences claim no more than the intervals."""

import json
from pathlib import Path

import pytest
from projects import make_project, rows, write_rows

from langmerge.cli.run import run_project
from langmerge.quickstart.upkeep import describe_update
from langmerge.quickstart.verdict import verdict
from langmerge.results import Average, Measured, Results, Score, load_results


def measured(value: float, width: float = 2.0) -> Measured:
    return Measured(value=value, low=value - width, high=value + width, signature="m")


def results(**models: Measured) -> Results:
    names = {"merged": "merged:ties"}
    return Results(
        base="base",
        primary_metrics={"t": "m"},
        languages=["de", "en"],
        confidence=0.95,
        scores=[
            Score(
                task="t", model="merged:ties", language=language, seed=0, split="test", n=40,
                model_digest="d", metrics={},
            )
            for language in ("de", "en")
        ],
        averages=[
            Average(
                task="t", model=names.get(name, name), split="test", metric="m",
                languages=["de", "en"], seeds=[0], average=value,
            )
            for name, value in models.items()
        ],
        jobs=[],
    )  # fmt: skip


def test_verdict_says_apart_only_where_intervals_are() -> None:
    found = results(
        base=measured(40), individual=measured(80), combined=measured(83), merged=measured(78)
    )

    text = verdict(found, "t", "ties")

    assert "base model has 40.0 [38.0, 42.0]: merged is better, intervals apart" in text
    assert "(98% of it): intervals overlap" in text
    assert "combined model has 83.0 [81.0, 85.0]: merged is worse, intervals apart" in text
    assert "40 test rows a language" in text


def test_verdict_without_a_merged_average_says_nothing() -> None:
    assert "nothing is said" in verdict(results(base=measured(40)), "t", "ties")


def test_verdict_without_intervals_does_not_compare() -> None:
    single = Measured(value=1, low=None, high=None, signature="m")

    assert "too few rows to compare" in verdict(results(base=single, merged=single), "t", "ties")


def test_scores_carry_intervals_signatures_and_digests(
    tmp_path: Path, tiny_base_folder: Path
) -> None:
    project = make_project(tmp_path, tiny_base_folder)
    run_project(project)

    found = load_results(project)

    for score in found.scores:
        assert score.n == 4
        assert (score.model_digest is None) == (score.model == "base")
        metric = score.metrics["macro_f1"]
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low <= metric.value <= metric.high
        assert "macro_f1" in metric.signature
    for average in found.averages:
        of_model = [
            s.metrics["macro_f1"].value
            for s in found.scores
            if (s.model, s.split) == (average.model, average.split)
        ]
        assert average.average.value == pytest.approx(sum(of_model) / len(of_model))
    assert "adapter:de" in {a.model for a in found.averages if a.split == "dev"}
    schema = Results.model_json_schema()
    assert set(json.loads((tmp_path / "results.json").read_text())) == set(schema["properties"])


def test_an_update_is_described_with_its_bill(tmp_path: Path, tiny_base_folder: Path) -> None:
    project = make_project(tmp_path, tiny_base_folder)
    run_project(project)
    train = tmp_path / "data/classification/de/train.jsonl"
    write_rows(train, rows("classification", "de", "train", 8))

    lines = "\n".join(describe_update(run_project(project)))

    assert "Retrained: classification de (data.de changed)." in lines
    assert "Reused as they are: the adapters of en." in lines
    assert "Stale: combined" in lines
    assert "Retraining the combined model took" in lines
