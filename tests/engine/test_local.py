"""The local engine on a real tiny model: what is done, reused, left stale, and survives failure."""

import json
import re
from pathlib import Path

import pytest
from projects import make_project, rows, write_rows

from langmerge.cli.run import run_project
from langmerge.engine import Run
from langmerge.engine.holding import held
from langmerge.errors import DataError, StorageError, UserError
from langmerge.results import RESULTS_FILE


def outcomes(run: Run, kind: str) -> dict[str, str]:
    """Return what became of the jobs of a kind, by a short name."""
    found = [result for result in run.results.values() if result.decision.job.kind == kind]
    return {result.decision.job.id: result.outcome for result in found}


@pytest.fixture
def project(tmp_path: Path, tiny_base_folder: Path) -> Path:
    return make_project(tmp_path / "project", tiny_base_folder)


def test_a_second_run_reuses_everything(project: Path) -> None:
    first = run_project(project)
    results = (project.parent / RESULTS_FILE).read_text()
    second = run_project(project)

    assert {result.outcome for result in first.results.values()} <= {"ran", "reused"}
    assert {result.outcome for result in second.results.values()} == {"reused"}
    scores = json.loads(results)["scores"]
    assert scores == json.loads((project.parent / RESULTS_FILE).read_text())["scores"]


def test_a_changed_language_retrains_only_itself(project: Path) -> None:
    run_project(project)
    train = project.parent / "data/classification/de/train.jsonl"
    write_rows(train, rows("classification", "de", "train", 8))

    update = run_project(project)

    assert outcomes(update, "train") == {
        "train/classification/de/seed0": "ran",
        "train/classification/en/seed0": "reused",
        "train/classification/combined/seed0": "stale",
    }
    assert set(outcomes(update, "merge").values()) == {"ran"}
    evaluations = outcomes(update, "evaluate")
    assert evaluations["evaluate/classification/base/de/test"] == "reused"
    assert evaluations["evaluate/classification/individual/en/seed0/test"] == "reused"
    assert evaluations["evaluate/classification/individual/de/seed0/test"] == "ran"
    assert evaluations["evaluate/classification/merged:ties/en/seed0/test"] == "ran"
    stale = json.loads((project.parent / RESULTS_FILE).read_text())["averages"]
    assert {average["model"] for average in stale if average["stale"]} == {"combined"}

    baselines = run_project(project, baselines=True)

    assert [r.decision.job.id for r in baselines.of("ran") if r.decision.job.kind == "train"] == [
        "train/classification/combined/seed0"
    ]


def test_the_form_of_a_file_retrains_nothing(project: Path) -> None:
    run_project(project)
    old = project.parent / "data/classification/de/train.jsonl"
    as_csv = "label,id,text\n" + "".join(
        f"{row['label']},{row['id']},{row['text']}\n"
        for row in reversed([json.loads(line) for line in old.read_text().splitlines()])
    )
    old.with_suffix(".csv").write_text(as_csv)
    old.unlink()
    text = project.read_text().replace(
        "- de\n- en",
        "  de: {data: {classification: {train: data/classification/de/train.csv,"
        " dev: data/classification/de/dev.jsonl, test: data/classification/de/test.jsonl}}}\n"
        "  en: {}",
    )
    project.write_text(text)

    again = run_project(project)

    assert [r.decision.job.id for r in again.of("ran")] == ["data/classification/de"]


def test_adding_a_language_trains_only_that_one(project: Path) -> None:
    run_project(project)
    for split in ("train", "dev", "test"):
        write_rows(
            project.parent / f"data/classification/fr/{split}.jsonl",
            rows("classification", "fr", split, 4),
        )
    project.write_text(project.read_text().replace("- de\n- en", "- de\n- en\n- fr"))

    run = run_project(project)

    assert outcomes(run, "train") == {
        "train/classification/de/seed0": "reused",
        "train/classification/en/seed0": "reused",
        "train/classification/fr/seed0": "ran",
        "train/classification/combined/seed0": "stale",
    }


