"""The adapter that all languages start from: made once, pinned, remade on request alone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pretender import BASE, Pretender
from projects import make_project, rows, write_rows

from langmerge.canonical import digest_of
from langmerge.errors import ProjectError
from langmerge.plan.keys import adopted
from langmerge.project import load_project
from langmerge.store import Action

TRAIN = {"num_train_epochs": 1, "per_device_train_batch_size": 2, "max_length": 64}
ANCESTOR = "train/classification/ancestor/seed0"
DE = "train/classification/de/seed0"
EN = "train/classification/en/seed0"
MERGE = "merge/classification/ties/seed0"


def make(folder: Path, **sections: Any) -> Pretender:
    sections = {
        "adapter": {"r": 2, "lora_alpha": 4, "init": "ancestor"},
        "train": {**TRAIN, "ancestor": {"share": 0.5, "train": {"num_train_epochs": 2}}},
        **sections,
    }
    return Pretender(make_project(folder, folder / "base", **sections))


@pytest.fixture
def project(tmp_path: Path) -> Pretender:
    return make(tmp_path)


def replace_text(project: Pretender, old: str, new: str) -> None:
    text = project.project_file.read_text()
    assert old in text
    project.project_file.write_text(text.replace(old, new))


def add_language(project: Pretender, language: str) -> None:
    for split in ("train", "dev", "test"):
        path = project.project_file.parent / f"data/classification/{language}/{split}.jsonl"
        write_rows(path, rows("classification", language, split, 4))
    replace_text(project, "- en\n", f"- en\n- {language}\n")


def lock(project: Pretender) -> dict[str, Any]:
    path = project.project_file.parent / "langmerge.lock"
    found: dict[str, Any] = json.loads(path.read_text())["jobs"]
    return found


def trained(ran: list[str]) -> list[str]:
    return [job for job in ran if job.startswith("train/")]


def test_every_language_and_merge_names_the_ancestor(project: Pretender) -> None:
    first = project.plan()
    assert first[DE].reason == f"starts from {ANCESTOR}, which is made first"
    ran = trained(project.run())
    assert ran.index(ANCESTOR) < ran.index(DE)

    decisions = project.plan()
    assert {d.action for d in decisions.values()} == {"reuse"}
    result = decisions[ANCESTOR].result
    assert result is not None
    assert result.document["share"] == 0.5
    assert result.document["train"]["num_train_epochs"] == 2
    for job in (DE, EN, MERGE):
        document = decisions[job].document
        assert document is not None
        assert document["ancestor"] == result.output
    combined = decisions["train/classification/combined/seed0"].document
    assert combined is not None
    assert "ancestor" not in combined


def test_without_one_documents_say_nothing_of_starts(tmp_path: Path) -> None:
    project = make(tmp_path, adapter={"r": 2, "lora_alpha": 4})
    project.run()
    plain = lock(project)
    # The settings of an ancestor that nothing starts from have no effect, nor has the default.
    replace_text(project, "share: 0.5", "share: 0.7")
    replace_text(project, "lora_alpha: 4", "lora_alpha: 4\n  init: shared")
    assert project.run() == []
    assert lock(project) == plain


def test_separate_starts_are_another_training(tmp_path: Path) -> None:
    project = make(tmp_path, adapter={"r": 2, "lora_alpha": 4})
    project.run()
    replace_text(project, "lora_alpha: 4", "lora_alpha: 4\n  init: separate")
    decisions = project.plan()
    assert decisions[DE].reason == "init changed"
    assert decisions["train/classification/combined/seed0"].action == "reuse"
    assert trained(project.run()) == [DE, EN]


def test_new_rows_leave_it_as_it_is(project: Pretender) -> None:
    project.run()
    pin = lock(project)[ANCESTOR]
    project.change_rows("de", 9)

    assert project.plan()[ANCESTOR].action == "reuse"
    assert project.plan()[DE].reason == "data.de (+3 rows, -0) changed"
    assert trained(project.run()) == [DE]
    assert lock(project)[ANCESTOR] == pin


def test_a_new_language_starts_from_the_same(project: Pretender) -> None:
    project.run()
    pin = lock(project)[ANCESTOR]
    add_language(project, "fr")

    assert trained(project.run()) == ["train/classification/fr/seed0"]
    document = project.plan()["train/classification/fr/seed0"].document
    assert document is not None
    assert document["ancestor"] == pin["output"]
    assert lock(project)[ANCESTOR] == pin


def test_a_removed_language_leaves_it_as_it_is(project: Pretender) -> None:
    project.run()
    pin = lock(project)[ANCESTOR]
    replace_text(project, "- en\n", "")

    assert trained(project.run()) == []
    assert lock(project)[ANCESTOR] == pin


def test_it_stays_pinned_while_it_is_not_asked_for(project: Pretender) -> None:
    project.run()
    pin = lock(project)[ANCESTOR]
    replace_text(project, "init: ancestor", "init: shared")
    assert trained(project.run()) == [DE, EN]
    project.change_rows("de", 9)
    replace_text(project, "init: shared", "init: ancestor")

    assert trained(project.run()) == [DE]
    assert lock(project)[ANCESTOR] == pin


def test_remaking_it_retrains_every_language_and_says_so(project: Pretender) -> None:
    project.run()
    pin = lock(project)[ANCESTOR]
    project.change_rows("de", 9)
    project.run()

    decisions = project.plan(remake_ancestor=True)
    assert decisions[ANCESTOR].action == "run"
    assert "data.de" in decisions[ANCESTOR].reason
    assert {decisions[job].action for job in (DE, EN)} == {"run"}
    assert decisions[EN].reason == f"starts from {ANCESTOR}, which is made anew"
    assert trained(project.run(remake_ancestor=True)) == [ANCESTOR, DE, EN]
    assert lock(project)[ANCESTOR] != pin
    assert project.run() == []


def test_remaking_it_of_the_same_rows_changes_nothing(project: Pretender) -> None:
    project.run()
    assert project.run(remake_ancestor=True) == []


def test_other_settings_of_its_training_are_told_and_wait(project: Pretender) -> None:
    project.run()
    replace_text(project, "share: 0.5", "share: 0.25")

    decision = project.plan()[ANCESTOR]
    assert decision.action == "stale"
    assert decision.reason == "share changed; `langmerge run --remake-ancestor` makes it anew"
    assert project.run() == []
    assert trained(project.run(remake_ancestor=True)) == [ANCESTOR, DE, EN]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [("r: 2", "r: 3", "adapter.r"), ("type: classification", "prompt: 'T {text}'", "prompt")],
)
def test_another_shape_or_prompt_remakes_it(
    project: Pretender, old: str, new: str, named: str
) -> None:
    project.run()
    project.change_rows("de", 9)
    replace_text(project, old, f"{old}\n    {new}" if "prompt" in new else new)

    decision = project.plan()[ANCESTOR]
    assert decision.action == "run"
    assert named in decision.reason
    assert {ANCESTOR, DE, EN} < set(project.run())


def test_another_base_remakes_it(project: Pretender) -> None:
    project.run()
    decision = project.plan(base=replace(BASE, weights_digest="v" * 64))[ANCESTOR]
    assert decision.action == "run"
    assert "base" in decision.reason


def test_dropout_is_no_shape(project: Pretender) -> None:
    project.run()
    replace_text(project, "r: 2", "r: 2\n  lora_dropout: 0.1")
    assert project.plan()[ANCESTOR].action == "stale"
    assert project.plan()[DE].reason == "adapter.lora_dropout changed"


def test_continuing_keeps_the_ancestor_and_never_continues_it(project: Pretender) -> None:
    project.set("update: {mode: continue}")
    project.run()
    pin = lock(project)[ANCESTOR]
    project.change_rows("de", 9)

    decision = project.plan()[DE]
    assert decision.document is not None
    assert decision.document["ancestor"] == pin["output"]
    assert decision.document["continued"]["from"] == lock(project)[DE]["output"]
    project.run()
    remade = project.plan(remake_ancestor=True)[ANCESTOR]
    assert remade.document is not None
    assert "continued" not in remade.document
    project.run(remake_ancestor=True)
    again = project.plan()[DE].document
    assert again is not None
    assert "continued" not in again


def test_a_lost_ancestor_of_older_rows_is_not_replaced_in_silence(project: Pretender) -> None:
    project.run()
    pin = lock(project)[ANCESTOR]
    project.change_rows("de", 9)
    shutil.rmtree(project.project_file.parent / ".langmerge/objects" / pin["output"])

    with pytest.raises(ProjectError, match=r"pins train/classification/ancestor/seed0.*--remake"):
        project.plan()
    assert project.plan(remake_ancestor=True)[ANCESTOR].action == "run"
    project.change_rows("de", 6)
    assert project.plan()[ANCESTOR].action == "run"  # The same rows make the same once more.


def test_part_of_a_run_mixes_no_ancestors(project: Pretender) -> None:
    project.run()
    before = lock(project)
    project.change_rows("de", 9)
    project.run(remake_ancestor=True, languages=("de",))

    decisions = project.plan(languages=("de",))
    assert decisions[EN].action == "leave"
    assert decisions[MERGE].action == "stale"
    assert lock(project)[MERGE] == before[MERGE]
    assert trained(project.run()) == [EN]


def test_a_pinned_ancestor_waits_for_no_data(project: Pretender) -> None:
    project.run()
    planner = project.planner()
    job = project.plan()[ANCESTOR].job
    assert planner.needs(job) == ()
    assert project.planner(remake_ancestor=True).needs(job) == job.needs


def test_it_can_be_measured_alone(tmp_path: Path) -> None:
    project = make(tmp_path, compare=["base", "individual", "ancestor"])
    project.run()
    decisions = project.plan()
    result = decisions[ANCESTOR].result
    assert result is not None
    for language in ("de", "en"):
        document = decisions[f"evaluate/classification/ancestor/{language}/seed0/test"].document
        assert document is not None
        assert document["adapter"] == result.output


@pytest.mark.parametrize(
    ("sections", "complaint"),
    [
        ({"compare": ["ancestor"], "adapter": {"r": 2}}, "compare: ancestor is what languages"),
        ({"languages": ["de", "ancestor"]}, "'ancestor' is the name of a model"),
        ({"languages": {"de": {"adapter": {"r": 4}}}}, "languages.de.adapter.r: with adapter.init"),
        ({"languages": {"de": {"adapter": {"init": "shared"}}}}, "set adapter.init instead"),
        ({"languages": {"de": {"train": {"ancestor": {}}}}}, "set train.ancestor instead"),
        ({"train": {"ancestor": {"share": 0}}}, "train.ancestor.share"),
        (
            {"train": {"ancestor": {"train": {"epochs": 3}}}},
            "train.ancestor.train: unknown key 'epochs'",
        ),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, sections: dict[str, Any], complaint: str) -> None:
    path = make(tmp_path).project_file
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **sections}))
    with pytest.raises(ProjectError) as refusal:
        load_project(path)
    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_adopted_adapter_has_no_ancestor_to_stand_beside(tmp_path: Path) -> None:
    project = make(tmp_path, adapter={"r": 2, "lora_alpha": 4}, update={"mode": "continue"})
    project.run()
    result, planner = project.plan()[DE].result, project.planner()
    assert result is not None
    document = adopted(result.document, {"adapter": "a" * 64, "source": "elsewhere"})
    action = Action(digest_of(document), document, result.output, {})
    planner.lock.update({DE: planner.store.record(action)})
    assert project.plan()[DE].reason == "adopted from elsewhere"
    replace_text(project, "lora_alpha: 4", "lora_alpha: 4\n  init: ancestor")
    assert DE in project.run()

    decision = project.plan()[DE]
    assert decision.action == "reuse"
    assert decision.document is not None
    assert decision.document["ancestor"] == lock(project)[ANCESTOR]["output"]
    assert "continued" not in decision.document
