"""What is said of adapters before any weight is read."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from langmerge.adapter import Adapter
from langmerge.errors import MergeError
from langmerge.merging import inspect_adapters, merge
from langmerge.merging.preflight import check_target

from .toys import SHAPES, factors, toy


@pytest.fixture(autouse=True)
def no_weight_is_read(monkeypatch):
    """Saving a toy reads it; afterwards nothing may."""

    def forbid():
        monkeypatch.setattr(Adapter, "_read", None)

    return forbid


def test_what_an_adapter_is(tmp_path, no_weight_is_read):
    path = toy(1, rank=3, scale=0.5, revision="v1").save(tmp_path / "a")
    no_weight_is_read()
    report = inspect_adapters([path])
    (found,) = report.adapters
    assert report.mergeable
    assert (found.base_model, found.revision, found.modules) == ("toy", "v1", 3)
    assert found.layers == {"down_proj": 1, "q_proj": 2}
    assert (found.ranks, found.scales, found.extras) == ((3,), (0.5,), ())
    assert found.parameters == sum(3 * (rows + columns) for rows, columns in SHAPES.values())
    assert found.size == 4 * found.parameters
    json.dumps(report.to_json())


def test_every_problem_is_listed(tmp_path, no_weight_is_read):
    one = toy(1).save(tmp_path / "one")
    changed = SHAPES | {"layers.1.q_proj": (13, 8)}
    two = Adapter.from_factors(
        {name: factors(*shape, 2, 7) for name, shape in changed.items()},
        base_model="org/other",
        extras={"score.weight": torch.ones(2)},
    ).save(tmp_path / "two")
    dora = toy(3).save(tmp_path / "dora")
    config = json.loads((dora / "adapter_config.json").read_text()) | {"use_dora": True}
    (dora / "adapter_config.json").write_text(json.dumps(config))
    no_weight_is_read()
    report = inspect_adapters([one, two, dora, tmp_path / "none"])
    assert not report.mergeable
    said = "\n".join(report.problems)
    for part in (
        "use_dora is set",
        "found nothing",
        "its base model is 'org/other'",
        "module 'layers.1.q_proj' is 13 x 8",
        "'score.weight' is no LoRA factor",
    ):
        assert part in said
    assert len(report.adapters) == 2


def test_missing_modules_and_unnamed_bases(no_weight_is_read):
    unnamed = Adapter.from_factors({"layers.0.q_proj": factors(12, 8, 2, 0)})
    report = inspect_adapters([toy(1), unnamed])
    assert report.mergeable
    assert "does not adapt 2 of 3 modules" in report.warnings[0]
    assert "does not name its base model" in report.warnings[1]


def test_a_merge_among_the_adapters_is_named(no_weight_is_read):
    merged = merge([toy(1), toy(2)], "linear")
    (warning,) = inspect_adapters([toy(1), merged]).warnings
    assert "is a merge itself" in warning


def test_copies_are_found_without_reading_tensors(tmp_path, no_weight_is_read):
    one = toy(1).save(tmp_path / "one")
    shutil.copytree(one, tmp_path / "two")
    other = toy(2).save(tmp_path / "other")
    no_weight_is_read()
    (warning,) = inspect_adapters([one, tmp_path / "two", other]).warnings
    assert "have the same content" in warning
    assert "other" not in warning


def test_a_folder_in_use(tmp_path):
    check_target(tmp_path)
    (tmp_path / "x").write_text("")
    with pytest.raises(MergeError, match="already there"):
        check_target(tmp_path)