@pytest.mark.parametrize(
    ("old", "new"), [("learning_rate: 0.01", "learning_rate: 0.02"), ("r: 2", "r: 3")]
)
def test_a_changed_setting_retrains_everything(project: Path, old: str, new: str) -> None:
    run_project(project)
    project.write_text(project.read_text().replace(old, new))

    run = run_project(project)

    assert set(outcomes(run, "train").values()) == {"ran"}
    reasons = {r.decision.reason for r in run.of("ran") if r.decision.job.kind == "train"}
    assert len(reasons) == 1
    assert old.partition(":")[0] in reasons.pop()


def test_a_failing_language_leaves_the_others_finished(
    tmp_path: Path, tiny_base_folder: Path
) -> None:
    project = make_project(
        tmp_path,
        tiny_base_folder,
        languages=["de", "en", "fr"],
        compare=["base", "individual"],
    )
    text = project.read_text().replace(
        "- de\n- en\n- fr", "  de: {train: {learning_rate: 1.0e+30}}\n  en: {}\n  fr: {}"
    )
    project.write_text(text)

    run = run_project(project)

    assert outcomes(run, "train") == {
        "train/classification/de/seed0": "failed",
        "train/classification/en/seed0": "ran",
        "train/classification/fr/seed0": "ran",
    }
    assert set(outcomes(run, "merge").values()) == {"skipped"}
    failed = run.results["train/classification/de/seed0"]
    assert "training diverged" in (failed.problem or "")
    jobs = {job["id"]: job for job in json.loads((tmp_path / RESULTS_FILE).read_text())["jobs"]}
    assert jobs["train/classification/de/seed0"]["problem"] == failed.problem


def test_bad_data_stops_before_anything_runs(project: Path) -> None:
    path = project.parent / "data/classification/en/test.jsonl"
    path.write_text(path.read_text() + '{"id": "x", "text": "a", "label": "godo"}\n')

    with pytest.raises(DataError, match=r"test\.jsonl:5.*godo.*good"):
        run_project(project)
    assert not (project.parent / ".langmerge").exists()


def test_two_runs_at_once_are_refused(project: Path) -> None:
    with held(project.parent / ".langmerge"), pytest.raises(StorageError, match="is at work on"):
        run_project(project, wait=False)


def test_all_task_types_and_seeds(tmp_path: Path, tiny_base_folder: Path) -> None:
    project = make_project(
        tmp_path,
        tiny_base_folder,
        tasks=("classification", "multiple_choice", "generation"),
        merge={"mean": {"method": "mean"}, "DTS": {"method": "DTS", "density": 0.5}},
        evaluate={"resamples": 100, "matrix": True},
        seeds=[0, 1],
    )

    run = run_project(project)

    assert not run.of("failed", "skipped")
    results = json.loads((tmp_path / RESULTS_FILE).read_text())
    averages = {(a["task"], a["model"]): a for a in results["averages"] if a["split"] == "test"}
    assert len(averages) == 3 * 6
    assert averages["generation", "merged:DTS"]["seeds"] == [0, 1]
    assert averages["generation", "merged:DTS"]["metric"] == "rougeL"
    digests = {s["model_digest"] for s in results["scores"] if s["model"] == "merged:DTS"}
    assert len(digests) == 3 * 2
    assert all(score["chosen"] for score in results["scores"] if score["model"] == "best-single")
    matrix = [s for s in results["scores"] if s["model"] == "adapter:de" and s["split"] == "test"]
    assert {score["language"] for score in matrix} == {"en"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("target_modules: all-linear", "target_modules: [nothing]", "'nothing' matches no linear"),
        ("target_modules: all-linear", "target_modules: '*.q_proj'", "not a regular expression"),
        ("max_length: 64", "max_length: 8", "lose their whole completion"),
    ],
)
def test_settings_that_cannot_work_stop_before_training(
    project: Path, old: str, new: str, expected: str
) -> None:
    text = project.read_text().replace("  r: 2", "  r: 2\n  target_modules: all-linear")
    project.write_text(text.replace(old, new))

    with pytest.raises(UserError, match=re.escape(expected)):
        run_project(project)
    assert not (project.parent / ".langmerge").exists()


