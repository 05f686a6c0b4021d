"""The verbs as a user calls them: output, JSON, exit codes, and no traceback for a mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from projects import make_project
from typer.testing import CliRunner

from langmerge.cli import app, main
from langmerge.cli.run import run_project
from langmerge.errors import JobsFailed, ProjectError
from langmerge.project import load_project

runner = CliRunner()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path) -> Path:
    project = make_project(
        tmp_path_factory.mktemp("finished"),
        tiny_base_folder,
        tasks=("classification", "generation", "multiple_choice"),
    )
    run_project(project)
    return project


def call(*arguments: str, text: str | None = None) -> str:
    result = runner.invoke(app, list(arguments), input=text, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["langmerge", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_help_imports_no_torch() -> None:
    code = (
        "import sys\nfrom langmerge.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit as e: assert not e.code\n"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for verb in ("quickstart", "init", "check", "plan", "run", "results", "predict"):
        assert verb in done.stdout


def test_init_writes_a_project_that_is_valid(tmp_path: Path) -> None:
    call("init", str(tmp_path / "new"))

    project = load_project(tmp_path / "new" / "langmerge.yaml")
    assert [task.type for task in project.tasks.values()] == [
        "classification",
        "multiple_choice",
        "generation",
    ]
    with pytest.raises(ProjectError, match="already there"):
        runner.invoke(app, ["init", str(tmp_path / "new")], catch_exceptions=False)


def test_check_passes_the_sample_project(tmp_path: Path, tiny_base_folder: Path) -> None:
    call("init", str(tmp_path))
    project = tmp_path / "langmerge.yaml"
    text = project.read_text().replace("./base-model", str(tiny_base_folder))
    project.write_text(text.replace("max_length: 512", "max_length: 2048"))

    shown = call("check", "--project", str(project))

    assert "sentiment" in shown
    assert "Sentiment: " in shown


def test_check_names_every_problem(tmp_path: Path, tiny_base_folder: Path) -> None:
    project = make_project(tmp_path, tiny_base_folder)
    for language in ("de", "en"):
        path = tmp_path / f"data/classification/{language}/train.jsonl"
        path.write_text('{"id": "1", "text": "x"}\n')

    result = runner.invoke(app, ["check", "--project", str(project)])

    assert "de/train.jsonl" in result.stderr
    assert "en/train.jsonl" in str(result.exception)


def test_check_refuses_when_completions_are_cut_away(
    tmp_path: Path, tiny_base_folder: Path
) -> None:
    project = make_project(tmp_path, tiny_base_folder)
    project.write_text(project.read_text().replace("max_length: 64", "max_length: 8"))

    result = runner.invoke(app, ["check", "--project", str(project)])

    assert "lose their whole completion" in str(result.exception)


def test_results_again(finished: Path) -> None:
    shown = call("results", "--project", str(finished))
    as_json = json.loads(call("results", "--json", "--project", str(finished)))

    assert "merged:ties" in shown
    assert "ROUGE-L" in shown
    assert "| merged:ties |" in call("results", "--markdown", "--project", str(finished))
    assert as_json == json.loads((finished.parent / "results.json").read_text())


def test_results_before_any_run(tmp_path: Path) -> None:
    project = make_project(tmp_path, tmp_path)

    with pytest.raises(ProjectError, match="no results yet"):
        runner.invoke(app, ["results", "--project", str(project)], catch_exceptions=False)


@pytest.mark.parametrize("model", ["merged:ties", "individual", "combined", "base"])
def test_predict_with_every_model(finished: Path, model: str) -> None:
    options = ("--project", str(finished), "--language", "de", "--task", "classification")

    answers = json.loads(call("predict", "a text", "--model", model, "--json", *options))

    assert answers[0]["answer"] in ("good", "bad")
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1)


def test_predict_from_standard_input(finished: Path) -> None:
    options = ("--project", str(finished), "--language", "de", "--task", "classification")

    assert len(call("predict", *options, text="one\ntwo\n").splitlines()) == 2


def test_predict_choices_and_generation(finished: Path) -> None:
    options = ("--project", str(finished), "--language", "en")

    chosen = call(
        "predict", "q", "--task", "multiple_choice", "--choice", "one", "--choice", "two", *options
    )
    assert chosen.startswith(("one", "two"))
    call("predict", "some text", "--task", "generation", *options)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--language", "de"], "--task is missing"),
        (["--language", "dee", "--task", "generation"], "did you mean 'de'?"),
        (["--language", "de", "--task", "generation", "--model", "combind"], "'combined'?"),
        (["--language", "de", "--task", "multiple_choice"], "--choice"),
    ],
)
def test_predict_names_mistakes(finished: Path, arguments: list[str], expected: str) -> None:
    with pytest.raises(ProjectError) as caught:
        runner.invoke(
            app, ["predict", "x", *arguments, "--project", str(finished)], catch_exceptions=False
        )
    assert expected in str(caught.value)


def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "langmerge.yaml")

    assert exit_code(monkeypatch, "--version") == 0
    assert exit_code(monkeypatch, "plan", "--project", missing) == 2
    shown = capsys.readouterr().err
    assert "no such file" in shown
    assert "Traceback" not in shown

    def fail(*_: object, **__: object) -> None:
        raise JobsFailed("2 of 9 jobs were not done")

    monkeypatch.setattr(sys.modules["langmerge.cli.run"], "run_project", fail)
    assert exit_code(monkeypatch, "run", "--project", missing) == 4
    assert capsys.readouterr().err.startswith("error: 2 of 9")


def test_a_base_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path, tmp_path / "nowhere")

    assert exit_code(monkeypatch, "run", "--project", str(project)) == 2
    assert not (tmp_path / ".langmerge").exists()


def test_export_an_adapter_and_a_checkpoint(finished: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    options = ("--project", str(finished), "--task", "classification")
    call("export", str(tmp_path / "adapter"), *options)
    call("export", str(tmp_path / "model"), "--checkpoint", *options)

    base = load_project(finished).base
    ids = torch.tensor([[5, 6, 7]])
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    adapted = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(str(base)), tmp_path / "adapter"
    )
    with torch.inference_mode():
        torch.testing.assert_close(plain(ids).logits, adapted(ids).logits, atol=1e-5, rtol=1e-4)
        untouched = AutoModelForCausalLM.from_pretrained(str(base))(ids).logits
    assert not torch.allclose(plain(ids).logits, untouched, atol=1e-5)
    assert not (tmp_path / "adapter" / "manifest.json").exists()

    result = runner.invoke(app, ["export", str(tmp_path / "model"), *options])
    assert isinstance(result.exception, ProjectError)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "say good", "completion": "good"},
        {"instruction": "say", "input": "good", "output": "good"},
    ],
)
def test_data_that_brings_its_own_prompt(
    tmp_path: Path, tiny_base_folder: Path, row: dict[str, str]
) -> None:
    project = make_project(tmp_path, tiny_base_folder, tasks=("generation",), compare=["base"])
    for language in ("de", "en"):
        for split in ("train", "dev", "test"):
            path = tmp_path / f"data/generation/{language}/{split}.jsonl"
            lines = [json.dumps({**row, "id": f"{split}{n}"}) for n in range(2)]
            path.write_text("\n".join(lines))

    # Every test row stands in train too: the data is refused as worthless, with the reason.
    result = runner.invoke(app, ["run", "--project", str(project)])
    assert "also stand in train" in str(result.exception)

    for language in ("de", "en"):
        path = tmp_path / f"data/generation/{language}/train.jsonl"
        first = next(iter(row))
        path.write_text(json.dumps({**row, first: "quite another"}))
    call("run", "--project", str(project))
    call("predict", "say good", "--language", "de", "--project", str(project))
