"""`langmerge inspect` as a user calls it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from langmerge.adapter import Adapter, LoraFactors
from langmerge.cli import app, main

runner = CliRunner()


def save(folder: Path, seed: int = 0, rows: int = 12) -> str:
    draw = torch.Generator().manual_seed(seed)
    factors = LoraFactors(
        torch.randn(2, 8, generator=draw), torch.randn(rows, 2, generator=draw), 0.5
    )
    adapter = Adapter.from_factors({"layers.0.q_proj": factors}, base_model="org/toy")
    return str(adapter.save(folder))


def test_adapters_that_merge(tmp_path: Path) -> None:
    result = runner.invoke(app, ["inspect", save(tmp_path / "de", 0), save(tmp_path / "fr", 1)])
    assert result.exit_code == 0
    for part in ("org/toy", "They can be merged", "0.5"):
        assert part in result.output


def test_json_for_machines(tmp_path: Path) -> None:
    result = runner.invoke(
        app, ["inspect", "--json", save(tmp_path / "de", 0), save(tmp_path / "fr", 0)]
    )
    report = json.loads(result.stdout)
    assert report["mergeable"]
    assert [found["ranks"] for found in report["adapters"]] == [[2], [2]]
    assert "have the same content" in report["warnings"][0]


def test_what_would_go_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [save(tmp_path / "de"), save(tmp_path / "fr", 1, rows=13), str(tmp_path / "ja")]
    for arguments in (["inspect"], ["inspect", "--json"]):
        monkeypatch.setattr(sys, "argv", ["langmerge", *arguments, *folders])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 2
        captured = capsys.readouterr()
        assert "is 13 x 8" in " ".join(captured.err.split())
        assert "expected an adapter's folder, found nothing" in " ".join(captured.err.split())
        if "--json" in arguments:
            assert len(json.loads(captured.out)["problems"]) == 2