def test_weights_follow_their_languages(tmp_path: Path, tiny_base_folder: Path) -> None:
    digests = []
    for order, weights in (
        (["de", "en"], "{de: 0.9, en: 0.1}"),
        (["en", "de"], "{de: 0.9, en: 0.1}"),
        (["en", "de"], "{de: 0.1, en: 0.9}"),
    ):
        project = make_project(tmp_path, tiny_base_folder, languages=order, compare=["base"])
        with project.open("a") as file:
            file.write(f"merge: {{mean: {{method: mean, weights: {weights}}}}}\n")
        run = run_project(project)
        action = run.results["merge/classification/mean/seed0"].action
        assert action is not None
        digests.append(action.output)

    assert digests[0] == digests[1] != digests[2]


def test_the_order_of_languages_is_no_matter(tmp_path: Path, tiny_base_folder: Path) -> None:
    for order in (["de", "en"], ["en", "de"]):
        run = run_project(make_project(tmp_path, tiny_base_folder, languages=order))

    assert not run.of("ran")


def test_a_baseline_stays_pinned_while_it_is_not_compared(project: Path) -> None:
    run_project(project)
    text = project.read_text()
    project.write_text(text + "compare: [base]\n")
    run_project(project)
    train = project.parent / "data/classification/de/train.jsonl"
    write_rows(train, rows("classification", "de", "train", 8))
    project.write_text(text)

    run = run_project(project)

    assert outcomes(run, "train")["train/classification/combined/seed0"] == "stale"


def test_a_continued_language_learns_its_new_rows_and_a_share_of_the_old(project: Path) -> None:
    project.write_text(project.read_text() + "update: {mode: continue, replay: 0.5}\n")
    run_project(project)
    train = project.parent / "data/classification/de/train.jsonl"
    write_rows(train, rows("classification", "de", "train", 9))

    update = run_project(project)

    trained = update.results["train/classification/de/seed0"]
    assert trained.action is not None
    assert trained.action.facts["rows"] == 3 + 3  # 3 new ones, and half of the 6 known
    folder = project.parent / ".langmerge/objects" / trained.action.output
    assert len(json.loads((folder / "training.json").read_text())["rows"]) == 9
    assert set(outcomes(run_project(project), "train").values()) == {"reused", "stale"}


def test_continuing_the_combined_model_trains_on_the_changed_language(project: Path) -> None:
    project.write_text(project.read_text() + "compare: [combined, combined-continued]\n")
    first = run_project(project)
    combined = first.results["train/classification/combined/seed0"].action
    train = project.parent / "data/classification/de/train.jsonl"
    write_rows(train, rows("classification", "de", "train", 9))

    update = run_project(project, baselines=True)

    continued = update.results["train/classification/combined-continued/seed0"]
    assert combined is not None
    assert continued.action is not None
    assert continued.action.document["continued"]["from"] == combined.output
    assert continued.action.facts["rows"] == 9  # German alone, all of it
    results = json.loads((project.parent / RESULTS_FILE).read_text())
    assert {"combined", "combined-continued"} <= {a["model"] for a in results["averages"]}


def test_part_of_a_run(project: Path) -> None:
    trained = run_project(project, steps=["train"])
    assert set(outcomes(trained, "merge").values()) == {"left"}
    assert not trained.of("failed", "skipped")

    rest = run_project(project)
    assert set(outcomes(rest, "train").values()) == {"reused"}
    assert set(outcomes(rest, "merge").values()) == {"ran"}
