"""`langmerge merge` as a user calls it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from langmerge.adapter import Adapter, LoraFactors
from langmerge.cli import app, main
from langmerge.merging import merge, methods

runner = CliRunner()


def adapter(seed: int, rows: int = 12) -> Adapter:
    draw = torch.Generator().manual_seed(seed)
    factors = LoraFactors(
        torch.randn(2, 8, generator=draw), torch.randn(rows, 2, generator=draw), 0.5
    )
    return Adapter.from_factors({"layers.0.q_proj": factors}, base_model="toy")


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    return [str(adapter(seed).save(tmp_path / name)) for seed, name in enumerate(("de", "fr"))]


def call(*arguments: str) -> str:
    result = runner.invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> str:
    monkeypatch.setattr(sys, "argv", ["langmerge", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def test_an_adapter(folders: list[str], tmp_path: Path) -> None:
    out = tmp_path / "merged"
    shown = call(
        "merge", *folders, "-o", str(out), "--method", "ties", "--density", "0.5",
        "--weights", "1,2", "--lambda", "0.7", "--seed", "3", "--set", "zero_sign=majority",
    )  # fmt: skip
    assert "ties of 2 adapters, a PEFT adapter" in shown
    expected = merge(
        folders, "ties", density=0.5, weights=[1, 2], lambda_=0.7, seed=3, zero_sign="majority"
    )
    assert Adapter.load(out).digest == expected.digest


@pytest.mark.parametrize("rank", ["full", "2", "energy:0.99"])
@pytest.mark.parametrize("space", ["dense", "svd", "core"])
def test_ranks_and_spaces(folders: list[str], tmp_path: Path, rank: str, space: str) -> None:
    call("merge", *folders, "-o", str(tmp_path / "m"), "--rank", rank, "--space", space)
    recipe = Adapter.load(tmp_path / "m").recipe
    assert recipe is not None
    assert str(recipe["recipe"]["rank"]) == rank
    assert recipe["recipe"]["space"] == space


@pytest.mark.parametrize("method", [info.name for info in methods()])
def test_every_method(folders: list[str], tmp_path: Path, method: str) -> None:
    call("merge", *folders, "-o", str(tmp_path / "m"), "--method", method)
    assert Adapter.load(tmp_path / "m").modules == ("layers.0.q_proj",)


def test_a_full_checkpoint(tiny_base_folder: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_base_folder)
    name = "model.layers.0.self_attn.q_proj"
    rows, columns = model.get_submodule(name).weight.shape
    for seed in range(2):
        factors = LoraFactors(torch.randn(2, columns), torch.randn(rows, 2))
        Adapter.from_factors({name: factors}).save(tmp_path / str(seed))
    shown = call(
        "merge", str(tmp_path / "0"), str(tmp_path / "1"), "--base", str(tiny_base_folder),
        "--into-model", "-o", str(tmp_path / "model"),
    )  # fmt: skip
    assert "a full checkpoint" in shown
    AutoModelForCausalLM.from_pretrained(tmp_path / "model")


def test_a_recipe_and_what_the_command_line_changes(folders: list[str], tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("adapters: [de, fr]\nmethod: linear\noutput: out\n")
    call("merge", "--recipe", str(path))
    call("merge", "--recipe", str(path), "--method", "ties", "-o", str(tmp_path / "other"))
    assert Adapter.load(tmp_path / "out").digest == merge(folders, "linear").digest
    assert Adapter.load(tmp_path / "other").digest == merge(folders, "ties").digest


def test_a_mergekit_recipe(folders: list[str], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "merge_method: ties\nbase_model: x\ndtype: float32\nparameters: {density: 0.5}\n"
        "models: [{model: x+de, parameters: {weight: 1}}, {model: x+fr, parameters: {weight: 3}}]\n"
    )
    shown = call("merge", "--recipe", str(path), "-o", str(tmp_path / "out"))
    assert "'dtype' has no effect" in shown
    expected = merge(folders, "ties", density=0.5, weights=[1, 3])
    assert Adapter.load(tmp_path / "out").digest == expected.digest


def test_the_methods_are_listed() -> None:
    shown = call("merge", "--list")
    for info in methods():
        assert info.name in shown


def test_what_is_lost_is_told(folders: list[str], tmp_path: Path) -> None:
    assert "of the merge's energy" in call(
        "merge", *folders, "-o", str(tmp_path / "m"), "--rank", "1"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "out", "--method", "tise"], "did you mean 'ties'"),
        (["-o", "out", "--density", "0"], "density is 0.0, expected a number in (0, 1]"),
        (["-o", "out", "--weights", "1"], "found 1 weights for 2 adapters"),
        (["-o", "out", "--weights", "1,x"], "--weights is '1,x', expected numbers"),
        (["-o", "out", "--set", "trim"], "--set is 'trim', expected NAME=VALUE"),
        (["-o", "out", "--set", "trmi=model"], "ties has no parameter 'trmi'; did you mean 'trim'"),
        (["-o", "out", "--into-model"], "needs the base checkpoint's folder"),
        (["-o", "."], ".: already there, left as it is"),
        ([], "expected a folder to write to"),
    ],
)
def test_mistakes(
    folders: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(monkeypatch, capsys, "merge", *folders, *arguments)
    assert not (tmp_path / "out").exists()


def test_adapters_that_do_not_fit_are_refused_before_a_weight_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(adapter(rows, rows).save(tmp_path / str(rows))) for rows in (12, 13)]
    monkeypatch.setattr(Adapter, "_read", None)
    said = refused(monkeypatch, capsys, "merge", *folders, "-o", str(tmp_path / "out"))
    assert "module 'layers.0.q_proj' is 13 x 8, but 12 x 8" in said


def test_no_adapters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = refused(monkeypatch, capsys, "merge", "-o", str(tmp_path / "out"))
    assert "expected the folders of the adapters to merge" in said


def test_the_record_is_json(folders: list[str], tmp_path: Path) -> None:
    call("merge", *folders, "-o", str(tmp_path / "m"))
    assert json.loads((tmp_path / "m" / "langmerge_recipe.json").read_text())["adapters"]


def test_merging_differences_to_an_ancestor(folders: list[str], tmp_path: Path) -> None:
    start = adapter(7)
    call(
        "merge", *folders, "--method", "task_arithmetic", "-o", str(tmp_path / "out"),
        "--ancestor", str(start.save(tmp_path / "start")),
    )  # fmt: skip
    made = Adapter.load(tmp_path / "out")
    assert made.recipe is not None
    assert made.recipe["ancestor"] == start.digest
    expected = merge(list(map(Path, folders)), "task_arithmetic", ancestor=start)
    assert made.digest == expected.digest


def test_an_ancestor_of_another_shape_is_refused(
    folders: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = adapter(7, rows=13).save(tmp_path / "start")
    arguments = ("-o", str(tmp_path / "out"), "--ancestor", str(start))
    said = refused(monkeypatch, capsys, "merge", *folders, *arguments)
    assert "ancestor" in said
    assert "13 x 8" in said
