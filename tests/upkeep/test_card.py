"""The model card: what it says, what the Hub reads of it, and text that must stay text."""

from datetime import datetime
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from projects import make_project

from langmerge.project import Project, load_project
from langmerge.upkeep.card import model_card
from langmerge.upkeep.gate import Compared, GateResult
from langmerge.upkeep.releases import Release

TASK = "classification"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def make_release(**changes: object) -> Release:
    gate = GateResult(
        against=None, confidence=0.95, max_drop=1, on_undecided="warn", passed=True, compared=[]
    )
    return Release(
        **{
            "recipe": {"name": "ties", "method": "ties", "density": 0.5, "weights": None},
            "seed": 3,
            "base": {
                "name": "/home/someone/bases/tiny",
                "weights": "w" * 64,
                "tokenizer": "t" * 64,
            },
            "models": {TASK: "m" * 64},
            "adapters": {TASK: {"de": "d" * 64, "en": "e" * 64}},
            "predictions": {TASK: {"de": "1" * 64, "en": "2" * 64}},
            "scores": {
                TASK: {"de": {"dev": 70.0, "test": 61.25}, "en": {"dev": 80.0, "test": 90.0}}
            },
            "objects": [],
            "name": "2-abcdef01",
            "number": 2,
            "created": datetime(2026, 11, 24).isoformat(),
            "message": "",
            "gate": gate,
            "forced": False,
            "previous": None,
            **changes,
        }
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return load_project(make_project(tmp_path, tmp_path / "base"))


def test_the_hub_reads_its_metadata(project: Project) -> None:
    card = ModelCard(model_card(make_release(), TASK, project))

    assert card.data.base_model == "tiny"
    assert card.data.language == ["de", "en"]
    assert card.data.library_name == "peft"
    assert card.data.pipeline_tag == "text-generation"
    found = {result.dataset_config: result for result in card.data.eval_results}
    assert found["de"].metric_value == 61.25
    assert found["en"].metric_value == 90.0
    assert (found["de"].metric_type, found["de"].dataset_split) == ("f1", "test")
    assert found["de"].task_type == "text-classification"


def test_it_says_what_the_release_knows(project: Project) -> None:
    text = model_card(make_release(message="better German"), TASK, project)

    for part in (
        "# classification, release 2-abcdef01",
        "serves de and en: 2 adapters",
        "> better German",
        "| de | 61.2 | 70.0 |",
        "| mean | 75.6 | 75.0 |",
        "The first release",
        "| density | `0.5` |",
        "| training seed | `3` |",
        "{text}\nLabel:",
        "Answers: `good`, `bad`.",
        "| adapter: en | `" + "e" * 64,
        "| base: weights | `" + "w" * 64,
    ):
        assert part in text
    assert "/home/someone" not in text
    assert "weights | `None`" not in text


def test_a_base_from_the_hub_is_loaded_at_its_commit(project: Project) -> None:
    base = {"name": f"some/model@{COMMIT}", "weights": "w" * 64, "tokenizer": "t" * 64}
    text = model_card(make_release(base=base), TASK, project)

    assert ModelCard(text).data.base_model == "some/model"
    assert f'from_pretrained(base, revision="{COMMIT}")' in text


def test_a_forced_release_says_so(project: Project) -> None:
    lost = Compared(task=TASK, language="de", metric="macro_f1", n=4, outcome="worse")
    gate = GateResult(
        against="1-00000000", confidence=0.95, max_drop=1, on_undecided="warn", passed=False,
        compared=[lost],
    )  # fmt: skip
    text = model_card(make_release(gate=gate, forced=True), TASK, project)

    assert "Compared with release 1-00000000 on the same dev rows" in text
    assert "worse on classification de" in text
    assert "although the gate refused it" in text


def test_a_task_the_project_has_no_more(project: Project) -> None:
    models = {"gone": "m" * 64}
    scores = {"gone": {"x-odd name": {"dev": 1.0, "test": 2.0}}}
    adapters = {"gone": {"x-odd name": "d" * 64}}
    release = make_release(models=models, scores=scores, adapters=adapters)
    text = model_card(release, "gone", project)

    assert ModelCard(text).data.language is None
    assert "| x-odd name | 2.0 | 1.0 |" in text
    assert "Prompt" not in text


def test_text_stays_text(project: Project) -> None:
    message = "<script>alert(1)</script>\n# no heading | [no](link) `code`"
    text = model_card(make_release(message=message), TASK, project)

    assert "<script>" not in text
    assert "\n# no heading" not in text
    assert r"\[no\](link) \`code\`" in text
    metadata, _, _ = text.removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(metadata)["model-index"][0]["name"] == f"{TASK} 2-abcdef01"


def test_an_ancestor_is_told_with_its_digest(project: Project) -> None:
    card = model_card(make_release(ancestors={TASK: "a" * 64}), TASK, project)

    assert "their ancestor" in card
    assert f"| ancestor | `{'a' * 64}` |" in card
    assert "ancestor" not in model_card(make_release(), TASK, project)
