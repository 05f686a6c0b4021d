"""Results: what is averaged and compared, and that sentences claim no more than the intervals."""

import json
from pathlib import Path

import pytest
from projects import make_project, rows, write_rows

from langmerge.cli.run import run_project
from langmerge.quickstart.upkeep import describe_update
from langmerge.quickstart.verdict import verdict
from langmerge.results import (
    Average,
    Comparison,
    Confusion,
    Measured,
    Results,
    Score,
    load_results,
)
from langmerge.statistics import holm
from langmerge.tables import score_table


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
    project = make_project(
        tmp_path, tiny_base_folder, seeds=[0, 1], merge=["ties", "task_arithmetic"]
    )
    run_project(project)

    found = load_results(project)

    averages = {a.model: a.average.value for a in found.averages if a.split == "test"}
    assert {c.against for c in found.comparisons} == {
        "base",
        "individual",
        "best-single",
        "combined",
    }
    assert len(found.comparisons) == 8
    for comparison in found.comparisons:
        ours, theirs = averages[comparison.model], averages[comparison.against]
        assert comparison.difference == pytest.approx(ours - theirs)
        assert comparison.retention is not None
        assert comparison.retention.value == pytest.approx(100 * ours / theirs)
        assert comparison.p_randomization is not None
        detectable = pytest.approx(2.8016 * comparison.standard_error, rel=1e-4)
        assert comparison.minimum_detectable == detectable
        assert comparison.p_value <= comparison.p_holm <= min(1, 2 * comparison.p_value)
        by_language = comparison.languages
        assert list(by_language) == ["de", "en"]
        mean = sum(each.difference for each in by_language.values()) / 2
        assert comparison.difference == pytest.approx(mean)
        p_values = [each.p_value for each in by_language.values()]
        assert tuple(each.p_holm for each in by_language.values()) == holm(p_values)


def test_runs_with_several_seeds_show_their_spread(tmp_path: Path, tiny_base_folder: Path) -> None:
    project = make_project(tmp_path, tiny_base_folder, seeds=[0, 1], compare=["base", "individual"])
    run_project(project)

    found = load_results(project)

    averages = {a.model: a for a in found.averages if a.split == "test"}
    assert averages["base"].seed_spread is None
    for model in ("individual", "merged:ties"):
        spread = averages[model].seed_spread
        assert sum(spread.values.values()) / 2 == pytest.approx(averages[model].average.value)
        assert spread.effect <= spread.deviation
    (against_base,) = [c for c in found.comparisons if c.against == "base"]
    differences = against_base.seed_spread.values
    assert differences["1"] == pytest.approx(
        averages["merged:ties"].seed_spread.values["1"] - averages["base"].average.value
    )
    notes = "\n".join(score_table(found, "classification").notes)
    assert "seed by seed: " in notes
    assert "detectable at this size: " in notes
    assert "after Holm: " in notes


def test_labels_that_a_merged_model_never_answers_are_told() -> None:
    kept = Confusion(labels=["a", "b", "c"], counts=[[2, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]])
    assert kept.never_answered() == ["b"]  # No row is a "c".
    found = results(80.0)
    scores = [
        score.model_copy(update={"confusion": kept, "metrics": {"m": measured(50.0)}})
        for score in found.scores
    ]

    notes = score_table(found.model_copy(update={"scores": scores, "averages": []}), "t").notes

    assert "merged:ties never answers 'b' in de, en" in notes


def test_languages_measured_in_different_ways_are_told() -> None:
    found = results(80.0)
    scores = [
        score.model_copy(
            update={"metrics": {"m": measured(50.0).model_copy(update={"signature": signature})}}
        )
        for score, signature in zip(found.scores, ["m|tok:char|n:1", "m|tok:word|n:1"], strict=True)
    ]

    notes = score_table(found.model_copy(update={"scores": scores, "averages": []}), "t").notes

    assert "Compare models, not languages: de by tok:char; en by tok:word" in notes


def test_results_of_an_earlier_run_are_still_read() -> None:
    old = compared("base", 1.0, 0.5).model_dump(
        include={"task", "model", "against", "metric", "difference", "low", "high", "p_value"}
    )
    text = json.dumps({**results(80.0).model_dump(), "comparisons": [old], "averages": []})

    found = Results.model_validate_json(text)

    assert any("merged:ties minus base: +1.0" in note for note in score_table(found, "t").notes)


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
        assert score.confusion is not None
        assert score.confusion.labels == ["good", "bad"]
        assert [sum(row) for row in score.confusion.counts] == [2, 2]
        hits = sum(score.confusion.counts[label][label] for label in range(2))
        assert score.metrics["accuracy"].value == pytest.approx(100 * hits / 4)
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

    assert "Retrained: classification de (data.de (+2 rows, -0) changed)." in lines
    assert "Reused as they are: the adapters of en." in lines
    assert "Stale: combined" in lines
    assert "Training the combined model took" in lines
    assert "on the older, smaller data" in lines
    again = "\n".join(describe_update(run_project(project)))
    assert "Nothing was retrained, so there is no bill." in again
