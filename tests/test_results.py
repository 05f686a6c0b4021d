"""Results: what is averaged and compared, and that sentences claim no more than the intervals."""

import json
from pathlib import Path

import pytest
from projects import make_project, rows, write_rows

from langmerge.cli.run import run_project
from langmerge.quickstart.upkeep import describe_update
from langmerge.quickstart.verdict import verdict
from langmerge.results import Average, Comparison, Measured, Results, Score, load_results


def measured(value: float, width: float = 2.0) -> Measured:
    return Measured(value=value, low=value - width, high=value + width, signature="m")


def results(merged: float, **others: Comparison) -> Results:
    models = {"merged:ties": merged, **dict.fromkeys(others, 80.0)}
    return Results(
        base="base",
        primary_metrics={"t": "m"},
        languages=["de", "en"],
        confidence=0.95,
        scores=[
            Score(
                task="t", model="merged:ties", language=language, seed=0, split="test", n=n,
                model_digest="d", metrics={},
            )
            for language, n in (("de", 40), ("en", 42))
        ],
        averages=[
            Average(
                task="t", model=name, split="test", metric="m", languages=["de", "en"], seeds=[0],
                average=measured(value), stale=name == "combined",
            )
            for name, value in models.items()
        ],
        comparisons=list(others.values()),
        jobs=[],
    )  # fmt: skip


def compared(against: str, difference: float, p_value: float) -> Comparison:
    return Comparison(
        task="t", model="merged:ties", against=against, metric="m", difference=difference,
        low=difference - 3, high=difference + 3, p_value=p_value,
    )  # fmt: skip


def test_verdict_says_no_more_than_the_tests() -> None:
    found = results(
        84.0,
        base=compared("base", 4.0, 0.01),
        individual=compared("individual", -4.0, 0.02),
        combined=compared("combined", 4.0, 0.2),
    )

    text = verdict(found, "t", "ties")

    assert "merged model reaches 84.0 (82.0–86.0)" in text
    assert "the base model (80.0): +4.0 points (+1.0 to +7.0), better." in text
    assert "own adapter (80.0, 105% of it): -4.0 points (-7.0 to -1.0), worse." in text
    assert "combined model (80.0, trained before the newest rows): +4.0 points" in text
    assert "undecided at this size" in text
    assert "40 to 42 test rows" in text


def test_verdict_without_a_merged_average_says_nothing() -> None:
    found = results(84.0).model_copy(update={"averages": []})

    assert "nothing is said" in verdict(found, "t", "ties")


def test_verdict_without_intervals_does_not_compare() -> None:
    blind = compared("base", 4.0, 0.01).model_copy(update={"low": None})

    assert "too few rows to tell" in verdict(results(84.0, base=blind), "t", "ties")


def test_comparisons_are_paired(tmp_path: Path, tiny_base_folder: Path) -> None:
    project = make_project(tmp_path, tiny_base_folder, seeds=[0, 1])
    run_project(project)

    found = load_results(project)

    averages = {a.model: a.average.value for a in found.averages if a.split == "test"}
    assert {c.against for c in found.comparisons} == {
        "base",
        "individual",
        "best-single",
        "combined",
    }
    for comparison in found.comparisons:
        expected = averages[comparison.model] - averages[comparison.against]
        assert comparison.difference == pytest.approx(expected)


def test_a_task_with_its_own_seeds_is_averaged_over_them(
    tmp_path: Path, tiny_base_folder: Path
) -> None:
    file = make_project(
        tmp_path, tiny_base_folder, ("classification", "generation"), compare=["base", "individual"]
    )
    run_project(file)
    file.write_text(
        file.read_text().replace("type: generation", "type: generation\n    seeds: [0, 1]")
    )
    run = run_project(file)

    assert {r.decision.job.seed for r in run.of("ran")} == {1}  # What seed 0 made is reused.
    seeds = {(a.task, a.model): a.seeds for a in load_results(file).averages if a.split == "test"}
    assert seeds["generation", "individual"] == seeds["generation", "merged:ties"] == [0, 1]
    assert seeds["classification", "individual"] == [0]
    assert ("generation", "base") in seeds
    assert {c.task for c in load_results(file).comparisons} == {"classification", "generation"}


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
    assert "Training the combined model took" in lines
    assert "on the older, smaller data" in lines
    again = "\n".join(describe_update(run_project(project)))
    assert "Nothing was retrained, so there is no bill." in again
