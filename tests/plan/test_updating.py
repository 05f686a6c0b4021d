"""Languages that continue from their last adapter, the continued baseline, and partial runs."""

from pathlib import Path

import pytest
from pretender import Pretender
from projects import make_project

from langmerge.errors import UserError
from langmerge.plan import Decision

DE = "train/classification/de/seed0"
EN = "train/classification/en/seed0"
COMBINED = "train/classification/combined/seed0"
CONTINUED = "train/classification/combined-continued/seed0"
MERGE = "merge/classification/ties/seed0"


@pytest.fixture
def project(tmp_path: Path) -> Pretender:
    return Pretender(make_project(tmp_path, tmp_path / "base"))


def start_of(decision: Decision) -> str:
    """Return the adapter a training starts from."""
    assert decision.document is not None
    return str(decision.document["continued"]["from"])


def test_a_changed_language_continues_its_last_adapter_once(project: Pretender) -> None:
    project.set("update: {mode: continue, replay: 0.5, train: {num_train_epochs: 2}}")
    project.run()
    first = project.plan()[DE].result
    project.change_rows("de", 9)

    decision = project.plan()[DE]
    assert first is not None
    assert start_of(decision) == first.output
    assert decision.document is not None
    assert decision.document["continued"]["replay"] == 0.5
    assert decision.document["continued"]["train"]["num_train_epochs"] == 2
    assert decision.reason == "data.de (+3 rows, -0) changed; continues its last adapter"
    assert [job for job in project.run() if job.startswith("train/")] == [DE]
    assert {d.action for d in project.plan().values() if not d.job.is_baseline} == {"reuse"}


def test_continuing_goes_on_from_the_newest(project: Pretender) -> None:
    project.set("update: {mode: continue}")
    project.run()
    project.change_rows("de", 9)
    project.run()
    second = project.plan()[DE].result
    project.change_rows("de", 12)

    assert second is not None
    assert start_of(project.plan()[DE]) == second.output


def test_other_settings_of_continuing_keep_the_start(project: Pretender) -> None:
    project.set("update: {mode: continue}")
    project.run()
    project.change_rows("de", 9)
    project.run()
    before = project.plan()[DE]
    text = project.project_file.read_text()
    project.project_file.write_text(text.replace("mode: continue", "mode: continue, replay: 0.1"))

    decision = project.plan()[DE]

    assert decision.action == "run"
    assert decision.reason == "continued.replay changed"
    assert start_of(decision) == start_of(before)


def test_what_was_trained_from_scratch_stays_when_continuing_is_chosen(project: Pretender) -> None:
    project.run()
    project.set("update: {mode: continue}")

    assert {d.action for d in project.plan().values()} == {"reuse"}


def test_back_to_scratch_trains_again(project: Pretender) -> None:
    project.set("update: {mode: continue}")
    project.run()
    project.change_rows("de", 9)
    project.run()
    text = project.project_file.read_text()
    project.project_file.write_text(text.replace("mode: continue", "mode: scratch"))

    decisions = project.plan()

    assert decisions[DE].action == "run"
    assert decisions[DE].document is not None
    assert "continued" not in decisions[DE].document
    assert decisions[EN].action == "reuse"


def test_another_adapter_shape_starts_from_scratch(project: Pretender) -> None:
    project.set("update: {mode: continue}")
    project.run()
    project.change_rows("de", 9)
    text = project.project_file.read_text()
    project.project_file.write_text(text.replace("r: 2", "r: 4"))

    document = project.plan()[DE].document

    assert document is not None
    assert "continued" not in document


def test_the_continued_baseline_is_the_combined_model_until_rows_change(project: Pretender) -> None:
    project.set("compare: [base, combined, combined-continued]")
    project.run()
    before = project.plan()
    assert before[CONTINUED].action == "reuse"
    assert before[CONTINUED].result == before[COMBINED].result

    project.change_rows("de", 9)
    assert project.plan()[CONTINUED].action == "stale"
    assert "--baselines" in project.plan()[CONTINUED].reason
    project.run(baselines=True)

    after = project.plan(baselines=True)
    assert {d.action for d in after.values()} == {"reuse"}
    assert before[COMBINED].result is not None
    assert start_of(after[CONTINUED]) == before[COMBINED].result.output
    assert after[CONTINUED].result != after[COMBINED].result


def test_the_continued_baseline_needs_the_combined_one(project: Pretender) -> None:
    project.set("compare: [combined-continued]")

    with pytest.raises(UserError, match="continues combined"):
        project.plan()


def test_one_language_alone_leaves_the_others_as_they_were(project: Pretender) -> None:
    project.run()
    project.change_rows("de", 9)
    project.change_rows("en", 9)

    decisions = project.plan(languages=("de",))

    assert decisions[DE].action == "run"
    assert decisions["data/classification/en"].action == "stale"
    # Its rows are the older ones as well, so its adapter fits them.
    assert decisions[EN].action == "reuse"
    assert MERGE in project.run(languages=("de",))
    assert project.plan()[EN].action == "run"


def test_a_language_that_never_ran_is_left_out_with_all_that_needs_it(project: Pretender) -> None:
    decisions = project.plan(languages=("de",))

    assert decisions[DE].action == "run"
    assert decisions[EN].action == "leave"
    assert decisions[MERGE].action == "leave"
    assert "left out" in decisions[MERGE].reason


def test_only_training(project: Pretender) -> None:
    ran = project.run(steps=("train",))

    assert {job.partition("/")[0] for job in ran} == {"data", "train"}
    assert project.plan(steps=("train",))[MERGE].action == "leave"
    assert project.plan()[MERGE].action == "run"


def test_only_merging_takes_the_adapters_there_are(project: Pretender) -> None:
    project.run()
    project.change_rows("de", 9)

    decisions = project.plan(steps=("merge",))

    assert decisions[DE].action == "stale"
    assert decisions[MERGE].action == "reuse"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"languages": ("dee",)}, "--target-language dee: not known; did you mean 'de'?"),
        ({"steps": ("trian",)}, "--only trian: not known; did you mean 'train'?"),
    ],
)
def test_unknown_names(project: Pretender, options: dict[str, tuple[str]], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        project.plan(**options)
    assert expected in str(caught.value)


def test_the_same_rows_in_another_file_retrain_nothing(project: Pretender) -> None:
    project.run()
    path = project.project_file.parent / "data/classification/de/train.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(reversed(lines)) + "\n")

    decisions = project.plan()

    assert decisions["data/classification/de"].reason.endswith("(the same rows)")
    assert [d.job.id for d in decisions.values() if d.action == "run"] == ["data/classification/de"]
