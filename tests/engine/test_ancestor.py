"""Languages that start from a common ancestor, trained and merged for real on a tiny model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from projects import make_project, rows, write_rows

from langmerge.adapter import Adapter
from langmerge.cli.run import run_project
from langmerge.engine import Run
from langmerge.merging import merge
from langmerge.results import RESULTS_FILE
from langmerge.train.lora import initial_factors, separate_start

TRAIN = {
    "num_train_epochs": 1,
    "per_device_train_batch_size": 2,
    "learning_rate": 0.01,
    "max_length": 64,
}
ANCESTOR = "train/classification/ancestor/seed0"
COMBINED = "train/classification/combined/seed0"
DE = "train/classification/de/seed0"
EN = "train/classification/en/seed0"
MERGE = "merge/classification/ties/seed0"


def make(folder: Path, base: Path, init: str, **sections: Any) -> Path:
    return make_project(
        folder,
        base,
        adapter={"r": 2, "lora_alpha": 4, "init": init},
        **{
            "train": {**TRAIN, "ancestor": {"share": 0.5}},
            "compare": ["base", "individual", "combined"],
            **sections,
        },
    )


def adapter_of(run: Run, project: Path, job: str) -> Adapter:
    action = run.results[job].action
    assert action is not None
    return Adapter.load(project.parent / ".langmerge/objects" / action.output)


def outcomes(run: Run, kind: str = "train") -> dict[str, str]:
    found = [result for result in run.results.values() if result.decision.job.kind == kind]
    return {result.decision.job.id: result.outcome for result in found}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path) -> tuple[Path, Run]:
    folder = tmp_path_factory.mktemp("ancestor")
    compare = ["base", "individual", "combined", "ancestor"]
    project = make(folder, tiny_base_folder, "ancestor", compare=compare)
    return project, run_project(project)


def test_the_merge_is_of_the_differences_with_the_ancestor_added(
    finished: tuple[Path, Run],
) -> None:
    project, run = finished
    ancestor, de, en, merged = (adapter_of(run, project, job) for job in (ANCESTOR, DE, EN, MERGE))
    assert merged.recipe is not None
    assert merged.recipe["ancestor"] == ancestor.digest
    assert merge([de, en], "ties", ancestor=ancestor).digest == merged.digest
    assert merge([de, en], "ties").digest != merged.digest


def test_languages_start_from_the_ancestor(finished: tuple[Path, Run]) -> None:
    """A short training stays nearer to its start than the start is to zero."""
    project, run = finished
    ancestor, de = (adapter_of(run, project, job) for job in (ANCESTOR, DE))
    assert de.modules == ancestor.modules
    for module in de.modules:
        start, end = ancestor.factors(module), de.factors(module)
        assert torch.any(start.b != 0)
        assert not torch.equal(start.a, end.a)
        # AdamW moves an entry by about the learning rate at most, at each of three steps.
        assert float((start.a - end.a).abs().max()) <= 3 * 0.0101


def test_its_share_of_rows_is_what_it_learned(finished: tuple[Path, Run]) -> None:
    project, run = finished
    action = run.results[ANCESTOR].action
    assert action is not None
    assert action.facts["rows"] == 6  # half of six, of two languages
    record = project.parent / ".langmerge/objects" / action.output / "training.json"
    assert len(json.loads(record.read_text())["rows"]) == 6


def test_of_all_rows_it_is_the_combined_model(tmp_path: Path, tiny_base_folder: Path) -> None:
    gently = {**TRAIN, "learning_rate": 0.004}
    of_all = {"share": 1.0, "train": {"learning_rate": TRAIN["learning_rate"]}}
    together = make(tmp_path / "together", tiny_base_folder, "shared")
    onward = {**gently, "ancestor": of_all}
    project = make(tmp_path / "onward", tiny_base_folder, "ancestor", train=onward)
    combined = adapter_of(run_project(together), together, COMBINED)
    ancestor = adapter_of(run_project(project), project, ANCESTOR)
    assert ancestor.digest == combined.digest


def test_it_is_measured_like_the_other_models(finished: tuple[Path, Run]) -> None:
    project, _ = finished
    results = json.loads((project.parent / RESULTS_FILE).read_text())
    scored = {(s["language"], s["split"]) for s in results["scores"] if s["model"] == "ancestor"}
    assert scored == {("de", "test"), ("en", "test")}
    assert "ancestor" in {c["against"] for c in results["comparisons"]}
    assert {a["model"] for a in results["averages"]} >= {"ancestor", "merged:ties"}


def test_update_new_language_and_remake(tmp_path: Path, tiny_base_folder: Path) -> None:
    project = make(tmp_path, tiny_base_folder, "ancestor", compare=["individual"])
    first = run_project(project)
    pinned = first.results[ANCESTOR].action
    assert pinned is not None

    data = project.parent / "data/classification"
    write_rows(data / "de/train.jsonl", rows("classification", "de", "train", 8))
    assert outcomes(run_project(project)) == {ANCESTOR: "reused", DE: "ran", EN: "reused"}

    for split in ("train", "dev", "test"):
        write_rows(data / f"fr/{split}.jsonl", rows("classification", "fr", split, 4))
    project.write_text(project.read_text().replace("- de\n- en", "- de\n- en\n- fr"))
    added = run_project(project)
    fr = "train/classification/fr/seed0"
    assert outcomes(added) == {ANCESTOR: "reused", DE: "reused", EN: "reused", fr: "ran"}
    descendant = added.results[fr].action
    assert descendant is not None
    assert descendant.document["ancestor"] == pinned.output

    remade = run_project(project, remake_ancestor=True)
    assert outcomes(remade) == {ANCESTOR: "ran", DE: "ran", EN: "ran", fr: "ran"}
    assert remade.results[DE].decision.reason == "ancestor changed"
    assert outcomes(run_project(project)) == {
        ANCESTOR: "reused", DE: "reused", EN: "reused", fr: "reused",
    }  # fmt: skip


def test_separate_starts_differ_by_language(tiny_base: Any) -> None:
    from langmerge.train.config import LoraSettings

    lora = LoraSettings(r=2)
    shared = initial_factors(tiny_base, lora, 0)
    de, en, again = (
        separate_start(tiny_base, lora, 0, language) for language in ("de", "en", "de")
    )
    assert de.digest == again.digest
    for module in de.modules:
        starts = [de.factors(module).a, en.factors(module).a, shared[module].a.detach()]
        assert not torch.equal(starts[0], starts[1])
        assert not torch.equal(starts[0], starts[2])
        assert not de.factors(module).b.any()


def test_separate_starts_are_trained_from(tmp_path: Path, tiny_base_folder: Path) -> None:
    """Language vectors of separate starts share no row space; those of a shared start do."""
    cosines = {}
    for init in ("shared", "separate"):
        project = make(tmp_path / init, tiny_base_folder, init, compare=["individual"])
        run = run_project(project)
        de, en = (adapter_of(run, project, job) for job in (DE, EN))
        module = de.modules[0]
        first, second = (x.factors(module).a.double().numpy().ravel() for x in (de, en))
        cosines[init] = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert cosines["shared"] > 0.9
    assert abs(cosines["separate"]) < 0.5
