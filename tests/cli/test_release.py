"""`diff`, `release`, `history` and `rollback` as a user calls them."""

import json
import sys
from pathlib import Path

import pytest
from projects import make_project, rows, write_rows
from typer.testing import CliRunner

from langmerge.cli import app, main
from langmerge.cli.run import run_project
from langmerge.upkeep import release as release_module
from langmerge.upkeep.gate import Answers, Compared, GateResult

runner = CliRunner()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path) -> Path:
    project = make_project(
        tmp_path_factory.mktemp("released"), tiny_base_folder, compare=["individual"]
    )
    run_project(project)
    return project


def call(*arguments: str) -> str:
    result = runner.invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_project_through_its_releases(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--project", str(finished))
    assert "no release yet" in call("history", *options)
    assert "nothing to compare with" in call("diff", *options)
    assert json.loads(call("diff", "--json", *options))["current"] is None
    assert "Released 1-" in call("release", "-m", "the [first]", *options)
    assert "Nothing to release: 1-" in call("release", *options)
    assert "is released already" in call("diff", *options)

    train = finished.parent / "data/classification/de/train.jsonl"
    write_rows(train, rows("classification", "de", "train", 8))
    monkeypatch.setattr(sys, "argv", ["langmerge", "diff", *options])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "`langmerge run` first" in capsys.readouterr().err
    write_rows(
        finished.parent / "data/classification/en/dev.jsonl",
        [*rows("classification", "en", "dev", 3), *rows("classification", "en", "new", 1)],
    )
    run_project(finished)

    shown = call("diff", *options)
    assert "classification: retrained: de" in shown
    assert "macro_f1 on dev" in shown
    assert "en: left out as new (1): en-new-0" in shown
    assert "en: left out as gone (1): en-dev-3" in shown
    as_json = json.loads(call("diff", "--json", *options))
    assert as_json["changes"] == ["classification: retrained: de"]
    assert [c["language"] for c in as_json["gate"]["compared"]] == ["de", "en"]

    _refuse_and_force(options, monkeypatch, capsys)

    newest, first = json.loads(call("history", "--json", *options))
    assert (newest["forced"], newest["current"], newest["previous"]) == (True, True, first["name"])
    assert (first["message"], first["current"]) == ("the [first]", False)
    shown = call("history", *options)
    assert "forced" in shown
    assert "the [first]" in shown

    assert f"Release {first['name']} is served again" in call("rollback", *options)
    assert json.loads(call("history", "--json", *options))[1]["current"]
    assert f"Release {newest['name']}" in call("rollback", "2", *options)


def _refuse_and_force(
    options: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(project: object, answers: dict[tuple[str, str], Answers], name: str) -> GateResult:
        lost = [
            Compared(
                task=task, language=language, metric="macro_f1", n=4, outcome="worse",
                ruling="refuse", reason=f"{task} {language}: worse",
            )
            for task, language in answers
        ]  # fmt: skip
        return GateResult(
            against=name, confidence=0.95, max_drop=1, on_undecided="warn", passed=False,
            compared=lost,
        )  # fmt: skip

    monkeypatch.setattr(release_module, "judge", refuse)
    assert "The gate would refuse it" in call("diff", *options)
    monkeypatch.setattr(sys, "argv", ["langmerge", "release", *options])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 3
    shown = capsys.readouterr().err
    assert "error: the gate refuses: classification de: worse (and 1 more)" in shown
    assert "Traceback" not in shown

    assert ", though the gate refuses it" in call("release", "--force", *options)
