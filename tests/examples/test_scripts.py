"""The scripts in `examples/` run as they stand, on tiny models."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from projects import LABELS, make_project

from langmerge.adapter import Adapter, LoraFactors

EXAMPLES = Path(__file__).parents[2] / "examples"
MODULES = ("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj")


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(("de", "fr", "ja")):
        draw = torch.Generator().manual_seed(seed)
        factors = {
            module: LoraFactors(
                torch.randn(2, 64, generator=draw), torch.randn(64, 2, generator=draw) / 8
            )
            for module in MODULES
        }
        Adapter.from_factors(factors).save(folder / name)
    return [str(folder / name) for name in ("de", "fr", "ja")]


def run_example(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_merge_adapters(
    adapters: list[str],
    tiny_base_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = str(tmp_path / "merged")
    run_example(
        monkeypatch, "merge_adapters.py", *adapters, "--out", out, "--base", str(tiny_base_folder)
    )
    said = capsys.readouterr().out
    assert f"{out}: 2 modules" in said
    assert "loaded by PEFT" in said
    assert Adapter.load(out).modules == MODULES


def test_custom_method(adapters: list[str]) -> None:
    """In a process of its own: what it registers would stay for the other tests."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "custom_method.py"), *adapters],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ties, majority = done.stdout.splitlines()
    assert ties.startswith("ties: cosine with each adapter 0.")
    assert majority.startswith("majority_ties: cosine with each adapter 0.")
    assert ties.partition(":")[2] != majority.partition(":")[2]


def test_evaluate_model(
    tiny_base_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_project(tmp_path, tiny_base_folder)
    monkeypatch.setenv("LANGMERGE_CACHE", str(tmp_path / "cache"))
    run_example(
        monkeypatch,
        "evaluate_model.py",
        str(tiny_base_folder),
        "--data", str(tmp_path / "data/classification/{language}/test.jsonl"),
        "--languages", "de,en",
        "--labels", ",".join(LABELS),
    )  # fmt: skip
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said[::2]] == ["de", "en"]
    assert said[1].strip().startswith("macro_f1|")


def test_project_in_python(
    tiny_base_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = make_project(tmp_path, tiny_base_folder)
    run_example(monkeypatch, "project_in_python.py", str(project))
    said = capsys.readouterr().out
    assert "train/classification/de/seed0: " in said
    assert "merged:ties minus combined: " in said
    assert "released 1-" in said
    run_example(monkeypatch, "project_in_python.py", str(project))
    assert "train/" not in capsys.readouterr().out


def test_a_package_brings_methods_by_its_entry_point(tmp_path: Path) -> None:
    """Installed as pip would leave it; and one that cannot be imported stops nothing."""
    for name, code in {
        "good": (EXAMPLES / "custom_method.py").read_text("utf-8"),
        "broken": "1 / 0",
    }.items():
        (tmp_path / f"{name}_methods.py").write_text(code, encoding="utf-8")
        metadata = tmp_path / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(
            f"[langmerge.merging_methods]\n{name} = {name}_methods\n"
        )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import langmerge\n"
        "print([m.name for m in langmerge.methods()][-1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "majority_ties"
    assert "broken: its merging methods (broken_methods) cannot be loaded" in done.stderr
