"""The harness's tasks on our models; needs the extra lm-eval."""

import builtins
import json

import pytest
from typer.testing import CliRunner

from langmerge.cli import app
from langmerge.errors import DataError, MissingExtraError, UserError
from langmerge.evaluate.likelihood import choice_log_likelihoods
from langmerge.harness.run import find_tasks, run_tasks

runner = CliRunner()


@pytest.fixture
def lm_eval():
    return pytest.importorskip("lm_eval", reason="needs the extra lm-eval")


def evaluate(*arguments):
    return runner.invoke(app, ["evaluate", *map(str, arguments)])


def test_a_task_of_ones_own_scores_as_we_do(lm_eval, tiny_base, task_folder):
    tasks = find_tasks(["toy_choice"], [task_folder])
    found = run_tasks(tiny_base, tasks, model="tiny", batch_rows=2)

    rows = [json.loads(line) for line in (task_folder / "questions.jsonl").open()]
    encode = tiny_base.tokenizer
    prompts = [encode(f"Question: {row['question']}\nAnswer:").input_ids for row in rows]
    choices = [
        [encode(f" {choice}", add_special_tokens=False).input_ids for choice in row["choices"]]
        for row in rows
    ]
    scores = choice_log_likelihoods(tiny_base, prompts, choices)
    raw = [max(range(3), key=of_row.__getitem__) for of_row in scores]
    per_byte = [
        max(range(3), key=lambda at: of_row[at] / len(row["choices"][at].encode()))
        for of_row, row in zip(scores, rows, strict=True)
    ]
    answers = [row["answer"] for row in rows]
    expected = {
        "acc": sum(map(int.__eq__, raw, answers)) / 5,
        "acc_bytes": sum(map(int.__eq__, per_byte, answers)) / 5,
    }
    values = {score.metric: score.measured.value for score in found.scores}
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    assert {score.n for score in found.scores} == {5}
    assert "|task:toy_choice|task-version:3.0|" in found.scores[0].measured.signature


def test_by_the_verb(lm_eval, tiny_base_folder, task_folder, tmp_path):
    file = tmp_path / "scores.json"
    result = evaluate(
        *(tiny_base_folder, "--harness", "toy_choice", "--include", task_folder),
        *("--out", file),
    )
    assert result.exit_code == 0, result.output
    assert "Not to be compared with langmerge's own scores" in result.stdout
    written = json.loads(file.read_text())
    assert {score["task"] for score in written["scores"]} == {"toy_choice"}


def test_an_unknown_task_is_told_before_a_model_is_loaded(
    lm_eval, tiny_base_folder, task_folder, monkeypatch
):
    # The harness's own list takes seconds to read; here the folder's tasks are all there are.
    from lm_eval.tasks import TaskManager

    import langmerge.model

    monkeypatch.setattr(
        "lm_eval.tasks.TaskManager",
        lambda include_path, **_: TaskManager(include_path=include_path, include_defaults=False),
    )
    monkeypatch.setattr(langmerge.model, "load_base", None)
    result = evaluate(tiny_base_folder, "--harness", "toy_chioce", "--include", task_folder)
    assert isinstance(result.exception, DataError)
    assert "did you mean 'toy_choice'?" in str(result.exception)


def test_a_broken_task_is_the_users_mistake(lm_eval, tiny_base, task_folder):
    (task_folder / "questions.jsonl").unlink()
    tasks = find_tasks(["toy_choice"], [task_folder])
    with pytest.raises(DataError, match="--harness toy_choice: the harness stopped"):
        run_tasks(tiny_base, tasks, model="tiny")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        find_tasks(["any"], [tmp_path / "none"])


def test_without_the_harness(monkeypatch, tmp_path):
    plain = builtins.__import__

    def without(name, *rest, **named):
        if name.partition(".")[0] == "lm_eval":
            raise ImportError(name)
        return plain(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'langmerge\[lm-eval\]'"):
        find_tasks(["any"])


def test_a_results_file_by_the_verb(tmp_path):
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"results": {"arc": {"acc,none": 0.5, "acc_stderr,none": 0.1}}}))
    result = evaluate("--import", file, "--json")
    assert json.loads(result.stdout)["scores"][0]["measured"]["value"] == 0.5


@pytest.mark.parametrize(
    "arguments",
    [
        ("model", "--harness", "arc", "--data", "x"),
        ("model", "--harness", "arc", "--task", "classification"),
        ("model", "--import", "x"),
        ("--harness", "arc"),
    ],
)
def test_what_does_not_go_together(arguments):
    assert isinstance(evaluate(*arguments).exception, UserError)
