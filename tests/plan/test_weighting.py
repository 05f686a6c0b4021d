"""Weights by a rule: what the rules give, and that a merge by them is planned and made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from projects import make_project, rows, write_rows

from langmerge.adapter import RECIPE_NAME, Adapter
from langmerge.cli.run import run_project
from langmerge.errors import ProjectError
from langmerge.plan import job_graph
from langmerge.plan.weighting import LEAST, by_inverse_norm, normalized
from langmerge.project import load_project
from langmerge.selection import Models
from langmerge.serve.merges import Choice, Merges
from langmerge.sweep.ground import open_ground
from langmerge.workspace import open_workspace


def test_weights_have_the_mean_one_and_none_vanishes():
    assert normalized([300.0, 100.0]) == (1.5, 0.5)
    some = normalized([10.0, -3.0, 0.0, 20.0])
    assert sum(some) == pytest.approx(4, abs=1e-5)
    assert min(some) >= LEAST * 0.9
    assert some[1] == some[2]
    assert normalized([-1.0, 0.0]) == (1.0, 1.0)
    assert by_inverse_norm([1.0, 3.0]) == (1.5, 0.5)


@pytest.fixture
def project(tmp_path: Path, tiny_base_folder: Path) -> Path:
    path = make_project(
        tmp_path / "project",
        tiny_base_folder,
        compare=["base", "best-single"],
        merge={how: {"method": "linear", "weights": how} for how in ("size", "gain", "norm")},
    )
    data = path.parent / "data/classification/de/train.jsonl"
    write_rows(data, rows("classification", "de", "train", 18))  # and 6 of en
    return path


def weights_of(project: Path, run, how: str) -> dict[str, float]:
    """The weights in a merged adapter's own record, by language."""
    action = run.results[f"merge/classification/{how}/seed0"].action
    store = project.parent / ".langmerge/objects"
    record = json.loads((store / action.output / RECIPE_NAME).read_text())
    digests = {
        Adapter.load(
            store / run.results[f"train/classification/{code}/seed0"].action.output
        ).digest: code
        for code in ("de", "en")
    }
    pairs = zip(record["adapters"], record["recipe"]["weights"], strict=True)
    return {digests[digest]: weight for digest, weight in pairs}


def assert_served_as_merged(project: Path, run) -> None:
    """`langmerge serve` finds each recipe's own merge, by the weights that its rule gave."""
    workspace = open_workspace(project)
    merges = Merges(workspace.project, Models(workspace))
    for how in ("size", "gain", "norm"):
        recipe = merges.recipe(Choice(how), "classification")
        made = weights_of(project, run, how)
        assert dict(zip(("de", "en"), recipe.weights or (), strict=True)) == pytest.approx(made)
        stored = merges._stored(recipe, "classification")
        action = run.results[f"merge/classification/{how}/seed0"].action
        assert stored is not None
        assert (
            Adapter.load(stored).digest
            == Adapter.load(workspace.store.object(action.output)).digest
        )  # two rules may agree on the weights


def test_a_rule_with_nothing_to_go_by_says_so(project):
    workspace = open_workspace(project)
    for how, needed in (("gain", "evaluate/classification/"), ("norm", "train/classification/de")):
        with pytest.raises(ProjectError, match=rf"merge\.{how}\.weights: .*{needed}"):
            Models(workspace).recipe("classification", how)


def test_merges_by_every_rule(project):
    run = run_project(project)
    assert not run.of("failed", "skipped")
    assert weights_of(project, run, "size") == {"de": 1.5, "en": 0.5}

    store = project.parent / ".langmerge/objects"
    norms = {
        code: Adapter.load(
            store / run.results[f"train/classification/{code}/seed0"].action.output
        ).norm
        for code in ("de", "en")
    }
    found = weights_of(project, run, "norm")
    assert found["de"] * norms["de"] == pytest.approx(found["en"] * norms["en"], rel=1e-4)

    facts = run.facts()
    gains = {
        code: facts[f"evaluate/classification/adapter:{code}/{code}/seed0/dev"]["metrics"][
            "macro_f1"
        ]
        - facts[f"evaluate/classification/base/{code}/dev"]["metrics"]["macro_f1"]
        for code in ("de", "en")
    }
    expected = normalized([gains["de"], gains["en"]])
    assert tuple(weights_of(project, run, "gain").values()) in (expected, expected[::-1])

    assert {r.outcome for r in run_project(project).results.values()} == {"reused"}
    recipes = {
        c.name: c.settings["weights"] for c in open_ground(open_workspace(project)).recipes()
    }
    assert recipes["size"] == {"de": 1.5, "en": 0.5}
    assert recipes["norm"] == pytest.approx(found)
    assert_served_as_merged(project, run)

    data = project.parent / "data/classification/de/dev.jsonl"
    write_rows(data, rows("classification", "de", "dev", 8))
    update = run_project(project)
    assert update.results["merge/classification/size/seed0"].outcome == "reused"


def test_no_job_stands_twice_and_each_after_its_needs(project):
    jobs = job_graph(load_project(project))
    ids = [job.id for job in jobs]
    assert len(set(ids)) == len(ids)
    for place, job in enumerate(jobs):
        assert set(job.needs) <= set(ids[:place]), job.id


def test_gain_needs_dev_rows(project):
    text = project.read_text().replace(
        "data: data/classification/{language}/{split}.jsonl",
        "data: {train: 'data/classification/{language}/train.jsonl', "
        "test: 'data/classification/{language}/test.jsonl'}",
    )
    project.write_text(text.replace("- best-single\n", ""))
    with pytest.raises(ProjectError, match=r"merge\.gain\.weights: gain is measured on dev"):
        load_project(project)


def test_an_adapters_norm(tmp_path):
    import torch

    from langmerge.adapter import LoraFactors

    factors = {
        name: LoraFactors(a=torch.randn(3, 8), b=torch.randn(5, 3), scale=0.5)
        for name in ("x.0.q", "x.1.q")
    }
    dense = torch.stack([f.delta(torch.float64) for f in factors.values()])
    assert Adapter.from_factors(factors).norm == pytest.approx(float(dense.norm()))
