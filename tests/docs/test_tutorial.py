"""The tutorial's blocks, run in order in an empty folder, on a tiny model in Gemma's place."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import save_tiny_base
from typer.testing import CliRunner

from langmerge.cli import app

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
_BLOCK = re.compile(r"^```(sh|python|yaml)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.M | re.S)


def run_line(line: str) -> None:
    """Run a line of a shell block; verbs in this process, which has torch loaded already."""
    words = shlex.split(line)
    if words[0] == "langmerge":
        done = CliRunner().invoke(app, words[1:], catch_exceptions=False)
        assert done.exit_code == 0, f"{line}\n{done.output}"
    else:
        subprocess.run(["bash", "-euc", line], check=True)
        if "cd" in words:
            os.chdir(words[words.index("cd") + 1])


def test_the_tutorial_ends_with_a_merged_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sh` and `python` blocks are run, one with a title is written to that file."""
    save_tiny_base(tmp_path / "cache" / "bases" / "gemma-3-270m", "gemma3")
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LANGMERGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    blocks = _BLOCK.findall(TUTORIAL.read_text("utf-8"))
    assert len(blocks) > 10

    for language, title, code in blocks:
        if title:
            Path(title).write_text(code, encoding="utf-8")
        elif language == "python":
            exec(compile(code, str(TUTORIAL), "exec"), {"__name__": "tutorial"})
        else:
            for line in code.splitlines():
                run_line(line)

    folder = tmp_path / "reviews"
    assert (folder / "released" / "sentiment" / "adapter_model.safetensors").exists()
    assert (folder / "merged" / "adapter_config.json").exists()
    assert (folder / "merged-model" / "config.json").exists()
    assert (folder / "report" / "report.html").exists()
